//! A tenant's bucket in Vaultwarden, as the `.env` of its jail.
//!
//! The real `bw` does the work; nothing of Bitwarden's protocol is made again here. `bw` fails open in many
//! ways: it ends with 0 and no data, with old data, or with everybody's. So each call's answer is checked for
//! what it must say, and nothing is written before all of it has been.
//!
//! ```text
//! version -> lock -> folder -> server is ours -> log in (once) -> server is ours -> unlock -> sync
//!         -> collections -> items of the one -> each is in it, none is missing -> lock -> Bucket -> write_env
//! ```
//!
//! ```no_run
//! use colibri_vault::{Bootstrap, Places, Target, Vault, write_env};
//! # fn main() -> Result<(), colibri_vault::VaultError> {
//! # let target: Target = todo!();
//! let Some(bootstrap) = Bootstrap::read(colibri_vault::BOOTSTRAP.as_ref())? else {
//!     return Ok(()); // no vault is configured
//! };
//! let bucket = Vault::new(Places::of_host(), bootstrap).fetch("main", false)?;
//! let written = write_env(&target, &bucket)?;
//! println!("{} secrets, changed: {}", bucket.names().len(), written.changed);
//! # Ok(())
//! # }
//! ```

mod appdata;
pub mod backup;
mod bootstrap;
mod bucket;
mod bw;
pub mod env;
mod error;
mod lock;
pub mod reply;
mod target;
mod vault;

pub use bootstrap::Bootstrap;
pub use bucket::Bucket;
pub use env::{MAX_FILE, SecretName};
pub use error::{Class, VaultError};
pub use target::{Target, Written, names, read_env, write_env, write_secrets};
pub use vault::{Places, Seen, Vault};

/// The versions of `bw` that were tried against Vaultwarden: just this one.
pub const TESTED: &str = "2026.8.0";

/// The script of `bw` on the image.
pub const SCRIPT: &str = "/usr/local/lib/bw/node_modules/@bitwarden/cli/build/bw.js";

/// The host's way into the vault; root alone may read it.
pub const BOOTSTRAP: &str = if cfg!(target_os = "freebsd") {
    "/usr/local/etc/colibri/vault.env"
} else {
    "/etc/colibri/vault.env"
};

/// The certificate of a private authority that signed the server's, in PEM; used when it is there.
pub const CA: &str = if cfg!(target_os = "freebsd") {
    "/usr/local/etc/colibri/vault-ca.pem"
} else {
    "/etc/colibri/vault-ca.pem"
};
