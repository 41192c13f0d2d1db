//! FreeBSD 15: pw, sysrc, service, GEOM and the other programs of its base system; nothing from packages
//! but pkg itself, once they are to be installed.

mod accounts;
mod disk;
mod geom;
mod network;
mod packages;
mod places;
mod rc_conf;
mod survey;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::machine::Machine;
use super::{
    Access, Address, BecomeRoot, Command, Diagnosis, GrowMove, Host, HostError, Order, Processes,
    RootDisk, Service, Setting, System, Volume, files,
};
use crate::facts::Survey;
use crate::habits::Habits;
use crate::journal::Phase;
use crate::paths::Paths;

/// Folders in which the programs that we run leave unsynced files.
const TOUCHED: [&str; 3] = ["/etc", "/etc/ssh", "/var/db"];

/// A FreeBSD host whose root is at `root`: `/` in earnest, a folder in tests.
#[derive(Debug)]
pub struct Freebsd<P = System> {
    machine: Machine<P>,
}

impl Freebsd<System> {
    /// This machine.
    pub fn this_machine() -> Self {
        Self::new("/", System)
    }
}

/// The rc.d script of a service, and the knob that turns it on.
fn script(service: Service) -> (&'static str, &'static str) {
    match service {
        Service::ColibriDaemon => ("colibri_daemon", "colibri_daemon_enable"),
    }
}

/// A setting for another flavour.
fn no_sudo() -> HostError {
    HostError::Refused("sudo is Debian's way to become root; FreeBSD's base has mdo(1)".into())
}

impl<P: Processes> Freebsd<P> {
    /// A host with its files below `root` and its programs run by `processes`.
    pub fn new(root: impl Into<PathBuf>, processes: P) -> Self {
        Self {
            machine: Machine {
                root: root.into(),
                processes,
            },
        }
    }

    /// What a sysctl says; an unknown one is an error.
    fn sysctl(&self, flags: &str, name: &str) -> Result<String, HostError> {
        let output = self
            .machine
            .processes
            .demand(&Command::new(["sysctl", flags, name]))?;
        Ok(output.stdout.trim().to_owned())
    }
}

impl<P: Processes> Host for Freebsd<P> {
    fn paths(&self) -> Paths {
        Paths::FREEBSD
    }

    fn habits(&self) -> Habits {
        Habits::FREEBSD
    }

    fn holds(&self, setting: &Setting) -> Result<bool, HostError> {
        match setting {
            Setting::RootLocked => self.root_is_locked(),
            Setting::SshHostKeys => self.machine.has_ssh_host_keys(),
            Setting::HostName(name) => self.is_host_name(name),
            Setting::TimeZone(zone) => self.machine.is_time_zone(zone),
            Setting::Locale(locale) => self.is_locale(locale),
            Setting::Keymap(keymap) => self.is_keymap(keymap),
            Setting::Network(network) => self.is_network(network),
            Setting::ClockNotBefore(time) => Ok(self.now() >= *time),
            Setting::Account { login } => self.account_is_there(login),
            Setting::Password { login, .. } => self.password_opens(login),
            Setting::AuthorizedKeys { login, keys } => self.keys_are_there(login, keys),
            Setting::Administrator { login, by } => match by {
                BecomeRoot::Mdo => self.may_become_root(login),
                BecomeRoot::Sudo { .. } => Err(no_sudo()),
            },
            Setting::SecretFile { path, content } => self.machine.secret_file_is(path, content),
            Setting::Packages { names } => self.packages_are_there(names),
            Setting::ServiceEnabled(service) => Ok(self
                .knob(script(*service).1)?
                .is_some_and(|value| rc_conf::is_yes(&value))),
        }
    }

    fn apply(&self, setting: &Setting) -> Result<(), HostError> {
        match setting {
            Setting::RootLocked => self.lock_root(),
            Setting::SshHostKeys => self.machine.make_ssh_host_keys(),
            Setting::HostName(name) => self.set_host_name(name),
            Setting::TimeZone(zone) => self.set_time_zone(zone),
            Setting::Locale(locale) => self.set_locale(locale),
            Setting::Keymap(keymap) => self.set_keymap(keymap),
            Setting::Network(network) => self.set_network(network),
            Setting::ClockNotBefore(time) => {
                self.machine.processes.demand(&Command::new([
                    "date".to_owned(),
                    "-f".into(),
                    "%s".into(),
                    time.as_second().to_string(),
                ]))?;
                Ok(())
            }
            Setting::Account { login } => self.make_account(login),
            Setting::Password { login, password } => self.set_password(login, password),
            Setting::AuthorizedKeys { login, keys } => self.install_keys(login, keys),
            Setting::Administrator { login, by } => match by {
                BecomeRoot::Mdo => self.let_become_root(login),
                BecomeRoot::Sudo { .. } => Err(no_sudo()),
            },
            Setting::SecretFile { path, content } => self.machine.write_secret_file(path, content),
            Setting::Packages { names } => self.install_packages(names),
            Setting::ServiceEnabled(service) => self.set_knob(script(*service).1, "YES"),
        }
    }

    /// FreeBSD has no call that waits for a whole file system: sync(2) only begins. fsync(2) waits, and with soft
    /// updates it takes the file's name along.
    fn settle(&self) -> Result<(), HostError> {
        nix::unistd::sync();
        for folder in TOUCHED {
            let at = self.machine.at(folder);
            for name in self.machine.list(Path::new(folder))? {
                sync_if_file(&at.join(name))
                    .map_err(HostError::io(format!("waiting for the disk ({folder})")))?;
            }
            files::sync_folder(&at.join("."))
                .or_else(|error| match error.kind() {
                    io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })
                .map_err(HostError::io(format!("waiting for the disk ({folder})")))?;
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        self.machine.read(path, &self.paths())
    }

    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), HostError> {
        if path.starts_with(self.paths().seed_mount) {
            return self.machine.write_on_msdosfs(path, content, mode);
        }
        self.machine.write(path, content, mode, &self.paths())
    }

    fn append(&self, path: &Path, content: &[u8], mode: u32, sync: bool) -> Result<(), HostError> {
        self.machine
            .append(path, content, mode, sync, &self.paths())
    }

    fn overwrite(&self, path: &Path, content: &[u8]) -> Result<(), HostError> {
        self.machine.overwrite(path, content)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        self.machine.rename(from, to)
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>, HostError> {
        self.machine.list(folder)
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
        // `one`: the answer must not depend on the switch in rc.conf.
        self.machine
            .says_yes(&Command::new(["service", script(service).0, "onestatus"]))
    }

    /// daemon(8), which these scripts start, is in the background as soon as the script ends.
    fn order(&self, service: Service, order: Order) -> Result<(), HostError> {
        let verb = match order {
            // rc.subr calls it an error to start what is running.
            Order::Start if self.is_running(service)? => return Ok(()),
            Order::Start => "start",
            Order::Restart => "restart",
        };
        self.machine
            .processes
            .demand(&Command::new(["service", script(service).0, verb]))?;
        Ok(())
    }

    /// rc keeps no list of what failed.
    fn forget_failure(&self, _phase: Phase) -> Result<(), HostError> {
        Ok(())
    }

    fn ask_daemon(&self) -> Result<String, HostError> {
        self.machine.ask_daemon(&self.paths())
    }

    /// mdo never asks for a password: whoever is logged in as the operator is trusted.
    fn become_root(&self, _ask_password: bool) -> BecomeRoot {
        BecomeRoot::Mdo
    }

    fn host_name(&self) -> Result<String, HostError> {
        // The early phase runs before rc.d/hostname.
        let running = self.running_host_name()?;
        if running.is_empty() {
            Ok(self.knob("hostname")?.unwrap_or_default())
        } else {
            Ok(running)
        }
    }

    fn has_password(&self, login: &str) -> Result<bool, HostError> {
        self.password_opens(login)
    }

    fn addresses(&self) -> Result<Vec<Address>, HostError> {
        super::network::addresses()
    }

    fn ssh_fingerprints(&self) -> Result<Vec<String>, HostError> {
        self.machine.fingerprints()
    }

    fn console(&self, text: &str) {
        // `ttyv0,ttyu0,/ttyu0,gdb,ttyv0,`: those in use, a slash, and all there are (`sys/kern/kern_cons.c`). What a
        // program writes to /dev/console reaches the first of them alone.
        let consoles = self.sysctl("-n", "kern.console").unwrap_or_default();
        let active: Vec<&str> = consoles
            .split('/')
            .next()
            .unwrap_or_default()
            .split(',')
            .filter(|name| !name.is_empty())
            .collect();
        if active.is_empty() {
            self.machine.print(["console"], text);
        } else {
            self.machine.print(active, text);
        }
    }

    fn survey(&self) -> Survey {
        self.find_out()
    }

    fn diagnose(&self) -> Vec<Diagnosis> {
        // newsyslog begins a new one before it grows beyond what is read here.
        let log = match self.machine.text_at("/var/log/messages") {
            Ok(text) => text
                .unwrap_or_default()
                .split_inclusive('\n')
                .filter(|line| line.contains("clawdie") || line.contains("colibri"))
                .collect(),
            Err(error) => format!("{error}\n"),
        };
        let script = script(Service::ColibriDaemon).0;
        vec![
            self.machine.said(
                "services",
                [
                    &["service", script, "onestatus"],
                    &["tail", "-n", "2000", "/var/log/colibri-daemon.log"],
                ],
            ),
            Diagnosis {
                name: "log",
                text: log,
            },
            self.machine
                .said("disks", [&["df", "-h"], &["gpart", "show"]]),
            self.machine
                .said("network", [&["ifconfig", "-a"], &["netstat", "-rn"]]),
            self.machine.said("system", [&["uname", "-a"], &["uptime"]]),
        ]
    }

    fn boot_id(&self) -> Result<String, HostError> {
        // Not kern.boottime: that moves when ntpd sets the clock, between the two phases of one boot.
        let shown = self.sysctl("-nx", "kern.boot_id")?;
        match shown.split_once("Dump:") {
            Some((_, id)) => Ok(id.to_owned()),
            None => Err(HostError::Unexpected {
                what: "the output of `sysctl -nx kern.boot_id`".into(),
                detail: format!("no dump in `{shown}`"),
            }),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn installed_at(&self) -> Result<Option<Timestamp>, HostError> {
        self.machine.installed_at()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Waits until a file is on the disk; one that has just gone away is fine.
fn sync_if_file(path: &Path) -> io::Result<()> {
    let synced = fs::symlink_metadata(path).and_then(|meta| {
        if meta.is_file() {
            File::open(path)?.sync_all()
        } else {
            Ok(())
        }
    });
    match synced {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
