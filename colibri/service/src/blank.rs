//! The keys that agents are given, taken out of what they print.
//!
//! What an agent prints ends up in sessions, in results of tasks and on screens, and a tool that
//! shows the environment is called sooner or later. A key that comes whole is blanked. One that an
//! agent takes apart or encodes is not recognised; nor is one in the pieces of a text that is still
//! being written, which a pane shows until the whole text takes their place. The daemon does this for
//! the host's own keys, the root helper for those of the tenant in whose jail the agent runs.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

/// What stands in a key's place; harmless within JSON.
const BLANK: &[u8] = b"(secret)";

/// Bytes of the shortest key. What is shorter may be a word that agents use.
const SHORTEST: usize = 8;

/// The keys to look for.
#[derive(Debug, Clone)]
pub struct Keys(Arc<[SecretString]>);

impl Keys {
    /// Of these, those that are long enough to be looked for: of eight bytes and more.
    pub fn new(keys: impl IntoIterator<Item = SecretString>) -> Self {
        let is_key = |key: &SecretString| key.expose_secret().len() >= SHORTEST;
        Self(keys.into_iter().filter(is_key).collect())
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A whole line without the keys in it.
    pub fn blanked(&self, line: &str) -> String {
        let passed = Blanker::new(self.clone()).sift(line.as_bytes(), true);
        String::from_utf8_lossy(&passed).into_owned()
    }

    fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|key| key.expose_secret().as_bytes())
    }
}

/// Blanks keys in what one process prints, which comes in pieces. It cannot be printed itself: it
/// may hold a part of a key.
pub struct Blanker {
    keys: Keys,
    /// What may be the beginning of a key. No key has a newline in it, so a line that has ended is
    /// never waited for.
    held: Vec<u8>,
}

impl Blanker {
    /// Nothing has come yet.
    pub fn new(keys: Keys) -> Self {
        Self {
            keys,
            held: Vec::new(),
        }
    }

    /// What has come, without keys.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.sift(bytes, false)
    }

    /// What was held back, when nothing more will come. What may begin a key begins none then, but a shorter one may be
    /// whole in it.
    pub fn rest(&mut self) -> Vec<u8> {
        self.sift(&[], true)
    }

    fn sift(&mut self, bytes: &[u8], is_all: bool) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(bytes);
        let mut passed = Vec::with_capacity(text.len());
        let mut rest = text.as_slice();
        while let Some((&first, behind)) = rest.split_first() {
            let begins = |key: &[u8]| key.len() > rest.len() && key.starts_with(rest);
            if !is_all && self.keys.all().any(begins) {
                self.held = rest.to_vec();
                break;
            }
            let found = self.keys.all().filter(|key| rest.starts_with(key));
            match found.map(<[u8]>::len).max() {
                Some(length) => {
                    passed.extend_from_slice(BLANK);
                    rest = &rest[length..];
                }
                None => {
                    passed.push(first);
                    rest = behind;
                }
            }
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "sk-aaaaab";
    const LONGER: &str = "sk-aaaaabc";

    fn blanker() -> Blanker {
        Blanker::new(Keys::new([KEY, LONGER, "pi"].map(SecretString::from)))
    }

    fn passed(pieces: &[&[u8]]) -> String {
        let mut blanker = blanker();
        let passed: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| blanker.pass(piece))
            .collect();
        String::from_utf8(passed).unwrap()
    }

    #[test]
    fn keys_are_blanked_and_nothing_else_is() {
        let said = format!("{{\"a\":\"{KEY}\"}} pi {LONGER}{KEY} sk-aaaa\n");
        assert_eq!(
            passed(&[said.as_bytes()]),
            "{\"a\":\"(secret)\"} pi (secret)(secret) sk-aaaa\n"
        );
        assert!(!format!("{:?}", blanker().keys).contains("sk-"));
    }

    #[test]
    fn only_what_may_become_a_key_is_held_back() {
        let mut blanker = blanker();
        assert_eq!(blanker.pass(b"see sk-aaa"), b"see ");
        assert_eq!(blanker.pass(b"aab"), b"");
        assert_eq!(blanker.pass(b"\n"), b"(secret)\n");
        assert_eq!(blanker.pass(b"sk-"), b"");
        assert_eq!(blanker.pass(b"ip sk-"), b"sk-ip ");
        assert_eq!(blanker.rest(), b"sk-");
        assert_eq!(blanker.rest(), b"");
    }

    #[test]
    fn a_key_that_begins_another_is_blanked_at_the_end_too() {
        let mut blanker = blanker();
        assert_eq!(blanker.pass(KEY.as_bytes()), b"");
        assert_eq!(blanker.rest(), b"(secret)");
        assert_eq!(blanker.keys.blanked(KEY), "(secret)");
        assert_eq!(blanker.keys.blanked("sk-aaaaa"), "sk-aaaaa");
    }

    proptest! {
        #[test]
        fn no_key_comes_through_however_it_is_cut(
            words in proptest::collection::vec(
                prop_oneof![
                    Just(KEY.to_owned()), Just(LONGER.to_owned()), Just("sk-aa".to_owned()), "[ask-]{1,3}",
                ],
                0..8,
            ),
            size in 1usize..12,
        ) {
            let said = words.concat() + "\n";
            let whole = passed(&[said.as_bytes()]);
            prop_assert!(!whole.contains(KEY) && whole.ends_with('\n'), "{whole}");
            let pieces: Vec<&[u8]> = said.as_bytes().chunks(size).collect();
            prop_assert_eq!(passed(&pieces), whole);
        }
    }
}
