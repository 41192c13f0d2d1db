//! `zot rpc`: bare event objects, protocol version 1.
//!
//! It has no event for the beginning of a run: the first turn is one.
//! `assistant_message` does not end it, for tools and turns may follow; `done`
//! does, after good and bad ends alike, and the last `turn_end` says which.
//! `error` alone is not an end, either. A call of a tool is announced up to
//! twice, by `tool_use_start` while the model writes it and by `tool_call` when it
//! is about to run.

use colibri_protocol::{Usage, Usd};
use serde::Deserialize;
use serde_json::Value;

use crate::event::{
    Block, Event, Fields, Next, Outcome, Stop, arguments_of, count, dollars, response, result_of,
    text_of,
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    delta: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    content: Vec<Block>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tool {
    id: String,
    name: String,
    args: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ToolResult {
    id: String,
    content: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TurnEnd {
    stop: String,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Trouble {
    message: String,
}

/// Of one call; `cumulative` repeats the sum.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    #[serde(deserialize_with = "count")]
    input: u64,
    #[serde(deserialize_with = "count")]
    output: u64,
    #[serde(deserialize_with = "count")]
    cache_read: u64,
    #[serde(deserialize_with = "count")]
    cache_write: u64,
    #[serde(deserialize_with = "dollars")]
    cost_usd: Usd,
}

impl From<Counts> for Usage {
    fn from(counts: Counts) -> Self {
        Self {
            input: counts.input,
            output: counts.output,
            cache_read: counts.cache_read,
            cache_write: counts.cache_write,
            cost_usd: counts.cost_usd,
        }
    }
}

pub(crate) fn event(kind: &str, line: &Fields<'_>) -> Outcome {
    match kind {
        "turn_start" => Ok(Event::TurnStarted),
        "turn_end" => line.event(|end: TurnEnd| {
            Event::TurnEnded(match end.stop.as_str() {
                "end_turn" | "tool_use" => Some(Stop::Well),
                "length" => Some(Stop::CutOff),
                "aborted" => Some(Stop::Aborted),
                "error" => Some(Stop::of_call(
                    end.error
                        .unwrap_or_else(|| "the agent gives no reason".to_owned()),
                )),
                _ => None,
            })
        }),
        "assistant_start" => Ok(Event::TextBegins),
        "text_delta" => line.event(|text: Delta| Event::Text(text.delta)),
        "assistant_message" => line.event(|message: Message| Event::Answered {
            text: text_of(message.content),
            usage: Usage::default(),
            stop: None,
        }),
        "tool_use_start" | "tool_call" => line.event(|tool: Tool| Event::ToolStarted {
            id: tool.id,
            name: tool.name,
            arguments: tool.args.map(arguments_of),
        }),
        "tool_result" => line.event(|tool: ToolResult| Event::ToolEnded {
            id: tool.id,
            result: result_of(&tool.content),
        }),
        "usage" => line.event(|counts: Counts| Event::Used(counts.into())),
        "error" => line.event(|trouble: Trouble| Event::Trouble(trouble.message)),
        "done" => Ok(Event::RunEnded {
            stop: None,
            next: Next::Nothing,
        }),
        "response" => response(line),
        // user_message, tool_use_args, tool_use_end, tool_progress, compact_done and what is new.
        _ => Ok(Event::Other),
    }
}
