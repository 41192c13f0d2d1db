//! What a session may use; the numbers are the protocol's unless others are given.

use colibri_protocol::{CostMode, Thresholds};
use serde::{Deserialize, Serialize};

/// What a session may use in one cost mode. Sizes are bytes; 1 kB is 1000 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeLimits {
    /// Longest prompt, in bytes.
    pub budget: u64,
    /// Most turns that are kept word by word; with one more, older ones are compacted.
    pub turns: u32,
    /// Longest result of a tool, in bytes; none is no limit.
    pub tool_result: Option<u64>,
}

/// The limits of all cost modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// For `fast`.
    pub fast: ModeLimits,
    /// For `smart`.
    pub smart: ModeLimits,
    /// For `max`.
    pub max: ModeLimits,
}

impl Default for Limits {
    /// Those of the contract; a host may have others.
    fn default() -> Self {
        Self {
            fast: CostMode::Fast.thresholds().into(),
            smart: CostMode::Smart.thresholds().into(),
            max: CostMode::Max.thresholds().into(),
        }
    }
}

impl std::str::FromStr for ModeLimits {
    type Err = String;

    /// Reads `BYTES,TURNS,RESULT`, such as `500000,5,4000`; `RESULT` may be `unlimited`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if let [budget, turns, result] = parts[..]
            && let (Ok(budget), Ok(turns)) = (budget.parse(), turns.parse())
            && let Some(tool_result) = match result {
                "unlimited" => Some(None),
                bytes => bytes.parse().ok().map(Some),
            }
        {
            return Ok(Self {
                budget,
                turns,
                tool_result,
            });
        }
        Err(
            "must be BYTES,TURNS,RESULT: the longest prompt, the most turns and the longest \
             result of a tool (or `unlimited`), such as 500000,5,4000"
                .to_owned(),
        )
    }
}

impl From<Thresholds> for ModeLimits {
    fn from(of: Thresholds) -> Self {
        Self {
            budget: of.session_bytes,
            turns: of.turns,
            tool_result: of.tool_result_bytes,
        }
    }
}

impl From<ModeLimits> for Thresholds {
    fn from(of: ModeLimits) -> Self {
        Self {
            session_bytes: of.budget,
            turns: of.turns,
            tool_result_bytes: of.tool_result,
        }
    }
}

/// Limits that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Nothing could ever be said.
    #[error("the {what} of cost mode `{}` is 0; give it at least 1", mode.as_str())]
    Zero {
        /// Of which mode.
        mode: CostMode,
        /// Which limit.
        what: &'static str,
    },
    /// A dearer mode would give less, and escalation would help nobody.
    #[error(
        "the {what} of cost mode `{}` is smaller than that of `{}`; modes go from fast over smart to \
         max, each with at least as much",
        mode.as_str(), cheaper.as_str()
    )]
    Shrinks {
        /// The mode with less.
        mode: CostMode,
        /// The cheaper one with more.
        cheaper: CostMode,
        /// Which limit.
        what: &'static str,
    },
}

impl Limits {
    /// Those of one mode.
    pub fn of(&self, mode: CostMode) -> &ModeLimits {
        match mode {
            CostMode::Fast => &self.fast,
            CostMode::Smart => &self.smart,
            CostMode::Max => &self.max,
        }
    }

    /// Whether they make sense together.
    ///
    /// # Errors
    /// [`LimitsError`] with the first that does not.
    pub fn check(&self) -> Result<(), LimitsError> {
        type Value = fn(&ModeLimits) -> u64;
        let all: [(&'static str, Value); 3] = [
            ("budget", |limits| limits.budget),
            ("number of turns", |limits| limits.turns.into()),
            ("longest tool result", |limits| {
                limits.tool_result.unwrap_or(u64::MAX)
            }),
        ];
        for (what, value) in all {
            for mode in CostMode::ALL {
                if value(self.of(mode)) == 0 {
                    return Err(LimitsError::Zero { mode, what });
                }
            }
            for pair in CostMode::ALL.windows(2) {
                if value(self.of(pair[1])) < value(self.of(pair[0])) {
                    return Err(LimitsError::Shrinks {
                        mode: pair[1],
                        cheaper: pair[0],
                        what,
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_contract_and_sound() {
        let limits = Limits::default();
        limits.check().unwrap();
        let text = serde_json::to_string(&limits).unwrap();
        assert_eq!(
            text,
            r#"{"fast":{"budget":500000,"turns":5,"tool_result":4000},"smart":{"budget":2000000,"turns":20,"tool_result":16000},"max":{"budget":8000000,"turns":100,"tool_result":null}}"#
        );
        assert_eq!(serde_json::from_str::<Limits>(&text).unwrap(), limits);
        assert_eq!(serde_json::from_str::<Limits>("{}").unwrap(), limits);
        assert!(serde_json::from_str::<Limits>(r#"{"slow":{}}"#).is_err());
    }

    #[test]
    fn limits_are_read_as_three_numbers() {
        let limits = Limits::default();
        assert_eq!("500000,5,4000".parse(), Ok(limits.fast));
        assert_eq!(" 8000000, 100, unlimited ".parse(), Ok(limits.max));
        for wrong in [
            "", "1,2", "1,2,3,4", "1,2,", "-1,2,3", "1,2,all", "1 kB,2,3",
        ] {
            let error = wrong.parse::<ModeLimits>().unwrap_err();
            assert!(error.contains("BYTES,TURNS,RESULT"), "{wrong}: {error}");
        }
    }

    #[test]
    fn limits_that_make_no_sense_are_named() {
        let mut limits = Limits::default();
        limits.smart.budget = 0;
        assert!(
            limits
                .check()
                .unwrap_err()
                .to_string()
                .contains("`smart` is 0")
        );
        limits.smart.budget = 400_000;
        let error = limits.check().unwrap_err().to_string();
        assert!(
            error.contains("`smart` is smaller than that of `fast`"),
            "{error}"
        );
    }
}
