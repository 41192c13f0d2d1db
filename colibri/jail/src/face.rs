//! What the callers of jails see; both flavours stand behind it.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use colibri_protocol::{TenantId, TenantLimits, TenantNumber};
use secrecy::SecretString;

use crate::JailError;
use crate::enter::shell_status;

/// Jails of tenants on this host.
///
/// Everything but [`exec`](Self::exec) may be called again after it failed, or after its caller was killed in
/// the middle, and goes on where it was. Two calls about one tenant must not run at the same time; calls
/// about different tenants may.
pub trait Jails: Send + Sync + fmt::Debug {
    /// Makes a tenant's jail, or what is missing of it. One that is there stays with everything in it, and gets
    /// these limits; while it runs, at once.
    ///
    /// # Errors
    /// [`JailError::NumberTaken`] when another jail has the number, or this one has another;
    /// [`JailError::Removing`] when its removal was begun; what the system refused.
    fn create(&self, jail: &Jail) -> Result<JailState, JailError>;

    /// Starts it, and waits until it runs with its network. One that does so stays as it is. The folder of its
    /// doors (`tenants/TENANT` in [`Places::run`](crate::Places)) is made if it is missing, as root's: who owns it is the
    /// caller's business.
    ///
    /// # Errors
    /// [`JailError::NotFound`], and what the system refused. What was started is stopped again then.
    fn start(&self, tenant: &TenantId) -> Result<JailState, JailError>;

    /// Starts a program in a jail that runs, as its user `agent`, with these for its standard input, output and
    /// error. It has no further privilege, and can get none.
    ///
    /// # Errors
    /// [`JailError::NotRunning`], [`JailError::NotFound`], and what the system refused. That the program is
    /// missing in the jail is no error here: it ends with 127, and 126 when it cannot be run.
    fn exec(
        &self,
        tenant: &TenantId,
        exec: &Exec,
        stdio: [OwnedFd; 3],
    ) -> Result<Running, JailError>;

    /// Ends everything in it. What it has written stays.
    ///
    /// # Errors
    /// [`JailError::NotFound`], and what the system refused.
    fn stop(&self, tenant: &TenantId) -> Result<JailState, JailError>;

    /// Stops it and removes it with everything that it has written. One that is not there is gone already.
    ///
    /// # Errors
    /// What the system refused; calling it again, or [`repair`](Self::repair), goes on.
    fn destroy(&self, tenant: &TenantId) -> Result<(), JailError>;

    /// Stops it, puts what it has written into an archive (`.tar.gz`, `0600`, root's) and removes it. The
    /// secrets in `/home/agent/.env` are left out, for the vault has them.
    ///
    /// # Errors
    /// [`JailError::NotFound`], and what the system refused; then it is not removed.
    fn archive(&self, tenant: &TenantId) -> Result<PathBuf, JailError>;

    /// All jails, by tenant; also those that are half made or half removed.
    ///
    /// # Errors
    /// A record that cannot be read.
    fn list(&self) -> Result<Vec<JailState>, JailError>;

    /// Finishes what a killed caller left: half-made jails are completed, half-removed ones removed, and what
    /// belongs to no jail is taken away: mounts, network links, control groups, locks, programs of
    /// [`exec`](Self::exec) whose caller is gone. To be called before anything else; not later, when
    /// programs of `exec` run that have a caller.
    ///
    /// # Errors
    /// Only what keeps all of it from being done; what could not be repaired is in the answer.
    fn repair(&self) -> Result<Vec<Repaired>, JailError>;

    /// Where the `.env` of a jail is to be written, and whose it must be.
    ///
    /// # Errors
    /// [`JailError::NotFound`].
    fn target(&self, tenant: &TenantId) -> Result<Target, JailError>;

    /// Whether jails can be made on this host, or why not, in a text for people.
    ///
    /// # Errors
    /// Why not.
    fn can(&self) -> Result<(), String>;
}

/// A jail to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jail {
    /// Whose. The jail has this name.
    pub tenant: TenantId,
    /// Its address and its accounts are made from this.
    pub number: TenantNumber,
    /// What it may use.
    pub limits: TenantLimits,
}

/// A jail as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JailState {
    /// Whose.
    pub tenant: TenantId,
    /// Its number.
    pub number: TenantNumber,
    /// What it may use.
    pub limits: TenantLimits,
    /// Its root on the host.
    pub root: PathBuf,
    /// Its address.
    pub address: Ipv4Addr,
    /// Whether it runs.
    pub running: bool,
    /// How far it is made or removed.
    pub stage: Stage,
}

/// How far a jail is made or removed; what its record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// `create` was begun, and not finished.
    Making,
    /// All there.
    Ready,
    /// `destroy` was begun, and not finished. There is no way back.
    Removing,
}

/// Where a `.env` goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The jail's root on the host; the file is `home/agent/.env` in it.
    pub root: PathBuf,
    /// The user `agent`, as the host numbers it.
    pub uid: u32,
    /// Its group, as the host numbers it.
    pub gid: u32,
}

/// A program to be run in a jail.
#[derive(Debug)]
pub struct Exec {
    /// Its path in the jail, absolute.
    pub program: PathBuf,
    /// Its arguments, without its name.
    pub args: Vec<OsString>,
    /// All of its environment. Nothing is added but `HOME`, `USER`, `LOGNAME`, `SHELL` and `PATH` where they are missing.
    pub env: Vec<(OsString, Value)>,
    /// Its folder in the jail, absolute.
    pub cwd: PathBuf,
}

/// The value of a variable.
pub enum Value {
    /// Everybody may see it.
    Plain(OsString),
    /// Shown nowhere.
    Secret(SecretString),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(value) => value.fmt(f),
            Self::Secret(_) => f.write_str("(secret)"),
        }
    }
}

/// A program that runs in a jail. When this is dropped, it is ended with everything that it has started.
#[derive(Debug)]
pub struct Running {
    pub(crate) child: std::process::Child,
    pub(crate) group: Arc<dyn Group>,
}

/// All that a program has started, wherever it went.
pub(crate) trait Group: Send + Sync + fmt::Debug {
    /// Kills all of it.
    fn kill(&self) -> io::Result<()>;
    /// Kills all of it, waits for its end, and removes what stood for it. The program itself was waited for.
    fn clear(&self) -> io::Result<()>;
}

impl Running {
    /// Waits for its end, then ends what it has left behind. Its status is as a shell would have it: 128 and
    /// the signal's number for one that was killed.
    ///
    /// # Errors
    /// What the system refused.
    pub fn wait(&mut self) -> io::Result<u8> {
        let status = self.child.wait()?;
        self.group.clear()?;
        Ok(shell_status(status))
    }

    /// What ends it from another thread, while this one waits.
    pub fn ender(&self) -> Ender {
        Ender(Arc::clone(&self.group))
    }
}

/// Ends a program of which another thread has the [`Running`].
#[derive(Debug, Clone)]
pub struct Ender(Arc<dyn Group>);

impl Ender {
    /// Ends it, with all that it has started, also what left its session. From any thread; does not wait for the end.
    ///
    /// # Errors
    /// What the system refused.
    pub fn end(&self) -> io::Result<()> {
        self.0.kill()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.group.kill();
        let _ = self.child.wait();
        let _ = self.group.clear();
    }
}

/// What `repair` found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repaired {
    /// A half-made jail is ready now.
    Finished(TenantId),
    /// A half-removed jail is gone now.
    Removed(TenantId),
    /// Something that belonged to no jail is gone now; what, for people.
    Stray(String),
    /// It could not be repaired; what and why, for people.
    Failed(String),
}
