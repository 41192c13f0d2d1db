//! The real program, spoken to in the lines of the protocol, with a daemon played by the test.

mod client;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use colibri_protocol::{ErrorKind, Reply, ReplyError, Request};
use serde_json::{Value, json};

use client::Mcp;

/// Answers like a daemon that knows little, and remembers what it was asked.
struct Daemon {
    folder: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Daemon {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("s")).expect("a socket");
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let memory = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a client");
                let mut line = String::new();
                BufReader::new(stream.try_clone().expect("a second handle"))
                    .read_line(&mut line)
                    .expect("a line");
                let request = Request::parse(line.as_bytes()).expect("a request");
                let outcome = match request.command.name() {
                    "claim-task" => Err(ReplyError::new(ErrorKind::Conflict, "another was faster")),
                    name => Ok(json!({"answered": name})),
                };
                memory.lock().expect("no panic").push(request);
                let line = Reply::new(None, outcome).to_line().expect("a line");
                stream.write_all(&line).expect("answered");
            }
        });
        Self { folder, asked }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("s")
    }
}

fn program(socket: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_colibri-mcp"));
    program.env_clear().env("COLIBRI_MCP_SOCKET", socket);
    program
}

fn tools(mcp: &mut Mcp) -> Vec<String> {
    let answer = mcp.ask("tools/list", json!({}));
    let tools = answer["result"]["tools"].as_array().expect("a list");
    let name = |tool: &Value| tool["name"].as_str().expect("a name").to_owned();
    tools.iter().map(name).collect()
}

#[test]
fn without_write_it_looks_and_no_more() {
    let daemon = Daemon::start();
    let mut mcp = Mcp::start(&mut program(&daemon.socket()));
    assert_eq!(
        tools(&mut mcp),
        [
            "colibri_status",
            "colibri_service_check",
            "colibri_snapshot",
            "colibri_list_tasks",
            "colibri_get_task",
            "colibri_get_session",
            "colibri_list_agents",
            "colibri_list_skills",
            "colibri_list_jobs",
            "colibri_list_tenants",
            "colibri_agent_log",
        ]
    );
    let listed = mcp.call(
        "colibri_list_tasks",
        json!({"status": "queued", "limit": 5}),
    );
    assert_eq!(listed, Ok(json!({"answered": "list-tasks"})));
    let refused = mcp.call("colibri_create_task", json!({"title": "t"}));
    let text = refused.expect_err("refused");
    assert!(text.contains("without --write"), "{text}");
    mcp.end();
    let asked = daemon.asked.lock().expect("no panic");
    let asked: Vec<Value> = asked.iter().map(|request| json!(request)).collect();
    assert_eq!(
        asked,
        [json!({"cmd": "list-tasks", "status": "queued", "limit": 5})]
    );
}

#[test]
fn with_write_it_changes_and_tells_what_went_wrong() {
    let daemon = Daemon::start();
    let mut changed = program(&daemon.socket());
    changed.env("COLIBRI_MCP_WRITE", "Yes");
    let mut mcp = Mcp::start(&mut changed);
    assert_eq!(tools(&mut mcp).len(), 29);
    let made = mcp.call("colibri_create_task", json!({"title": "Back up the vault"}));
    assert_eq!(made, Ok(json!({"answered": "create-task"})));
    let id = "0198a000-0000-7000-8000-000000000001";
    let lost = mcp.call("colibri_claim_task", json!({"task_id": id, "agent_id": id}));
    assert_eq!(lost, Err("conflict: another was faster".to_owned()));
    let wrong = mcp.call("colibri_create_task", json!({"titel": "t"}));
    let text = wrong.expect_err("refused");
    assert!(text.contains("unknown field `titel`"), "{text}");
    let unknown = mcp.ask(
        "tools/call",
        json!({"name": "colibri_fly", "arguments": {}}),
    );
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    mcp.end();
    assert_eq!(daemon.asked.lock().expect("no panic").len(), 2);
}

#[test]
fn without_a_daemon_it_begins_and_each_call_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("none");
    let mut mcp = Mcp::start(&mut program(&socket));
    let status = mcp.call("colibri_status", json!({}));
    let text = status.expect_err("no daemon");
    assert!(text.contains("there is no socket at"), "{text}");
    mcp.end();
}

#[test]
fn a_switch_that_nobody_can_read_is_an_error() {
    let mut wrong = program(Path::new("/nowhere"));
    let output = wrong
        .env("COLIBRI_MCP_WRITE", "maybe")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("started");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("COLIBRI_MCP_WRITE must be"), "{text}");
}
