//! Where jails and what is known of them lie.

use std::ffi::OsString;
use std::path::PathBuf;

use colibri_protocol::TenantId;
use colibri_protocol::place::{JAILS, JAILS_VARIABLE};

/// The folders that jails are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Every jail has a folder of its name in it. Root's alone.
    pub base: PathBuf,
    /// The run directory of `colibri-hostd`: the doors of the tenant `main` are in `tenants/main` below it.
    pub run: PathBuf,
    /// The state directory of `colibri-hostd`, root's alone: `jails/` in it are the records, `archives/` the archives.
    pub state: PathBuf,
    /// `/`, but in tests: where the host's `etc`, `usr`, `proc` and `sys` are.
    pub host: PathBuf,
}

impl Places {
    /// Those of this system. `COLIBRI_JAIL_ROOT_BASE` names another base, if it is an absolute path.
    pub fn of_this_system() -> Self {
        Self::with_base(std::env::var_os(JAILS_VARIABLE))
    }

    fn with_base(variable: Option<OsString>) -> Self {
        let (run, state) = if cfg!(target_os = "freebsd") {
            ("/var/run/colibri-hostd", "/var/db/colibri-hostd")
        } else {
            ("/run/colibri-hostd", "/var/lib/colibri-hostd")
        };
        Self {
            base: variable
                .map(PathBuf::from)
                .filter(|base| base.is_absolute())
                .unwrap_or_else(|| JAILS.into()),
            run: run.into(),
            state: state.into(),
            host: "/".into(),
        }
    }

    /// All of them in one folder, for a test that has its own.
    #[cfg(test)]
    pub(crate) fn within(folder: &std::path::Path) -> Self {
        Self {
            base: folder.into(),
            run: folder.into(),
            state: folder.into(),
            host: folder.into(),
        }
    }

    /// The folder of a tenant's doors, which its jail sees as `/run/colibri` (FreeBSD: `/var/run/colibri`).
    pub fn doors(&self, tenant: &TenantId) -> PathBuf {
        self.run.join("tenants").join(tenant.as_str())
    }

    /// The folder of records.
    pub(crate) fn records(&self) -> PathBuf {
        self.state.join("jails")
    }

    /// The folder of archives.
    pub(crate) fn archives(&self) -> PathBuf {
        self.state.join("archives")
    }

    /// Where jails lie while they are removed: below the base, because a rename stays in its file system. The
    /// hyphen and the dot keep it from being a tenant's name.
    pub(crate) fn trash(&self, tenant: &TenantId) -> PathBuf {
        self.base.join(format!(".removing-{tenant}"))
    }

    /// Something of the host, `etc/resolv.conf` say.
    pub(crate) fn host(&self, path: &str) -> PathBuf {
        self.host.join(path.trim_start_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_can_be_another() {
        let usual = Places::with_base(None);
        assert!(usual.base.is_absolute() && usual.host == std::path::Path::new("/"));
        let other = Places::with_base(Some("/srv/jails".into()));
        assert_eq!(other.base, PathBuf::from("/srv/jails"));
        assert_eq!(
            (other.run, other.state),
            (usual.run.clone(), usual.state.clone())
        );
        for bad in ["", "jails"] {
            assert_eq!(Places::with_base(Some(bad.into())).base, usual.base);
        }
        let main: TenantId = "main".parse().unwrap();
        assert_eq!(usual.doors(&main), usual.run.join("tenants/main"));
    }
}
