//! DOS dates and times: UTC here, two seconds apart, from 1980 to 2107.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};

/// A date and a time as a directory entry holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DosTime {
    pub(super) date: u16,
    pub(super) time: u16,
}

impl DosTime {
    const FIRST: Self = Self {
        date: 1 << 5 | 1,
        time: 0,
    };
    const LAST: Self = Self {
        date: 127 << 9 | 12 << 5 | 31,
        time: 23 << 11 | 59 << 5 | 29,
    };

    /// `seconds` since 1970, clamped to what DOS can say.
    pub(super) fn from_unix(seconds: i64) -> Self {
        let Ok(at) = Timestamp::from_second(seconds) else {
            return if seconds < 0 { Self::FIRST } else { Self::LAST };
        };
        let at = at.to_zoned(TimeZone::UTC).datetime();
        match at.year() {
            ..1980 => Self::FIRST,
            2108.. => Self::LAST,
            year => Self {
                date: (((year - 1980) as u16) << 9) | ((at.month() as u16) << 5) | at.day() as u16,
                time: ((at.hour() as u16) << 11)
                    | ((at.minute() as u16) << 5)
                    | ((at.second() as u16) / 2),
            },
        }
    }

    /// Seconds since 1970; the first of 1980 for what is no date.
    pub(super) fn to_unix(self) -> i64 {
        let (date, time) = (self.date, self.time);
        DateTime::new(
            1980 + (date >> 9) as i16,
            ((date >> 5) & 15) as i8,
            (date & 31) as i8,
            (time >> 11) as i8,
            ((time >> 5) & 63) as i8,
            (time & 31) as i8 * 2,
            0,
        )
        .and_then(|at| at.to_zoned(TimeZone::UTC))
        .and_then(|at| at.round(Unit::Second))
        .map_or(315_532_800, |at| at.timestamp().as_second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_clamped_and_rounded_down() {
        for (seconds, back) in [
            (1_700_000_001, 1_700_000_000),
            (951_782_400, 951_782_400), // 2000-02-29
            (0, 315_532_800),
            (i64::MIN, 315_532_800),
            (4_354_819_200, 4_354_819_198), // 2108
            (i64::MAX, 4_354_819_198),
        ] {
            assert_eq!(DosTime::from_unix(seconds).to_unix(), back, "{seconds}");
        }
    }

    #[test]
    fn what_is_no_date_is_the_first_one() {
        for (date, time) in [(0, 0), (13 << 5 | 1, 0), (1 << 5 | 1, 31 << 11)] {
            assert_eq!(DosTime { date, time }.to_unix(), 315_532_800);
        }
    }
}
