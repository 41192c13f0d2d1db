//! From a tree to inodes: numbers, links, directory blocks, attributes. Nothing here depends on
//! where blocks lie.

use std::collections::BTreeMap;

use clawdie_tree::{Content, Kind, LinkGroup, Meta, Node, Tree, TreePath};

use crate::directory::{self, Context, Entry};
use crate::extent;
use crate::geometry::BLOCK;
use crate::inode::{self, EXTENTS, INDEX, Inode, LOST_FOUND, ROOT};
use crate::xattr::{self, Attributes};
use crate::{Error, Options, checksum};

/// More names than this and a file cannot have another; a directory then counts 1.
const MOST_LINKS: u64 = 65000;
const LONGEST_FAST_LINK: usize = 59;
const LOST_FOUND_BLOCKS: usize = 4;

/// What an inode's blocks hold.
#[derive(Debug)]
pub(crate) enum Payload {
    /// It has none.
    None,
    /// Directory blocks or a long link target.
    Bytes(Vec<u8>),
    /// A file's content.
    Content(Content),
    /// The journal.
    Journal(u64),
}

impl Payload {
    /// Blocks it takes.
    pub(crate) fn blocks(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Bytes(bytes) => (bytes.len() as u64).div_ceil(BLOCK),
            Self::Content(content) => content.len().div_ceil(BLOCK),
            Self::Journal(bytes) => bytes / BLOCK,
        }
    }
}

/// An inode whose blocks have no place yet.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) inode: Inode,
    /// Its first name in the tree's order.
    pub(crate) path: TreePath,
    pub(crate) attributes: Attributes,
    pub(crate) payload: Payload,
}

impl Item {
    /// Blocks it takes at most, those of its extent tree and attributes included.
    pub(crate) fn most_blocks(&self) -> u64 {
        let blocks = self.payload.blocks();
        let attributes = matches!(self.attributes, Attributes::InBlock(_));
        blocks + extent::most_tree_blocks(blocks) + u64::from(attributes)
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.inode.mode >> 12 == 4
    }
}

struct Dir {
    item: usize,
    parent: u32,
    /// Name, inode and kind of each entry.
    entries: Vec<(TreePath, u32, u8)>,
    subdirs: u64,
}

/// The tree's inodes by ascending number, from the root's; the reserved ones are not among them.
pub(crate) fn items(tree: &Tree, options: &Options) -> Result<Vec<Item>, Error> {
    let lost_found = TreePath::new("lost+found").map_err(|_| Error::LostFound)?;
    let mut items: Vec<Item> = Vec::with_capacity(tree.len() + 1);
    let mut dirs: Vec<Dir> = Vec::new();
    // The directories on the way to the current node, as indices into `dirs`.
    let mut above: Vec<usize> = Vec::new();
    let mut links: BTreeMap<LinkGroup, (usize, u64)> = BTreeMap::new();
    let mut next = LOST_FOUND + 1;

    let made = tree.get(&lost_found).is_none().then(|| {
        (
            lost_found.clone(),
            Node::dir(Meta::root(0o700, options.epoch)),
        )
    });
    let nodes = tree
        .iter()
        .chain(made.as_ref().map(|(path, node)| (path, node)));
    for (path, node) in nodes {
        let depth = path.names().count();
        above.truncate(depth);
        if let Kind::File {
            content,
            link: Some(group),
        } = &node.kind
            && let Some((first, count)) = links.get_mut(group)
        {
            let shared = &items[*first];
            let same = matches!(&shared.payload, Payload::Content(other) if other == content)
                && tree
                    .get(&shared.path)
                    .is_some_and(|other| other.meta == node.meta);
            if !same {
                return Err(Error::LinksDiffer {
                    first: shared.path.clone(),
                    second: path.clone(),
                });
            }
            *count += 1;
            if *count > MOST_LINKS {
                return Err(Error::TooManyLinks(path.clone()));
            }
            let number = shared.inode.number;
            if let Some(&dir) = above.last() {
                dirs[dir]
                    .entries
                    .push((path.clone(), number, d_type(&node.kind)));
            }
            continue;
        }

        let number = if path.is_root() {
            ROOT
        } else if *path == lost_found {
            if !node.is_dir() {
                return Err(Error::LostFound);
            }
            LOST_FOUND
        } else {
            next += 1;
            next - 1
        };
        let parent = above
            .last()
            .map_or(ROOT, |&dir| items[dirs[dir].item].inode.number);
        if let Some(&dir) = above.last() {
            dirs[dir]
                .entries
                .push((path.clone(), number, d_type(&node.kind)));
            dirs[dir].subdirs += u64::from(node.is_dir());
        }
        match &node.kind {
            Kind::Dir => {
                above.push(dirs.len());
                dirs.push(Dir {
                    item: items.len(),
                    parent,
                    entries: Vec::new(),
                    subdirs: 0,
                });
            }
            Kind::File {
                link: Some(group), ..
            } => {
                links.insert(*group, (items.len(), 1));
            }
            _ => {}
        }
        items.push(item(number, path, node)?);
    }

    for (first, count) in links.into_values() {
        items[first].inode.links = count as u16;
    }
    let seed = checksum::seed_of(&options.uuid);
    for dir in dirs {
        let item = &mut items[dir.item];
        let entries: Vec<Entry<'_>> = dir
            .entries
            .iter()
            .map(|(path, inode, kind)| Entry {
                name: path.name(),
                inode: *inode,
                kind: *kind,
            })
            .collect();
        let number = item.inode.number;
        let blocks = directory::blocks(
            &entries,
            &Context {
                inode: number,
                parent: dir.parent,
                inode_seed: checksum::inode_seed(seed, number),
                hash_seed: options.hash_seed,
                least_blocks: if number == LOST_FOUND {
                    LOST_FOUND_BLOCKS
                } else {
                    1
                },
            },
        );
        item.inode.size = blocks.bytes.len() as u64;
        item.inode.flags |= EXTENTS | if blocks.indexed { INDEX } else { 0 };
        item.inode.links = match dir.subdirs + 2 {
            count if count > MOST_LINKS => 1,
            count => count as u16,
        };
        item.payload = Payload::Bytes(blocks.bytes);
    }
    items.sort_by_key(|item| item.inode.number);
    Ok(items)
}

fn d_type(kind: &Kind) -> u8 {
    match kind {
        Kind::File { .. } => 1,
        Kind::Dir => directory::DIR,
        Kind::CharDevice { .. } => 3,
        Kind::BlockDevice { .. } => 4,
        Kind::Fifo => 5,
        Kind::Symlink(_) => 7,
    }
}

fn item(number: u32, path: &TreePath, node: &Node) -> Result<Item, Error> {
    let meta = &node.meta;
    if meta.mode > 0o7777 {
        return Err(Error::Mode {
            path: path.clone(),
            mode: meta.mode,
        });
    }
    inode::check_time(path, meta.mtime)?;
    let attributes = xattr::attributes(path, &meta.xattrs)?;
    let mut inode = Inode {
        number,
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        size: 0,
        links: 1,
        mtime: meta.mtime,
        flags: inode::flags_to_disk(path, meta.flags)?,
        attributes_at: 0,
        attributes: Vec::new(),
        sectors: 0,
        block: [0; 60],
    };
    if let Attributes::InInode(bytes) = &attributes {
        inode.attributes.clone_from(bytes);
    }
    let mut payload = Payload::None;
    let kind: u16 = match &node.kind {
        Kind::Dir => 0o4,
        Kind::File { content, .. } => {
            if content.len() > (u64::from(u32::MAX)) * BLOCK {
                return Err(Error::FileTooLarge {
                    path: path.clone(),
                    len: content.len(),
                });
            }
            inode.size = content.len();
            inode.flags |= EXTENTS;
            payload = Payload::Content(content.clone());
            0o10
        }
        Kind::Symlink(target) => {
            if target.is_empty() || target.len() >= BLOCK as usize || target.contains(&0) {
                return Err(Error::Symlink {
                    path: path.clone(),
                    len: target.len(),
                });
            }
            inode.size = target.len() as u64;
            if target.len() <= LONGEST_FAST_LINK {
                inode.block[..target.len()].copy_from_slice(target);
            } else {
                inode.flags |= EXTENTS;
                payload = Payload::Bytes(target.clone());
            }
            0o12
        }
        Kind::CharDevice { major, minor } => {
            inode.block = inode::device(path, *major, *minor)?;
            0o2
        }
        Kind::BlockDevice { major, minor } => {
            inode.block = inode::device(path, *major, *minor)?;
            0o6
        }
        Kind::Fifo => 0o1,
    };
    inode.mode |= kind << 12;
    Ok(Item {
        inode,
        path: path.clone(),
        attributes,
        payload,
    })
}
