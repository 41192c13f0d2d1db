//! What scripts rely on: exit codes, and what goes to stdout and stderr.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

use colibri_protocol::ServiceCheck;
use serde_json::{Value, json};

fn command(socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colibri"));
    command.arg("--socket").arg(socket).args(args).env_clear();
    command
}

fn colibri(socket: &Path, args: &[&str]) -> Output {
    command(socket, args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A daemon that answers each request with this, and keeps the requests.
struct Answering {
    dir: tempfile::TempDir,
    requests: std::sync::mpsc::Receiver<Value>,
}

impl Answering {
    fn new(reply: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let (sender, requests) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(stream.try_clone().unwrap())
                    .read_line(&mut line)
                    .unwrap();
                sender.send(serde_json::from_str(&line).unwrap()).unwrap();
                writeln!(stream, "{reply}").unwrap();
            }
        });
        Self { dir, requests }
    }

    fn run(&self, args: &[&str]) -> Output {
        colibri(&self.dir.path().join("s"), args)
    }
}

fn task() -> Value {
    json!({"id": "0198a000-0000-7000-8000-000000000001", "title": "Back up",
        "description": "", "status": "queued", "created_by": "uid:0", "new_field": 1,
        "created_at": "2026-11-21T15:00:00Z", "updated_at": "2026-11-21T15:00:00Z"})
}

#[test]
fn an_unreachable_daemon_is_3_and_the_words_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("colibri.sock");
    let output = colibri(&socket, &["status"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.is_empty());
    let words = text(&output.stderr);
    assert!(
        words.contains(socket.to_str().unwrap()) && words.contains("start it with"),
        "{words}"
    );

    let output = colibri(&socket, &["--json", "list-tasks"]);
    assert_eq!(output.status.code(), Some(3));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "unreachable");
}

/// Runs a check that gets no answer: one line a part, of which only the socket's says what is wrong.
fn socket_line(socket: &Path) -> String {
    let output = colibri(socket, &["service-check", "--timeout", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(lines.len(), ServiceCheck::PARTS.len(), "{lines:?}");
    for (line, part) in lines.iter().zip(ServiceCheck::PARTS) {
        let word = if part == "socket" { "FAIL" } else { "?" };
        assert!(line.starts_with(&format!("{word:<4} {part:<9} ")), "{line}");
    }
    let output = colibri(socket, &["service-check", "--timeout", "1", "--json"]);
    let check: ServiceCheck = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), check.healthy), (Some(1), false));
    assert!(lines[0].ends_with(&check.checks[0].detail), "{check:?}");
    check.checks[0].detail.clone()
}

#[test]
fn a_service_check_tells_why_nobody_answers() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let words = socket_line(&socket);
    assert!(words.starts_with("there is no socket at"), "{words}");

    let listener = UnixListener::bind(&socket).unwrap();
    let words = socket_line(&socket);
    assert!(words.contains("gave no answer within 1s"), "{words}");

    // What we make is ours.
    if dir.path().metadata().unwrap().uid() == 0 {
        println!("NOT CHECKED: root may use every socket");
    } else {
        std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o000)).unwrap();
        let words = socket_line(&socket);
        assert!(words.starts_with("permission denied on"), "{words}");
        std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o600)).unwrap();
    }

    drop(listener);
    let words = socket_line(&socket);
    assert!(words.starts_with("nobody listens on"), "{words}");
    assert!(words.contains(socket.to_str().unwrap()), "{words}");
}

#[test]
fn a_service_check_is_0_or_1() {
    for (healthy, code) in [(true, 0), (false, 1)] {
        let data = json!({"healthy": healthy,
            "checks": [{"name": "wal", "ok": healthy, "detail": "seen"}]});
        let daemon = Answering::new(json!({"ok": true, "data": data}));
        let output = daemon.run(&["service-check"]);
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(text(&output.stdout).lines().count(), 1);
    }
}

#[test]
fn answers_are_plain_text_in_a_pipe_and_lossless_as_json() {
    let daemon = Answering::new(json!({"ok": true, "data": {"tasks": [task()]}}));
    let output = daemon.run(&["list-tasks", "--status", "queued", "--limit", "3"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(!output.stdout.contains(&0x1b), "colours in a pipe");
    assert!(text(&output.stdout).contains("Back up"));
    let request = daemon.requests.recv().unwrap();
    assert_eq!(
        request,
        json!({"cmd": "list-tasks", "status": "queued", "limit": 3})
    );

    let output = daemon.run(&["list-tasks", "--json"]);
    let data: Value = serde_json::from_slice(&output.stdout).unwrap();
    // A field only a newer daemon knows is passed on.
    assert_eq!(data["tasks"][0], task());
}

#[test]
fn changes_are_a_line_each_until_the_daemon_ends() {
    let change = json!({"change": "task", "task_id": "0198a000-0000-7000-8000-000000000001",
        "title": "\u{1b}[2Jx", "status": "done"});
    let daemon = Answering::new(json!({"ok": true, "data": change}));
    let output = daemon.run(&["subscribe"]);
    // Nobody has ended it here, so that it ended is something to be told.
    assert_eq!(output.status.code(), Some(3));
    let line = text(&output.stdout);
    assert!(
        line.starts_with("task   0198a000") && !line.contains('\u{1b}'),
        "{line:?}"
    );
    let output = daemon.run(&["subscribe", "--json"]);
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen, change);
}

#[test]
fn a_log_is_followed_from_where_the_last_answer_ended() {
    let data = json!({"lines": ["no key"], "cut": false, "next": "7-9"});
    let daemon = Answering::new(json!({"ok": true, "data": data}));
    let output = daemon.run(&["agent-log", "ada", "--lines", "5"]);
    assert_eq!(text(&output.stdout), "no key\n");
    let asked = daemon.requests.recv().unwrap();
    assert_eq!(
        asked,
        json!({"cmd": "agent-log", "agent": "ada", "lines": 5})
    );

    let follow = ["agent-log", "ada", "--lines", "5", "--follow"];
    let mut following = command(&daemon.dir.path().join("s"), &follow)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(following.stdout.take().unwrap()).lines();
    assert_eq!(shown.next().unwrap().unwrap(), "no key");
    assert_eq!(shown.next().unwrap().unwrap(), "no key");
    let first = daemon.requests.recv().unwrap();
    let second = daemon.requests.recv().unwrap();
    assert_eq!(
        (&first["lines"], &first["after"]),
        (&json!(5), &Value::Null)
    );
    assert_eq!(
        (&second["lines"], &second["after"]),
        (&json!(2000), &json!("7-9"))
    );
    // Nobody reads any more: it ends by itself.
    drop(shown);
    assert_eq!(following.wait().unwrap().code(), Some(0));
}

#[test]
fn completions_and_manual_pages_need_no_daemon() {
    let nowhere = Path::new("/nonexistent/colibri.sock");
    for shell in ["bash", "zsh", "fish"] {
        let output = colibri(nowhere, &["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("transition-task"), "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    assert_eq!(colibri(nowhere, &["man", folder]).status.code(), Some(0));
    let page = std::fs::read_to_string(dir.path().join("colibri-create-job.1")).unwrap();
    assert!(page.contains("time zone"), "{page}");
    let output = colibri(nowhere, &["man", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nonexistent"));
}

#[test]
fn a_job_has_one_schedule_and_names_are_checked() {
    let daemon = Answering::new(json!({"ok": true, "data": {"id":
        "0198a000-0000-7000-8000-000000000003", "name": "n", "missed": "skip", "runs": 0,
        "schedule": {"kind": "interval", "seconds": 60}, "task": {"title": "t"},
        "created_by": "uid:0", "created_at": "2026-11-21T15:00:00Z"}}));
    let job = [
        "create-job",
        "--name",
        "n",
        "--title",
        "t",
        "--missed",
        "skip",
    ];
    let output = daemon.run(&[&job[..], &["--every", "60"]].concat());
    assert!(
        text(&output.stdout).ends_with(" n every 60 s\n"),
        "{output:?}"
    );
    let request = daemon.requests.recv().unwrap();
    let expected = json!({"cmd": "create-job", "name": "n", "missed": "skip",
        "schedule": {"kind": "interval", "seconds": 60}, "task": {"title": "t"}});
    assert_eq!(request, expected);
    for wrong in [
        &job[..],
        &[&job[..], &["--every", "60", "--at", "2027-01-01T00:00:00Z"]].concat(),
        &["create-task", "--title", "t", "--capability", "GPU"],
        &["get-task", "7"],
    ] {
        assert_eq!(daemon.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_new_task_is_sent_as_it_was_typed() {
    let daemon = Answering::new(json!({"ok": true, "data": task()}));
    let output = daemon.run(&["create-task", "--title", "Back up", "--description", "a\nb"]);
    assert_eq!(
        text(&output.stdout),
        "0198a000-0000-7000-8000-000000000001 queued Back up\n"
    );
    let request = daemon.requests.recv().unwrap();
    assert_eq!(
        request,
        json!({"cmd": "create-task", "title": "Back up", "description": "a\nb"})
    );
}

#[test]
fn an_old_spelling_works_and_says_once_on_stderr_how_it_is_spelt_now() {
    let daemon = Answering::new(json!({"ok": true, "data": {
        "id": "0198a000-0000-7000-8000-000000000004", "name": "atlas", "capabilities": ["gpu"],
        "host": "h", "slots": 1, "status": "idle", "holds": 0,
        "registered_at": "2026-11-21T15:00:00Z", "last_seen": "2026-11-21T15:00:00Z"}}));
    let asked = json!({"cmd": "register-agent", "name": "atlas", "capabilities": ["gpu"]});
    let now = ["register-agent", "--name", "atlas", "--capability", "gpu"];
    let old = ["register-agent", "atlas", "--capability", "gpu"];
    let [output, quiet] = [daemon.run(&old), daemon.run(&now)];
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, quiet.stdout);
    let words = text(&output.stderr);
    assert!(words.contains("`--name`"), "{words}");
    assert_eq!(words.lines().count(), 1, "{words}");
    assert_eq!(text(&quiet.stderr), "");
    let output = daemon.run(&[&old[..], &["--json"]].concat());
    let warning: Value = serde_json::from_slice(&output.stderr).unwrap();
    let words = warning["warning"]["message"].as_str().unwrap();
    assert!(words.contains("`--name`"), "{words}");
    for _ in 0..3 {
        assert_eq!(daemon.requests.recv().unwrap(), asked);
    }
}

#[test]
fn refusals_are_1_permission_is_4_and_nonsense_is_2() {
    for (kind, code) in [
        ("busy", 1),
        ("database", 1),
        ("forbidden", 4),
        ("from-the-future", 1),
    ] {
        let error = json!({"kind": kind, "message": "because"});
        let daemon = Answering::new(json!({"ok": false, "error": error}));
        let output = daemon.run(&["status"]);
        assert_eq!(output.status.code(), Some(code), "{kind}");
        assert_eq!(text(&output.stderr), "colibri: because\n");
    }
    let nowhere = Path::new("/nonexistent/colibri.sock");
    // Found before anybody is asked.
    let output = colibri(nowhere, &["create-task", "--title", "a\nb"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("one line"));
    for args in [
        &["fly"][..],
        &[],
        &["list-tasks", "--limit", "0"],
        &["create-task"],
    ] {
        assert_eq!(colibri(nowhere, args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_backup_is_a_file_of_ours_and_whole_or_not_there() {
    for (announced, code) in [(5, 0), (9, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let (socket, file) = (dir.path().join("s"), dir.path().join("copy.sqlite"));
        let listener = UnixListener::bind(&socket).unwrap();
        let daemon = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap())
                .read_line(&mut line)
                .unwrap();
            let reply = json!({"ok": true, "data": {"size_bytes": announced}});
            write!(stream, "{reply}\n1\n345").unwrap();
            line
        });
        let backup = ["backup", file.to_str().unwrap(), "--json"];
        let output = colibri(&socket, &backup);
        let words = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words}");
        assert_eq!(daemon.join().unwrap(), "{\"cmd\":\"backup\"}\n");
        assert!(!dir.path().join("copy.sqlite.partial").exists());
        if code != 0 {
            assert!(words.contains("after 5 of 9 bytes"), "{words}");
            assert!(!file.exists());
            continue;
        }
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said, json!({"file": file, "size_bytes": 5}));
        assert_eq!(std::fs::read(&file).unwrap(), b"1\n345");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);

        let again = colibri(&socket, &backup);
        assert_eq!(again.status.code(), Some(1));
        assert!(text(&again.stderr).contains("not overwritten"));
    }
}

#[test]
fn an_answer_of_another_version_is_said_to_be_one() {
    let daemon = Answering::new(json!({"ok": true, "data": {"version": 7}}));
    let output = daemon.run(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("of one version?"),
        "{}",
        text(&output.stderr)
    );
}
