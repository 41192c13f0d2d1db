//! What this machine is: `facts.json` in the state folder, for people who help and for a later agent that must know
//! whether it runs on the same machine.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::host::{Host, HostError};

/// The version that this program writes.
pub const VERSION: u32 = 1;

/// How a fingerprint begins; 64 hexadecimal digits follow.
const PREFIX: &str = "machine:";

/// What a host finds out about its machine. What it cannot find out is left empty: no machine tells everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// What may be stored.
    pub system: System,
    /// What names this machine and no other: numbers of the board, MACs, the root's disk. Only a hash over them is kept.
    pub ids: BTreeMap<String, String>,
}

/// The system, without anything secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// `debian` or `freebsd`.
    pub flavour: String,
    /// Release as its people write it.
    pub release: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Architecture of the processor.
    pub architecture: String,
    /// Maker and model, as the board says.
    pub machine: String,
    /// Model of the processor.
    pub cpu: String,
    /// Number of processors that the kernel uses.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Disks, by path.
    pub disks: Vec<Disk>,
    /// Network interfaces with an address of their own, by name.
    pub interfaces: Vec<Interface>,
    /// `uefi` or `bios`.
    pub firmware: String,
    /// What the machine is simulated by, such as `kvm`; none for real ones.
    pub virtualisation: Option<String>,
}

/// A disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// `/dev/sda`.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// What its maker calls it.
    pub model: String,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// `enp1s0`, `em0`.
    pub name: String,
    /// Hardware address, small letters and colons.
    pub mac: String,
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Version of this form.
    pub version: u32,
    /// Names this machine: another machine has another one.
    pub fingerprint: String,
    /// The rest.
    #[serde(flatten)]
    pub system: System,
}

impl From<Survey> for Facts {
    fn from(Survey { system, ids }: Survey) -> Self {
        Self {
            version: VERSION,
            fingerprint: fingerprint(&ids),
            system,
        }
    }
}

/// A hash over all that names a machine. Empty values, and those that makers leave in, say nothing.
fn fingerprint(ids: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for (name, value) in ids {
        let value = value.trim();
        if is_filler(value) {
            continue;
        }
        for part in [name.as_str(), value] {
            // The length in front keeps a letter from wandering from one part to the next unnoticed.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    let hex: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{PREFIX}{hex}")
}

/// Whether a text has the form of a fingerprint.
pub fn is_fingerprint(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix(PREFIX)
        .is_some_and(|digits| digits.len() == 64 && digits.bytes().all(digit))
}

fn is_filler(value: &str) -> bool {
    const FILLERS: [&str; 6] = [
        "none",
        "default string",
        "to be filled by o.e.m.",
        "not specified",
        "system serial number",
        "0123456789",
    ];
    value.chars().all(|c| "0-:. ".contains(c)) || FILLERS.contains(&&*value.to_ascii_lowercase())
}

/// What is stored; `None` when nothing is, or nothing that this version reads.
///
/// # Errors
/// The file cannot be read.
pub fn read(host: &dyn Host) -> Result<Option<Facts>, HostError> {
    let bytes = host.read(Path::new(host.paths().facts))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Stores the facts; they are on disk when this returns.
///
/// # Errors
/// The file cannot be written.
pub fn write(host: &dyn Host, facts: &Facts) -> Result<(), HostError> {
    let text = serde_json::to_string_pretty(facts).map_err(|error| HostError::Unexpected {
        what: "the facts".into(),
        detail: error.to_string(),
    })?;
    host.write(
        Path::new(host.paths().facts),
        (text + "\n").as_bytes(),
        0o600,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by version 0.1.0; must be readable for ever.
    const V1: &str = include_str!("../tests/facts/v1.json");

    fn ids(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn version_1_is_read_and_written_to_the_last_detail() {
        let facts: Facts = serde_json::from_str(V1).expect("version 1");
        assert_eq!(facts.version, VERSION);
        assert_eq!(facts.system.disks[0].bytes, 4 << 30);
        let written = serde_json::to_string_pretty(&facts).expect("serialised") + "\n";
        assert_eq!(written, V1);
    }

    #[test]
    fn a_fingerprint_is_of_what_tells_machines_apart() {
        let one = ids(&[
            ("serial", "AB12"),
            ("uuid", "4c4c4544-0042"),
            ("mac em0", "02:00:00:00:00:01"),
        ]);
        let print = fingerprint(&one);
        assert_eq!(print.len(), "machine:".len() + 64);
        assert!(is_fingerprint(&print) && !is_fingerprint(&print[1..]));
        assert!(!print.contains("ab12") && !print.contains("AB12"));
        let mut other = one.clone();
        other.insert("serial".into(), "AB13".into());
        assert_ne!(fingerprint(&other), print);
        let mut filled = one;
        for (name, filler) in [
            ("board", "Default string"),
            ("chassis", " "),
            ("disk", "0000-0000"),
        ] {
            filled.insert(name.into(), filler.into());
        }
        assert_eq!(fingerprint(&filled), print, "fillers say nothing");
    }
}
