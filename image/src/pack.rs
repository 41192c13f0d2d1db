//! A tree decoded once and kept: one file with all contents, one with the nodes.
//!
//! Every content starts at a multiple of [`ALIGN`] and is padded with zeros to the next one, so a
//! file system writer with blocks of that size copies neighbours in one go. The order is that of
//! the archive it came from. Reading a pack back costs the index only; the contents stay on disk.

use std::collections::HashMap;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use clawdie_tree::{Content, ContentFile, Kind, LinkGroup, Meta, Node, Tree, TreePath};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::Digest;
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, ErrorKind, Result, ResultExt};

/// Contents start at multiples of this; the block size of our file systems divides it.
pub const ALIGN: u64 = 4096;

const SCHEMA: u32 = 1;
const CONTENTS: &str = "contents";
const INDEX: &str = "index.json";

/// Writes contents one after another.
#[derive(Debug)]
pub struct PackWriter {
    out: BufWriter<fs::File>,
    at: u64,
    check: Xxh3Box,
    places: HashMap<TreePath, Place>,
}

/// Where one content lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    len: u64,
    sha256: clawdie_tree::Sha256,
}

// `Xxh3` has no `Debug`.
struct Xxh3Box(Box<Xxh3>);

impl std::fmt::Debug for Xxh3Box {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Xxh3")
    }
}

impl PackWriter {
    /// Begins a pack in an empty folder.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(folder: &Path) -> Result<Self> {
        let out = BufWriter::with_capacity(1 << 20, fs::File::create_new(folder.join(CONTENTS))?);
        Ok(Self {
            out,
            at: 0,
            check: Xxh3Box(Box::default()),
            places: HashMap::new(),
        })
    }

    /// Takes in one content of `len` bytes for `path`.
    ///
    /// # Errors
    /// When `reader` ends early, or the disk is full.
    pub fn add(&mut self, path: &TreePath, len: u64, reader: &mut dyn Read) -> Result<()> {
        let mut sha = sha2::Sha256::new();
        let mut left = len;
        let mut buf = [0; 64 << 10];
        while left > 0 {
            let want = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let got = reader.read(&mut buf[..want])?;
            if got == 0 {
                return Err(Error::bad_input(format!(
                    "`{path}` ends {left} bytes too early"
                )));
            }
            sha.update(&buf[..got]);
            self.write(&buf[..got])?;
            left -= got as u64;
        }
        let place = Place {
            offset: self.at - len,
            len,
            sha256: sha.finalize().into(),
        };
        let pad = self.at.next_multiple_of(ALIGN) - self.at;
        self.write(&[0; ALIGN as usize][..pad as usize])?;
        self.places.insert(path.clone(), place);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.check.0.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Ends the pack: contents synced, then the index that makes them valid.
    ///
    /// # Errors
    /// When the disk is full, or a file of `tree` was never added.
    pub fn finish(self, folder: &Path, tree: &Skeleton) -> Result<()> {
        let out = self
            .out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        out.sync_all()?;
        let nodes = tree
            .nodes
            .iter()
            .map(|(path, meta, kind)| Row::new(path, meta, kind, &self.places))
            .collect::<Result<Vec<_>>>()?;
        let index = Index {
            schema: SCHEMA,
            len: self.at,
            xxh3: format!("{:016x}", self.check.0.digest()),
            nodes,
        };
        let mut file = fs::File::create_new(folder.join(INDEX))?;
        let mut writer = BufWriter::new(&mut file);
        serde_json::to_writer(&mut writer, &index)
            .or_error(ErrorKind::Failed, || format!("writing `{INDEX}`"))?;
        writer.flush()?;
        drop(writer);
        Ok(file.sync_all()?)
    }
}

/// Nodes in the order they came, before their contents have a place.
#[derive(Debug, Default)]
pub struct Skeleton {
    nodes: Vec<(TreePath, Meta, SkeletonKind)>,
}

/// A [`Kind`] without its content.
#[derive(Debug)]
pub enum SkeletonKind {
    /// A regular file whose bytes were added under its own path.
    File,
    /// A hard link to an earlier file.
    HardLink(TreePath),
    /// Everything else is complete as it is.
    Other(Kind),
}

impl Skeleton {
    /// Adds a node.
    pub fn push(&mut self, path: TreePath, meta: Meta, kind: SkeletonKind) {
        self.nodes.push((path, meta, kind));
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Index {
    schema: u32,
    len: u64,
    xxh3: String,
    nodes: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    path: String,
    mode: u16,
    uid: u32,
    gid: u32,
    mtime: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    flags: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    xattrs: Vec<(String, Vec<u8>)>,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum What {
    Dir,
    File {
        offset: u64,
        len: u64,
        sha256: String,
    },
    Hardlink {
        to: String,
    },
    Symlink {
        to: String,
    },
    Char {
        major: u32,
        minor: u32,
    },
    Block {
        major: u32,
        minor: u32,
    },
    Fifo,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn text(path: &TreePath) -> Result<String> {
    String::from_utf8(path.as_bytes().to_vec()).map_err(|_| {
        Error::bad_input(format!("the name of `{path}` is not UTF-8"))
            .hint("a manifest could not say which file that is; rename it or drop it in the recipe")
    })
}

impl Row {
    fn new(
        path: &TreePath,
        meta: &Meta,
        kind: &SkeletonKind,
        places: &HashMap<TreePath, Place>,
    ) -> Result<Self> {
        let what = match kind {
            SkeletonKind::File => {
                let place = places.get(path).ok_or_else(|| {
                    Error::failed(format!("`{path}` is listed, but its content never came"))
                })?;
                What::File {
                    offset: place.offset,
                    len: place.len,
                    sha256: clawdie_tree::hex(place.sha256),
                }
            }
            SkeletonKind::HardLink(to) => What::Hardlink { to: text(to)? },
            SkeletonKind::Other(Kind::Dir) => What::Dir,
            SkeletonKind::Other(Kind::Symlink(to)) => What::Symlink {
                to: String::from_utf8(to.clone()).map_err(|_| {
                    Error::bad_input(format!("the target of the link `{path}` is not UTF-8"))
                })?,
            },
            SkeletonKind::Other(Kind::CharDevice { major, minor }) => What::Char {
                major: *major,
                minor: *minor,
            },
            SkeletonKind::Other(Kind::BlockDevice { major, minor }) => What::Block {
                major: *major,
                minor: *minor,
            },
            SkeletonKind::Other(Kind::Fifo) => What::Fifo,
            SkeletonKind::Other(Kind::File { .. }) => {
                return Err(Error::failed(format!("`{path}` came without its content")));
            }
        };
        Ok(Self {
            path: text(path)?,
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            mtime: meta.mtime,
            flags: meta.flags,
            xattrs: meta.xattrs.clone().into_iter().collect(),
            what,
        })
    }
}

/// A pack that has been read back.
#[derive(Debug)]
pub struct Pack {
    contents: Arc<ContentFile>,
    len: u64,
    xxh3: String,
    /// The tree; its contents lie in the pack.
    pub tree: Tree,
}

impl Pack {
    /// Opens the pack in `folder`; none when it is truncated or its index does not fit it.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        let index: Index = match serde_json::from_slice(&fs::read(folder.join(INDEX))?) {
            Ok(index) => index,
            Err(_) => return Ok(None),
        };
        let contents = ContentFile::open(&folder.join(CONTENTS))?;
        if index.schema != SCHEMA || contents.file().metadata()?.len() != index.len {
            return Ok(None);
        }
        let mut tree = Tree::new(Meta::root(0o755, 0));
        for (row, group) in index.nodes.iter().zip(0..) {
            if insert(&mut tree, row, LinkGroup(group), &contents, index.len).is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Self {
            contents,
            len: index.len,
            xxh3: index.xxh3,
            tree,
        }))
    }

    /// Reads all contents and compares them with the checksum taken when they were written: a disk
    /// that lost bits is noticed before they reach an image.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_sound(&self) -> Result<bool> {
        let mut check = Xxh3::new();
        let mut file = self.contents.file();
        file.rewind()?;
        let mut buf = vec![0; 1 << 20];
        let mut len = 0;
        loop {
            match file.read(&mut buf)? {
                0 => break,
                got => {
                    check.update(&buf[..got]);
                    len += got as u64;
                }
            }
        }
        Ok(len == self.len && format!("{:016x}", check.digest()) == self.xxh3)
    }
}

/// Places one row; none when it does not make sense.
fn insert(
    tree: &mut Tree,
    row: &Row,
    group: LinkGroup,
    contents: &Arc<ContentFile>,
    len: u64,
) -> Option<()> {
    let path = TreePath::new(&row.path).ok()?;
    let meta = Meta {
        mode: row.mode,
        uid: row.uid,
        gid: row.gid,
        mtime: row.mtime,
        flags: row.flags,
        xattrs: row.xattrs.iter().cloned().collect(),
    };
    let kind = match &row.what {
        What::Dir => Kind::Dir,
        What::File {
            offset,
            len: size,
            sha256,
        } => {
            if offset.checked_add(*size)? > len {
                return None;
            }
            let sha256 = unhex(sha256)?;
            let content = Content::extent(Arc::clone(contents), *offset, *size, sha256);
            Kind::File {
                content,
                link: None,
            }
        }
        What::Hardlink { to } => {
            let to = TreePath::new(to).ok()?;
            let mut first = tree.get(&to)?.clone();
            let Kind::File { content, link } = &mut first.kind else {
                return None;
            };
            let (content, group) = (content.clone(), *link.get_or_insert(group));
            tree.insert(to, first).ok()?;
            Kind::File {
                content,
                link: Some(group),
            }
        }
        What::Symlink { to } => Kind::Symlink(to.clone().into_bytes()),
        What::Char { major, minor } => Kind::CharDevice {
            major: *major,
            minor: *minor,
        },
        What::Block { major, minor } => Kind::BlockDevice {
            major: *major,
            minor: *minor,
        },
        What::Fifo => Kind::Fifo,
    };
    tree.insert(path, Node { kind, meta }).ok()
}

/// Reads 64 hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<clawdie_tree::Sha256> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> TreePath {
        TreePath::new(path).unwrap()
    }

    fn pack(folder: &Path) {
        let mut skeleton = Skeleton::default();
        let mut writer = PackWriter::create(folder).unwrap();
        let meta = Meta {
            mode: 0o644,
            uid: 3,
            gid: 4,
            mtime: 5,
            ..Meta::default()
        };
        skeleton.push(
            at("a"),
            Meta::root(0o755, 1),
            SkeletonKind::Other(Kind::Dir),
        );
        for (name, bytes) in [("a/one", b"1".as_slice()), ("a/two", &[2; 5000])] {
            writer
                .add(&at(name), bytes.len() as u64, &mut &*bytes)
                .unwrap();
            skeleton.push(at(name), meta.clone(), SkeletonKind::File);
        }
        skeleton.push(at("a/three"), meta, SkeletonKind::HardLink(at("a/one")));
        let link = SkeletonKind::Other(Kind::Symlink(b"a/one".to_vec()));
        skeleton.push(at("link"), Meta::root(0o777, 1), link);
        writer.finish(folder, &skeleton).unwrap();
    }

    #[test]
    fn what_goes_in_comes_out() {
        let dir = tempfile::tempdir().unwrap();
        pack(dir.path());
        let pack = Pack::open(dir.path()).unwrap().unwrap();
        assert!(pack.is_sound().unwrap());
        let node = pack.tree.get(&at("a/two")).unwrap();
        assert_eq!((node.meta.uid, node.meta.gid, node.meta.mtime), (3, 4, 5));
        assert_eq!(node.content().unwrap().read().unwrap(), [2; 5000]);
        assert_eq!(node.content().unwrap().as_extent().unwrap().1 % ALIGN, 0);
        let group = |path: &str| match &pack.tree.get(&at(path)).unwrap().kind {
            Kind::File { link, .. } => *link,
            _ => None,
        };
        assert!(group("a/one").is_some());
        assert_eq!(group("a/one"), group("a/three"));
        assert_eq!(group("a/two"), None);
    }

    #[test]
    fn damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        pack(dir.path());
        let contents = dir.path().join(CONTENTS);
        let mut bytes = std::fs::read(&contents).unwrap();
        bytes[4100] ^= 1;
        std::fs::write(&contents, &bytes).unwrap();
        assert!(!Pack::open(dir.path()).unwrap().unwrap().is_sound().unwrap());
        std::fs::write(&contents, &bytes[..8000]).unwrap();
        assert!(
            Pack::open(dir.path()).unwrap().is_none(),
            "truncated contents"
        );
        std::fs::write(dir.path().join(INDEX), "{").unwrap();
        assert!(Pack::open(dir.path()).unwrap().is_none(), "torn index");
    }

    #[test]
    fn an_archive_that_ends_early_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = PackWriter::create(dir.path()).unwrap();
        let error = writer
            .add(&at("f"), 10, &mut b"short".as_slice())
            .unwrap_err();
        assert_eq!(error.to_string(), "`/f` ends 5 bytes too early");
    }
}
