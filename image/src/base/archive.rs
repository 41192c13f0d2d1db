//! Any tar stream into a [`Pack`]: owners, modes, hard links, times and attributes kept.
//!
//! The stream is not trusted: a name that is absolute or climbs with `..`, a hard link to something
//! that never came, a second root, is refused with the entry's name.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use clawdie_tree::{Kind, Meta, TreePath};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use tar::{Archive, EntryType};

use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::pack::{PackWriter, Skeleton, SkeletonKind};
use crate::progress::Task;

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
    let mut pack = PackWriter::create(folder)?;
    let mut tree = Skeleton::default();
    let mut files = HashSet::new();
    let mut folders = HashSet::from([TreePath::root()]);
    let mut dropped = HashSet::new();
    let mut archive = Archive::new(stream);
    let unreadable = || "the base is not a readable tar archive".to_owned();
    for entry in archive
        .entries()
        .or_error(ErrorKind::BadInput, unreadable)?
    {
        let mut entry = entry.or_error(ErrorKind::BadInput, unreadable)?;
        let name = entry.path_bytes().into_owned();
        if name.starts_with(b"/") {
            return Err(refuse(&name, "has an absolute name"));
        }
        let path = TreePath::new(&name).map_err(|error| Error::bad_input(error.to_string()))?;
        let glob_name = String::from_utf8_lossy(path.as_bytes()).into_owned();
        let parent = path.parent().unwrap_or_default();
        if drop.is_match(&glob_name) || dropped.contains(&parent) {
            dropped.insert(path);
            continue;
        }
        if !folders.contains(&parent) {
            return Err(refuse(&name, "lies in a folder that did not come before"));
        }
        let meta = meta(&mut entry, &name)?;
        let header = entry.header();
        let device = || -> Result<(u32, u32)> {
            let read = |part: std::io::Result<Option<u32>>| {
                part.ok()
                    .flatten()
                    .ok_or_else(|| refuse(&name, "is a device without a number"))
            };
            Ok((read(header.device_major())?, read(header.device_minor())?))
        };
        let target = |entry: &tar::Entry<'_, _>| {
            entry
                .link_name_bytes()
                .map(std::borrow::Cow::into_owned)
                .filter(|target| !target.is_empty())
                .ok_or_else(|| refuse(&name, "is a link without a target"))
        };
        let kind = match header.entry_type() {
            EntryType::Directory => {
                folders.insert(path.clone());
                SkeletonKind::Other(Kind::Dir)
            }
            EntryType::Symlink => SkeletonKind::Other(Kind::Symlink(target(&entry)?)),
            EntryType::Link => {
                let to = TreePath::new(target(&entry)?)
                    .map_err(|error| Error::bad_input(error.to_string()))?;
                if !files.contains(&to) {
                    return Err(refuse(
                        &name,
                        "is a hard link to a file that did not come before",
                    ));
                }
                SkeletonKind::HardLink(to)
            }
            EntryType::Char => {
                let (major, minor) = device()?;
                SkeletonKind::Other(Kind::CharDevice { major, minor })
            }
            EntryType::Block => {
                let (major, minor) = device()?;
                SkeletonKind::Other(Kind::BlockDevice { major, minor })
            }
            EntryType::Fifo => SkeletonKind::Other(Kind::Fifo),
            EntryType::Regular | EntryType::Continuous => {
                let len = entry.size();
                if !files.insert(path.clone()) {
                    return Err(refuse(&name, "comes twice"));
                }
                pack.add(&path, len, &mut entry)?;
                task.advance(len);
                SkeletonKind::File
            }
            other => {
                return Err(refuse(
                    &name,
                    &format!("is of a kind ({other:?}) that no base has"),
                ));
            }
        };
        tree.push(path, meta, kind);
    }
    if files.is_empty() {
        return Err(Error::bad_input("the base holds no file at all"));
    }
    pack.finish(folder, &tree)
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
        let number = |value: std::io::Result<u64>, what: &str| {
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
    let mut extensions = HashMap::new();
    if let Some(pax) = entry.pax_extensions()? {
        for extension in pax {
            let extension = extension?;
            let key = extension
                .key()
                .map_err(|_| refuse(name, "has an extended header that is not UTF-8"))?;
            extensions.insert(key.to_owned(), extension.value_bytes().to_vec());
        }
    }
    for (key, value) in extensions {
        if let Some(attribute) = key.strip_prefix("SCHILY.xattr.") {
            meta.xattrs.insert(attribute.to_owned(), value);
        }
    }
    Ok(meta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::Pack;
    use crate::progress::Silent;

    fn header(kind: EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o4755);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(9);
        header
    }

    /// An archive with names that the `tar` crate itself would refuse to write.
    fn raw(entries: &[(&str, EntryType, &str, &[u8])]) -> Vec<u8> {
        let mut out = tar::Builder::new(Vec::new());
        for (name, kind, link, bytes) in entries {
            let mut header = header(*kind, bytes.len() as u64);
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
            header.set_cksum();
            out.append(&header, *bytes).unwrap();
        }
        out.into_inner().unwrap()
    }

    fn decoded(bytes: &[u8], drop: &[&str]) -> Result<Pack> {
        let dir = tempfile::tempdir().unwrap();
        let drop = globs(&drop.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>())?;
        decode(bytes, &drop, dir.path(), &Silent)?;
        Ok(Pack::open(dir.path())?.expect("a pack that was just made is sound"))
    }

    #[test]
    fn every_kind_of_entry_is_kept() {
        let bytes = raw(&[
            ("./", EntryType::Directory, "", b""),
            ("./bin/", EntryType::Directory, "", b""),
            ("./bin/sh", EntryType::Regular, "", b"#!"),
            ("./bin/ash", EntryType::Link, "./bin/sh", b""),
            ("./lib", EntryType::Symlink, "../../etc", b""),
            ("./pipe", EntryType::Fifo, "", b""),
        ]);
        let pack = decoded(&bytes, &[]).unwrap();
        let node = |path: &str| pack.tree.get(&TreePath::new(path).unwrap()).unwrap();
        let meta = &node("bin/sh").meta;
        assert_eq!(
            (meta.mode, meta.uid, meta.gid, meta.mtime),
            (0o4755, 7, 8, 9)
        );
        assert_eq!(node("bin/ash").content(), node("bin/sh").content());
        // A link may point anywhere: it is data, nothing ever follows it.
        assert_eq!(node("lib").kind, Kind::Symlink(b"../../etc".to_vec()));
        assert_eq!(node("pipe").kind, Kind::Fifo);
    }

    #[test]
    fn what_the_recipe_drops_is_left_out() {
        let bytes = raw(&[
            ("./a/", EntryType::Directory, "", b""),
            ("./a/b/", EntryType::Directory, "", b""),
            ("./a/b/d", EntryType::Regular, "", b"1"),
            ("./c", EntryType::Regular, "", b"1"),
        ]);
        let pack = decoded(&bytes, &["a/*"]).unwrap();
        assert!(pack.tree.get(&TreePath::new("a").unwrap()).is_some());
        assert!(pack.tree.get(&TreePath::new("a/b").unwrap()).is_none());
        assert!(pack.tree.get(&TreePath::new("a/b/d").unwrap()).is_none());
    }

    #[test]
    fn nothing_escapes() {
        let file = |name: &'static str| raw(&[(name, EntryType::Regular, "", b"x")]);
        for (bytes, text) in [
            (
                file("../etc/passwd"),
                "`../etc/passwd` would leave the root",
            ),
            (file("a/../../b"), "`a/../../b` would leave the root"),
            (
                file("/etc/passwd"),
                "archive entry `/etc/passwd` has an absolute name",
            ),
            (
                raw(&[("x", EntryType::Link, "etc/shadow", b"")]),
                "archive entry `x` is a hard link to a file that did not come before",
            ),
            (
                raw(&[
                    ("x", EntryType::Regular, "", b"1"),
                    ("x", EntryType::Regular, "", b"2"),
                ]),
                "archive entry `x` comes twice",
            ),
        ] {
            assert_eq!(decoded(&bytes, &[]).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn a_cut_or_foreign_stream_is_refused() {
        let whole = raw(&[("x", EntryType::Regular, "", &[7; 2000])]);
        assert!(decoded(&whole[..1000], &[]).is_err());
        assert!(decoded(&[0x42; 4096], &[]).is_err());
        assert!(decoded(b"", &[]).is_err());
    }
}
