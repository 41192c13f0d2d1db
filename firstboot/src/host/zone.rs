//! `/etc/localtime` is a link into the zone database, on every flavour.

use std::fs;
use std::io;

use super::machine::Machine;
use super::{HostError, Processes, files};

/// Where the zones lie.
pub(super) const ZONES: &str = "/usr/share/zoneinfo";

impl<P: Processes> Machine<P> {
    /// Whether the machine keeps this zone's time.
    pub(super) fn is_time_zone(&self, zone: &str) -> Result<bool, HostError> {
        match fs::read_link(self.at("/etc/localtime")) {
            Ok(target) => {
                let target = target.to_string_lossy().into_owned();
                let set = target.split_once("/zoneinfo/").map(|(_, set)| set);
                Ok(set == Some(zone) || (is_utc(zone) && set.is_some_and(is_utc)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(is_utc(zone)),
            // A plain file instead of a link: some zone's data, but nobody can tell which.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(false),
            Err(error) => Err(HostError::io("reading /etc/localtime")(error)),
        }
    }

    /// Refuses a zone that this image does not have; `lists` is the flavour's command that prints them.
    pub(super) fn has_zone(&self, zone: &str, lists: &str) -> Result<(), HostError> {
        let is_zone = files::read(&self.at(format!("{ZONES}/{zone}")), 4)
            .ok()
            .flatten()
            .is_some_and(|magic| magic == b"TZif");
        if zone.split('/').any(|part| part == "..") || !is_zone {
            return Err(HostError::NotOnImage {
                what: format!("the time zone `{zone}`"),
                remedy: format!(
                    "correct `TIMEZONE` in setup.txt to a name like `Europe/Ljubljana` ({lists} prints them all)"
                ),
            });
        }
        Ok(())
    }
}

fn is_utc(zone: &str) -> bool {
    [
        "UTC",
        "Etc/UTC",
        "Universal",
        "Etc/Universal",
        "Zulu",
        "Etc/Zulu",
        "UCT",
        "Etc/UCT",
    ]
    .contains(&zone)
}
