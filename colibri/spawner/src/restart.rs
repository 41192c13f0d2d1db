//! Whether and when an agent that ended is started again. Pure: time comes in as
//! durations, and what to do goes out.

use std::time::Duration;

use crate::Ending;

/// After which ends an agent is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum When {
    /// Never.
    Never,
    /// After every end but that with code 0.
    #[default]
    Failure,
    /// After every end. One that ends well is never given up.
    Always,
}

/// How patient we are with an agent that keeps ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartPolicy {
    /// After which ends to start again.
    pub when: When,
    /// The first pause; after each further short run it is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// An agent that ran this long was well: the count begins anew.
    pub well_after: Duration,
    /// How many short runs in a row may fail before we give up.
    pub attempts: u32,
}

impl Default for RestartPolicy {
    /// Ten attempts within some fourteen minutes: after 1 s, 2 s, 4 s and so on up
    /// to 5 min, and anew after a minute of running well.
    fn default() -> Self {
        Self {
            when: When::Failure,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(300),
            well_after: Duration::from_secs(60),
            attempts: 10,
        }
    }
}

/// What to do now that an agent has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Start it again after a pause.
    Restart {
        /// How long to wait.
        after: Duration,
        /// The how-manieth attempt in a row it will be; 1 is the first.
        attempt: u32,
    },
    /// It ended as it should.
    Finished,
    /// Leave it, and tell the operator.
    GiveUp {
        /// Why, in a sentence.
        reason: String,
    },
}

/// The count of one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restarts {
    /// Short runs in a row, however they ended: they make the pauses longer.
    short: u32,
    /// The newest of them that failed in a row: they make us give up.
    failures: u32,
}

impl Restarts {
    /// The agent ended that way after it had run for `ran`.
    pub fn ended(&mut self, policy: &RestartPolicy, how: Ending, ran: Duration) -> Decision {
        if ran >= policy.well_after {
            *self = Self::default();
        }
        match (policy.when, how.is_success()) {
            (When::Never | When::Failure, true) => {
                *self = Self::default();
                Decision::Finished
            }
            (When::Always, true) => {
                self.failures = 0;
                self.again(policy)
            }
            (When::Never, false) => Decision::GiveUp {
                reason: format!("it ended with {how}, and is not to be started again"),
            },
            (When::Failure | When::Always, false) => {
                self.failed(policy, &format!("ended with {how}"))
            }
        }
    }

    /// The agent could not be started at all.
    pub fn refused(&mut self, policy: &RestartPolicy, why: &str) -> Decision {
        if policy.when == When::Never {
            return Decision::GiveUp {
                reason: format!("it could not be started: {why}"),
            };
        }
        self.failed(policy, &format!("could not be started: {why}"))
    }

    fn failed(&mut self, policy: &RestartPolicy, what: &str) -> Decision {
        self.failures = self.failures.saturating_add(1);
        if self.failures > policy.attempts {
            return Decision::GiveUp {
                reason: format!(
                    "it was started again {} times, each time ran for less than {:?}, and now \
                     {what}; see its log, then start it by hand",
                    policy.attempts, policy.well_after
                ),
            };
        }
        self.again(policy)
    }

    fn again(&mut self, policy: &RestartPolicy) -> Decision {
        // Past 2^20 the longest pause has been reached by any policy.
        let doublings = self.short.min(20);
        self.short = self.short.saturating_add(1);
        let after = policy
            .first
            .saturating_mul(1 << doublings)
            .min(policy.longest);
        Decision::Restart {
            after,
            attempt: self.short,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOON: Duration = Duration::from_millis(5);

    fn pauses(policy: &RestartPolicy) -> (Vec<Duration>, String) {
        let mut restarts = Restarts::default();
        let mut pauses = Vec::new();
        loop {
            match restarts.ended(policy, Ending::Code(1), SOON) {
                Decision::Restart { after, attempt } => {
                    pauses.push(after);
                    assert_eq!(attempt as usize, pauses.len());
                }
                Decision::GiveUp { reason } => return (pauses, reason),
                Decision::Finished => panic!("code 1 is no success"),
            }
        }
    }

    #[test]
    fn pauses_double_to_the_cap_and_then_we_give_up() {
        let (pauses, reason) = pauses(&RestartPolicy::default());
        let seconds: Vec<_> = pauses.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert!(
            reason.contains("10 times") && reason.contains("exit code 1"),
            "{reason}"
        );
    }

    #[test]
    fn who_ran_well_begins_anew() {
        let policy = RestartPolicy::default();
        let mut restarts = Restarts::default();
        for _ in 0..9 {
            restarts.ended(&policy, Ending::Signal(11), SOON);
        }
        let well = restarts.ended(&policy, Ending::Signal(11), policy.well_after);
        assert_eq!(
            well,
            Decision::Restart {
                after: policy.first,
                attempt: 1
            }
        );
    }

    #[test]
    fn who_ends_well_is_never_given_up_but_not_started_in_a_hurry_either() {
        let policy = RestartPolicy {
            when: When::Always,
            ..RestartPolicy::default()
        };
        let mut restarts = Restarts::default();
        let mut pause = |how| match restarts.ended(&policy, how, SOON) {
            Decision::Restart { after, .. } => Ok(after),
            Decision::GiveUp { reason } => Err(reason),
            Decision::Finished => panic!("always is always"),
        };
        for _ in 0..policy.attempts * 3 {
            pause(Ending::Code(0)).unwrap();
        }
        assert_eq!(pause(Ending::Code(0)), Ok(policy.longest));
        for _ in 0..policy.attempts {
            pause(Ending::Code(1)).unwrap();
        }
        // Only failures in a row count, and now there are too many.
        assert!(pause(Ending::Code(1)).unwrap_err().contains("10 times"));
    }

    #[test]
    fn success_is_final_unless_always() {
        let mut policy = RestartPolicy::default();
        let mut restarts = Restarts::default();
        let mut end = |policy: &RestartPolicy| restarts.ended(policy, Ending::Code(0), SOON);
        assert_eq!(end(&policy), Decision::Finished);
        policy.when = When::Always;
        assert!(matches!(end(&policy), Decision::Restart { .. }));
        policy.when = When::Never;
        assert_eq!(end(&policy), Decision::Finished);
        let refused = Restarts::default().refused(&policy, "no such file");
        assert!(matches!(refused, Decision::GiveUp { reason } if reason.contains("no such file")));
    }

    proptest! {
        #[test]
        fn pauses_never_shrink_never_pass_the_cap_and_end(
            first in 0u64..10_000, longest in 0u64..1_000_000, attempts in 0u32..60,
        ) {
            let policy = RestartPolicy {
                first: Duration::from_millis(first),
                longest: Duration::from_millis(longest),
                attempts,
                ..RestartPolicy::default()
            };
            let (pauses, _) = pauses(&policy);
            prop_assert_eq!(pauses.len(), attempts as usize);
            prop_assert!(pauses.is_sorted());
            prop_assert!(pauses.iter().all(|pause| *pause <= policy.longest));
        }
    }
}
