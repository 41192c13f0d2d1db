//! The one seam between what first boot wants and what an operating system does.
//!
//! Above this line nothing knows Debian from FreeBSD: steps speak of a [`Setting`] that should hold, a [`Volume`] that
//! may be the seed, a [`RootDisk`] that should be filled. Below it, [`debian`] and [`freebsd`] turn those into files and
//! commands, with `machine` below both, and a recording host stands in for tests. All compile and are tested on every
//! system; [`Native`] is the one that a program is built for.

mod authorized_keys;
mod command;
pub mod debian;
mod files;
pub mod freebsd;
mod machine;
mod network;
mod own_file;
#[cfg(test)]
mod played;
#[cfg(test)]
pub(crate) mod recording;
mod ssh;
mod wifi;
mod zone;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use colibri_protocol::client::ClientError;

pub use command::{Command, Output, Processes, System};
pub use network::{Fixed, Network, Wifi};

use crate::facts::Survey;
use crate::habits::Habits;
use crate::journal::Phase;
use crate::paths::Paths;

/// The flavour that this program is built for.
#[cfg(target_os = "freebsd")]
pub type Native = freebsd::Freebsd;
/// The flavour that this program is built for.
#[cfg(not(target_os = "freebsd"))]
pub type Native = debian::Debian;

/// How an account becomes root, who is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BecomeRoot {
    /// By a rule of its own for sudo(8).
    Sudo {
        /// Whether it must type its password to do so.
        ask_password: bool,
    },
    /// By mdo(1), which the kernel allows every member of `wheel` (mac_do(4)) and which never asks.
    Mdo,
}

/// One thing about the host that should be so. [`Host::holds`] asks, [`Host::apply`] makes it so.
///
/// `Display` is a phrase for plans and reports and never shows a secret.
#[derive(Debug, Clone)]
pub enum Setting {
    /// Nobody can log in as root with a password.
    RootLocked,
    /// This machine has SSH host keys of its own.
    SshHostKeys,
    /// The name in the kernel, on disk and in the hosts table.
    HostName(String),
    /// An Olson name such as `Europe/Ljubljana`.
    TimeZone(String),
    /// A locale name such as `C.UTF-8`.
    Locale(String),
    /// A console keyboard layout such as `us`.
    Keymap(String),
    /// How the machine reaches the network.
    Network(Network),
    /// The clock shows no time before this one.
    ClockNotBefore(Timestamp),
    /// A human's login with a home of its own, member of Colibri's group.
    Account {
        /// Login name.
        login: String,
    },
    /// The account has a password of its own; an existing one is kept.
    Password {
        /// Login name.
        login: String,
        /// Goes to the password program's standard input and nowhere else.
        password: SecretString,
    },
    /// These SSH keys open the account; keys that are there already stay.
    AuthorizedKeys {
        /// Login name.
        login: String,
        /// Public keys, one `authorized_keys` line each.
        keys: Vec<String>,
    },
    /// The account may become root.
    Administrator {
        /// Login name.
        login: String,
        /// In which way.
        by: BecomeRoot,
    },
    /// A file that only root can read.
    SecretFile {
        /// Absolute path.
        path: &'static str,
        /// The whole content.
        content: SecretString,
    },
    /// These packages of the image's own repository are installed.
    Packages {
        /// Their names.
        names: Vec<String>,
    },
    /// The service starts at every boot.
    ServiceEnabled(Service),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootLocked => write!(f, "root locked"),
            Self::SshHostKeys => write!(f, "SSH host keys made on this machine"),
            Self::HostName(name) => write!(f, "host name `{name}`"),
            Self::TimeZone(zone) => write!(f, "time zone `{zone}`"),
            Self::Locale(locale) => write!(f, "locale `{locale}`"),
            Self::Keymap(keymap) => write!(f, "console keyboard `{keymap}`"),
            Self::Network(network) => write!(f, "{network}"),
            Self::ClockNotBefore(time) => write!(f, "clock not before {time:.0}"),
            Self::Account { login } => write!(f, "account `{login}`"),
            Self::Password { login, .. } => write!(f, "a password for `{login}`"),
            Self::AuthorizedKeys { login, keys } => {
                write!(f, "{} SSH key(s) for `{login}`", keys.len())
            }
            Self::Administrator { login, by } => match by {
                BecomeRoot::Sudo { ask_password: true } => {
                    write!(f, "sudo for `{login}`, with its password")
                }
                BecomeRoot::Sudo {
                    ask_password: false,
                } => write!(f, "sudo for `{login}`, without a password"),
                BecomeRoot::Mdo => write!(f, "mdo for `{login}`, without a password"),
            },
            Self::SecretFile { path, .. } => write!(f, "{path}, readable by root only"),
            Self::Packages { names } => write!(f, "packages {}", names.join(", ")),
            Self::ServiceEnabled(service) => write!(f, "{service} at every boot"),
        }
    }
}

/// A service that first boot turns on. `Display` is its name for humans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The Colibri control plane.
    ColibriDaemon,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ColibriDaemon => f.write_str("colibri-daemon"),
        }
    }
}

/// What to ask of the service supervisor. None of these waits for the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Start it when it is not running.
    Start,
    /// Stop and start it, so that it reads its configuration anew.
    Restart,
}

/// A partition (or whole unpartitioned stick) that may hold the seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Device to mount, `/dev/sda1`.
    pub device: String,
    /// FAT label.
    pub label: Option<String>,
    /// GPT name.
    pub gpt_name: Option<String>,
    /// Whether it lies on the disk that this system runs from.
    pub on_boot_disk: bool,
}

/// How the seed is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For reading `setup.txt`.
    ReadOnly,
    /// For writing `RESULT.txt`, and only then.
    ReadWrite,
}

/// The disk under `/`, as far as growing is concerned. Sizes and offsets in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootDisk {
    /// The whole disk, `/dev/sda`.
    pub disk: String,
    /// The partition of `/`, `/dev/sda4`.
    pub partition: String,
    /// Its number in the table.
    pub number: u32,
    /// Whether no partition lies behind it.
    pub last: bool,
    /// Size of the disk.
    pub disk_bytes: u64,
    /// Where the partition starts.
    pub start: u64,
    /// Size of the partition in the table on disk.
    pub table_bytes: u64,
    /// Size of the partition that the kernel works with.
    pub kernel_bytes: u64,
    /// Size of the file system in it.
    pub file_system_bytes: u64,
    /// What the file system may leave unused of its partition: a last group too small to hold a file.
    pub unused_bytes: u64,
}

/// One move of growing the root. Each is safe to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrowMove {
    /// Put the backup partition table at the disk's end and stretch the last partition to it.
    Partition,
    /// Tell the running kernel of the partition's new size.
    Kernel,
    /// Stretch the mounted file system to its partition.
    FileSystem,
}

/// An address of this machine that others can reach.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Address {
    /// Network interface.
    pub interface: String,
    /// Printed address.
    pub address: String,
}

/// A part of the answer to "how is this machine?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// One word, for a file's name.
    pub name: &'static str,
    /// What the system says. Not free of secrets.
    pub text: String,
}

/// Why an effect did not happen.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The file system said no.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, with the path.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A program could not be started or ended with an error.
    #[error("`{command}` failed ({status}){}{output}", if output.is_empty() { "" } else { ": " })]
    Command {
        /// The command line, which never holds a secret.
        command: String,
        /// `exit 1`, `signal 9`, `not found`.
        status: String,
        /// The last lines that it printed.
        output: String,
    },
    /// The image lacks something that a setting asks for.
    #[error("{what} is not on this image; {remedy}")]
    NotOnImage {
        /// What was asked for.
        what: String,
        /// What the operator can do.
        remedy: String,
    },
    /// It could be done and must not be.
    #[error("{0}")]
    Refused(String),
    /// Something on the host reads otherwise than its format promises.
    #[error("cannot make sense of {what}: {detail}")]
    Unexpected {
        /// File or program output.
        what: String,
        /// What was wrong with it.
        detail: String,
    },
    /// The daemon was asked and gave no good answer.
    #[error(transparent)]
    Daemon(#[from] ClientError),
    /// A test switched the power off.
    #[cfg(test)]
    #[error("power cut")]
    PowerCut,
}

impl HostError {
    /// An I/O error with the words that make it useful.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// Whether time alone may heal it: a network or a daemon that is not up yet.
    pub fn is_transient(&self) -> bool {
        use io::ErrorKind as Kind;
        match self {
            Self::Io { source, .. } => matches!(
                source.kind(),
                Kind::ConnectionRefused
                    | Kind::ConnectionReset
                    | Kind::ConnectionAborted
                    | Kind::NotConnected
                    | Kind::NetworkDown
                    | Kind::NetworkUnreachable
                    | Kind::HostUnreachable
                    | Kind::TimedOut
            ),
            Self::Daemon(error) => !matches!(
                error,
                ClientError::Denied { .. }
                    | ClientError::Garbled { .. }
                    | ClientError::TooLong { .. }
            ),
            _ => false,
        }
    }
}

/// Every effect of first boot on the machine.
///
/// Paths are absolute and without a test's prefix. All writes are durable when the call returns, except those of
/// [`Host::apply`], which [`Host::settle`] makes durable.
pub trait Host {
    /// The flavour's fixed places.
    fn paths(&self) -> Paths;
    /// How its people do things by hand, for texts.
    fn habits(&self) -> Habits;

    /// Whether a setting is already so. Changes nothing.
    fn holds(&self, setting: &Setting) -> Result<bool, HostError>;
    /// Makes it so; safe to repeat after a cut at any point.
    fn apply(&self, setting: &Setting) -> Result<(), HostError>;
    /// Waits until everything written so far is on the disk.
    fn settle(&self) -> Result<(), HostError>;

    /// Reads a file; `None` when there is none. At most 1 MiB is read of files on the seed.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError>;
    /// Replaces a file as a whole: temporary name, sync, rename, sync of the folder.
    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), HostError>;
    /// Adds to a file's end, made with `mode` when it is new; `sync` makes it durable.
    fn append(&self, path: &Path, content: &[u8], mode: u32, sync: bool) -> Result<(), HostError>;
    /// Writes as many bytes as a file has over them, in the same sectors, so that nothing can bring the old ones back. A
    /// cut may leave it half written.
    fn overwrite(&self, path: &Path, content: &[u8]) -> Result<(), HostError>;
    /// Gives a file another name in its folder, durably.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), HostError>;
    /// Names in a folder, sorted; none when there is no such folder.
    fn list(&self, folder: &Path) -> Result<Vec<String>, HostError>;

    /// Volumes with a name that a seed may have, the boot disk's own first.
    fn volumes(&self) -> Result<Vec<Volume>, HostError>;
    /// Mounts a volume at [`Paths::seed_mount`].
    fn mount_seed(&self, volume: &Volume, access: Access) -> Result<(), HostError>;
    /// Undoes [`Host::mount_seed`]; not an error when nothing is mounted.
    fn unmount_seed(&self) -> Result<(), HostError>;

    /// The disk under `/`; `None` when `/` does not lie on a partition that can grow.
    fn root_disk(&self) -> Result<Option<RootDisk>, HostError>;
    /// One move of growing it.
    fn grow(&self, root: &RootDisk, step: GrowMove) -> Result<(), HostError>;

    /// Whether the service is running.
    fn is_running(&self, service: Service) -> Result<bool, HostError>;
    /// Gives an order to the supervisor and does not wait for the service.
    fn order(&self, service: Service, order: Order) -> Result<(), HostError>;
    /// Tells the supervisor that a phase which ended badly in this boot has ended well since.
    fn forget_failure(&self, phase: Phase) -> Result<(), HostError>;
    /// Asks the daemon a question over its socket; the answer as a short text (version).
    fn ask_daemon(&self) -> Result<String, HostError>;

    /// The flavour's way to become root; `ask_password` is a wish that not every way can fulfil.
    fn become_root(&self, ask_password: bool) -> BecomeRoot;
    /// The running host name; the configured one while none is set yet.
    fn host_name(&self) -> Result<String, HostError>;
    /// Whether the account has a password that could log in.
    fn has_password(&self, login: &str) -> Result<bool, HostError>;
    /// Addresses that other machines can use; loopback and link-local ones are left out.
    fn addresses(&self) -> Result<Vec<Address>, HostError>;
    /// `SHA256:… (ED25519)` of each SSH host key.
    fn ssh_fingerprints(&self) -> Result<Vec<String>, HostError>;
    /// Prints on every console of the machine, as well as it goes: a console that hangs is given up on.
    fn console(&self, text: &str);
    /// What this machine is; what it does not tell is left empty.
    fn survey(&self) -> Survey;
    /// What a helper wants to know of the system: logs of our services, disks, addresses. What cannot be had says why.
    fn diagnose(&self) -> Vec<Diagnosis>;
    /// Names this boot; another boot has another name.
    fn boot_id(&self) -> Result<String, HostError>;
    /// The clock.
    fn now(&self) -> Timestamp;
    /// When this program was put on the image or the host: no clock that shows an earlier time is right.
    fn installed_at(&self) -> Result<Option<Timestamp>, HostError>;
    /// Waits.
    fn sleep(&self, time: Duration);
}
