//! The real `pi`, installed from npm, against a model server on loopback: what a
//! pane sees of it, in both modes, and in the dialects of both Node versions.
//!
//! Needs what [`Pi::install`] needs; a machine without says so and checks nothing.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use colibri_glasspane::{Change, End, Input, Pane, rpc_arguments};
use colibri_model_server::pi::Pi;
use colibri_model_server::{CALL, Script, Server, WORDS};
use colibri_protocol::{PaneSnapshot, PaneState, Runtime, Usage, Usd};
use jiff::Timestamp;
use serde_json::json;

/// How long an answer may take: the machine may be busy with others.
const LONG: Duration = Duration::from_secs(240);

/// What the test pays for a token, in billionths of a dollar.
const PRICE: [u64; 3] = [2000, 10_000, 500];

/// Where one pi lives and works.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    /// With a model of our server, and a note to read. The two generations of pi
    /// read the name of a variable in two ways: `NAME` and `$NAME`.
    fn new(server: &Server, key: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [input, output, cached] = PRICE.map(|billionths| billionths as f64 / 1000.0);
        let models = json!({"providers": {"loopback": {
            "baseUrl": server.base_url(), "api": "openai-completions", "apiKey": key,
            "models": [{
                "id": "test-model", "contextWindow": 128_000, "maxTokens": 4096,
                "cost": {"input": input, "output": output, "cacheRead": cached, "cacheWrite": 0},
            }],
        }}});
        fs::create_dir(dir.path().join("work")).unwrap();
        fs::write(dir.path().join("work/note.txt"), "hello\n").unwrap();
        fs::write(dir.path().join("models.json"), models.to_string()).unwrap();
        Self { dir }
    }

    fn command(&self, pi: &Pi, arguments: &[&str]) -> Command {
        let mut command = Command::new(&pi.node);
        command
            .arg(&pi.program)
            .args(arguments)
            .args(["--no-session", "--model", "loopback/test-model"])
            .current_dir(self.dir.path().join("work"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("PI_CODING_AGENT_DIR", self.dir.path())
            .env("PI_OFFLINE", "1")
            .env("PI_TELEMETRY", "0")
            .env("COLIBRI_TEST_KEY", "key-of-the-test");
        command
    }
}

/// A running pi with the pane that watches it.
struct Watched {
    child: Child,
    out: Receiver<Vec<u8>>,
    pane: Pane,
    changes: Vec<Change>,
    tools: Vec<String>,
}

impl Watched {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, out) = channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(len @ 1..) = stdout.read(&mut piece) {
                if sender.send(piece[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            out,
            pane: Pane::new("s-1", "pi", Runtime::Pi, Timestamp::now()),
            changes: Vec::new(),
            tools: Vec::new(),
        }
    }

    fn prompt(&mut self, id: &str) {
        let message = "What does note.txt say?";
        self.tell(Input::Prompt { id, message });
    }

    fn tell(&mut self, input: Input<'_>) {
        let line = input.line(Runtime::Pi).unwrap();
        self.child.stdin.as_mut().unwrap().write_all(&line).unwrap();
    }

    /// Reads until a change comes, or to the end.
    fn until(&mut self, wanted: Option<&Change>) -> PaneSnapshot {
        let end = Instant::now() + LONG;
        loop {
            if wanted.is_some_and(|wanted| self.changes.contains(wanted)) {
                break;
            }
            assert!(Instant::now() < end, "{wanted:?} does not come: {self:?}");
            let changes = match self.out.recv_timeout(Duration::from_millis(200)) {
                Ok(piece) => {
                    // A tool runs for milliseconds: look after each line.
                    let mut changes = Vec::new();
                    for line in piece.split_inclusive(|&byte| byte == b'\n') {
                        changes.extend(self.pane.feed(line, Timestamp::now()));
                        let tool = self.pane.snapshot(Timestamp::now()).tool;
                        self.tools.extend(tool);
                    }
                    changes
                }
                Err(RecvTimeoutError::Timeout) => self.pane.tick(Timestamp::now()),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().unwrap();
                    let end = End::Code(status.code().unwrap_or(-1));
                    self.changes.extend(self.pane.ended(end, Timestamp::now()));
                    assert!(wanted.is_none(), "it ended first: {self:?}");
                    break;
                }
            };
            self.changes.extend(changes);
        }
        self.pane.snapshot(Timestamp::now())
    }

    fn states(&self) -> Vec<PaneState> {
        self.changes
            .iter()
            .filter_map(|change| match change {
                Change::State { to, .. } => Some(*to),
                _ => None,
            })
            .collect()
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seen = self.pane.snapshot(Timestamp::now());
        write!(f, "{:?}\n{seen:?}", self.changes)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A call of a tool and an answer in words.
fn used_up() -> Usage {
    let fresh = CALL.prompt - CALL.cached + WORDS.prompt - WORDS.cached;
    let cached = CALL.cached + WORDS.cached;
    let output = CALL.completion + WORDS.completion;
    let [per_input, per_output, per_cached] = PRICE;
    let cost = fresh * per_input + output * per_output + cached * per_cached;
    Usage {
        input: fresh,
        output,
        cache_read: cached,
        cache_write: 0,
        cost_usd: Usd::from_billionths(cost),
    }
}

fn has_worked(seen: &PaneSnapshot, watched: &Watched, times: u64) {
    assert_eq!(seen.state, PaneState::Done, "{watched:?}");
    assert_eq!(seen.malformed, 0, "{watched:?}");
    assert_eq!(seen.turns, 2 * times, "{watched:?}");
    assert_eq!(seen.text, Script::default().text, "{watched:?}");
    let mut expected = Usage::default();
    (0..times).for_each(|_| expected += used_up());
    assert_eq!(seen.usage, expected, "{watched:?}");
    assert!(watched.tools.iter().any(|tool| tool == "read"));
}

/// Everything that is asked of a pi.
fn works(pi: &Pi, key: &str) {
    let script = Script {
        key: Some("key-of-the-test".into()),
        ..Script::default()
    };
    let server = Server::start("127.0.0.1:0", script.clone()).unwrap();
    let home = Home::new(&server, key);

    let prompt = "What does note.txt say?";
    let mut once = Watched::start(home.command(pi, &["--mode", "json", prompt]));
    drop(once.child.stdin.take());
    let seen = once.until(None);
    has_worked(&seen, &once, 1);
    assert_eq!(once.states(), [PaneState::Working, PaneState::Done]);

    let mut rpc = Watched::start(home.command(pi, rpc_arguments(Runtime::Pi)));
    assert_eq!(rpc.pane.state(), PaneState::Idle);
    for times in 1..=2 {
        rpc.prompt(&format!("t-{times}"));
        let seen = rpc.until(Some(&Change::Finished));
        has_worked(&seen, &rpc, times);
        rpc.changes.clear();
    }
    // Told to compact, it says when that is over, also where there is too little, and works on.
    rpc.tell(Input::Compact { id: "c-1" });
    let seen = rpc.until(Some(&Change::Compacted));
    assert_eq!(seen.state, PaneState::Done, "{rpc:?}");
    rpc.prompt("t-3");
    rpc.until(Some(&Change::Finished));
    // Its input ends, and so does it.
    drop(rpc.child.stdin.take());
    assert_eq!(rpc.until(None).state, PaneState::Done);

    // A failure exits with 0, and is seen all the same.
    let other = Script {
        key: Some("another-key".into()),
        ..script
    };
    let server = Server::start("127.0.0.1:0", other).unwrap();
    let home = Home::new(&server, key);
    let mut refused = Watched::start(home.command(pi, &["--mode", "json", prompt]));
    drop(refused.child.stdin.take());
    let seen = refused.until(None);
    assert_eq!(seen.state, PaneState::Error, "{refused:?}");
    let why = seen.reason.unwrap();
    assert!(why.contains("no such key"), "{why}");
    assert_eq!(
        refused.states(),
        [PaneState::Working, PaneState::Error],
        "{refused:?}"
    );
    assert_eq!(server.asked()[0].key.as_deref(), Some("key-of-the-test"));
}

/// Where it is installed once, for all runs.
fn tmp() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// The newest that the Node of Debian 13 runs.
#[test]
fn real_pi_on_node_20_is_seen_at_its_work() {
    match Pi::install("node20", tmp()) {
        Ok(pi) => works(&pi, "COLIBRI_TEST_KEY"),
        Err(why) => println!("NOT CHECKED: {why}"),
    }
}

/// The newest of all, on a Node that comes from npm as well.
#[test]
fn real_pi_on_node_22_is_seen_at_its_work() {
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        println!("NOT CHECKED: the Node that is pinned is for Linux on amd64");
        return;
    }
    match Pi::install("node22", tmp()) {
        Ok(pi) => works(&pi, "$COLIBRI_TEST_KEY"),
        Err(why) => println!("NOT CHECKED: {why}"),
    }
}
