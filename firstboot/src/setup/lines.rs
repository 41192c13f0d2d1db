//! Text to key/value pairs, each with the place it stands at.

use std::ops::Range;

use super::decode;
use super::rules::access::{starts_like_public_key, starts_private_key};
use super::schema::Key;

/// The most lines read.
pub const LINE_LIMIT: usize = 500;
/// The longest value, in bytes.
pub const VALUE_LIMIT: usize = 4 * 1024;

/// One line of the file.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub number: usize,
    /// The line without its ending.
    pub text: &'a str,
}

impl Line<'_> {
    /// The whole line, in characters.
    pub(super) fn all(&self) -> Range<usize> {
        0..self.text.chars().count()
    }

    /// A range of bytes of this line as a range of characters.
    pub(super) fn chars(&self, bytes: Range<usize>) -> Range<usize> {
        let start = self.text[..bytes.start].chars().count();
        start..start + self.text[bytes].chars().count()
    }
}

/// A `KEY=value` line.
#[derive(Clone)]
pub(super) struct Pair<'a> {
    /// The line it stands in.
    pub line: Line<'a>,
    /// The name as written.
    pub name: &'a str,
    /// Where the name is, in characters of the line.
    pub name_at: Range<usize>,
    /// The value, trimmed and without matching quotes.
    pub value: &'a str,
    /// Where the value is, in characters of the line.
    pub value_at: Range<usize>,
    /// Where everything behind the `=` is, in characters: what has to be masked for a secret.
    pub rest_at: Range<usize>,
    /// Whether an opening quote has no closing one.
    pub open_quote: bool,
}

impl Pair<'_> {
    /// The same without blanks that stood inside the quotes.
    pub(super) fn trimmed(&self) -> Self {
        let value = self.value.trim_matches(BLANKS);
        let start = self.value.len() - self.value.trim_start_matches(BLANKS).len();
        // Blanks are one byte and one character each.
        let from = (self.value_at.start + start).min(self.value_at.end);
        let value_at = from..from + value.chars().count();
        Pair {
            value,
            value_at,
            ..self.clone()
        }
    }
}

/// What a line turned out to be.
pub(super) enum Item<'a> {
    /// A setting.
    Pair(Pair<'a>),
    /// The first line of a private key; the rest of the key has been passed over.
    PrivateKey {
        /// The line.
        line: Line<'a>,
        /// The setting it stands behind, if any.
        key: Option<Key>,
        /// Where the key starts, in characters.
        at: Range<usize>,
    },
    /// A public key without `SSH_AUTHORIZED_KEY=` before it.
    BarePublicKey(Line<'a>),
    /// A known key with something other than `=` behind it.
    NoEquals {
        /// The line.
        line: Line<'a>,
        /// The key it begins with, if it begins with one.
        key: Option<Key>,
        /// Where the first word is, in characters.
        word_at: Range<usize>,
    },
    /// The file goes on behind [`LINE_LIMIT`] lines.
    TooManyLines(Line<'a>),
}

/// What may stand around names and values.
pub(super) const BLANKS: [char; 2] = [' ', '\t'];

/// Whether the line says nothing: blank, or a comment.
pub(super) fn is_silent(text: &str) -> bool {
    let text = text.trim_start_matches(['\u{feff}', '\u{200b}']).trim();
    text.is_empty() || text.starts_with('#')
}

/// Reads the lines of a decoded `setup.txt`.
pub(super) fn items(text: &str) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    let mut in_private_key = false;
    for (index, text) in decode::lines(text).enumerate() {
        let line = Line {
            number: index + 1,
            text,
        };
        if index == LINE_LIMIT {
            items.push(Item::TooManyLines(line));
            break;
        }
        if in_private_key {
            let ends = text.contains("-----END") || text.contains("Private-MAC:");
            if ends {
                in_private_key = false;
            }
            // A key that was cut off has no end: the next setting is one.
            if ends || !begins_known_setting(text) {
                continue;
            }
            in_private_key = false;
        }
        if is_silent(text) {
            continue;
        }
        if starts_private_key(text) {
            in_private_key = !text.contains("-----END") && !text.contains("Private-MAC:");
            items.push(private_key(line));
            continue;
        }
        if starts_like_public_key(text.trim_matches(BLANKS)) {
            items.push(Item::BarePublicKey(line));
            continue;
        }
        items.push(pair(line));
    }
    items
}

fn begins_known_setting(text: &str) -> bool {
    text.split_once('=')
        .is_some_and(|(name, _)| Key::from_name(strip_export(name).1).is_some())
}

/// The byte offset and text of a name, without `export` and blanks.
pub(super) fn strip_export(text: &str) -> (usize, &str) {
    let mut start = text.len() - text.trim_start_matches(BLANKS).len();
    if let Some(rest) = text[start..].strip_prefix("export")
        && rest.starts_with(BLANKS)
    {
        start = text.len() - rest.trim_start_matches(BLANKS).len();
    }
    (start, text[start..].trim_end_matches(BLANKS))
}

fn private_key(line: Line<'_>) -> Item<'_> {
    let (key, start) = match line.text.split_once('=') {
        Some((name, rest)) if Key::from_name(strip_export(name).1).is_some() => (
            Key::from_name(strip_export(name).1),
            line.text.len() - rest.len(),
        ),
        _ => (None, 0),
    };
    Item::PrivateKey {
        line,
        key,
        at: line.chars(start..line.text.len()),
    }
}

fn pair(line: Line<'_>) -> Item<'_> {
    let Some(equals) = line.text.find('=') else {
        let (start, rest) = strip_export(line.text);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = start + rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let key = Key::from_name(&line.text[start..end]);
        return Item::NoEquals {
            line,
            key,
            word_at: line.chars(start..end),
        };
    };
    let (name_start, name) = strip_export(&line.text[..equals]);
    let rest = &line.text[equals + 1..];
    let mut value_start = equals + 1 + (rest.len() - rest.trim_start_matches(BLANKS).len());
    let mut value = rest.trim_matches(BLANKS);
    let mut open_quote = false;
    if let Some(quote) = value.chars().next().filter(|c| *c == '"' || *c == '\'') {
        match value[1..].strip_suffix(quote) {
            Some(inner) => {
                value = inner;
                value_start += 1;
            }
            None => open_quote = true,
        }
    }
    Item::Pair(Pair {
        line,
        name,
        name_at: line.chars(name_start..name_start + name.len()),
        value,
        value_at: line.chars(value_start..value_start + value.len()),
        rest_at: line.chars(equals + 1..line.text.len()),
        open_quote,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only_pair(text: &str) -> Pair<'_> {
        match items(text).into_iter().next() {
            Some(Item::Pair(pair)) => pair,
            _ => panic!("no pair in {text:?}"),
        }
    }

    #[test]
    fn spaces_quotes_and_export_are_tolerated() {
        for text in [
            "HOSTNAME=ada",
            "  HOSTNAME = ada ",
            "export HOSTNAME=ada",
            "\texport\tHOSTNAME =\t\"ada\"",
            "HOSTNAME='ada'",
        ] {
            let pair = only_pair(text);
            assert_eq!(
                (pair.name, pair.value, pair.open_quote),
                ("HOSTNAME", "ada", false)
            );
            let shown = text
                .chars()
                .skip(pair.value_at.start)
                .take(3)
                .collect::<String>();
            assert_eq!(shown, "ada", "{text}");
        }
        assert!(only_pair("HOSTNAME=\"ada").open_quote);
        assert!(only_pair("HOSTNAME=\"").open_quote);
        assert_eq!(only_pair("exportHOSTNAME=ada").name, "exportHOSTNAME");
    }

    #[test]
    fn columns_count_characters() {
        let pair = only_pair("ASSISTANT_NAME=„Zoë“");
        assert_eq!(pair.value_at, 15..20);
    }

    #[test]
    fn a_private_key_is_one_item_whether_it_ends_or_not() {
        let whole = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc=\n-----END OPENSSH PRIVATE KEY-----\nHOSTNAME=ada\n";
        let cut = "SSH_AUTHORIZED_KEY=-----BEGIN OPENSSH PRIVATE KEY-----\nabc=\nHOSTNAME=ada\n";
        for text in [whole, cut] {
            let found = items(text);
            assert!(
                matches!(found.as_slice(), [Item::PrivateKey { .. }, Item::Pair(_)]),
                "{text}"
            );
        }
    }

    #[test]
    fn a_colon_or_a_space_for_the_equals_sign_is_noticed() {
        for text in ["HOSTNAME: ada", "HOSTNAME ada"] {
            let found = items(text);
            assert!(
                matches!(
                    found.as_slice(),
                    [Item::NoEquals {
                        key: Some(Key::Hostname),
                        ..
                    }]
                ),
                "{text}"
            );
        }
    }
}
