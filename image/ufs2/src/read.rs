//! A tree from a file system.
//!
//! Decoding shares nothing with the writer but the offsets of fields. The tests also read what is
//! written with other people's programs, so that what the writer misunderstands is not misread here
//! the same way.
//!
//! The image is not trusted: see [`crate::disk`]. Every block and every name is counted, no directory
//! is entered twice; memory stays in proportion to the image's size, and so does time, as holes can
//! make files only so much longer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use clawdie_tree::{ContentFile, Kind, LinkGroup, Meta, Node, Tree, TreePath};

use crate::bytes::Fields;
use crate::directory::{self, CHUNK};
use crate::disk::{Address, RawInode, Volume, Window, superblock_faults};
use crate::geometry::{BLOCK, FRAG, FRAGS, ROOT, SUPER_AT};
use crate::plan::stored_frags;
use crate::{Options, xattr};
use clawdie_runs::{FileRuns, Run, push};

/// What a file system holds.
#[derive(Debug)]
pub struct Found {
    /// Its tree.
    pub tree: Tree,
    /// The options that make the same file system from the same tree: the size is an exact one.
    pub options: Options,
}

/// Why a file system cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The image cannot be read.
    #[error("the image cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file system contradicts itself or the format.
    #[error("the file system is damaged at {place}: {fault}; take a fresh copy of the image")]
    Damaged {
        /// The structure or path.
        place: String,
        /// What is wrong with it.
        fault: String,
    },
    /// Sound, perhaps, but nothing that this program makes.
    #[error("{place}: {fault}, which images of this program do not have")]
    Foreign {
        /// The structure or path.
        place: String,
        /// What it has.
        fault: String,
    },
}

/// How many times as long as the file system all its files together may be: holes have no end.
const MOST_STRETCH: u64 = 16;

fn damaged(place: impl ToString, fault: impl ToString) -> ReadError {
    ReadError::Damaged {
        place: place.to_string(),
        fault: fault.to_string(),
    }
}

fn foreign(place: impl ToString, fault: impl ToString) -> ReadError {
    ReadError::Foreign {
        place: place.to_string(),
        fault: fault.to_string(),
    }
}

/// Reads the file system that lies in `len` bytes of `image` from `offset` on. The contents of the
/// tree refer to the image; those in several pieces are put together in a temporary file.
///
/// # Errors
/// When the image cannot be read, the file system is damaged, or it has what a [`Tree`] cannot hold.
pub fn read(image: Arc<ContentFile>, offset: u64, len: u64) -> Result<Found, ReadError> {
    let window = Window::new(image.file(), offset, len)?;
    let volume = Volume::open(window)?.map_err(|fault| damaged("superblock", fault))?;
    let faults = superblock_faults(&volume.raw, &volume.geometry, SUPER_AT);
    if let Some(fault) = faults.into_iter().next() {
        return Err(damaged("superblock", fault));
    }
    if volume.raw[209] != 1 {
        let fault = "it says that the file system was not unmounted";
        return Err(foreign("superblock", fault));
    }
    let walked = Reader {
        volume: &volume,
        frags_left: volume.geometry.frags,
        bytes_left: volume.geometry.frags * FRAG * MOST_STRETCH,
        names_left: volume.most_names(),
    }
    .walk()?;
    let contents = clawdie_runs::hash(&image, offset, &walked.files)?;
    let mut options = options(&volume)?;
    let holes = walked.files.iter().map(|file| (file.number, holes(file)));
    let mut holes: HashMap<u64, Vec<Range<u64>>> =
        holes.filter(|(_, holes)| !holes.is_empty()).collect();
    let mut tree: Option<Tree> = None;
    for (path, node) in walked.nodes {
        let kind = match node.kind {
            FoundKind::File(number) => {
                if let Some(holes) = holes.remove(&number) {
                    options.holes.insert(path.clone(), holes);
                }
                let content = contents
                    .get(&number)
                    .ok_or_else(|| damaged(&path, "is not a file"))?
                    .clone();
                let link = (walked.names.get(&number) > Some(&1)).then_some(LinkGroup(number));
                Kind::File { content, link }
            }
            FoundKind::Other(kind) => kind,
        };
        match &mut tree {
            None => tree = Some(Tree::new(node.meta)),
            Some(tree) => {
                if tree.get(&path).is_some() {
                    return Err(damaged(&path, "the name is there twice"));
                }
                let node = Node {
                    kind,
                    meta: node.meta,
                };
                tree.insert(path.clone(), node)
                    .map_err(|error| damaged(&path, error))?;
            }
        }
    }
    let tree = tree.ok_or_else(|| damaged("/", "there is no root"))?;
    Ok(Found { tree, options })
}

/// The holes of a file, in bytes.
fn holes(file: &FileRuns) -> Vec<Range<u64>> {
    let mut at = 0;
    let mut holes = Vec::new();
    for run in &file.runs {
        let end = at + run.len * FRAG;
        if run.is_hole() {
            holes.push(at..end);
        }
        at = end;
    }
    holes
}

fn options(volume: &Volume<'_>) -> Result<Options, ReadError> {
    let raw = &volume.raw;
    let label = &raw[680..712];
    let end = label.iter().position(|&byte| byte == 0);
    let label = String::from_utf8(label[..end.unwrap_or(label.len())].to_vec())
        .map_err(|_| foreign("superblock", "the label is not UTF-8"))?;
    let frags = volume.geometry.frags;
    // The partition may be longer than whole groups of blocks.
    let provider = raw.get64(872);
    let whole = (frags..=volume.window.len / FRAG).contains(&provider);
    Ok(Options {
        id: raw.array(144),
        label,
        epoch: raw.get64(1072) as i64,
        free: 0,
        exact_size: Some(if whole { provider } else { frags } * FRAG),
        holes: BTreeMap::new(),
    })
}

enum FoundKind {
    /// A regular file by its inode's number.
    File(u64),
    Other(Kind),
}

struct FoundNode {
    kind: FoundKind,
    meta: Meta,
}

#[derive(Default)]
struct Walked {
    /// Parents before their entries.
    nodes: Vec<(TreePath, FoundNode)>,
    /// Regular files, each once.
    files: Vec<FileRuns>,
    /// How many names each regular file has.
    names: HashMap<u64, u64>,
}

struct Reader<'a> {
    volume: &'a Volume<'a>,
    /// Blocks that belong to several files could make more content than there is image.
    frags_left: u64,
    /// Of the lengths of all files.
    bytes_left: u64,
    names_left: u64,
}

impl Reader<'_> {
    /// Every name of the file system, and the fragments of every file.
    fn walk(&mut self) -> Result<Walked, ReadError> {
        let mut walked = Walked::default();
        let mut seen = HashSet::new();
        let mut todo = vec![(TreePath::root(), u64::from(ROOT))];
        while let Some((path, number)) = todo.pop() {
            let inode = self.volume.inode(number)?;
            if !inode.hash_is_right() {
                return Err(damaged(
                    &path,
                    format!("inode {number} has a wrong check hash"),
                ));
            }
            let kind = inode.kind();
            let first = seen.insert(number);
            if !first && kind != 8 {
                return Err(damaged(&path, format!("inode {number} is there twice")));
            }
            let kind = match kind {
                8 => {
                    if first {
                        let runs = self.runs(&path, &inode)?;
                        let size = inode.size();
                        self.bytes_left = self.bytes_left.checked_sub(size).ok_or_else(|| {
                            let fault = format!(
                                "with it, files are more than {MOST_STRETCH} times as long as the file system"
                            );
                            foreign(&path, fault)
                        })?;
                        walked.files.push(FileRuns { number, size, runs });
                    }
                    *walked.names.entry(number).or_default() += 1;
                    FoundKind::File(number)
                }
                4 => {
                    let entries = self.entries(&path, &inode)?;
                    // Taken from the end; by name, so that nothing depends on the order on disk.
                    todo.extend(entries.into_iter().rev());
                    FoundKind::Other(Kind::Dir)
                }
                10 => FoundKind::Other(Kind::Symlink(self.target(&path, &inode)?)),
                1 => FoundKind::Other(Kind::Fifo),
                2 | 6 => {
                    let (major, minor) = inode.device();
                    FoundKind::Other(match kind {
                        2 => Kind::CharDevice { major, minor },
                        _ => Kind::BlockDevice { major, minor },
                    })
                }
                12 => return Err(foreign(&path, "it is a socket")),
                _ => return Err(damaged(&path, "its mode names no kind of file")),
            };
            let meta = self.meta(&path, &inode)?;
            walked.nodes.push((path, FoundNode { kind, meta }));
        }
        Ok(walked)
    }

    /// The fragments of a file, in order and to its end, holes included.
    fn runs(&mut self, path: &TreePath, inode: &RawInode) -> Result<Vec<Run>, ReadError> {
        let volume = self.volume;
        let size = inode.size();
        let mut runs = Vec::new();
        let mut next = 0;
        let mut fault = None;
        volume.addresses(size, &inode.area(), &mut |address| {
            let (at, len) = match address {
                Address::Data { at, len, .. } => (at, len),
                Address::Addresses { at } => (at, FRAGS),
                Address::Beyond { .. } => {
                    fault.get_or_insert("there is an address beyond its end");
                    return Ok(false);
                }
            };
            if let Some(what) = volume.address_fault(at, len) {
                fault.get_or_insert(what);
            }
            match self.frags_left.checked_sub(len) {
                Some(left) => self.frags_left = left,
                None => {
                    fault.get_or_insert("files hold more blocks than there are");
                }
            }
            if fault.is_some() {
                return Ok(false);
            }
            if let Address::Data { block, at, len } = address {
                let hole = block * FRAGS - next;
                push(
                    &mut runs,
                    Run {
                        start: 0,
                        len: hole,
                    },
                );
                push(&mut runs, Run { start: at, len });
                next = block * FRAGS + len;
            }
            Ok(true)
        })?;
        if let Some(fault) = fault {
            return Err(damaged(path, format!("a block of it: {fault}")));
        }
        if next != stored_frags(size) {
            return Err(damaged(path, format!("{size} bytes end in a hole")));
        }
        Ok(runs)
    }

    /// The bytes of a directory or a long link target, which are never large.
    fn bytes(&mut self, path: &TreePath, inode: &RawInode) -> Result<Vec<u8>, ReadError> {
        let runs = self.runs(path, inode)?;
        let mut bytes = Vec::new();
        for run in runs {
            if run.is_hole() {
                return Err(damaged(path, "there is a hole in it"));
            }
            bytes.extend(self.volume.window.read(run.start * FRAG, run.len * FRAG)?);
        }
        bytes.truncate(inode.size() as usize);
        Ok(bytes)
    }

    fn entries(
        &mut self,
        path: &TreePath,
        inode: &RawInode,
    ) -> Result<Vec<(TreePath, u64)>, ReadError> {
        if inode.size() > self.volume.most_directory() {
            return Err(damaged(path, "it is longer than a directory can be"));
        }
        let bytes = self.bytes(path, inode)?;
        if bytes.is_empty() || !bytes.len().is_multiple_of(CHUNK) {
            return Err(damaged(
                path,
                "its length is not whole chunks of a directory",
            ));
        }
        let mut entries = Vec::new();
        for chunk in bytes.chunks(CHUNK) {
            let names = directory::names(chunk).map_err(|(_, fault)| damaged(path, fault))?;
            for entry in names {
                if matches!(entry.name, b"." | b"..") {
                    continue;
                }
                let below = path
                    .join(entry.name)
                    .map_err(|error| damaged(path, error))?;
                if entry.is_whiteout() {
                    return Err(foreign(&below, "it is a whiteout"));
                }
                self.names_left = self.names_left.checked_sub(1).ok_or_else(|| {
                    foreign(&below, "it is one of more names than there is sense in")
                })?;
                let number = u64::from(entry.inode);
                if number <= u64::from(ROOT) || number >= self.volume.inodes() {
                    return Err(damaged(
                        &below,
                        format!("there is no inode {number} for it"),
                    ));
                }
                entries.push((below, number));
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn target(&mut self, path: &TreePath, inode: &RawInode) -> Result<Vec<u8>, ReadError> {
        if inode.is_short_link() {
            return Ok(inode.area()[..inode.size() as usize].to_vec());
        }
        if inode.size() > BLOCK {
            return Err(damaged(path, "its target is longer than a path can be"));
        }
        self.bytes(path, inode)
    }

    fn meta(&mut self, path: &TreePath, inode: &RawInode) -> Result<Meta, ReadError> {
        let mut bytes = Vec::new();
        if inode.attributes_len() > 2 * BLOCK {
            return Err(damaged(path, "its extended attributes are too long"));
        }
        for (at, frags) in inode.attribute_runs() {
            let fault = if at == 0 {
                Some("is missing")
            } else {
                self.volume.address_fault(at, frags)
            };
            if let Some(fault) = fault {
                return Err(damaged(
                    path,
                    format!("a block of extended attributes {fault}"),
                ));
            }
            bytes.extend(self.volume.window.read(at * FRAG, frags * FRAG)?);
        }
        bytes.truncate(inode.attributes_len() as usize);
        Ok(Meta {
            mode: inode.mode() & 0o7777,
            uid: inode.uid(),
            gid: inode.gid(),
            mtime: inode.mtime(),
            flags: inode.flags(),
            xattrs: xattr::decode(&bytes).map_err(|fault| damaged(path, fault))?,
        })
    }
}
