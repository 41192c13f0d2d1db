//! Removal of a tree that somebody hostile has made.
//!
//! It may be deeper than any path is long and any stack is high, full of links to elsewhere, and have things mounted
//! in it. So no path is ever built: every folder that is met is moved up next to the others, and what stays below is
//! removed by its name in a folder that is held open. No link is followed, no other file system is entered, and
//! after a power cut it goes on with whatever is left.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode};
use rustix::io::Errno;

use crate::files::{FOLDER, make_private, sync_folder};
use crate::{JailError, crash};

/// Removes `name` in `base` by way of `trash`, a folder in the same file system that is no longer there afterwards.
/// What is left in `trash` from a removal that was cut is removed too.
pub(crate) fn remove(base: &Path, name: &str, trash: &Path) -> Result<(), JailError> {
    make_private(trash)?;
    let base_folder = rustix::fs::open(base, FOLDER, Mode::empty()).map_err(failed(base))?;
    let mut heap = Heap::open(trash)?;
    crash::point()?;
    let name = CString::new(name).map_err(|_| failed(base)(Errno::INVAL))?;
    heap.discard(base_folder.as_fd(), &name)?;
    sync_folder(base)?;
    heap.clear(base)
}

/// Removes `trash`, a folder in `base`, with what a removal that was cut has left in it.
pub(crate) fn finish(base: &Path, trash: &Path) -> Result<(), JailError> {
    Heap::open(trash)?.clear(base)
}

fn failed(path: &Path) -> impl Fn(Errno) -> JailError + Copy {
    move |error| JailError::files("cannot remove", path)(error)
}

/// The folder in which every other one waits for its end.
struct Heap<'a> {
    folder: OwnedFd,
    path: &'a Path,
    device: u64,
    next: u64,
}

impl<'a> Heap<'a> {
    fn open(path: &'a Path) -> Result<Self, JailError> {
        let folder = rustix::fs::open(path, FOLDER, Mode::empty()).map_err(failed(path))?;
        Ok(Self {
            device: rustix::fs::fstat(&folder).map_err(failed(path))?.st_dev,
            folder,
            path,
            next: 0,
        })
    }

    /// Removes everything in it, and then itself.
    fn clear(mut self, base: &Path) -> Result<(), JailError> {
        let failed = failed(self.path);
        while let Some(name) = first_entry(&self.folder).map_err(failed)? {
            crash::point()?;
            self.flatten(&name)?;
        }
        rustix::fs::rmdir(self.path).map_err(failed)?;
        sync_folder(base)
    }

    /// Empties a folder of the heap and removes it.
    fn flatten(&mut self, name: &CStr) -> Result<(), JailError> {
        let failed = failed(self.path);
        let folder = match rustix::fs::openat(&self.folder, name, FOLDER, Mode::empty()) {
            Ok(folder) => folder,
            // Nothing but folders is put here; but should something else be here, it goes as well.
            Err(Errno::NOTDIR | Errno::LOOP | Errno::MLINK) => {
                return rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()).map_err(failed);
            }
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        if rustix::fs::fstat(&folder).map_err(failed)?.st_dev != self.device {
            return Err(self.mounted());
        }
        loop {
            let mut found = false;
            for entry in Dir::read_from(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                    found = true;
                    self.discard(folder.as_fd(), entry.file_name())?;
                }
            }
            if !found {
                break;
            }
        }
        match rustix::fs::unlinkat(&self.folder, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(Errno::PERM) => {
                unlock(&folder);
                rustix::fs::unlinkat(&self.folder, name, AtFlags::REMOVEDIR).map_err(failed)
            }
            Err(Errno::BUSY) => Err(self.mounted()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Removes something in a folder, or moves it onto the heap when it is a folder itself.
    fn discard(&mut self, from: impl AsFd, name: &CStr) -> Result<(), JailError> {
        let mut unlocked = false;
        loop {
            match self.try_discard(from.as_fd(), name) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                // It became a folder after it was looked at.
                Err(Errno::ISDIR) => {}
                // Immutable, or in a folder that is; a jail cannot make it so, but an operator can.
                Err(Errno::PERM | Errno::ACCESS) if !unlocked => {
                    unlocked = true;
                    unlock(from.as_fd());
                    let flags = FOLDER.difference(rustix::fs::OFlags::DIRECTORY)
                        | rustix::fs::OFlags::NONBLOCK;
                    let regular = kind(from.as_fd(), name).is_ok_and(|kind| {
                        matches!(kind, FileType::RegularFile | FileType::Directory)
                    });
                    if regular
                        && let Ok(it) = rustix::fs::openat(from.as_fd(), name, flags, Mode::empty())
                    {
                        unlock(it);
                    }
                }
                Err(Errno::BUSY | Errno::XDEV) => return Err(self.mounted()),
                Err(error) => return Err(failed(self.path)(error)),
            }
        }
    }

    fn try_discard(&mut self, from: impl AsFd, name: &CStr) -> Result<(), Errno> {
        // Looking and doing are two things, but what is done holds whatever it became in between: unlink
        // removes no folder, and a rename moves a link, not what it leads to.
        if kind(from.as_fd(), name)? != FileType::Directory {
            return rustix::fs::unlinkat(from, name, AtFlags::empty());
        }
        loop {
            let place = self.next.to_string();
            self.next += 1;
            match rustix::fs::renameat(from.as_fd(), name, &self.folder, place.as_str()) {
                // Left there by a removal that was cut.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                renamed => return renamed,
            }
        }
    }

    fn mounted(&self) -> JailError {
        JailError::Mounted {
            path: self.path.to_owned(),
        }
    }
}

fn kind(folder: impl AsFd, name: &CStr) -> Result<FileType, Errno> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

fn first_entry(folder: &OwnedFd) -> Result<Option<CString>, Errno> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(Some(entry.file_name().to_owned()));
        }
    }
    Ok(None)
}

/// Takes away what keeps even root from removing it; where that fails, so does what comes after. (On FreeBSD
/// chflags(1) has done so before.)
fn unlock(file: impl AsFd) {
    let _ = rustix::fs::fchmod(file.as_fd(), Mode::RWXU);
    #[cfg(target_os = "linux")]
    if let Ok(flags) = rustix::fs::ioctl_getflags(file.as_fd()) {
        use rustix::fs::IFlags;
        let _ = rustix::fs::ioctl_setflags(file, flags - IFlags::IMMUTABLE - IFlags::APPEND);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::with_fuel;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A root, and beside it something that must stay.
    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            // In memory where there is such a place: some disks take a millisecond for a folder.
            let folder = tempfile::tempdir_in("/dev/shm")
                .or_else(|_| tempfile::tempdir())
                .unwrap();
            fs::create_dir_all(folder.path().join("outside/kept")).unwrap();
            fs::write(folder.path().join("outside/kept/file"), "kept").unwrap();
            fs::create_dir_all(folder.path().join("base/main/home/agent")).unwrap();
            Self { folder }
        }

        fn at(&self, path: &str) -> std::path::PathBuf {
            self.folder.path().join(path)
        }

        fn remove(&self) -> Result<(), JailError> {
            remove(&self.at("base"), "main", &self.at("base/.removing-main"))
        }

        fn assert_gone(&self) {
            assert_eq!(fs::read_dir(self.at("base")).unwrap().count(), 0);
            assert_eq!(
                fs::read_to_string(self.at("outside/kept/file")).unwrap(),
                "kept"
            );
        }
    }

    #[test]
    fn links_pipes_and_sockets_go_and_what_they_lead_to_stays() {
        let place = Place::new();
        let agent = place.at("base/main/home/agent");
        symlink(place.at("outside"), agent.join("out")).unwrap();
        symlink("/", agent.join("root")).unwrap();
        symlink("loop", agent.join("loop")).unwrap();
        fs::hard_link(place.at("outside/kept/file"), agent.join("hard")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, agent.join("pipe"), Mode::RWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(agent.join("socket")).unwrap();
        fs::create_dir_all(agent.join("-rf *\n/").join("a b")).unwrap();
        fs::create_dir(agent.join("0")).unwrap();
        place.remove().unwrap();
        place.assert_gone();
        // There is nothing more to do, and that is no error.
        place.remove().unwrap();
    }

    #[test]
    fn a_root_that_is_a_link_is_only_a_link() {
        let place = Place::new();
        fs::remove_dir_all(place.at("base/main")).unwrap();
        symlink(place.at("outside"), place.at("base/main")).unwrap();
        place.remove().unwrap();
        place.assert_gone();
    }

    /// Deeper than a path can be long, and than a stack is high with a frame a folder.
    #[test]
    fn depth_does_not_matter() {
        let place = Place::new();
        let mut folder = rustix::fs::open(place.at("base/main"), FOLDER, Mode::empty()).unwrap();
        for _ in 0..50_000 {
            rustix::fs::mkdirat(&folder, "d", Mode::RWXU).unwrap();
            folder = rustix::fs::openat(&folder, "d", FOLDER, Mode::empty()).unwrap();
        }
        place.remove().unwrap();
        place.assert_gone();
    }

    #[test]
    fn a_cut_anywhere_is_gone_on_from() {
        for points in 0.. {
            let place = Place::new();
            for path in ["var/a/b/c", "var/d", "etc", "home/agent/x/y"] {
                fs::create_dir_all(place.at("base/main").join(path)).unwrap();
                fs::write(place.at("base/main").join(path).join("f"), "x").unwrap();
            }
            let cut = with_fuel(points, || place.remove());
            let done = cut.is_ok();
            assert!(done || matches!(cut, Err(JailError::Cut)));
            place.remove().unwrap();
            place.assert_gone();
            if done {
                assert!(points > 8, "{points}");
                return;
            }
        }
    }

    /// Somebody swaps folders for links to elsewhere, and back, as fast as they can: by one call, which FreeBSD has not.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_swapped_for_a_link_is_not_followed() {
        use std::sync::atomic::{AtomicBool, Ordering};

        let place = Place::new();
        let hostile = place.at("base/main/home/agent");
        for n in 0..40 {
            fs::create_dir_all(hostile.join(format!("{n}/kept"))).unwrap();
            fs::write(hostile.join(format!("{n}/kept/file")), "x").unwrap();
        }
        let held = rustix::fs::open(&hostile, FOLDER, Mode::empty()).unwrap();
        let outside = place.at("outside");
        let (stop, swaps) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let _ = rustix::fs::symlinkat(&outside, &held, "link");
                while !stop.load(Ordering::Relaxed) {
                    for n in 0..40 {
                        let name = n.to_string();
                        let flags = rustix::fs::RenameFlags::EXCHANGE;
                        let swapped =
                            rustix::fs::renameat_with(&held, name.as_str(), &held, "link", flags);
                        swaps.fetch_or(swapped.is_ok(), Ordering::Relaxed);
                    }
                }
            });
            while !swaps.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            let removed = place.remove();
            stop.store(true, Ordering::Relaxed);
            removed.unwrap();
        });
        place.assert_gone();
    }
}
