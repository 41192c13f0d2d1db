//! When jobs are due: reckoning with times, without a clock of its own.

use std::str::FromStr;
use std::time::Duration;

use colibri_protocol::{Missed, Schedule};
use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// Most tasks that a job makes for times that were missed.
pub(crate) const MOST_MISSED: usize = 100;

/// A year: what is rarer is a date, and has a schedule of its own.
const LONGEST: u32 = 31_536_000;

/// When a new job is first due.
///
/// # Errors
/// What is wrong with the schedule, with the field's name.
pub(crate) fn first(schedule: &Schedule, now: Timestamp) -> Result<Timestamp, String> {
    match schedule {
        Schedule::Once { at } if *at <= now => Err(format!("`at` is {at}, which has passed")),
        Schedule::Interval { seconds } if !(1..=LONGEST).contains(seconds) => Err(format!(
            "`seconds` is {seconds}; it must be between 1 and {LONGEST}"
        )),
        Schedule::Interval { seconds } => Ok(now + SignedDuration::from_secs((*seconds).into())),
        Schedule::Once { at } => Ok(*at),
        Schedule::Cron { .. } => after(schedule, now)?
            .ok_or_else(|| "`expression` names no time that will ever come".to_owned()),
    }
}

/// What a job that was due at `due_at` has to do now: the times to make tasks for, in their order,
/// and when it is due next.
///
/// A run is missed when its time lies further back than `grace`; under `skip` only a run that is
/// not missed makes a task.
///
/// # Errors
/// When the schedule, which was good once, is not any more: a time zone that is gone, say.
pub(crate) fn due(
    schedule: &Schedule,
    missed: Missed,
    due_at: Timestamp,
    now: Timestamp,
    grace: Duration,
) -> Result<(Vec<Timestamp>, Option<Timestamp>), String> {
    let most = match missed {
        Missed::All => MOST_MISSED,
        Missed::Skip | Missed::Once => 1,
    };
    let mut times = latest(schedule, due_at, now, most)?;
    if missed == Missed::Skip {
        times.retain(|time| now.duration_since(*time).unsigned_abs() <= grace);
    }
    let next = match schedule {
        Schedule::Once { .. } => None,
        Schedule::Interval { seconds } => {
            let passed = u64::try_from(now.duration_since(due_at).as_secs()).unwrap_or(0);
            let steps = passed / u64::from(*seconds) + 1;
            Some(step(due_at, *seconds, steps))
        }
        Schedule::Cron { .. } => after(schedule, now)?,
    };
    Ok((times, next))
}

/// The latest `most` times from `due_at` to `now`, both included, in their order. Found from the
/// end, so that a year in which the host was off costs no more than a minute.
fn latest(
    schedule: &Schedule,
    due_at: Timestamp,
    now: Timestamp,
    most: usize,
) -> Result<Vec<Timestamp>, String> {
    let mut times = match schedule {
        Schedule::Once { .. } => vec![due_at],
        Schedule::Interval { seconds } => {
            let passed = u64::try_from(now.duration_since(due_at).as_secs()).unwrap_or(0);
            let last = passed / u64::from(*seconds);
            let times = (0..=last).rev().take(most);
            times.map(|steps| step(due_at, *seconds, steps)).collect()
        }
        Schedule::Cron { expression, zone } => {
            let (cron, zone) = parsed(expression, zone)?;
            let mut times = Vec::new();
            let mut from = whole_second(now).to_zoned(zone);
            let mut inclusive = true;
            while times.len() < most {
                let Ok(time) = cron.find_previous_occurrence(&from, inclusive) else {
                    break;
                };
                if time.timestamp() < due_at {
                    break;
                }
                times.push(time.timestamp());
                (from, inclusive) = (time, false);
            }
            times
        }
    };
    times.reverse();
    Ok(times)
}

/// The next time after this one, if there is one.
fn after(schedule: &Schedule, time: Timestamp) -> Result<Option<Timestamp>, String> {
    let Schedule::Cron { expression, zone } = schedule else {
        return Ok(None);
    };
    let (cron, zone) = parsed(expression, zone)?;
    let from: Zoned = whole_second(time).to_zoned(zone);
    // The crate's own error is that there is none before the year 5000.
    Ok(cron
        .find_next_occurrence(&from, false)
        .ok()
        .map(|next| next.timestamp()))
}

fn parsed(expression: &str, zone: &str) -> Result<(Cron, TimeZone), String> {
    let cron = Cron::from_str(expression).map_err(|error| {
        format!("`expression` is {expression:?}, which cron does not understand: {error}")
    })?;
    let zone = TimeZone::get(zone).map_err(|_| {
        format!("`zone` is {zone:?}, which is no time zone; one such as `Europe/Ljubljana`")
    })?;
    Ok((cron, zone))
}

fn step(from: Timestamp, seconds: u32, steps: u64) -> Timestamp {
    let seconds = u64::from(seconds).saturating_mul(steps);
    from.saturating_add(Duration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}

/// Cron knows no fractions: "after 12:00:00.5" is "after 12:00:00".
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GRACE: Duration = Duration::from_secs(60);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(expression: &str, zone: &str) -> Schedule {
        Schedule::Cron {
            expression: expression.to_owned(),
            zone: zone.to_owned(),
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_name_of_the_field() {
        let now = at("2026-11-27T00:00:00Z");
        for (schedule, part) in [
            (Schedule::Once { at: now }, "`at`"),
            (Schedule::Interval { seconds: 0 }, "`seconds`"),
            (cron("61 * * * *", "UTC"), "`expression`"),
            (cron("every day", "UTC"), "`expression`"),
            (cron("0 0 30 2 *", "UTC"), "`expression`"),
            (cron("0 0 * * *", "Mars/Base"), "`zone`"),
        ] {
            let error = first(&schedule, now).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_gap_is_run_after_and_an_overlap_once() {
        // In spring, 02:30 does not exist in Ljubljana; in autumn it comes twice.
        let nightly = cron("30 2 * * *", "Europe/Ljubljana");
        let spring = first(&nightly, at("2026-03-28T12:00:00Z")).unwrap();
        assert_eq!(spring, at("2026-03-29T01:00:00Z"), "03:00 on the wall");
        let autumn = first(&nightly, at("2026-10-24T12:00:00Z")).unwrap();
        assert_eq!(autumn, at("2026-10-25T00:30:00Z"));
        let next = first(&nightly, autumn).unwrap();
        assert_eq!(next, at("2026-10-26T01:30:00Z"));
    }

    #[test]
    fn missed_runs_are_skipped_or_made_once_or_all() {
        let hourly = Schedule::Interval { seconds: 3600 };
        let (due_at, now) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T05:10:00Z"));
        let made = |missed| due(&hourly, missed, due_at, now, GRACE).unwrap();
        let next = Some(at("2026-01-01T06:00:00Z"));
        assert_eq!(made(Missed::Skip), (vec![], next));
        assert_eq!(made(Missed::Once), (vec![at("2026-01-01T05:00:00Z")], next));
        let (all, _) = made(Missed::All);
        assert_eq!((all.len(), all[0]), (6, due_at));
        // On time, all three do the same.
        for missed in [Missed::Skip, Missed::Once, Missed::All] {
            let (times, _) = due(&hourly, missed, due_at, due_at + GRACE, GRACE).unwrap();
            assert_eq!(times, [due_at]);
        }
    }

    #[test]
    fn a_year_of_seconds_is_bounded() {
        let (due_at, now) = (at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00.7Z"));
        for schedule in [
            Schedule::Interval { seconds: 1 },
            cron("* * * * * *", "UTC"),
        ] {
            let (times, next) = due(&schedule, Missed::All, due_at, now, GRACE).unwrap();
            assert_eq!(times.len(), MOST_MISSED);
            assert_eq!(times.last(), Some(&at("2026-01-01T00:00:00Z")));
            assert_eq!(next, Some(at("2026-01-01T00:00:01Z")));
        }
    }

    fn any_zone() -> impl Strategy<Value = &'static str> {
        proptest::sample::select(vec![
            "UTC",
            "Europe/Ljubljana",
            "America/New_York",
            "America/St_Johns",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
        ])
    }

    /// Some time within days of a change of clocks on either half of the globe.
    fn any_time() -> impl Strategy<Value = Timestamp> {
        let changes = ["03-08", "03-29", "04-05", "10-04", "10-25", "11-01"];
        (
            proptest::sample::select(changes.to_vec()),
            -200_000_i64..200_000,
        )
            .prop_map(|(day, offset)| {
                at(&format!("2026-{day}T02:00:00Z")) + SignedDuration::from_secs(offset)
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn a_daily_job_runs_once_a_day_whatever_the_clocks_do(
            zone in any_zone(), start in any_time(), hour in 0..24, minute in 0..60,
        ) {
            let daily = cron(&format!("{minute} {hour} * * *"), zone);
            let zone = TimeZone::get(zone).unwrap();
            let mut time = first(&daily, start).unwrap();
            for _ in 0..6 {
                let next = first(&daily, time).unwrap();
                let date = |time: Timestamp| time.to_zoned(zone.clone()).date();
                prop_assert_eq!(date(next), date(time).tomorrow().unwrap());
                time = next;
            }
        }

        #[test]
        fn forwards_and_backwards_see_the_same_times(
            zone in any_zone(), start in any_time(), hours in 1_i64..60,
            expression in proptest::sample::select(vec![
                "30 2 * * *", "0 * * * *", "*/20 1-3 * * *", "15 0,1,2,3 * * *", "59 23 * * SUN",
            ]),
        ) {
            let schedule = cron(expression, zone);
            let due_at = first(&schedule, start).unwrap();
            let now = due_at + SignedDuration::from_hours(hours);
            let mut forwards = vec![due_at];
            let mut next = first(&schedule, due_at).unwrap();
            while next <= now {
                forwards.push(next);
                next = first(&schedule, next).unwrap();
            }
            let (times, then) = due(&schedule, Missed::All, due_at, now, GRACE).unwrap();
            prop_assert_eq!(times, forwards.split_off(forwards.len().saturating_sub(MOST_MISSED)));
            prop_assert_eq!(then, Some(next));
        }

        #[test]
        fn an_interval_keeps_its_beat(
            seconds in 1_u32..100_000, late in 0_i64..1_000_000, missed in
            proptest::sample::select(vec![Missed::Skip, Missed::Once, Missed::All]),
        ) {
            let due_at = at("2026-03-01T00:00:00Z");
            let now = due_at + SignedDuration::from_secs(late);
            let schedule = Schedule::Interval { seconds };
            let (times, next) = due(&schedule, missed, due_at, now, GRACE).unwrap();
            let next = next.unwrap();
            prop_assert!(next > now && next <= now + SignedDuration::from_secs(seconds.into()));
            for time in times.iter().chain([&next]) {
                prop_assert_eq!(time.duration_since(due_at).as_secs() % i64::from(seconds), 0);
            }
            prop_assert!(times.iter().all(|time| (due_at..=now).contains(time)));
        }
    }
}
