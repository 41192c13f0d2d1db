//! Programs in a real terminal (tmux), for tests: keys are pressed, and the screen is read.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long anything may take to be seen. An agent that ignores TERM takes ten seconds to end; the rest is for a
/// busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal with a program in it, which ends with this value.
#[derive(Debug)]
pub struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Runs a line of shell in a terminal of so many columns and rows, with these variables. The line's end is told
    /// on the screen by `ENDED code`. tmux makes the socket.
    ///
    /// # Panics
    /// tmux is missing or cannot start.
    pub fn run(socket: PathBuf, size: (u16, u16), variables: &[(&str, &Path)], line: &str) -> Self {
        let terminal = Self { socket };
        let (columns, rows) = (size.0.to_string(), size.1.to_string());
        let script = format!("{line}; echo ENDED $?; exec cat");
        let variables: Vec<String> = variables
            .iter()
            .map(|(name, value)| format!("{name}={}", value.display()))
            .collect();
        let mut arguments = vec!["-f", "/dev/null", "new-session", "-d"];
        arguments.extend(["-x", columns.as_str(), "-y", rows.as_str()]);
        for variable in &variables {
            arguments.extend(["-e", variable.as_str()]);
        }
        arguments.extend(["sh", "-c", script.as_str()]);
        terminal.tmux(&arguments);
        terminal
    }

    /// Presses keys, by tmux's names for them.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types a text, letter by letter.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", "--", text]);
    }

    /// Waits until one line of the screen has all these texts, and gives back the screen.
    ///
    /// # Panics
    /// There is no such line in a minute.
    #[track_caller]
    pub fn wait_for(&self, texts: &[&str]) -> String {
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

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(arguments)
            .env_remove("TMUX")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("tmux (cargo xtask doctor --install-tools)");
        assert!(output.status.success(), "tmux {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .arg("kill-server")
            .output();
    }
}
