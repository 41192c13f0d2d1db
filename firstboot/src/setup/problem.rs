//! What is wrong with a `setup.txt`, in words an operator can act on.

use std::fmt;
use std::ops::Range;

use serde::{Serialize, Serializer};

use super::schema::Key;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is provisioned until it is corrected.
    Error,
    /// Worth knowing; the set-up goes on.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// One thing to say about a `setup.txt` (or the `authorized_keys` beside it).
///
/// No field ever holds a secret: [`Problem::source_line`] is redacted when the problem is made.
/// `Display` renders the plain text used everywhere, with `\n` between lines and none at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// A short stable name of the kind of problem, for programs: `placeholder`, `duplicate`, ...
    pub code: &'static str,
    /// The file it is in, as the caller named it.
    pub file: String,
    /// Line, counted from 1; `None` when something is missing altogether.
    pub line: Option<usize>,
    /// Column in characters, counted from 1.
    pub column: Option<usize>,
    /// The setting concerned.
    #[serde(serialize_with = "key_name")]
    pub key: Option<Key>,
    /// What is wrong, in one sentence.
    pub title: String,
    /// The line itself, secrets masked and shortened if very long.
    pub source_line: Option<String>,
    /// Which characters of `source_line` the caret line marks, counted from 0.
    pub caret: Range<usize>,
    /// What a value has to look like.
    pub rule: Option<String>,
    /// What to do now.
    pub remedy: String,
}

fn key_name<S: Serializer>(key: &Option<Key>, serializer: S) -> Result<S::Ok, S::Error> {
    match key {
        Some(key) => serializer.serialize_some(key.name()),
        None => serializer.serialize_none(),
    }
}

impl Problem {
    /// Whether it stops the set-up.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.title)?;
        write!(f, "\n  in {}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ", column {column}")?;
        }
        if let (Some(text), Some(line)) = (&self.source_line, self.line) {
            let number = format!("{line:>5}");
            write!(f, "\n{number} | {text}")?;
            let marks = self.caret.len().max(1);
            write!(
                f,
                "\n{:5} | {}{}",
                "",
                " ".repeat(self.caret.start),
                "^".repeat(marks)
            )?;
        }
        if let Some(rule) = &self.rule {
            write!(f, "\n  rule:   {rule}")?;
        }
        write!(f, "\n  remedy: {}", self.remedy)
    }
}
