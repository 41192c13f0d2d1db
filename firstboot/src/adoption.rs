//! What a host is, and what a seed may still change about it.
//!
//! Once everything in a seed has been applied, the late phase writes down what was: [`Identity`]. From then on, and on
//! somebody else's host with `INSTALL_MODE=adopt`, a seed fills blanks only. What it may do per key stands in the table
//! of settings ([`OnAdopt`]); here it is done.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::facts::Facts;
use crate::host::{Host, HostError};
use crate::profile::Profiles;
use crate::setup::schema::{OnAdopt, TABLE};
use crate::setup::{Class, Key, Setup};

/// The version of the record that this program writes, and the only one so far.
const VERSION: u32 = 1;

/// Host names that nobody chose.
const NO_NAMES: [&str; 3] = ["", "localhost", "amnesiac"];

/// What a host is known to be. Holds no secret; personal data, so it is for root alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    version: u32,
    /// It was somebody's host before (`INSTALL_MODE=adopt`): its time zone, network and partitions are not ours.
    adopted: bool,
    /// Settings that were applied, by name.
    settings: BTreeMap<String, String>,
    /// The number before the colon of the bot's token.
    telegram_bot: Option<String>,
    /// Variables of `provider.env` that are no secrets, as they were written: one that is still so, and that no setting
    /// ever named, is a default of ours and no choice of anybody.
    environment: BTreeMap<String, String>,
}

/// What came of holding a seed against the host.
#[derive(Debug)]
pub struct Adoption {
    /// What the host was known to be before this run; `None` on a fresh one.
    known: Option<Identity>,
    /// The settings as they are to be applied: the seed's, with what the host keeps in their place.
    pub setup: Setup,
    /// What the seed says otherwise than the host, and what the host keeps.
    pub differences: Vec<String>,
    /// Lines that first boot had emptied (`SEED_SECRETS=blank`) and the operator filled anew: these are meant.
    refilled: Vec<Key>,
}

fn bot(token: &SecretString) -> String {
    let token = token.expose_secret();
    token.split(':').next().unwrap_or_default().to_owned()
}

impl Identity {
    /// Reads the record; `None` when no seed has ever been applied in full.
    ///
    /// # Errors
    /// It cannot be read, or is none that this program knows.
    pub fn read(host: &dyn Host) -> Result<Option<Self>, HostError> {
        let path = host.paths().identity;
        let Some(bytes) = host.read(Path::new(path))? else {
            return Ok(None);
        };
        let strange = |detail| HostError::Unexpected {
            what: path.into(),
            detail,
        };
        let identity: Self =
            serde_json::from_slice(&bytes).map_err(|error| strange(error.to_string()))?;
        if identity.version > VERSION {
            return Err(strange(format!(
                "a newer clawdie-firstboot wrote it (version {}, this one knows {VERSION})",
                identity.version
            )));
        }
        Ok(Some(identity))
    }

    /// Asks a host that somebody else set up.
    fn gather(host: &dyn Host) -> Result<Self, HostError> {
        let mut settings = BTreeMap::new();
        let name = host.host_name()?;
        let label = name
            .split('.')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        if !NO_NAMES.contains(&label.as_str()) {
            settings.insert(Key::Hostname.name().to_owned(), label);
        }
        let bytes = host
            .read(Path::new(host.paths().provider_env))?
            .unwrap_or_default();
        let mut telegram_bot = None;
        for (name, value) in environment::read(&String::from_utf8_lossy(&bytes)) {
            if value.expose_secret().is_empty() {
                continue;
            }
            match Key::from_name(&name) {
                Some(Key::TelegramBotToken) => telegram_bot = Some(bot(&value)),
                Some(Key::AssistantName | Key::TelegramAdminId) => {
                    settings.insert(name, value.expose_secret().to_owned());
                }
                _ => {}
            }
        }
        Ok(Self {
            version: VERSION,
            adopted: true,
            settings,
            telegram_bot,
            environment: BTreeMap::new(),
        })
    }

    fn get(&self, key: Key) -> Option<&str> {
        self.settings.get(key.name()).map(String::as_str)
    }

    /// Why a seed is another host's; empty when it is not.
    fn refusals(&self, setup: &Setup) -> Vec<String> {
        let mut reasons = Vec::new();
        for row in TABLE.iter().filter(|row| row.on_adopt == OnAdopt::Refuse) {
            if let (Some(here), Some(there)) = (self.get(row.key), setup.get(row.key))
                && here != there
            {
                reasons.push(format!(
                    "{} is `{here}` on this host and `{there}` in setup.txt",
                    row.name
                ));
            }
        }
        if !reasons.is_empty() {
            reasons.push(
                "that is another host: put the old value back, or take a fresh image for the new one".into(),
            );
        }
        if !allows_telegram_change(setup) {
            let mut moved = Vec::new();
            let there = setup.secret(Key::TelegramBotToken).map(bot);
            match (&self.telegram_bot, there) {
                (Some(here), Some(there)) if *here != there => moved.push(format!(
                    "TELEGRAM_BOT_TOKEN is of bot {there}, and this host's bot is {here}"
                )),
                (Some(here), None) if setup.telegram_off() => {
                    moved.push(format!("TELEGRAM=none, and this host has bot {here}"));
                }
                _ => {}
            }
            if let (Some(here), Some(there)) = (
                self.get(Key::TelegramAdminId),
                setup.get(Key::TelegramAdminId),
            ) && here != there
            {
                moved.push("TELEGRAM_ADMIN_ID is another person's than this host's".into());
            }
            if !moved.is_empty() {
                moved.push("if that is meant, add the line ALLOW_TELEGRAM_CHANGE=yes".into());
            }
            reasons.extend(moved);
        }
        reasons
    }

    /// Puts what this host keeps in the place of what the seed says.
    fn keep(&self, setup: &mut Setup, differences: &mut Vec<String>) {
        for row in TABLE {
            let Some(here) = self.get(row.key) else {
                continue;
            };
            match row.on_adopt {
                // The rest is asked of the host itself by its step.
                OnAdopt::Fill | OnAdopt::Refuse if row.class == Class::Plain => {
                    if let Some(there) = setup.get(row.key)
                        && there != here
                    {
                        differences.push(format!(
                            "{}: this host keeps `{here}`; setup.txt says `{there}`, which is not used",
                            row.name
                        ));
                    }
                    setup.put(row.key, here.to_owned());
                }
                _ => {}
            }
        }
    }
}

/// Whether the seed may move the assistant to another bot or person.
pub fn allows_telegram_change(setup: &Setup) -> bool {
    setup.get(Key::AllowTelegramChange) == Some("yes")
}

/// Holds a seed against the host.
///
/// # Errors
/// In words for the report: the seed is another host's, or this one's record cannot be read.
pub fn judge(
    host: &dyn Host,
    setup: &Setup,
    emptied: impl Iterator<Item = Key>,
) -> Result<Adoption, String> {
    if let Some(there) = setup.get(Key::HostFingerprint) {
        let here = Facts::from(host.survey()).fingerprint;
        if there != here {
            return Err(format!(
                "HOST_FINGERPRINT ties setup.txt to another machine: this one is {here}. Boot that machine from it, or, \
                 if this one is meant, put its fingerprint there or remove the line. Nothing was changed"
            ));
        }
    }
    let refilled = emptied
        .filter(|key| setup.has(*key) && !setup.is_kept(*key))
        .collect();
    let mut known = Identity::read(host).map_err(|error| error.to_string())?;
    if known.is_none() && setup.get(Key::InstallMode) == Some("adopt") {
        known = Some(Identity::gather(host).map_err(|error| error.to_string())?);
    }
    let mut setup = setup.clone();
    let mut differences = Vec::new();
    if let Some(known) = &known {
        let reasons = known.refusals(&setup);
        if !reasons.is_empty() {
            return Err(format!("{}. Nothing was changed", reasons.join("; ")));
        }
        known.keep(&mut setup, &mut differences);
    }
    Ok(Adoption {
        known,
        setup,
        differences,
        refilled,
    })
}

impl Adoption {
    /// Whether the host was somebody's before.
    pub fn is_adopted(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.adopted)
    }

    /// Whether the host has a value of its own for a setting, which no seed changes any more.
    pub fn keeps(&self, key: Key) -> bool {
        self.known.as_ref().is_some_and(|known| {
            known.get(key).is_some() || (known.adopted && key.row().on_adopt == OnAdopt::Keep)
        })
    }

    /// Whether a variable of `provider.env` gives way to the seed's.
    pub fn may_replace(&self, name: &str, here: &str) -> bool {
        let Some(known) = &self.known else {
            return true;
        };
        let key = Key::from_name(name);
        if key.is_some_and(|key| self.refilled.contains(&key)) {
            return true;
        }
        match key.map(|key| key.row().on_adopt) {
            Some(OnAdopt::Follow) => true,
            Some(OnAdopt::Consent) if allows_telegram_change(&self.setup) => true,
            // A default of ours, which no setting ever named.
            _ => {
                !known.settings.contains_key(name)
                    && known.environment.get(name).is_some_and(|ours| ours == here)
            }
        }
    }

    /// Whether `provider.env` is written as a whole, and not filled in.
    pub fn is_fresh(&self) -> bool {
        self.known.is_none()
    }

    /// The account of it.
    pub fn text(&self) -> String {
        match (&self.known, self.differences.len()) {
            (None, _) => "a fresh host".into(),
            (Some(_), 0) => "this host's own; what it has stays, blanks are filled".into(),
            (Some(_), count) => {
                format!("this host's own; {count} difference(s), and what it has stays")
            }
        }
    }

    /// Writes down what the host is from now on, once all of the seed is applied.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn remember(&self, host: &dyn Host, profiles: &Profiles) -> Result<(), HostError> {
        let before = self.known.clone().unwrap_or_default();
        let mut settings = before.settings;
        for row in TABLE {
            let lasts = match row.on_adopt {
                OnAdopt::Fill | OnAdopt::Keep | OnAdopt::Refuse | OnAdopt::Consent => true,
                OnAdopt::Add | OnAdopt::Follow | OnAdopt::Read => false,
            };
            let value = match row.key {
                Key::OperatorUser => Some(self.setup.operator_user().to_owned()),
                Key::TenantId => Some(self.setup.tenant_id().to_owned()),
                // A name that came from nowhere is still free to be chosen.
                Key::Hostname => [Key::Hostname, Key::AssistantName]
                    .iter()
                    .any(|key| self.setup.has(*key))
                    .then(|| self.setup.hostname()),
                key => self.setup.get(key).map(str::to_owned),
            };
            match value {
                // What it keeps came first.
                Some(_) if row.on_adopt == OnAdopt::Keep && settings.contains_key(row.name) => {}
                Some(value) if lasts => {
                    settings.insert(row.name.to_owned(), value);
                }
                _ => {}
            }
        }
        let mut telegram_bot = self.setup.secret(Key::TelegramBotToken).map(bot);
        if self.setup.telegram_off() {
            settings.remove(Key::TelegramAdminId.name());
        } else {
            settings.remove(Key::Telegram.name());
            telegram_bot = telegram_bot.or(before.telegram_bot);
        }
        let environment = self.setup.provider_env(profiles).unwrap_or_default();
        let identity = Identity {
            version: VERSION,
            adopted: before.adopted,
            settings,
            telegram_bot,
            environment: environment
                .into_iter()
                .filter(|(name, _)| Key::from_name(name).is_some_and(|key| !key.is_secret()))
                .map(|(name, value)| (name, value.expose_secret().to_owned()))
                .collect(),
        };
        let mut text =
            serde_json::to_vec_pretty(&identity).map_err(|error| HostError::Unexpected {
                what: "the record of this host".into(),
                detail: error.to_string(),
            })?;
        text.push(b'\n');
        let path = Path::new(host.paths().identity);
        if host.read(path)?.is_some_and(|is| is == text) {
            return Ok(());
        }
        host.write(path, &text, 0o600)
    }
}
