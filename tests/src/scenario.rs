//! A scenario: what an operator puts on a stick, what goes wrong, and what must come of it.
//!
//! Each is a folder of `tests/scenarios/`, and each of its boots a stage: the folder itself is the first one, the folders
//! `2`, `3`, … inside it are further boots of the same disk. A stage is made of
//!
//! * `scenario.toml`: [`Terms`];
//! * `setup.txt`: goes on the seed, with `@NAME@` replaced by a made-up secret or key. Without it the seed stays as it is;
//! * `fault.sh`: changes the disk before it boots, or makes a second stick;
//! * `ask.sh`: runs on the machine, over ssh as the operator, once it is up;
//! * `expect.sh`: judges what came of it, after the power is off.
//!
//! `lib.sh` beside the folders tells what the scripts on this side find in their environment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clawdie_image::qemu::{Attach, Machine, Network};
use serde::Deserialize;

use crate::{Built, Canary, Disk, Guest, KeyPair, Owner, run};

/// What `scenario.toml` says of a boot.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// What is to be seen, for people.
    pub about: String,
    /// Whether it is among those that run every time; of the first stage.
    #[serde(default)]
    quick: bool,
    /// The headline of the report that must come; none when the boot must have nothing to do.
    report: Option<String>,
    /// Whether the machine has a network card.
    #[serde(default = "yes")]
    network: bool,
    /// What its clock says, when it is wrong.
    clock: Option<String>,
    /// Whether `setup.txt` goes on the boot disk's seed; else `fault.sh` puts it somewhere.
    #[serde(default = "yes")]
    on_boot_disk: bool,
    /// Whether the seed of the boot disk is a sound volume afterwards.
    #[serde(default = "yes")]
    sound_seed: bool,
    /// How much bigger the stick is than the image, in MiB; of the first stage.
    #[serde(default = "half_a_gigabyte")]
    spare: u64,
    /// Where secrets may lie: `seed:NAME`, or a path of the root.
    #[serde(default = "meant_for_secrets")]
    secrets: Vec<String>,
}

fn yes() -> bool {
    true
}

fn half_a_gigabyte() -> u64 {
    512
}

fn meant_for_secrets() -> Vec<String> {
    ["seed:setup.txt", "/etc/colibri/provider.env"]
        .map(str::to_owned)
        .into()
}

/// One scenario.
pub struct Scenario {
    /// The folder's name.
    pub name: String,
    stages: Vec<(PathBuf, Terms)>,
}

/// What is typed into `setup.txt` wherever it holds `@NAME@`.
pub struct Typed {
    secrets: [(&'static str, Canary); 4],
    key: KeyPair,
}

/// The login that the scenarios' seeds ask for.
const LOGIN: &str = "ada";

impl Typed {
    /// New secrets and a new key, which lies beside `disk`.
    pub fn new(disk: &Disk) -> Self {
        Self {
            secrets: [
                (
                    "OPENROUTER_API_KEY",
                    Canary::new("provider's key", "sk-or-v1-", 64),
                ),
                (
                    "TELEGRAM_BOT_TOKEN",
                    Canary::new("Telegram token", "123456789:", 35),
                ),
                (
                    "OTHER_BOT_TOKEN",
                    Canary::new("other bot's token", "1122334455:", 35),
                ),
                ("PASSWORD", Canary::new("operator's password", "Pw-", 24)),
            ],
            key: KeyPair::generate(disk.folder()),
        }
    }

    /// A text with every `@NAME@` filled in.
    pub fn fill(&self, text: &str) -> String {
        let mut text = text.replace("@SSH_KEY@", &self.key.public);
        for (name, secret) in &self.secrets {
            text = text.replace(&format!("@{name}@"), &secret.value);
        }
        text
    }

    /// Runs a script on the machine; it may become root by `root LINE`.
    pub fn script(&self, guest: &Guest, script: &str) -> String {
        let [.., (_, password)] = &self.secrets;
        guest.script(&self.key, LOGIN, &password.value, script)
    }
}

/// The folder that holds the scenarios.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// All scenarios, by name.
pub fn all() -> Vec<Scenario> {
    let mut folders: Vec<PathBuf> = fs_err::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
        .iter()
        .map(|folder| Scenario::read(folder))
        .collect()
}

impl Scenario {
    /// Reads the scenario in `folder`.
    pub fn read(folder: &Path) -> Self {
        let later = (2..)
            .map(|number: u32| folder.join(number.to_string()))
            .take_while(|stage| stage.is_dir());
        let stages = std::iter::once(folder.to_owned())
            .chain(later)
            .map(|stage| {
                let file = stage.join("scenario.toml");
                let text = fs_err::read_to_string(&file).unwrap();
                let terms = toml::from_str(&text)
                    .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                (stage, terms)
            })
            .collect();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        Self { name, stages }
    }

    /// Whether it is among those that run every time.
    pub fn is_quick(&self) -> bool {
        self.stages[0].1.quick
    }

    /// Boots it from the first stage to the last one.
    pub fn play(&self) {
        let disk = Disk::copy_of(&Built::get());
        disk.grow_by(self.stages[0].1.spare);
        let typed = Typed::new(&disk);
        let mut replaces_setup = false;
        let mut is_set_up = false;
        for (number, (folder, terms)) in self.stages.iter().enumerate() {
            replaces_setup |= number > 0 && folder.join("setup.txt").exists();
            let name = format!("scenario-{}-{}", self.name, number + 1);
            Stage {
                name,
                folder,
                terms,
                disk: &disk,
                typed: &typed,
                replaces_setup,
                is_set_up,
            }
            .play();
            is_set_up |= terms.report.as_deref() == Some("READY");
        }
    }
}

/// A boot about to be played.
struct Stage<'a> {
    name: String,
    folder: &'a Path,
    terms: &'a Terms,
    disk: &'a Disk,
    typed: &'a Typed,
    /// The operator has put another `setup.txt` in the place of an earlier one.
    replaces_setup: bool,
    /// An earlier boot has set this host up.
    is_set_up: bool,
}

impl Stage<'_> {
    fn play(&self) {
        self.put_setup();
        self.script("fault.sh");
        let stick = self.place("stick.img");
        let machine = Machine {
            attach: Attach::UsbStick,
            network: if self.terms.network {
                Network::Isolated
            } else {
                Network::NoCard
            },
            clock: self.terms.clock.clone(),
            sticks: stick.exists().then(|| stick.clone()).into_iter().collect(),
            ..Guest::machine(self.disk)
        };
        let mut guest = Guest::switch_on(&machine, self.disk, &self.name);
        if let Some(headline) = &self.terms.report {
            guest.wait_for_report(headline);
            if headline == "NOT SET UP" && !self.is_set_up {
                guest.leave_wizard();
            }
        }
        guest.wait_for_login();
        let ask = self.folder.join("ask.sh");
        if ask.exists() {
            let script = fs_err::read_to_string(ask).unwrap();
            let said = self.typed.script(&guest, &script);
            fs_err::write(self.place("answers"), said).unwrap();
        }
        fs_err::write(self.place("console"), guest.console_text()).unwrap();
        guest.power_off();

        self.disk.assert_root_sound();
        if self.terms.sound_seed {
            self.disk.assert_fat_sound("CLAWDIE-SEED");
        }
        let result = self.disk.seed_file("RESULT.txt").unwrap_or_default();
        fs_err::write(self.place("result"), result).unwrap();
        self.look_for_secrets();
        self.script("expect.sh");
    }

    /// A file that the stages of this scenario share.
    fn place(&self, name: &str) -> PathBuf {
        self.disk.folder().join(name)
    }

    fn put_setup(&self) {
        let file = self.folder.join("setup.txt");
        if file.exists() {
            let text = self.typed.fill(&fs_err::read_to_string(file).unwrap());
            fs_err::write(self.place("setup.txt"), &text).unwrap();
            if self.terms.on_boot_disk {
                self.disk.put_seed("setup.txt", text.as_bytes());
            }
        }
    }

    /// Runs a script of the stage, if it has it. What it says is printed; when it fails, it is the message.
    fn script(&self, name: &str) {
        let script = self.folder.join(name);
        if !script.exists() {
            return;
        }
        let seed = format!(
            "{}@@{}",
            self.disk.path().display(),
            self.disk.range("CLAWDIE-SEED").start
        );
        let mut command = Command::new("sh");
        command
            .arg("-eu")
            .arg(&script)
            .current_dir(self.disk.folder())
            .env("LIB", folder().join("lib.sh"))
            .env("FIXTURES", folder().join("../../firstboot/tests/setup"))
            .env("DISK", self.disk.path())
            .env("SEED", seed)
            .env("ROOT", self.disk.root_device())
            .env("STICK", self.place("stick.img"))
            .env("SETUP", self.place("setup.txt"))
            .env("RESULT", self.place("result"))
            .env("CONSOLE", self.place("console"))
            .env("ANSWERS", self.place("answers"));
        for (name, secret) in &self.typed.secrets {
            command.env(name, &secret.value);
        }
        let done = run(&mut command, b"", Duration::from_secs(120));
        assert!(
            done.status.success(),
            "{}: {name}: {}\nRESULT.txt:\n{}",
            self.name,
            done.all(),
            String::from_utf8_lossy(&fs_err::read(self.place("result")).unwrap_or_default())
        );
        print!("{}", done.all());
    }

    /// Every secret that was typed lies only where it may, and in nothing that people come to read.
    fn look_for_secrets(&self) {
        let mut meant: BTreeSet<Owner> = self
            .terms
            .secrets
            .iter()
            .map(|place| match place.strip_prefix("seed:") {
                Some(name) => Owner::SeedFile(name.into()),
                None => Owner::RootFile(place.clone()),
            })
            .collect();
        if self.replaces_setup {
            // An editor leaves the bytes of the file that it replaced.
            meant.insert(Owner::SeedFree);
        }
        for (_, secret) in &self.typed.secrets {
            let owners = secret.owners(self.disk);
            let astray: Vec<_> = owners.difference(&meant).map(Owner::to_string).collect();
            assert!(
                astray.is_empty(),
                "{}: the {} is in: {}",
                self.name,
                secret.name,
                astray.join(", ")
            );
            for name in ["console", "result", "answers"] {
                let bytes = fs_err::read(self.place(name)).unwrap_or_default();
                secret.assert_not_in(&bytes, name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_read_and_judges_something() {
        let scenarios = all();
        assert!(scenarios.iter().any(Scenario::is_quick));
        for scenario in scenarios {
            for (folder, terms) in &scenario.stages {
                assert!(!terms.about.is_empty());
                assert!(
                    folder.join("expect.sh").exists(),
                    "{} expects nothing",
                    folder.display()
                );
            }
        }
    }

    #[test]
    fn a_misspelt_term_is_refused() {
        let error = toml::from_str::<Terms>("about = 'x'\nclok = '2001'").unwrap_err();
        assert!(error.to_string().contains("clok"), "{error}");
    }
}
