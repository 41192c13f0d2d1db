//! Agents that the daemon itself runs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Capability, ErrorKind, Name, PaneSnapshot, ReplyError, Runtime, TenantId};

/// The fields of `spawn-agent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpawnAgent {
    /// What it is called; it is registered under this name.
    pub name: Name,
    /// Which dialect it speaks.
    pub runtime: Runtime,
    /// The program, by its absolute path.
    pub program: PathBuf,
    /// Its arguments; those of its dialect when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// The folder that it starts in; its own below the daemon's data when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// What it is asked first, at most 65536 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What it can do.
    #[serde(default)]
    pub capabilities: BTreeSet<Capability>,
    /// Whether it is started again when it ends by itself, with growing pauses.
    #[serde(default)]
    pub restart: bool,
    /// The tenant in whose jail it runs; on the host itself when absent. It starts in its home there, and
    /// only programs of the image can be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
}

/// Most bytes in something that an agent is asked.
const MAX_PROMPT: usize = 65536;

fn check_prompt(name: &str, text: &str) -> Result<(), ReplyError> {
    let wrong = if text.trim().is_empty() {
        format!("`{name}` must not be empty")
    } else if text.len() > MAX_PROMPT {
        format!(
            "`{name}` has {} bytes; at most {MAX_PROMPT} fit",
            text.len()
        )
    } else {
        return Ok(());
    };
    Err(ReplyError::new(ErrorKind::BadRequest, wrong))
}

impl SpawnAgent {
    /// Most arguments.
    pub const MAX_ARGS: usize = 64;

    /// Checks what the types do not.
    ///
    /// # Errors
    /// `bad-request`, naming the field and the rule.
    pub fn check(&self) -> Result<(), ReplyError> {
        let absolute = [Some(&self.program), self.cwd.as_ref()];
        let wrong = if let Some(path) = absolute
            .into_iter()
            .flatten()
            .find(|path| path.is_relative())
        {
            format!(
                "`{}` must be an absolute path: which folder it begins in would depend on the daemon",
                path.display()
            )
        } else if self
            .args
            .as_ref()
            .is_some_and(|args| args.len() > Self::MAX_ARGS)
        {
            format!("`args` must be at most {} texts", Self::MAX_ARGS)
        } else if self.tenant.is_some() && self.cwd.is_some() {
            "`cwd` is for agents of the host: in a jail an agent starts in its home".to_owned()
        } else {
            return self
                .prompt
                .as_deref()
                .map_or(Ok(()), |text| check_prompt("prompt", text));
        };
        Err(ReplyError::new(ErrorKind::BadRequest, wrong))
    }
}

/// The fields of `stop-agent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopAgent {
    /// Its name.
    pub agent: Name,
}

/// The fields of `dismiss-pane`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DismissPane {
    /// Its agent's name.
    pub agent: Name,
}

/// The fields of `send-prompt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendPrompt {
    /// The agent's name.
    pub agent: Name,
    /// What it is asked, at most 65536 bytes.
    pub message: String,
}

impl SendPrompt {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// `bad-request`, naming the field and the rule.
    pub fn check(&self) -> Result<(), ReplyError> {
        check_prompt("message", &self.message)
    }
}

/// The fields of `answer-agent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerAgent {
    /// The agent's name.
    pub agent: Name,
    /// Which question, as its pane names it; the one that the pane shows when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What is answered.
    pub answer: Answer,
}

/// An answer to an agent's question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A text of at most 65536 bytes, or one of the choices.
    Text(String),
    /// Yes or no.
    Confirmed(bool),
    /// None will come.
    Cancelled,
}

impl AnswerAgent {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// `bad-request`, naming the field and the rule.
    pub fn check(&self) -> Result<(), ReplyError> {
        match &self.answer {
            // Nothing is an answer, too.
            Answer::Text(text) if !text.is_empty() => check_prompt("text", text),
            _ => Ok(()),
        }
    }
}

/// The reply to `snapshot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// When it was taken (UTC).
    pub at: Timestamp,
    /// Every pane, by its agent's name.
    pub panes: Vec<PaneSnapshot>,
    /// How many of them somebody should look at.
    pub attention: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawn(fields: &str) -> Result<(), String> {
        let text = format!(r#"{{"name":"ada","runtime":"local",{fields}}}"#);
        let spawn: SpawnAgent = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        spawn.check().map_err(|error| error.message)
    }

    #[test]
    fn paths_are_absolute_and_prompts_have_an_end() {
        assert_eq!(spawn(r#""program":"/usr/local/bin/pi""#), Ok(()));
        for (fields, text) in [
            (r#""program":"pi""#, "`pi` must be an absolute path"),
            (r#""program":"/pi","cwd":"work""#, "`work` must be"),
            (
                r#""program":"/pi","prompt":" ""#,
                "`prompt` must not be empty",
            ),
            (r#""program":"/pi","env":{}"#, "unknown field `env`"),
            (
                r#""program":"/pi","tenant":"main","cwd":"/work""#,
                "`cwd` is for agents of the host",
            ),
        ] {
            let error = spawn(fields).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
        let long = SendPrompt {
            agent: "ada".parse().unwrap(),
            message: "x".repeat(MAX_PROMPT + 1),
        };
        assert!(long.check().unwrap_err().message.contains("65537 bytes"));
    }

    #[test]
    fn an_answer_is_a_text_a_yes_or_none() {
        for (text, answer) in [
            (r#"{"text":""}"#, Answer::Text(String::new())),
            (r#"{"confirmed":true}"#, Answer::Confirmed(true)),
            (r#""cancelled""#, Answer::Cancelled),
        ] {
            let text = format!(r#"{{"agent":"ada","answer":{text}}}"#);
            let read: AnswerAgent = serde_json::from_str(&text).unwrap();
            assert_eq!(read.answer, answer);
            assert_eq!(read.check(), Ok(()));
        }
        let long = AnswerAgent {
            agent: "ada".parse().unwrap(),
            question: None,
            answer: Answer::Text("x".repeat(MAX_PROMPT + 1)),
        };
        assert!(long.check().unwrap_err().message.contains("65537 bytes"));
    }
}
