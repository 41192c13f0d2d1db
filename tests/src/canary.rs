//! Secrets that are planted, and searched for in every byte of a disk.

use std::collections::BTreeSet;
use std::fmt;

use memchr::memmem::Finder;

use crate::{Disk, program, run};

/// A made-up secret, different in every test run: whatever holds these bytes got them from the seed.
pub struct Canary {
    /// What it stands for, for messages.
    pub name: &'static str,
    /// The secret itself.
    pub value: String,
}

/// What the bytes belong to that a secret was found in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A file of the seed partition.
    SeedFile(String),
    /// A cluster of the seed partition that no file has.
    SeedFree,
    /// A file of the root file system.
    RootFile(String),
    /// The root's journal.
    RootJournal,
    /// A block of the root that no file has.
    RootFree,
    /// Anything else.
    Outside(u64),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SeedFile(name) => write!(f, "`{name}` on the seed"),
            Self::SeedFree => write!(f, "a free cluster of the seed"),
            Self::RootFile(path) => write!(f, "`{path}`"),
            Self::RootJournal => write!(f, "the root's journal"),
            Self::RootFree => write!(f, "a free block of the root"),
            Self::Outside(at) => write!(f, "byte {at:#x} outside of all file systems"),
        }
    }
}

impl Canary {
    /// A secret of `digits` random hexadecimal digits after `prefix`.
    pub fn new(name: &'static str, prefix: &str, digits: usize) -> Self {
        use std::io::Read as _;
        let mut random = vec![0; digits.div_ceil(2)];
        let mut source = fs_err::File::open("/dev/urandom").unwrap();
        source.read_exact(&mut random).unwrap();
        let mut hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        hex.truncate(digits);
        Self {
            name,
            value: format!("{prefix}{hex}"),
        }
    }

    /// Whether `bytes` hold it, as it is or as UTF-16.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.finders()
            .iter()
            .any(|finder| finder.find(bytes).is_some())
    }

    /// Fails, naming `place`, when `bytes` hold it.
    pub fn assert_not_in(&self, bytes: &[u8], place: &str) {
        assert!(!self.is_in(bytes), "the {} is in {place}", self.name);
    }

    /// Everything on the disk that holds it.
    pub fn owners(&self, disk: &Disk) -> BTreeSet<Owner> {
        let finders = self.finders();
        let longest = self.value.len() * 2;
        let mut found = BTreeSet::new();
        disk.for_each_stretch(longest, |start, bytes| {
            for finder in &finders {
                found.extend(finder.find_iter(bytes).map(|at| start + at as u64));
            }
        });
        found.into_iter().map(|at| owner(disk, at)).collect()
    }

    /// The middle of the secret, without its ends, so that a cut copy is found as well.
    fn finders(&self) -> [Finder<'static>; 3] {
        let core = &self.value[self.value.len() / 4..self.value.len() * 3 / 4];
        let wide = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            core.encode_utf16().flat_map(bytes).collect()
        };
        [
            core.as_bytes().to_vec(),
            wide(u16::to_le_bytes),
            wide(u16::to_be_bytes),
        ]
        .map(|needle| Finder::new(&needle).into_owned())
    }
}

fn owner(disk: &Disk, at: u64) -> Owner {
    let seed = disk.range("CLAWDIE-SEED");
    let root = disk.range("rootfs");
    if seed.contains(&at) {
        seed_owner(disk, at - seed.start)
    } else if root.contains(&at) {
        root_owner(disk, at - root.start)
    } else {
        Owner::Outside(at)
    }
}

/// FAT's geometry from its first sector (fatgen103, "BPB"), the files' clusters from `mshowfat`.
fn seed_owner(disk: &Disk, at: u64) -> Owner {
    let boot = disk.bytes(disk.range("CLAWDIE-SEED").start, 64);
    let u16_at = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    let sector = u16_at(11);
    let cluster = u64::from(boot[13]) * sector;
    let fat_sectors = u64::from(u32::from_le_bytes([boot[36], boot[37], boot[38], boot[39]]));
    let data = (u16_at(14) + u64::from(boot[16]) * fat_sectors) * sector;
    if at < data {
        return Owner::Outside(disk.range("CLAWDIE-SEED").start + at);
    }
    let wanted = (at - data) / cluster + 2;
    let done = run(
        &mut disk.mtools("mshowfat", &["::*"]),
        b"",
        std::time::Duration::from_secs(60),
    );
    // ::/setup.txt <3-5> <9>
    for line in done.text().lines() {
        let Some((name, ranges)) = line.split_once(" <") else {
            continue;
        };
        let has = ranges.split(['<', '>', ' ']).any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            match (first.parse::<u64>(), last.parse::<u64>()) {
                (Ok(first), Ok(last)) => (first..=last).contains(&wanted),
                _ => false,
            }
        });
        if has {
            return Owner::SeedFile(name.trim_start_matches("::/").to_owned());
        }
    }
    Owner::SeedFree
}

fn root_owner(disk: &Disk, at: u64) -> Owner {
    let mut header = program("dumpe2fs", "e2fsprogs");
    header.arg("-h").arg(disk.root_device());
    let header = run(&mut header, b"", std::time::Duration::from_secs(60)).text();
    let size: u64 = header
        .lines()
        .find_map(|line| line.strip_prefix("Block size:"))
        .and_then(|size| size.trim().parse().ok())
        .unwrap_or_else(|| panic!("dumpe2fs names no block size: {header}"));
    let block = at / size;
    // Block   Inode number
    // 12345   678
    let answer = disk.debugfs(&format!("icheck {block}")).text();
    let inode = answer.lines().nth(1).unwrap_or_default();
    let inode = inode.split_whitespace().nth(1).unwrap_or_default();
    match inode.parse::<u64>() {
        Err(_) => Owner::RootFree,
        Ok(8) => Owner::RootJournal,
        Ok(number) => {
            let answer = disk.debugfs(&format!("ncheck {number}")).text();
            let path = answer.lines().nth(1).unwrap_or_default();
            let path = path.split_whitespace().nth(1).unwrap_or_default();
            Owner::RootFile(path.replace("//", "/"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// A disk laid out as ours are, made with other people's tools alone.
    fn foreign_disk(root: &std::path::Path) -> Disk {
        let disk = Disk::nothing();
        let file = fs_err::File::create(disk.path()).unwrap();
        file.set_len(100 << 20).unwrap();
        let done = run(
            program("sgdisk", "gdisk")
                .args(["-n", "1:1M:+64M", "-t", "1:0700", "-c", "1:CLAWDIE-SEED"])
                .args(["-n", "2:0:+32M", "-t", "2:8304", "-c", "2:rootfs"])
                .arg(disk.path()),
            b"",
            LIMIT,
        );
        assert!(done.status.success(), "{}", done.all());
        let mut format = program("mkfs.vfat", "dosfstools");
        format
            .args(["-F", "32", "--offset", "2048"])
            .arg(disk.path())
            .arg("65536");
        let done = run(&mut format, b"", LIMIT);
        assert!(done.status.success(), "{}", done.all());
        let mut format = program("mke2fs", "e2fsprogs");
        format
            .args(["-q", "-t", "ext4", "-b", "4096", "-d"])
            .arg(root)
            .args(["-E", "offset=68157440"])
            .arg(disk.path())
            .arg("32M");
        let done = run(&mut format, b"", LIMIT);
        assert!(done.status.success(), "{}", done.all());
        disk
    }

    #[test]
    fn every_place_of_a_secret_is_named() {
        let canary = Canary::new("key", "sk-or-v1-", 64);
        let text = format!("x={}\n", canary.value);
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("etc/colibri")).unwrap();
        // Bigger than what ext4 may keep inside the inode.
        fs_err::write(root.path().join("etc/colibri/provider.env"), text.repeat(9)).unwrap();
        fs_err::write(root.path().join("gone"), text.repeat(9)).unwrap();
        let disk = foreign_disk(root.path());
        assert_eq!(disk.range("rootfs").start, 68157440);
        let seed = Owner::SeedFile("setup.txt".to_owned());
        let gone = Owner::RootFile("/gone".to_owned());
        let env = Owner::RootFile("/etc/colibri/provider.env".to_owned());
        assert_eq!(canary.owners(&disk), BTreeSet::from([env.clone(), gone]));

        disk.put_seed("setup.txt", text.as_bytes());
        disk.put_seed("other.txt", text.as_bytes());
        disk.remove_seed("other.txt");
        let done = run(
            program("debugfs", "e2fsprogs")
                .args(["-w", "-R", "rm gone"])
                .arg(disk.root_device()),
            b"",
            LIMIT,
        );
        assert!(done.status.success(), "{}", done.all());
        let places = BTreeSet::from([seed, Owner::SeedFree, env, Owner::RootFree]);
        assert_eq!(canary.owners(&disk), places);
    }

    #[test]
    fn a_canary_is_found_plain_wide_and_cut() {
        let canary = Canary::new("key", "sk-or-v1-", 64);
        assert_eq!(canary.value.len(), 73);
        assert!(canary.is_in(format!("x={}\n", canary.value).as_bytes()));
        assert!(canary.is_in(&canary.value.as_bytes()[10..60]));
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let wide: Vec<u8> = canary.value.encode_utf16().flat_map(order).collect();
            assert!(canary.is_in(&wide));
        }
        let other = Canary::new("key", "sk-or-v1-", 64);
        assert!(!canary.is_in(other.value.as_bytes()));
    }
}
