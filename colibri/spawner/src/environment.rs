//! What an agent finds in its environment: nothing that nobody meant it to have.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// The variables that are handed on from the daemon's own environment.
pub const INHERITED: [&str; 6] = ["HOME", "LANG", "LC_ALL", "PATH", "TERM", "TZ"];

/// Where programs are looked for when the daemon has no `PATH` itself.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// An environment built from nothing.
///
/// `Debug` shows the names and hides the values of secrets.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<OsString, Value>,
}

#[derive(Clone)]
enum Value {
    Plain(OsString),
    Secret(SecretString),
}

/// A name or a value that no environment can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// Empty, or with `=` or a NUL in it.
    #[error(
        "`{name}` is no name of an environment variable; use letters, digits and `_`, as in `TZ`"
    )]
    Name {
        /// The name as it came.
        name: String,
    },
    /// The value, which may be secret and is not shown, has a NUL in it.
    #[error("the value of `{name}` has a NUL byte in it, which no program could read; remove it")]
    Value {
        /// Whose value.
        name: String,
    },
}

impl Environment {
    /// The variables of [`INHERITED`] out of `from`, which is usually
    /// [`std::env::vars_os`], and a `PATH` in any case.
    pub fn inherit(from: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut values: BTreeMap<_, _> = from
            .into_iter()
            .filter(|(name, _)| INHERITED.iter().any(|known| name == known))
            .map(|(name, value)| (name, Value::Plain(value)))
            .collect();
        values
            .entry("PATH".into())
            .or_insert_with(|| Value::Plain(PATH.into()));
        Self { values }
    }

    /// Sets a variable that everybody may know.
    ///
    /// # Errors
    /// [`EnvironmentError`] when no environment can hold it.
    pub fn set(
        &mut self,
        name: impl Into<OsString>,
        value: impl Into<OsString>,
    ) -> Result<(), EnvironmentError> {
        let (name, value) = (name.into(), value.into());
        check(&name, value.as_encoded_bytes())?;
        self.values.insert(name, Value::Plain(value));
        Ok(())
    }

    /// Sets a variable whose value is shown nowhere.
    ///
    /// # Errors
    /// [`EnvironmentError`] when no environment can hold it.
    pub fn set_secret(
        &mut self,
        name: impl Into<OsString>,
        value: SecretString,
    ) -> Result<(), EnvironmentError> {
        let name = name.into();
        check(&name, value.expose_secret().as_bytes())?;
        self.values.insert(name, Value::Secret(value));
        Ok(())
    }

    /// Whether the variable is set.
    pub fn contains(&self, name: impl AsRef<OsStr>) -> bool {
        self.values.contains_key(name.as_ref())
    }

    /// Every name and value, for the one place that starts a process with them.
    pub(crate) fn exposed(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.values.iter().map(|(name, value)| {
            let value = match value {
                Value::Plain(value) => value.as_os_str(),
                Value::Secret(value) => OsStr::new(value.expose_secret()),
            };
            (name.as_os_str(), value)
        })
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.values.iter().map(|(name, value)| match value {
                Value::Plain(value) => (name, value.as_os_str()),
                Value::Secret(_) => (name, OsStr::new("(secret)")),
            }))
            .finish()
    }
}

fn check(name: &OsStr, value: &[u8]) -> Result<(), EnvironmentError> {
    let bytes = name.as_encoded_bytes();
    let shown = || name.to_string_lossy().into_owned();
    if bytes.is_empty() || bytes.contains(&b'=') || bytes.contains(&0) {
        return Err(EnvironmentError::Name { name: shown() });
    }
    if value.contains(&0) {
        return Err(EnvironmentError::Value { name: shown() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_handed_on() {
        let daemon = [
            ("PATH", "/bin"),
            ("HOME", "/var/db/colibri"),
            ("BW_PASSWORD", "hunter2"),
            ("LD_PRELOAD", "/tmp/x.so"),
            ("COLIBRI_DB_PATH", "/x"),
        ]
        .map(|(name, value)| (name.into(), value.into()));
        let environment = Environment::inherit(daemon);
        let names: Vec<_> = environment.exposed().map(|(name, _)| name).collect();
        assert_eq!(names, ["HOME", "PATH"]);
        assert!(Environment::inherit([]).contains("PATH"));
    }

    #[test]
    fn secrets_reach_the_process_and_nobody_else() {
        let mut environment = Environment::default();
        environment
            .set_secret("DEEPSEEK_API_KEY", "sk-very-secret".into())
            .unwrap();
        environment.set("TZ", "UTC").unwrap();
        let shown = format!("{environment:?}");
        assert!(shown.contains("DEEPSEEK_API_KEY") && shown.contains("UTC"));
        assert!(!shown.contains("sk-very"), "{shown}");
        assert!(
            environment
                .exposed()
                .any(|(_, value)| value == "sk-very-secret")
        );
    }

    #[test]
    fn what_no_environment_holds_is_refused_without_showing_it() {
        let mut environment = Environment::default();
        for name in ["", "A=B", "A\0B"] {
            assert!(environment.set(name, "x").is_err(), "{name:?}");
        }
        let error = environment
            .set_secret("KEY", "sk-\0secret".into())
            .unwrap_err();
        assert!(!error.to_string().contains("sk-"), "{error}");
    }
}
