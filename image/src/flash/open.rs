//! A disk in our hands: nobody else may mount or use it until it is let go.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use super::disks::{Disk, Kind};
use super::write::Target;
use crate::{Error, Result, tool};

/// A disk, opened for writing.
#[derive(Debug)]
pub struct Open {
    file: File,
    kind: Kind,
    raw: bool,
}

impl Open {
    /// Opens `disk` for us alone.
    ///
    /// # Errors
    /// When the system refuses, or it is not the disk any more that `disk` describes.
    pub fn exclusive(disk: &Disk) -> Result<Self> {
        let path = device(disk);
        let shown = path.display();
        let linux_disk = cfg!(target_os = "linux") && disk.kind != Kind::File;
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true);
        if linux_disk {
            // Of a block device, the kernel then says whether a mount, a volume or a RAID uses it.
            options.custom_flags(OFlag::O_EXCL.bits());
        }
        let file = options.open(&path).map_err(|error| {
            let (why, remedy) = match error.raw_os_error().map(nix::errno::Errno::from_raw) {
                Some(nix::errno::Errno::EACCES | nix::errno::Errno::EPERM) => (
                    "you may not write it, or something on it is in use",
                    "only root may write to disks: run the same with `sudo`, by the program's path, as \
                     in `sudo target/debug/xtask flash IMAGE DEVICE`",
                ),
                Some(nix::errno::Errno::EBUSY) => (
                    "the system says that something uses it",
                    "close what does: a mount in a container, a virtual machine, a ZFS pool",
                ),
                Some(nix::errno::Errno::EROFS) => (
                    "it is write-protected",
                    "move the switch on its side, or take another",
                ),
                _ => ("it cannot be opened", "take it out, put it in again, and look for its name anew"),
            };
            Error::refused(format!("`{shown}` is not written: {why}"))
                .caused_by(error)
                .hint(remedy)
        })?;
        let meta = file.metadata()?;
        if linux_disk {
            // udev then leaves it alone: https://systemd.io/BLOCK_DEVICE_LOCKING
            file.try_lock().map_err(|error| {
                Error::refused(format!(
                    "`{shown}` is not written: another program is at it"
                ))
                .caused_by(error)
                .hint("wait until that is done")
            })?;
        }
        let raw = meta.file_type().is_char_device();
        // A character device does not tell where it ends.
        if !raw && { &file }.seek(SeekFrom::End(0))? != disk.bytes {
            return Err(Error::refused(format!(
                "`{shown}` is not written: it is not the disk any more that was looked at"
            ))
            .hint("leave it plugged in, and begin again"));
        }
        Ok(Self {
            file,
            kind: disk.kind,
            raw,
        })
    }

    /// Is it the file at `path`, under whatever name?
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn is_file(&self, path: &Path) -> Result<bool> {
        let (this, other) = (self.file.metadata()?, fs_err::metadata(path)?);
        Ok((this.dev(), this.ino()) == (other.dev(), other.ino()))
    }

    /// Can be written at any byte, as a change of one file needs? Where the system gives disks as
    /// character devices, they take whole sectors alone.
    pub fn takes_any_bytes(&self) -> bool {
        !self.raw
    }

    /// Another handle of it.
    ///
    /// # Errors
    /// When the system has no more handles.
    pub fn file(&self) -> Result<File> {
        Ok(self.file.try_clone()?)
    }

    /// Lets the disk go and has the system read its new partition table. Says whether it did: in a file
    /// there is none to read, and FreeBSD and macOS look by themselves.
    pub fn release(self, disk: &Disk) -> bool {
        drop(self.file);
        if !cfg!(target_os = "linux") || self.kind == Kind::File {
            return true;
        }
        let blockdev = tool::Tool {
            program: "blockdev",
            package: "util-linux",
            why: "has the kernel read the partition table again",
        };
        blockdev
            .command()
            .and_then(|mut command| tool::run(command.arg("--rereadpt").arg(&disk.path)))
            .is_ok()
    }
}

/// Where to write: on macOS to the raw device, which is many times faster and has no cache.
fn device(disk: &Disk) -> std::path::PathBuf {
    let name = disk.path.file_name().unwrap_or_default().to_string_lossy();
    if cfg!(target_os = "macos") && disk.kind != Kind::File {
        disk.path.with_file_name(format!("r{name}"))
    } else {
        disk.path.clone()
    }
}

impl Read for Open {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf)
    }
}

impl Write for Open {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Open {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Target for Open {
    fn settle(&mut self) -> io::Result<()> {
        if self.raw {
            // Written when `write` returns; not every system takes the request for such a device.
            let _ = self.file.sync_all();
            return Ok(());
        }
        self.file.sync_all()?;
        // Reading back from memory would prove nothing.
        #[cfg(any(target_os = "linux", target_os = "freebsd"))]
        nix::fcntl::posix_fadvise(
            &self.file,
            0,
            0,
            nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED,
        )?;
        Ok(())
    }
}
