//! Which failures of a model call may pass by themselves.

/// Statuses of HTTP with which a provider says "not now".
const STATUSES: [&str; 6] = ["429", "500", "502", "503", "504", "529"];

/// What providers and agents call it, in words alone. Those with which `pi` tries again by itself.
const SIGNS: [&str; 24] = [
    "overloaded",
    "provider returned error",
    "rate limit",
    "too many requests",
    "service unavailable",
    "bad gateway",
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
    let message = message.to_lowercase();
    let tokens: Vec<&str> = tokens(&message).collect();
    let words: Vec<&str> = tokens
        .iter()
        .copied()
        .filter(|token| token.starts_with(char::is_alphanumeric))
        .collect();
    let text = words.join(" ");
    let has = |sign: &&str| text.contains(*sign);
    (says_not_now(&tokens) || SIGNS.iter().any(has)) && !LASTING.iter().any(has)
}

/// Whether one of the [`STATUSES`] stands where one is printed. In "at most 500 tokens" none does.
fn says_not_now(tokens: &[&str]) -> bool {
    tokens
        .iter()
        .enumerate()
        .any(|(at, token)| STATUSES.contains(token) && is_status(&tokens[..at], &tokens[at + 1..]))
}

/// Whether a number between these is a status of HTTP, in the shapes in which `pi` and the libraries
/// that it calls providers with print one.
fn is_status(before: &[&str], after: &[&str]) -> bool {
    match before {
        // `503 Service Unavailable`, `503: {"type":…}`, `503 status code (no body)`
        [] => true,
        // `HTTP 503`, `failed with status 503`, `got status: 503`, `status=503`, `status code 503`
        [.., "http" | "status"] | [.., "status", ":" | "=" | "code"] => true,
        // `status_code: 503`, `Error code: 503`
        [.., "status" | "error", "code", ":" | "="] => true,
        // `{"error":{"code":503,…}}`
        [.., "\"", "code" | "status" | "statuscode", "\"", ":"] => true,
        // `Mistral API error (503): …`
        [.., "error" | "failed", "("] => after.first() == Some(&")"),
        _ => false,
    }
}

/// A text's words, and its signs one by one. Blanks are left out, and so are `_` and the backslashes
/// of JSON in JSON: it does not matter how words are joined.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let is_sign = |c: char| !c.is_alphanumeric();
    let says_nothing = |c: char| c.is_whitespace() || c == '_' || c == '\\';
    text.split_inclusive(is_sign)
        .flat_map(move |piece| {
            let word = piece.trim_end_matches(is_sign);
            [word, piece[word.len()..].trim_matches(says_nothing)]
        })
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_outage_passes_and_a_wrong_key_or_an_empty_account_does_not() {
        for message in [
            "503 Service Unavailable",
            "529 {\"type\":\"overloaded_error\"}",
            "rate_limit_exceeded",
            "fetch failed",
            "connect ECONNREFUSED: Connection refused",
            "Request timed out.",
            "the gateway says: Bad Gateway",
        ] {
            assert!(may_pass(message), "{message}");
        }
        for message in [
            "401 no such key",
            "400 prompt is too long: 150000 tokens",
            "400 max_tokens: at most 500 tokens",
            "429 insufficient_quota: check your plan and billing details",
            "the agent gives no reason",
            "",
        ] {
            assert!(!may_pass(message), "{message}");
        }
    }

    #[test]
    fn a_status_counts_wherever_one_is_printed() {
        for status in STATUSES {
            for message in [
                status.to_owned(),
                format!("{status} status code (no body)"),
                format!("{status}: {{\"message\":\"not now\"}}"),
                format!("Mistral API error ({status}): not now"),
                format!("token refresh failed ({status}): not now"),
                format!("Request failed with status {status}"),
                format!("HTTP request failed. status={status}; url=https://example.com/"),
                format!("token refresh failed (HTTP {status}): not now"),
                format!("got status: {status}. {{}}"),
                format!("status_code: {status}"),
                format!("Error code: {status} - not now"),
                format!("{{\"error\":{{\"message\":\"\",\"code\":{status},\"status\":\"\"}}}}"),
                format!("{{\"error\":\"{{\\\"code\\\": {status}}}\"}}"),
            ] {
                assert!(may_pass(&message), "{message}");
            }
        }
    }

    /// What may stand around a number that is no status.
    const AROUND: [&str; 16] = [
        "at most ",
        "tokens ",
        "limit of ",
        "error: ",
        "code ",
        "(",
        ") ",
        "max_tokens=",
        "id: ",
        "\"n\": ",
        "$",
        "#",
        "-",
        "1",
        "a",
        "ä ",
    ];

    proptest! {
        #[test]
        fn an_ordinary_number_is_no_status(
            before in proptest::collection::vec(proptest::sample::select(AROUND.to_vec()), 1..6),
            number in proptest::sample::select(STATUSES.to_vec()),
            after in proptest::collection::vec(proptest::sample::select(AROUND.to_vec()), 0..6),
        ) {
            let message = format!("{}{number}{}", before.concat(), after.concat());
            prop_assert!(!may_pass(&message), "{message}");
        }
    }
}
