//! What was measured, as a table and as JSON.

use std::fmt;

use serde::Serialize;

/// All figures of a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// How many tasks a second were created, claimed, started and finished.
    pub(crate) rates: Vec<Rate>,
    pub(crate) rows: Vec<Row>,
    /// What is missing, and how to get it.
    pub(crate) not_measured: Vec<String>,
}

/// A rate, and what the daemon reaches of it.
#[derive(Debug, Serialize)]
pub(crate) struct Rate {
    pub(crate) name: String,
    pub(crate) per_second: f64,
    /// The daemon's rate divided by this one.
    pub(crate) ratio: f64,
    /// The least that the ratio is to be.
    pub(crate) aim: Option<f64>,
}

/// Something that is better the smaller it is.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The most that it is to be.
    pub(crate) aim: Option<f64>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<44} {:>10} {:>14}", "", "tasks/s", "daemon to it")?;
        for rate in &self.rates {
            let aim = rate.aim.map_or_else(String::new, |aim| {
                let met = if rate.ratio >= aim { "met" } else { "MISSED" };
                format!("  aim {aim}: {met}")
            });
            let Rate {
                name,
                per_second,
                ratio,
                ..
            } = rate;
            writeln!(f, "{name:<44} {per_second:>10.0} {ratio:>14.2}{aim}")?;
        }
        writeln!(f)?;
        for row in &self.rows {
            let aim = row.aim.map_or_else(String::new, |aim| {
                let met = if row.value < aim { "met" } else { "MISSED" };
                format!("  aim below {aim}: {met}")
            });
            let Row {
                what, value, unit, ..
            } = row;
            writeln!(f, "{what:<44} {value:>10.2} {unit}{aim}")?;
        }
        for what in &self.not_measured {
            writeln!(f, "NOT MEASURED: {what}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_missed_its_aim_and_what_was_not_measured_is_said() {
        let rate = |ratio| Rate {
            name: "SQLite".to_owned(),
            per_second: 100.0,
            ratio,
            aim: Some(0.8),
        };
        let row = |value| Row {
            what: "status".to_owned(),
            value,
            unit: "ms",
            aim: Some(5.0),
        };
        let text = Figures {
            rates: vec![rate(0.8), rate(0.79)],
            rows: vec![row(4.9), row(5.0)],
            not_measured: vec!["PostgreSQL: install it".to_owned()],
        }
        .to_string();
        assert_eq!(text.matches(": met").count(), 2, "{text}");
        assert_eq!(text.matches(": MISSED").count(), 2, "{text}");
        assert!(
            text.ends_with("NOT MEASURED: PostgreSQL: install it\n"),
            "{text}"
        );
    }
}
