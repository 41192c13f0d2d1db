//! Debian 13: files of `/etc`, and the programs of util-linux, shadow, e2fsprogs, OpenSSH and systemd.

mod accounts;
mod disk;
mod places;
mod ssh;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::fcntl::OFlag;
use secrecy::ExposeSecret as _;

use super::{
    Access, Address, Command, GrowMove, Host, HostError, Order, Processes, RootDisk, Service,
    Setting, System, Volume, files,
};
use crate::paths::Paths;

/// No file that we read is bigger; a bigger one is cut, which its parser then reports.
const READ_LIMIT: u64 = 1 << 20;

/// The journal alone may grow beyond that.
const JOURNAL_LIMIT: u64 = 64 << 20;

/// How long a console may keep us waiting before it is given up on.
const CONSOLE_PATIENCE: Duration = Duration::from_secs(2);

/// A Debian host whose root is at `root`: `/` in earnest, a folder in tests.
#[derive(Debug)]
pub struct Debian<P = System> {
    root: PathBuf,
    processes: P,
}

impl Debian<System> {
    /// This machine.
    pub fn this_machine() -> Self {
        Self::new("/", System)
    }
}

impl<P: Processes> Debian<P> {
    /// A host with its files below `root` and its programs run by `processes`.
    pub fn new(root: impl Into<PathBuf>, processes: P) -> Self {
        Self {
            root: root.into(),
            processes,
        }
    }

    /// Where an absolute path lies in truth.
    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn read_at(&self, path: &str) -> Result<Option<Vec<u8>>, HostError> {
        files::read(&self.at(path), READ_LIMIT).map_err(HostError::io(format!("reading {path}")))
    }

    fn text_at(&self, path: &str) -> Result<Option<String>, HostError> {
        Ok(self
            .read_at(path)?
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn write_at(&self, path: &str, content: &str, mode: u32) -> Result<(), HostError> {
        files::replace(&self.at(path), content.as_bytes(), mode, None)
            .map_err(HostError::io(format!("writing {path}")))
    }

    fn says_yes(&self, command: &Command) -> Result<bool, HostError> {
        let output = self
            .processes
            .run(command)
            .map_err(HostError::io(format!("running `{}`", command.line())))?;
        Ok(output.status == Some(0))
    }

    fn print_on(&self, console: &Path, bytes: &[u8]) -> io::Result<()> {
        // A serial line with nobody behind it may never take our bytes, and opening one must not make it ours.
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let mut console = OpenOptions::new()
            .write(true)
            .custom_flags(flags.bits())
            .open(console)?;
        let end = Instant::now() + CONSOLE_PATIENCE;
        let mut rest = bytes;
        while !rest.is_empty() {
            match console.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The unit of a service.
fn unit(service: Service) -> &'static str {
    match service {
        Service::ColibriDaemon => "colibri-daemon.service",
    }
}

impl<P: Processes> Host for Debian<P> {
    fn paths(&self) -> Paths {
        Paths::DEBIAN
    }

    fn holds(&self, setting: &Setting) -> Result<bool, HostError> {
        match setting {
            Setting::RootLocked => self.root_is_locked(),
            Setting::SshHostKeys => self.has_ssh_host_keys(),
            Setting::HostName(name) => self.is_host_name(name),
            Setting::TimeZone(zone) => self.is_time_zone(zone),
            Setting::Locale(locale) => self.is_locale(locale),
            Setting::Keymap(keymap) => self.is_keymap(keymap),
            Setting::Account { login } => self.account_is_there(login),
            Setting::Password { login, .. } => self.password_opens(login),
            Setting::AuthorizedKeys { login, keys } => self.keys_are_there(login, keys),
            Setting::Administrator {
                login,
                ask_password,
            } => self.sudo_rule_is(login, *ask_password),
            Setting::SecretFile { path, content } => {
                let is = self.read_at(path)?;
                let private = fs::metadata(self.at(path))
                    .is_ok_and(|meta| meta.permissions().mode() & 0o7777 == 0o600);
                Ok(private && is.is_some_and(|is| is == content.expose_secret().as_bytes()))
            }
            Setting::ServiceEnabled(service) => self.says_yes(&Command::new([
                "systemctl",
                "is-enabled",
                "--quiet",
                unit(*service),
            ])),
        }
    }

    fn apply(&self, setting: &Setting) -> Result<(), HostError> {
        match setting {
            Setting::RootLocked => self.lock_root(),
            Setting::SshHostKeys => self.make_ssh_host_keys(),
            Setting::HostName(name) => self.set_host_name(name),
            Setting::TimeZone(zone) => self.set_time_zone(zone),
            Setting::Locale(locale) => self.set_locale(locale),
            Setting::Keymap(keymap) => self.set_keymap(keymap),
            Setting::Account { login } => self.make_account(login),
            Setting::Password { login, password } => self.set_password(login, password),
            Setting::AuthorizedKeys { login, keys } => self.install_keys(login, keys),
            Setting::Administrator {
                login,
                ask_password,
            } => self.write_sudo_rule(login, *ask_password),
            Setting::SecretFile { path, content } => {
                if let Some(folder) = Path::new(path)
                    .parent()
                    .map(|folder| self.at(folder))
                    .filter(|at| !at.is_dir())
                {
                    files::make_folder(&folder, 0o700)
                        .map_err(HostError::io(format!("making the folder of {path}")))?;
                }
                self.write_at(path, content.expose_secret(), 0o600)
            }
            Setting::ServiceEnabled(service) => {
                self.processes.demand(&Command::new([
                    "systemctl",
                    "enable",
                    "--quiet",
                    // Reading all units anew takes long, and this one only gets a link for the next boot.
                    "--no-reload",
                    unit(*service),
                ]))?;
                Ok(())
            }
        }
    }

    fn settle(&self) -> Result<(), HostError> {
        File::open(&self.root)
            .and_then(sync_file_system)
            .map_err(HostError::io("waiting for the disk"))
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        let limit = if path == Path::new(self.paths().journal) {
            JOURNAL_LIMIT
        } else {
            READ_LIMIT
        };
        files::read(&self.at(path), limit)
            .map_err(HostError::io(format!("reading {}", path.display())))
    }

    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), HostError> {
        self.make_own_folder(path)?;
        files::replace(&self.at(path), content, mode, None)
            .map_err(HostError::io(format!("writing {}", path.display())))
    }

    fn append(&self, path: &Path, content: &[u8], mode: u32, sync: bool) -> Result<(), HostError> {
        self.make_own_folder(path)?;
        files::append(&self.at(path), content, mode, sync)
            .map_err(HostError::io(format!("writing {}", path.display())))
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>, HostError> {
        self.names(&self.at(folder))
            .map_err(HostError::io(format!("listing {}", folder.display())))
    }

    fn volumes(&self) -> Result<Vec<Volume>, HostError> {
        self.seed_volumes()
    }

    fn mount_seed(&self, volume: &Volume, access: Access) -> Result<(), HostError> {
        self.mount(volume, access)
    }

    fn unmount_seed(&self) -> Result<(), HostError> {
        self.unmount()
    }

    fn root_disk(&self) -> Result<Option<RootDisk>, HostError> {
        self.find_root_disk()
    }

    fn grow(&self, root: &RootDisk, step: GrowMove) -> Result<(), HostError> {
        self.grow_root(root, step)
    }

    fn is_running(&self, service: Service) -> Result<bool, HostError> {
        self.says_yes(&Command::new([
            "systemctl",
            "is-active",
            "--quiet",
            unit(service),
        ]))
    }

    fn order(&self, service: Service, order: Order) -> Result<(), HostError> {
        let verb = match order {
            Order::Start => "start",
            Order::Restart => "restart",
        };
        // We run inside a job of the same boot transaction. Waiting here for another job could wait for ourselves, so
        // the order is queued and the daemon's own answer tells when it is up.
        self.processes.demand(&Command::new([
            "systemctl",
            "--no-block",
            verb,
            unit(service),
        ]))?;
        Ok(())
    }

    fn ask_daemon(&self) -> Result<String, HostError> {
        let client = colibri_protocol::client::Client::new(self.at(self.paths().colibri_socket))
            .with_timeout(Duration::from_secs(5));
        let status = client.status().map_err(|error| HostError::Unexpected {
            what: "the daemon's answer".into(),
            detail: error.to_string(),
        })?;
        Ok(status.version)
    }

    fn host_name(&self) -> Result<String, HostError> {
        Ok(self
            .text_at(places::KERNEL_HOST_NAME)?
            .unwrap_or_default()
            .trim()
            .to_owned())
    }

    fn has_password(&self, login: &str) -> Result<bool, HostError> {
        self.password_opens(login)
    }

    fn addresses(&self) -> Result<Vec<Address>, HostError> {
        places::addresses()
    }

    fn ssh_fingerprints(&self) -> Result<Vec<String>, HostError> {
        self.fingerprints()
    }

    fn console(&self, text: &str) {
        // Two line ends in one: a console whose terminal driver is in raw mode needs the return.
        let bytes = text.replace('\n', "\r\n").into_bytes();
        let active = self
            .text_at("/sys/class/tty/console/active")
            .ok()
            .flatten()
            .unwrap_or_default();
        let mut names: Vec<&str> = active.split_whitespace().collect();
        if names.is_empty() {
            names.push("console");
        }
        for name in names {
            if let Err(error) = self.print_on(&self.at("/dev").join(name), &bytes) {
                tracing::debug!(console = name, %error, "could not print");
            }
        }
    }

    fn boot_id(&self) -> Result<String, HostError> {
        let id = self.text_at("/proc/sys/kernel/random/boot_id")?;
        Ok(id.unwrap_or_default().trim().to_owned())
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

impl<P: Processes> Debian<P> {
    /// The folders that are ours alone are 0700 from the start; others stay as the system has them.
    fn make_own_folder(&self, file: &Path) -> Result<(), HostError> {
        for own in [self.paths().state, self.paths().run] {
            if file.parent() == Some(Path::new(own)) {
                let at = self.at(own);
                let right = fs::metadata(&at)
                    .is_ok_and(|meta| meta.is_dir() && meta.mode() & 0o7777 == 0o700);
                if !right {
                    files::make_folder(&at, 0o700)
                        .map_err(HostError::io(format!("making {own}")))?;
                }
            }
        }
        Ok(())
    }
}

/// Writes out all that the file system of `file` still holds in memory.
#[cfg(target_os = "linux")]
fn sync_file_system(file: File) -> io::Result<()> {
    nix::unistd::syncfs(file).map_err(io::Error::from)
}

/// Other systems have no such call; this host runs on Linux alone and is only compiled there.
#[cfg(not(target_os = "linux"))]
fn sync_file_system(file: File) -> io::Result<()> {
    nix::unistd::sync();
    file.sync_all()
}
