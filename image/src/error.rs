//! One error for the whole toolchain: what went wrong, where, and what to do now.

use std::fmt;

/// What kind of failure it was; the number is the exit code of `cargo xtask`, and stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Something did not work out.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// An input file is wrong: a recipe, a `setup.txt`, a package, an image.
    BadInput = 3,
    /// A tool or an input is missing on this machine.
    Missing = 4,
    /// It could be done, but is refused for safety.
    Refused = 5,
}

/// A failure with its kind, its causes and a remedy.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure of `kind`, said in one sentence that names what and where.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// An input is wrong (exit code 3).
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadInput, message)
    }

    /// A tool or an input is missing (exit code 4).
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Missing, message)
    }

    /// Something did not work out (exit code 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// Refused for safety (exit code 5).
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it; a full disk and a forbidden folder have a remedy wherever they turn up.
    pub fn remedy(&self) -> Option<&str> {
        self.hint.as_deref().or_else(|| {
            let mut cause = std::error::Error::source(self);
            while let Some(inner) = cause {
                // A remedy that was given further down holds for what failed because of it.
                if let Some(hint) = inner
                    .downcast_ref::<Self>()
                    .and_then(|error| error.hint.as_deref())
                {
                    return Some(hint);
                }
                if let Some(error) = inner.downcast_ref::<std::io::Error>() {
                    return remedy(error.kind());
                }
                cause = inner.source();
            }
            None
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Files of the build host: a full disk and a forbidden folder have remedies of their own.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self {
            kind: ErrorKind::Failed,
            message: error.to_string(),
            hint: remedy(error.kind()).map(str::to_owned),
            source: None,
        }
    }
}

fn remedy(kind: std::io::ErrorKind) -> Option<&'static str> {
    match kind {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Some("free some space, or point `--out` and `CLAWDIE_CACHE` at another disk")
        }
        std::io::ErrorKind::PermissionDenied => {
            Some("nothing here needs root: choose a folder that you may write")
        }
        _ => None,
    }
}

/// Says what was being done when a foreign error came up.
pub trait ResultExt<T> {
    /// Turns the error into one of `kind` with `message` in front of its cause.
    ///
    /// # Errors
    /// The same failure, told in our words.
    fn or_error(self, kind: ErrorKind, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: std::error::Error + Send + Sync + 'static> ResultExt<T> for std::result::Result<T, E> {
    fn or_error(self, kind: ErrorKind, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::new(kind, message()).caused_by(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_is_found_below_what_failed_because_of_it() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let foreign: Result<()> = Err(full()).or_error(ErrorKind::Failed, || "foreign".into());
        let ours: Result<()> =
            Err(Error::from(full())).or_error(ErrorKind::Failed, || "ours".into());
        for error in [foreign, ours].map(|result| result.unwrap_err()) {
            assert!(
                error
                    .remedy()
                    .is_some_and(|text| text.contains("free some space")),
                "{error}"
            );
        }
        let own = Error::failed("x").hint("y").caused_by(full());
        assert_eq!(own.remedy(), Some("y"));
    }
}
