//! The one table of settings.
//!
//! The parser, the template on the seed, the reference page, redaction and `seed check` all read
//! this table. **Adding a setting is adding one row**; a setting that needs a new kind of check
//! also gets a [`Rule`].

use super::rules::Rule;

/// The newest `SETUP_SCHEMA_VERSION` this program understands.
pub const SCHEMA_VERSION: u32 = 1;

/// How prominent a setting is, and so where it appears in the template and the reference page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Filled in by the image build.
    Header,
    /// The host is not provisioned without it.
    Required,
    /// Works without, nicer with.
    Recommended,
    /// Stands in the file already with a good value.
    Prefilled,
    /// Only for those who want it.
    Optional,
    /// Was a setting once; refused now.
    Gone,
}

/// Who may see a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// May be shown anywhere.
    Plain,
    /// Personal: shown to the operator, kept out of logs.
    Pii,
    /// Never shown, never logged.
    Secret,
}

impl Class {
    /// The word used in the reference page.
    pub fn word(self) -> &'static str {
        match self {
            Class::Plain => "plain",
            Class::Pii => "personal",
            Class::Secret => "secret",
        }
    }
}

/// Whether this version of the agent acts on a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Acted on since this version of the agent.
    Since(&'static str),
    /// Checked and remembered, but nothing acts on it yet: the operator is told.
    NotYet,
    /// Refused.
    Never,
}

/// What a line may change on a host that has been set up, by an earlier seed or by somebody else
/// (`INSTALL_MODE=adopt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnAdopt {
    /// Filled in where the host has none.
    Fill,
    /// A thing that every host has: filled in only where first boot made the host and no line chose it yet.
    Keep,
    /// Part of what the host is: another value stops the run.
    Refuse,
    /// Who the assistant answers: another value stops the run, unless the operator says that it is meant.
    Consent,
    /// Added to what is there.
    Add,
    /// The host follows each edit, because what it goes into is first boot's own.
    Follow,
    /// Read at each run; nothing on the host holds it.
    Read,
}

impl OnAdopt {
    /// Every kind, in the order of the reference page.
    pub const ALL: [OnAdopt; 7] = [Fill, Keep, Refuse, Consent, Add, Follow, Read];

    /// The word used in the reference page.
    pub fn word(self) -> &'static str {
        match self {
            OnAdopt::Fill => "fill",
            OnAdopt::Keep => "keep",
            OnAdopt::Refuse => "refuse",
            OnAdopt::Consent => "refuse, or allow",
            OnAdopt::Add => "add",
            OnAdopt::Follow => "follow",
            OnAdopt::Read => "read",
        }
    }

    /// What the word means.
    pub fn text(self) -> &'static str {
        match self {
            OnAdopt::Fill => {
                "filled in where the host has none; else the host's own stays, and the report names the difference"
            }
            OnAdopt::Keep => {
                "an adopted host keeps its own. A host set up by first boot takes a value once; later ones are reported"
            }
            OnAdopt::Refuse => {
                "filled in where the host has none; another value than the host's stops the run"
            }
            OnAdopt::Consent => {
                "filled in where the host has none; another bot or person stops the run, unless ALLOW_TELEGRAM_CHANGE=yes is there"
            }
            OnAdopt::Add => "added to what is there; nothing is taken away",
            OnAdopt::Follow => {
                "the host follows each edit, and without the line it is as the image comes. An adopted host keeps its own"
            }
            OnAdopt::Read => "read at each start; it changes nothing on the host by itself",
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// The key this row describes.
    pub key: Key,
    /// The name before the `=`.
    pub name: &'static str,
    /// How prominent it is.
    pub tier: Tier,
    /// Who may see the value.
    pub class: Class,
    /// What a value must look like.
    pub rule: Rule,
    /// Whether this version acts on it.
    pub applied: Applied,
    /// What it may change on a host that has been set up.
    pub on_adopt: OnAdopt,
    /// An example for people; never a working secret.
    pub example: &'static str,
    /// What it is for, one or two plain sentences.
    pub help: &'static str,
}

macro_rules! schema {
    ($($(#[$doc:meta])* $key:ident $name:literal $tier:ident $class:ident $rule:expr, $applied:expr, $on_adopt:expr, $example:literal, $help:literal;)*) => {
        /// A setting of `setup.txt`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Key {
            $(#[doc = concat!("`", $name, "`: ", $help)] $key,)*
        }

        impl Key {
            /// Every setting, in the order of the table.
            pub const ALL: &'static [Key] = &[$(Key::$key,)*];
        }

        /// The table itself, in the order of [`Key::ALL`].
        pub static TABLE: &[Row] = &[$(Row {
            key: Key::$key,
            name: $name,
            tier: Tier::$tier,
            class: Class::$class,
            rule: $rule,
            applied: $applied,
            on_adopt: $on_adopt,
            example: $example,
            help: $help,
        },)*];
    };
}

/// Applied since the first version.
const NOW: Applied = Applied::Since("0.1");
use super::provider::Provider;
use Applied::{Never, NotYet};
use OnAdopt::{Add, Consent, Fill, Follow, Keep, Read, Refuse};

schema! {
    SetupSchemaVersion "SETUP_SCHEMA_VERSION" Header Plain Rule::SchemaVersion, NOW, Read, "1",
        "The version of this file's format. Leave it as it is.";
    IsoRelease "ISO_RELEASE" Header Plain Rule::Information, NOW, Read, "0.1.0",
        "The release this stick was made from. For information only.";
    IsoGitCommit "ISO_GIT_COMMIT" Header Plain Rule::Information, NOW, Read, "0123456789ab",
        "The source commit this stick was made from. For information only.";

    OpenrouterApiKey "OPENROUTER_API_KEY" Required Secret Rule::ProviderKey(Provider::OpenRouter), NOW, Fill, "sk-or-v1-...",
        "Your OpenRouter key (recommended: one key, every model). Make one at https://openrouter.ai/keys";
    DeepseekApiKey "DEEPSEEK_API_KEY" Required Secret Rule::ProviderKey(Provider::DeepSeek), NOW, Fill, "sk-...",
        "Your DeepSeek key. Make one at https://platform.deepseek.com/api_keys";
    AnthropicApiKey "ANTHROPIC_API_KEY" Required Secret Rule::ProviderKey(Provider::Anthropic), NOW, Fill, "sk-ant-...",
        "Your Anthropic key. Make one at https://console.anthropic.com/settings/keys";
    OpenaiApiKey "OPENAI_API_KEY" Required Secret Rule::ProviderKey(Provider::OpenAi), NOW, Fill, "sk-proj-...",
        "Your OpenAI key. Make one at https://platform.openai.com/api-keys";
    GeminiApiKey "GEMINI_API_KEY" Required Secret Rule::ProviderKey(Provider::Gemini), NOW, Fill, "AIza...",
        "Your Google Gemini key. Make one at https://aistudio.google.com/apikey";
    TelegramBotToken "TELEGRAM_BOT_TOKEN" Required Secret Rule::TelegramToken, NOW, Consent, "123456789:AA...",
        "The token of your Telegram bot. Write /newbot to @BotFather in Telegram and copy the token from its answer.";
    TelegramAdminId "TELEGRAM_ADMIN_ID" Required Pii Rule::TelegramId, NOW, Consent, "123456789",
        "Your own numeric Telegram id; only this person may command the assistant. Write to @userinfobot in Telegram and copy the number.";
    Telegram "TELEGRAM" Optional Plain Rule::TelegramSwitch, NOW, Consent, "none",
        "Write TELEGRAM=none to run without Telegram; the two lines above are then not needed.";

    AssistantName "ASSISTANT_NAME" Recommended Plain Rule::DisplayName, NOW, Refuse, "Ada",
        "What your assistant is called. Display only. Without it: Clawdie.";
    Profile "PROFILE" Prefilled Plain Rule::OneOf(&["balanced", "economy", "quality"]), NOW, Fill, "balanced",
        "Which models are used: balanced (default), economy (cheapest) or quality (best).";

    Hostname "HOSTNAME" Optional Plain Rule::HostLabel, NOW, Refuse, "ada",
        "The name of this machine on your network. Without it: made from ASSISTANT_NAME, else clawdie.";
    Timezone "TIMEZONE" Optional Plain Rule::TimeZone, NOW, Keep, "Europe/Ljubljana",
        "The machine's time zone. Without it: UTC.";
    Locale "LOCALE" Optional Plain Rule::Locale, NOW, Keep, "en_US.UTF-8",
        "Language and formats of the machine. Must exist on the image. Without it: the image's own.";
    Keymap "KEYMAP" Optional Plain Rule::Keymap, NOW, Keep, "us",
        "Keyboard layout of the console. Must exist on the image. Without it: us.";
    SshAuthorizedKey "SSH_AUTHORIZED_KEY" Optional Pii Rule::SshPublicKey, NOW, Add, "ssh-ed25519 AAAA... you@laptop",
        "Your SSH *public* key (the file that ends in .pub), to log in over the network. May stand on several lines. A file named authorized_keys next to setup.txt does the same.";
    OperatorUser "OPERATOR_USER" Optional Plain Rule::Login, NOW, Fill, "clawdie",
        "Your login name on the machine. Without it: clawdie.";
    ClawdieUserPassword "CLAWDIE_USER_PASSWORD" Optional Secret Rule::ConsolePassword, NOW, Fill, "a long phrase of your own",
        "A password for logging in at the machine's own keyboard, should SSH fail. It stands in this file as plain text; an SSH key is better.";
    OperatorEmail "OPERATOR_EMAIL" Optional Pii Rule::Email, NOW, Fill, "you@example.org",
        "Your e-mail address for the dashboard. Needs OPERATOR_PASSWORD too.";
    OperatorPassword "OPERATOR_PASSWORD" Optional Secret Rule::Password, NOW, Fill, "another long phrase",
        "Your password for the dashboard. Needs OPERATOR_EMAIL too.";
    TenantId "TENANT_ID" Optional Plain Rule::TenantId, NotYet, Refuse, "main",
        "The id of the first tenant: its jail and its vault collection carry the same name. Without it: main.";

    VaultServer "VAULT_SERVER" Optional Plain Rule::VaultUrl, NotYet, Fill, "https://vault.example.org",
        "Address of your Vaultwarden or Bitwarden server. The four vault lines belong together.";
    BwClientid "BW_CLIENTID" Optional Pii Rule::BwClientId, NotYet, Fill, "user.01234567-89ab-cdef-0123-456789abcdef",
        "The vault account's API client id.";
    BwClientsecret "BW_CLIENTSECRET" Optional Secret Rule::BwClientSecret, NotYet, Fill, "(from the vault's API key page)",
        "The vault account's API client secret.";
    BwPassword "BW_PASSWORD" Optional Secret Rule::AnySecret, NotYet, Fill, "(the vault's master password)",
        "The vault account's master password.";

    WifiSsid "WIFI_SSID" Optional Plain Rule::WifiSsid, NOW, Follow, "MyHomeNetwork",
        "Name of the Wi-Fi network. Without it: every wired interface, by DHCP.";
    WifiPassword "WIFI_PASSWORD" Optional Secret Rule::WifiPassphrase, NOW, Follow, "(the Wi-Fi password)",
        "Password of the Wi-Fi network.";
    StaticIp "STATIC_IP" Optional Plain Rule::AddressWithPrefix, NOW, Follow, "192.168.1.50/24",
        "A fixed address with its prefix length. Needs GATEWAY too. Without it: DHCP.";
    Gateway "GATEWAY" Optional Plain Rule::Address, NOW, Follow, "192.168.1.1",
        "The router's address; belongs to STATIC_IP.";
    Dns "DNS" Optional Plain Rule::AddressList, NOW, Follow, "192.168.1.1, 9.9.9.9",
        "Name servers, separated by commas or spaces.";

    PiProvider "PI_PROVIDER" Optional Plain Rule::Provider, NOW, Fill, "openrouter",
        "Whose models to chat with: openrouter, deepseek, anthropic, openai or google. Without it: the first provider you gave a key for.";
    PiModel "PI_MODEL" Optional Plain Rule::Model, NOW, Fill, "anthropic/claude-sonnet-4.5",
        "The chat model. Beats PROFILE.";
    LlmFallbackProvider "LLM_FALLBACK_PROVIDER" Optional Plain Rule::Provider, NOW, Fill, "openrouter",
        "Whose model to use when the chat model fails. Beats PROFILE.";
    LlmFallbackModel "LLM_FALLBACK_MODEL" Optional Plain Rule::Model, NOW, Fill, "openai/gpt-5-mini",
        "The model to use when the chat model fails. Beats PROFILE.";
    LlmFallbackDefaultCooldownSeconds "LLM_FALLBACK_DEFAULT_COOLDOWN_SECONDS" Optional Plain Rule::Seconds { min: 1, max: 86_400 }, NOW, Fill, "300",
        "How long to stay on the fallback model before trying the chat model again, in seconds.";
    AgentCompactionProvider "AGENT_COMPACTION_PROVIDER" Optional Plain Rule::Provider, NOW, Fill, "openrouter",
        "Whose model shortens long conversations. Without it: as for chat.";
    AgentCompactionModel "AGENT_COMPACTION_MODEL" Optional Plain Rule::Model, NOW, Fill, "openai/gpt-5-mini",
        "The model that shortens long conversations. Beats PROFILE.";

    InstallMode "INSTALL_MODE" Optional Plain Rule::OneOf(&["fresh", "adopt"]), NOW, Read, "fresh",
        "fresh (default) sets up a new machine; adopt fills only what is missing on an existing one.";
    HostFingerprint "HOST_FINGERPRINT" Optional Plain Rule::Fingerprint, NOW, Read, "machine:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "Ties this file to one machine, by the fingerprint that its RESULT.txt names: no other machine uses anything of this file.";
    SeedSecrets "SEED_SECRETS" Optional Plain Rule::OneOf(&["keep", "blank"]), NOW, Read, "keep",
        "keep (default) leaves this file alone; blank empties the secret lines after a successful set-up; an empty line then means that the machine keeps what it has.";
    AllowTelegramChange "ALLOW_TELEGRAM_CHANGE" Optional Plain Rule::YesNo, NOW, Read, "no",
        "yes permits a later edit of this file to move the assistant to another Telegram bot or person.";

    RootPassword "ROOT_PASSWORD" Gone Secret Rule::Refused, Never, Read, "",
        "Not accepted: root is locked on this system. Use SSH_AUTHORIZED_KEY to log in, or CLAWDIE_USER_PASSWORD for the console, and sudo.";
}

impl Key {
    /// This key's row.
    pub fn row(self) -> &'static Row {
        // Both come from one macro, in one order.
        &TABLE[self as usize]
    }

    /// The name before the `=`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Who may see the value.
    pub fn class(self) -> Class {
        self.row().class
    }

    /// Whether values of this key are secret.
    pub fn is_secret(self) -> bool {
        self.class() == Class::Secret
    }

    /// The key of exactly this name.
    pub fn from_name(name: &str) -> Option<Key> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.key)
    }

    /// The known key nearest to a misspelt name, if one is near enough to suggest.
    pub fn nearest(name: &str) -> Option<Key> {
        let upper = name.to_ascii_uppercase().replace('-', "_");
        TABLE
            .iter()
            .filter(|row| row.tier != Tier::Gone)
            .map(|row| (strsim::jaro_winkler(&upper, row.name), row.key))
            .filter(|(likeness, _)| *likeness >= 0.85)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, key)| key)
    }

    /// Whether the key may stand on several lines.
    pub fn may_repeat(self) -> bool {
        matches!(self.row().rule, Rule::SshPublicKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_and_keys_agree() {
        assert_eq!(TABLE.len(), Key::ALL.len());
        for (row, key) in TABLE.iter().zip(Key::ALL) {
            assert_eq!(row.key, *key);
            assert_eq!(key.row().name, row.name);
            assert_eq!(Key::from_name(row.name), Some(*key));
        }
    }

    #[test]
    fn nearest_key_is_found_for_common_slips() {
        assert_eq!(
            Key::nearest("TELEGRAM_BOT_TOKN"),
            Some(Key::TelegramBotToken)
        );
        assert_eq!(
            Key::nearest("telegram-admin-id"),
            Some(Key::TelegramAdminId)
        );
        assert_eq!(Key::nearest("TIME_ZONE"), Some(Key::Timezone));
        assert_eq!(Key::nearest("HOST_NAME"), Some(Key::Hostname));
        assert_eq!(Key::nearest("FAVOURITE_COLOUR"), None);
    }

    #[test]
    fn plain_examples_keep_their_own_rule() {
        for row in TABLE.iter().filter(|row| row.class == Class::Plain) {
            assert!(
                row.rule.check(row.example).is_ok(),
                "{}: {}",
                row.name,
                row.example
            );
        }
    }
}
