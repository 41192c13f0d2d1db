//! A file system tree in memory: what an image will hold, before any file system is chosen.
//!
//! A [`Tree`] maps paths to [`Node`]s. Owners are numbers taken from the inputs, never from the
//! build host; a path cannot leave the root ([`TreePath`] has no way to say so); symbolic links
//! are data and are never followed. File bytes are not held here: a [`Content`] says how long they
//! are, what they hash to and where they lie, so a tree of gigabytes costs megabytes.

mod content;
mod path;

pub use content::{Content, ContentFile, Sha256, hex};
pub use path::{PathError, TreePath};

use std::collections::BTreeMap;

/// Ownership, permissions and times of one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// Permission bits, `0o7777` at most.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time, seconds since 1970. The one time a tree keeps: writers use it for all.
    pub mtime: i64,
    /// BSD file flags (`chflags(2)`); 0 where the base has none.
    pub flags: u32,
    /// Extended attributes by full name, such as `security.capability`.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Meta {
    /// Owned by root, no flags, no extended attributes.
    pub fn root(mode: u16, mtime: i64) -> Self {
        Self {
            mode,
            mtime,
            ..Self::default()
        }
    }
}

/// Names that share one inode: every [`Kind::File`] with the same group is a hard link to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkGroup(pub u64);

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory; its entries are the tree's paths below it.
    Dir,
    /// A regular file, hard-linked to the rest of its group if it has one.
    File {
        /// The bytes.
        content: Content,
        /// The hard links that share them.
        link: Option<LinkGroup>,
    },
    /// A symbolic link and its target, verbatim.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// One entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Its owner, permissions and time.
    pub meta: Meta,
}

impl Node {
    /// A directory.
    pub fn dir(meta: Meta) -> Self {
        Self {
            kind: Kind::Dir,
            meta,
        }
    }

    /// A regular file with no other hard link.
    pub fn file(content: Content, meta: Meta) -> Self {
        Self {
            kind: Kind::File {
                content,
                link: None,
            },
            meta,
        }
    }

    /// A symbolic link; its permission bits are 0777, as everywhere.
    pub fn symlink(target: impl Into<Vec<u8>>, mtime: i64) -> Self {
        Self {
            kind: Kind::Symlink(target.into()),
            meta: Meta::root(0o777, mtime),
        }
    }

    /// The bytes of a regular file.
    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            Kind::File { content, .. } => Some(content),
            _ => None,
        }
    }

    /// Whether this is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self.kind, Kind::Dir)
    }
}

/// Why a node could not be placed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TreeError {
    /// A parent is missing from the tree.
    #[error("`{0}` has no parent directory in the tree")]
    NoParent(TreePath),
    /// A parent exists but is not a directory, so the path would pass through a file or a link.
    #[error("`{path}` would lie below `{parent}`, which is not a directory")]
    ParentNotDir {
        /// The path that was to be placed.
        path: TreePath,
        /// Its parent.
        parent: TreePath,
    },
    /// A directory with entries would be replaced by something that cannot have any.
    #[error("`{0}` is a directory with entries and cannot become a file")]
    DirNotEmpty(TreePath),
    /// The root is always a directory.
    #[error("the root of the tree is a directory")]
    RootNotDir,
}

/// Paths and what stands there; the root is always present and always a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<TreePath, Node>,
}

impl Tree {
    /// A tree with nothing but its root directory.
    pub fn new(root: Meta) -> Self {
        Self {
            nodes: BTreeMap::from([(TreePath::root(), Node::dir(root))]),
        }
    }

    /// Places `node` at `path`, replacing what stood there.
    ///
    /// # Errors
    /// When a parent is missing or not a directory, or a directory that has entries would be lost.
    pub fn insert(&mut self, path: TreePath, node: Node) -> Result<(), TreeError> {
        match path.parent() {
            None if !node.is_dir() => return Err(TreeError::RootNotDir),
            None => {}
            Some(parent) => match self.nodes.get(&parent) {
                None => return Err(TreeError::NoParent(path)),
                Some(above) if !above.is_dir() => {
                    return Err(TreeError::ParentNotDir { path, parent });
                }
                Some(_) => {}
            },
        }
        if !node.is_dir() && self.children(&path).next().is_some() {
            return Err(TreeError::DirNotEmpty(path));
        }
        self.nodes.insert(path, node);
        Ok(())
    }

    /// Places a directory at `path` and at every missing parent, all with `meta`; existing
    /// directories keep theirs.
    ///
    /// # Errors
    /// When something on the way exists and is not a directory.
    pub fn ensure_dirs(&mut self, path: &TreePath, meta: &Meta) -> Result<(), TreeError> {
        if let Some(parent) = path.parent() {
            self.ensure_dirs(&parent, meta)?;
        }
        match self.nodes.get(path) {
            Some(node) if node.is_dir() => Ok(()),
            Some(_) => Err(TreeError::ParentNotDir {
                path: path.clone(),
                parent: path.clone(),
            }),
            None => self.insert(path.clone(), Node::dir(meta.clone())),
        }
    }

    /// Takes `path` and everything below it out of the tree; says whether anything was there.
    /// The root itself stays.
    pub fn remove(&mut self, path: &TreePath) -> bool {
        let doomed: Vec<_> = self
            .nodes
            .range(path.clone()..)
            .map(|(at, _)| at)
            .take_while(|at| at.starts_with(path))
            .filter(|at| !at.is_root())
            .cloned()
            .collect();
        for at in &doomed {
            self.nodes.remove(at);
        }
        !doomed.is_empty()
    }

    /// What stands at `path`.
    pub fn get(&self, path: &TreePath) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// What stands at `path`, to change in place; its kind must stay a directory if it is one.
    pub fn meta_mut(&mut self, path: &TreePath) -> Option<&mut Meta> {
        self.nodes.get_mut(path).map(|node| &mut node.meta)
    }

    /// Every node's meta data, to change in place.
    pub fn metas_mut(&mut self) -> impl Iterator<Item = &mut Meta> {
        self.nodes.values_mut().map(|node| &mut node.meta)
    }

    /// All nodes, parents before their entries, in the one order that every writer uses.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Node)> {
        self.nodes.iter()
    }

    /// The direct entries of a directory, by name.
    pub fn children<'a>(
        &'a self,
        dir: &'a TreePath,
    ) -> impl Iterator<Item = (&'a TreePath, &'a Node)> {
        self.nodes
            .range(dir.clone()..)
            .take_while(move |(at, _)| at.starts_with(dir))
            .filter(move |(at, _)| at.parent().as_ref() == Some(dir))
    }

    /// How many nodes there are, the root included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never true: the root is always there.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> TreePath {
        TreePath::new(path).unwrap()
    }

    fn file() -> Node {
        Node::file(Content::bytes(*b"x"), Meta::root(0o644, 0))
    }

    fn tree() -> Tree {
        let mut tree = Tree::new(Meta::root(0o755, 0));
        tree.ensure_dirs(&at("etc/ssh"), &Meta::root(0o755, 0))
            .unwrap();
        tree.insert(at("etc/ssh/sshd_config"), file()).unwrap();
        tree.insert(at("etc-old"), file()).unwrap();
        tree
    }

    #[test]
    fn order_keeps_a_directory_together_with_its_entries() {
        let tree = tree();
        let order: Vec<_> = tree.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(
            order,
            ["/", "/etc", "/etc/ssh", "/etc/ssh/sshd_config", "/etc-old"]
        );
    }

    #[test]
    fn children_are_direct_entries_only() {
        let tree = tree();
        let names = |dir: &str| -> Vec<String> {
            let dir = at(dir);
            tree.children(&dir)
                .map(|(path, _)| path.to_string())
                .collect()
        };
        assert_eq!(names(""), ["/etc", "/etc-old"]);
        assert_eq!(names("etc"), ["/etc/ssh"]);
    }

    #[test]
    fn nothing_passes_through_a_file_or_a_link() {
        let mut tree = tree();
        tree.insert(at("link"), Node::symlink("etc", 0)).unwrap();
        assert!(matches!(
            tree.insert(at("link/passwd"), file()),
            Err(TreeError::ParentNotDir { .. })
        ));
        assert_eq!(
            tree.insert(at("no/such"), file()),
            Err(TreeError::NoParent(at("no/such")))
        );
        assert_eq!(
            tree.insert(at("etc"), file()),
            Err(TreeError::DirNotEmpty(at("etc")))
        );
        assert_eq!(
            tree.insert(TreePath::root(), file()),
            Err(TreeError::RootNotDir)
        );
        assert!(
            tree.ensure_dirs(&at("etc-old/x"), &Meta::root(0o755, 0))
                .is_err()
        );
    }

    #[test]
    fn remove_takes_the_whole_branch_and_no_neighbour() {
        let mut tree = tree();
        assert!(tree.remove(&at("etc")));
        assert!(!tree.remove(&at("etc")));
        assert!(tree.get(&at("etc-old")).is_some());
        assert_eq!(tree.len(), 2);
    }
}
