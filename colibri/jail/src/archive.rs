//! A jail's own files, kept as an archive when the jail goes.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use tar::{Builder, EntryType, Header};

use crate::files::{FOLDER, gone, make_private, sync_folder};
use crate::{JailError, crash};

/// Folders in one another; what lies deeper is left out. Each is held open while what is in it is read.
const DEEPEST: usize = 128;

/// Above this many bytes a file that has holes is left out: a terabyte of nothing costs its maker nothing, and its reader hours.
const MOST_WITH_HOLES: u64 = 64 << 20;

/// What a secret in a jail is called; the vault has it, and an archive would keep it for good.
const SECRETS: &str = "home/agent/.env";

/// Puts everything below `root` into `archive`, `0600`. Says how much was left out: what is neither file, folder nor link,
/// too deep, mostly holes, or on another file system.
pub(crate) fn write(root: &Path, archive: &Path) -> Result<u64, JailError> {
    let folder = archive.parent().unwrap_or(Path::new("/"));
    make_private(folder)?;
    let new = archive.with_extension("new");
    let left_out = pack(root, &new).map_err(JailError::files("cannot write", &new))?;
    crash::point()?;
    std::fs::rename(&new, archive).map_err(JailError::files("cannot write", archive))?;
    sync_folder(folder)?;
    Ok(left_out)
}

fn pack(root: &Path, new: &Path) -> io::Result<u64> {
    gone(std::fs::remove_file(new))?;
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)?;
    let root = rustix::fs::open(root, FOLDER, Mode::empty())?;
    let mut packer = Packer {
        tar: Builder::new(GzEncoder::new(file, Compression::fast())),
        device: rustix::fs::fstat(&root)?.st_dev,
        path: PathBuf::new(),
        left_out: 0,
    };
    let packed = packer.folder(&root, 0);
    let file = packed.and_then(|()| packer.tar.into_inner()?.finish());
    if let Err(error) = file.and_then(|file| file.sync_all()) {
        // A full disk is not helped by what filled it.
        let _ = std::fs::remove_file(new);
        return Err(error);
    }
    Ok(packer.left_out)
}

struct Packer {
    tar: Builder<GzEncoder<File>>,
    device: u64,
    path: PathBuf,
    left_out: u64,
}

impl Packer {
    fn folder(&mut self, folder: &OwnedFd, depth: usize) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in Dir::read_from(folder)? {
            let name = entry?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name);
            }
        }
        // So that an archive depends on nothing but what is in it.
        names.sort();
        for name in names {
            let stat = match rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(rustix::io::Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            self.path.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
            let packed = self.entry(folder, &name, &stat, depth);
            self.path.pop();
            packed?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        folder: &OwnedFd,
        name: &std::ffi::CStr,
        stat: &Stat,
        depth: usize,
    ) -> io::Result<()> {
        let mut header = header(stat);
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            _ if stat.st_dev != self.device => self.left_out += 1,
            FileType::Directory if depth < DEEPEST => {
                header.set_entry_type(EntryType::Directory);
                self.tar
                    .append_data(&mut header, self.path.join(""), io::empty())?;
                let below = rustix::fs::openat(folder, name, FOLDER, Mode::empty())?;
                self.folder(&below, depth + 1)?;
            }
            FileType::RegularFile if self.path == Path::new(SECRETS) => {}
            FileType::RegularFile if !mostly_holes(stat) => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = rustix::fs::openat(folder.as_fd(), name, flags, Mode::empty())?;
                let size = size(stat);
                header.set_size(size);
                // Exactly so many bytes, whatever became of the file.
                let bytes = File::from(file).chain(io::repeat(0)).take(size);
                self.tar.append_data(&mut header, &self.path, bytes)?;
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(folder, name, Vec::new())?;
                header.set_entry_type(EntryType::Symlink);
                let target = Path::new(std::ffi::OsStr::from_bytes(target.as_bytes()));
                self.tar.append_link(&mut header, &self.path, target)?;
            }
            _ => self.left_out += 1,
        }
        Ok(())
    }
}

#[allow(clippy::useless_conversion, reason = "modes are shorter on FreeBSD")]
fn header(stat: &Stat) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(u32::from(stat.st_mode) & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    header
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn mostly_holes(stat: &Stat) -> bool {
    let on_disk = u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
    size(stat) > MOST_WITH_HOLES && on_disk < size(stat) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn it_holds_what_the_tenant_wrote_and_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("main");
        let agent = root.join("home/agent");
        fs::create_dir_all(&agent).unwrap();
        fs::write(agent.join(".env"), "KEY='canary-7731'\n").unwrap();
        fs::write(agent.join("notes"), "remember\n").unwrap();
        fs::create_dir_all(agent.join("sub")).unwrap();
        fs::write(agent.join("sub/.env"), "its own\n").unwrap();
        symlink("/etc/shadow", agent.join("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, agent.join("pipe"), Mode::RWXU).unwrap();
        File::create(agent.join("holes"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        let long = "x".repeat(200);
        let deep: PathBuf = (0..200).map(|_| "d").collect();
        fs::create_dir_all(agent.join(&deep)).unwrap();
        fs::write(agent.join(&long), "long").unwrap();

        let archive = folder.path().join("archives/main.tar.gz");
        // The pipe, the holes, and the folders below the deepest.
        assert_eq!(write(&root, &archive).unwrap(), 3);
        assert_eq!(
            archive.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::read_dir(folder.path().join("archives"))
                .unwrap()
                .count(),
            1
        );
        let mut found = BTreeMap::new();
        let file = flate2::read::GzDecoder::new(File::open(&archive).unwrap());
        for entry in tar::Archive::new(file).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            if let Some(target) = entry.link_name().unwrap() {
                text = target.display().to_string();
            }
            found.insert(entry.path().unwrap().into_owned(), text);
        }
        let text = |path: &str| found.get(Path::new(path)).map(String::as_str);
        assert_eq!(text("home/agent/notes"), Some("remember\n"));
        assert_eq!(text("home/agent/sub/.env"), Some("its own\n"));
        assert_eq!(text("home/agent/link"), Some("/etc/shadow"));
        assert_eq!(text(&format!("home/agent/{long}")), Some("long"));
        assert_eq!(text("home/agent/.env"), None);
        assert!(!format!("{found:?}").contains("canary-7731"));
    }

    #[test]
    fn a_failure_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("main.tar.gz");
        assert!(write(&folder.path().join("missing"), &archive).is_err());
        assert!(!archive.exists());
    }
}
