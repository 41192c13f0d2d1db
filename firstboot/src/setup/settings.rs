//! The validated settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use super::provider::Provider;
use super::rules::names::host_label_from;
use super::schema::{Class, Key};
use crate::profile::{ProfileError, Profiles, Want};

/// Secrets that this host holds from an earlier run; those without a value it keeps in a form that cannot be read back,
/// as passwords.
pub type Kept = BTreeMap<Key, Option<SecretString>>;

/// Settings that passed every check.
///
/// `Debug` shows plain values only; personal and secret ones are masked.
#[derive(Clone, Default)]
pub struct Setup {
    /// Plain and personal values, normalised.
    open: BTreeMap<Key, String>,
    secret: BTreeMap<Key, SecretString>,
    kept: BTreeSet<Key>,
    ssh_keys: Vec<String>,
}

impl Setup {
    /// The value the operator gave for a plain or personal key; `None` for secrets and for keys
    /// that were not given. Defaults are in the named accessors.
    pub fn get(&self, key: Key) -> Option<&str> {
        self.open.get(&key).map(String::as_str)
    }

    /// The value the operator gave for a secret key.
    pub fn secret(&self, key: Key) -> Option<&SecretString> {
        self.secret.get(&key)
    }

    /// Whether the line of a secret is empty because this host holds its value since an earlier run, and keeps it.
    pub fn is_kept(&self, key: Key) -> bool {
        self.kept.contains(&key)
    }

    /// Whether a value was given, of whatever class.
    pub fn has(&self, key: Key) -> bool {
        self.open.contains_key(&key)
            || self.secret.contains_key(&key)
            || (key == Key::SshAuthorizedKey && !self.ssh_keys.is_empty())
    }

    /// The assistant's display name; `Clawdie` when none was given.
    pub fn assistant_name(&self) -> &str {
        self.get(Key::AssistantName).unwrap_or("Clawdie")
    }

    /// The host name: `HOSTNAME`, else made from `ASSISTANT_NAME`, else `clawdie`.
    pub fn hostname(&self) -> String {
        if let Some(name) = self.get(Key::Hostname) {
            return name.to_owned();
        }
        self.get(Key::AssistantName)
            .and_then(host_label_from)
            .unwrap_or_else(|| "clawdie".to_owned())
    }

    /// The time zone by its IANA name; `UTC` when none was given.
    pub fn timezone(&self) -> &str {
        self.get(Key::Timezone).unwrap_or("UTC")
    }

    /// The locale, if one was given.
    pub fn locale(&self) -> Option<&str> {
        self.get(Key::Locale)
    }

    /// The console keymap; `us` when none was given.
    pub fn keymap(&self) -> &str {
        self.get(Key::Keymap).unwrap_or("us")
    }

    /// The operator's login; `clawdie` when none was given.
    pub fn operator_user(&self) -> &str {
        self.get(Key::OperatorUser).unwrap_or("clawdie")
    }

    /// The first tenant's id; `main` when none was given.
    pub fn tenant_id(&self) -> &str {
        self.get(Key::TenantId).unwrap_or("main")
    }

    /// The name of the model profile; `balanced` when none was given.
    pub fn profile(&self) -> &str {
        self.get(Key::Profile).unwrap_or("balanced")
    }

    /// SSH public keys from `SSH_AUTHORIZED_KEY` lines and the `authorized_keys` file, each one
    /// line as OpenSSH writes it, none twice.
    pub fn ssh_keys(&self) -> &[String] {
        &self.ssh_keys
    }

    /// Whether the operator opted out of Telegram.
    pub fn telegram_off(&self) -> bool {
        self.get(Key::Telegram) == Some("none")
    }

    /// The providers a key was given for, in order of preference.
    pub fn providers(&self) -> impl Iterator<Item = Provider> + '_ {
        Provider::ALL
            .iter()
            .copied()
            .filter(|provider| self.secret.contains_key(&provider.key()))
    }

    /// What goes into `provider.env`: provider keys, Telegram, the assistant's name, and the model
    /// choices of the profile with the operator's own lines on top. Names are unique and in the
    /// order of the table.
    ///
    /// # Errors
    /// When the profile data has no entry for the profile or provider in use.
    pub fn provider_env(
        &self,
        profiles: &Profiles,
    ) -> Result<Vec<(String, SecretString)>, ProfileError> {
        let mut env: BTreeMap<Key, SecretString> = BTreeMap::new();
        for key in Provider::ALL
            .iter()
            .map(|provider| provider.key())
            .chain([Key::TelegramBotToken])
        {
            if let Some(value) = self.secret(key) {
                env.insert(key, value.clone());
            }
        }
        if let Some(id) = self.get(Key::TelegramAdminId) {
            env.insert(Key::TelegramAdminId, id.into());
        }
        env.insert(Key::AssistantName, self.assistant_name().into());

        let provider_of = |key| self.get(key).and_then(Provider::from_id);
        let chat = provider_of(Key::PiProvider).or_else(|| self.providers().next());
        // With a vault and no key in the file, whose models to use is known only once the vault
        // has been read.
        if let Some(chat) = chat {
            let choice = profiles.resolve(&Want {
                profile: self.profile(),
                chat,
                chat_model: self.get(Key::PiModel),
                fallback: provider_of(Key::LlmFallbackProvider),
                fallback_model: self.get(Key::LlmFallbackModel),
                compaction: provider_of(Key::AgentCompactionProvider),
                compaction_model: self.get(Key::AgentCompactionModel),
            })?;
            let mut put = |provider_key, model_key, (provider, model): (Provider, String)| {
                env.insert(provider_key, provider.id().into());
                env.insert(model_key, model.into());
            };
            put(Key::PiProvider, Key::PiModel, choice.chat);
            put(
                Key::LlmFallbackProvider,
                Key::LlmFallbackModel,
                choice.fallback,
            );
            if let Some(compaction) = choice.compaction {
                put(
                    Key::AgentCompactionProvider,
                    Key::AgentCompactionModel,
                    compaction,
                );
            }
        }
        if let Some(seconds) = self.get(Key::LlmFallbackDefaultCooldownSeconds) {
            env.insert(Key::LlmFallbackDefaultCooldownSeconds, seconds.into());
        }
        Ok(env
            .into_iter()
            .map(|(key, value)| (key.name().to_owned(), value))
            .collect())
    }

    /// The settings as lines of text, defaults included and secrets masked, for `seed show`,
    /// `plan` and the tests.
    pub fn summary(&self) -> String {
        let mut lines = vec![
            format!("assistant name: {}", self.assistant_name()),
            format!("host name: {}", self.hostname()),
            format!("time zone: {}", self.timezone()),
            format!("operator login: {}", self.operator_user()),
            format!("tenant: {}", self.tenant_id()),
            format!("profile: {}", self.profile()),
            format!("ssh keys: {}", self.ssh_keys.len()),
        ];
        for key in &self.ssh_keys {
            lines.push(format!("  {key}"));
        }
        lines.push("given:".to_owned());
        for key in Key::ALL {
            if let Some(value) = self.get(*key) {
                lines.push(format!("  {} = {value}", key.name()));
            } else if self.secret.contains_key(key) {
                lines.push(format!("  {} = [hidden]", key.name()));
            }
        }
        lines.join("\n")
    }

    /// Records a checked value, already normalised.
    pub(crate) fn put(&mut self, key: Key, value: String) {
        if key.class() == Class::Secret {
            self.secret.insert(key, value.into());
        } else {
            self.open.insert(key, value);
        }
    }

    /// Records a secret that stays as this host has it.
    pub(super) fn keep(&mut self, key: Key, value: Option<SecretString>) {
        self.kept.insert(key);
        self.secret.extend(value.map(|value| (key, value)));
    }

    /// Records a checked SSH key line unless its key is there already.
    pub(super) fn put_ssh_key(&mut self, line: String) {
        // Two lines are the same key when type and body agree; the comment may differ.
        let same = |a: &str, b: &str| {
            let body = |line: &str| {
                line.split(' ')
                    .take(2)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            a == b || body(a) == body(b)
        };
        if !self.ssh_keys.iter().any(|known| same(known, &line)) {
            self.ssh_keys.push(line);
        }
    }
}

impl PartialEq for Setup {
    fn eq(&self, other: &Self) -> bool {
        let exposed = |setup: &Setup| {
            let pairs = setup.secret.iter();
            pairs
                .map(|(key, value)| (*key, value.expose_secret().to_owned()))
                .collect::<Vec<_>>()
        };
        self.open == other.open
            && self.ssh_keys == other.ssh_keys
            && exposed(self) == exposed(other)
    }
}

impl Eq for Setup {}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for key in Key::ALL {
            if let Some(value) = self.get(*key) {
                match key.class() {
                    Class::Plain => map.entry(&key.name(), &value),
                    _ => map.entry(&key.name(), &"[personal]"),
                };
            } else if self.secret.contains_key(key) {
                map.entry(&key.name(), &"[REDACTED]");
            }
        }
        map.entry(&"ssh keys", &self.ssh_keys.len()).finish()
    }
}
