//! What can go wrong with jails.

use std::io;
use std::path::{Path, PathBuf};

use colibri_protocol::{TenantId, TenantNumber};

/// Why a jail is not as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// No such jail.
    #[error("there is no jail `{0}` on this host; make it with `colibri register-tenant {0}`")]
    NotFound(TenantId),
    /// It must run for this.
    #[error("the jail `{0}` does not run")]
    NotRunning(TenantId),
    /// Two jails cannot share a number.
    #[error("number {number} is that of the jail `{holder}`; `{tenant}` cannot have it too")]
    NumberTaken {
        /// Who wants it.
        tenant: TenantId,
        /// The number.
        number: TenantNumber,
        /// Who has it.
        holder: String,
    },
    /// It had another number when it was made, and files and addresses are made from that.
    #[error(
        "the jail `{tenant}` has number {has}, not {wanted}; remove it before it is made anew with another"
    )]
    OtherNumber {
        /// Whose jail.
        tenant: TenantId,
        /// Its number.
        has: TenantNumber,
        /// What it was asked for with.
        wanted: TenantNumber,
    },
    /// Its removal was begun.
    #[error("the jail `{0}` is being removed; remove it again to finish that")]
    Removing(TenantId),
    /// Limits, a program or an environment that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A record that is none.
    #[error("{path} is no record of a jail ({reason}); move it away, and make the jail anew", path = path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Something is mounted where it must not be, and nothing below it was touched.
    #[error("{path} is another file system than its jail; unmount it", path = path.display())]
    Mounted {
        /// Where.
        path: PathBuf,
    },
    /// A file or folder.
    #[error("{what} {path}: {source}", path = path.display())]
    Files {
        /// What was tried: `cannot make`, say.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A program of the system failed.
    #[error("`{command}` failed ({status}){}{output}", if output.is_empty() { "" } else { ": " })]
    Command {
        /// What was run.
        command: String,
        /// How it ended.
        status: String,
        /// What it said, in one line.
        output: String,
    },
    /// Programs said that all is well, and it is not.
    #[error("the jail `{tenant}` did not {what}; see `{look}`")]
    State {
        /// Whose jail.
        tenant: TenantId,
        /// What it did not.
        what: String,
        /// What tells more.
        look: String,
    },
    /// A test cut the power here.
    #[cfg(test)]
    #[error("the power was cut")]
    Cut,
}

impl JailError {
    /// For `map_err` over what files and folders answer.
    pub(crate) fn files<E: Into<io::Error>>(
        what: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Files {
            what,
            path,
            source: source.into(),
        }
    }
}
