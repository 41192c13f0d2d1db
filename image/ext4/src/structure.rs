//! Names of the structures on disk.

use std::fmt;

use clawdie_tree::TreePath;

/// A structure of the file system, to name a place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Structure {
    /// The superblock or its copy in a later group, with the unused bytes around it.
    Superblock {
        /// The group that holds it.
        group: u64,
    },
    /// A group descriptor.
    GroupDescriptor {
        /// The group it describes.
        group: u64,
        /// The group that holds this copy of it.
        copy: u64,
    },
    /// The blocks kept for more descriptors.
    ReservedDescriptors {
        /// The group that holds them.
        group: u64,
    },
    /// A block bitmap.
    BlockBitmap {
        /// The group it is about.
        group: u64,
    },
    /// An inode bitmap.
    InodeBitmap {
        /// The group it is about.
        group: u64,
    },
    /// An inode.
    Inode {
        /// Its number.
        number: u64,
        /// Its first name; none for a reserved or a free one.
        path: Option<TreePath>,
    },
    /// A block of a directory.
    Directory {
        /// The directory.
        path: TreePath,
        /// The block's number within it.
        block: u64,
    },
    /// The target of a long symbolic link.
    Symlink {
        /// The link.
        path: TreePath,
    },
    /// A block of an extent tree.
    ExtentTree {
        /// The file; none for the journal.
        path: Option<TreePath>,
    },
    /// A block of extended attributes.
    Attributes {
        /// The node they belong to.
        path: TreePath,
    },
    /// The map of the blocks kept for more descriptors.
    ResizeMap,
    /// The journal.
    Journal,
    /// The content of a file, or the unused end of its last block.
    Content {
        /// The file.
        path: TreePath,
    },
    /// Blocks that nothing uses; they are zero in a fresh image.
    Free {
        /// The block.
        block: u64,
    },
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock { group: 0 } => write!(f, "superblock"),
            Self::Superblock { group } => write!(f, "superblock copy in group {group}"),
            Self::GroupDescriptor { group, copy: 0 } => write!(f, "group descriptor {group}"),
            Self::GroupDescriptor { group, copy } => {
                write!(f, "group descriptor {group}, copy in group {copy}")
            }
            Self::ReservedDescriptors { group } => {
                write!(f, "reserved group descriptors in group {group}")
            }
            Self::BlockBitmap { group } => write!(f, "block bitmap {group}"),
            Self::InodeBitmap { group } => write!(f, "inode bitmap {group}"),
            Self::Inode { number, path: None } => write!(f, "inode {number}"),
            Self::Inode {
                number,
                path: Some(path),
            } => write!(f, "inode {number} of `{path}`"),
            Self::Directory { path, block } => write!(f, "directory block {block} of `{path}`"),
            Self::Symlink { path } => write!(f, "target of the symbolic link `{path}`"),
            Self::ExtentTree { path: None } => write!(f, "extent tree of the journal"),
            Self::ExtentTree { path: Some(path) } => write!(f, "extent tree of `{path}`"),
            Self::Attributes { path } => write!(f, "extended attributes of `{path}`"),
            Self::ResizeMap => write!(f, "map of the reserved group descriptors"),
            Self::Journal => write!(f, "journal"),
            Self::Content { path } => write!(f, "content of `{path}`"),
            Self::Free { block } => write!(f, "free block {block}"),
        }
    }
}
