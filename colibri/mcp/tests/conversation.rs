//! The real program, spoken to in the lines of the protocol, with a daemon played by the test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use colibri_protocol::{ErrorKind, Reply, ReplyError, Request};
use serde_json::{Value, json};

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

/// The program, after its greeting.
struct Mcp {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    last: u64,
}

fn program(socket: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_colibri-mcp"));
    program
        .env_clear()
        .env("COLIBRI_MCP_SOCKET", socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    program
}

impl Mcp {
    fn start(mut program: Command) -> Self {
        let mut child = program.spawn().expect("started");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut mcp = Self {
            child,
            input,
            output,
            last: 0,
        };
        let greeting = mcp.ask(
            "initialize",
            json!({"protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"}}),
        );
        let info = &greeting["result"];
        assert_eq!(info["protocolVersion"], "2025-06-18", "{greeting}");
        assert_eq!(info["serverInfo"]["name"], "colibri-mcp");
        assert!(info["capabilities"]["tools"].is_object(), "{greeting}");
        mcp.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        mcp
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input, "{message}").expect("it reads");
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let request =
            json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        self.send(&request);
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(answer["id"], self.last, "{answer}");
        answer
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].clone()
    }

    fn tools(&mut self) -> Vec<String> {
        let answer = self.ask("tools/list", json!({}));
        let tools = answer["result"]["tools"].as_array().expect("a list");
        let name = |tool: &Value| tool["name"].as_str().expect("a name").to_owned();
        tools.iter().map(name).collect()
    }

    /// Its input ends; so does it.
    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().expect("it ends").success());
    }
}

#[test]
fn without_write_it_looks_and_no_more() {
    let daemon = Daemon::start();
    let mut mcp = Mcp::start(program(&daemon.socket()));
    assert_eq!(
        mcp.tools(),
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
            "colibri_agent_log",
        ]
    );
    let result = mcp.call(
        "colibri_list_tasks",
        json!({"status": "queued", "limit": 5}),
    );
    assert_eq!(result["structuredContent"]["answered"], "list-tasks");
    let refused = mcp.call("colibri_create_task", json!({"title": "t"}));
    assert_eq!(refused["isError"], true);
    let text = refused["content"][0]["text"].as_str().expect("a text");
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
    let mut mcp = Mcp::start(changed);
    assert_eq!(mcp.tools().len(), 25);
    let made = mcp.call("colibri_create_task", json!({"title": "Back up the vault"}));
    assert_eq!(made["structuredContent"]["answered"], "create-task");
    let id = "0198a000-0000-7000-8000-000000000001";
    let lost = mcp.call("colibri_claim_task", json!({"task_id": id, "agent_id": id}));
    assert_eq!(lost["isError"], true);
    assert_eq!(lost["content"][0]["text"], "conflict: another was faster");
    let wrong = mcp.call("colibri_create_task", json!({"titel": "t"}));
    let text = wrong["content"][0]["text"].as_str().expect("a text");
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
    let mut mcp = Mcp::start(program(&socket));
    let result = mcp.call("colibri_status", json!({}));
    assert_eq!(result["isError"], true);
    let text = result["content"][0]["text"].as_str().expect("a text");
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
