//! The socket's place in the file system: claimed, opened, removed.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use colibri_protocol::client::{Client, ClientError};
use colibri_service::{accounts, lock};
use tokio::net::UnixListener;

use crate::failure::Failure;

/// Mode of the socket: its account and its group may connect.
pub(crate) const SOCKET_MODE: u32 = 0o660;

/// How long a daemon found on the socket may take to say who it is.
const PROBE: Duration = Duration::from_secs(2);

/// The path is ours: nobody listens there, and nobody else can claim it.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    _lock: File,
}

/// Tells one file from another that took its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
        }
    }
}

impl Place {
    /// Claims the path. A socket on which somebody listens is left alone and
    /// refused; one that a dead daemon left is removed; anything that is no
    /// socket is not touched.
    ///
    /// # Errors
    /// [`Failure::Alive`], [`Failure::NotASocket`], or the system's refusal.
    pub(crate) async fn claim(path: &Path) -> Result<Self, Failure> {
        if let Some(parent) = path.parent() {
            make_directory(parent)?;
        }
        probe(path).await?;
        // Two daemons that start at once both find nobody; the lock decides.
        let lock = lock::take(path)?;
        let leftover = probe(path).await?;
        if leftover {
            tracing::info!(socket = %path.display(), "removing the socket of a dead daemon");
            fs_err::remove_file(path).map_err(|e| Failure::io("remove", path, e))?;
        }
        Ok(Self {
            path: path.into(),
            _lock: lock,
        })
    }

    /// Opens the socket for the account and its group.
    ///
    /// # Errors
    /// What the system refused.
    pub(crate) fn listen(&self, group: &str) -> Result<UnixListener, Failure> {
        let failed = |what| move |error| Failure::io(what, &self.path, error);
        // Made with mode 0700 by our umask; opened to the group only after
        // the group is right.
        let listener = UnixListener::bind(&self.path).map_err(failed("listen on"))?;
        self.give_to(group);
        fs_err::set_permissions(&self.path, PermissionsExt::from_mode(SOCKET_MODE))
            .map_err(failed("set the mode of"))?;
        Ok(listener)
    }

    /// Which file our socket is.
    pub(crate) fn identity(&self) -> Option<Identity> {
        fs_err::symlink_metadata(&self.path)
            .ok()
            .as_ref()
            .map(Identity::of)
    }

    /// Removes the socket, so that the next client is told at once that
    /// nobody is there.
    pub(crate) fn remove(self) {
        note_leftover("the socket", fs_err::remove_file(&self.path));
    }

    /// Under systemd and rc.d the socket has the right group from the start.
    /// A daemon started by hand may lack the group, which hurts nobody but
    /// its members.
    fn give_to(&self, group: &str) {
        let outcome = match accounts::gid_of(group).ok().flatten() {
            Some(id) => chown(&self.path, None, Some(id)).map_err(|error| error.to_string()),
            None => Err("there is no such group".to_owned()),
        };
        if let Err(reason) = outcome {
            tracing::warn!(
                "members of the group `{group}` cannot use the socket ({reason}); root and this \
                 account can"
            );
        }
    }
}

/// Says what could not be removed; what is gone already need not be.
pub(crate) fn note_leftover(what: &str, removed: io::Result<()>) {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("{what} stays behind: {error}");
        }
        _ => {}
    }
}

/// Makes the directory for this account and its group, if it is missing.
pub(crate) fn make_directory(path: &Path) -> Result<(), Failure> {
    match std::fs::DirBuilder::new().mode(0o750).create(path) {
        Ok(()) => fs_err::set_permissions(path, PermissionsExt::from_mode(0o750))
            .map_err(|error| Failure::io("set the mode of", path, error)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Failure::io("make the directory", path, error)),
    }
}

/// Whether a dead daemon's socket lies there.
async fn probe(path: &Path) -> Result<bool, Failure> {
    match fs_err::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Failure::io("look at", path, error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(Failure::NotASocket { path: path.into() });
        }
        Ok(_) => {}
    }
    let client = Client::new(path).with_timeout(PROBE);
    let answer = tokio::task::spawn_blocking(move || client.status()).await;
    let seen = match answer {
        Ok(Err(ClientError::Dead { .. })) => return Ok(true),
        Ok(Err(ClientError::Missing { .. })) => return Ok(false),
        Ok(Ok(status)) => {
            format!(
                "colibri-daemon {} with pid {} answers there",
                status.version, status.pid
            )
        }
        Ok(Err(error)) => format!("something listens there and is not to be talked to: {error}"),
        Err(error) => format!("looking at it failed: {error}"),
    };
    Err(Failure::Alive {
        path: path.into(),
        seen,
    })
}
