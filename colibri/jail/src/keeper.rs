//! What both systems have in common: records, stages, and the order in which things are made and removed.

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use colibri_protocol::{TenantId, TenantNumber};

use crate::face::{Exec, Jail, JailState, Jails, Repaired, Running, Stage, Target, Value};
use crate::files::{Piece, Root, make_private, remove_durably, write_durably};
use crate::record::{Records, entries};
use crate::{JailError, Places, archive, crash, numbers, removal};

/// A system that has jails. Nothing here is asked for a jail without a record, and everything may be asked for again.
pub(crate) trait System: Send + Sync + fmt::Debug {
    /// A jail's root, within its folder `base/TENANT`.
    fn root(&self, tenant: &TenantId) -> PathBuf;
    /// The host's number of a jail's user 0, or `None` when files are to be of whoever runs this.
    fn first_id(&self, number: TenantNumber) -> Option<u32>;
    /// What a jail's root must have before it starts; the folders first.
    fn pieces(&self, jail: &Jail) -> Result<Vec<Piece>, JailError>;
    /// What must still be done to a root that has its pieces.
    fn finish_root(&self, jail: &Jail) -> Result<(), JailError>;
    /// Files outside the root that the system reads.
    fn settings(&self, jail: &Jail) -> Result<Vec<(PathBuf, String)>, JailError>;
    /// The jails that run.
    fn running(&self) -> Result<BTreeSet<String>, JailError>;
    /// Whether this one runs.
    fn runs(&self, tenant: &TenantId) -> Result<bool, JailError>;
    /// Starts it if it does not run, and sees to its network.
    fn start(&self, jail: &Jail) -> Result<(), JailError>;
    /// Gives one that runs its limits.
    fn limit(&self, jail: &Jail) -> Result<(), JailError>;
    /// Runs a program in one that runs.
    fn exec(&self, jail: &Jail, exec: &Exec, stdio: [OwnedFd; 3]) -> Result<Running, JailError>;
    /// Stops it and takes away all that the system holds for it, mounts above all.
    fn stop(&self, jail: &Jail) -> Result<(), JailError>;
    /// Takes away from files what keeps even root from removing them.
    fn unlock(&self, jail: &Jail) -> Result<(), JailError>;
    /// Forgets what outlives a stop.
    fn forget(&self, jail: &Jail) -> Result<(), JailError>;
    /// Takes away what belongs to none of these jails, and programs that run in them.
    fn strays(&self, jails: &[Jail]) -> Vec<Repaired>;
    /// Whether jails can be made here.
    fn can(&self) -> Result<(), String>;
    /// What tells more of a jail that does not start.
    fn look(&self, tenant: &TenantId) -> String;
}

/// Jails of one system.
#[derive(Debug)]
pub(crate) struct Keeper<S> {
    pub(crate) places: Places,
    pub(crate) system: S,
    records: Records,
}

impl<S: System> Keeper<S> {
    pub(crate) fn new(places: Places, system: S) -> Self {
        let records = Records::new(places.records());
        Self {
            places,
            system,
            records,
        }
    }

    fn known(&self, tenant: &TenantId) -> Result<(Jail, Stage), JailError> {
        self.records
            .get(tenant)?
            .ok_or_else(|| JailError::NotFound(tenant.clone()))
    }

    fn state(&self, jail: Jail, stage: Stage, running: bool) -> JailState {
        JailState {
            root: self.system.root(&jail.tenant),
            address: numbers::address(jail.number),
            tenant: jail.tenant,
            number: jail.number,
            limits: jail.limits,
            running,
            stage,
        }
    }

    /// Makes what a jail with a record of this stage lacks.
    fn complete(&self, jail: &Jail, stage: Stage) -> Result<(), JailError> {
        self.records.claim(jail)?;
        self.fill(jail)?;
        if stage == Stage::Ready {
            return Ok(());
        }
        self.records.put(jail, Stage::Ready)
    }

    /// Brings its root and its settings up to what this host now has: name servers, certificates.
    fn fill(&self, jail: &Jail) -> Result<(), JailError> {
        let root = self.system.root(&jail.tenant);
        make_private(&self.places.base)?;
        // What is above the root is root's alone: no account of the host's gets at files of its number in a jail.
        let mut folder = self.places.base.clone();
        for part in root.strip_prefix(&self.places.base).unwrap_or(&root) {
            folder.push(part);
            crash::point()?;
            match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(JailError::files("cannot make", folder)(error));
                }
                _ => {}
            }
        }
        let open = Root::open(&root, self.system.first_id(jail.number))?;
        for piece in self.system.pieces(jail)? {
            open.put(&piece)?;
        }
        self.system.finish_root(jail)?;
        for (path, text) in self.system.settings(jail)? {
            let there = crate::files::read(&path)?;
            if there.is_none_or(|there| there != text.as_bytes()) {
                if let Some(folder) = path.parent() {
                    make_private(folder)?;
                }
                write_durably(&path, text.as_bytes(), 0o600)?;
            }
        }
        Ok(())
    }

    /// Removes a jail whose record says that it is being removed.
    fn finish_removal(&self, jail: &Jail) -> Result<(), JailError> {
        self.system.stop(jail)?;
        crash::point()?;
        if self.places.base.is_dir() {
            self.system.unlock(jail)?;
            let trash = self.places.trash(&jail.tenant);
            removal::remove(&self.places.base, jail.tenant.as_str(), &trash)?;
        }
        for (path, _) in self.system.settings(jail)? {
            remove_durably(&path)?;
        }
        self.system.forget(jail)?;
        self.records.remove(jail)
    }

    fn try_start(&self, jail: &Jail) -> Result<(), JailError> {
        self.fill(jail)?;
        let doors = self.places.doors(&jail.tenant);
        std::fs::create_dir_all(&doors).map_err(JailError::files("cannot make", doors))?;
        crash::point()?;
        self.system.start(jail)?;
        crash::point()?;
        if self.system.runs(&jail.tenant)? {
            return Ok(());
        }
        Err(JailError::State {
            tenant: jail.tenant.clone(),
            what: "start".into(),
            look: self.system.look(&jail.tenant),
        })
    }

    fn repair_one(&self, jail: &Jail, stage: Stage) -> Result<Option<Repaired>, JailError> {
        match stage {
            Stage::Ready => Ok(None),
            Stage::Removing => {
                self.finish_removal(jail)?;
                Ok(Some(Repaired::Removed(jail.tenant.clone())))
            }
            Stage::Making => match self.complete(jail, stage) {
                // Of it nothing has been made yet.
                Err(JailError::NumberTaken { .. }) => {
                    self.records.remove(jail)?;
                    Ok(Some(Repaired::Removed(jail.tenant.clone())))
                }
                made => made.map(|()| Some(Repaired::Finished(jail.tenant.clone()))),
            },
        }
    }
}

impl<S: System> Jails for Keeper<S> {
    fn create(&self, jail: &Jail) -> Result<JailState, JailError> {
        jail.limits.check().map_err(JailError::Invalid)?;
        check_place(&self.places.base)?;
        match self.records.get(&jail.tenant)? {
            Some((_, Stage::Removing)) => return Err(JailError::Removing(jail.tenant.clone())),
            Some((there, _)) if there.number != jail.number => {
                return Err(JailError::OtherNumber {
                    tenant: jail.tenant.clone(),
                    has: there.number,
                    wanted: jail.number,
                });
            }
            Some((there, stage)) => {
                if there != *jail {
                    // New limits do not make a jail that is there half made.
                    self.records.put(jail, stage)?;
                }
                self.complete(jail, stage)?;
            }
            None => {
                self.records.put(jail, Stage::Making)?;
                if let Err(error) = self.complete(jail, Stage::Making) {
                    if matches!(error, JailError::NumberTaken { .. }) {
                        self.records.remove(jail)?;
                    }
                    return Err(error);
                }
            }
        }
        let running = self.system.runs(&jail.tenant)?;
        if running {
            self.system.limit(jail)?;
        }
        Ok(self.state(jail.clone(), Stage::Ready, running))
    }

    fn start(&self, tenant: &TenantId) -> Result<JailState, JailError> {
        let (jail, stage) = self.known(tenant)?;
        match stage {
            Stage::Removing => return Err(JailError::Removing(tenant.clone())),
            Stage::Making => self.complete(&jail, stage)?,
            Stage::Ready => {}
        }
        if let Err(error) = self.try_start(&jail) {
            if let Err(also) = self.system.stop(&jail) {
                tracing::warn!(%tenant, error = %also, "a jail that did not start does not stop either");
            }
            return Err(error);
        }
        Ok(self.state(jail, Stage::Ready, true))
    }

    fn exec(
        &self,
        tenant: &TenantId,
        exec: &Exec,
        stdio: [OwnedFd; 3],
    ) -> Result<Running, JailError> {
        check_exec(exec)?;
        let (jail, stage) = self.known(tenant)?;
        if stage != Stage::Ready {
            return Err(JailError::NotRunning(tenant.clone()));
        }
        self.system.exec(&jail, exec, stdio)
    }

    fn stop(&self, tenant: &TenantId) -> Result<JailState, JailError> {
        let (jail, stage) = self.known(tenant)?;
        self.system.stop(&jail)?;
        Ok(self.state(jail, stage, false))
    }

    fn destroy(&self, tenant: &TenantId) -> Result<(), JailError> {
        let Some((jail, _)) = self.records.get(tenant)? else {
            return Ok(());
        };
        self.records.put(&jail, Stage::Removing)?;
        self.finish_removal(&jail)
    }

    fn archive(&self, tenant: &TenantId) -> Result<PathBuf, JailError> {
        let (jail, stage) = self.known(tenant)?;
        if stage == Stage::Removing {
            return Err(JailError::Removing(tenant.clone()));
        }
        self.system.stop(&jail)?;
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let path = self
            .places
            .archives()
            .join(format!("{tenant}-{now}.tar.gz"));
        let left_out = archive::write(&self.system.root(tenant), &path)?;
        if left_out > 0 {
            tracing::warn!(%tenant, left_out, "some of a jail's files are not in its archive");
        }
        self.destroy(tenant)?;
        Ok(path)
    }

    fn list(&self) -> Result<Vec<JailState>, JailError> {
        let running = self.system.running()?;
        let mut states = Vec::new();
        for record in self.records.all()? {
            let (jail, stage) = record?;
            let running = running.contains(jail.tenant.as_str());
            states.push(self.state(jail, stage, running));
        }
        Ok(states)
    }

    fn repair(&self) -> Result<Vec<Repaired>, JailError> {
        let mut repaired = Vec::new();
        for record in self.records.all()? {
            let (jail, stage) = match record {
                Ok(record) => record,
                Err(error) => {
                    repaired.push(Repaired::Failed(error.to_string()));
                    continue;
                }
            };
            match self.repair_one(&jail, stage) {
                Ok(what) => repaired.extend(what),
                #[cfg(test)]
                Err(JailError::Cut) => return Err(JailError::Cut),
                Err(error) => repaired.push(Repaired::Failed(format!("{}: {error}", jail.tenant))),
            }
        }
        let tidied = self.records.tidy()?;
        repaired.extend(tidied.into_iter().map(Repaired::Stray));
        // A record that cannot be read keeps what is its: only what is known to be nobody's is taken away.
        let mut jails = Vec::new();
        for record in self.records.all()? {
            match record {
                Ok((jail, _)) => jails.push(jail),
                Err(_) => return Ok(repaired),
            }
        }
        for name in entries(&self.places.base)? {
            let tenant = name.strip_prefix(".removing-").map(str::parse::<TenantId>);
            if let Some(Ok(tenant)) = tenant
                && !jails.iter().any(|jail| jail.tenant == tenant)
            {
                let trash = self.places.trash(&tenant);
                match removal::finish(&self.places.base, &trash) {
                    Ok(()) => repaired.push(Repaired::Stray(trash.display().to_string())),
                    Err(error) => repaired.push(Repaired::Failed(error.to_string())),
                }
            }
        }
        repaired.extend(self.system.strays(&jails));
        Ok(repaired)
    }

    fn target(&self, tenant: &TenantId) -> Result<Target, JailError> {
        let (jail, stage) = self.known(tenant)?;
        if stage != Stage::Ready {
            return Err(JailError::NotFound(tenant.clone()));
        }
        let (uid, gid) = match self.system.first_id(jail.number) {
            Some(first) => (first + numbers::AGENT, first + numbers::AGENT),
            None => (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            ),
        };
        Ok(Target {
            root: self.system.root(tenant),
            uid,
            gid,
        })
    }

    fn can(&self) -> Result<(), String> {
        check_place(&self.places.base).map_err(|error| error.to_string())?;
        self.system.can()
    }
}

/// The base goes into files that others read, where a space or a quote would mean something.
fn check_place(base: &Path) -> Result<(), JailError> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    if base.is_absolute() && base.as_os_str().as_bytes().iter().all(plain) {
        return Ok(());
    }
    Err(JailError::Invalid(format!(
        "{base:?} cannot be the base of jails: it must be an absolute path of letters, digits, `.`, `_` and `-`; see {}",
        colibri_protocol::place::JAILS_VARIABLE
    )))
}

/// What no process can be started with.
fn check_exec(exec: &Exec) -> Result<(), JailError> {
    use secrecy::ExposeSecret as _;
    let invalid = |text: &str| Err(JailError::Invalid(text.to_owned()));
    let nul = |bytes: &[u8]| bytes.contains(&0);
    if !exec.program.is_absolute() || !exec.cwd.is_absolute() {
        return invalid("a program and its folder must be absolute paths");
    }
    if nul(exec.program.as_os_str().as_bytes())
        || nul(exec.cwd.as_os_str().as_bytes())
        || exec.args.iter().any(|arg| nul(arg.as_bytes()))
    {
        return invalid("there is a NUL byte in a path or an argument");
    }
    for (name, value) in &exec.env {
        let value = match value {
            Value::Plain(value) => value.as_bytes(),
            Value::Secret(value) => value.expose_secret().as_bytes(),
        };
        if name.is_empty() || name.as_bytes().contains(&b'=') || nul(name.as_bytes()) || nul(value)
        {
            let name = name.to_string_lossy();
            return invalid(&format!(
                "`{name}` or its value is none that an environment can hold"
            ));
        }
    }
    Ok(())
}
