//! What speaks to `colibri-mcp` in the lines of its protocol, as a model's program does. The daemon's
//! tests have it from here.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// The program, after its greeting.
pub(crate) struct Mcp {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    last: u64,
}

impl Mcp {
    pub(crate) fn start(program: &mut Command) -> Self {
        let mut child = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
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

    /// The whole answer.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
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

    /// What a tool answers, or the text of its fault.
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Result<Value, String> {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        assert!(answer.get("error").is_none(), "{answer}");
        let result = &answer["result"];
        if result["isError"] == true {
            let text = result["content"][0]["text"].as_str();
            return Err(text.expect("a text").to_owned());
        }
        Ok(result["structuredContent"].clone())
    }

    /// Its input ends; so does it.
    pub(crate) fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().expect("it ends").success());
    }
}
