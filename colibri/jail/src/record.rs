//! What is known of jails: a small file each, and a link for each number that is taken.

use std::io;
use std::path::{Path, PathBuf};

use colibri_protocol::{TenantId, TenantLimits, TenantNumber};
use serde::{Deserialize, Serialize};

use crate::face::{Jail, Stage};
use crate::files::{gone, make_private, read, remove_durably, sync_folder, write_durably};
use crate::{JailError, crash};

/// Of this program's records; others are not touched.
const VERSION: u32 = 1;

/// A jail's record, `TENANT.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    stage: Stage,
    number: TenantNumber,
    limits: TenantLimits,
}

/// What became of reading a record that is there.
pub(crate) type Read = Result<(Jail, Stage), JailError>;

/// All records, in a folder that is root's alone.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    folder: PathBuf,
}

impl Records {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, tenant: &TenantId) -> PathBuf {
        self.folder.join(format!("{tenant}.json"))
    }

    fn numbers(&self) -> PathBuf {
        self.folder.join("numbers")
    }

    fn claim_path(&self, number: TenantNumber) -> PathBuf {
        self.numbers().join(number.to_string())
    }

    /// A jail's record, if it has one.
    pub(crate) fn get(&self, tenant: &TenantId) -> Result<Option<(Jail, Stage)>, JailError> {
        let path = self.path(tenant);
        let Some(bytes) = read(&path)? else {
            return Ok(None);
        };
        let wrong = |reason: String| JailError::Record {
            path: path.clone(),
            reason,
        };
        let record: Record =
            serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if record.version != VERSION {
            return Err(wrong(format!(
                "its version is {}, and this program writes {VERSION}",
                record.version
            )));
        }
        let jail = Jail {
            tenant: tenant.clone(),
            number: record.number,
            limits: record.limits,
        };
        Ok(Some((jail, record.stage)))
    }

    /// Writes it durably.
    pub(crate) fn put(&self, jail: &Jail, stage: Stage) -> Result<(), JailError> {
        make_private(&self.folder)?;
        let record = Record {
            version: VERSION,
            stage,
            number: jail.number,
            limits: jail.limits,
        };
        let path = self.path(&jail.tenant);
        let mut text = serde_json::to_vec(&record).map_err(|error| JailError::Record {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        text.push(b'\n');
        write_durably(&path, &text, 0o600)
    }

    /// Removes it, and before that the claim to its number. The last thing of a jail to go.
    pub(crate) fn remove(&self, jail: &Jail) -> Result<(), JailError> {
        if self.holder(jail.number)?.as_deref() == Some(jail.tenant.as_str()) {
            remove_durably(&self.claim_path(jail.number))?;
        }
        remove_durably(&self.path(&jail.tenant))
    }

    /// Takes a number for a jail that has a record. Without reading all the others': a thousandth jail
    /// costs as much as the first.
    pub(crate) fn claim(&self, jail: &Jail) -> Result<(), JailError> {
        make_private(&self.numbers())?;
        let path = self.claim_path(jail.number);
        loop {
            crash::point()?;
            match std::os::unix::fs::symlink(jail.tenant.as_str(), &path) {
                Ok(()) => return sync_folder(&self.numbers()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(JailError::files("cannot make", path)(error)),
            }
            let Some(holder) = self.holder(jail.number)? else {
                continue;
            };
            if holder == jail.tenant.as_str() {
                return Ok(());
            }
            if self.is_held(&holder, jail.number)? {
                return Err(JailError::NumberTaken {
                    tenant: jail.tenant.clone(),
                    number: jail.number,
                    holder,
                });
            }
            // Left by a jail that is gone.
            gone(std::fs::remove_file(&path)).map_err(JailError::files("cannot remove", &path))?;
        }
    }

    fn holder(&self, number: TenantNumber) -> Result<Option<String>, JailError> {
        let path = self.claim_path(number);
        match std::fs::read_link(&path) {
            Ok(holder) => Ok(Some(holder.to_string_lossy().into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(JailError::files("cannot read", path)(error)),
        }
    }

    fn is_held(&self, holder: &str, number: TenantNumber) -> Result<bool, JailError> {
        let Ok(holder) = holder.parse() else {
            return Ok(false);
        };
        Ok(self
            .get(&holder)?
            .is_some_and(|(jail, _)| jail.number == number))
    }

    /// All of them, by tenant; each with what is wrong with it, if something is.
    pub(crate) fn all(&self) -> Result<Vec<Read>, JailError> {
        let mut tenants: Vec<TenantId> = entries(&self.folder)?
            .iter()
            .filter_map(|name| name.strip_suffix(".json")?.parse().ok())
            .collect();
        tenants.sort();
        let records = tenants.iter().map(|tenant| self.get(tenant).transpose());
        Ok(records.flatten().collect())
    }

    /// Removes what killed writers left, and claims of jails that are gone; says what.
    pub(crate) fn tidy(&self) -> Result<Vec<String>, JailError> {
        let mut removed = Vec::new();
        for name in entries(&self.folder)? {
            if name.starts_with('.') && name.ends_with(".new") {
                remove_durably(&self.folder.join(&name))?;
                removed.push(format!("an unfinished file {name}"));
            }
        }
        for name in entries(&self.numbers())? {
            let number = name.parse().ok().and_then(|raw: u16| raw.try_into().ok());
            let Some(number) = number else { continue };
            if let Some(holder) = self.holder(number)?
                && !self.is_held(&holder, number)?
            {
                remove_durably(&self.claim_path(number))?;
                removed.push(format!("the claim of `{holder}` to number {number}"));
            }
        }
        Ok(removed)
    }
}

/// The names in a folder, which need not be there.
pub(crate) fn entries(folder: &Path) -> Result<Vec<String>, JailError> {
    let listed = match std::fs::read_dir(folder) {
        Ok(listed) => listed.collect::<Result<Vec<_>, _>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let listed = listed.map_err(JailError::files("cannot read", folder))?;
    Ok(listed
        .into_iter()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn jail(tenant: &str, number: u16) -> Jail {
        Jail {
            tenant: tenant.parse().unwrap(),
            number: number.try_into().unwrap(),
            limits: TenantLimits::default(),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            name in "[b-z][a-z0-9]{5,14}",
            number in 1..=TenantNumber::MAX,
            memory_mib in 64_u32..=1_048_576,
            stage in prop_oneof![Just(Stage::Making), Just(Stage::Ready), Just(Stage::Removing)],
        ) {
            let Ok(tenant) = name.parse::<TenantId>() else { return Ok(()) };
            let folder = tempfile::tempdir().unwrap();
            let records = Records::new(folder.path().join("jails"));
            let limits = TenantLimits { memory_mib, ..TenantLimits::default() };
            let jail = Jail { tenant, number: number.try_into().unwrap(), limits };
            records.put(&jail, stage).unwrap();
            prop_assert_eq!(records.get(&jail.tenant).unwrap(), Some((jail.clone(), stage)));
            records.remove(&jail).unwrap();
            prop_assert_eq!(records.get(&jail.tenant).unwrap(), None);
        }
    }

    /// As version 1 wrote it: whoever changes the format reads this one too.
    #[test]
    fn a_record_of_the_past_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().to_owned());
        let path = folder.path().join("main.json");
        let limits = r#"{"memory_mib":512,"tasks":64,"cpu_percent":50}"#;
        let text = format!(r#"{{"version":1,"stage":"making","number":7,"limits":{limits}}}"#);
        std::fs::write(&path, &text).unwrap();
        let (read, stage) = records.get(&"main".parse().unwrap()).unwrap().unwrap();
        assert_eq!((read.number.get(), read.limits.tasks), (7, 64));
        assert_eq!(stage, Stage::Making);
        for (from, to) in [
            (":1,", ":2,"),
            ("making", "made"),
            (":7", ":0"),
            ("{\"v", "{\"x\":1,\"v"),
        ] {
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            let error = records.get(&"main".parse().unwrap()).unwrap_err();
            assert!(matches!(error, JailError::Record { .. }), "{to}: {error}");
        }
    }

    #[test]
    fn a_number_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().join("jails"));
        let (one, two) = (jail("one", 5), jail("two", 5));
        records.put(&one, Stage::Making).unwrap();
        records.claim(&one).unwrap();
        records.claim(&one).unwrap();
        records.put(&two, Stage::Making).unwrap();
        let error = records.claim(&two).unwrap_err().to_string();
        assert_eq!(
            error,
            "number 5 is that of the jail `one`; `two` cannot have it too"
        );
        // What has no claim takes none away.
        records.remove(&two).unwrap();
        assert!(records.tidy().unwrap().is_empty());
        // Its record is gone and its claim is not: killed in between, or moved away by hand.
        std::fs::remove_file(folder.path().join("jails/one.json")).unwrap();
        assert_eq!(records.tidy().unwrap(), ["the claim of `one` to number 5"]);
        records.put(&two, Stage::Making).unwrap();
        records.claim(&two).unwrap();
    }
}
