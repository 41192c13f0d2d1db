//! Notices that the host's clock was set, as by a host without one of its own that hears the time
//! from the network. Without this, every lease would have ended at once.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// By how much the two clocks may differ from one look to the next. A clock that is only made to run
/// faster or slower gains less.
const TOLERANCE: Duration = Duration::from_secs(1);

/// The clock on the wall at one moment, and one that nobody sets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) wall: Timestamp,
    pub(crate) steady: Instant,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            wall: Timestamp::now(),
            steady: Instant::now(),
        }
    }

    /// By how much the clock was set, forward or back, between an earlier moment and this one;
    /// nothing when it was not. The time for which the host slept counts as set, too: nobody could
    /// give a sign of life in it.
    pub(crate) fn set_since(self, before: Self) -> Option<SignedDuration> {
        let passed = self.steady.saturating_duration_since(before.steady);
        let passed = SignedDuration::try_from(passed).ok()?;
        let step = self.wall.duration_since(before.wall).saturating_sub(passed);
        (step.unsigned_abs() >= TOLERANCE).then_some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_told_from_one_that_runs() {
        let start = Moment::now();
        // So much later by the one clock and by the other, in milliseconds.
        let step = |wall: i64, steady: u64| {
            let later = Moment {
                wall: start.wall + SignedDuration::from_millis(wall),
                steady: start.steady + Duration::from_millis(steady),
            };
            later.set_since(start).map(|by| by.as_millis())
        };
        assert_eq!(step(30_000, 30_000), None);
        assert_eq!(step(30_900, 30_000), None, "it runs a little fast");
        assert_eq!(step(3_630_000, 30_000), Some(3_600_000));
        assert_eq!(step(-3_570_000, 30_000), Some(-3_600_000));
        assert_eq!(step(0, 0), None);
    }
}
