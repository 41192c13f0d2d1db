//! A model's whole way: `colibri-mcp` with the daemon and an agent.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::agents::{test_agent, wait};
use crate::harness::{Home, LONG, built};

/// The program, and a client that speaks its protocol.
pub(crate) struct Mcp {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    last: u64,
}

impl Mcp {
    /// Starts it for the daemon, or the agent, that has this socket.
    pub(crate) fn start(socket: &Path, flags: &[&str]) -> Self {
        let mut child = Command::new(built("colibri-mcp"))
            .args(flags)
            .env_clear()
            .env("COLIBRI_DAEMON_SOCKET", socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut mcp = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            last: 0,
        };
        mcp.ask(
            "initialize",
            json!({"protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"}}),
        );
        mcp.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        mcp
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input, "{message}").unwrap();
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let request =
            json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        self.send(&request);
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["id"], self.last, "{answer}");
        answer["result"].clone()
    }

    /// What a tool answers, or the text of its fault.
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Result<Value, String> {
        let result = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        if result["isError"] == true {
            return Err(result["content"][0]["text"].as_str().unwrap().to_owned());
        }
        Ok(result["structuredContent"].clone())
    }

    /// Its input ends; so does it.
    pub(crate) fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn a_model_gives_work_reads_why_an_agent_fails_and_clears_it_away() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let mut mcp = Mcp::start(&home.socket(), &["--write"]);
    let spawn = |name: &str, args: &[&str]| json!({"name": name, "runtime": "local", "program": test_agent(), "args": args});
    let started = mcp
        .call(
            "colibri_spawn_agent",
            spawn("ada", &["--rpc", "--step-ms", "1"]),
        )
        .unwrap();
    assert_eq!(started["agent"], "ada");
    let task = mcp
        .call("colibri_create_task", json!({"title": "Read the note"}))
        .unwrap();
    wait("its end", LONG, || {
        let which = json!({"task_id": task["id"]});
        let found = mcp.call("colibri_get_task", which).unwrap();
        (found["task"]["status"] == "done").then_some(())
    });

    mcp.call("colibri_spawn_agent", spawn("bad", &["--no-such-flag"]))
        .unwrap();
    wait("its fault", LONG, || {
        let seen = mcp.call("colibri_snapshot", json!({})).unwrap();
        (seen["attention"] == 1).then_some(())
    });
    let log = mcp
        .call("colibri_agent_log", json!({"agent": "bad", "lines": null}))
        .unwrap();
    assert!(log["lines"].to_string().contains("--no-such-flag"), "{log}");
    let refused = mcp.call("colibri_dismiss_pane", json!({"agent": "ada"}));
    assert!(refused.unwrap_err().starts_with("conflict: "));
    // Its keeper may need a moment more than its pane.
    wait("its dismissal", LONG, || {
        mcp.call("colibri_dismiss_pane", json!({"agent": "bad"}))
            .ok()
    });
    let status = mcp.call("colibri_status", json!({})).unwrap();
    assert_eq!(status["tasks"]["done"], 1, "{status}");
    mcp.call("colibri_stop_agent", json!({"agent": "ada"}))
        .unwrap();
    mcp.end();
}
