//! What agents complain of: `agent-log`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ErrorKind, Name, ReplyError};

/// The fields of `agent-log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentLog {
    /// The agent's name; it need not run any more.
    pub agent: Name,
    /// Most lines, the newest of them, 1 to 2000; 100 when absent. They are fewer where they are
    /// long, so that the reply stays below its limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2000))]
    pub lines: Option<u32>,
    /// The `next` of an earlier reply, for what was written since; absent for the end of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl AgentLog {
    /// Most lines of one reply.
    pub const MAX_LINES: u32 = 2000;

    /// Lines when the request does not say.
    const LINES: u32 = 100;

    /// How many lines are wanted.
    ///
    /// # Errors
    /// `bad-request`, naming the field and the rule.
    pub fn checked_lines(&self) -> Result<usize, ReplyError> {
        match self.lines.unwrap_or(Self::LINES) {
            lines @ 1..=Self::MAX_LINES => Ok(lines as usize),
            lines => Err(ReplyError::new(
                ErrorKind::BadRequest,
                format!(
                    "`lines` is {lines}; it must be between 1 and {}",
                    Self::MAX_LINES
                ),
            )),
        }
    }
}

/// The reply to `agent-log`: what an agent wrote to its standard error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLines {
    /// Oldest first. Colours and control characters are left out, and a provider's key is blanked.
    /// The last may go on in the first of the next reply.
    pub lines: Vec<String>,
    /// Whether there were lines in front of these that the reply has no room for, or that are not
    /// kept any more.
    pub cut: bool,
    /// Give this as `after` for what is written from now on.
    pub next: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_a_few_or_as_many_as_fit() {
        let lines = |text: &str| {
            let log: AgentLog = serde_json::from_str(text).unwrap();
            log.checked_lines().map_err(|error| error.message)
        };
        assert_eq!(lines(r#"{"agent":"ada"}"#), Ok(100));
        assert_eq!(lines(r#"{"agent":"ada","lines":2000}"#), Ok(2000));
        for wrong in ["0", "2001"] {
            let error = lines(&format!(r#"{{"agent":"ada","lines":{wrong}}}"#)).unwrap_err();
            assert!(error.contains("between 1 and 2000"), "{error}");
        }
    }
}
