//! Debian 13: files of `/etc`, and the programs of util-linux, shadow, e2fsprogs, OpenSSH and systemd.

mod accounts;
mod disk;
mod half_written;
mod network;
mod places;
mod survey;
#[cfg(test)]
mod tests;

use std::fs::File;
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

/// A Debian host whose root is at `root`: `/` in earnest, a folder in tests.
#[derive(Debug)]
pub struct Debian<P = System> {
    machine: Machine<P>,
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
            machine: Machine {
                root: root.into(),
                processes,
            },
        }
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

    fn habits(&self) -> Habits {
        Habits::DEBIAN
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
                BecomeRoot::Sudo { ask_password } => self.sudo_rule_is(login, *ask_password),
                BecomeRoot::Mdo => Err(no_mdo()),
            },
            Setting::SecretFile { path, content } => self.machine.secret_file_is(path, content),
            Setting::Packages { .. } => Err(no_packages()),
            Setting::ServiceEnabled(service) => self.machine.says_yes(&Command::new([
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
            Setting::SshHostKeys => self.machine.make_ssh_host_keys(),
            Setting::HostName(name) => self.set_host_name(name),
            Setting::TimeZone(zone) => self.set_time_zone(zone),
            Setting::Locale(locale) => self.set_locale(locale),
            Setting::Keymap(keymap) => self.set_keymap(keymap),
            Setting::Network(network) => self.set_network(network),
            Setting::ClockNotBefore(time) => {
                self.machine.processes.demand(&Command::new([
                    "date".to_owned(),
                    format!("--set=@{}", time.as_second()),
                ]))?;
                Ok(())
            }
            Setting::Account { login } => self.make_account(login),
            Setting::Password { login, password } => self.set_password(login, password),
            Setting::AuthorizedKeys { login, keys } => self.install_keys(login, keys),
            Setting::Administrator { login, by } => match by {
                BecomeRoot::Sudo { ask_password } => self.write_sudo_rule(login, *ask_password),
                BecomeRoot::Mdo => Err(no_mdo()),
            },
            Setting::SecretFile { path, content } => self.machine.write_secret_file(path, content),
            Setting::Packages { .. } => Err(no_packages()),
            Setting::ServiceEnabled(service) => {
                self.machine.processes.demand(&Command::new([
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
        File::open(&self.machine.root)
            .and_then(sync_file_system)
            .map_err(HostError::io("waiting for the disk"))
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        self.machine.read(path, &self.paths())
    }

    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), HostError> {
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
        self.machine.says_yes(&Command::new([
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
        self.machine.processes.demand(&Command::new([
            "systemctl",
            "--no-block",
            verb,
            unit(service),
        ]))?;
        Ok(())
    }

    fn forget_failure(&self, phase: Phase) -> Result<(), HostError> {
        let unit = format!("clawdie-firstboot-{phase}.service");
        self.machine
            .processes
            .demand(&Command::new(["systemctl", "reset-failed", &unit]))?;
        Ok(())
    }

    fn ask_daemon(&self) -> Result<String, HostError> {
        self.machine.ask_daemon(&self.paths())
    }

    fn become_root(&self, ask_password: bool) -> BecomeRoot {
        BecomeRoot::Sudo { ask_password }
    }

    fn host_name(&self) -> Result<String, HostError> {
        Ok(self
            .machine
            .text_at(places::KERNEL_HOST_NAME)?
            .unwrap_or_default()
            .trim()
            .to_owned())
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
        let active = self
            .machine
            .text_at("/sys/class/tty/console/active")
            .ok()
            .flatten()
            .unwrap_or_default();
        if active.trim().is_empty() {
            self.machine.print(["console"], text);
        } else {
            self.machine.print(active.split_whitespace(), text);
        }
    }

    fn survey(&self) -> Survey {
        self.find_out()
    }

    fn diagnose(&self) -> Vec<Diagnosis> {
        let unit = unit(Service::ColibriDaemon);
        vec![
            self.machine.said(
                "services",
                [
                    &["systemctl", "--no-pager", "--full", "status", unit],
                    &["systemctl", "--no-pager", "--failed"],
                ],
            ),
            self.machine.said(
                "log",
                [&[
                    "journalctl",
                    "--unit=clawdie-firstboot-early",
                    "--unit=clawdie-firstboot-late",
                    "--unit=colibri-daemon",
                    "--output=short-iso",
                    "--lines=5000",
                    "--no-pager",
                    "--quiet",
                ]],
            ),
            self.machine.said("disks", [&["df", "-h"], &["lsblk"]]),
            self.machine.said(
                "network",
                [&["ip", "address"], &["ip", "route"], &["ip", "-6", "route"]],
            ),
            self.machine.said("system", [&["uname", "-a"], &["uptime"]]),
        ]
    }

    fn boot_id(&self) -> Result<String, HostError> {
        let id = self.machine.text_at("/proc/sys/kernel/random/boot_id")?;
        Ok(id.unwrap_or_default().trim().to_owned())
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

/// A setting for another flavour.
fn no_packages() -> HostError {
    HostError::Refused("an image of Debian has its packages installed".into())
}

/// A setting for another flavour.
fn no_mdo() -> HostError {
    HostError::Refused("mdo(1) is FreeBSD's way to become root; Debian's is sudo".into())
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
