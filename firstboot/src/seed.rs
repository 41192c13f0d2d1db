//! Finds the seed, reads its files and puts it away again.
//!
//! The boot disk's own seed wins; else one on another stick. The seed is mounted only while it is read, read-only, at a
//! place that only root can enter.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::{Digest as _, Sha256};

use crate::host::{Access, Host, HostError, Volume};
use crate::setup;

/// What the wizard keeps of a `setup.txt` that it replaced, beside the new one.
pub const OLD_SETUP: &str = "setup.old.txt";

/// Pause between two looks for a stick that is slow to appear.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether a FAT label marks a seed.
pub fn is_fat_label(label: &str) -> bool {
    let label = label.trim_end();
    label.eq_ignore_ascii_case("CLAWDIESEED") || label.eq_ignore_ascii_case("CLAWDIE")
}

/// Whether a GPT partition name marks a seed.
pub fn is_gpt_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("CLAWDIE-SEED") || is_fat_label(name)
}

/// The files of a seed. `Debug` shows no content.
#[derive(Debug, Clone)]
pub struct Files {
    /// The name `setup.txt` really has.
    pub setup_name: String,
    /// Its bytes.
    pub setup: SecretSlice<u8>,
    /// The bytes of `authorized_keys`, when there is one.
    pub authorized_keys: Option<Vec<u8>>,
}

impl PartialEq for Files {
    fn eq(&self, other: &Self) -> bool {
        self.setup.expose_secret() == other.setup.expose_secret()
            && self.authorized_keys == other.authorized_keys
    }
}

impl Files {
    /// Names this seed as this version of the agent reads it: the same name means nothing is left to do.
    ///
    /// It is a hash over text that holds secrets, so it stays in files that only root can read.
    pub fn mark(&self, agent: &str) -> String {
        let mut hash = Sha256::new();
        let setup = self.setup.expose_secret();
        for part in [
            agent.as_bytes(),
            setup,
            self.authorized_keys.as_deref().unwrap_or_default(),
        ] {
            // The length in front keeps a byte from wandering from one part to the next unnoticed.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update([u8::from(self.authorized_keys.is_some())]);
        let hex: String = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("sha256:{hex}")
    }
}

/// Why there is nothing to read. The texts tell the operator what to do.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// No volume has an accepted name.
    #[error(
        "no seed found: no FAT volume is called CLAWDIESEED or CLAWDIE, and no partition CLAWDIE-SEED. Plug in the \
         stick with setup.txt and start the machine again"
    )]
    NoVolume,
    /// There are volumes, and none has a `setup.txt`.
    #[error(
        "no setup.txt on {0}. Put one there (a template is in the release) and start the machine again"
    )]
    NoFile(String),
    /// Two sticks with different content, and no reason to prefer one.
    #[error(
        "{0} and {1} both hold a setup.txt, and they differ. Unplug one of them and start the machine again"
    )]
    TwoSeeds(String, String),
    /// The volume is there and could not be read.
    #[error("cannot read the seed on {volume}: {source}")]
    Unreadable {
        /// Device and label.
        volume: String,
        /// What the system said.
        source: HostError,
    },
    /// Looking for volumes failed.
    #[error("cannot look for the seed: {0}")]
    Search(#[source] HostError),
}

/// What a search brought.
#[derive(Debug)]
pub struct Found {
    /// Where a report goes; there even when the seed is bad.
    pub volume: Option<Volume>,
    /// The files, or why there are none.
    pub files: Result<Files, SeedError>,
    /// Further volumes with the very same files.
    pub copies: Vec<Volume>,
    /// What the operator should know besides: other candidates and so on.
    pub notes: Vec<String>,
}

impl Found {
    /// Nothing to read, for the reason given.
    fn nothing(volume: Option<Volume>, error: SeedError, notes: Vec<String>) -> Self {
        Self {
            volume,
            files: Err(error),
            copies: Vec::new(),
            notes,
        }
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.label.as_deref().or(self.gpt_name.as_deref()) {
            Some(name) => write!(f, "{} ({name})", self.device),
            None => f.write_str(&self.device),
        }
    }
}

/// Looks for a seed, again and again while there is none and `patience` lasts: USB sticks take their time.
pub fn find(host: &dyn Host, patience: Duration) -> Found {
    let mut waited = Duration::ZERO;
    loop {
        let found = look_once(host);
        let is_worth_waiting =
            matches!(found.files, Err(SeedError::NoVolume | SeedError::NoFile(_)));
        if !is_worth_waiting || waited >= patience {
            return found;
        }
        host.sleep(PAUSE);
        waited += PAUSE;
    }
}

fn look_once(host: &dyn Host) -> Found {
    let volumes = match host.volumes() {
        Ok(volumes) => volumes,
        Err(error) => return Found::nothing(None, SeedError::Search(error), Vec::new()),
    };
    let mut notes = Vec::new();
    let mut copies = Vec::new();
    let mut chosen: Option<(Volume, Files)> = None;
    let mut failed: Option<(Volume, SeedError)> = None;
    for volume in &volumes {
        match read_volume(host, volume, &mut notes) {
            Ok(None) => {}
            Ok(Some(files)) => match &chosen {
                None => chosen = Some((volume.clone(), files)),
                Some((first, same)) if *same == files => {
                    notes.push(format!(
                        "{volume} holds the same setup.txt as {first}, which was used"
                    ));
                    copies.push(volume.clone());
                }
                Some((first, _)) if first.on_boot_disk => {
                    notes.push(format!("{volume} holds another setup.txt; the one on the boot disk, {first}, was used"));
                }
                Some((first, _)) => {
                    let error = SeedError::TwoSeeds(first.to_string(), volume.to_string());
                    return Found::nothing(None, error, notes);
                }
            },
            // The boot disk's own seed comes first, and when that cannot be read no other may stand in for it: the
            // operator believes to have edited this one.
            Err(source) => {
                let error = SeedError::Unreadable {
                    volume: volume.to_string(),
                    source,
                };
                if volume.on_boot_disk {
                    return Found::nothing(Some(volume.clone()), error, notes);
                }
                failed = Some((volume.clone(), error));
            }
        }
    }
    match (chosen, failed) {
        (Some((volume, files)), failed) => {
            notes.extend(failed.map(|(_, error)| error.to_string()));
            Found {
                volume: Some(volume),
                files: Ok(files),
                copies,
                notes,
            }
        }
        (None, Some((volume, error))) => Found::nothing(Some(volume), error, notes),
        (None, None) => {
            let names: Vec<String> = volumes.iter().map(ToString::to_string).collect();
            let error = if names.is_empty() {
                SeedError::NoVolume
            } else {
                SeedError::NoFile(names.join(", "))
            };
            Found::nothing(volumes.into_iter().next(), error, notes)
        }
    }
}

/// Does something with the files of a volume, which is mounted for that long only.
///
/// # Errors
/// The stick is gone or write-protected, the work failed, or what was written may not have reached the stick.
pub fn with_volume<T>(
    host: &dyn Host,
    volume: &Volume,
    access: Access,
    work: impl FnOnce(&Path) -> Result<T, HostError>,
) -> Result<T, HostError> {
    host.mount_seed(volume, access)?;
    let done = work(Path::new(host.paths().seed_mount));
    let unmounted = host.unmount_seed();
    done.and_then(|done| unmounted.map(|()| done))
}

fn read_volume(
    host: &dyn Host,
    volume: &Volume,
    notes: &mut Vec<String>,
) -> Result<Option<Files>, HostError> {
    host.mount_seed(volume, Access::ReadOnly)?;
    let read = read_mounted(host, volume, notes);
    // Unmounted whatever happened; a read that went well counts even if the unmount is slow to succeed.
    if let Err(error) = host.unmount_seed() {
        notes.push(format!("{volume} could not be unmounted: {error}"));
    }
    read
}

/// The names that `setup.txt` goes by among `names`, the one that counts first.
pub fn setup_names(names: &[String]) -> Vec<&String> {
    let mut setups: Vec<&String> = names
        .iter()
        .filter(|name| setup::is_setup_name(name))
        .collect();
    // Notepad's `setup.txt.txt` and an extension-less `setup` count only where no proper `setup.txt` is.
    setups.sort_by_key(|name| match name.to_ascii_lowercase().as_str() {
        "setup.txt" => 0,
        "setup.txt.txt" => 1,
        _ => 2,
    });
    setups
}

fn read_mounted(
    host: &dyn Host,
    volume: &Volume,
    notes: &mut Vec<String>,
) -> Result<Option<Files>, HostError> {
    let folder = Path::new(host.paths().seed_mount);
    let names = host.list(folder)?;
    let setups = setup_names(&names);
    let Some((first, others)) = setups.split_first() else {
        return Ok(None);
    };
    for other in others {
        notes.push(format!(
            "{volume} also holds `{other}`; `{first}` was used. Keep one of them"
        ));
    }
    let Some(setup) = host.read(&folder.join(first))? else {
        return Ok(None);
    };
    let is_keys = |name: &&String| {
        name.eq_ignore_ascii_case("authorized_keys")
            || name.eq_ignore_ascii_case("authorized_keys.txt")
    };
    let authorized_keys = match names.iter().find(is_keys) {
        Some(name) => host.read(&folder.join(name))?,
        None => None,
    };
    Ok(Some(Files {
        setup_name: (*first).clone(),
        setup: SecretSlice::from(setup),
        authorized_keys,
    }))
}
