//! The disks of this machine, and what speaks against writing to each.
//!
//! Each system tells it in its own way, so each has a module that turns what the system says into
//! [`Disk`]s; the rules are here and the same for all.

mod freebsd;
mod linux;
mod macos;

use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{Error, ErrorKind, Result, ResultExt};

/// More than this is hardly a stick. A stick that is sold as 256 GB is below, whatever its maker means by
/// GB; the next size is above.
pub const LARGE: u64 = 256 << 30;
/// Bytes of a sector for which images are made.
const SECTOR: u64 = crate::disk::SECTOR;
/// Where only a running system mounts something.
const SYSTEM: [&str; 6] = ["/", "/usr", "/var", "/boot", "/boot/efi", "/efi"];

/// A disk, or a file that stands in for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Its device.
    pub path: PathBuf,
    /// Bytes; none in a reader without a card.
    pub bytes: u64,
    /// What its maker calls it.
    pub model: String,
    /// What kind of thing it is.
    pub kind: Kind,
    /// Is it write-protected?
    pub read_only: bool,
    /// Bytes of a sector.
    pub sector: u64,
    /// What is on it.
    pub partitions: Vec<Partition>,
    /// What uses it now.
    pub uses: Vec<Use>,
}

/// What kind of thing a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// On USB, or a card: what one flashes.
    Portable,
    /// Built in.
    Fixed,
    /// Made by the system: of a file, of memory, of other disks.
    Virtual,
    /// A regular file.
    File,
}

/// A partition that is on a disk now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Its name below `/dev`.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Name in the partition table, or label of the file system.
    pub label: Option<String>,
}

/// What uses a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "use")]
pub enum Use {
    /// A file system on it is mounted.
    Mounted {
        /// Device that is mounted.
        device: String,
        /// Where.
        at: PathBuf,
    },
    /// The system swaps to it.
    Swap {
        /// Device that it swaps to.
        device: String,
    },
    /// Something else has it: an encrypted volume, a volume group, a RAID, a pool.
    Held {
        /// What.
        by: String,
    },
}

/// A reason not to write to a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// Why, as the end of a sentence about the disk.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

/// What is known of the disks of this machine.
#[derive(Debug)]
pub struct Machine {
    disks: Vec<Disk>,
    /// How this system's own list is printed.
    list: &'static str,
}

impl Machine {
    /// Asks the system.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn read() -> Result<Self> {
        let (disks, list) = match std::env::consts::OS {
            "freebsd" => (freebsd::disks()?, "geom disk list"),
            "macos" => (macos::disks()?, "diskutil list external physical"),
            _ => (linux::System::running()?.disks()?, "lsblk"),
        };
        Ok(Self { disks, list })
    }

    /// All disks, those first that one would flash.
    pub fn disks(&self) -> impl Iterator<Item = &Disk> {
        let of = |portable| {
            let wanted = move |disk: &&Disk| (disk.kind == Kind::Portable) == portable;
            self.disks.iter().filter(wanted)
        };
        of(true).chain(of(false))
    }

    /// The disk that `path` means, under any of its names; or a regular file in place of one.
    ///
    /// # Errors
    /// When it is neither.
    pub fn find(&self, path: &Path) -> Result<Disk> {
        let shown = path.display();
        let real = fs_err::canonicalize(path).map_err(|error| {
            Error::missing(format!("there is no `{shown}`"))
                .caused_by(error)
                .hint(format!(
                    "`cargo xtask flash` lists the disks, and so does `{}`",
                    self.list
                ))
        })?;
        let meta = fs_err::metadata(&real)?;
        if meta.is_file() {
            return Ok(Disk {
                path: real,
                bytes: meta.len(),
                model: "a regular file, no disk".into(),
                kind: Kind::File,
                read_only: false,
                sector: SECTOR,
                partitions: Vec::new(),
                uses: Vec::new(),
            });
        }
        self.named(&real)?.ok_or_else(|| {
            let what = match kind_of(meta.file_type()) {
                Some(kind) => format!("`{shown}` is {kind}, not a disk"),
                None => format!("`{shown}` is no disk that can be flashed"),
            };
            Error::new(ErrorKind::Usage, what)
                .hint("`cargo xtask flash` lists the disks of this machine")
        })
    }

    /// The disk with the device `real`. A partition is no disk, but tells which one was meant.
    fn named(&self, real: &Path) -> Result<Option<Disk>> {
        if let Some(disk) = self.disks.iter().find(|disk| disk.path == real) {
            return Ok(Some(disk.clone()));
        }
        let is = |partition: &Partition| Path::new("/dev").join(&partition.name) == real;
        match self
            .disks
            .iter()
            .find(|disk| disk.partitions.iter().any(is))
        {
            None => Ok(None),
            Some(disk) => Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "`{}` is a partition of `{}`",
                    real.display(),
                    disk.path.display()
                ),
            )
            .hint(format!(
                "an image holds partitions itself, so it takes the whole disk: name `{}` if that is \
                 meant",
                disk.path.display()
            ))),
        }
    }
}

fn kind_of(kind: FileType) -> Option<&'static str> {
    if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() || kind.is_socket() {
        Some("a pipe or socket")
    } else if kind.is_char_device() && std::env::consts::OS == "linux" {
        Some("a character device")
    } else {
        None
    }
}

impl Disk {
    /// What speaks against writing an image of `need` bytes; `force` allows large disks and nothing else.
    pub fn objections(&self, need: Option<u64>, force: bool) -> Vec<Objection> {
        let mut found = Vec::new();
        let mut object = |why: String, remedy: String| found.push(Objection { why, remedy });
        let system: Vec<_> = self.uses.iter().filter_map(Use::of_the_system).collect();
        if !system.is_empty() {
            object(
                format!("the running system is on it ({})", system.join(", ")),
                "take another disk; no option allows this".into(),
            );
        } else {
            for used in &self.uses {
                object(used.to_string(), used.remedy());
            }
        }
        if self.read_only {
            object(
                "it is write-protected".into(),
                "move the switch on its side, or take another".into(),
            );
        }
        match need {
            _ if self.bytes == 0 => object("no medium is in it".into(), "insert one".into()),
            Some(need) if self.bytes < need => object(
                format!("it has {} bytes, the image needs {need}", self.bytes),
                "take a larger one".into(),
            ),
            _ => {}
        }
        if self.sector != SECTOR {
            object(
                format!("its sectors have {} bytes", self.sector),
                "images are made for sectors of 512 bytes and do not start from others: take another \
                 disk"
                    .into(),
            );
        }
        if self.bytes > LARGE && !force {
            object(
                "it is larger than 256 GB, so probably no stick".into(),
                "if it is really meant, add `--force`".into(),
            );
        }
        found
    }

    /// Lets a disk pass that nothing speaks against.
    ///
    /// # Errors
    /// When there are [objections](Self::objections): all of them, with their remedies.
    pub fn allow(&self, need: u64, force: bool) -> Result<()> {
        let found = self.objections(Some(need), force);
        if found.is_empty() {
            return Ok(());
        }
        let whys: Vec<_> = found.iter().map(|objection| &*objection.why).collect();
        let remedies: Vec<_> = found.iter().map(|objection| &*objection.remedy).collect();
        Err(Error::refused(format!(
            "`{}` is not written: {}",
            self.path.display(),
            whys.join("; ")
        ))
        .hint(remedies.join("; ")))
    }
}

impl Use {
    /// What of the running system it is, if it is.
    fn of_the_system(&self) -> Option<String> {
        match self {
            Self::Mounted { at, .. } if SYSTEM.iter().any(|place| at == Path::new(place)) => {
                Some(format!("`{}`", at.display()))
            }
            Self::Swap { .. } => Some("swap".into()),
            _ => None,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Mounted { device, .. } if std::env::consts::OS == "macos" => {
                format!("unmount it: `diskutil unmount {device}`")
            }
            Self::Mounted { at, .. } => format!("unmount it: `umount {}`", at.display()),
            Self::Swap { device } => format!("`swapoff /dev/{device}`"),
            Self::Held { .. } => {
                "close that first (LVM: `vgchange -an`, encryption: `cryptsetup close`, \
                                  RAID: `mdadm --stop`, ZFS: `zpool export`)"
                    .into()
            }
        }
    }
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mounted { device, at } => {
                write!(f, "`{device}` is mounted at `{}`", at.display())
            }
            Self::Swap { device } => write!(f, "the system swaps to `{device}`"),
            Self::Held { by } => write!(f, "{by} uses it"),
        }
    }
}

/// Runs a program of the system that tells about disks.
fn ask(program: &str, arguments: &[&str]) -> Result<String> {
    let output = crate::tool::run(std::process::Command::new(program).args(arguments))
        .or_error(ErrorKind::Failed, || {
            "the system does not say which disks it has".into()
        })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `\040` and the like, as mount tables write blanks.
fn unescape(field: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = (first == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(octal.unwrap_or(first));
        rest = octal.map_or(after, |_| &after[3..]);
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stick() -> Disk {
        Disk {
            path: "/dev/sdx".into(),
            bytes: 8 << 30,
            model: "Stick".into(),
            kind: Kind::Portable,
            read_only: false,
            sector: SECTOR,
            partitions: vec![Partition {
                name: "sdx1".into(),
                bytes: 1 << 30,
                label: None,
            }],
            uses: Vec::new(),
        }
    }

    fn mounted(at: &str) -> Use {
        Use::Mounted {
            device: "sdx1".into(),
            at: at.into(),
        }
    }

    fn refusal(disk: &Disk, force: bool) -> String {
        let error = disk.allow(2 << 30, force).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        format!("{error}: {}", error.remedy().unwrap())
    }

    #[test]
    fn each_rule_refuses_with_its_remedy() {
        stick().allow(2 << 30, false).unwrap();
        stick().allow(8 << 30, false).unwrap();
        for (change, says) in [
            (
                &(|disk: &mut Disk| disk.uses = vec![mounted("/"), mounted("/boot/efi")])
                    as &dyn Fn(&mut Disk),
                "the running system is on it (`/`, `/boot/efi`): take another disk",
            ),
            (
                &|disk| {
                    disk.uses = vec![Use::Swap {
                        device: "sdx1".into(),
                    }]
                },
                "the running system is on it (swap)",
            ),
            (
                &|disk| disk.uses = vec![mounted("/media/my stick")],
                "`sdx1` is mounted at `/media/my stick`: unmount it",
            ),
            (
                &|disk| {
                    disk.uses = vec![Use::Held {
                        by: "the volume `vault`".into(),
                    }]
                },
                "the volume `vault` uses it: close that first",
            ),
            (
                &|disk| disk.read_only = true,
                "write-protected: move the switch",
            ),
            (&|disk| disk.bytes = 0, "no medium is in it: insert one"),
            (
                &|disk| disk.bytes = (2 << 30) - 512,
                "the image needs 2147483648: take a larger one",
            ),
            (&|disk| disk.sector = 4096, "its sectors have 4096 bytes"),
        ] {
            let mut disk = stick();
            change(&mut disk);
            // None of these is lifted by force.
            for force in [false, true] {
                let told = refusal(&disk, force);
                assert!(told.contains(says), "{told}");
                assert!(told.contains("`/dev/sdx` is not written"), "{told}");
            }
        }
    }

    #[test]
    fn force_lifts_the_limit_of_size_alone() {
        let mut disk = stick();
        // As sticks of "256 GB" have it.
        disk.bytes = 256_060_514_304;
        disk.allow(1, false).unwrap();
        disk.bytes = LARGE + SECTOR;
        assert!(refusal(&disk, false).contains("--force"));
        disk.allow(1, true).unwrap();
        disk.uses = vec![mounted("/mnt")];
        let told = refusal(&disk, true);
        assert!(
            told.contains("mounted") && !told.contains("--force"),
            "{told}"
        );
    }

    #[test]
    fn a_disk_is_found_and_a_partition_says_which_it_is() {
        let machine = Machine {
            disks: vec![stick()],
            list: "lsblk",
        };
        assert_eq!(machine.named(Path::new("/dev/sdx")).unwrap(), Some(stick()));
        assert_eq!(machine.named(Path::new("/dev/sdy")).unwrap(), None);
        let error = machine.named(Path::new("/dev/sdx1")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/dev/sdx1` is a partition of `/dev/sdx`"
        );
        assert_eq!(error.kind(), ErrorKind::Usage);
        let error = machine.find(Path::new("/dev/no-such-disk")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
        for (path, says) in [("/", "a folder"), ("/dev/null", "not a disk")] {
            let error = machine.find(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            let here = cfg!(target_os = "linux") || path == "/";
            assert!(!here || error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn a_file_stands_in_for_a_disk_under_any_name() {
        let machine = Machine {
            disks: Vec::new(),
            list: "lsblk",
        };
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "12345").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let found = machine.find(&link).unwrap();
        assert_eq!((found.kind, found.bytes), (Kind::File, 5));
        assert_eq!(found.path, file.canonicalize().unwrap());
    }

    #[test]
    fn what_one_would_flash_is_listed_first() {
        let mut fixed = stick();
        fixed.kind = Kind::Fixed;
        let machine = Machine {
            disks: vec![fixed, stick()],
            list: "lsblk",
        };
        let kinds: Vec<_> = machine.disks().map(|disk| disk.kind).collect();
        assert_eq!(kinds, [Kind::Portable, Kind::Fixed]);
    }

    #[test]
    fn blanks_in_mount_points_are_read() {
        assert_eq!(
            unescape(r"/media/my\040stick"),
            Path::new("/media/my stick")
        );
        assert_eq!(unescape(r"/a\\b\9"), Path::new(r"/a\\b\9"));
        assert_eq!(unescape(r"/a\134b"), Path::new(r"/a\b"));
    }
}
