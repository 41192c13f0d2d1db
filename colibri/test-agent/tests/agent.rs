//! The real program, and what a pane sees of it.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use colibri_glasspane::{Change, End, Input, Pane, rpc_arguments};
use colibri_protocol::{Answer, PaneState, Runtime};
use jiff::Timestamp;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// How long anything may take.
const LONG: Duration = Duration::from_secs(20);

struct Agent {
    child: Child,
    stdin: Option<ChildStdin>,
    out: BufReader<ChildStdout>,
    pane: Pane,
    changes: Vec<Change>,
}

impl Agent {
    fn start(flags: &[&str]) -> Self {
        use std::os::unix::process::CommandExt as _;
        let mut child = Command::new(env!("CARGO_BIN_EXE_colibri-test-agent"))
            .args(["--step-ms", "0"])
            .args(flags)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            out: BufReader::new(child.stdout.take().unwrap()),
            pane: Pane::new("s-1", "test", Runtime::Local, Timestamp::now()),
            child,
            changes: Vec::new(),
        }
    }

    fn tell(&mut self, input: Input<'_>) {
        let line = input.line(Runtime::Local).unwrap();
        self.stdin.as_mut().unwrap().write_all(&line).unwrap();
    }

    fn prompt(&mut self, id: &str) {
        self.tell(Input::Prompt { id, message: "Hi" });
    }

    /// Reads line by line until the pane says so.
    fn until(&mut self, wanted: impl Fn(&Change) -> bool) {
        loop {
            let mut line = Vec::new();
            let read = self.out.read_until(b'\n', &mut line).unwrap();
            assert!(read > 0, "it ended; {:?}", self.changes);
            let changes = self.pane.feed(&line, Timestamp::now());
            let met = changes.iter().any(&wanted);
            self.changes.extend(changes);
            if met {
                return;
            }
        }
    }

    /// Reads all that is left.
    fn read_to_end(&mut self) -> ExitStatus {
        let mut rest = Vec::new();
        self.out.read_to_end(&mut rest).unwrap();
        self.changes.extend(self.pane.feed(&rest, Timestamp::now()));
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn group(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = killpg(self.group(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

#[test]
fn it_works_once_and_ends() {
    let mut agent = Agent::start(&["--hold-secs", "0", "--emit-usage"]);
    assert!(agent.read_to_end().success());
    assert!(agent.changes.contains(&Change::Finished));
    let seen = agent.pane.snapshot(Timestamp::now());
    assert_eq!(seen.state, PaneState::Done);
    assert_eq!(seen.text, "Looked around; all is well.");
    assert_eq!((seen.turns, seen.malformed), (1, 0));
    assert_eq!((seen.usage.input, seen.usage.cache_write), (100, 10));
    assert_eq!(seen.usage.cost_usd.to_string(), "$0.0005");
}

#[test]
fn garbage_is_counted_and_passed_over() {
    let mut agent = Agent::start(&["--hold-secs", "0", "--garbage"]);
    assert!(agent.read_to_end().success());
    let seen = agent.pane.snapshot(Timestamp::now());
    assert_eq!(seen.state, PaneState::Done);
    assert_eq!(seen.malformed, 5);
}

#[test]
fn prompts_are_worked_on_one_after_the_other_until_its_input_ends() {
    let mut agent = Agent::start(rpc_arguments(Runtime::Local));
    for id in ["1", "2"] {
        agent.prompt(id);
        agent.until(|change| *change == Change::Finished);
    }
    agent.stdin = None;
    assert!(agent.read_to_end().success());
    assert_eq!(agent.pane.snapshot(Timestamp::now()).turns, 2);
}

#[test]
fn it_asks_and_goes_on_when_it_is_answered() {
    let mut agent = Agent::start(&["--rpc", "--block"]);
    agent.prompt("1");
    agent.until(|change| matches!(change, Change::Asked { .. }));
    assert_eq!(agent.pane.state(), PaneState::Blocked);
    agent.tell(Input::Answer {
        question: "q-1",
        answer: &Answer::Confirmed(true),
    });
    agent.until(|change| *change == Change::Finished);
}

#[test]
fn it_stops_working_when_it_is_called_off() {
    let mut agent = Agent::start(&["--rpc", "--step-ms", "60000"]);
    agent.prompt("1");
    agent.until(|change| matches!(change, Change::State { .. }));
    agent.tell(Input::Abort { id: "2" });
    agent.until(|change| *change == Change::Aborted);
    assert_eq!(agent.pane.state(), PaneState::Idle);
}

#[test]
fn it_fails_refuses_and_crashes_on_demand() {
    let mut agent = Agent::start(&["--hold-secs", "0", "--fail", "--exit-code", "3"]);
    assert_eq!(agent.read_to_end().code(), Some(3));
    assert_eq!(agent.pane.state(), PaneState::Error);
    let seen = agent.pane.snapshot(Timestamp::now());
    assert_eq!(seen.reason.as_deref(), Some("told to fail (--fail)"));

    let mut agent = Agent::start(&["--rpc", "--refuse"]);
    agent.prompt("7");
    agent
        .until(|change| matches!(change, Change::Refused { id, .. } if id.as_deref() == Some("7")));

    let mut agent = Agent::start(&["--crash"]);
    assert_eq!(agent.read_to_end().code(), Some(1));
    assert_eq!(agent.pane.state(), PaneState::Working);
    agent.pane.ended(End::Code(1), Timestamp::now());
    assert_eq!(agent.pane.state(), PaneState::Error);
}

#[test]
fn only_killing_its_group_ends_what_lets_sigterm_pass() {
    let mut agent = Agent::start(&["--children", "2", "--ignore-term", "--hold-secs", "600"]);
    agent.until(|change| *change == Change::Finished);
    kill(agent.group(), Signal::SIGTERM).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(agent.child.try_wait().unwrap(), None, "SIGTERM passes");
    killpg(agent.group(), Signal::SIGKILL).unwrap();
    assert!(!agent.wait().success());
    // The children held the pipe open, too.
    let mut rest = Vec::new();
    agent.out.read_to_end(&mut rest).unwrap();
}
