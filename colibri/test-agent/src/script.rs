//! What it says and does, step by step.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::process;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::args::Args;
use crate::wait;

/// The id of what `--block` asks.
const QUESTION: &str = "q-1";

/// Longer than any line that a reader keeps.
const LONG_LINE: usize = 2 * 1024 * 1024;

pub(crate) struct Script<'a> {
    args: &'a Args,
    /// Runs that still fail for want of a model.
    outages: Cell<u32>,
}

impl<'a> Script<'a> {
    pub(crate) fn new(args: &'a Args) -> Self {
        Self {
            args,
            outages: Cell::new(args.outages),
        }
    }

    /// Prints one event. Whole lines only, whoever else writes there.
    pub(crate) fn say(&self, event: &Value) -> io::Result<()> {
        self.print(format!("{event}\n").as_bytes())
    }

    /// Says what becomes of a command: whether it is taken.
    pub(crate) fn respond(&self, command: &Value) -> io::Result<bool> {
        let kind = command["type"].as_str().unwrap_or_default();
        let error = match kind {
            "prompt" if self.args.refuse => Some("this agent refuses prompts (--refuse)"),
            "prompt" if !command["message"].is_string() => Some("`message` must be a text"),
            "prompt" | "abort" => None,
            // No response belongs to an answer.
            "extension_ui_response" => return Ok(true),
            _ => Some("no such command; prompt or abort"),
        };
        let mut response = json!({"type": "response", "command": kind, "success": error.is_none()});
        if let Some(id) = command.get("id") {
            response["id"] = id.clone();
        }
        if let Some(error) = error {
            response["error"] = json!(error);
        }
        self.say(&response)?;
        Ok(error.is_none())
    }

    /// Works once: how many prompts came meanwhile.
    pub(crate) fn play(&self, commands: &Receiver<Value>) -> io::Result<usize> {
        let mut prompts = 0;
        for (number, event) in self.events().into_iter().enumerate() {
            if number > 0 && self.pause(commands, self.args.step(), &mut prompts)? {
                self.stop_short()?;
                return Ok(prompts);
            }
            self.say(&event)?;
            match event["type"].as_str() {
                Some("turn_start") if self.args.garbage => self.garbage()?,
                Some("turn_start") if self.args.hang => loop {
                    thread::sleep(Duration::from_secs(3600));
                },
                Some("tool_execution_start") if self.args.crash => {
                    process::exit(i32::from(self.args.exit_code.max(1)));
                }
                Some("blocked") if self.blocked(commands, &mut prompts)? => {
                    self.stop_short()?;
                    return Ok(prompts);
                }
                _ => {}
            }
        }
        Ok(prompts)
    }

    fn events(&self) -> Vec<Value> {
        let outages = self.outages.get();
        if outages > 0 {
            self.outages.set(outages - 1);
            return vec![
                json!({"type": "agent_start"}),
                json!({"type": "turn_start"}),
                json!({"type": "turn_end"}),
                json!({"type": "agent_end", "outage": "503 no model is there (--outages)"}),
            ];
        }
        let text = match self.args.say_bytes {
            Some(bytes) => "x".repeat(bytes as usize),
            None => "Looked around; all is well.".to_owned(),
        };
        let mut events = vec![
            json!({"type": "agent_start"}),
            json!({"type": "turn_start"}),
            json!({
                "type": "tool_execution_start", "id": "call-1", "tool": "look",
                "arguments": {"at": "."},
            }),
        ];
        if self.args.block {
            events.push(json!({"type": "blocked", "id": QUESTION, "reason": "May I look?"}));
            events.push(json!({"type": "unblocked", "id": QUESTION}));
        }
        let result = "r".repeat(self.args.result_bytes as usize);
        events.push(json!({"type": "tool_execution_end", "id": "call-1", "result": result}));
        if self.args.fail {
            events.push(json!({"type": "error", "message": "told to fail (--fail)"}));
        } else {
            events.push(json!({"type": "message_start"}));
            for delta in text.split_inclusive("; ") {
                events.push(json!({"type": "message_update", "delta": delta}));
            }
            events.push(json!({"type": "message_end", "text": text}));
        }
        if self.args.emit_usage {
            events.push(usage());
        }
        events.push(json!({"type": "turn_end"}));
        events.push(if self.args.fail {
            json!({"type": "agent_end", "error": "told to fail (--fail)"})
        } else {
            json!({"type": "agent_end"})
        });
        events
    }

    /// The end of work that was called off, which has cost something all the same.
    fn stop_short(&self) -> io::Result<()> {
        if self.args.emit_usage {
            self.say(&usage())?;
        }
        self.say(&json!({"type": "agent_end", "aborted": true}))
    }

    /// Lets time pass, and answers what comes: whether that was an abort.
    fn pause(
        &self,
        commands: &Receiver<Value>,
        long: Duration,
        prompts: &mut usize,
    ) -> io::Result<bool> {
        let end = Instant::now() + long;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match wait(commands, left) {
                Some(command) if self.taken(&command, prompts)? => return Ok(true),
                Some(_) => {}
                None => return Ok(false),
            }
        }
    }

    /// Waits for an answer, however long: whether an abort came instead.
    fn blocked(&self, commands: &Receiver<Value>, prompts: &mut usize) -> io::Result<bool> {
        loop {
            // Whoever could answer is gone.
            let Ok(command) = commands.recv() else {
                return Ok(true);
            };
            if command["type"] == "extension_ui_response" && command["id"] == QUESTION {
                return Ok(false);
            }
            if self.taken(&command, prompts)? {
                return Ok(true);
            }
        }
    }

    fn taken(&self, command: &Value, prompts: &mut usize) -> io::Result<bool> {
        let taken = self.respond(command)?;
        if taken && command["type"] == "prompt" {
            *prompts += 1;
        }
        Ok(command["type"] == "abort")
    }

    fn garbage(&self) -> io::Result<()> {
        self.print(b"Warning: this line is no JSON\n\xff\xfe\x00\n{\"type\":\n[]\n\n")?;
        let mut line = br#"{"type":"message_update","delta":""#.to_vec();
        line.resize(LONG_LINE, b'x');
        line.extend_from_slice(b"\"}\n");
        self.print(&line)
    }

    fn print(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }
}

fn usage() -> Value {
    json!({
        "type": "usage", "input": 100, "output": 20, "cache_read": 40, "cache_write": 10,
        "cost_usd": 0.0005,
    })
}
