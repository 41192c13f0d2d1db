//! What is written to an agent's standard input.

use std::ffi::OsString;
use std::path::Path;

use colibri_protocol::{Answer, Runtime};
use serde_json::{Map, Value, json};

/// The arguments with which an agent listens on its standard input. The one
/// place that knows, as one agent's arguments make no sense to another.
///
/// `pi --mode json PROMPT` is no substitute: a prompt that begins with `-` or `@`
/// would be read as an option or a file.
pub fn rpc_arguments(runtime: Runtime) -> &'static [&'static str] {
    match runtime {
        Runtime::Pi => &["--mode", "rpc"],
        Runtime::Zot => &["rpc"],
        Runtime::Local => &["--rpc"],
    }
}

/// Whether an agent that is started with these arguments listens on its standard input. In its other
/// modes `pi` takes all of that as a part of its prompt and waits for its end, so it must have one.
pub fn listens(runtime: Runtime, args: &[String]) -> bool {
    let listening = rpc_arguments(runtime);
    match runtime {
        Runtime::Pi => args.windows(listening.len()).any(|some| some == listening),
        Runtime::Zot | Runtime::Local => true,
    }
}

/// The arguments that choose a model. Of `PI_PROVIDER` and `PI_MODEL`, which a host is set up with, pi
/// itself reads neither; the others have a choice of their own.
pub fn model_arguments(runtime: Runtime, provider: &str, model: &str) -> Vec<String> {
    match runtime {
        Runtime::Pi => ["--provider", provider, "--model", model]
            .map(str::to_owned)
            .to_vec(),
        Runtime::Zot | Runtime::Local => Vec::new(),
    }
}

/// The arguments with which an agent remembers in this file, and goes on from there when the file is
/// there. Of the others' memories nobody but they themselves knows.
pub fn session_arguments(runtime: Runtime, file: &Path) -> Vec<OsString> {
    match runtime {
        Runtime::Pi => vec!["--session".into(), file.into()],
        Runtime::Zot | Runtime::Local => Vec::new(),
    }
}

/// Something to tell an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// Do this. One that still works does it afterwards.
    Prompt {
        /// Comes back in [`crate::Change::Refused`].
        id: &'a str,
        /// What is to be done.
        message: &'a str,
    },
    /// Stop what you are doing.
    Abort {
        /// Names the command in its response.
        id: &'a str,
    },
    /// Shorten the log that you send to your model. What it is asked before
    /// [`crate::Change::Compacted`] might be lost.
    Compact {
        /// Names the command in its response.
        id: &'a str,
    },
    /// The answer to a question; tell [`crate::Pane::answered`], too.
    Answer {
        /// The id in [`crate::Change::Asked`].
        question: &'a str,
        /// What is answered.
        answer: &'a Answer,
    },
}

impl Input<'_> {
    /// The line to write, with its newline; `None` when this agent has no such
    /// command.
    pub fn line(&self, runtime: Runtime) -> Option<Vec<u8>> {
        let value = match (*self, runtime) {
            // Without this, pi refuses a prompt while it works; while it does
            // not, it has no meaning. The others keep a queue anyway.
            (Self::Prompt { id, message }, Runtime::Pi) => json!({
                "id": id, "type": "prompt", "message": message, "streamingBehavior": "followUp",
            }),
            (Self::Prompt { id, message }, _) => {
                json!({"id": id, "type": "prompt", "message": message})
            }
            (Self::Abort { id }, _) => json!({"id": id, "type": "abort"}),
            (Self::Compact { id }, Runtime::Pi) => json!({"id": id, "type": "compact"}),
            (Self::Compact { .. }, _) | (Self::Answer { .. }, Runtime::Zot) => return None,
            (Self::Answer { question, answer }, Runtime::Pi | Runtime::Local) => {
                let mut fields = Map::new();
                fields.insert("type".to_owned(), json!("extension_ui_response"));
                fields.insert("id".to_owned(), json!(question));
                let (name, value) = match answer {
                    Answer::Text(text) => ("value", json!(text)),
                    Answer::Confirmed(yes) => ("confirmed", json!(yes)),
                    Answer::Cancelled => ("cancelled", json!(true)),
                };
                fields.insert(name.to_owned(), value);
                Value::Object(fields)
            }
        };
        let mut line = value.to_string().into_bytes();
        line.push(b'\n');
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: Input<'_>, runtime: Runtime) -> Value {
        let line = input.line(runtime).unwrap();
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn a_prompt_is_one_line_whatever_is_in_it() {
        let message = "Fix \"it\"\nand\u{2028}then rest";
        let prompt = Input::Prompt { id: "t-1", message };
        for runtime in Runtime::ALL {
            let value = read(prompt, runtime);
            assert_eq!(value["id"], "t-1");
            assert_eq!(value["type"], "prompt");
            assert_eq!(value["message"], message);
            let queued = value.get("streamingBehavior").is_some();
            assert_eq!(queued, runtime == Runtime::Pi);
        }
    }

    #[test]
    fn pi_listens_in_one_of_its_modes() {
        let args =
            |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        assert!(listens(Runtime::Pi, &args("--no-color --mode rpc")));
        for other in ["--mode json hello", "--print rpc", ""] {
            assert!(!listens(Runtime::Pi, &args(other)), "{other}");
        }
        assert!(listens(Runtime::Local, &args("")));
    }

    #[test]
    fn only_pi_is_told_its_model() {
        let told = |runtime| model_arguments(runtime, "openrouter", "a/b");
        assert_eq!(
            told(Runtime::Pi),
            ["--provider", "openrouter", "--model", "a/b"]
        );
        for runtime in [Runtime::Zot, Runtime::Local] {
            assert_eq!(told(runtime), [""; 0]);
        }
    }

    #[test]
    fn only_pi_is_told_to_compact() {
        let compact = Input::Compact { id: "c-1" };
        assert_eq!(
            read(compact, Runtime::Pi),
            json!({"id": "c-1", "type": "compact"})
        );
        for runtime in [Runtime::Zot, Runtime::Local] {
            assert_eq!(compact.line(runtime), None);
        }
    }

    #[test]
    fn answers_are_of_the_kind_that_was_asked_for() {
        fn answer(answer: &Answer) -> Input<'_> {
            let question = "q";
            Input::Answer { question, answer }
        }
        assert_eq!(
            read(answer(&Answer::Text("Allow".to_owned())), Runtime::Pi),
            json!({"type": "extension_ui_response", "id": "q", "value": "Allow"})
        );
        assert_eq!(
            read(answer(&Answer::Confirmed(false)), Runtime::Pi)["confirmed"],
            false
        );
        assert_eq!(
            read(answer(&Answer::Cancelled), Runtime::Local)["cancelled"],
            true
        );
        assert_eq!(answer(&Answer::Cancelled).line(Runtime::Zot), None);
    }
}
