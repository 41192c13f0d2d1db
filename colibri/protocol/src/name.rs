//! Names that programs choose, checked where they are read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names that the platform keeps for itself: no tenant and no host is called so.
pub const RESERVED: &[&str] = &[
    "system", "clawdie", "colibri", "ai", "cms", "git", "web", "www", "mail", "root",
];

/// What an agent, a skill or a job is called: 1 to 64 ASCII letters, digits, `-`, `_` and `.`.
///
/// Few characters, so that a name can stand in a path, a table and a log as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Something an agent can do and a task may need, such as `freebsd` or `model:large`: 1 to 64
/// lower-case ASCII letters, digits and `-_.:+/`.
///
/// Only lower case: `GPU` and `gpu` would be two things that nobody tells apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Capability(String);

/// A tenant: what it is called, and its jail and its collection in the vault.
///
/// 2 to 15 lower-case ASCII letters and digits, the first a letter: network interfaces are named after it, and
/// tools for jails take no hyphen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

impl Capability {
    /// What any agent can do on this system.
    pub fn usual() -> impl Iterator<Item = Self> {
        ["shell", "code", std::env::consts::OS]
            .into_iter()
            .filter_map(|name| name.parse().ok())
    }
}

/// An agent may be called as its tenant: whatever a tenant is called is a name.
impl From<TenantId> for Name {
    fn from(id: TenantId) -> Self {
        Self(id.0)
    }
}

/// What these names have in common; `$chars` is how many characters they may have.
macro_rules! checked_text {
    ($type:ident, $what:literal, $chars:expr, $allowed:expr, $rule:literal) => {
        impl $type {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let allowed: fn(&str) -> bool = $allowed;
                if ($chars).contains(&text.len()) && allowed(&text) {
                    return Ok(Self(text));
                }
                let shown: String = text.chars().take(*($chars).end()).collect();
                Err(format!(concat!("{:?} is no ", $what, ": ", $rule), shown))
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                text.to_owned().try_into()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "description": $rule,
                    "type": "string",
                    "minLength": ($chars).start(),
                    "maxLength": ($chars).end()
                })
            }
        }
    };
}

checked_text!(
    Name,
    "name",
    1..=64,
    |text| {
        // An agent's folder has its name: these two would be other folders.
        let is_folder = matches!(text, "." | "..");
        !is_folder
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    },
    "1 to 64 letters, digits, `-`, `_` or `.`, but neither `.` nor `..`"
);
checked_text!(
    Capability,
    "capability",
    1..=64,
    |text| {
        text.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.:+/".contains(c))
    },
    "1 to 64 lower-case letters, digits, `-`, `_`, `.`, `:`, `+` or `/`"
);
checked_text!(
    TenantId,
    "tenant",
    2..=15,
    |text| {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            && !RESERVED.contains(&text)
    },
    "2 to 15 lower-case letters and digits, the first a letter, and no name that the platform keeps for itself"
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_short_and_plain() {
        assert_eq!("atlas-1.pi".parse::<Name>().unwrap().as_str(), "atlas-1.pi");
        assert_eq!("...".parse::<Name>().unwrap().as_str(), "...");
        for wrong in ["", ".", "..", "a b", "žolna", "a/b", &"x".repeat(65)] {
            let error = wrong.parse::<Name>().unwrap_err();
            assert!(error.contains("1 to 64 letters"), "{error}");
        }
    }

    #[test]
    fn what_any_agent_can_do_has_names() {
        assert_eq!(Capability::usual().count(), 3);
    }

    #[test]
    fn a_tenant_can_be_a_jail_and_an_interface() {
        for good in ["main", "a1", "tenant123456789"] {
            let id = good.parse::<TenantId>().unwrap();
            assert_eq!(id.as_str(), good);
            assert_eq!(Name::from(id), good.parse().unwrap());
        }
        for bad in [
            "",
            "m",
            "1a",
            "my-tenant",
            "Main",
            "abcdefghijklmnop",
            "../../etc",
            "a/b",
            "ža",
        ]
        .iter()
        .chain(RESERVED)
        {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn capabilities_are_a_list_and_nothing_else() {
        let read = serde_json::from_str::<BTreeSet<Capability>>;
        assert_eq!(read(r#"["gpu","freebsd","gpu"]"#).unwrap().len(), 2);
        // Others took an object without a word, and it matched nothing.
        let error = read(r#"{"gpu":true}"#).unwrap_err().to_string();
        assert!(error.contains("expected a sequence"), "{error}");
        let error = read(r#"["GPU"]"#).unwrap_err().to_string();
        assert!(error.contains("lower-case"), "{error}");
    }
}
