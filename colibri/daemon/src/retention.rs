//! What ended long ago is removed: tasks with all that happened to them, agents that nobody hears of
//! any more, sessions. The scheduler's rounds take turns at it, each so small that nobody waits for it.

use std::str::FromStr;
use std::time::{Duration, Instant};

use colibri_protocol::{ReplyError, switch};
use colibri_store::Removed;
use jiff::{SignedDuration, Timestamp};

use crate::clock::Moment;
use crate::server::Service;

/// Ticks before the first sweep and between two of them; usually an hour. A host whose clock is far
/// ahead when it starts has heard the right time by then.
const REST: u32 = 120;

/// The pause between two turns of a sweep.
const BETWEEN: Duration = Duration::from_millis(250);

/// The most that one turn removes, of each kind: a few milliseconds of the writer's time.
const AT_ONCE: u32 = 100;

/// A hundred years.
const LONGEST: u32 = 36_500;

/// How long something is kept after its end: so many days, or for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keep(Option<u32>);

impl Default for Keep {
    fn default() -> Self {
        Self(Some(90))
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (switch(text), text.trim().parse()) {
            (Ok(false), _) => Ok(Self(None)),
            (_, Ok(days @ 1..=LONGEST)) => Ok(Self(Some(days))),
            _ => Err(format!(
                "must be a number of days from 1 to {LONGEST}, or `off` to keep all for ever"
            )),
        }
    }
}

impl Keep {
    /// Nothing when it is for ever.
    pub(crate) fn days(self) -> Option<u32> {
        self.0
    }

    /// What ended before that need not be kept; nothing when all is.
    fn since(self, now: Timestamp) -> Option<Timestamp> {
        let days = SignedDuration::from_hours(24 * i64::from(self.0?));
        now.saturating_sub(days).ok()
    }
}

/// The sweep through all that is kept, a turn at a time.
#[derive(Debug)]
pub(crate) struct Sweep {
    rest: Duration,
    /// When the next turn comes, by the clock that nobody sets.
    next: Instant,
    /// What it has removed so far.
    removed: Removed,
    sessions: usize,
}

impl Sweep {
    /// The first one comes after a rest.
    pub(crate) fn new(tick: Duration) -> Self {
        let rest = tick * REST;
        Self {
            rest,
            next: Instant::now() + rest,
            removed: Removed::default(),
            sessions: 0,
        }
    }

    /// The clock was set, and perhaps not for the last time: for a while nothing is too old by it.
    pub(crate) fn put_off(&mut self, now: Moment) {
        self.next = now.steady + self.rest;
    }

    /// Removes some of what is too old, once it is time to. Gives back when the next turn comes.
    pub(crate) async fn turn(&mut self, service: &Service, now: Moment) -> Option<Timestamp> {
        if now.steady >= self.next {
            let pause = match self.remove(service, now.wall).await {
                Ok(true) => BETWEEN,
                Ok(false) => self.end(),
                // The rest of the scheduler's work does not wait for this.
                Err(error) => {
                    tracing::error!("removing what ended long ago: {error}");
                    self.end()
                }
            };
            self.next = now.steady + pause;
        }
        let until = self.next.saturating_duration_since(now.steady);
        now.wall.saturating_add(until).ok()
    }

    /// Gives back whether there was something, and so may be more. Sessions come last: their folders
    /// are not looked through at every turn that goes to the board.
    async fn remove(&mut self, service: &Service, now: Timestamp) -> Result<bool, ReplyError> {
        if let Some(before) = service.config.keep_tasks.since(now) {
            let removed = service
                .board
                .change(move |batch| batch.remove_ended(before, AT_ONCE))
                .await?;
            if removed != Removed::default() {
                self.removed += removed;
                return Ok(true);
            }
        }
        let Some(before) = service.config.keep_sessions.since(now) else {
            return Ok(false);
        };
        let removed = service.panes.remove_sessions(before, AT_ONCE).await?;
        self.sessions += removed;
        Ok(removed > 0)
    }

    /// Says what came of it, and rests.
    fn end(&mut self) -> Duration {
        let removed = std::mem::take(&mut self.removed);
        let sessions = std::mem::take(&mut self.sessions);
        if removed != Removed::default() || sessions > 0 {
            let Removed {
                tasks,
                events,
                agents,
            } = removed;
            tracing::info!(
                "removed what ended long ago: {tasks} task(s), {events} event(s), {agents} agent(s), \
                 {sessions} session(s)"
            );
        }
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_kept_for_days_or_for_ever() {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
        let since = |text: &str| text.parse::<Keep>().map(|keep| keep.since(now));
        let day_before: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
        assert_eq!(since("1"), Ok(Some(day_before)));
        assert_eq!(Keep::default().days(), Some(90));
        for text in ["0", "off", "OFF", " no "] {
            assert_eq!(since(text), Ok(None), "{text:?}");
        }
        for text in ["", "on", "-1", "1.5", "90d", "36501"] {
            assert!(since(text).unwrap_err().contains("days"), "{text:?}");
        }
    }
}
