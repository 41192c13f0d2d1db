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

struct Dir<'a> {
    item: usize,
    parent: u32,
    entries: Vec<Entry<'a>>,
    subdirs: u64,
}

/// The tree's inodes by ascending number, from the root's; the reserved ones are not among them.
pub(crate) fn items(tree: &Tree, options: &Options) -> Result<Vec<Item>, Error> {
    let lost_found = TreePath::new("lost+found").map_err(|_| Error::LostFound)?;
    let made = Node::dir(Meta::root(0o700, options.epoch));
    let made = (tree.get(&lost_found).is_none()).then_some((&lost_found, &made));
    let mut walk = Walk {
        tree,
        lost_found: &lost_found,
        items: Vec::with_capacity(tree.len() + 1),
        dirs: Vec::new(),
        above: Vec::new(),
        links: BTreeMap::new(),
        next: LOST_FOUND + 1,
    };
    for (path, node) in tree.iter().chain(made) {
        walk.node(path, node)?;
    }
    Ok(walk.finish(options))
}

/// The way through the tree, parents before their entries.
struct Walk<'a> {
    tree: &'a Tree,
    lost_found: &'a TreePath,
    items: Vec<Item>,
    dirs: Vec<Dir<'a>>,
    /// The directories above the current node, from the root down, as indices into `dirs`.
    above: Vec<usize>,
    /// The inode of each group of hard links, and how many names it has so far.
    links: BTreeMap<LinkGroup, (usize, u64)>,
    /// The next free inode number.
    next: u32,
}

impl<'a> Walk<'a> {
    fn node(&mut self, path: &'a TreePath, node: &'a Node) -> Result<(), Error> {
        self.above.truncate(path.names().count());
        if let Some(number) = self.known_link(path, node)? {
            self.enter(path, node, number);
            return Ok(());
        }
        let number = if path.is_root() {
            ROOT
        } else if path == self.lost_found {
            if !node.is_dir() {
                return Err(Error::LostFound);
            }
            LOST_FOUND
        } else {
            self.next += 1;
            self.next - 1
        };
        let parent = self.enter(path, node, number);
        match &node.kind {
            Kind::Dir => {
                self.above.push(self.dirs.len());
                self.dirs.push(Dir {
                    item: self.items.len(),
                    parent,
                    entries: Vec::new(),
                    subdirs: 0,
                });
            }
            Kind::File {
                link: Some(group), ..
            } => {
                self.links.insert(*group, (self.items.len(), 1));
            }
            _ => {}
        }
        self.items.push(item(number, path, node)?);
        Ok(())
    }

    /// The inode of a file that had a name before.
    fn known_link(&mut self, path: &TreePath, node: &Node) -> Result<Option<u32>, Error> {
        let Kind::File {
            content,
            link: Some(group),
        } = &node.kind
        else {
            return Ok(None);
        };
        let Some((first, count)) = self.links.get_mut(group) else {
            return Ok(None);
        };
        let first = &self.items[*first];
        let same = matches!(&first.payload, Payload::Content(other) if other == content)
            && (self.tree.get(&first.path)).is_some_and(|other| other.meta == node.meta);
        if !same {
            return Err(Error::LinksDiffer {
                first: first.path.clone(),
                second: path.clone(),
            });
        }
        *count += 1;
        if *count > MOST_LINKS {
            return Err(Error::TooManyLinks(path.clone()));
        }
        Ok(Some(first.inode.number))
    }

    /// Gives an inode its name in the directory above; returns that directory's inode.
    fn enter(&mut self, path: &'a TreePath, node: &Node, number: u32) -> u32 {
        let Some(&above) = self.above.last() else {
            // The root is its own parent.
            return ROOT;
        };
        let dir = &mut self.dirs[above];
        dir.entries.push(Entry {
            name: path.name(),
            inode: number,
            kind: d_type(&node.kind),
        });
        dir.subdirs += u64::from(node.is_dir());
        self.items[dir.item].inode.number
    }

    /// Link counts and directory blocks, for which all inodes must be known.
    fn finish(self, options: &Options) -> Vec<Item> {
        let Self {
            mut items,
            dirs,
            links,
            ..
        } = self;
        for (first, count) in links.into_values() {
            items[first].inode.links = count as u16;
        }
        let seed = checksum::seed_of(&options.uuid);
        for mut dir in dirs {
            let item = &mut items[dir.item];
            let number = item.inode.number;
            // A lost+found that is not in the tree came last.
            dir.entries.sort_unstable_by_key(|entry| entry.name);
            let blocks = directory::blocks(
                &dir.entries,
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
        items
    }
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
