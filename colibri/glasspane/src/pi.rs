//! `pi --mode json` and `pi --mode rpc`: the same events, but for a first line
//! and for what rpc answers to commands.
//!
//! Three dialects are in use, and nothing in a stream says which. They differ
//! in what may follow `agent_end`:
//!
//! | version | Node | `agent_end` | after it | `message_update` |
//! |---|---|---|---|---|
//! | to 0.74 | 20 | bare | retries and compaction, unannounced | whole message each time |
//! | 0.75 to 0.80 | 22 | `willRetry` | retries as announced, compaction | the same |
//! | newer | 22 | `willRetry` | `agent_settled` when all is over | the new piece only; since 0.84 |
//!
//! What was used up stands in `message_end` of each answer; `turn_end` and
//! `agent_end` repeat it. `--mode json` exits with 0 after a failure, too: only
//! `stopReason` tells.

use colibri_protocol::{Usage, Usd};
use serde::Deserialize;
use serde_json::Value;

use crate::event::{
    Block, Event, Fields, Next, Outcome, Stop, arguments_of, count, dollars, response, result_of,
    text_of,
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AgentEnd {
    will_retry: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Settled {
    aborted: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MessageStart {
    message: Role,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Role {
    role: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MessageUpdate {
    assistant_message_event: Piece,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Piece {
    #[serde(rename = "type")]
    kind: String,
    delta: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MessageEnd {
    message: Message,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Message {
    role: String,
    content: Content,
    usage: Option<Counts>,
    stop_reason: String,
    error_message: Option<String>,
}

/// Blocks, or for some messages one text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Blocks(Vec<Block>),
    Text(String),
}

impl Default for Content {
    fn default() -> Self {
        Self::Blocks(Vec::new())
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Counts {
    #[serde(deserialize_with = "count")]
    input: u64,
    #[serde(deserialize_with = "count")]
    output: u64,
    #[serde(deserialize_with = "count")]
    cache_read: u64,
    #[serde(deserialize_with = "count")]
    cache_write: u64,
    cost: Cost,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cost {
    #[serde(deserialize_with = "dollars")]
    total: Usd,
}

impl From<Counts> for Usage {
    fn from(counts: Counts) -> Self {
        Self {
            input: counts.input,
            output: counts.output,
            cache_read: counts.cache_read,
            cache_write: counts.cache_write,
            cost_usd: counts.cost.total,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Tool {
    tool_call_id: String,
    tool_name: String,
    args: Value,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ToolEnd {
    tool_call_id: String,
    result: Value,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Retry {
    success: Option<bool>,
    error_message: Option<String>,
    final_error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Compacted {
    result: Option<Summary>,
    will_retry: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Summary {
    usage: Option<Counts>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Dialog {
    id: String,
    method: String,
    title: Option<String>,
    message: Option<String>,
    options: Option<Vec<String>>,
    timeout: Option<u64>,
}

pub(crate) fn event(kind: &str, line: &Fields<'_>) -> Outcome {
    match kind {
        "agent_start" => Ok(Event::RunStarted),
        "agent_end" => line.event(|end: AgentEnd| Event::RunEnded {
            stop: None,
            next: match end.will_retry {
                Some(true) => Next::Retry,
                Some(false) => Next::Unsure,
                None => Next::Nothing,
            },
        }),
        "agent_settled" => line.event(|settled: Settled| Event::Settled {
            aborted: settled.aborted,
        }),
        "turn_start" => Ok(Event::TurnStarted),
        "turn_end" => Ok(Event::TurnEnded(None)),
        "message_start" => line.event(|start: MessageStart| match start.message.role.as_str() {
            "assistant" => Event::TextBegins,
            _ => Event::Other,
        }),
        "message_update" => line.event(|update: MessageUpdate| {
            let piece = update.assistant_message_event;
            match piece.kind.as_str() {
                "text_delta" => Event::Text(piece.delta),
                _ => Event::Other,
            }
        }),
        "message_end" => line.event(|end: MessageEnd| answered(end.message)),
        "tool_execution_start" => line.event(|tool: Tool| Event::ToolStarted {
            id: tool.tool_call_id,
            name: tool.tool_name,
            arguments: Some(arguments_of(tool.args)),
        }),
        "tool_execution_end" => line.event(|tool: ToolEnd| Event::ToolEnded {
            id: tool.tool_call_id,
            result: result_of(&tool.result["content"]),
        }),
        "auto_retry_start" => {
            line.event(|retry: Retry| Event::Retrying(retry.error_message.unwrap_or_default()))
        }
        "auto_retry_end" => line.event(|retry: Retry| match retry.success {
            Some(false) => Event::GaveUp(retry.final_error.unwrap_or_default()),
            _ => Event::Other,
        }),
        // The names before 0.60 or so had `auto_`.
        "compaction_start" | "auto_compaction_start" => Ok(Event::Compacting),
        "compaction_end" | "auto_compaction_end" => line.event(|end: Compacted| {
            let usage = end.result.and_then(|summary| summary.usage);
            Event::Compacted {
                usage: usage.map_or_else(Usage::default, Usage::from),
                retries: end.will_retry,
            }
        }),
        "extension_ui_request" => line.event(asked),
        "response" => response(line),
        _ => Ok(Event::Other),
    }
}

fn answered(message: Message) -> Event {
    if message.role != "assistant" {
        return Event::Other;
    }
    let why = || {
        message
            .error_message
            .clone()
            .unwrap_or_else(|| "the agent gives no reason".to_owned())
    };
    let stop = match message.stop_reason.as_str() {
        "stop" | "toolUse" => Some(Stop::Well),
        "length" => Some(Stop::CutOff),
        "aborted" => Some(Stop::Aborted),
        "error" => Some(Stop::of_call(why())),
        _ => None,
    };
    Event::Answered {
        text: match message.content {
            Content::Text(text) => text,
            Content::Blocks(blocks) => text_of(blocks),
        },
        usage: message.usage.map_or_else(Usage::default, Usage::from),
        stop,
    }
}

/// A dialog waits for an answer; the other methods only show something.
fn asked(dialog: Dialog) -> Event {
    if !matches!(
        dialog.method.as_str(),
        "select" | "confirm" | "input" | "editor"
    ) {
        return Event::Other;
    }
    let texts = [dialog.title, dialog.message];
    let texts: Vec<String> = texts.into_iter().flatten().collect();
    Event::Asked {
        id: dialog.id,
        question: texts.join(": "),
        choices: dialog.options.unwrap_or_default(),
        timeout: dialog.timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::read;
    use colibri_protocol::Runtime;

    fn event(line: &str) -> Event {
        let read = read(Runtime::Pi, line.as_bytes()).unwrap();
        assert!(read.whole, "{line}");
        read.event
    }

    #[test]
    fn the_three_dialects_end_a_run_in_their_own_ways() {
        let next = |line: &str| match event(line) {
            Event::RunEnded { next, .. } => next,
            other => panic!("{other:?}"),
        };
        assert_eq!(next(r#"{"type":"agent_end","messages":[]}"#), Next::Nothing);
        assert_eq!(
            next(r#"{"type":"agent_end","messages":[],"willRetry":false}"#),
            Next::Unsure
        );
        assert_eq!(
            next(r#"{"type":"agent_end","messages":[],"willRetry":true}"#),
            Next::Retry
        );
        assert_eq!(
            event(r#"{"type":"agent_settled","aborted":true}"#),
            Event::Settled { aborted: true }
        );
    }

    #[test]
    fn an_answer_that_failed_says_why() {
        let line = r#"{"type":"message_end","message":{"role":"assistant","content":[],
            "stopReason":"error","errorMessage":"401 no such key"}}"#;
        let Event::Answered { stop, usage, .. } = event(line) else {
            panic!("{line}");
        };
        assert_eq!(stop, Some(Stop::Failed("401 no such key".into())));
        assert_eq!(usage, Usage::default());
    }

    #[test]
    fn only_dialogs_wait_for_an_answer() {
        let confirm = r#"{"type":"extension_ui_request","id":"q-1","method":"confirm",
            "title":"Clear session?","message":"All will be lost.","timeout":5000}"#;
        assert_eq!(
            event(confirm),
            Event::Asked {
                id: "q-1".into(),
                question: "Clear session?: All will be lost.".into(),
                choices: Vec::new(),
                timeout: Some(5000)
            }
        );
        let select = r#"{"type":"extension_ui_request","id":"q-3","method":"select",
            "title":"Allow it?","options":["Once","Always"]}"#;
        assert_eq!(
            event(select),
            Event::Asked {
                id: "q-3".into(),
                question: "Allow it?".into(),
                choices: vec!["Once".into(), "Always".into()],
                timeout: None
            }
        );
        let notify = r#"{"type":"extension_ui_request","id":"q-2","method":"notify"}"#;
        assert_eq!(event(notify), Event::Other);
    }

    #[test]
    fn the_fate_of_a_prompt_is_in_its_response() {
        assert_eq!(
            event(
                r#"{"id":"t1","type":"response","command":"prompt","success":false,"error":"no key"}"#
            ),
            Event::Refused {
                id: Some("t1".into()),
                why: "no key".into()
            }
        );
        assert_eq!(
            event(
                r#"{"type":"response","command":"prompt","success":true,"data":{"disposition":"handled"}}"#
            ),
            Event::Handled
        );
        for line in [
            r#"{"type":"response","command":"prompt","success":true,"data":{"disposition":"started"}}"#,
            r#"{"type":"response","command":"set_model","success":false,"error":"unknown"}"#,
        ] {
            assert_eq!(event(line), Event::Other, "{line}");
        }
    }

    #[test]
    fn a_compaction_that_was_told_ends_with_its_response_either_way() {
        for line in [
            r#"{"id":"c-1","type":"response","command":"compact","success":true,"data":{}}"#,
            r#"{"type":"response","command":"compact","success":false,"error":"Nothing to compact"}"#,
        ] {
            assert_eq!(event(line), Event::CompactedAsTold, "{line}");
        }
    }

    #[test]
    fn a_summary_is_paid_for_too() {
        let line = r#"{"type":"compaction_end","reason":"overflow","willRetry":true,
            "result":{"summary":"s","usage":{"input":5,"output":7,"cost":{"total":0.25}}}}"#;
        let Event::Compacted { usage, retries } = event(line) else {
            panic!("{line}");
        };
        assert!(retries);
        assert_eq!((usage.input, usage.output), (5, 7));
        assert_eq!(usage.cost_usd.to_string(), "$0.2500");
        let none = r#"{"type":"compaction_end","reason":"manual","result":null,"aborted":true,"willRetry":false}"#;
        assert!(matches!(
            event(none),
            Event::Compacted { retries: false, .. }
        ));
    }
}
