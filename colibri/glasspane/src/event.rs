//! What agents say, in one set of words for all dialects.

use colibri_protocol::{Runtime, Usage, Usd};
use serde::de::{Deserialize, Deserializer};
use serde_json::Value;

use crate::{local, outage, pi, zot};

/// One line of an agent. Each line is exactly one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Nothing that concerns a pane, or a kind that is newer than this program.
    Other,
    /// Work on a prompt begins.
    RunStarted,
    /// Work on a prompt has ended.
    RunEnded {
        /// What the agent itself says of how: good, or bad.
        stop: Option<Stop>,
        /// Whether it goes on by itself.
        next: Next,
    },
    /// All that followed by itself is over, too.
    Settled { aborted: bool },
    /// The model is asked.
    TurnStarted,
    /// The model has answered, and the tools it called for have run.
    TurnEnded(Option<Stop>),
    /// A text of the agent begins.
    TextBegins,
    /// A piece of it.
    Text(String),
    /// The model's whole answer.
    Answered {
        text: String,
        usage: Usage,
        stop: Option<Stop>,
    },
    /// A tool runs.
    ToolStarted {
        id: String,
        name: String,
        /// With what, as the agent wrote it; `None` while it still writes.
        arguments: Option<String>,
    },
    /// A tool has run.
    ToolEnded {
        id: String,
        /// What it answered.
        result: String,
    },
    /// Something was used up.
    Used(Usage),
    /// Something went wrong; whether that is the end, later events say.
    Trouble(String),
    /// It will try once more.
    Retrying(String),
    /// It tries no more.
    GaveUp(String),
    /// It shortens its log, which may take a model and minutes.
    Compacting,
    /// The log is shorter, or could not be made so.
    Compacted { usage: Usage, retries: bool },
    /// A compaction that it was told to do is over, well or not.
    CompactedAsTold,
    /// It asks its operator something and waits.
    Asked {
        id: String,
        question: String,
        /// What it may be answered; empty when that is free.
        choices: Vec<String>,
        /// Milliseconds after which it decides by itself.
        timeout: Option<u64>,
    },
    /// It waits no more.
    Unblocked { id: String },
    /// It will not do what it was sent.
    Refused { id: Option<String>, why: String },
    /// It did what it was sent without working on it: a slash command.
    Handled,
}

/// How an answer or a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    Well,
    /// At the longest answer that the model may give.
    CutOff,
    /// Called off.
    Aborted,
    Failed(String),
    /// The provider or the way to it failed, not the work: it may go well later.
    Outage(String),
}

impl Stop {
    /// A call of the model failed with this message.
    pub(crate) fn of_call(why: String) -> Self {
        if outage::may_pass(&why) {
            Self::Outage(why)
        } else {
            Self::Failed(why)
        }
    }
}

/// What follows a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another run, by itself.
    Retry,
    /// Perhaps something: the agent will say when all is over.
    Unsure,
    /// Nothing that it would announce.
    Nothing,
}

/// What a line was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) event: Event,
    /// Whether all of it could be read.
    pub(crate) whole: bool,
}

/// Reads a line; `None` when it is no event at all.
pub(crate) fn read(runtime: Runtime, line: &[u8]) -> Option<Read> {
    #[derive(serde::Deserialize)]
    struct Head<'a> {
        #[serde(rename = "type", borrow)]
        kind: std::borrow::Cow<'a, str>,
    }
    let head: Head<'_> = serde_json::from_slice(line).ok()?;
    Some(of_kind(runtime, &head.kind, line))
}

/// What the beginning of a line says that was too long to be kept. The last
/// event of a long run carries the whole conversation; were it only skipped, the
/// pane would work for ever.
pub(crate) fn read_head(runtime: Runtime, head: &[u8]) -> Option<Event> {
    let rest = head.strip_prefix(br#"{"type":""#)?;
    let end = rest.iter().position(|&byte| byte == b'"')?;
    let kind = std::str::from_utf8(&rest[..end]).ok()?;
    Some(match of_kind(runtime, kind, b"{}").event {
        // Whatever else it said is lost.
        Event::RunEnded { stop, .. } => Event::RunEnded {
            stop,
            next: Next::Unsure,
        },
        event => event,
    })
}

fn of_kind(runtime: Runtime, kind: &str, line: &[u8]) -> Read {
    let line = Fields { line };
    let event = match runtime {
        Runtime::Pi => pi::event(kind, &line),
        Runtime::Zot => zot::event(kind, &line),
        Runtime::Local => local::event(kind, &line),
    };
    match event {
        Ok(event) => Read { event, whole: true },
        Err(event) => Read {
            event,
            whole: false,
        },
    }
}

/// The event, or, where its fields are not as they should be, what is left of it.
pub(crate) type Outcome = Result<Event, Event>;

/// A line whose kind is known, to be read for the fields of that kind.
pub(crate) struct Fields<'a> {
    line: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Makes an event of the line's fields, or of their defaults when they have
    /// other types than expected: the kind alone moves the state, and a state
    /// that hangs is worse than a field that is missed.
    pub(crate) fn event<T: Deserialize<'a> + Default>(
        &self,
        make: impl FnOnce(T) -> Event,
    ) -> Outcome {
        match serde_json::from_slice(self.line) {
            Ok(fields) => Ok(make(fields)),
            Err(_) => Err(make(T::default())),
        }
    }
}

/// A count that may be absent, `null`, a fraction, or by somebody's mistake negative.
pub(crate) fn count<'de, D: Deserializer<'de>>(number: D) -> Result<u64, D::Error> {
    let number = Option::<f64>::deserialize(number)?.unwrap_or_default();
    // Saturates.
    Ok(number as u64)
}

/// Dollars, with the same indulgence.
pub(crate) fn dollars<'de, D: Deserializer<'de>>(number: D) -> Result<Usd, D::Error> {
    let number = Option::<f64>::deserialize(number)?.unwrap_or_default();
    Ok(Usd::try_from(number).unwrap_or_default())
}

/// The answer to a command, which `pi`, `zot` and the test agent write alike.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Response {
    id: Option<Value>,
    command: String,
    success: Option<bool>,
    error: Option<String>,
    data: Option<Value>,
}

/// A `response` line: only what became of a prompt or a compaction concerns a pane.
pub(crate) fn response(line: &Fields<'_>) -> Outcome {
    line.event(|said: Response| {
        match said.command.as_str() {
            "prompt" | "parse" => {}
            "compact" => return Event::CompactedAsTold,
            _ => return Event::Other,
        }
        let disposition = said.data.as_ref().and_then(|data| data.get("disposition"));
        match said.success {
            Some(false) => Event::Refused {
                id: said.id.and_then(|id| match id {
                    Value::String(id) => Some(id),
                    Value::Number(id) => Some(id.to_string()),
                    _ => None,
                }),
                why: said.error.unwrap_or_else(|| "no reason given".to_owned()),
            },
            _ if disposition.is_some_and(|it| it == "handled") => Event::Handled,
            _ => Event::Other,
        }
    })
}

/// A block of an answer. Others than texts are of no interest.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

/// A tool's arguments as text: those that are one already, and else their JSON.
pub(crate) fn arguments_of(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        value => value.to_string(),
    }
}

/// The texts of a tool's answer: blocks, or one text. Whatever else it is has none, for a tool that
/// has ended must not seem to run because of that.
pub(crate) fn result_of(answer: &Value) -> String {
    match answer {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks
            .iter()
            .filter(|block| block["type"] == "text")
            .filter_map(|block| block["text"].as_str())
            .collect::<Vec<_>>()
            .join("\n"),
        _ => String::new(),
    }
}

/// The texts of an answer, as they follow each other.
pub(crate) fn text_of(blocks: Vec<Block>) -> String {
    blocks
        .into_iter()
        .filter(|block| block.kind == "text")
        .filter_map(|block| block.text)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_other_types_leave_the_kind() {
        let odd = br#"{"type":"agent_end","willRetry":"perhaps"}"#;
        let read = read(Runtime::Pi, odd).unwrap();
        assert!(!read.whole);
        assert!(matches!(read.event, Event::RunEnded { .. }));
    }

    #[test]
    fn no_line_without_a_kind_is_an_event() {
        for line in [
            "",
            "{}",
            "[]",
            "null",
            "{\"type\":7}",
            "{\"type\":\"a\"",
            "\u{0}",
        ] {
            for runtime in Runtime::ALL {
                assert_eq!(read(runtime, line.as_bytes()), None, "{line}");
            }
        }
        // Escapes in the kind are read like any other text.
        let escaped = br#"{"type":"agent\u005fstart"}"#;
        assert_eq!(read(Runtime::Pi, escaped).unwrap().event, Event::RunStarted);
    }

    #[test]
    fn counts_and_dollars_are_read_with_indulgence() {
        #[derive(serde::Deserialize)]
        struct Both {
            #[serde(deserialize_with = "count")]
            tokens: u64,
            #[serde(deserialize_with = "dollars")]
            cost: Usd,
        }
        let read = |text: &str| {
            let both: Both = serde_json::from_str(text).unwrap();
            (both.tokens, both.cost.billionths())
        };
        assert_eq!(read(r#"{"tokens":7,"cost":0.5}"#), (7, 500_000_000));
        assert_eq!(read(r#"{"tokens":null,"cost":null}"#), (0, 0));
        assert_eq!(read(r#"{"tokens":-3,"cost":-0.5}"#), (0, 0));
    }
}
