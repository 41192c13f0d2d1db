//! A made-up pair of dist sets, laid out and compressed like a release's: what benchmarks and
//! whole-system tests build from where no release is at hand. Nothing in it runs.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use fs_err as fs;
use liblzma::stream::{Check, MtStreamBuilder};
use liblzma::write::XzEncoder;
use sha2::Digest;
use tar::{EntryType, Header};

use crate::error::Result;

/// How much to make up.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Files of `base.txz`, besides the few that every image needs.
    pub files: u32,
    /// Their bytes together, about.
    pub bytes: u64,
}

/// A release's sets are made of blocks of this size, so that they can be decompressed in parallel.
const BLOCK: u64 = 24 << 20;
/// When everything was made.
const TIME: u64 = 1_780_000_000;

/// What the image's own rules, first boot or the boot partitions ask a base for.
const NEEDED: &[(&str, u32, &str)] = &[
    (
        "etc/master.passwd",
        0o600,
        "root:*:0:0::0:0:Charlie &:/root:/bin/sh\nwww:*:80:80::0:0:Web:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("etc/passwd", 0o644, "root:*:0:0:Charlie &:/root:/bin/sh\n"),
    ("etc/group", 0o644, "wheel:*:0:root\n"),
    ("etc/rc", 0o644, "#!/bin/sh\n"),
    ("etc/rc.subr", 0o644, "# none\n"),
    ("etc/defaults/rc.conf", 0o644, "# none\n"),
    ("etc/ssh/sshd_config", 0o644, "#PermitRootLogin no\n"),
    // Whom it trusts with packages: the signer of `packages/testdata`.
    (
        "usr/share/keys/pkg/trusted/sample",
        0o444,
        "function: \"sha256\"\n\
         fingerprint: \"7c282040c9ac9d6220c16f66500859b69ebeeb97173431b253f5b0636106b0c9\"\n",
    ),
];

const FOLDERS: &[(&str, u32)] = &[
    ("bin", 0o755),
    ("boot", 0o755),
    ("boot/defaults", 0o755),
    ("boot/kernel", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("etc/defaults", 0o755),
    ("etc/rc.d", 0o755),
    ("etc/ssh", 0o755),
    ("lib", 0o755),
    ("rescue", 0o755),
    ("root", 0o750),
    ("sbin", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/local", 0o755),
    ("usr/share", 0o755),
    ("usr/share/keys", 0o755),
    ("usr/share/keys/pkg", 0o755),
    ("usr/share/keys/pkg/trusted", 0o755),
    ("var", 0o755),
    ("var/db", 0o755),
    ("var/empty", 0o555),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
];

/// Writes `base.txz`, `kernel.txz` and their `MANIFEST` into `folder`. The same sample gives the same
/// bytes.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(folder: &Path, sample: Sample) -> Result<()> {
    let mut manifest = String::new();
    for (name, fill) in [
        ("base", base as fn(&mut Set, Sample) -> io::Result<()>),
        ("kernel", kernel),
    ] {
        let mut set = Set::create(&folder.join(format!("{name}.txz")))?;
        fill(&mut set, sample)?;
        let (sha256, entries) = set.finish()?;
        manifest += &format!("{name}.txz\t{sha256}\t{entries}\t{name}\t\"Made up ({name})\"\ton\n");
    }
    Ok(fs::write(folder.join("MANIFEST"), manifest)?)
}

fn base(set: &mut Set, sample: Sample) -> io::Result<()> {
    set.dir("", 0o755)?;
    for (path, mode) in FOLDERS {
        set.dir(path, *mode)?;
    }
    for (path, mode, text) in NEEDED {
        set.file(path, *mode, "", text.as_bytes())?;
    }
    let mut boot_sector = vec![0x90; 512];
    boot_sector[440..510].fill(0);
    boot_sector[510..].copy_from_slice(&[0x55, 0xAA]);
    set.file("boot/pmbr", 0o444, "", &boot_sector)?;
    set.file("boot/gptboot", 0o444, "", &words(1, 76_000))?;
    set.file("boot/loader_lua.efi", 0o555, "", &words(2, 640_000))?;
    set.hard_link("boot/loader.efi", "boot/loader_lua.efi")?;

    // One program by many names, as /rescue is.
    set.file("rescue/[", 0o555, "", &words(3, 3_000_000))?;
    for number in 0..140 {
        set.hard_link(&format!("rescue/tool{number}"), "rescue/[")?;
    }
    set.file("lib/libc.so.7", 0o444, "schg", &words(4, 1_900_000))?;
    set.file("sbin/init", 0o500, "schg", &words(5, 1_400_000))?;
    set.file("usr/bin/su", 0o4555, "schg,uarch", &words(6, 19_000))?;
    set.file("usr/bin/empty", 0o644, "nodump", b"")?;
    set.symlink("sys", "usr/src/sys")?;
    set.symlink("usr/share/far", &"../long-way/".repeat(20))?;
    set.entry("var/db/pipe", EntryType::Fifo, 0o600, "", "", b"")?;
    let long = format!("usr/share/{}", "name".repeat(63));
    set.file(&long, 0o444, "", b"a name of 252 bytes")?;

    // Sizes as in a release: many small ones, few that hold most of the bytes.
    let files = u64::from(sample.files.max(1));
    let mut left = sample.bytes;
    let mut folder = String::new();
    for number in 0..files {
        if number % 64 == 0 {
            folder = format!("usr/share/d{}", number / 64);
            set.dir(&folder, 0o755)?;
        }
        let rest = files - number;
        let mean = left / rest;
        let len = match number % 64 {
            0 => mean.saturating_mul(24).min(left),
            1..4 => mean.saturating_mul(8).min(left),
            other => mean * (other % 16) / 32,
        };
        left -= len;
        let path = format!("{folder}/file{number}");
        set.file(&path, 0o444, "", &words(number + 10, len as usize))?;
    }
    Ok(())
}

fn kernel(set: &mut Set, sample: Sample) -> io::Result<()> {
    set.dir("", 0o755)?;
    set.dir("boot", 0o755)?;
    set.dir("boot/kernel", 0o755)?;
    let len = (sample.bytes / 40).clamp(1 << 20, 30 << 20) as usize;
    set.file("boot/kernel/kernel", 0o555, "", &words(7, len))?;
    for module in 0..(sample.files / 36).clamp(1, 864) {
        let path = format!("boot/kernel/m{module}.ko");
        set.file(&path, 0o555, "", &words(u64::from(module) + 8, len / 256))?;
    }
    Ok(())
}

/// Bytes that compress about as well as programs and texts do.
fn words(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 16);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // A quarter new, the rest one of a few hundred words.
        let word = match state % 4 {
            0 => state,
            _ => ((state >> 8) % 600).wrapping_mul(0x2545_F491_4F6C_DD1D),
        };
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A set under way.
struct Set {
    out: tar::Builder<XzEncoder<Hashing<BufWriter<fs::File>>>>,
    entries: u64,
}

/// Hashes what goes through.
struct Hashing<W> {
    out: W,
    hasher: sha2::Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.out.write(buf)?;
        self.hasher.update(&buf[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Set {
    fn create(path: &Path) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
        let stream = MtStreamBuilder::new()
            .threads(threads)
            .block_size(BLOCK)
            .preset(0)
            .check(Check::Crc64)
            .encoder()
            .map_err(io::Error::other)?;
        let out = Hashing {
            out: BufWriter::new(fs::File::create(path)?),
            hasher: sha2::Sha256::new(),
        };
        Ok(Self {
            out: tar::Builder::new(XzEncoder::new_stream(out, stream)),
            entries: 0,
        })
    }

    fn finish(self) -> io::Result<(String, u64)> {
        let mut done = self.out.into_inner()?.finish()?;
        done.flush()?;
        Ok((clawdie_tree::hex(done.hasher.finalize()), self.entries))
    }

    fn dir(&mut self, path: &str, mode: u32) -> io::Result<()> {
        let path = format!("{path}/");
        self.entry(
            path.trim_start_matches('/'),
            EntryType::Directory,
            mode,
            "",
            "",
            b"",
        )
    }

    fn file(&mut self, path: &str, mode: u32, flags: &str, bytes: &[u8]) -> io::Result<()> {
        self.entry(path, EntryType::Regular, mode, flags, "", bytes)
    }

    fn symlink(&mut self, path: &str, to: &str) -> io::Result<()> {
        self.entry(path, EntryType::Symlink, 0o755, "", to, b"")
    }

    /// The group of the link is the first name's: it has one inode.
    fn hard_link(&mut self, path: &str, to: &str) -> io::Result<()> {
        let to = format!("./{to}");
        self.entry(path, EntryType::Link, 0o555, "", &to, b"")
    }

    fn entry(
        &mut self,
        path: &str,
        kind: EntryType,
        mode: u32,
        flags: &str,
        link: &str,
        bytes: &[u8],
    ) -> io::Result<()> {
        let path = format!("./{path}");
        let mut pax: Vec<(&str, &[u8])> = Vec::new();
        if !flags.is_empty() {
            pax.push(("SCHILY.fflags", flags.as_bytes()));
        }
        if path.len() > 100 {
            pax.push(("path", path.as_bytes()));
        }
        if link.len() > 100 {
            pax.push(("linkpath", link.as_bytes()));
        }
        self.out.append_pax_extensions(pax)?;
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(TIME);
        header.set_username("root")?;
        header.set_groupname("wheel")?;
        let put = |field: &mut [u8], text: &str| {
            let short = &text.as_bytes()[..text.len().min(field.len())];
            field[..short.len()].copy_from_slice(short);
        };
        put(&mut header.as_mut_bytes()[..100], &path);
        put(&mut header.as_mut_bytes()[157..257], link);
        header.set_cksum();
        self.out.append(&header, bytes)?;
        self.entries += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_sample_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let sample = Sample {
            files: 200,
            bytes: 1 << 20,
        };
        let mut made = Vec::new();
        for name in ["one", "two"] {
            let folder = dir.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            write(&folder, sample).unwrap();
            let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
            made.push(["base.txz", "kernel.txz", "MANIFEST"].map(read));
        }
        assert!(made[0] == made[1]);
        let text = String::from_utf8(made[0][2].clone()).unwrap();
        let sets = super::super::manifest::parse(&text).unwrap();
        assert_eq!(sets.len(), 2);
    }
}
