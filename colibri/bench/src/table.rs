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
    name: String,
    per_second: f64,
    /// The daemon's rate divided by this one.
    ratio: f64,
    /// The least that the ratio is to be.
    aim: Option<f64>,
    met: Option<bool>,
}

/// Something that is better the smaller it is.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    /// What it is to stay below.
    aim: Option<f64>,
    met: Option<bool>,
}

impl Rate {
    pub(crate) fn new(name: &str, per_second: f64, ours: f64, aim: Option<f64>) -> Self {
        let ratio = ours / per_second;
        Self {
            name: name.to_owned(),
            per_second,
            ratio,
            aim,
            met: aim.map(|aim| ratio >= aim),
        }
    }
}

impl Row {
    pub(crate) fn new(what: String, value: f64, unit: &'static str, aim: Option<f64>) -> Self {
        Self {
            what,
            value,
            unit,
            aim,
            met: aim.map(|aim| value < aim),
        }
    }
}

impl Figures {
    /// Whether each aim was met.
    fn verdicts(&self) -> impl Iterator<Item = bool> {
        let rates = self.rates.iter().filter_map(|rate| rate.met);
        rates.chain(self.rows.iter().filter_map(|row| row.met))
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<44} {:>10} {:>14}", "", "tasks/s", "daemon to it")?;
        for rate in &self.rates {
            let Rate {
                name,
                per_second,
                ratio,
                ..
            } = rate;
            let verdict = verdict("at least", rate.aim, rate.met);
            writeln!(f, "{name:<44} {per_second:>10.0} {ratio:>14.2}{verdict}")?;
        }
        writeln!(f)?;
        for row in &self.rows {
            let Row {
                what, value, unit, ..
            } = row;
            let verdict = verdict("below", row.aim, row.met);
            writeln!(f, "{what:<44} {value:>10.2} {unit}{verdict}")?;
        }
        writeln!(f)?;
        for what in &self.not_measured {
            writeln!(f, "NOT MEASURED: {what}")?;
        }
        let missed = self.verdicts().filter(|met| !met).count();
        let all = self.verdicts().count();
        if missed == 0 {
            writeln!(f, "All {all} aims are met.")
        } else {
            writeln!(f, "MISSED: {missed} of {all} aims.")
        }
    }
}

/// What stands behind a figure that has an aim.
fn verdict(relation: &str, aim: Option<f64>, met: Option<bool>) -> String {
    aim.map_or_else(String::new, |aim| {
        let met = if met == Some(true) { "met" } else { "MISSED" };
        format!("  aim {relation} {aim}: {met}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(ours: f64, status: f64) -> Figures {
        Figures {
            rates: vec![
                Rate::new("SQLite", 100.0, ours, Some(0.8)),
                Rate::new("PostgreSQL", 50.0, ours, None),
            ],
            rows: vec![Row::new("status".to_owned(), status, "ms", Some(5.0))],
            not_measured: vec!["memory: no /proc".to_owned()],
        }
    }

    #[test]
    fn each_aim_has_its_verdict_and_so_have_all_together() {
        let text = figures(80.0, 4.9).to_string();
        assert_eq!(text.matches(": met").count(), 2, "{text}");
        assert!(text.ends_with("All 2 aims are met.\n"), "{text}");
        let text = figures(79.0, 5.0).to_string();
        assert_eq!(text.matches(": MISSED").count(), 2, "{text}");
        assert!(text.ends_with("MISSED: 2 of 2 aims.\n"), "{text}");
        assert!(text.contains("NOT MEASURED: memory: no /proc"), "{text}");
    }

    #[test]
    fn programs_read_the_same_verdicts() {
        let json = serde_json::to_value(figures(80.0, 5.0)).unwrap();
        assert_eq!(json["rates"][0]["met"], true);
        assert_eq!(json["rates"][1]["met"], serde_json::Value::Null);
        assert_eq!(json["rows"][0]["met"], false);
        assert_eq!(json["not_measured"][0], "memory: no /proc");
    }
}
