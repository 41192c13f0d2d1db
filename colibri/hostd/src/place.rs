//! The socket's place in the file system: claimed, opened, removed.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use colibri_service::{accounts, lock};

use crate::failure::Failure;

/// Mode of the socket: root and the group may connect, and of the group only one account is served.
const SOCKET_MODE: u32 = 0o660;

/// Mode of the folders round it: the group may go through.
const FOLDER_MODE: u32 = 0o750;

/// The path is ours: nobody listens there, and nobody else can claim it.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    group: Option<u32>,
    _lock: File,
}

impl Place {
    /// Claims the path. A socket on which somebody listens is left alone and refused; one that a dead helper
    /// left is removed; anything that is no socket is not touched.
    ///
    /// # Errors
    /// [`Failure::Alive`], [`Failure::NotASocket`], [`Failure::NotOurs`], or the system's refusal.
    pub(crate) fn claim(path: &Path, group: &str) -> Result<Self, Failure> {
        let group = group_id(group);
        if let Some(parent) = path.parent() {
            make_folder(parent, group)?;
        }
        probe(path)?;
        // Two that start at once both find nobody; the lock decides.
        let lock = lock::take(path)?;
        if probe(path)? {
            tracing::info!(socket = %path.display(), "removing the socket of a dead helper");
            fs_err::remove_file(path).map_err(|error| Failure::io("remove", path, error))?;
        }
        Ok(Self {
            path: path.to_owned(),
            group,
            _lock: lock,
        })
    }

    /// The number of the group, if there is one.
    pub(crate) fn group(&self) -> Option<u32> {
        self.group
    }

    /// Opens the socket for root and the group.
    ///
    /// # Errors
    /// What the system refused.
    pub(crate) fn listen(&self) -> Result<UnixListener, Failure> {
        let failed = |what| move |error| Failure::io(what, &self.path, error);
        // Made with mode 0700 by our umask; opened to the group only after the group is right.
        let listener = UnixListener::bind(&self.path).map_err(failed("listen on"))?;
        if self.group.is_some() {
            chown(&self.path, None, self.group).map_err(failed("set the group of"))?;
            fs_err::set_permissions(&self.path, PermissionsExt::from_mode(SOCKET_MODE))
                .map_err(failed("set the mode of"))?;
        }
        Ok(listener)
    }

    /// Removes the socket, so that the next client is told at once that nobody is there.
    pub(crate) fn remove(self) {
        match fs_err::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("the socket stays behind: {error}");
            }
            _ => {}
        }
    }
}

/// The number of a group; a host without it has only root to serve.
fn group_id(name: &str) -> Option<u32> {
    let id = accounts::gid_of(name).ok().flatten();
    if id.is_none() {
        tracing::warn!("there is no group `{name}`: only root can ask");
    }
    id
}

/// Makes a folder that the group may go through, or sees to it that one which is there is like that. One that
/// others could write into is refused: they could put something else in our place.
///
/// # Errors
/// [`Failure::NotOurs`], or the system's refusal.
pub(crate) fn make_folder(path: &Path, group: Option<u32>) -> Result<(), Failure> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Failure::io("make the folder", path, error)),
    }
    let meta =
        fs_err::symlink_metadata(path).map_err(|error| Failure::io("look at", path, error))?;
    let not_ours = |why: String| Failure::NotOurs {
        path: path.to_owned(),
        why,
    };
    if !meta.is_dir() {
        return Err(not_ours("it is not a folder".to_owned()));
    }
    if meta.uid() != nix::unistd::geteuid().as_raw() {
        return Err(not_ours(format!("it belongs to uid {}", meta.uid())));
    }
    if let Some(group) = group.filter(|group| *group != meta.gid()) {
        chown(path, None, Some(group))
            .map_err(|error| Failure::io("set the group of", path, error))?;
    }
    if meta.mode() & 0o7777 != FOLDER_MODE {
        fs_err::set_permissions(path, PermissionsExt::from_mode(FOLDER_MODE))
            .map_err(|error| Failure::io("set the mode of", path, error))?;
    }
    Ok(())
}

/// Whether a dead helper's socket lies there.
fn probe(path: &Path) -> Result<bool, Failure> {
    match fs_err::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Failure::io("look at", path, error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(Failure::NotASocket { path: path.into() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(Failure::Alive {
            path: path.into(),
            seen: "something listens there".to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::Alive {
            path: path.into(),
            seen: format!("something listens there and is not to be talked to: {error}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(dir: &tempfile::TempDir) -> Result<Place, Failure> {
        Place::claim(&dir.path().join("run/hostd.sock"), "no-such-group")
    }

    #[test]
    fn a_live_one_is_left_alone_and_a_dead_one_is_cleared_away() {
        // As the program does first of all.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/hostd.sock");
        let place = claim(&dir).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(path.parent().unwrap()), 0o750);
        // Claimed and not open yet: another one that starts now finds nobody, and must not win.
        let error = claim(&dir).unwrap_err();
        assert_eq!(error.exit_code(), 3, "{error}");
        assert!(error.to_string().contains("hostd.sock.lock"), "{error}");

        let listener = place.listen().unwrap();
        assert_eq!(mode(&path) & 0o007, 0);
        let error = claim(&dir).unwrap_err();
        assert!(error.to_string().contains("something listens"), "{error}");
        drop((listener, place));
        assert!(path.exists(), "as a killed one leaves it");
        let place = claim(&dir).unwrap();
        let _listener = place.listen().unwrap();
        place.remove();
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_and_folders_of_others_are_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        std::fs::create_dir(&run).unwrap();
        std::fs::write(run.join("hostd.sock"), "mine").unwrap();
        assert_eq!(claim(&dir).unwrap_err().exit_code(), 4);
        assert!(run.join("hostd.sock").is_file());

        std::fs::rename(&run, dir.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", &run).unwrap();
        let error = claim(&dir).unwrap_err();
        assert!(error.to_string().contains("not a folder"), "{error}");
        if nix::unistd::geteuid().is_root() {
            std::fs::remove_file(&run).unwrap();
            std::fs::create_dir(&run).unwrap();
            chown(&run, Some(820), None).unwrap();
            let error = claim(&dir).unwrap_err();
            assert!(error.to_string().contains("uid 820"), "{error}");
        }
    }
}
