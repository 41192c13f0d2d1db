//! What a session may use; the numbers are the protocol's unless others are given.

use colibri_protocol::{CostMode, Thresholds};

/// The limits of all cost modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For `fast`.
    pub fast: Thresholds,
    /// For `smart`.
    pub smart: Thresholds,
    /// For `max`.
    pub max: Thresholds,
}

impl Default for Limits {
    /// Those of the contract; a host may have others.
    fn default() -> Self {
        Self {
            fast: CostMode::Fast.thresholds(),
            smart: CostMode::Smart.thresholds(),
            max: CostMode::Max.thresholds(),
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
    pub fn of(&self, mode: CostMode) -> &Thresholds {
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
        type Value = fn(&Thresholds) -> u64;
        let all: [(&'static str, Value); 3] = [
            ("budget", |limits| limits.session_bytes),
            ("number of turns", |limits| limits.turns.into()),
            ("longest tool result", |limits| {
                limits.tool_result_bytes.unwrap_or(u64::MAX)
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
        for mode in CostMode::ALL {
            assert_eq!(*limits.of(mode), mode.thresholds());
        }
    }

    #[test]
    fn limits_that_make_no_sense_are_named() {
        let mut limits = Limits::default();
        limits.smart.session_bytes = 0;
        assert!(
            limits
                .check()
                .unwrap_err()
                .to_string()
                .contains("`smart` is 0")
        );
        limits.smart.session_bytes = 400_000;
        let error = limits.check().unwrap_err().to_string();
        assert!(
            error.contains("`smart` is smaller than that of `fast`"),
            "{error}"
        );
    }
}
