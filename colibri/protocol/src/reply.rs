//! What the daemon answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RequestId;

/// What went wrong, for programs; the message beside it is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The line is no request, or a field is missing, unknown or out of its range.
    BadRequest,
    /// `cmd` names nothing this daemon knows; the message lists what it knows.
    UnknownCommand,
    /// A line is longer than 1 MiB; the connection is closed.
    LineTooLong,
    /// An agent may not do this over its own socket; or the peer's account may not use the socket at
    /// all, and the connection is closed.
    Forbidden,
    /// Too many clients, or too many bytes of them wait; the connection is closed. Try again.
    Busy,
    /// A line began and did not end in time; the connection is closed.
    TimedOut,
    /// The daemon is stopping; the request was not carried out.
    ShuttingDown,
    /// There is no such task, agent, session or job.
    NotFound,
    /// Things are not as the request takes for granted: another was faster, say. Nothing was changed.
    Conflict,
    /// The database could not do it; nothing was changed.
    Database,
    /// The host's root helper could not do it, or does not answer. What was begun can be asked for again.
    Host,
    /// A fault of the daemon itself; its log has the details.
    Internal,
    /// A kind a newer daemon has and this program does not know.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// An error as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct ReplyError {
    /// For programs.
    pub kind: ErrorKind,
    /// For people: what, where, and what to do.
    pub message: String,
}

impl ReplyError {
    /// An error of this kind with this text.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// One line from the daemon: `ok` with `data`, or not `ok` with `error`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply<T = Value> {
    /// Whether the command was carried out.
    ok: bool,
    /// The request's `id`, when it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<RequestId>,
    /// The command's result, when `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<T>,
    /// What went wrong, when not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ReplyError>,
}

impl Reply {
    /// The reply to a request that was carried out or failed.
    pub fn new(id: Option<RequestId>, outcome: Result<Value, ReplyError>) -> Self {
        Self::with(id, outcome)
    }

    /// The `id` of the request this answers.
    pub fn id(&self) -> Option<&RequestId> {
        self.id.as_ref()
    }

    /// The result; `None` when the line contradicts itself (`ok` with an
    /// error, or an error without one).
    pub fn outcome(self) -> Option<Result<Value, ReplyError>> {
        match (self.ok, self.data, self.error) {
            (true, data, None) => Some(Ok(data.unwrap_or(Value::Null))),
            (false, None, Some(error)) => Some(Err(error)),
            _ => None,
        }
    }
}

impl<T: Serialize> Reply<T> {
    /// The same with data that become JSON only when the line is made.
    pub fn with(id: Option<RequestId>, outcome: Result<T, ReplyError>) -> Self {
        let (data, error) = match outcome {
            Ok(data) => (Some(data), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            ok: data.is_some(),
            id,
            data,
            error,
        }
    }

    /// The reply as one line with its newline.
    ///
    /// # Errors
    /// Only when a map in `data` has keys that are no texts, which no type of
    /// this crate has.
    pub fn to_line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_shapes_are_the_documented_ones() {
        let good = Reply::new(Some(RequestId::Number(7)), Ok(json!({"a": 1})));
        assert_eq!(
            String::from_utf8(good.to_line().unwrap()).unwrap(),
            "{\"ok\":true,\"id\":7,\"data\":{\"a\":1}}\n"
        );
        let bad = Reply::new(None, Err(ReplyError::new(ErrorKind::LineTooLong, "m")));
        assert_eq!(
            String::from_utf8(bad.to_line().unwrap()).unwrap(),
            "{\"ok\":false,\"error\":{\"kind\":\"line-too-long\",\"message\":\"m\"}}\n"
        );
        assert_eq!(good.outcome(), Some(Ok(json!({"a": 1}))));
    }

    #[test]
    fn kinds_of_the_future_are_read_and_contradictions_are_not() {
        let reply: Reply =
            serde_json::from_str(r#"{"ok":false,"error":{"kind":"lunar-eclipse","message":"m"}}"#)
                .unwrap();
        assert_eq!(
            reply.outcome().unwrap().unwrap_err().kind,
            ErrorKind::Unknown
        );
        for odd in [
            r#"{"ok":false}"#,
            r#"{"ok":true,"error":{"kind":"busy","message":"m"}}"#,
            r#"{"ok":false,"data":1}"#,
        ] {
            let reply: Reply = serde_json::from_str(odd).unwrap();
            assert_eq!(reply.outcome(), None, "{odd}");
        }
    }
}
