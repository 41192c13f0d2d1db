//! Any tar stream into a [`Pack`](crate::pack::Pack): owners, modes, flags, hard links, times and
//! attributes kept.
//!
//! The stream is not trusted: a name that is absolute or climbs with `..`, an entry below a link, a
//! hard link to something that never came, a size that no base has, is refused with the entry's name.
//! Memory does not depend on what the stream claims.

mod stream;

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clawdie_tree::{Kind, Meta, TreePath};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use tar::{Archive, EntryType};

use self::stream::Stream;
use super::flags;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::pack::{PackWriter, Skeleton, SkeletonKind};
use crate::progress::Task;

/// All entries of all streams of one base together: ten times what a base has.
const MOST: u64 = 16 << 30;

/// Builds the set of globs; `*` stays within a name, `**` crosses folders.
///
/// # Errors
/// When a glob is malformed.
pub fn globs(patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .or_error(ErrorKind::BadInput, || format!("`{pattern}` is not a glob"))?;
        set.add(glob);
    }
    set.build().or_error(ErrorKind::BadInput, || {
        "the globs do not fit together".into()
    })
}

/// Decodes `stream` into a pack in the empty `folder`, leaving out what `drop` matches.
///
/// # Errors
/// When the stream is not a tar archive, ends early, or names something outside its root.
pub fn decode(stream: impl Read, drop: &GlobSet, folder: &Path, task: &dyn Task) -> Result<()> {
    let rules = Rules {
        drop: drop.clone(),
        devices: true,
    };
    let mut decoder = Decoder::new(folder, rules)?;
    decoder.add(stream, task)?;
    decoder.finish()
}

/// What may be in a base, and what of it is wanted.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What is left out.
    pub drop: GlobSet,
    /// Whether device nodes are let in. FreeBSD has them in `devfs` alone.
    pub devices: bool,
}

/// Several streams, laid over each other in the order in which they come.
#[derive(Debug)]
pub struct Decoder {
    rules: Rules,
    folder: PathBuf,
    pack: PackWriter,
    tree: Skeleton,
    seen: HashMap<TreePath, Seen>,
    dropped: HashSet<TreePath>,
    /// Number of the stream, for entries that come twice.
    stream: u32,
    files: u64,
    bytes: u64,
}

/// What came under a path.
#[derive(Debug)]
struct Seen {
    stream: u32,
    meta: Meta,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Folder,
    File,
    Link,
    Other,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Folder => "a folder",
            Self::File => "a file",
            Self::Link => "a symbolic link",
            Self::Other => "not a folder",
        }
    }
}

impl Decoder {
    /// Begins a pack in the empty `folder`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(folder: &Path, rules: Rules) -> Result<Self> {
        let root = Seen {
            stream: 0,
            meta: Meta::root(0o755, 0),
            what: What::Folder,
        };
        Ok(Self {
            rules,
            folder: folder.to_owned(),
            pack: PackWriter::create(folder)?,
            tree: Skeleton::default(),
            seen: HashMap::from([(TreePath::root(), root)]),
            dropped: HashSet::new(),
            stream: 0,
            files: 0,
            bytes: 0,
        })
    }

    /// Takes in one tar stream to its end; returns how many entries it has, as `tar tf | wc -l` counts.
    ///
    /// # Errors
    /// When it is not a tar archive, ends early, or breaks a rule; the error names the entry.
    pub fn add(&mut self, stream: impl Read, task: &dyn Task) -> Result<u64> {
        self.stream += 1;
        let stream = Stream::new(stream);
        let gauge = stream.gauge();
        let mut archive = Archive::new(stream);
        let mut count = 0;
        let mut last = Vec::new();
        let unreadable = |last: &[u8]| {
            if last.is_empty() {
                "the base is not a readable tar archive".to_owned()
            } else {
                let last = String::from_utf8_lossy(last);
                format!("the archive cannot be read after its entry `{last}`")
            }
        };
        let entries = archive
            .entries()
            .or_error(ErrorKind::BadInput, || unreadable(&last))?;
        gauge.expect_header();
        for entry in entries {
            let mut entry = entry.or_error(ErrorKind::BadInput, || unreadable(&last))?;
            gauge.expect_content();
            last = entry.path_bytes().into_owned();
            // Global headers hold for what follows; none that matters to us is ever written so.
            if entry.header().entry_type() != EntryType::XGlobalHeader {
                count += 1;
                self.entry(&mut entry, &last, task).map_err(|error| {
                    if gauge.is_broken() {
                        refuse(&last, "cannot be read to its end").caused_by(error)
                    } else {
                        error
                    }
                })?;
            }
            io::copy(&mut entry, &mut io::sink()).or_error(ErrorKind::BadInput, || {
                format!(
                    "archive entry `{}` cannot be read to its end",
                    String::from_utf8_lossy(&last)
                )
            })?;
            gauge.expect_header();
        }
        // What was compressed is only known to be whole when its end has been seen.
        gauge.expect_header();
        io::copy(&mut archive.into_inner(), &mut io::sink())
            .or_error(ErrorKind::BadInput, || unreadable(&last))?;
        Ok(count)
    }

    /// Ends the pack.
    ///
    /// # Errors
    /// When no file came, or the disk is full.
    pub fn finish(self) -> Result<()> {
        if self.files == 0 {
            return Err(Error::bad_input("the base holds no file at all"));
        }
        self.pack.finish(&self.folder, &self.tree)
    }

    fn entry<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        name: &[u8],
        task: &dyn Task,
    ) -> Result<()> {
        self.has_room(entry.size(), name)?;
        if name.starts_with(b"/") {
            return Err(refuse(name, "has an absolute name"));
        }
        let path = TreePath::new(name).map_err(|error| Error::bad_input(error.to_string()))?;
        let parent = path.parent().unwrap_or_default();
        if self
            .rules
            .drop
            .is_match(&*String::from_utf8_lossy(path.as_bytes()))
            || self.dropped.contains(&parent)
        {
            self.dropped.insert(path);
            return Ok(());
        }
        self.lies_in_a_folder(&parent, name)?;
        let mut meta = meta(entry, name)?;
        let (what, kind) = self.kind(entry, name)?;
        self.comes_once(&path, what, &meta, name)?;
        if let SkeletonKind::File = kind {
            let len = entry.size();
            self.pack.add(&path, len, entry)?;
            self.files += 1;
            task.advance(len);
        }
        if let SkeletonKind::HardLink(to) = &kind
            && let Some(first) = self.seen.get(to)
        {
            // All names of a file share what the first one said.
            meta.clone_from(&first.meta);
        }
        let seen = Seen {
            stream: self.stream,
            meta: meta.clone(),
            what,
        };
        self.seen.insert(path.clone(), seen);
        self.tree.push(path, meta, kind);
        Ok(())
    }

    /// Whatever kind of entry claims them: bytes that nobody wants must be read past, too.
    fn has_room(&mut self, len: u64, name: &[u8]) -> Result<()> {
        self.bytes = self
            .bytes
            .checked_add(len)
            .filter(|&bytes| bytes <= MOST)
            .ok_or_else(|| {
                let most = MOST >> 30;
                refuse(
                    name,
                    &format!("claims {len} bytes, and no base has more than {most} GiB in all"),
                )
            })?;
        Ok(())
    }

    fn lies_in_a_folder(&self, parent: &TreePath, name: &[u8]) -> Result<()> {
        let mut above = parent.clone();
        loop {
            match self.seen.get(&above) {
                Some(seen) if seen.what != What::Folder => {
                    let fault = format!("lies below `{above}`, which is {}", seen.what.name());
                    return Err(refuse(name, &fault));
                }
                Some(_) if above == *parent => return Ok(()),
                Some(_) => return Err(refuse(name, "lies in a folder that did not come before")),
                None => above = above.parent().unwrap_or_default(),
            }
        }
    }

    /// A folder may come in every stream, and the last one decides about it, as it does when sets are
    /// unpacked. Anything else comes once.
    fn comes_once(&self, path: &TreePath, what: What, meta: &Meta, name: &[u8]) -> Result<()> {
        let Some(before) = self.seen.get(path) else {
            return Ok(());
        };
        if (before.what, what) != (What::Folder, What::Folder) {
            return Err(refuse(name, "comes twice"));
        }
        let alike = (
            before.meta.mode,
            before.meta.uid,
            before.meta.gid,
            before.meta.flags,
        ) == (meta.mode, meta.uid, meta.gid, meta.flags);
        if before.stream == self.stream && !alike {
            return Err(refuse(
                name,
                "comes twice, with different owners, modes or flags",
            ));
        }
        Ok(())
    }

    fn kind<R: Read>(
        &self,
        entry: &tar::Entry<'_, R>,
        name: &[u8],
    ) -> Result<(What, SkeletonKind)> {
        let header = entry.header();
        let device = || -> Result<(u32, u32)> {
            if !self.rules.devices {
                return Err(refuse(name, "is a device node, which no set holds"));
            }
            let read = |part: io::Result<Option<u32>>| {
                part.ok()
                    .flatten()
                    .ok_or_else(|| refuse(name, "is a device without a number"))
            };
            Ok((read(header.device_major())?, read(header.device_minor())?))
        };
        let target = || {
            entry
                .link_name_bytes()
                .map(std::borrow::Cow::into_owned)
                .filter(|target| !target.is_empty())
                .ok_or_else(|| refuse(name, "is a link without a target"))
        };
        let other = |kind| (What::Other, SkeletonKind::Other(kind));
        Ok(match header.entry_type() {
            EntryType::Directory => (What::Folder, SkeletonKind::Other(Kind::Dir)),
            EntryType::Symlink => (What::Link, SkeletonKind::Other(Kind::Symlink(target()?))),
            EntryType::Link => {
                let to = TreePath::new(target()?)
                    .map_err(|error| Error::bad_input(error.to_string()))?;
                if self
                    .seen
                    .get(&to)
                    .is_none_or(|seen| seen.what != What::File)
                {
                    return Err(refuse(
                        name,
                        "is a hard link to a file that did not come before",
                    ));
                }
                (What::File, SkeletonKind::HardLink(to))
            }
            EntryType::Char => {
                let (major, minor) = device()?;
                other(Kind::CharDevice { major, minor })
            }
            EntryType::Block => {
                let (major, minor) = device()?;
                other(Kind::BlockDevice { major, minor })
            }
            EntryType::Fifo => other(Kind::Fifo),
            EntryType::Regular | EntryType::Continuous => (What::File, SkeletonKind::File),
            kind => {
                return Err(refuse(
                    name,
                    &format!(
                        "is of tar's type `{}`, which no base has",
                        kind.as_byte().escape_ascii()
                    ),
                ));
            }
        })
    }
}

fn refuse(name: &[u8], fault: &str) -> Error {
    Error::bad_input(format!(
        "archive entry `{}` {fault}",
        String::from_utf8_lossy(name)
    ))
}

fn meta<R: Read>(entry: &mut tar::Entry<'_, R>, name: &[u8]) -> Result<Meta> {
    let mut meta = {
        let header = entry.header();
        let number = |value: io::Result<u64>, what: &str| {
            value
                .ok()
                .and_then(|value| u32::try_from(value).ok())
                .ok_or_else(|| refuse(name, &format!("has no readable {what}")))
        };
        Meta {
            mode: (header
                .mode()
                .map_err(|_| refuse(name, "has no readable mode"))?
                & 0o7777) as u16,
            uid: number(header.uid(), "owner")?,
            gid: number(header.gid(), "group")?,
            mtime: header
                .mtime()
                .ok()
                .and_then(|mtime| i64::try_from(mtime).ok())
                .ok_or_else(|| refuse(name, "has no readable time"))?,
            ..Meta::default()
        }
    };
    let odd = |_| refuse(name, "has an extended header that cannot be read");
    let Some(pax) = entry.pax_extensions().map_err(odd)? else {
        return Ok(meta);
    };
    for extension in pax {
        let extension = extension.map_err(odd)?;
        let key = extension
            .key()
            .map_err(|_| refuse(name, "has an extended header that is not UTF-8"))?;
        if let Some(attribute) = key.strip_prefix("SCHILY.xattr.") {
            meta.xattrs
                .insert(attribute.to_owned(), extension.value_bytes().to_vec());
        } else if key == "SCHILY.fflags" {
            let text = extension
                .value()
                .map_err(|_| refuse(name, "has file flags that are not UTF-8"))?;
            meta.flags = flags::parse(text).map_err(|flag| {
                refuse(
                    name,
                    &format!("has the file flag `{flag}`, which FreeBSD does not know"),
                )
            })?;
        }
    }
    Ok(meta)
}

#[cfg(test)]
mod tests;
