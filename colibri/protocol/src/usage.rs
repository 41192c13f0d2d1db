//! What agents use up: tokens, and what they cost.

use std::ops::{Add, AddAssign};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An amount of US dollars, exact to the billionth; a plain number on the wire.
///
/// Providers bill single tokens in fractions of a millionth. A sum of many such
/// amounts must not depend on their order, as that of floating numbers does.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "f64", into = "f64")]
pub struct Usd {
    billionths: u64,
}

impl Usd {
    /// The most that fits: a million dollars. Floating numbers tell a bit more apart, but dividing,
    /// writing, reading and multiplying each cost half a unit of their last place.
    const MOST: u64 = 1 << 50;

    /// An amount counted in billionths of a dollar.
    pub fn from_billionths(billionths: u64) -> Self {
        Self {
            billionths: billionths.min(Self::MOST),
        }
    }

    /// Billionths of a dollar.
    pub fn billionths(self) -> u64 {
        self.billionths
    }
}

impl TryFrom<f64> for Usd {
    type Error = String;

    fn try_from(dollars: f64) -> Result<Self, String> {
        let billionths = (dollars * 1e9).round();
        if (0.0..=Self::MOST as f64).contains(&billionths) {
            Ok(Self::from_billionths(billionths as u64))
        } else {
            Err(format!(
                "{dollars} is no cost; a number of dollars from 0 to a million"
            ))
        }
    }
}

impl From<Usd> for f64 {
    fn from(amount: Usd) -> Self {
        amount.billionths as f64 / 1e9
    }
}

impl Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::from_billionths(self.billionths + other.billionths)
    }
}

impl std::fmt::Display for Usd {
    /// `$1.50`, and four places below a dollar, where most costs are.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places = if self.billionths < 1_000_000_000 {
            4
        } else {
            2
        };
        f.pad(&format!("${:.places$}", f64::from(*self)))
    }
}

impl JsonSchema for Usd {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Usd".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "US dollars, exact to the billionth.",
            "type": "number",
            "minimum": 0
        })
    }
}

/// Tokens and their cost, of a task, an agent or a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// Tokens that the model read, without those from a cache.
    pub input: u64,
    /// Tokens that the model wrote.
    pub output: u64,
    /// Tokens that the provider had in its cache.
    pub cache_read: u64,
    /// Tokens that the provider put into its cache.
    pub cache_write: u64,
    /// What all of them cost.
    pub cost_usd: Usd,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.input = self.input.saturating_add(more.input);
        self.output = self.output.saturating_add(more.output);
        self.cache_read = self.cache_read.saturating_add(more.cache_read);
        self.cache_write = self.cache_write.saturating_add(more.cache_write);
        self.cost_usd = self.cost_usd + more.cost_usd;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ten_dimes_are_a_dollar() {
        let dime = Usd::try_from(0.1).unwrap();
        let sum = (0..10).fold(Usd::default(), |sum, _| sum + dime);
        assert_eq!(sum, Usd::try_from(1.0).unwrap());
        assert_eq!(sum.to_string(), "$1.00");
        assert_eq!(dime.to_string(), "$0.1000");
    }

    #[test]
    fn what_is_no_cost_is_refused() {
        for wrong in ["-0.1", "1e300", "\"1\"", "null"] {
            assert!(serde_json::from_str::<Usd>(wrong).is_err(), "{wrong}");
        }
        assert!(Usd::try_from(f64::NAN).is_err());
        assert!(Usd::try_from(f64::INFINITY).is_err());
    }

    #[test]
    fn usage_has_the_names_of_the_wire() {
        let usage: Usage = serde_json::from_str(
            r#"{"input":10,"output":2,"cache_read":3,"cache_write":4,"cost_usd":0.000015}"#,
        )
        .unwrap();
        assert_eq!(usage.cost_usd.billionths(), 15_000);
        assert!(serde_json::from_str::<Usage>(r#"{"tokens":1}"#).is_err());
        let mut sum = usage;
        sum += usage;
        assert_eq!((sum.input, sum.cost_usd.billionths()), (20, 30_000));
    }

    proptest! {
        #[test]
        fn an_amount_reads_back_as_it_was_written(billionths in 0..=Usd::MOST) {
            let amount = Usd::from_billionths(billionths);
            let text = serde_json::to_string(&amount).unwrap();
            prop_assert_eq!(serde_json::from_str::<Usd>(&text).unwrap(), amount);
        }
    }
}
