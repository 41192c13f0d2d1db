//! The operator's whole way: the terminal interface in a real terminal (tmux), the daemon, an agent.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::agents::test_agent;
use crate::harness::{Home, built};

/// An agent that ignores TERM takes ten seconds to end; the rest is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal of 80 by 24 with the program in it.
struct Terminal<'a> {
    home: &'a Home,
}

impl<'a> Terminal<'a> {
    /// Shows the daemon of this place. The program's end is told by `ENDED code`.
    fn start(home: &'a Home) -> Self {
        let terminal = Self { home };
        let program = format!("PROGRAM={}", built("colibri-tui").display());
        let socket = format!("COLIBRI_DAEMON_SOCKET={}", home.socket().display());
        let script = "\"$PROGRAM\"; echo ENDED $?; exec cat";
        let place = [
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
        ];
        let run: [&str; 7] = ["-e", &program, "-e", &socket, "sh", "-c", script];
        terminal.tmux(&[&place[..], &run[..]].concat());
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(self.home.path("tmux"))
            .args(arguments)
            .env_remove("TMUX")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("tmux (cargo xtask doctor --install-tools)");
        assert!(output.status.success(), "tmux {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", "--", text]);
    }

    /// Waits until one line of the screen has all these texts.
    #[track_caller]
    fn wait_for(&self, texts: &[&str]) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.tmux(&["capture-pane", "-p"]);
            let has_all = |line: &str| texts.iter().all(|text| line.contains(text));
            if screen.lines().any(has_all) {
                return screen;
            }
            assert!(Instant::now() < end, "no line with {texts:?}:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts the test agent by the form.
    fn start_agent(&self, name: &str, args: &str) {
        self.press(&["s"]);
        self.wait_for(&["Start an agent"]);
        self.type_text(name);
        // The third runtime is `local`.
        self.press(&["Tab", "Right", "Right", "Tab"]);
        self.type_text(&test_agent().display().to_string());
        self.press(&["Tab"]);
        self.type_text(args);
        self.press(&["Enter"]);
        self.wait_for(&[&format!("{name} is started.")]);
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .arg("-S")
            .arg(self.home.path("tmux"))
            .arg("kill-server")
            .output();
    }
}

#[test]
fn an_operator_starts_asks_reads_dismisses_and_stops_in_a_terminal() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let terminal = Terminal::start(&home);
    terminal.wait_for(&["The daemon runs no agent."]);

    terminal.start_agent("ada", "--rpc --step-ms 1 --ignore-term");
    terminal.wait_for(&["idle", "ada"]);
    terminal.press(&["p"]);
    terminal.wait_for(&["Ask ada"]);
    terminal.type_text("Hello");
    terminal.press(&["Enter"]);
    terminal.wait_for(&["done", "ada"]);
    terminal.press(&["2", "c"]);
    terminal.wait_for(&["Put a task on the board"]);
    terminal.type_text("Read the note");
    terminal.press(&["Enter"]);
    terminal.wait_for(&["done", "ada", "Read the note"]);

    // One that fails: why is in its log, and then nobody wants to see it any more.
    terminal.press(&["1"]);
    terminal.start_agent("bad", "--no-such-flag");
    terminal.wait_for(&["! error", "bad"]);
    terminal.press(&["n", "l"]);
    let screen = terminal.wait_for(&["unexpected argument '--no-such-flag'"]);
    assert!(screen.contains("Log of bad"), "{screen}");
    terminal.press(&["l", "d"]);
    terminal.wait_for(&["Dismiss a pane"]);
    terminal.press(&["y"]);
    terminal.wait_for(&["The pane of bad is gone."]);
    terminal.wait_for(&["[1 Panes 1]"]);

    // It takes its time, and is waited for.
    terminal.press(&["x"]);
    terminal.wait_for(&["Stop ada"]);
    let begun = Instant::now();
    terminal.press(&["y"]);
    terminal.wait_for(&["ada is stopped."]);
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(8), "{took:?}");
    terminal.press(&["q"]);
    terminal.wait_for(&["ENDED 0"]);
}
