//! A disk made from the image, looked into from outside with other people's tools.

use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clawdie_image::disk::{PartitionPlan, read_primary};
use clawdie_image::qemu::sparse_copy;

use crate::{Built, Finished, program, run};

const LIMIT: Duration = Duration::from_secs(120);

/// A copy of the image, to be booted and changed; it goes with the test.
pub struct Disk {
    folder: tempfile::TempDir,
    path: PathBuf,
}

/// What `debugfs` says of a file of the root file system.
#[derive(Debug, PartialEq, Eq)]
pub struct Stat {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Disk {
    /// A fresh copy of the image under test.
    pub fn copy_of(built: &Built) -> Self {
        Self::at(&built.image())
    }

    /// A fresh copy of any image.
    pub fn at(image: &Path) -> Self {
        let disk = Self::nothing();
        sparse_copy(image, &disk.path).unwrap();
        disk
    }

    /// An empty disk of so many bytes.
    pub fn blank(bytes: u64) -> Self {
        let disk = Self::nothing();
        let file = fs_err::File::create_new(&disk.path).unwrap();
        file.set_len(bytes).unwrap();
        disk
    }

    /// A place for a disk that is not there yet.
    pub(crate) fn nothing() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("clawdie-disk-")
            .tempdir()
            .unwrap();
        let path = folder.path().join("disk.img");
        Self { folder, path }
    }

    /// Makes the disk bigger, as a stick is bigger than the image on it.
    pub fn grow_by(&self, mib: u64) {
        let file = fs_err::OpenOptions::new()
            .write(true)
            .open(&self.path)
            .unwrap();
        let size = file.metadata().unwrap().len();
        file.set_len(size + (mib << 20)).unwrap();
    }

    /// The file that is the disk.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder that goes with the disk.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One partition of the table as it is now.
    pub fn partition(&self, name: &str) -> PartitionPlan {
        let file = fs_err::File::open(&self.path).unwrap();
        let table = read_primary(file.file()).unwrap();
        let found = table.partition(name);
        found
            .unwrap_or_else(|| panic!("no partition `{name}`"))
            .clone()
    }

    /// The bytes of one partition in the disk.
    pub fn range(&self, name: &str) -> Range<u64> {
        let partition = self.partition(name);
        partition.offset()..partition.offset() + partition.len
    }

    /// All bytes of one partition.
    pub fn bytes_of(&self, name: &str) -> Vec<u8> {
        let range = self.range(name);
        self.bytes(
            range.start,
            usize::try_from(range.end - range.start).unwrap(),
        )
    }

    /// `len` bytes from `at`.
    pub fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        use std::os::unix::fs::FileExt as _;
        let file = fs_err::File::open(&self.path).unwrap();
        let mut bytes = vec![0; len];
        file.file().read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    /// Changes one byte in place; the same call again changes it back.
    pub fn flip(&self, at: u64) {
        use std::os::unix::fs::FileExt as _;
        let flipped = !self.bytes(at, 1)[0];
        let file = fs_err::OpenOptions::new()
            .write(true)
            .open(&self.path)
            .unwrap();
        file.file().write_all_at(&[flipped], at).unwrap();
    }

    /// Puts a file on the seed partition, as an operator does with a file manager.
    pub fn put_seed(&self, name: &str, text: &[u8]) {
        let mut command = self.mtools("mcopy", &["-o", "-", &format!("::{name}")]);
        let done = run(&mut command, text, LIMIT);
        assert!(done.status.success(), "mcopy {name}: {}", done.all());
    }

    /// Removes a file of the seed partition.
    pub fn remove_seed(&self, name: &str) {
        let done = run(
            &mut self.mtools("mdel", &[&format!("::{name}")]),
            b"",
            LIMIT,
        );
        assert!(done.status.success(), "mdel {name}: {}", done.all());
    }

    /// A file of the seed partition, if it is there.
    pub fn seed_file(&self, name: &str) -> Option<Vec<u8>> {
        let done = run(
            &mut self.mtools("mtype", &[&format!("::{name}")]),
            b"",
            LIMIT,
        );
        done.status.success().then_some(done.output)
    }

    /// What `mdir` says of the seed partition: names, sizes, times.
    pub fn seed_listing(&self) -> String {
        let done = run(&mut self.mtools("mdir", &["-a", "::"]), b"", LIMIT);
        assert!(done.status.success(), "mdir: {}", done.all());
        done.text()
    }

    /// A program of mtools on the seed partition.
    pub fn mtools(&self, name: &'static str, words: &[&str]) -> Command {
        let at = self.range("CLAWDIE-SEED").start;
        let mut command = program(name, "mtools");
        command
            .arg("-i")
            .arg(format!("{}@@{at}", self.path.display()))
            .args(words);
        command
    }

    /// Asks `debugfs` about the root file system.
    pub fn debugfs(&self, request: &str) -> Finished {
        let mut command = program("debugfs", "e2fsprogs");
        command.args(["-R", request]).arg(self.root_device());
        run(&mut command, b"", LIMIT)
    }

    /// The root file system, as the tools of e2fsprogs name it.
    pub fn root_device(&self) -> String {
        let at = self.range("rootfs").start;
        format!("{}?offset={at}", self.path.display())
    }

    /// A file of the root file system, if it is there.
    pub fn root_file(&self, path: &str) -> Option<Vec<u8>> {
        let done = self.debugfs(&format!("cat \"{path}\""));
        let missing = done.complaints.contains("File not found");
        (!missing).then_some(done.output)
    }

    /// A text file of the root file system, which must be there.
    pub fn root_text(&self, path: &str) -> String {
        let bytes = self.root_file(path);
        String::from_utf8(bytes.unwrap_or_else(|| panic!("no `{path}` on the root"))).unwrap()
    }

    /// Owner and mode of a file of the root file system, if it is there.
    pub fn root_stat(&self, path: &str) -> Option<Stat> {
        let text = self.debugfs(&format!("stat \"{path}\"")).text();
        // Inode: 23   Type: regular    Mode:  0600   Flags: 0x80000
        // User:     0   Group:     0   Project:     0   Size: 300
        let after = |word: &str| {
            let (_, rest) = text.split_once(word)?;
            rest.split_whitespace().next().map(str::to_owned)
        };
        Some(Stat {
            mode: u32::from_str_radix(&after("Mode:")?, 8).unwrap(),
            uid: after("User:")?.parse().unwrap(),
            gid: after("Group:")?.parse().unwrap(),
        })
    }

    /// Runs the checkers of all file systems, which must find nothing.
    pub fn assert_sound(&self) {
        self.assert_root_sound();
        for partition in ["CLAWDIE-SEED", "efiboot0"] {
            self.assert_fat_sound(partition);
        }
    }

    /// Runs the checker of the root file system.
    pub fn assert_root_sound(&self) {
        let mut check = program("e2fsck", "e2fsprogs");
        check.args(["-fn"]).arg(self.root_device());
        let done = run(&mut check, b"", LIMIT);
        assert!(done.status.success(), "e2fsck: {}", done.all());
    }

    /// Runs the checker of one FAT volume. `fsck.vfat` knows no offset, so it gets the partition as a file.
    pub fn assert_fat_sound(&self, partition: &str) {
        let part = self.folder.path().join(partition);
        fs_err::write(&part, self.bytes_of(partition)).unwrap();
        let done = run(
            program("fsck.vfat", "dosfstools").arg("-n").arg(&part),
            b"",
            LIMIT,
        );
        fs_err::remove_file(&part).unwrap();
        assert!(
            done.status.success(),
            "fsck.vfat {partition}: {}",
            done.all()
        );
    }

    /// Calls `look` with every stretch of data of the disk and where it starts; holes are left out.
    /// Stretches overlap by `overlap` bytes, so that nothing of that length is missed.
    pub fn for_each_stretch(&self, overlap: usize, mut look: impl FnMut(u64, &[u8])) {
        const STEP: usize = 8 << 20;
        let file = fs_err::File::open(&self.path).unwrap();
        let size = file.metadata().unwrap().len();
        let mut reader = std::io::BufReader::with_capacity(STEP, file);
        let mut window: Vec<u8> = Vec::new();
        let mut at = 0;
        while at < size {
            let keep = window.len().min(overlap);
            window.drain(..window.len() - keep);
            let fresh = usize::try_from((size - at).min(STEP as u64)).unwrap();
            window.resize(keep + fresh, 0);
            reader.read_exact(&mut window[keep..]).unwrap();
            look(at - keep as u64, &window);
            at += fresh as u64;
        }
    }
}
