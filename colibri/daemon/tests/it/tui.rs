//! The operator's whole way: the terminal interface in a real terminal (tmux), the daemon, an agent.

use std::time::{Duration, Instant};

use clawdie_terminal::SIZE;
use clawdie_terminal::tmux::Tmux;

use crate::agents::test_agent;
use crate::harness::{Home, built};

/// Starts the test agent by the form.
fn start_agent(terminal: &Tmux, name: &str, args: &str) {
    terminal.press(&["s"]);
    terminal.wait_for(&["Start an agent"]);
    terminal.type_text(name);
    // The third runtime is `local`.
    terminal.press(&["Tab", "Right", "Right", "Tab"]);
    terminal.type_text(&test_agent().display().to_string());
    terminal.press(&["Tab"]);
    terminal.type_text(args);
    terminal.press(&["Enter"]);
    terminal.wait_for(&[&format!("{name} is started.")]);
}

#[test]
fn an_operator_starts_asks_reads_dismisses_and_stops_in_a_terminal() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let (program, socket) = (built("colibri-tui"), home.socket());
    let variables = [
        ("PROGRAM", program.as_path()),
        ("COLIBRI_DAEMON_SOCKET", socket.as_path()),
    ];
    let terminal = Tmux::run(home.path("tmux"), SIZE, &variables, "\"$PROGRAM\"");
    terminal.wait_for(&["The daemon runs no agent."]);

    start_agent(&terminal, "ada", "--rpc --step-ms 1 --ignore-term");
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
    start_agent(&terminal, "bad", "--no-such-flag");
    terminal.wait_for(&["! error", "bad"]);
    terminal.press(&["n", "l"]);
    let screen = terminal.wait_for(&["unexpected argument '--no-such-flag'"]);
    assert!(screen.contains("Log of bad"), "{screen}");
    terminal.press(&["l", "d"]);
    terminal.wait_for(&["Dismiss a pane"]);
    terminal.press(&["y"]);
    terminal.wait_for(&["The pane of bad is gone."]);
    terminal.wait_for(&["[1 Panes]"]);

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
