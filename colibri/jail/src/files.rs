//! Files on the host, written durably, and files in a jail's root, written without ever leaving it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::{JailError, crash};

/// A folder that is opened to reach what is in it, and is none if it is a link.
pub(crate) const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Most bytes of a file of the host that are copied into jails.
const MOST: u64 = 8 << 20;

/// Writes a file so that after a power cut it is the old one or the new one.
pub(crate) fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> Result<(), JailError> {
    let (folder, new) = beside(path)?;
    crash::point()?;
    let written = (|| {
        gone(std::fs::remove_file(&new))?;
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()
    })();
    written.map_err(JailError::files("cannot write", &new))?;
    crash::point()?;
    std::fs::rename(&new, path).map_err(JailError::files("cannot write", path))?;
    sync_folder(&folder)
}

/// Its folder, and what it is called until it is complete.
fn beside(path: &Path) -> Result<(PathBuf, PathBuf), JailError> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        let error = io::Error::from(io::ErrorKind::InvalidInput);
        return Err(JailError::files("cannot write", path)(error));
    };
    let new = folder.join(format!(".{}.new", name.to_string_lossy()));
    Ok((folder.to_owned(), new))
}

/// Makes renames and removals in it outlast a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), JailError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(JailError::files("cannot sync", folder))
}

/// Removes a file that may be gone already, durably.
pub(crate) fn remove_durably(path: &Path) -> Result<(), JailError> {
    crash::point()?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed.map_err(JailError::files("cannot remove", path))?,
    }
    sync_folder(path.parent().unwrap_or(Path::new("/")))
}

/// What is not there need not be removed.
pub(crate) fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A folder of the host with its parents, for root alone; one that is there stays as it is.
pub(crate) fn make_private(path: &Path) -> Result<(), JailError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(JailError::files("cannot make", path))
}

/// A small file of the host, if it is there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, JailError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(JailError::files("cannot read", path)(error)),
    }
}

/// Something that a jail's root is to have. Paths are relative to it, and no folder on the way may be a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) path: String,
    /// Permissions; of no meaning for a link.
    pub(crate) mode: u32,
    /// Whose it is, as the jail numbers it.
    pub(crate) owner: u32,
    pub(crate) what: What,
}

/// What a [`Piece`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Folder,
    File(Vec<u8>),
    Link(String),
}

impl Piece {
    pub(crate) fn folder(path: &str, mode: u32) -> Self {
        Self::new(path, mode, What::Folder)
    }

    pub(crate) fn file(path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(path, 0o644, What::File(bytes.into()))
    }

    pub(crate) fn link(path: &str, target: &str) -> Self {
        Self::new(path, 0o777, What::Link(target.into()))
    }

    fn new(path: &str, mode: u32, what: What) -> Self {
        Self {
            path: path.into(),
            mode,
            owner: 0,
            what,
        }
    }

    pub(crate) fn of(mut self, owner: u32) -> Self {
        self.owner = owner;
        self
    }

    pub(crate) fn with_mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }
}

/// A jail's root, held open.
#[derive(Debug)]
pub(crate) struct Root {
    folder: OwnedFd,
    path: PathBuf,
    /// The host's number of the jail's user 0; `None` leaves everything with whoever runs this, for tests without root.
    first_id: Option<u32>,
}

impl Root {
    pub(crate) fn open(path: &Path, first_id: Option<u32>) -> Result<Self, JailError> {
        let folder = rustix::fs::open(path, FOLDER, Mode::empty())
            .map_err(JailError::files("cannot open", path))?;
        Ok(Self {
            folder,
            path: path.to_owned(),
            first_id,
        })
    }

    /// Makes it so, if it is not.
    pub(crate) fn put(&self, piece: &Piece) -> Result<(), JailError> {
        crash::point()?;
        self.try_put(piece)
            .map_err(JailError::files("cannot make", self.path.join(&piece.path)))
    }

    fn try_put(&self, piece: &Piece) -> Result<(), Errno> {
        let (parents, name) = match piece.path.rsplit_once('/') {
            Some((parents, name)) => (parents, name),
            None => ("", piece.path.as_str()),
        };
        let mut folder = self
            .folder
            .try_clone()
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        for part in parents.split('/').filter(|part| !part.is_empty()) {
            folder = rustix::fs::openat(&folder, part, FOLDER, Mode::empty())?;
        }
        let new = format!(".{name}.new");
        match &piece.what {
            What::Folder => {
                match rustix::fs::mkdirat(&folder, name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
                let made = rustix::fs::openat(&folder, name, FOLDER, Mode::empty())?;
                self.hand_over(&made, piece)
            }
            What::File(bytes) => {
                if self.has(&folder, name, piece, bytes) {
                    return Ok(());
                }
                absent(rustix::fs::unlinkat(&folder, &new, AtFlags::empty()))?;
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let file = rustix::fs::openat(&folder, &new, flags, Mode::RUSR | Mode::WUSR)?;
                let mut file = File::from(file);
                file.write_all(bytes)
                    .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
                self.hand_over(&file, piece)?;
                rustix::fs::renameat(&folder, &new, &folder, name)
            }
            What::Link(target) => {
                let there = rustix::fs::readlinkat(&folder, name, Vec::new());
                if there.is_ok_and(|there| there.as_bytes() == target.as_bytes()) {
                    return Ok(());
                }
                absent(rustix::fs::unlinkat(&folder, &new, AtFlags::empty()))?;
                rustix::fs::symlinkat(target.as_str(), &folder, &new)?;
                if let Some((uid, gid)) = self.owner(piece) {
                    let flags = AtFlags::SYMLINK_NOFOLLOW;
                    rustix::fs::chownat(&folder, &new, Some(uid), Some(gid), flags)?;
                }
                rustix::fs::renameat(&folder, &new, &folder, name)
            }
        }
    }

    /// Whether this very file is there already.
    fn has(&self, folder: &OwnedFd, name: &str, piece: &Piece, bytes: &[u8]) -> bool {
        // A named pipe would keep us waiting for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(folder, name, flags, Mode::empty()) else {
            return false;
        };
        let Ok(stat) = rustix::fs::fstat(&file) else {
            return false;
        };
        let owned = self
            .owner(piece)
            .is_none_or(|(uid, gid)| (stat.st_uid, stat.st_gid) == (uid.as_raw(), gid.as_raw()));
        let mut there = Vec::with_capacity(bytes.len());
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && Mode::from_raw_mode(stat.st_mode) == Mode::from_raw_mode(raw(piece.mode))
            && owned
            && u64::try_from(stat.st_size).is_ok_and(|size| size == bytes.len() as u64)
            && File::from(file).read_to_end(&mut there).is_ok()
            && there == bytes
    }

    fn owner(&self, piece: &Piece) -> Option<(Uid, Gid)> {
        let id = self.first_id? + piece.owner;
        Some((Uid::from_raw(id), Gid::from_raw(id)))
    }

    /// Gives it its owner and then its permissions, if it has others.
    fn hand_over(&self, file: impl AsFd, piece: &Piece) -> Result<(), Errno> {
        let stat = rustix::fs::fstat(&file)?;
        if let Some((uid, gid)) = self.owner(piece)
            && (stat.st_uid, stat.st_gid) != (uid.as_raw(), gid.as_raw())
        {
            rustix::fs::fchown(&file, Some(uid), Some(gid))?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(raw(piece.mode)))
    }
}

#[cfg(target_os = "linux")]
fn raw(mode: u32) -> u32 {
    mode
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::cast_possible_truncation, reason = "modes have 12 bits")]
fn raw(mode: u32) -> u16 {
    mode as u16
}

fn absent(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn what_is_there_stays_and_what_is_not_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), None).unwrap();
        let pieces = [
            Piece::folder("etc", 0o755),
            Piece::file("etc/hosts", "127.0.0.1 localhost\n"),
            Piece::link("bin", "usr/bin"),
            Piece::folder("tmp", 0o1777),
        ];
        for _ in 0..2 {
            for piece in &pieces {
                root.put(piece).unwrap();
            }
        }
        let hosts = folder.path().join("etc/hosts");
        let inode =
            |path: &Path| std::os::unix::fs::MetadataExt::ino(&path.symlink_metadata().unwrap());
        let first = (inode(&hosts), inode(&folder.path().join("bin")));
        root.put(&pieces[1]).unwrap();
        root.put(&pieces[2]).unwrap();
        assert_eq!(first, (inode(&hosts), inode(&folder.path().join("bin"))));
        assert_eq!(
            folder
                .path()
                .join("tmp")
                .metadata()
                .unwrap()
                .permissions()
                .mode()
                & 0o7777,
            0o1777
        );
        root.put(&Piece::file("etc/hosts", "other\n")).unwrap();
        assert_eq!(std::fs::read_to_string(&hosts).unwrap(), "other\n");
    }

    #[test]
    fn a_link_is_never_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        let root = folder.path().join("root");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(outside.join("shadow"), "secret").unwrap();
        symlink(outside.join("shadow"), root.join("etc/hosts")).unwrap();
        symlink(&outside, root.join("var")).unwrap();
        symlink(&outside, root.join("home")).unwrap();
        let open = Root::open(&root, None).unwrap();
        open.put(&Piece::file("etc/hosts", "x")).unwrap();
        assert!(open.put(&Piece::file("var/x", "x")).is_err());
        assert!(open.put(&Piece::folder("home", 0o755)).is_err());
        assert_eq!(
            std::fs::read_to_string(outside.join("shadow")).unwrap(),
            "secret"
        );
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
        // A pipe in the place of a file neither blocks nor stays.
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("etc/pipe"), Mode::RWXU).unwrap();
        open.put(&Piece::file("etc/pipe", "x")).unwrap();
        assert_eq!(std::fs::read_to_string(root.join("etc/pipe")).unwrap(), "x");
        assert!(Root::open(&root.join("var"), None).is_err());
    }
}
