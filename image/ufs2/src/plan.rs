//! From a tree to inodes: numbers, links, directories, attributes. Nothing here depends on where
//! blocks lie.

use std::collections::BTreeMap;
use std::ops::Range;

use clawdie_tree::{Content, Kind, LinkGroup, Node, Tree, TreePath};

use crate::directory::{self, Entry};
use crate::geometry::{BLOCK, FRAG, FRAGS, ROOT};
use crate::indirect::DIRECT;
use crate::inode::{self, AREA, Inode};
use crate::{Error, Options, superblock, xattr};
use clawdie_runs::{Run, push};

/// The most names an inode can have (`UFS_LINK_MAX`).
const MOST_LINKS: u64 = 65500;
/// Targets shorter than the address area lie in the inode (`fs_maxsymlinklen`).
const SHORT_LINK: usize = AREA;
/// What FreeBSD can follow: `PATH_MAX` less its NUL.
const LONGEST_LINK: usize = 1023;

/// What an inode's blocks hold.
#[derive(Debug)]
pub(crate) enum Payload {
    /// It has none.
    None,
    /// A directory or a long link target.
    Bytes(Vec<u8>),
    /// A file's content, and which blocks of it are holes.
    Content {
        content: Content,
        holes: Vec<Range<u64>>,
    },
}

impl Payload {
    /// Bytes it has.
    fn len(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Content { content, .. } => content.len(),
        }
    }

    /// What it needs, from its start to its end: fragments to be stored start anywhere but at 0, and
    /// holes at 0. A last piece that is not whole blocks must lie within one.
    pub(crate) fn shape(&self) -> Vec<Run> {
        let frags = stored_frags(self.len());
        let mut runs = Vec::new();
        let mut next = 0;
        if let Self::Content { holes, .. } = self {
            for hole in holes {
                let (start, end) = (hole.start * FRAGS, hole.end * FRAGS);
                push(
                    &mut runs,
                    Run {
                        start: 1,
                        len: start - next,
                    },
                );
                push(
                    &mut runs,
                    Run {
                        start: 0,
                        len: end - start,
                    },
                );
                next = end;
            }
        }
        // Joined by hand: what is stored before has no place yet that this could follow.
        if frags > next {
            runs.push(Run {
                start: 1,
                len: frags - next,
            });
        }
        runs
    }
}

/// Fragments that so many bytes take. Only a file whose blocks are all listed in its inode may end
/// in less than a block (`blksize` of `sys/ufs/ffs/fs.h`).
pub(crate) fn stored_frags(len: u64) -> u64 {
    if len.div_ceil(BLOCK) > DIRECT {
        len.div_ceil(BLOCK) * FRAGS
    } else {
        len.div_ceil(FRAG)
    }
}

/// An inode whose blocks have no place yet.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) inode: Inode,
    /// Its first name in the tree's order.
    pub(crate) path: TreePath,
    pub(crate) attributes: Vec<u8>,
    pub(crate) payload: Payload,
}

impl Item {
    pub(crate) fn is_dir(&self) -> bool {
        self.inode.mode >> 12 == u16::from(directory::DIR)
    }
}

struct Dir<'a> {
    item: usize,
    parent: u32,
    entries: Vec<Entry<'a>>,
    subdirs: u64,
}

/// The tree's inodes by ascending number, from the root's, without gaps.
pub(crate) fn items(tree: &Tree, options: &Options) -> Result<Vec<Item>, Error> {
    for (path, holes) in &options.holes {
        let is_file = tree.get(path).is_some_and(|node| node.content().is_some());
        if let (false, Some(hole)) = (is_file, holes.first()) {
            return Err(no_hole(path, hole));
        }
    }
    let mut walk = Walk {
        tree,
        options,
        items: Vec::with_capacity(tree.len()),
        dirs: Vec::new(),
        above: Vec::new(),
        links: BTreeMap::new(),
    };
    for (path, node) in tree.iter() {
        walk.node(path, node)?;
    }
    walk.finish()
}

/// The way through the tree, parents before their entries.
struct Walk<'a> {
    tree: &'a Tree,
    options: &'a Options,
    items: Vec<Item>,
    dirs: Vec<Dir<'a>>,
    /// The directories above the current node, from the root down, as indices into `dirs`.
    above: Vec<usize>,
    /// The inode of each group of hard links, and how many names it has so far.
    links: BTreeMap<LinkGroup, (usize, u64)>,
}

impl<'a> Walk<'a> {
    fn node(&mut self, path: &'a TreePath, node: &'a Node) -> Result<(), Error> {
        self.above.truncate(path.names().count());
        if let Some(number) = self.known_link(path, node)? {
            self.enter(path, node, number);
            return Ok(());
        }
        // Inodes that do not fit into 32 bits do not fit into any file system either; that is said
        // where its size is chosen.
        let number = ROOT.saturating_add(u32::try_from(self.items.len()).unwrap_or(u32::MAX));
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
        self.items.push(item(number, path, node, self.options)?);
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
        let same = (self.tree.get(&first.path))
            .is_some_and(|other| other.content() == Some(content) && other.meta == node.meta);
        if !same {
            return Err(Error::LinksDiffer {
                first: first.path.clone(),
                second: path.clone(),
            });
        }
        *count += 1;
        if *count > MOST_LINKS {
            return Err(Error::TooManyLinks {
                path: path.clone(),
                limit: MOST_LINKS,
                advice: "copy the file for some of its names",
            });
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
            kind: kind_bits(&node.kind),
        });
        dir.subdirs += u64::from(node.is_dir());
        self.items[dir.item].inode.number
    }

    /// Link counts and directories, for which all inodes must be known.
    fn finish(self) -> Result<Vec<Item>, Error> {
        let Self {
            mut items,
            dirs,
            links,
            ..
        } = self;
        for (first, count) in links.into_values() {
            items[first].inode.links = count as u16;
        }
        for dir in dirs {
            let item = &mut items[dir.item];
            if dir.subdirs + 2 > MOST_LINKS {
                return Err(Error::TooManyLinks {
                    path: item.path.clone(),
                    limit: MOST_LINKS,
                    advice: "every directory in it counts; put some of them elsewhere",
                });
            }
            let bytes = directory::chunks(&dir.entries, item.inode.number, dir.parent);
            item.inode.size = bytes.len() as u64;
            item.inode.links = (dir.subdirs + 2) as u16;
            item.inode.depth = item.path.names().count() as u32;
            item.payload = Payload::Bytes(bytes);
        }
        Ok(items)
    }
}

/// The top four bits of a mode (`IFMT`), which are `d_type` too.
fn kind_bits(kind: &Kind) -> u8 {
    match kind {
        Kind::Fifo => 1,
        Kind::CharDevice { .. } => 2,
        Kind::Dir => directory::DIR,
        Kind::BlockDevice { .. } => 6,
        Kind::File { .. } => 8,
        Kind::Symlink(_) => 10,
    }
}

fn item(number: u32, path: &TreePath, node: &Node, options: &Options) -> Result<Item, Error> {
    let meta = &node.meta;
    if meta.mode > 0o7777 {
        return Err(Error::Mode {
            path: path.clone(),
            mode: meta.mode,
        });
    }
    let attributes = xattr::encode(path, &meta.xattrs)?;
    let mut inode = Inode {
        number,
        mode: u16::from(kind_bits(&node.kind)) << 12 | meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        size: 0,
        links: 1,
        mtime: meta.mtime,
        flags: inode::check_flags(path, meta.flags)?,
        sectors: 0,
        attributes_len: attributes.len() as u32,
        attributes_at: [0; 2],
        area: [0; AREA],
        depth: 0,
    };
    let mut payload = Payload::None;
    match &node.kind {
        Kind::Dir | Kind::Fifo => {}
        Kind::File { content, .. } => {
            let limit = superblock::most_bytes();
            if content.len() > limit {
                return Err(Error::FileTooLarge {
                    path: path.clone(),
                    len: content.len(),
                    limit,
                });
            }
            inode.size = content.len();
            payload = Payload::Content {
                content: content.clone(),
                holes: holes(path, content.len(), options)?,
            };
        }
        Kind::Symlink(target) => {
            if target.is_empty() || target.len() > LONGEST_LINK || target.contains(&0) {
                return Err(Error::Symlink {
                    path: path.clone(),
                    len: target.len(),
                });
            }
            inode.size = target.len() as u64;
            if target.len() < SHORT_LINK {
                inode.area[..target.len()].copy_from_slice(target);
            } else {
                payload = Payload::Bytes(target.clone());
            }
        }
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            inode.area = inode::device(*major, *minor);
        }
    }
    Ok(Item {
        inode,
        path: path.clone(),
        attributes,
        payload,
    })
}

fn no_hole(path: &TreePath, hole: &Range<u64>) -> Error {
    Error::Hole {
        path: path.clone(),
        start: hole.start,
        end: hole.end,
    }
}

/// The whole blocks of a file that are holes, ascending and apart. Its last block is never one: UFS
/// asks that a file ends in something stored (`sbin/fsck_ffs/pass1.c`).
fn holes(path: &TreePath, len: u64, options: &Options) -> Result<Vec<Range<u64>>, Error> {
    let Some(listed) = options.holes.get(path) else {
        return Ok(Vec::new());
    };
    if let Some(bad) = listed
        .iter()
        .find(|hole| hole.start > hole.end || hole.end > len)
    {
        return Err(no_hole(path, bad));
    }
    let last = len.div_ceil(BLOCK).saturating_sub(1);
    let mut bytes = listed.clone();
    bytes.sort_by_key(|hole| hole.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for hole in bytes {
        match joined.last_mut() {
            Some(before) if hole.start <= before.end => before.end = before.end.max(hole.end),
            _ => joined.push(hole),
        }
    }
    let blocks = joined
        .into_iter()
        .map(|hole| hole.start.div_ceil(BLOCK)..(hole.end / BLOCK).min(last))
        .filter(|hole| hole.start < hole.end);
    Ok(blocks.collect())
}
