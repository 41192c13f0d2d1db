//! Where the answers are read from and saved: a file, or the seed of this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use super::model::{Origin, Purpose, Wizard};
use crate::host::{Access, Host, HostError, Volume};
use crate::seed::{self, OLD_SETUP};
use crate::setup::{self, Input};

/// What lies at a place now. `Debug` shows no content.
#[derive(Debug)]
pub struct Held {
    /// The name of the file, there or to be made.
    pub name: String,
    /// The file and where it lies, for people.
    pub title: String,
    /// Its bytes, when it is there.
    pub setup: Option<SecretSlice<u8>>,
    /// Those of `authorized_keys` beside it.
    pub authorized_keys: Option<Vec<u8>>,
    /// The seed's volume.
    volume: Option<Volume>,
}

/// A place for a `setup.txt`. The errors are texts for the operator.
pub trait Place {
    /// What comes after saving.
    fn purpose(&self) -> Purpose;
    /// Looks what is there.
    ///
    /// # Errors
    /// There is no place to write to, or it cannot be read.
    fn read(&self) -> Result<Held, String>;
    /// Writes files by their names, one after the other, each durably.
    ///
    /// # Errors
    /// The place is gone, full or write-protected.
    fn write(&self, held: &Held, files: &[(&str, &[u8])]) -> Result<(), String>;
    /// Whether somebody else has done the work in the meantime.
    fn is_done_elsewhere(&self) -> bool {
        false
    }
}

/// A file that the user names.
pub struct File<'a> {
    host: &'a dyn Host,
    path: PathBuf,
    mode: u32,
}

impl<'a> File<'a> {
    /// The file at an absolute path; it need not be there.
    pub fn new(host: &'a dyn Host, path: PathBuf) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        // A file that is there keeps its mode: FAT, where most of these files lie, takes no other.
        let mode = std::fs::metadata(&path).map(|there| there.permissions().mode() & 0o777);
        Self {
            host,
            path,
            mode: mode.unwrap_or(0o600),
        }
    }
}

impl Place for File<'_> {
    fn purpose(&self) -> Purpose {
        Purpose::File
    }

    fn read(&self) -> Result<Held, String> {
        let read = |path: &Path| self.host.read(path).map_err(|error| error.to_string());
        let name = self.path.file_name().unwrap_or_default();
        Ok(Held {
            name: name.to_string_lossy().into_owned(),
            title: self.path.display().to_string(),
            setup: read(&self.path)?.map(SecretSlice::from),
            authorized_keys: read(&self.path.with_file_name("authorized_keys"))?,
            volume: None,
        })
    }

    fn write(&self, _: &Held, files: &[(&str, &[u8])]) -> Result<(), String> {
        files
            .iter()
            .try_for_each(|(name, content)| {
                let path = self.path.with_file_name(name);
                self.host.write(&path, content, self.mode)
            })
            .map_err(|error| error.to_string())
    }
}

/// The seed. `lock` keeps other runs from its mount while it is read or written, and at no other time.
pub struct Seed<'a, L> {
    host: &'a dyn Host,
    lock: L,
    on_console: bool,
}

impl<'a, G, E: std::fmt::Display, L: Fn() -> Result<G, E>> Seed<'a, L> {
    /// `on_console`: the boot started it, on every console.
    pub fn new(host: &'a dyn Host, lock: L, on_console: bool) -> Self {
        Self {
            host,
            lock,
            on_console,
        }
    }

    fn locked<T>(&self, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        let _only_one = (self.lock)().map_err(|error| error.to_string())?;
        work()
    }

    fn write_mounted(&self, files: &[(&str, &[u8])]) -> Result<(), HostError> {
        let folder = Path::new(self.host.paths().seed_mount);
        files.iter().try_for_each(|(name, content)| {
            // The seed is mounted so that every file on it has this mode.
            self.host.write(&folder.join(name), content, 0o700)
        })
    }
}

impl<G, E: std::fmt::Display, L: Fn() -> Result<G, E>> Place for Seed<'_, L> {
    fn purpose(&self) -> Purpose {
        Purpose::SetUp
    }

    fn read(&self) -> Result<Held, String> {
        let found = self.locked(|| Ok(seed::find(self.host, Duration::ZERO)))?;
        match (found.files, found.volume) {
            (Ok(files), Some(volume)) => Ok(Held {
                title: format!("{} on {volume}", files.setup_name),
                name: files.setup_name,
                setup: Some(files.setup),
                authorized_keys: files.authorized_keys,
                volume: Some(volume),
            }),
            (Err(seed::SeedError::NoFile(_)), Some(volume)) => Ok(Held {
                title: format!("setup.txt on {volume}"),
                name: "setup.txt".into(),
                setup: None,
                authorized_keys: None,
                volume: Some(volume),
            }),
            (Err(error), _) => Err(error.to_string()),
            (Ok(_), None) => Err("the seed has no volume".into()),
        }
    }

    fn write(&self, held: &Held, files: &[(&str, &[u8])]) -> Result<(), String> {
        let Some(volume) = &held.volume else {
            return Err("the seed has no volume".into());
        };
        self.locked(|| {
            let write = || -> Result<(), HostError> {
                self.host.mount_seed(volume, Access::ReadWrite)?;
                let written = self.write_mounted(files);
                let unmounted = self.host.unmount_seed();
                written.and(unmounted)
            };
            write().map_err(|error| error.to_string())
        })
    }

    fn is_done_elsewhere(&self) -> bool {
        self.on_console && !is_wanted(self.host)
    }
}

/// Whether the last run asked for the wizard.
pub fn is_wanted(host: &dyn Host) -> bool {
    let wanted = host.read(Path::new(host.paths().wizard_wanted));
    wanted.is_ok_and(|text| text.is_some_and(|text| !text.is_empty()))
}

/// Asks for the wizard, or takes that back. A service waits for the file to be there with something in it.
///
/// # Errors
/// The run directory cannot be written.
pub fn want(host: &dyn Host, wanted: bool) -> Result<(), HostError> {
    if is_wanted(host) == wanted {
        return Ok(());
    }
    let text: &[u8] = if wanted { b"yes\n" } else { b"" };
    host.write(Path::new(host.paths().wizard_wanted), text, 0o600)
}

/// The dialogue over what is at a place now.
pub fn begin(held: &Held, purpose: Purpose) -> Wizard {
    let origin = Origin {
        name: held.name.clone(),
        place: held.title.clone(),
        authorized_keys: held.authorized_keys.clone(),
        purpose,
    };
    let old = held.setup.as_ref().map(|setup| setup.expose_secret());
    Wizard::new(origin, old)
}

/// What saving did.
#[derive(Debug, PartialEq, Eq)]
pub struct Saved {
    /// What the check says of the new file.
    pub report: String,
    /// Whether the old one is kept as [`OLD_SETUP`].
    pub kept_old: bool,
}

/// Saves the answers. The old file is kept beside the new one if that does not say everything it said, or if somebody
/// has changed it since it was read; it goes first, so that a power cut loses neither. Not with
/// `SEED_SECRETS=blank`, which wants no key to stay on the stick.
///
/// # Errors
/// A text for the operator; nothing is lost.
pub fn save(place: &dyn Place, wizard: &Wizard, first: &Held) -> Result<Saved, String> {
    // The stick may have been taken out and put back, as another device.
    let now = place.read()?;
    let text: SecretString = wizard.text();
    let verdict = setup::check(Input {
        name: &now.name,
        setup: text.expose_secret().as_bytes(),
        authorized_keys: now.authorized_keys.as_deref(),
    });
    let Some(setup) = &verdict.setup else {
        return Err(verdict.report());
    };
    let bytes = |held: &Held| {
        held.setup
            .as_ref()
            .map(|setup| setup.expose_secret().to_vec())
    };
    let (before, there) = (bytes(first), bytes(&now));
    let old = there.filter(|there| {
        let is_changed = before.as_ref() != Some(there);
        let is_to_blank = setup.get(setup::Key::SeedSecrets) == Some("blank");
        (is_changed || setup::salvage(there).leftovers) && !is_to_blank
    });
    let mut files: Vec<(&str, &[u8])> = Vec::new();
    files.extend(old.as_deref().map(|old| (OLD_SETUP, old)));
    files.push((&now.name, text.expose_secret().as_bytes()));
    place.write(&now, &files)?;
    Ok(Saved {
        report: verdict.report(),
        kept_old: old.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::recording::Recording;
    use crate::wizard::model::{Answer, Press, Stop};

    const TOKEN: &str = "123456789:AAabcdefghijklmnopqrstuvwxyz012345_";

    fn seed(host: &Recording) -> Seed<'_, impl Fn() -> Result<(), String>> {
        Seed::new(host, || Ok::<_, String>(()), true)
    }

    /// Goes to a setting of the first page and types over what is there.
    fn fill(wizard: &mut Wizard, key: setup::Key, text: &str) {
        for _ in 0..20 {
            if matches!(wizard.focus(), Stop::Field(at) if wizard.fields()[at].key == key) {
                wizard.press(&Press::Clear);
                text.chars().for_each(|letter| {
                    wizard.press(&Press::Char(letter));
                });
                return;
            }
            wizard.press(&Press::Next);
        }
        panic!("no {key:?} on this page");
    }

    fn push_save(wizard: &mut Wizard) -> Answer {
        use crate::wizard::model::Button;
        wizard.press(&Press::Escape);
        while wizard.focus() != Stop::Button(Button::Save) {
            wizard.press(&Press::Previous);
        }
        wizard.press(&Press::Enter)
    }

    #[test]
    fn a_corrected_seed_is_good_and_what_it_no_longer_says_is_kept() {
        let old = "# mine\nOPENROUTER_API_KEY=sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\nTELEGRAM_BOT_TOKEN=oops\nTELEGRAM_ADMIN_ID=987654321\n";
        let host = Recording::fresh(Some(old));
        let place = seed(&host);
        let held = place.read().expect("a seed");
        let mut wizard = begin(&held, place.purpose());
        assert_eq!(push_save(&mut wizard), Answer::Stay);
        let Stop::Field(at) = wizard.focus() else {
            panic!("{:?}", wizard.focus())
        };
        assert_eq!(wizard.fields()[at].key, setup::Key::TelegramBotToken);
        fill(&mut wizard, setup::Key::TelegramBotToken, TOKEN);
        assert_eq!(push_save(&mut wizard), Answer::Save);
        let saved = save(&place, &wizard, &held).expect("saved");
        assert!(
            saved.kept_old && saved.report.contains("all good"),
            "{saved:?}"
        );
        let new = host.on_seed("SETUP.TXT").expect("the file");
        assert!(
            new.contains(&format!("TELEGRAM_BOT_TOKEN={TOKEN}\r\n")),
            "under the name that it had"
        );
        assert_eq!(host.on_seed(OLD_SETUP).as_deref(), Some(old));
    }

    #[test]
    fn no_copy_is_left_where_secrets_are_to_be_blanked_or_nothing_is_lost() {
        let good = "OPENROUTER_API_KEY=sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\nTELEGRAM=none\n";
        for (text, is_kept) in [
            (good.to_owned(), false),
            (format!("{good}# mine\n"), true),
            (format!("{good}# mine\nSEED_SECRETS=blank\n"), false),
        ] {
            let host = Recording::fresh(Some(&text));
            let place = seed(&host);
            let held = place.read().expect("a seed");
            let wizard = begin(&held, place.purpose());
            let saved = save(&place, &wizard, &held).expect("saved");
            assert_eq!(saved.kept_old, is_kept, "{text}");
            assert_eq!(host.on_seed(OLD_SETUP).is_some(), is_kept, "{text}");
        }
    }

    #[test]
    fn a_file_that_changed_under_the_dialogue_is_kept() {
        let good = "OPENROUTER_API_KEY=sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\nTELEGRAM=none\n";
        let host = Recording::fresh(Some(good));
        let place = seed(&host);
        let held = place.read().expect("a seed");
        let wizard = begin(&held, place.purpose());
        host.edit_seed("TELEGRAM=none\nHOSTNAME=other\n");
        assert!(save(&place, &wizard, &held).expect("saved").kept_old);
        let old = host.on_seed(OLD_SETUP).expect("the copy");
        assert!(old.contains("HOSTNAME=other"));
    }

    #[test]
    fn a_stick_without_the_file_gets_one_and_no_stick_is_said() {
        let mut host = Recording::fresh(None);
        let held = seed(&host).read().expect("a volume");
        assert!(held.setup.is_none());
        assert_eq!(held.title, "setup.txt on /dev/sda1 (CLAWDIESEED)");
        host.volumes.clear();
        let text = seed(&host).read().expect_err("no volume");
        assert!(text.contains("no seed found"), "{text}");
    }

    #[test]
    fn it_is_wanted_once_and_no_longer() {
        let host = Recording::fresh(None);
        assert!(!is_wanted(&host) && seed(&host).is_done_elsewhere());
        want(&host, false).expect("nothing to do");
        assert_eq!(
            *host.effects.borrow(),
            [""; 0],
            "a boot without faults writes nothing"
        );
        want(&host, true).expect("written");
        assert!(is_wanted(&host) && !seed(&host).is_done_elsewhere());
        want(&host, false).expect("written");
        assert!(!is_wanted(&host));
    }

    #[test]
    fn a_bad_seed_is_corrected_on_the_console_and_the_host_ends_ready() {
        use crate::journal::{Ending, Phase};
        use crate::run::{Result, run};

        let host = Recording::fresh(Some("TELEGRAM=none\nHOSTNAME=my host\n"));
        let boot = || [Phase::Early, Phase::Late].map(|phase| run(&host, phase, "0.1.0"));
        assert_eq!(boot(), [Result::Ended(Ending::Refused); 2]);
        assert!(is_wanted(&host));

        let place = seed(&host);
        let held = place.read().expect("a seed");
        let mut wizard = begin(&held, place.purpose());
        fill(
            &mut wizard,
            setup::Key::OpenrouterApiKey,
            "sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        );
        assert_eq!(push_save(&mut wizard), Answer::Stay);
        assert!(wizard.is_on_second_page(), "where the host name is");
        fill(&mut wizard, setup::Key::Hostname, "cellar");
        assert_eq!(push_save(&mut wizard), Answer::Save);
        save(&place, &wizard, &held).expect("saved");
        assert_eq!(boot(), [Result::Ended(Ending::Complete); 2]);
        assert_eq!(host.setting("host-name").as_deref(), Some("cellar"));
        assert!(!is_wanted(&host));

        // From now on a bad seed asks nobody who happens to stand there.
        host.reboot();
        host.edit_seed("HOSTNAME=my host\n");
        assert_eq!(boot(), [Result::Ended(Ending::Refused); 2]);
        assert!(!is_wanted(&host));
    }
}
