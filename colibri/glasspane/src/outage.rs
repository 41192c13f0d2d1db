//! Which failures of a model call may pass by themselves.

/// Statuses of HTTP with which a provider says "not now".
const STATUSES: [&str; 6] = ["429", "500", "502", "503", "504", "529"];

/// What providers and agents call it, in words alone. Those with which `pi` tries again by itself.
const SIGNS: [&str; 23] = [
    "overloaded",
    "provider returned error",
    "rate limit",
    "too many requests",
    "service unavailable",
    "server error",
    "internal error",
    "network error",
    "connection error",
    "connection refused",
    "connection reset",
    "connection lost",
    "websocket closed",
    "websocket error",
    "other side closed",
    "fetch failed",
    "upstream connect",
    "reset before headers",
    "socket hang up",
    "timed out",
    "time out",
    "timeout",
    "retry delay",
];

/// Some say "429" of an account that is empty, too; no pause fills it.
const LASTING: [&str; 4] = [
    "insufficient quota",
    "insufficient funds",
    "billing",
    "credit",
];

/// Whether a model call that failed with this message may go well later: the provider or the way to
/// it is at fault. There is nothing but the message, for no agent hands on what kind of failure it
/// was.
pub(crate) fn may_pass(message: &str) -> bool {
    let words: Vec<String> = message
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let text = words.join(" ");
    let has = |sign: &&str| text.contains(*sign);
    let is_status = |word: &String| STATUSES.contains(&word.as_str());
    (words.iter().any(is_status) || SIGNS.iter().any(has)) && !LASTING.iter().any(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_passes_and_a_wrong_key_or_an_empty_account_does_not() {
        for message in [
            "503 Service Unavailable",
            "529 {\"type\":\"overloaded_error\"}",
            "rate_limit_exceeded",
            "fetch failed",
            "connect ECONNREFUSED: Connection refused",
            "Request timed out.",
        ] {
            assert!(may_pass(message), "{message}");
        }
        for message in [
            "401 no such key",
            "400 prompt is too long: 150000 tokens",
            "429 insufficient_quota: check your plan and billing details",
            "the agent gives no reason",
            "",
        ] {
            assert!(!may_pass(message), "{message}");
        }
    }
}
