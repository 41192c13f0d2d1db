//! What a value must look like: named rules, each a pure function of the text.
//!
//! A rule never repeats a secret value in what it says.

pub mod access;
pub mod keys;
pub mod names;
pub mod network;

use std::borrow::Cow;
use std::ops::Range;

use super::provider::Provider;
use super::schema::SCHEMA_VERSION;
use crate::profile::is_free_tier;

/// The rules a row of the table can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A format version this program knows.
    SchemaVersion,
    /// Any short text; nothing depends on it.
    Information,
    /// An API key of this provider.
    ProviderKey(Provider),
    /// A Telegram bot token.
    TelegramToken,
    /// A Telegram user id.
    TelegramId,
    /// `none`.
    TelegramSwitch,
    /// A name to be shown, in any script.
    DisplayName,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Yes or no, in any common spelling.
    YesNo,
    /// An RFC 1123 label that is not reserved.
    HostLabel,
    /// An IANA time zone.
    TimeZone,
    /// A locale name.
    Locale,
    /// A console keymap name.
    Keymap,
    /// An SSH public key line.
    SshPublicKey,
    /// A UNIX login name.
    Login,
    /// A password that must be typed at a console.
    ConsolePassword,
    /// A password for the dashboard.
    Password,
    /// An e-mail address.
    Email,
    /// A tenant id that is not reserved.
    TenantId,
    /// The address of a vault.
    VaultUrl,
    /// A Bitwarden API client id.
    BwClientId,
    /// A Bitwarden API client secret.
    BwClientSecret,
    /// Any secret text.
    AnySecret,
    /// The name of a Wi-Fi network.
    WifiSsid,
    /// A WPA passphrase or key.
    WifiPassphrase,
    /// An IP address.
    Address,
    /// An IP address with a prefix length.
    AddressWithPrefix,
    /// Several IP addresses.
    AddressList,
    /// What names a machine in its `facts.json`.
    Fingerprint,
    /// A model provider.
    Provider,
    /// A model name.
    Model,
    /// A whole number of seconds.
    Seconds {
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// The setting is no longer accepted.
    Refused,
}

/// Why a value does not keep its rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// A short stable name of the kind of fault.
    pub code: &'static str,
    /// The second half of a sentence that begins with the key: "has a space in it".
    pub fault: Cow<'static, str>,
    /// What to do, where something better can be said than "write it as the rule says".
    pub remedy: Option<Cow<'static, str>>,
    /// The rule that is broken, where it is not the one of the setting's value.
    pub rule: Option<Cow<'static, str>>,
    /// Which characters of the value are at fault; `None` = all of it.
    pub span: Option<Range<usize>>,
}

impl RuleError {
    /// A fault of the value as a whole.
    pub fn new(code: &'static str, fault: impl Into<Cow<'static, str>>) -> RuleError {
        RuleError {
            code,
            fault: fault.into(),
            remedy: None,
            rule: None,
            span: None,
        }
    }

    /// The same with something better to do about it.
    pub fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> RuleError {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same, with the rule it breaks named.
    pub fn rule(mut self, rule: impl Into<Cow<'static, str>>) -> RuleError {
        self.rule = Some(rule.into());
        self
    }

    /// The same, at these characters of the value.
    pub fn at(mut self, span: Range<usize>) -> RuleError {
        self.span = Some(span);
        self
    }
}

/// What every rule function returns.
pub type Outcome = Result<(), RuleError>;

impl Rule {
    /// Checks a value (trimmed, unquoted, not empty).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(self, value: &str) -> Outcome {
        match self {
            Rule::SchemaVersion => schema_version(value),
            Rule::Information => at_most(value, 200),
            Rule::ProviderKey(provider) => keys::provider_key(provider, value),
            Rule::TelegramToken => keys::telegram_token(value),
            Rule::TelegramId => keys::telegram_id(value),
            Rule::TelegramSwitch => keys::telegram_switch(value),
            Rule::DisplayName => names::display_name(value),
            Rule::OneOf(words) => one_of(words, value),
            Rule::YesNo => match yes_no(value) {
                Some(_) => Ok(()),
                None => Err(RuleError::new(
                    "choice",
                    format!("is `{value}`, neither yes nor no"),
                )),
            },
            Rule::HostLabel => names::host_label(value),
            Rule::TimeZone => names::time_zone(value),
            Rule::Locale => names::locale(value),
            Rule::Keymap => names::keymap(value),
            Rule::SshPublicKey => access::ssh_public_key(value).map(|_| ()),
            Rule::Login => names::login(value),
            Rule::ConsolePassword => access::console_password(value),
            Rule::Password => access::password(value),
            Rule::Email => access::email(value),
            Rule::TenantId => names::tenant_id(value),
            Rule::VaultUrl => network::vault_url(value),
            Rule::BwClientId => keys::bw_client_id(value),
            Rule::BwClientSecret => keys::bw_client_secret(value),
            Rule::AnySecret => Ok(()),
            Rule::WifiSsid => network::wifi_ssid(value),
            Rule::WifiPassphrase => network::wifi_passphrase(value),
            Rule::Address => network::address(value).map(|_| ()),
            Rule::AddressWithPrefix => network::address_with_prefix(value).map(|_| ()),
            Rule::AddressList => network::address_list(value),
            Rule::Fingerprint => names::fingerprint(value),
            Rule::Provider => provider(value),
            Rule::Model => model(value),
            Rule::Seconds { min, max } => seconds(min, max, value),
            Rule::Refused => Err(RuleError::new("refused", "is no longer accepted")),
        }
    }

    /// The rule in words, as shown with an error and in the reference page.
    pub fn text(self) -> Cow<'static, str> {
        let text = match self {
            Rule::SchemaVersion => {
                return format!("a whole number, at most {SCHEMA_VERSION}").into();
            }
            Rule::Information => "up to 200 characters",
            Rule::ProviderKey(provider) => keys::provider_key_rule(provider),
            Rule::TelegramToken => "digits, a colon, then 35 letters, digits, `-` or `_`",
            Rule::TelegramId => "5 to 15 digits, nothing else",
            Rule::TelegramSwitch => "the word none",
            Rule::DisplayName => {
                "1 to 32 characters, any letters, with at least one letter or digit"
            }
            Rule::OneOf(words) => return format!("one of {}", words.join(", ")).into(),
            Rule::YesNo => "yes or no",
            Rule::HostLabel => {
                "1 to 63 letters, digits and hyphens, no hyphen first or last, and not a reserved name"
            }
            Rule::TimeZone => "a time zone as Area/City, or UTC",
            Rule::Locale => "a UTF-8 locale such as en_US.UTF-8 or C.UTF-8",
            Rule::Keymap => "the name of a keymap: letters, digits, `-`, `_`, `.`",
            Rule::SshPublicKey => "one SSH public key on one line: type, key, comment",
            Rule::Login => {
                "a small letter, then up to 30 small letters, digits, `-` or `_`, and not a system account"
            }
            Rule::ConsolePassword => {
                "8 to 128 characters that every keyboard has (letters without accents, digits, punctuation)"
            }
            Rule::Password => "8 to 128 characters",
            Rule::Email => "an e-mail address: name@domain",
            Rule::TenantId => {
                "a small letter, then 1 to 14 small letters or digits, and not a reserved name"
            }
            Rule::VaultUrl => "an https:// address (http:// only to this machine itself)",
            Rule::BwClientId => "`user.` or `organization.` and a UUID",
            Rule::BwClientSecret => "20 to 128 letters and digits",
            Rule::AnySecret => "any text",
            Rule::WifiSsid => "1 to 32 bytes of text",
            Rule::WifiPassphrase => "8 to 63 plain characters, or 64 hexadecimal digits",
            Rule::Address => "an IPv4 or IPv6 address",
            Rule::AddressWithPrefix => "an IPv4 or IPv6 address, a slash and a prefix length",
            Rule::AddressList => "1 to 4 IP addresses, separated by commas or spaces",
            Rule::Fingerprint => "the word machine, a colon and 64 hexadecimal digits",
            Rule::Provider => "one of openrouter, deepseek, anthropic, openai, google",
            Rule::Model => "the model's name without spaces, up to 128 characters",
            Rule::Seconds { min, max } => {
                return format!("a whole number of seconds from {min} to {max}").into();
            }
            Rule::Refused => "not accepted any more",
        };
        text.into()
    }

    /// The form in which a checked value is kept: one spelling for what has several.
    pub fn normalise(self, value: &str) -> String {
        match self {
            Rule::OneOf(_) | Rule::TelegramSwitch | Rule::HostLabel | Rule::Fingerprint => {
                value.to_ascii_lowercase()
            }
            Rule::YesNo => if yes_no(value) == Some(true) {
                "yes"
            } else {
                "no"
            }
            .to_owned(),
            Rule::TimeZone => names::canonical_time_zone(value)
                .unwrap_or(value)
                .to_owned(),
            Rule::Provider => Provider::from_id(value)
                .map_or(value, |provider| provider.id())
                .to_owned(),
            Rule::SshPublicKey => {
                access::ssh_public_key(value).unwrap_or_else(|_| value.to_owned())
            }
            Rule::AddressList => network::split_list(value).collect::<Vec<_>>().join(" "),
            _ => value.to_owned(),
        }
    }

    /// Whether a checked value asks for what happens without the setting anyway: the first word of
    /// a choice, or no.
    pub fn is_usual(self, value: &str) -> bool {
        match self {
            Rule::OneOf(words) => words.first() == Some(&value),
            Rule::YesNo => value == "no",
            _ => false,
        }
    }

    /// Whether values may hold characters beyond ASCII.
    pub fn any_script(self) -> bool {
        matches!(
            self,
            Rule::DisplayName
                | Rule::Password
                | Rule::AnySecret
                | Rule::WifiSsid
                | Rule::SshPublicKey
                | Rule::Information
        )
    }

    /// Whether values are free text, where any wording may be meant: nothing is read into them.
    pub fn is_free_text(self) -> bool {
        matches!(
            self,
            Rule::ConsolePassword
                | Rule::Password
                | Rule::AnySecret
                | Rule::WifiPassphrase
                | Rule::Refused
        )
    }

    /// Something to warn about in a value that keeps its rule.
    pub fn advice(self, value: &str) -> Option<RuleError> {
        match self {
            Rule::Model if is_free_tier(value) => Some(
                RuleError::new("free-model", format!("names a free-tier model, `{value}`")).remedy(
                    "Free tiers often fail silently, which looks like a dead assistant. Name the same model without `:free`.",
                ),
            ),
            _ => None,
        }
    }
}

fn at_most(value: &str, limit: usize) -> Outcome {
    if value.chars().count() <= limit {
        return Ok(());
    }
    Err(RuleError::new(
        "length",
        format!("is longer than {limit} characters"),
    ))
}

fn schema_version(value: &str) -> Outcome {
    match value.parse::<u32>() {
        // More digits than fit is a version, too, and surely a newer one.
        Err(_) if value.bytes().all(|b| b.is_ascii_digit()) => Err(newer(value)),
        Ok(0) | Err(_) => Err(RuleError::new("version", "is not a version number").remedy(
            format!("Write SETUP_SCHEMA_VERSION={SCHEMA_VERSION}, or remove the line."),
        )),
        Ok(version) if version > SCHEMA_VERSION => Err(newer(value)),
        Ok(_) => Ok(()),
    }
}

fn newer(version: &str) -> RuleError {
    RuleError::new(
        "newer",
        format!("is {version}, but this system understands only version {SCHEMA_VERSION}"),
    )
    .remedy("This file was made for a newer release. Write a newer image to the stick, or use the setup.txt that came with this one.")
}

fn one_of(words: &[&str], value: &str) -> Outcome {
    let value = value.to_ascii_lowercase();
    if words.contains(&value.as_str()) {
        return Ok(());
    }
    let error = RuleError::new("choice", "is none of the words it can be");
    let near = words
        .iter()
        .map(|word| (strsim::jaro_winkler(word, &value), word))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    Err(match near {
        Some((_, word)) => error.remedy(format!("Did you mean {word}?")),
        None => error,
    })
}

fn yes_no(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "y" | "true" | "on" | "1" => Some(true),
        "no" | "n" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn provider(value: &str) -> Outcome {
    if Provider::from_id(value).is_some() {
        return Ok(());
    }
    let ids = Provider::ALL
        .iter()
        .map(|provider| provider.id())
        .collect::<Vec<_>>();
    one_of(&ids, value)
}

fn model(value: &str) -> Outcome {
    at_most(value, 128)?;
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "-_./:@+~".contains(c));
    match value.chars().position(odd) {
        Some(at) => Err(RuleError::new("characters", "has a character that no model name has")
            .at(at..at + 1)
            .remedy("Copy the model's name from the provider's page, for example anthropic/claude-sonnet-4.5.")),
        None => Ok(()),
    }
}

fn seconds(min: u32, max: u32, value: &str) -> Outcome {
    match value.parse::<u32>() {
        Ok(number) if (min..=max).contains(&number) => Ok(()),
        Ok(_) => Err(RuleError::new("range", "is out of range")),
        Err(_) => Err(RuleError::new("number", "is not a whole number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_in_any_case_and_misspellings_get_a_suggestion() {
        let rule = Rule::OneOf(&["balanced", "economy", "quality"]);
        assert!(rule.check("Balanced").is_ok());
        assert_eq!(rule.normalise("ECONOMY"), "economy");
        let error = rule.check("balancd").expect_err("misspelt");
        assert_eq!(error.remedy.as_deref(), Some("Did you mean balanced?"));
    }

    #[test]
    fn every_common_yes_and_no_is_understood() {
        for yes in ["yes", "Yes", "y", "TRUE", "on", "1"] {
            assert_eq!(Rule::YesNo.normalise(yes), "yes");
        }
        for no in ["no", "No", "n", "false", "OFF", "0"] {
            assert_eq!(Rule::YesNo.normalise(no), "no");
        }
        assert!(Rule::YesNo.check("perhaps").is_err());
    }

    #[test]
    fn version_and_seconds_have_limits() {
        assert!(Rule::SchemaVersion.check("1").is_ok());
        assert_eq!(
            Rule::SchemaVersion.check("2").expect_err("newer").code,
            "newer"
        );
        assert_eq!(
            Rule::SchemaVersion.check("0").expect_err("zero").code,
            "version"
        );
        let rule = Rule::Seconds { min: 1, max: 10 };
        assert!(rule.check("10").is_ok());
        assert_eq!(rule.check("11").expect_err("too many").code, "range");
        assert_eq!(rule.check("5s").expect_err("unit").code, "number");
    }

    #[test]
    fn gemini_is_another_word_for_google() {
        assert!(Rule::Provider.check("Gemini").is_ok());
        assert_eq!(Rule::Provider.normalise("Gemini"), "google");
        assert!(Rule::Provider.check("groq").is_err());
    }

    #[test]
    fn free_models_are_advised_against() {
        assert!(Rule::Model.check("qwen/qwen3-coder:free").is_ok());
        assert!(Rule::Model.advice("qwen/qwen3-coder:free").is_some());
        assert!(Rule::Model.advice("qwen/qwen3-coder").is_none());
        assert!(Rule::Model.check("two words").is_err());
    }
}
