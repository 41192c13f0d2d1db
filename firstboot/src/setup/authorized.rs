//! The file `authorized_keys` beside `setup.txt`, and private keys wherever they turn up.

use super::check::{Checker, Place, Say};
use super::decode;
use super::lines::{self, Item, LINE_LIMIT, Line};
use super::problem::Severity;
use super::redact::Mask;
use super::rules::access;
use super::schema::Key;

impl Checker {
    /// Reads an `authorized_keys` file: public keys only, one on each line.
    pub(super) fn authorized_keys(&mut self, bytes: &[u8]) {
        self.file = "authorized_keys".to_owned();
        let text = match decode::decode(bytes) {
            Ok(text) => text,
            Err(error) => return self.unreadable(error),
        };
        let mut in_private_key = false;
        for (index, text) in decode::lines(&text).enumerate() {
            let line = Line {
                number: index + 1,
                text,
            };
            if index >= LINE_LIMIT {
                return self.item(&Item::TooManyLines(line));
            }
            if in_private_key {
                in_private_key = !text.contains("-----END") && !text.contains("Private-MAC:");
                continue;
            }
            if lines::is_silent(text) {
                continue;
            }
            if access::starts_private_key(text) {
                in_private_key = !text.contains("-----END");
                let place = Place::new(line, Mask::Fixed(line.all()), line.all());
                self.say(Some(place), private_key(None));
                continue;
            }
            match access::ssh_public_key(text.trim()) {
                Ok(key) => self.setup.put_ssh_key(key),
                Err(error) => {
                    let open = access::starts_like_public_key(text.trim());
                    let mask = if open {
                        Mask::None
                    } else {
                        Mask::Fixed(line.all())
                    };
                    let place = Place::new(line, mask, line.all());
                    let say = Say {
                        severity: Severity::Error,
                        code: error.code,
                        key: Some(Key::SshAuthorizedKey),
                        title: format!("this line {}", error.fault),
                        rule: Some(Key::SshAuthorizedKey.row().rule.text().into_owned()),
                        remedy: error.remedy.unwrap_or_default().into_owned(),
                    };
                    self.say(Some(place), say);
                }
            }
        }
    }
}

/// What to say about a private key.
pub(super) fn private_key(key: Option<Key>) -> Say {
    Say {
        severity: Severity::Error,
        code: "private-key",
        key,
        title: "DANGER: this is a PRIVATE SSH key, which must never leave your own computer".to_owned(),
        rule: Some(Key::SshAuthorizedKey.row().rule.text().into_owned()),
        remedy: "Delete it from this file and treat it as no longer secret: make a new key pair. Then paste only the one line of the file that ends in .pub.".to_owned(),
    }
}
