//! Spans of time as people write them: `90s`, `30m`, `2h`, `7d`.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Each unit with its seconds, the longest first.
const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

/// The longest span: ten years, in seconds.
const LONGEST: u32 = 3650 * 86_400;

/// A span of time: a whole number above 0 and its unit, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeSpan(u32);

impl TimeSpan {
    /// So many seconds, if a span can be as long.
    pub fn from_seconds(seconds: u32) -> Option<Self> {
        (1..=LONGEST).contains(&seconds).then_some(Self(seconds))
    }

    /// Its length in seconds.
    pub fn seconds(self) -> u32 {
        self.0
    }

    /// The end of the span that begins then.
    pub fn after(self, then: Timestamp) -> Timestamp {
        let span = SignedDuration::from_secs(i64::from(self.0));
        then.saturating_add(span).unwrap_or(Timestamp::MAX)
    }
}

impl std::str::FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let unit = text.chars().next_back()?;
            let (_, seconds) = UNITS.into_iter().find(|(known, _)| *known == unit)?;
            let number = &text[..text.len() - 1];
            // `parse` would also take a sign.
            let is_plain =
                number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
            let number: u32 = number.parse().ok().filter(|_| is_plain)?;
            Self::from_seconds(number.checked_mul(seconds)?)
        };
        read().ok_or_else(|| {
            let shown: String = text.chars().take(20).collect();
            format!(
                "`{shown}` is no span of time: a whole number from 1 and `s`, `m`, `h` or `d`, at most \
                 3650d, such as `90s` or `2h`"
            )
        })
    }
}

impl TryFrom<String> for TimeSpan {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TimeSpan> for String {
    fn from(span: TimeSpan) -> Self {
        span.to_string()
    }
}

impl std::fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = |(_, seconds): &(char, u32)| self.0.is_multiple_of(*seconds);
        let (unit, seconds) = UNITS.into_iter().find(whole).unwrap_or(('s', 1));
        f.pad(&format!("{}{unit}", self.0 / seconds))
    }
}

impl JsonSchema for TimeSpan {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeSpan".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A span of time: a whole number from 1 and `s`, `m`, `h` or `d`, at most 3650d.",
            "type": "string",
            "pattern": "^[1-9][0-9]*[smhd]$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        for (text, seconds, shown) in [
            ("1s", 1, "1s"),
            ("90s", 90, "90s"),
            ("120m", 7200, "2h"),
            ("2h", 7200, "2h"),
            ("3650d", LONGEST, "3650d"),
        ] {
            let span: TimeSpan = text.parse().unwrap();
            assert_eq!(
                (span.seconds(), span.to_string().as_str()),
                (seconds, shown)
            );
        }
        for wrong in [
            "",
            "s",
            "2",
            "0s",
            "02h",
            "+2h",
            "-2h",
            "2 h",
            " 2h",
            "2h ",
            "2H",
            "2w",
            "1.5h",
            "2hh",
            "1h30m",
            "3651d",
            "4294967296s",
            "99999999999999999999d",
            "٢h",
            "2ž",
        ] {
            let error = wrong.parse::<TimeSpan>().unwrap_err();
            assert!(error.contains("`90s` or `2h`"), "{wrong}: {error}");
        }
        let then = Timestamp::UNIX_EPOCH;
        assert_eq!(
            "2h".parse::<TimeSpan>().unwrap().after(then).as_second(),
            7200
        );
        let last: TimeSpan = "3650d".parse().unwrap();
        assert_eq!(last.after(Timestamp::MAX), Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same(seconds in 1..=LONGEST) {
            let span = TimeSpan::from_seconds(seconds).unwrap();
            prop_assert_eq!(span.to_string().parse(), Ok(span));
            let wire = serde_json::to_string(&span).unwrap();
            prop_assert_eq!(serde_json::from_str::<TimeSpan>(&wire).unwrap(), span);
        }

        #[test]
        fn a_number_and_a_unit_are_so_many_seconds(number in 1_u32..=3650, at in 0_usize..4) {
            let (unit, seconds) = UNITS[at];
            let span: TimeSpan = format!("{number}{unit}").parse().unwrap();
            prop_assert_eq!(span.seconds(), number * seconds);
        }

        #[test]
        fn anything_else_is_refused_and_shown_short(text in any::<String>()) {
            match text.parse::<TimeSpan>() {
                Ok(span) => prop_assert!(span.seconds() > 0 && text.is_ascii()),
                Err(error) => prop_assert!(error.chars().count() < 160),
            }
        }
    }
}
