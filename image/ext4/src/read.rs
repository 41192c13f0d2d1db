//! A tree from a file system, through another author's decoder (`mkext4`), so that what the writer
//! misunderstands is not misread the same way. Of `ext4-view` the interface shows neither extended
//! attributes nor device numbers nor which names share an inode.
//!
//! The image is not trusted. Whatever an address, a length or a count in it says is checked against
//! the size of the image before it is used, every extent tree is walked in ascending order, and no
//! directory is entered twice; memory stays in proportion to the image's inodes.

mod extents;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use clawdie_runs::{FileRuns, Run};
use clawdie_tree::{ContentFile, Kind, LinkGroup, Meta, Node, Tree, TreePath};
use mkext4::reader::{Fs, ReadAt};
use mkext4::spec::inode::FileType;
use mkext4::spec::{self, DirentIter, Inode, Superblock, XattrEntry};

use crate::{Options, inode, xattr};

const BLOCK: u64 = spec::BLOCK_SIZE as u64;
const GROUP: u64 = spec::BLOCKS_PER_GROUP as u64 * BLOCK;
const RESIZE_INODE: u32 = 0x10;

/// What a file system holds.
#[derive(Debug)]
pub struct Found {
    /// Its tree; without `lost+found` when that is as [`crate::layout`] makes it.
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

/// Says where a decoder's complaint belongs.
fn at(place: &impl ToString) -> impl FnOnce(mkext4::Error) -> ReadError {
    let place = place.to_string();
    move |error| match error {
        mkext4::Error::Io(error) => ReadError::Io(error),
        other => damaged(place, other),
    }
}

/// Reads the file system that lies in `len` bytes of `image` from `offset` on. The contents of the
/// tree refer to the image; those in several pieces are put together in a temporary file.
///
/// # Errors
/// When the image cannot be read, the file system is damaged, or it has what a [`Tree`] cannot hold.
pub fn read(image: Arc<ContentFile>, offset: u64, len: u64) -> Result<Found, ReadError> {
    let window = Window {
        file: image.file(),
        offset,
        len,
    };
    let reader = Reader::open(window)?;
    let walked = reader.walk()?;
    let contents = clawdie_runs::hash(&image, offset, &walked.files)?;
    let mut tree: Option<Tree> = None;
    for (path, node) in walked.nodes {
        let kind = match node.kind {
            FoundKind::File(number) => {
                let content = contents
                    .get(&number.into())
                    .ok_or_else(|| damaged(&path, "is not a file"))?
                    .clone();
                let link =
                    (walked.names.get(&number) > Some(&1)).then_some(LinkGroup(number.into()));
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
    let mut tree = tree.ok_or_else(|| damaged("/", "there is no root"))?;
    let options = reader.options()?;
    drop_made_lost_found(&mut tree, options.epoch);
    Ok(Found { tree, options })
}

/// Takes `lost+found` out when it is empty and as the writer makes it.
fn drop_made_lost_found(tree: &mut Tree, epoch: i64) {
    let Ok(path) = TreePath::new("lost+found") else {
        return;
    };
    let made = Node::dir(Meta::root(0o700, epoch));
    if tree.get(&path) == Some(&made) && tree.children(&path).next().is_none() {
        tree.remove(&path);
    }
}

/// The part of an image that is the file system.
struct Window<'a> {
    file: &'a File,
    offset: u64,
    len: u64,
}

impl ReadAt for Window<'_> {
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        FileExt::read_exact_at(self.file, buf, self.offset + offset)
    }
}

enum FoundKind {
    /// A regular file by its inode's number.
    File(u32),
    Other(Kind),
}

struct FoundNode {
    kind: FoundKind,
    meta: Meta,
}

struct Walked {
    /// Parents before their entries.
    nodes: Vec<(TreePath, FoundNode)>,
    /// Regular files, each once.
    files: Vec<FileRuns>,
    /// How many names each regular file has.
    names: HashMap<u32, u64>,
}

struct Reader<'a> {
    fs: Fs<Window<'a>>,
    blocks: u64,
}

impl<'a> Reader<'a> {
    fn open(window: Window<'a>) -> Result<Self, ReadError> {
        const PLACE: &str = "superblock";
        let mut raw = [0; Superblock::LEN];
        window.read_exact_at(1024, &mut raw)?;
        let sb = Superblock::decode(&raw).map_err(at(&PLACE))?;
        // The decoder computes with these before it checks them all.
        let form = (
            sb.log_block_size,
            sb.first_data_block,
            sb.desc_size,
            sb.inode_size,
        );
        if form != (2, 0, 64, 256) {
            return Err(foreign(
                PLACE,
                "block, descriptor or inode sizes are others",
            ));
        }
        if sb.state != 1 || sb.feature_incompat & spec::incompat::RECOVER != 0 {
            return Err(foreign(
                PLACE,
                "it says that the file system was not unmounted or has errors",
            ));
        }
        let blocks = sb.blocks_count;
        if blocks == 0 || blocks > window.len / BLOCK {
            return Err(damaged(
                PLACE,
                format!("{blocks} blocks are more than the image has"),
            ));
        }
        let fs = Fs::open(window).map_err(at(&PLACE))?;
        let sb = fs.superblock();
        let table = u64::from(sb.inodes_per_group).div_ceil(BLOCK / 256);
        for group in 0..sb.group_count() {
            let start = fs
                .group_desc(group)
                .map_err(at(&"group descriptors"))?
                .inode_table;
            if start.checked_add(table).is_none_or(|end| end > blocks) {
                let place = format!("group descriptor {group}");
                return Err(damaged(
                    place,
                    "its inode table lies outside of the file system",
                ));
            }
        }
        Ok(Self { fs, blocks })
    }

    fn options(&self) -> Result<Options, ReadError> {
        let sb = self.fs.superblock();
        let end = sb.volume_name.iter().position(|&byte| byte == 0);
        let label = &sb.volume_name[..end.unwrap_or(sb.volume_name.len())];
        let mut hash_seed = [0; 16];
        for (bytes, word) in hash_seed.chunks_mut(4).zip(sb.hash_seed) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let per_block = BLOCK / sb.desc_size() as u64;
        let table = sb.group_count().div_ceil(per_block) + u64::from(sb.reserved_gdt_blocks);
        let journal = if sb.feature_compat & spec::compat::HAS_JOURNAL != 0 {
            self.fs
                .inode(spec::JOURNAL_INO)
                .map_err(at(&"journal"))?
                .size
        } else {
            0
        };
        // The root was made with the file system; its creation has more bits than the superblock's
        // field that this decoder shows.
        let root = self.fs.inode(spec::ROOT_INO).map_err(at(&"/"))?;
        Ok(Options {
            uuid: sb.uuid,
            hash_seed,
            label: String::from_utf8(label.to_vec())
                .map_err(|_| foreign("superblock", "the label is not UTF-8"))?,
            epoch: Inode::timestamp(root.crtime, root.crtime_extra).0,
            free: 0,
            grow_to: if sb.feature_compat & RESIZE_INODE != 0 {
                table * per_block * GROUP
            } else {
                0
            },
            journal,
            exact_size: Some(self.blocks * BLOCK),
        })
    }

    /// Every name of the file system, and the blocks of every file.
    fn walk(&self) -> Result<Walked, ReadError> {
        let sb = self.fs.superblock();
        // Names may outnumber inodes only by hard links.
        let most_names = u64::from(sb.inodes_count) * 2 + u64::from(spec::LINK_MAX);
        let mut walked = Walked {
            nodes: Vec::new(),
            files: Vec::new(),
            names: HashMap::new(),
        };
        let mut seen = HashSet::new();
        let mut blocks_left = self.blocks;
        let mut todo = vec![(TreePath::root(), spec::ROOT_INO)];
        while let Some((path, number)) = todo.pop() {
            let inode = self.fs.inode(number).map_err(at(&path))?;
            let kind = inode.file_type();
            if !seen.insert(number) {
                if kind != FileType::Regular {
                    return Err(damaged(&path, format!("inode {number} is there twice")));
                }
            } else if kind == FileType::Regular {
                walked.files.push(FileRuns {
                    number: number.into(),
                    size: inode.size,
                    runs: self.runs(&path, number, &inode, &mut blocks_left)?,
                });
            }
            let kind = match kind {
                FileType::Regular => {
                    *walked.names.entry(number).or_default() += 1;
                    FoundKind::File(number)
                }
                FileType::Dir => {
                    let entries = self.entries(&path, number, &inode, &mut blocks_left)?;
                    // Taken from the end; by name, so that nothing depends on the order on disk.
                    todo.extend(entries.into_iter().rev());
                    FoundKind::Other(Kind::Dir)
                }
                FileType::Symlink => {
                    let target = self.target(&path, number, &inode, &mut blocks_left)?;
                    FoundKind::Other(Kind::Symlink(target))
                }
                FileType::Fifo => FoundKind::Other(Kind::Fifo),
                FileType::CharDev | FileType::BlockDev => {
                    let (major, minor) = inode.dev_numbers().unwrap_or_default();
                    FoundKind::Other(match kind {
                        FileType::CharDev => Kind::CharDevice { major, minor },
                        _ => Kind::BlockDevice { major, minor },
                    })
                }
                FileType::Socket => return Err(foreign(&path, "it is a socket")),
                FileType::Unknown => return Err(damaged(&path, "its mode names no kind of file")),
            };
            let meta = self.meta(&path, number, &inode)?;
            walked.nodes.push((path, FoundNode { kind, meta }));
            if (walked.nodes.len() + todo.len()) as u64 > most_names {
                return Err(damaged(
                    "directories",
                    "there are more names than inodes allow",
                ));
            }
        }
        Ok(walked)
    }

    fn block(&self, place: &TreePath, block: u64) -> Result<Vec<u8>, ReadError> {
        if block == 0 || block >= self.blocks {
            return Err(damaged(
                place,
                format!("block {block} lies outside of the file system"),
            ));
        }
        self.fs.read_block(block).map_err(at(place))
    }

    fn entries(
        &self,
        path: &TreePath,
        number: u32,
        inode: &Inode,
        blocks_left: &mut u64,
    ) -> Result<Vec<(TreePath, u32)>, ReadError> {
        let indexed = inode.flags & spec::iflags::INDEX != 0;
        let mut entries = Vec::new();
        let runs = self.runs(path, number, inode, blocks_left)?;
        let blocks = runs.iter().flat_map(|run| run.start..run.start + run.len);
        for (index, block) in blocks.enumerate() {
            // The first block of an index has no names but `.` and `..`, behind which it hides.
            if indexed && index == 0 {
                continue;
            }
            let block = self.block(path, block)?;
            for entry in DirentIter::new(&block) {
                let entry = entry.map_err(at(path))?;
                match entry.name {
                    b"." | b".." => continue,
                    name if name.is_empty() || name.contains(&b'/') => {
                        return Err(damaged(path, "a name in it is empty or holds a `/`"));
                    }
                    name => {
                        let below = path.join(name).map_err(|error| damaged(path, error))?;
                        if entry.inode != spec::ROOT_INO && entry.inode < spec::FIRST_INO {
                            return Err(damaged(
                                &below,
                                format!("inode {} is reserved", entry.inode),
                            ));
                        }
                        entries.push((below, entry.inode));
                    }
                }
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn target(
        &self,
        path: &TreePath,
        number: u32,
        inode: &Inode,
        blocks_left: &mut u64,
    ) -> Result<Vec<u8>, ReadError> {
        if let Some(target) = inode.fast_symlink_target() {
            return Ok(target.to_vec());
        }
        let runs = self.runs(path, number, inode, blocks_left)?;
        match runs.as_slice() {
            [Run { start, len: 1 }] => {
                let mut target = self.block(path, *start)?;
                target.truncate(usize::try_from(inode.size).unwrap_or(usize::MAX));
                Ok(target)
            }
            _ => Err(damaged(path, "the target is not one block long")),
        }
    }

    fn meta(&self, path: &TreePath, number: u32, inode: &Inode) -> Result<Meta, ReadError> {
        let raw = self.fs.inode_raw(number).map_err(at(path))?;
        let mut entries = spec::ibody_entries(&raw, inode.extra_isize).map_err(at(path))?;
        if inode.file_acl != 0 {
            let block = self.block(path, inode.file_acl)?;
            let view = spec::XattrBlockView::parse(&block).map_err(at(path))?;
            entries.extend(view.entries);
        }
        let mut xattrs = BTreeMap::new();
        for entry in entries {
            let (name, value) = attribute(path, entry)?;
            if xattrs.insert(name, value).is_some() {
                return Err(damaged(path, "an extended attribute is there twice"));
            }
        }
        Ok(Meta {
            mode: inode.mode & 0o7777,
            uid: inode.uid,
            gid: inode.gid,
            mtime: Inode::timestamp(inode.mtime, inode.mtime_extra).0,
            flags: inode::flags_from_disk(inode.flags),
            xattrs,
        })
    }
}

fn attribute(path: &TreePath, entry: XattrEntry) -> Result<(String, Vec<u8>), ReadError> {
    let name = entry
        .full_name()
        .and_then(|name| String::from_utf8(name).ok())
        .ok_or_else(|| foreign(path, "an extended attribute has an unknown kind of name"))?;
    let value = if matches!(entry.name_index, 2 | 3) {
        xattr::acl_from_disk(&entry.value)
            .ok_or_else(|| damaged(path, "its access control list is malformed"))?
    } else {
        entry.value
    };
    Ok((name, value))
}
