//! Tenants: what each may use of the host, and the number that its addresses and accounts are made from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a tenant's jail may use of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantLimits {
    /// Memory, in MiB: 64 to 1048576.
    #[schemars(range(min = 64, max = 1_048_576))]
    pub memory_mib: u32,
    /// Processes and threads together: 16 to 32768.
    #[schemars(range(min = 16, max = 32_768))]
    pub tasks: u32,
    /// Processor time, in hundredths of one processor: 10 to 25600.
    #[schemars(range(min = 10, max = 25_600))]
    pub cpu_percent: u32,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self {
            memory_mib: 2048,
            tasks: 512,
            cpu_percent: 200,
        }
    }
}

impl TenantLimits {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// The field and its rule, in a text for people.
    pub fn check(&self) -> Result<(), String> {
        for (name, value, from, to) in [
            ("memory_mib", self.memory_mib, 64, 1_048_576),
            ("tasks", self.tasks, 16, 32_768),
            ("cpu_percent", self.cpu_percent, 10, 25_600),
        ] {
            if !(from..=to).contains(&value) {
                return Err(format!("`{name}` is {value}; it must be {from} to {to}"));
            }
        }
        Ok(())
    }
}

/// A tenant's number on its host, 1 to 4000: the smallest that is free when it is registered, and the same
/// for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct TenantNumber(u16);

impl TenantNumber {
    /// The highest number.
    pub const MAX: u16 = 4000;

    /// The number itself.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for TenantNumber {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        if (1..=Self::MAX).contains(&number) {
            return Ok(Self(number));
        }
        Err(format!(
            "{number} is no tenant's number: 1 to {}",
            Self::MAX
        ))
    }
}

impl From<TenantNumber> for u16 {
    fn from(number: TenantNumber) -> Self {
        number.0
    }
}

impl std::fmt::Display for TenantNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for TenantNumber {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TenantNumber".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A tenant's number on its host.",
            "type": "integer",
            "minimum": 1,
            "maximum": Self::MAX
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_limits() {
        assert_eq!(TenantLimits::default().check(), Ok(()));
        let few = TenantLimits {
            tasks: 15,
            ..TenantLimits::default()
        };
        assert_eq!(
            few.check(),
            Err("`tasks` is 15; it must be 16 to 32768".to_owned())
        );
        let read: TenantLimits = serde_json::from_str(r#"{"memory_mib":512}"#).unwrap();
        assert_eq!((read.memory_mib, read.tasks), (512, 512));
        assert!(serde_json::from_str::<TenantLimits>(r#"{"memory":1}"#).is_err());
    }

    #[test]
    fn numbers_start_at_one_and_end() {
        assert_eq!(TenantNumber::try_from(1).unwrap().get(), 1);
        assert!(TenantNumber::try_from(0).is_err());
        assert!(serde_json::from_str::<TenantNumber>("4001").is_err());
    }
}
