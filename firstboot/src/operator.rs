//! Who may open the dashboard. The first operator is set once, by `set-operator` or from `setup.txt`, and never
//! exchanged without a word.

use std::path::Path;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::host::{Host, HostError, Setting};
use crate::setup::Key;

/// The version that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// The record. It has no `Debug`: the hash is not for logs.
#[derive(Serialize, Deserialize)]
pub struct Operator {
    version: u32,
    /// Address that the operator logs in with.
    pub email: String,
    /// The password as a PHC string (`$argon2id$…`).
    password: String,
    /// When it was made.
    pub created: Timestamp,
}

/// Why there is no new operator.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The first one stays.
    #[error("an operator is set already ({path}) and stays")]
    Exists {
        /// The record.
        path: &'static str,
    },
    /// The address or the password does not keep its rule.
    #[error("the {what} {fault}. Rule: {rule}")]
    Rule {
        /// `address` or `password`.
        what: &'static str,
        /// What is wrong with it.
        fault: String,
        /// How it should be.
        rule: String,
    },
    /// The record reads otherwise than this program writes it.
    #[error("cannot make sense of {path}: {detail}")]
    Unreadable {
        /// The record.
        path: &'static str,
        /// What was wrong with it.
        detail: String,
    },
    /// The password could not be hashed.
    #[error("the password could not be hashed: {0}")]
    Hash(String),
    /// The file system said no.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

impl Operator {
    /// Reads the record; `None` when no operator was ever set.
    ///
    /// # Errors
    /// It cannot be read, or is none of ours.
    pub fn read(host: &dyn Host) -> Result<Option<Self>, OperatorError> {
        let path = host.paths().operator;
        let Some(bytes) = host.read(Path::new(path))? else {
            return Ok(None);
        };
        let unreadable = |detail: String| OperatorError::Unreadable { path, detail };
        let operator: Self =
            serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
        if operator.version > VERSION {
            let found = operator.version;
            return Err(unreadable(format!(
                "a newer clawdie-firstboot wrote it (format {found}, this one knows {VERSION})"
            )));
        }
        Ok(Some(operator))
    }

    /// Whether this is the operator's password. Takes tens of milliseconds, on purpose.
    pub fn has_password(&self, password: &SecretString) -> bool {
        PasswordHash::new(&self.password).is_ok_and(|hash| {
            argon2()
                .verify_password(password.expose_secret().as_bytes(), &hash)
                .is_ok()
        })
    }
}

/// Whether an address can be an operator's.
///
/// # Errors
/// Which rule it breaks.
pub fn check_email(email: &str) -> Result<(), OperatorError> {
    check("address", Key::OperatorEmail, email)
}

/// Whether a password is good enough.
///
/// # Errors
/// Which rule it breaks.
pub fn check_password(password: &SecretString) -> Result<(), OperatorError> {
    check("password", Key::OperatorPassword, password.expose_secret())
}

fn check(what: &'static str, key: Key, value: &str) -> Result<(), OperatorError> {
    let rule = key.row().rule;
    rule.check(value).map_err(|error| OperatorError::Rule {
        what,
        rule: error.rule.unwrap_or_else(|| rule.text()).into(),
        fault: error.fault.into(),
    })
}

/// Refuses when there is an operator already, so that nobody types a password in vain.
///
/// # Errors
/// There is one, or whether there is cannot be told.
pub fn require_none(host: &dyn Host) -> Result<(), OperatorError> {
    match Operator::read(host)? {
        Some(_) => Err(OperatorError::Exists {
            path: host.paths().operator,
        }),
        None => Ok(()),
    }
}

/// Sets the first operator; it is on disk when this returns.
///
/// # Errors
/// There is one already, a rule is broken, or the file cannot be written.
pub fn create(host: &dyn Host, email: &str, password: &SecretString) -> Result<(), OperatorError> {
    check_email(email)?;
    check_password(password)?;
    require_none(host)?;
    let hash: PasswordHash = argon2()
        .hash_password(password.expose_secret().as_bytes())
        .map_err(|error| OperatorError::Hash(error.to_string()))?;
    let operator = Operator {
        version: VERSION,
        email: email.to_owned(),
        password: hash.to_string(),
        created: host.now(),
    };
    let text = serde_json::to_string_pretty(&operator)
        .map_err(|error| OperatorError::Hash(error.to_string()))?;
    host.apply(&Setting::SecretFile {
        path: host.paths().operator,
        content: (text + "\n").into(),
    })?;
    Ok(host.settle()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::recording::Recording;

    const EMAIL: &str = "ada@example.org";

    #[test]
    fn the_first_operator_is_kept_and_only_the_right_password_fits() {
        let host = Recording::fresh(None);
        let password = SecretString::from("CANARY long phrase");
        create(&host, EMAIL, &password).expect("created");
        let text = host
            .setting("file /etc/colibri/operator.json")
            .expect("written");
        assert!(text.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert!(!text.contains("CANARY"), "{text}");
        let operator = Operator::read(&host).expect("readable").expect("there");
        assert_eq!(operator.email, EMAIL);
        assert!(operator.has_password(&password));
        assert!(!operator.has_password(&"CANARY long phrasE".into()));

        let again = create(&host, "eve@example.org", &"another phrase".into());
        assert!(matches!(again, Err(OperatorError::Exists { .. })));
        assert_eq!(host.setting("file /etc/colibri/operator.json"), Some(text));
    }

    #[test]
    fn bad_input_and_strange_records_are_refused_with_a_reason() {
        let host = Recording::fresh(None);
        let text = |email: &str, password: &str| {
            create(&host, email, &password.into())
                .expect_err("refused")
                .to_string()
        };
        assert!(text("ada", "CANARY long phrase").starts_with("the address is not"));
        let short = text(EMAIL, "CANARY");
        assert!(
            short.starts_with("the password ") && !short.contains("CANARY"),
            "{short}"
        );
        for record in [
            "{",
            "{\"version\":2,\"email\":\"\",\"password\":\"\",\"created\":\"2030-01-01T00:00:00Z\"}",
        ] {
            host.apply(&Setting::SecretFile {
                path: host.paths().operator,
                content: record.into(),
            })
            .expect("written");
            let text = text(EMAIL, "CANARY long phrase");
            assert!(
                text.starts_with("cannot make sense of /etc/colibri/operator.json"),
                "{text}"
            );
        }
    }
}
