//! What the eye should have seen in a value, before its rule is asked.

use super::is_kept_in_brackets;
use super::lines::Pair;
use super::redact;
use super::rules::{Rule, RuleError, access, keys};
use super::schema::Key;

/// What the eye should have seen: marks from word processors, remarks behind a value, and values
/// that belong to another setting.
pub(super) fn look(key: Key, pair: &Pair<'_>) -> Result<(), RuleError> {
    let rule = key.row().rule;
    let value = pair.value;
    if pair.open_quote {
        return Err(
            RuleError::new("quote", "begins with a quote that does not end")
                .at(0..1)
                .remedy("Remove the quote, or put the same one behind the value."),
        );
    }
    marks(rule.any_script(), value)?;
    if is_kept_in_brackets(key, value) {
        return Err(RuleError::new(
            "brackets",
            "still has the brackets of the placeholder round it",
        )
        .at(0..1)
        .remedy("Remove the bracket before the value and the one behind it."));
    }
    if rule.is_free_text() {
        return Ok(());
    }
    if access::starts_like_public_key(value) && key == Key::SshAuthorizedKey {
        return Ok(());
    }
    if let Some(owner) = keys::owner(value)
        && owner != key
        && rule != Rule::Information
    {
        let fault = format!("holds a value that belongs to `{}`", owner.name());
        let remedy = format!("Put this value behind {}= instead.", owner.name());
        return Err(RuleError::new("other-key", fault).remedy(remedy));
    }
    if key.is_secret()
        && let Some(service) = keys::stranger(value)
    {
        return Err(RuleError::new("other-service", format!("holds a key of {service}"))
            .remedy("That service is not among the providers; bring a key of OpenRouter, DeepSeek, Anthropic, OpenAI or Google Gemini."));
    }
    // Said before the rule is asked: a rule may repeat a plain value in what it says.
    if !key.is_secret() && key != Key::SshAuthorizedKey && keys::holds_secret(value) {
        return Err(RuleError::new(
            "stray-secret",
            "has something in it that looks like a secret key",
        )
        .remedy("Put the key behind the setting it belongs to, and nothing secret here."));
    }
    let remark = value.find(" #").filter(|_| !rule.any_script());
    if let Some(at) = remark {
        let start = value[..at].chars().count() + 1;
        return Err(RuleError::new("remark", "has a remark behind its value")
            .at(start..value.chars().count())
            .remedy("Put the remark on a line of its own, with the # first."));
    }
    Ok(())
}

fn marks(any_script: bool, value: &str) -> Result<(), RuleError> {
    let curly = |c: char| {
        "\u{201c}\u{201d}\u{201e}\u{201f}\u{2018}\u{2019}\u{201a}\u{201b}\u{ab}\u{bb}".contains(c)
    };
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let here = at..at + 1;
        if redact::is_hard_space(c) {
            return Err(RuleError::new("non-breaking-space", "has a non-breaking space in it")
                .at(here)
                .remedy("It looks like a space but is none; it comes from copying out of a web page. Delete it and type the value again."));
        }
        if redact::is_invisible(c) || c.is_control() {
            return Err(RuleError::new("invisible", "has an invisible character in it")
                .at(here)
                .remedy("It comes from copying out of a web page. Delete the value and type it again."));
        }
        if c == '\u{fffd}' {
            return Err(RuleError::new("not-utf8", "has a character in it that could not be read")
                .at(here)
                .remedy("In Notepad choose File > Save as, Encoding UTF-8, and write the character again."));
        }
        // An apostrophe inside a name is fine; a quote around the value never is.
        if curly(c) && (!any_script || at == 0 || (at == last && value.starts_with(curly))) {
            return Err(RuleError::new("curly-quotes", "has curly quotes in it")
                .at(here)
                .remedy("Remove them, or use straight quotes (\"). Word processors and phones make them curly by themselves."));
        }
        if !any_script && !c.is_ascii() {
            return Err(RuleError::new(
                "non-ascii",
                "has a letter or sign in it that is not allowed here",
            )
            .at(here)
            .remedy(
                "Use plain letters (a to z, without accents), digits and common punctuation.",
            ));
        }
    }
    Ok(())
}
