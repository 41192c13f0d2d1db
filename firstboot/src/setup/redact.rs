//! What may be shown of a line, and where its caret goes.

use std::ops::Range;

use secrecy::{ExposeSecret as _, SecretString};

use super::decode;
use super::lines::{self, Item};
use super::placeholder;
use super::rules::access::starts_private_key;
use super::rules::keys::{holds_secret, looks_secret};
use super::schema::{Class, Key};

/// The most characters of a line that are shown.
const WINDOW: usize = 100;
/// How much is shown before the caret when a line is too long.
const LEAD: usize = 40;

/// What of a line must not be shown.
#[derive(Clone)]
pub(super) enum Mask {
    /// Nothing.
    None,
    /// These characters, one star each, so that a caret can point at one of them. For keys and
    /// tokens, whose length is no secret.
    Aligned(Range<usize>),
    /// These characters, the last of the line, as a fixed number of stars. For passwords, and for
    /// whatever may be one.
    Fixed(Range<usize>),
}

/// What is shown for a [`Mask::Fixed`].
const FIXED: &str = "********";

/// Masks a range of a line, makes invisible characters visible, and cuts a very long line to a
/// window around the caret. Gives the text and the caret's place in it.
pub(super) fn shown(text: &str, mask: &Mask, caret: &Range<usize>) -> (String, Range<usize>) {
    let mut caret = caret.clone();
    let chars = match mask {
        Mask::None => text.chars().map(printable).collect::<Vec<_>>(),
        Mask::Aligned(mask) => {
            let star = |(at, c)| {
                if mask.contains(&at) {
                    '*'
                } else {
                    printable(c)
                }
            };
            text.chars().enumerate().map(star).collect()
        }
        Mask::Fixed(mask) => {
            let end = mask.start + FIXED.len();
            if caret.end > mask.start && caret.start >= mask.start {
                caret = mask.start..end;
            }
            caret.end = caret.end.min(end);
            text.chars()
                .take(mask.start)
                .map(printable)
                .chain(FIXED.chars())
                .collect()
        }
    };
    let caret = caret.start.min(chars.len())..caret.end.min(chars.len());
    if chars.len() <= WINDOW {
        return (chars.into_iter().collect(), caret);
    }
    let start = if caret.start + LEAD < WINDOW {
        0
    } else {
        caret.start - LEAD
    };
    let end = (start + WINDOW).min(chars.len());
    let lead = if start > 0 { "..." } else { "" };
    let tail = if end < chars.len() { "..." } else { "" };
    let cut = format!(
        "{lead}{}{tail}",
        chars[start..end].iter().collect::<String>()
    );
    let moved = |at: usize| at.clamp(start, end) - start + lead.len();
    (cut, moved(caret.start)..moved(caret.end))
}

/// A character as it may be printed: one column, nothing that moves the cursor.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{fffd}' => '?',
        _ if c.is_control() || is_invisible(c) => '?',
        _ => c,
    }
}

/// Whether a character is a space that does not look or behave like one.
pub(super) fn is_hard_space(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{2007}' | '\u{202f}')
}

/// Whether a character cannot be seen at all and can have no meaning in any value.
pub(super) fn is_invisible(c: char) -> bool {
    is_hard_space(c)
        || matches!(c, '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// The file as it may be shown to anyone looking over the operator's shoulder: values of secret
/// keys, and whatever else looks like a secret, replaced by `[hidden]`; comments included.
///
/// Lines end in `\n`. Bytes that are no text give one line saying so.
pub fn show(bytes: &[u8]) -> String {
    let text = match decode::decode(bytes) {
        Ok(text) => text,
        Err(error) => return format!("[the file {error}; nothing of it is shown]\n"),
    };
    let mut out = String::new();
    let items = lines::items(&text);
    let mut items = items.iter().peekable();
    let mut hiding_key = false;
    for (index, line) in decode::lines(&text).enumerate() {
        let number = index + 1;
        let item = items.next_if(|item| number_of(item) == number);
        match item {
            Some(Item::TooManyLines(_)) => {
                out.push_str("[the rest of the file is not shown]\n");
                break;
            }
            Some(Item::Pair(pair)) => {
                hiding_key = false;
                out.push_str(&show_pair(line, pair));
            }
            Some(Item::PrivateKey { .. }) => {
                hiding_key = true;
                out.push_str("[a private key, hidden]");
            }
            Some(Item::BarePublicKey(_)) if holds_secret(line) => out.push_str("[hidden]"),
            Some(Item::BarePublicKey(_)) => out.extend(line.chars().map(printable)),
            Some(Item::NoEquals { key, word_at, .. }) => {
                hiding_key = false;
                if key.is_some() {
                    out.extend(line.chars().take(word_at.end).map(printable));
                    out.push_str(" [hidden]");
                } else {
                    out.push_str("[hidden]");
                }
            }
            None if hiding_key && !line.trim().is_empty() => out.push_str("[hidden]"),
            None => out.push_str(&show_silent(line)),
        }
        out.push('\n');
    }
    out
}

/// The secret and personal values of a `setup.txt`, good or bad, commented out or not: what [`hide`] is to search for.
pub fn hidden_values(bytes: &[u8]) -> Vec<SecretString> {
    let Ok(text) = decode::decode(bytes) else {
        return Vec::new();
    };
    let pairs = lines::items(&text)
        .into_iter()
        .filter_map(|item| match item {
            Item::Pair(pair) => Some((pair.name.to_owned(), pair.value.to_owned())),
            _ => None,
        });
    let comments = decode::lines(&text)
        .filter_map(commented_out)
        .map(|(key, value)| (key.name().to_owned(), value.to_owned()));
    pairs
        .chain(comments)
        .filter(|(name, _)| {
            // The value of an unknown name may be a secret behind a slip of the pen.
            Key::from_name(name).is_none_or(|key| key.class() != Class::Plain)
        })
        .map(|(_, value)| value.trim().to_owned())
        .filter(|value| {
            // The template's own words are no secret.
            Key::ALL
                .iter()
                .all(|key| key.row().example != value && placeholder(*key, value).is_none())
        })
        .map(SecretString::from)
        .collect()
}

/// Shorter values are no secrets by any rule, and hiding them would hide the text.
const SHORTEST: usize = 5;

/// A text, such as a log, without these values in any spelling that our programs write, and without anything that has the
/// shape of a secret.
pub fn hide(text: &str, values: &[SecretString]) -> String {
    let mut spellings: Vec<String> = values
        .iter()
        .map(|value| value.expose_secret())
        .filter(|value| value.len() >= SHORTEST)
        .flat_map(spellings)
        .collect();
    // The longest first: where one holds another, none of its rest may stay.
    spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    let mut text = text.to_owned();
    for spelling in &spellings {
        if text.contains(spelling.as_str()) {
            text = text.replace(spelling.as_str(), HIDDEN);
        }
    }
    let mut out = String::new();
    let mut in_private_key = false;
    for line in text.split_inclusive('\n') {
        in_private_key |= starts_private_key(line);
        if in_private_key {
            in_private_key = !line.contains("-----END") && !line.contains("Private-MAC:");
            out.push_str(HIDDEN);
            out.extend(line.ends_with('\n').then_some('\n'));
        } else {
            hide_words(line, &mut out);
        }
    }
    out
}

const HIDDEN: &str = "[hidden]";

/// As it is, inside JSON, and inside a shell's double quotes.
fn spellings(value: &str) -> Vec<String> {
    let json = serde_json::to_string(value).unwrap_or_default();
    let json = json.trim_start_matches('"');
    let shell = value
        .chars()
        .flat_map(|c| {
            let escape = matches!(c, '"' | '\\' | '`' | '$').then_some('\\');
            escape.into_iter().chain([c])
        })
        .collect();
    vec![
        value.to_owned(),
        json.strip_suffix('"').unwrap_or(json).to_owned(),
        shell,
    ]
}

/// Adds a line with each word hidden that has the shape of a secret.
fn hide_words(line: &str, out: &mut String) {
    let ends_word = |c: char| c.is_whitespace() || "\"'<>[]{}(),;=\\`".contains(c);
    let mut rest = line;
    while !rest.is_empty() {
        let mut end = rest.find(ends_word).unwrap_or(rest.len());
        // A password's hash has signs in it that end other words.
        if HASHES.iter().any(|hash| rest[..end].contains(hash)) {
            let ends_hash = |c: char| c.is_whitespace() || "\"'".contains(c);
            end = rest.find(ends_hash).unwrap_or(rest.len());
        }
        let (word, after) = rest.split_at(end);
        out.push_str(if is_secret_word(word) { HIDDEN } else { word });
        let sign = after.chars().next();
        out.extend(sign);
        rest = &after[sign.map_or(0, char::len_utf8)..];
    }
}

/// How the hashes of passwords begin.
const HASHES: [&str; 4] = ["$argon2", "$y$", "$6$", "$2b$"];

/// A key of a known kind, a password's hash, or the mark of a seed, which is a hash over secrets.
fn is_secret_word(word: &str) -> bool {
    holds_secret(word)
        || word.starts_with("sha256:")
        || HASHES.iter().any(|hash| word.contains(hash))
}

fn number_of(item: &Item<'_>) -> usize {
    match item {
        Item::Pair(pair) => pair.line.number,
        Item::PrivateKey { line, .. }
        | Item::BarePublicKey(line)
        | Item::NoEquals { line, .. }
        | Item::TooManyLines(line) => line.number,
    }
}

fn show_pair(line: &str, pair: &lines::Pair<'_>) -> String {
    let open =
        Key::from_name(pair.name).is_some_and(|key| !key.is_secret() && !holds_secret(pair.value));
    let head = line.chars().take(pair.rest_at.start).map(printable);
    // A name can hold a pasted secret too: `sk-...=`.
    let named = Key::from_name(pair.name).is_some() || is_name(pair.name);
    match (named, open || pair.value.is_empty()) {
        (true, true) => line.chars().map(printable).collect(),
        (true, false) => head.chain("[hidden]".chars()).collect(),
        (false, _) => "[hidden]".to_owned(),
    }
}

/// Whether a text can be the name of a setting, known or not.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && !looks_secret(text)
}

/// The setting that a comment would be without its `#`, and what stands behind the `=`.
pub(super) fn commented_out(line: &str) -> Option<(Key, &str)> {
    let body = line.trim_start().strip_prefix('#')?.trim_start_matches('#');
    let (name, value) = body.split_once('=')?;
    let key = Key::from_name(name.trim().trim_start_matches("export").trim())?;
    Some((key, value))
}

/// A comment or blank line: a setting that was commented out is treated as one.
fn show_silent(line: &str) -> String {
    let body = line.trim_start().trim_start_matches('#');
    if starts_private_key(body) {
        return "# [hidden]".to_owned();
    }
    if let Some((key, value)) = commented_out(line) {
        let value = value.trim();
        let harmless = value.is_empty()
            || super::placeholder(key, value).is_some()
            || (!key.is_secret() && !holds_secret(value));
        return if harmless {
            line.chars().map(printable).collect()
        } else {
            let name = line.split('=').next().unwrap_or_default();
            name.chars()
                .map(printable)
                .chain("=[hidden]".chars())
                .collect()
        };
    }
    line.split(' ')
        .map(|word| {
            let value = word.split_once('=').map_or(word, |(_, value)| value);
            if looks_secret(word) || looks_secret(value) {
                "[hidden]".to_owned()
            } else {
                word.chars().map(printable).collect()
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_columns_or_hide_lengths() {
        let (text, caret) = shown("KEY=secret value", &Mask::Aligned(4..16), &(11..16));
        assert_eq!((text.as_str(), caret), ("KEY=************", 11..16));
        let (text, caret) = shown("KEY=secret value", &Mask::Fixed(4..16), &(11..12));
        assert_eq!((text.as_str(), caret), ("KEY=********", 4..12));
        let (text, caret) = shown("KEY=secret value", &Mask::Fixed(4..16), &(0..3));
        assert_eq!((text.as_str(), caret), ("KEY=********", 0..3));
    }

    #[test]
    fn the_template_is_shown_but_for_its_placeholders() {
        let shown = show(super::super::template("1", "c").as_bytes());
        assert!(shown.contains("\n#LOCALE=en_US.UTF-8\n"), "{shown}");
        assert!(
            shown.contains("\n#ANTHROPIC_API_KEY=sk-ant-...\n"),
            "{shown}"
        );
        assert!(show(b"#OPENAI_API_KEY=sk-proj-realkeyrealkey\n").contains("=[hidden]"));
        assert!(show(b"#HOSTNAME=sk-proj-realkeyrealkey\n").contains("=[hidden]"));
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let line = "x".repeat(3000);
        let (text, caret) = shown(&line, &Mask::None, &(2000..2001));
        assert_eq!(text.chars().count(), 106);
        assert_eq!(caret, 43..44);
        let (text, caret) = shown(&line, &Mask::None, &(0..3000));
        assert!(text.ends_with("x..."));
        assert_eq!(caret, 0..100);
    }

    #[test]
    fn secrets_in_settings_comments_and_stray_lines_are_hidden() {
        let secret = "sk-or-v1-0123456789abcdef0123456789abcdef";
        let text = format!(
            "OPENROUTER_API_KEY={secret}\n# old: {secret}\n#OPENAI_API_KEY = {secret}\nHOSTNAME={secret}\n{secret}\nFOO={secret}\n{secret}=1\nHOSTNAME=ada\n"
        );
        let shown = show(text.as_bytes());
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
        assert!(shown.contains("HOSTNAME=ada"));
        assert_eq!(shown.lines().count(), 8);
    }

    #[test]
    fn private_keys_are_hidden_to_their_end() {
        let text = "# hi\n-----BEGIN OPENSSH PRIVATE KEY-----\nAAAAsecret\n-----END OPENSSH PRIVATE KEY-----\nHOSTNAME=ada\n";
        let shown = show(text.as_bytes());
        assert!(!shown.contains("AAAA"), "{shown}");
        assert!(shown.ends_with("HOSTNAME=ada\n"));
    }
}
