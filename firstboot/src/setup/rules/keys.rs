//! Shapes of API keys, tokens and ids; and whose key a pasted value is.

use super::{Outcome, RuleError};
use crate::setup::provider::Provider;
use crate::setup::schema::Key;

fn key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// The rest of a value behind a prefix, if it is made of key characters and at least `least` long.
fn behind<'a>(value: &'a str, prefix: &str, least: usize) -> Option<&'a str> {
    value
        .strip_prefix(prefix)
        .filter(|rest| rest.len() >= least && rest.chars().all(key_char))
}

fn is_deepseek(value: &str) -> bool {
    behind(value, "sk-", 32)
        .is_some_and(|rest| rest.len() == 32 && rest.chars().all(|c| c.is_ascii_hexdigit()))
}

fn is_telegram_token(value: &str) -> bool {
    value.split_once(':').is_some_and(|(id, rest)| {
        (6..=12).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_digit())
            && rest.len() == 35
            && rest.chars().all(key_char)
    })
}

/// Whose value this is, judged by its shape alone; `None` when the shape says nothing certain.
pub fn owner(value: &str) -> Option<Key> {
    let provider = if value.starts_with("sk-or-") {
        Provider::OpenRouter
    } else if value.starts_with("sk-ant-") {
        Provider::Anthropic
    } else if behind(value, "AIza", 30).is_some() {
        Provider::Gemini
    } else if is_deepseek(value) {
        Provider::DeepSeek
    } else if ["sk-proj-", "sk-svcacct-", "sk-admin-"]
        .iter()
        .any(|p| value.starts_with(p))
        || behind(value, "sk-", 48).is_some_and(|rest| rest.len() == 48)
    {
        Provider::OpenAi
    } else if is_telegram_token(value) {
        return Some(Key::TelegramBotToken);
    } else if super::access::starts_like_public_key(value) {
        return Some(Key::SshAuthorizedKey);
    } else if client_uuid(value).is_some_and(is_uuid) {
        return Some(Key::BwClientid);
    } else {
        return None;
    };
    Some(provider.key())
}

/// A service whose keys are known by shape but not used here.
pub fn stranger(value: &str) -> Option<&'static str> {
    const STRANGERS: &[(&str, &str)] = &[
        ("gsk_", "Groq"),
        ("xai-", "xAI"),
        ("hf_", "Hugging Face"),
        ("pplx-", "Perplexity"),
        ("ghp_", "GitHub"),
        ("github_pat_", "GitHub"),
        ("AKIA", "Amazon"),
        ("tskey-", "Tailscale"),
    ];
    let known = STRANGERS
        .iter()
        .find(|(prefix, _)| behind(value, prefix, 16).is_some());
    known.map(|(_, name)| *name)
}

/// Whether any word of a text has the shape of a known kind of secret.
pub fn holds_secret(text: &str) -> bool {
    let words = text.split(|c: char| c.is_whitespace() || "\"'<>[]()=,;".contains(c));
    let mut words = words.filter(|word| !word.is_empty());
    words.any(|word| {
        owner(word).is_some_and(Key::is_secret)
            || stranger(word).is_some()
            || behind(word, "sk-", 12).is_some()
    })
}

/// Whether a word looks like a secret of any kind, for text that belongs to no setting. Errs on
/// the side of yes.
pub fn looks_secret(word: &str) -> bool {
    let word = word.trim_matches(|c: char| "\"'`,;()[]<>".contains(c));
    if owner(word).is_some_and(Key::is_secret) || stranger(word).is_some() {
        return true;
    }
    if word.starts_with("sk-") && word.len() > 8 {
        return true;
    }
    // Long words without path or domain shape that mix letters and digits.
    let has = |test: fn(&char) -> bool| word.chars().any(|c| test(&c));
    word.chars().count() >= 16
        && !word.contains("://")
        && has(char::is_ascii_digit)
        && has(|c| c.is_alphabetic())
}

/// An API key of a provider.
pub fn provider_key(provider: Provider, value: &str) -> Outcome {
    let good = match provider {
        Provider::OpenRouter => behind(value, "sk-or-", 20).is_some(),
        Provider::Anthropic => behind(value, "sk-ant-", 20).is_some(),
        Provider::OpenAi | Provider::DeepSeek => behind(value, "sk-", 20).is_some(),
        Provider::Gemini => {
            behind(value, "AIza", 35).is_some_and(|rest| rest.len() == 35)
                || behind(value, "AQ.", 20).is_some()
        }
    };
    if good {
        return Ok(());
    }
    let odd = value.chars().position(|c| !key_char(c) && c != '.');
    let error = match odd {
        Some(at) => {
            RuleError::new("shape", "has a character in it that no such key has").at(at..at + 1)
        }
        None => RuleError::new(
            "shape",
            format!("does not look like a key of {}", provider.title()),
        ),
    };
    Err(error.remedy(format!(
        "Copy the key again from {}'s page, the whole of it, and paste it right behind the `=`.",
        provider.title()
    )))
}

/// The rule of a provider's key in words.
pub fn provider_key_rule(provider: Provider) -> &'static str {
    match provider {
        Provider::OpenRouter => "starts with sk-or-, then at least 20 letters, digits, `-` or `_`",
        Provider::Anthropic => "starts with sk-ant-, then at least 20 letters, digits, `-` or `_`",
        Provider::OpenAi | Provider::DeepSeek => {
            "starts with sk-, then at least 20 letters, digits, `-` or `_`"
        }
        Provider::Gemini => {
            "starts with AIza, then 35 letters, digits, `-` or `_` (or the newer form that starts with AQ.)"
        }
    }
}

/// A Telegram bot token.
pub fn telegram_token(value: &str) -> Outcome {
    if is_telegram_token(value) {
        return Ok(());
    }
    let error = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        RuleError::new("other-key", "holds only digits: that is an id, not a bot's token")
            .remedy("If it is your own id, put it behind TELEGRAM_ADMIN_ID=. The token comes from @BotFather and has a colon in it.")
    } else if value.starts_with("bot") && is_telegram_token(&value[3..]) {
        RuleError::new(
            "shape",
            "starts with the word bot, which is not part of the token",
        )
        .at(0..3)
        .remedy("Remove the three letters bot.")
    } else if value.contains(char::is_whitespace) {
        RuleError::new("shape", "has a space in it")
            .remedy("Copy the token from @BotFather's answer again, without the words around it.")
    } else {
        RuleError::new("shape", "does not look like a bot's token")
            .remedy("Copy the token from @BotFather's answer again, the whole of it.")
    };
    Err(error)
}

/// A Telegram user id.
pub fn telegram_id(value: &str) -> Outcome {
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    if digits && (5..=15).contains(&value.len()) && !value.starts_with('0') {
        return Ok(());
    }
    let find = "Write to @userinfobot in Telegram; it answers with your number.";
    let error = if value.starts_with('@') {
        RuleError::new("shape", "holds a user name; the numeric id is needed").remedy(find)
    } else if value.starts_with('-') {
        RuleError::new("shape", "holds the id of a group; your own id is needed").remedy(find)
    } else if digits {
        RuleError::new("shape", "is not as long as a Telegram id is").remedy(find)
    } else {
        RuleError::new("shape", "is not a number").remedy(find)
    };
    Err(error)
}

/// `TELEGRAM=none`.
pub fn telegram_switch(value: &str) -> Outcome {
    if value.eq_ignore_ascii_case("none") {
        return Ok(());
    }
    Err(RuleError::new("choice", "can only be none").remedy(
        "To use Telegram, remove this line and fill in TELEGRAM_BOT_TOKEN and TELEGRAM_ADMIN_ID. To do without, write TELEGRAM=none.",
    ))
}

fn client_uuid(value: &str) -> Option<&str> {
    value
        .strip_prefix("user.")
        .or_else(|| value.strip_prefix("organization."))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        })
}

/// A Bitwarden API client id.
pub fn bw_client_id(value: &str) -> Outcome {
    if client_uuid(value).is_some_and(is_uuid) {
        return Ok(());
    }
    Err(
        RuleError::new("shape", "does not look like an API client id").remedy(
            "In the vault's web page: Settings, Security, Keys, View API key; copy client_id.",
        ),
    )
}

/// A Bitwarden API client secret.
pub fn bw_client_secret(value: &str) -> Outcome {
    if (20..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(
        RuleError::new("shape", "does not look like an API client secret").remedy(
            "In the vault's web page: Settings, Security, Keys, View API key; copy client_secret.",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(prefix: &str, count: usize) -> String {
        format!(
            "{prefix}{}",
            "a1B2".repeat(count).chars().take(count).collect::<String>()
        )
    }

    #[test]
    fn owners_are_told_by_shape() {
        let token = long("123456789:", 35);
        for (value, key) in [
            (long("sk-or-v1-", 64), Key::OpenrouterApiKey),
            (long("sk-ant-api03-", 40), Key::AnthropicApiKey),
            (long("sk-proj-", 40), Key::OpenaiApiKey),
            (long("sk-", 48), Key::OpenaiApiKey),
            (
                format!("sk-{}", "0123456789abcdef".repeat(2)),
                Key::DeepseekApiKey,
            ),
            (long("AIza", 35), Key::GeminiApiKey),
            (token, Key::TelegramBotToken),
        ] {
            assert_eq!(owner(&value), Some(key), "{value}");
            assert!(looks_secret(&value));
            assert!(key.row().rule.check(&value).is_ok(), "{value}");
        }
        assert_eq!(owner("Ada Lovelace"), None);
        assert_eq!(stranger(&long("gsk_", 30)), Some("Groq"));
    }

    #[test]
    fn ordinary_words_do_not_look_secret() {
        for word in [
            "hello",
            "Europe/Ljubljana",
            "https://openrouter.ai/keys",
            "setup.txt",
            "2026",
        ] {
            assert!(!looks_secret(word), "{word}");
        }
    }

    #[test]
    fn telegram_slips_have_their_own_words() {
        let token = long("123456789:", 35);
        assert!(telegram_token(&token).is_ok());
        assert_eq!(
            telegram_token("123456789").expect_err("id").code,
            "other-key"
        );
        assert!(telegram_token(&format!("bot{token}")).is_err());
        assert!(telegram_token(&token[..40]).is_err());
        assert!(telegram_id("123456789").is_ok());
        for bad in ["@ada", "-100123456", "12", "012345", "12a45"] {
            assert!(telegram_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn vault_ids_are_checked() {
        assert!(bw_client_id("user.01234567-89ab-cdef-0123-456789abcdef").is_ok());
        assert!(bw_client_id("organization.01234567-89ab-cdef-0123-456789abcdef").is_ok());
        assert!(bw_client_id("01234567-89ab-cdef-0123-456789abcdef").is_err());
        assert!(bw_client_secret(&long("", 30)).is_ok());
        assert!(bw_client_secret("short").is_err());
    }
}
