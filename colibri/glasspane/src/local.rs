//! The dialect of `colibri-test-agent`, which any program may speak.
//!
//! | event | fields | meaning |
//! |---|---|---|
//! | `session` | `id`, `cwd` | the first line |
//! | `agent_start`, `turn_start`, `turn_end` | | work, and a step of it |
//! | `message_start`, `message_update`, `message_end` | `delta`; `text` | what it says, in pieces and whole |
//! | `tool_execution_start`, `tool_execution_end` | `id`, `tool`, `arguments`; `id`, `result` | a tool, and what it answered |
//! | `usage` | `input`, `output`, `cache_read`, `cache_write`, `cost_usd` | used up since the last |
//! | `blocked`, `unblocked` | `id`, `reason`; `id` | waits for an answer to `id` |
//! | `error` | `message` | something went wrong |
//! | `agent_end` | `error`, `outage`, or `aborted` | the work has ended; well without any. With `outage`, for want of something that may be there again later, such as its model |
//! | `response` | `id`, `command`, `success`, `error` | what became of a command |

use colibri_protocol::Usage;
use serde::Deserialize;
use serde_json::Value;

use crate::event::{Event, Fields, Next, Outcome, Stop, arguments_of, response, result_of};
use crate::zot::Counts;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    delta: String,
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tool {
    id: String,
    tool: String,
    arguments: Value,
    result: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    id: String,
    reason: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct End {
    error: Option<String>,
    outage: Option<String>,
    aborted: bool,
}

pub(crate) fn event(kind: &str, line: &Fields<'_>) -> Outcome {
    match kind {
        "agent_start" => Ok(Event::RunStarted),
        "agent_end" => line.event(|end: End| Event::RunEnded {
            stop: match (end.error, end.outage, end.aborted) {
                (Some(why), _, _) => Some(Stop::Failed(why)),
                (None, Some(why), _) => Some(Stop::Outage(why)),
                (None, None, true) => Some(Stop::Aborted),
                (None, None, false) => Some(Stop::Well),
            },
            next: Next::Nothing,
        }),
        "turn_start" => Ok(Event::TurnStarted),
        "turn_end" => Ok(Event::TurnEnded(None)),
        "message_start" => Ok(Event::TextBegins),
        "message_update" => line.event(|said: Said| Event::Text(said.delta)),
        "message_end" => line.event(|said: Said| Event::Answered {
            text: said.text,
            usage: Usage::default(),
            stop: None,
        }),
        "tool_execution_start" => line.event(|tool: Tool| Event::ToolStarted {
            id: tool.id,
            name: tool.tool,
            arguments: Some(arguments_of(tool.arguments)),
        }),
        "tool_execution_end" => line.event(|tool: Tool| Event::ToolEnded {
            id: tool.id,
            result: result_of(&tool.result),
        }),
        "usage" => line.event(|counts: Counts| Event::Used(counts.into())),
        "blocked" => line.event(|asked: Named| Event::Asked {
            id: asked.id,
            question: asked.reason,
            choices: Vec::new(),
            timeout: None,
        }),
        "unblocked" => line.event(|asked: Named| Event::Unblocked { id: asked.id }),
        "error" => line.event(|trouble: Named| Event::Trouble(trouble.message)),
        "response" => response(line),
        _ => Ok(Event::Other),
    }
}
