//! What is answered to which request.

use serde_json::{Value, json};

use crate::http::{Reply, Request};
use crate::{CALL, Script, Tokens, WORDS};

/// What the model says.
enum Said<'a> {
    Call(&'a Script),
    Text(&'a str),
}

/// The reply to a request that came after so many others.
pub(crate) fn to(request: &Request, script: &Script, before: usize) -> Reply {
    let path = request.path.split('?').next().unwrap_or_default();
    match (request.method.as_str(), path) {
        ("GET", path) if path.ends_with("/models") => json_reply(
            200,
            &json!({"object": "list", "data": [{"id": "test-model", "object": "model"}]}),
        ),
        ("POST", path) if path.ends_with("/chat/completions") => {
            if before < script.fail_first {
                return refusal(503, "overloaded_error", "overloaded, try again");
            }
            if script.key.is_some() && script.key != request.key {
                return refusal(401, "invalid_request_error", "no such key");
            }
            match request.body["messages"].as_array() {
                Some(messages) => complete(&request.body, messages, script),
                None => refusal(400, "invalid_request_error", "`messages` is missing"),
            }
        }
        _ => refusal(404, "invalid_request_error", "no such path"),
    }
}

fn complete(body: &Value, messages: &[Value], script: &Script) -> Reply {
    let tool_has_run = messages.last().is_some_and(|last| last["role"] == "tool");
    let is_offered = body["tools"].as_array().is_some_and(|tools| {
        tools
            .iter()
            .any(|tool| tool["function"]["name"] == script.tool.as_str())
    });
    let said = if is_offered && !tool_has_run {
        Said::Call(script)
    } else {
        Said::Text(&script.text)
    };
    let model = body["model"].as_str().unwrap_or("test-model");
    if body["stream"] == true {
        streamed(model, &said)
    } else {
        whole(model, &said)
    }
}

impl Said<'_> {
    fn usage(&self) -> Value {
        let Tokens {
            prompt,
            cached,
            completion,
        } = match self {
            Self::Call(_) => CALL,
            Self::Text(_) => WORDS,
        };
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        })
    }

    fn finish_reason(&self) -> &'static str {
        match self {
            Self::Call(_) => "tool_calls",
            Self::Text(_) => "stop",
        }
    }
}

fn streamed(model: &str, said: &Said<'_>) -> Reply {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model,
            "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value| {
        chunk(
            json!([{"index": 0, "delta": delta, "finish_reason": null}]),
            Value::Null,
        )
    };
    let mut pieces = vec![delta(json!({"role": "assistant", "content": ""}))];
    match said {
        Said::Call(script) => {
            // The name first and the arguments later, as providers do.
            for (id, function) in [
                (
                    json!("call_1"),
                    json!({"name": script.tool, "arguments": ""}),
                ),
                (
                    Value::Null,
                    json!({"arguments": script.arguments.to_string()}),
                ),
            ] {
                let mut call = json!({"index": 0, "function": function});
                if !id.is_null() {
                    call["id"] = id;
                    call["type"] = json!("function");
                }
                pieces.push(delta(json!({"tool_calls": [call]})));
            }
        }
        Said::Text(text) => {
            for word in text.split_inclusive(' ') {
                pieces.push(delta(json!({"content": word})));
            }
        }
    }
    pieces.push(chunk(
        json!([{"index": 0, "delta": {}, "finish_reason": said.finish_reason()}]),
        Value::Null,
    ));
    pieces.push(chunk(json!([]), said.usage()));
    pieces.push("data: [DONE]\n\n".to_owned());
    Reply {
        status: 200,
        content_type: "text/event-stream",
        pieces,
    }
}

fn whole(model: &str, said: &Said<'_>) -> Reply {
    let message = match said {
        Said::Call(script) => json!({
            "role": "assistant", "content": null,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {
                "name": script.tool, "arguments": script.arguments.to_string(),
            }}],
        }),
        Said::Text(text) => json!({"role": "assistant", "content": text}),
    };
    json_reply(
        200,
        &json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": said.finish_reason()}],
            "usage": said.usage(),
        }),
    )
}

fn refusal(status: u16, kind: &str, message: &str) -> Reply {
    json_reply(
        status,
        &json!({"error": {"type": kind, "message": message}}),
    )
}

fn json_reply(status: u16, body: &Value) -> Reply {
    Reply {
        status,
        content_type: "application/json",
        pieces: vec![body.to_string()],
    }
}
