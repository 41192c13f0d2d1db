//! What this host knows of a seed that it has emptied of secrets (`SEED_SECRETS=blank`).
//!
//! The emptied file is another file, and still the same seed: nothing is to be done for it, and nothing is missing in
//! it. The record is on disk before the first byte of the seed changes, so a power cut at any moment leaves a seed that
//! is recognised: as it was, overwritten in part, or emptied.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretSlice};
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::host::{Host, HostError};
use crate::seed::Files;
use crate::setup::{self, Blanked, Kept, Key, Provider};

/// The version that this program writes, and the only one so far.
const VERSION: u32 = 1;

/// The record. Marks are hashes over text with secrets: it is for root alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// Mark of the seed as it was applied.
    before: String,
    /// Mark of the seed once blanks have been written over its secrets.
    overlaid: String,
    /// Mark of the emptied seed.
    after: String,
    /// Names of the settings that were emptied, now and before: for these the host's own values stand.
    keys: Vec<String>,
    /// Whether the emptied file is on the stick.
    finished: bool,
}

/// What a seed is to this host.
#[derive(Debug)]
pub struct Recognised {
    /// The mark that it goes by.
    pub mark: String,
    /// What is to be judged in place of a file that a cut left half overwritten.
    pub instead: Option<Files>,
    /// It had been emptied, and is back as it was.
    pub is_restored: bool,
}

impl Record {
    /// Reads the record; `None` when no seed was ever emptied.
    ///
    /// # Errors
    /// It cannot be read, or is none of ours.
    pub fn read(host: &dyn Host) -> Result<Option<Self>, HostError> {
        let path = host.paths().emptied;
        let Some(bytes) = host.read(Path::new(path))? else {
            return Ok(None);
        };
        let strange = |detail: String| HostError::Unexpected {
            what: path.into(),
            detail,
        };
        let record: Self =
            serde_json::from_slice(&bytes).map_err(|error| strange(error.to_string()))?;
        if record.version > VERSION {
            let found = record.version;
            return Err(strange(format!(
                "a newer clawdie-firstboot wrote it (format {found}, this one knows {VERSION})"
            )));
        }
        Ok(Some(record))
    }

    /// What is to be written down before a seed is emptied.
    pub fn of(
        files: &Files,
        blanked: &Blanked,
        mark: &str,
        agent: &str,
        last: Option<&Self>,
    ) -> Self {
        let with = |setup: &[u8]| {
            Files {
                setup: SecretSlice::from(setup.to_vec()),
                ..files.clone()
            }
            .mark(agent)
        };
        let mut keys: Vec<String> = last.map(|last| last.keys.clone()).unwrap_or_default();
        for key in &blanked.keys {
            if !keys.iter().any(|known| known == key.name()) {
                keys.push(key.name().to_owned());
            }
        }
        Self {
            version: VERSION,
            before: mark.to_owned(),
            overlaid: with(&blanked.overlaid),
            after: with(&blanked.clean),
            keys,
            finished: false,
        }
    }

    /// Writes the record; it is on disk when this returns.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, host: &dyn Host) -> Result<(), HostError> {
        let mut text = serde_json::to_vec(self).map_err(|error| HostError::Unexpected {
            what: "the record of an emptied seed".into(),
            detail: error.to_string(),
        })?;
        text.push(b'\n');
        host.write(Path::new(host.paths().emptied), &text, 0o600)
    }

    /// The same with the work done.
    pub fn finished(self) -> Self {
        Self {
            finished: true,
            ..self
        }
    }

    /// Whether the seed of this mark was about to be emptied when the power went.
    pub fn is_begun_for(&self, mark: &str) -> bool {
        !self.finished && self.before == mark
    }

    /// Whether the emptied file is known to be on the stick.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Says what a seed is, if it has to do with the emptied one.
    pub fn recognise(&self, files: &Files, agent: &str) -> Option<Recognised> {
        let mark = files.mark(agent);
        let known = |instead, is_restored| {
            Some(Recognised {
                mark: self.before.clone(),
                instead,
                is_restored,
            })
        };
        if mark == self.after {
            return known(None, false);
        }
        if mark == self.before {
            return known(None, self.finished);
        }
        if self.finished {
            return None;
        }
        let blanked = setup::blank(files.setup.expose_secret())?;
        let overlaid = Files {
            setup: SecretSlice::from(blanked.overlaid),
            ..files.clone()
        };
        // A file whose secrets are all whole is one that the operator has filled in since, not ours.
        (overlaid.mark(agent) == self.overlaid && blanked.is_frayed)
            .then(|| known(Some(overlaid), false))?
    }

    /// The settings that were emptied.
    pub fn emptied(&self) -> impl Iterator<Item = Key> + '_ {
        self.keys.iter().filter_map(|name| Key::from_name(name))
    }

    /// What this host holds for the emptied settings.
    pub fn kept(&self, host: &dyn Host) -> Kept {
        let environment = host
            .read(Path::new(host.paths().provider_env))
            .ok()
            .flatten()
            .map(|bytes| environment::read(&String::from_utf8_lossy(&bytes)))
            .unwrap_or_default();
        let mut kept = Kept::new();
        for key in self.emptied() {
            let value = environment
                .iter()
                .find(|(name, _)| name == key.name())
                .map(|(_, value)| value.clone());
            // Where it can be read back and is gone, the operator has to bring it again.
            if value.is_some() || !is_in_environment(key) {
                kept.insert(key, value);
            }
        }
        kept
    }
}

/// Whether the value of a secret lies in `provider.env`.
fn is_in_environment(key: Key) -> bool {
    key == Key::TelegramBotToken || Provider::ALL.iter().any(|provider| provider.key() == key)
}
