//! A host in memory: it keeps what was set, writes down every effect, and can lose its power after any of them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use colibri_protocol::client::ClientError;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;

use super::{
    Access, Address, BecomeRoot, Diagnosis, GrowMove, Host, HostError, Order, RootDisk, Service,
    Setting, Volume,
};
use crate::facts::Survey;
use crate::habits::Habits;
use crate::journal::Phase;
use crate::paths::Paths;

/// What survives a power cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Kind of setting (and its account) -> the value that holds.
    pub(crate) settings: BTreeMap<String, String>,
    /// Files, without those of the run directory.
    pub(crate) files: BTreeMap<PathBuf, (u32, Vec<u8>)>,
    /// Files on each stick, by device.
    pub(crate) sticks: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// The root's disk.
    pub(crate) root: Option<RootDisk>,
    /// Services that start at boot.
    pub(crate) enabled: bool,
}

/// The whole machine.
pub(crate) struct Recording {
    pub(crate) disk: RefCell<Disk>,
    /// Lost with the power.
    pub(crate) running: Cell<bool>,
    run_files: RefCell<BTreeMap<PathBuf, Vec<u8>>>,
    mounted: RefCell<Option<(String, Access)>>,
    pub(crate) volumes: Vec<Volume>,
    /// Everything that changed the machine, in words.
    pub(crate) effects: RefCell<Vec<String>>,
    /// Everything that was printed.
    pub(crate) printed: RefCell<String>,
    /// Effects until the power goes.
    pub(crate) fuel: Cell<Option<usize>>,
    pub(crate) boot: Cell<u32>,
    pub(crate) slept: Cell<Duration>,
    /// Settings whose `apply` fails, by the start of their key.
    pub(crate) broken: RefCell<Vec<String>>,
    /// What the clock shows.
    pub(crate) clock: Cell<Timestamp>,
    /// When the image was built.
    pub(crate) built: Cell<Option<Timestamp>>,
    /// What machine it is.
    pub(crate) survey: RefCell<Survey>,
    /// What the system says of itself.
    pub(crate) said: RefCell<String>,
    /// What files on sticks held before they were replaced: it lies in sectors that no file owns any more.
    pub(crate) freed: RefCell<Vec<Vec<u8>>>,
    /// How often the daemon stays silent before it answers.
    pub(crate) silence: Cell<u32>,
}

impl Recording {
    /// A fresh image with this `setup.txt` on the boot disk's own seed.
    pub(crate) fn fresh(setup: Option<&str>) -> Self {
        let volume = Volume {
            device: "/dev/sda1".into(),
            label: Some("CLAWDIESEED".into()),
            gpt_name: Some("CLAWDIE-SEED".into()),
            on_boot_disk: true,
        };
        let mut disk = Disk {
            root: Some(RootDisk {
                disk: "/dev/sda".into(),
                partition: "/dev/sda4".into(),
                number: 4,
                last: true,
                disk_bytes: 4 << 30,
                start: 100 << 20,
                table_bytes: 600 << 20,
                kernel_bytes: 600 << 20,
                file_system_bytes: 600 << 20,
                unused_bytes: 16 << 20,
            }),
            ..Disk::default()
        };
        let stick = setup.map(|text| ("SETUP.TXT".to_owned(), text.as_bytes().to_vec()));
        disk.sticks
            .insert(volume.device.clone(), stick.into_iter().collect());
        let profiles =
            include_str!("../../../overlays/common/usr/local/share/clawdie-iso/profiles.toml");
        disk.files.insert(
            Paths::DEBIAN.profiles.into(),
            (0o644, profiles.as_bytes().to_vec()),
        );
        Self {
            disk: RefCell::new(disk),
            running: Cell::new(false),
            run_files: RefCell::default(),
            mounted: RefCell::default(),
            volumes: vec![volume],
            effects: RefCell::default(),
            printed: RefCell::default(),
            fuel: Cell::new(None),
            boot: Cell::new(1),
            slept: Cell::default(),
            broken: RefCell::default(),
            clock: Cell::new(Timestamp::from_second(1_764_000_000).expect("a time")),
            built: Cell::new(None),
            survey: RefCell::default(),
            said: RefCell::default(),
            freed: RefCell::default(),
            silence: Cell::new(0),
        }
    }

    /// Another boot of the same disk: what was only in memory is gone.
    pub(crate) fn reboot(&self) {
        self.fuel.set(None);
        self.running.set(self.disk.borrow().enabled);
        self.run_files.borrow_mut().clear();
        *self.mounted.borrow_mut() = None;
        self.effects.borrow_mut().clear();
        self.printed.borrow_mut().clear();
        self.boot.set(self.boot.get() + 1);
        // The kernel reads the table anew.
        if let Some(root) = &mut self.disk.borrow_mut().root {
            root.kernel_bytes = root.table_bytes;
        }
    }

    /// Exchanges `setup.txt` on the first stick.
    pub(crate) fn edit_seed(&self, setup: &str) {
        let device = &self.volumes[0].device;
        let mut disk = self.disk.borrow_mut();
        let stick = disk.sticks.get_mut(device).expect("the stick");
        stick.insert("SETUP.TXT".into(), setup.as_bytes().to_vec());
    }

    /// A file on the first stick, as text.
    pub(crate) fn on_seed(&self, name: &str) -> Option<String> {
        let disk = self.disk.borrow();
        let bytes = disk.sticks.get(&self.volumes[0].device)?.get(name)?.clone();
        Some(String::from_utf8(bytes).expect("text"))
    }

    pub(crate) fn setting(&self, key: &str) -> Option<String> {
        self.disk.borrow().settings.get(key).cloned()
    }

    /// A file on the disk, as text.
    pub(crate) fn text(&self, path: &Path) -> String {
        String::from_utf8(self.disk.borrow().files[path].1.clone()).expect("text")
    }

    /// The journal's text.
    pub(crate) fn journal(&self) -> Vec<u8> {
        let disk = self.disk.borrow();
        disk.files
            .get(Path::new(Paths::DEBIAN.journal))
            .map(|file| file.1.clone())
            .unwrap_or_default()
    }

    fn effect(&self, words: impl Into<String>) -> Result<(), HostError> {
        if let Some(fuel) = self.fuel.get() {
            if fuel == 0 {
                return Err(HostError::PowerCut);
            }
            self.fuel.set(Some(fuel - 1));
        }
        self.effects.borrow_mut().push(words.into());
        Ok(())
    }

    fn powered(&self) -> Result<(), HostError> {
        if self.fuel.get() == Some(0) {
            Err(HostError::PowerCut)
        } else {
            Ok(())
        }
    }

    /// Where a path leads: the mounted stick's file, or none.
    fn stick_file(&self, path: &Path) -> Option<(String, Access, String)> {
        let name = path.strip_prefix(Paths::DEBIAN.seed_mount).ok()?;
        let (device, access) = self.mounted.borrow().clone()?;
        Some((device, access, name.to_string_lossy().into_owned()))
    }
}

/// A setting's key and the value that it asks for.
fn record(setting: &Setting) -> (String, String) {
    match setting {
        Setting::RootLocked => ("root".into(), "locked".into()),
        Setting::SshHostKeys => ("ssh-host-keys".into(), "made".into()),
        Setting::HostName(name) => ("host-name".into(), name.clone()),
        Setting::TimeZone(zone) => ("time-zone".into(), zone.clone()),
        Setting::Locale(locale) => ("locale".into(), locale.clone()),
        Setting::Keymap(keymap) => ("keymap".into(), keymap.clone()),
        Setting::Network(network) => {
            let password = network
                .wifi
                .as_ref()
                .and_then(|wifi| wifi.password.as_ref())
                .map_or("", |password| password.expose_secret());
            (
                "network".into(),
                format!("{network} {password}").trim_end().to_owned(),
            )
        }
        Setting::ClockNotBefore(time) => ("clock".into(), time.to_string()),
        Setting::Account { login } => (format!("account {login}"), "there".into()),
        Setting::Password { login, password } => (
            format!("password {login}"),
            password.expose_secret().to_owned(),
        ),
        Setting::AuthorizedKeys { login, keys } => (format!("keys {login}"), keys.join("\n")),
        Setting::Administrator { login, by } => match by {
            BecomeRoot::Sudo { ask_password } => {
                (format!("sudo {login}"), format!("ask {ask_password}"))
            }
            BecomeRoot::Mdo => (format!("mdo {login}"), "a member of wheel".into()),
        },
        Setting::SecretFile { path, content } => {
            (format!("file {path}"), content.expose_secret().to_owned())
        }
        Setting::Packages { names } => ("packages".into(), names.join(" ")),
        Setting::ServiceEnabled(service) => (format!("enabled {service}"), "yes".into()),
    }
}

impl Host for Recording {
    fn paths(&self) -> Paths {
        Paths::DEBIAN
    }

    fn habits(&self) -> Habits {
        Habits::DEBIAN
    }

    fn holds(&self, setting: &Setting) -> Result<bool, HostError> {
        self.powered()?;
        let (key, value) = record(setting);
        let disk = self.disk.borrow();
        Ok(match setting {
            // As on a real host, whose hash nobody can compare.
            Setting::Password { .. } => disk.settings.contains_key(&key),
            // As the image comes.
            Setting::Network(network) if network.is_usual() => {
                disk.settings.get(&key).is_none_or(|is| *is == value)
            }
            Setting::ClockNotBefore(time) => self.clock.get() >= *time,
            _ => disk.settings.get(&key) == Some(&value),
        })
    }

    fn apply(&self, setting: &Setting) -> Result<(), HostError> {
        let (key, value) = record(setting);
        if self
            .broken
            .borrow()
            .iter()
            .any(|broken| key.starts_with(broken))
        {
            return Err(HostError::Refused(format!("{key} is broken here")));
        }
        self.effect(format!("set {key}"))?;
        if let Setting::ClockNotBefore(time) = setting {
            self.clock.set(*time);
            return Ok(());
        }
        let mut disk = self.disk.borrow_mut();
        disk.enabled |= matches!(setting, Setting::ServiceEnabled(_));
        disk.settings.insert(key, value);
        Ok(())
    }

    fn settle(&self) -> Result<(), HostError> {
        self.powered()
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        self.powered()?;
        if let Some((device, _, name)) = self.stick_file(path) {
            return Ok(self.disk.borrow().sticks[&device].get(&name).cloned());
        }
        if path.starts_with(Paths::DEBIAN.run) {
            return Ok(self.run_files.borrow().get(path).cloned());
        }
        let disk = self.disk.borrow();
        // What `apply` writes stands among the settings.
        let secret = disk.settings.get(&format!("file {}", path.display()));
        Ok(disk
            .files
            .get(path)
            .map(|file| file.1.clone())
            .or_else(|| secret.map(|text| text.clone().into_bytes())))
    }

    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), HostError> {
        if let Some((device, access, name)) = self.stick_file(path) {
            assert_eq!(
                access,
                Access::ReadWrite,
                "writing on a seed mounted read-only"
            );
            self.effect(format!("write {name} on {device}"))?;
            let mut disk = self.disk.borrow_mut();
            let stick = disk.sticks.get_mut(&device).expect("the stick");
            self.freed
                .borrow_mut()
                .extend(stick.insert(name, content.to_vec()));
        } else if path.starts_with(Paths::DEBIAN.run) {
            assert!(
                !path.starts_with(Paths::DEBIAN.seed_mount),
                "writing on a seed that is not mounted"
            );
            self.effect(format!("write {}", path.display()))?;
            self.run_files
                .borrow_mut()
                .insert(path.into(), content.to_vec());
        } else {
            self.effect(format!("write {}", path.display()))?;
            self.disk
                .borrow_mut()
                .files
                .insert(path.into(), (mode, content.to_vec()));
        }
        Ok(())
    }

    fn append(&self, path: &Path, content: &[u8], mode: u32, _sync: bool) -> Result<(), HostError> {
        // The cut may tear a line: when it comes exactly now, half of it is on the disk.
        let is_last = self.fuel.get() == Some(1);
        let end = if is_last {
            content.len() / 2
        } else {
            content.len()
        };
        self.effect(format!("append {}", path.display()))?;
        let mut disk = self.disk.borrow_mut();
        let file = disk
            .files
            .entry(path.into())
            .or_insert_with(|| (mode, Vec::new()));
        file.1.extend_from_slice(&content[..end]);
        if is_last {
            Err(HostError::PowerCut)
        } else {
            Ok(())
        }
    }

    fn overwrite(&self, path: &Path, content: &[u8]) -> Result<(), HostError> {
        let (device, access, name) = self.stick_file(path).expect("a file on a stick");
        assert_eq!(access, Access::ReadWrite, "a seed mounted read-only");
        // The cut may leave it half written.
        let is_last = self.fuel.get() == Some(1);
        let end = content.len() / if is_last { 2 } else { 1 };
        self.effect(format!("overwrite {name} on {device}"))?;
        let mut disk = self.disk.borrow_mut();
        let stick = disk.sticks.get_mut(&device).expect("the stick");
        let file = stick.get_mut(&name).expect("the file");
        assert_eq!(file.len(), content.len());
        file[..end].copy_from_slice(&content[..end]);
        if is_last {
            Err(HostError::PowerCut)
        } else {
            Ok(())
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        self.effect(format!("rename {} to {}", from.display(), to.display()))?;
        let mut disk = self.disk.borrow_mut();
        let file = disk.files.remove(from).expect("the file");
        disk.files.insert(to.into(), file);
        Ok(())
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>, HostError> {
        self.powered()?;
        if folder != Path::new(Paths::DEBIAN.seed_mount) {
            let disk = self.disk.borrow();
            let names = disk.files.keys().filter_map(|file| {
                let name = file.strip_prefix(folder).ok()?.iter().next()?;
                name.to_str().map(str::to_owned)
            });
            return Ok(names.collect::<BTreeSet<_>>().into_iter().collect());
        }
        let mounted = self.mounted.borrow();
        let (device, _) = mounted.as_ref().expect("mounted");
        Ok(self.disk.borrow().sticks[device].keys().cloned().collect())
    }

    fn volumes(&self) -> Result<Vec<Volume>, HostError> {
        self.powered()?;
        Ok(self.volumes.clone())
    }

    fn mount_seed(&self, volume: &Volume, access: Access) -> Result<(), HostError> {
        self.powered()?;
        if !self.disk.borrow().sticks.contains_key(&volume.device) {
            return Err(HostError::Refused("wrong fs type, bad superblock".into()));
        }
        assert!(self.mounted.borrow().is_none(), "a seed is mounted already");
        *self.mounted.borrow_mut() = Some((volume.device.clone(), access));
        Ok(())
    }

    fn unmount_seed(&self) -> Result<(), HostError> {
        self.powered()?;
        *self.mounted.borrow_mut() = None;
        Ok(())
    }

    fn root_disk(&self) -> Result<Option<RootDisk>, HostError> {
        self.powered()?;
        Ok(self.disk.borrow().root.clone())
    }

    fn grow(&self, root: &RootDisk, step: GrowMove) -> Result<(), HostError> {
        self.effect(format!("grow {step:?}"))?;
        let mut disk = self.disk.borrow_mut();
        let now = disk.root.as_mut().expect("a root");
        match step {
            GrowMove::Partition => now.table_bytes = root.disk_bytes - root.start - (1 << 20),
            GrowMove::Kernel => now.kernel_bytes = root.table_bytes,
            GrowMove::FileSystem => now.file_system_bytes = root.kernel_bytes,
        }
        Ok(())
    }

    fn is_running(&self, _service: Service) -> Result<bool, HostError> {
        self.powered()?;
        Ok(self.running.get())
    }

    fn order(&self, service: Service, order: Order) -> Result<(), HostError> {
        self.effect(format!("{order:?} {service}"))?;
        self.running.set(true);
        Ok(())
    }

    fn forget_failure(&self, phase: Phase) -> Result<(), HostError> {
        self.effect(format!("forget that the {phase} phase failed"))
    }

    fn ask_daemon(&self) -> Result<String, HostError> {
        self.powered()?;
        let silence = self.silence.get();
        if silence > 0 || !self.running.get() {
            self.silence.set(silence.saturating_sub(1));
            return Err(ClientError::Dead {
                socket: Paths::DEBIAN.colibri_socket.into(),
            }
            .into());
        }
        Ok("0.1.0".into())
    }

    fn become_root(&self, ask_password: bool) -> BecomeRoot {
        BecomeRoot::Sudo { ask_password }
    }

    fn host_name(&self) -> Result<String, HostError> {
        Ok(self
            .setting("host-name")
            .unwrap_or_else(|| "clawdie".into()))
    }

    fn has_password(&self, login: &str) -> Result<bool, HostError> {
        self.powered()?;
        Ok(self.setting(&format!("password {login}")).is_some())
    }

    fn addresses(&self) -> Result<Vec<Address>, HostError> {
        Ok(vec![Address {
            interface: "enp1s0".into(),
            address: "192.0.2.7".into(),
        }])
    }

    fn ssh_fingerprints(&self) -> Result<Vec<String>, HostError> {
        Ok(vec!["SHA256:abcdef (ED25519)".into()])
    }

    fn console(&self, text: &str) {
        if self.powered().is_ok() {
            self.printed.borrow_mut().push_str(text);
        }
    }

    fn survey(&self) -> Survey {
        self.survey.borrow().clone()
    }

    fn diagnose(&self) -> Vec<Diagnosis> {
        vec![Diagnosis {
            name: "services",
            text: self.said.borrow().clone(),
        }]
    }

    fn boot_id(&self) -> Result<String, HostError> {
        Ok(format!("boot-{}", self.boot.get()))
    }

    fn now(&self) -> Timestamp {
        self.clock.get()
    }

    fn installed_at(&self) -> Result<Option<Timestamp>, HostError> {
        self.powered()?;
        Ok(self.built.get())
    }

    fn sleep(&self, time: Duration) {
        self.slept.set(self.slept.get() + time);
    }
}
