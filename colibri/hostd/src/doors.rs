//! The folders in which the daemon puts the sockets of agents, one for each tenant. Its jail sees that one
//! folder and no other.
//!
//! The folder round them is root's, not the daemon's: whoever could put a link into it would choose what of
//! the host a jail sees.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;

use colibri_host::{ErrorKind, HostError};
use colibri_jail::Places;
use colibri_protocol::TenantId;
use colibri_service::accounts;

use crate::failure::Failure;
use crate::place;

/// In the jail nobody has the daemon's number, so all of it may look.
const DOOR_MODE: u32 = 0o755;

/// All of them.
#[derive(Debug)]
pub(crate) struct Doors {
    places: Places,
    account: String,
}

impl Doors {
    /// Makes the folder round them, if it is missing. The group is that of the socket.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn open(
        places: &Places,
        account: &str,
        group: Option<u32>,
    ) -> Result<Self, Failure> {
        place::make_folder(&places.run, group)?;
        place::make_folder(&places.run.join("tenants"), group)?;
        Ok(Self {
            places: places.clone(),
            account: account.to_owned(),
        })
    }

    /// Makes the tenant's folder and gives it to the daemon's account. One that is there keeps what is in it.
    ///
    /// # Errors
    /// What the system refused.
    pub(crate) fn make(&self, tenant: &TenantId) -> Result<(), HostError> {
        let path = self.places.doors(tenant);
        self.make_at(&path)
            .map_err(|error| refused("make", &path, &error))
    }

    fn make_at(&self, path: &Path) -> io::Result<()> {
        match std::fs::DirBuilder::new().mode(DOOR_MODE).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // Only root can have put something else there.
        let meta = path.symlink_metadata()?;
        if !meta.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if meta.mode() & 0o7777 != DOOR_MODE {
            std::fs::set_permissions(path, PermissionsExt::from_mode(DOOR_MODE))?;
        }
        match accounts::uid_of(&self.account)? {
            Some(uid) if uid != meta.uid() => chown(path, Some(uid), None),
            Some(_) => Ok(()),
            None => {
                tracing::warn!(
                    "there is no account `{}`: no agent gets a socket",
                    self.account
                );
                Ok(())
            }
        }
    }

    /// Removes the tenant's folder with everything that the daemon has put there.
    ///
    /// # Errors
    /// What the system refused.
    pub(crate) fn remove(&self, tenant: &TenantId) -> Result<(), HostError> {
        let path = self.places.doors(tenant);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(refused("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }
}

fn refused(what: &str, path: &Path, error: &io::Error) -> HostError {
    HostError::new(
        ErrorKind::System,
        format!("cannot {what} {}: {error}", path.display()),
    )
}
