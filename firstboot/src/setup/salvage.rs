//! What can be taken over from a `setup.txt` with faults, so that nobody types it twice.

use secrecy::SecretString;

use super::decode;
use super::lines::{self, Item, Pair, VALUE_LIMIT};
use super::schema::{Key, Tier};
use super::{pages, placeholder, redact};

/// What was found in a file. `Debug` shows no value.
#[derive(Debug, Default)]
pub struct Salvage {
    /// Values in the order of the file, right or wrong; a key once, unless it may repeat.
    pub values: Vec<(Key, SecretString)>,
    /// Whether the file says something else besides: a second value, a remark of the operator's own, a line that
    /// cannot be understood.
    pub leftovers: bool,
}

/// Reads whatever can be read: settings, those with a slip in their name or no `=`, and a public key that stands by
/// itself. Texts of the template count as nothing.
pub fn salvage(bytes: &[u8]) -> Salvage {
    let mut found = Salvage::default();
    let Ok(text) = decode::decode(bytes) else {
        found.leftovers = true;
        return found;
    };
    let items = lines::items(&text);
    // What is spelt right goes first: a slip never takes its place.
    let (sure, guessed): (Vec<_>, Vec<_>) = items.iter().partition(|item| is_sure(item));
    for item in sure.into_iter().chain(guessed) {
        match value_of(item) {
            Some((key, value)) => found.take(key, value),
            None => found.leftovers = true,
        }
    }
    let ours = pages::remarks();
    let own = |line: &str| {
        let line = line.trim();
        !line.is_empty() && lines::is_silent(line) && !ours.contains(line)
    };
    found.leftovers |= decode::lines(&text).any(own);
    found
}

impl Salvage {
    fn take(&mut self, key: Key, value: &str) {
        let is_known = self.values.iter().any(|(known, _)| *known == key);
        if value.is_empty() || placeholder(key, value).is_some() {
            return;
        }
        if (is_known && !key.may_repeat())
            || key.row().tier == Tier::Gone
            || value.len() > VALUE_LIMIT
        {
            self.leftovers = true;
            return;
        }
        self.values.push((key, value.into()));
    }
}

fn is_sure(item: &Item<'_>) -> bool {
    matches!(item, Item::Pair(pair) if Key::from_name(pair.name).is_some())
}

/// The key that a line means, and what stands there for a value.
fn value_of<'a>(item: &Item<'a>) -> Option<(Key, &'a str)> {
    match item {
        Item::Pair(pair) => {
            let key = Key::from_name(pair.name).or_else(|| nearest(pair.name))?;
            Some((key, value_in(key, pair)))
        }
        Item::BarePublicKey(line) => Some((Key::SshAuthorizedKey, line.text.trim())),
        Item::NoEquals {
            line,
            key: Some(key),
            word_at,
        } => {
            let start = line.text.char_indices().nth(word_at.end)?.0;
            let rest = &line.text[start..];
            Some((*key, rest.trim_start_matches([':', ' ', '\t']).trim_end()))
        }
        Item::PrivateKey { .. } | Item::NoEquals { .. } | Item::TooManyLines(_) => None,
    }
}

fn nearest(name: &str) -> Option<Key> {
    redact::is_name(name).then(|| Key::nearest(name)).flatten()
}

fn value_in<'a>(key: Key, pair: &Pair<'a>) -> &'a str {
    if pair.open_quote {
        pair.value[1..].trim()
    } else if key.row().rule.is_free_text() {
        pair.value
    } else {
        pair.trimmed().value
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn read(text: &str) -> (Vec<(Key, String)>, bool) {
        let found = salvage(text.as_bytes());
        let open = |(key, value): &(Key, SecretString)| (*key, value.expose_secret().to_owned());
        (found.values.iter().map(open).collect(), found.leftovers)
    }

    #[test]
    fn slips_are_taken_for_what_they_mean() {
        let text = "TELEGRAM_BOT_TOKN=1:a\nHOSTNAME: ada\nTIMEZONE = \"UTC\nssh-ed25519 AAAA you\n";
        let (values, leftovers) = read(text);
        let expected = [
            (Key::Timezone, "UTC"),
            (Key::TelegramBotToken, "1:a"),
            (Key::Hostname, "ada"),
            (Key::SshAuthorizedKey, "ssh-ed25519 AAAA you"),
        ];
        assert_eq!(values, expected.map(|(key, value)| (key, value.to_owned())));
        assert!(!leftovers);
    }

    #[test]
    fn what_is_spelt_right_beats_a_slip_and_the_first_of_two_the_second() {
        let (values, leftovers) = read("HOST_NAME=a\nHOSTNAME=b\nHOSTNAME=c\n");
        assert_eq!(values, [(Key::Hostname, "b".to_owned())]);
        assert!(leftovers, "`a` and `c` are in no field");
    }

    #[test]
    fn the_template_has_nothing_to_keep() {
        let text = pages::template("", "");
        let (values, leftovers) = read(&text);
        assert!(!leftovers);
        let expected = [
            (Key::Profile, "balanced".to_owned()),
            (Key::SetupSchemaVersion, "1".to_owned()),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn what_cannot_be_taken_over_is_noticed() {
        for text in [
            "# call Ada when it breaks\n",
            "#HOSTNAME=other\n",
            "ROOT_PASSWORD=secret\n",
            "COLOUR=blue\n",
            "what is this\n",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
        ] {
            assert_eq!(read(text), (Vec::new(), true), "{text}");
        }
        assert!(salvage(b"{\\rtf1").leftovers);
    }
}
