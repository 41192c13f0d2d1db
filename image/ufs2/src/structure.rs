//! Names of the structures on disk.

use std::fmt;

use clawdie_tree::TreePath;

/// A structure of the file system, to name a place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Structure {
    /// The first 64 KiB, for boot code, with the note at their end on where the superblock's copies
    /// lie.
    BootArea,
    /// The superblock, with the unused bytes behind it.
    Superblock,
    /// The superblock's copy in a cylinder group, with the unused bytes behind it.
    SuperblockCopy {
        /// The group that holds it.
        group: u64,
    },
    /// A cylinder group's header with its maps.
    CylinderGroup {
        /// The group.
        group: u64,
    },
    /// The summary of all cylinder groups.
    Summary,
    /// An inode.
    Inode {
        /// Its number.
        number: u64,
        /// Its first name; none for a free one.
        path: Option<TreePath>,
    },
    /// 512 bytes of a directory.
    Directory {
        /// The directory.
        path: TreePath,
        /// Their number within it.
        chunk: u64,
    },
    /// The target of a long symbolic link.
    Symlink {
        /// The link.
        path: TreePath,
    },
    /// A block of addresses of a file's blocks.
    Indirect {
        /// The file.
        path: TreePath,
    },
    /// Extended attributes.
    Attributes {
        /// The node they belong to.
        path: TreePath,
    },
    /// The content of a file, or the unused end of its last fragment.
    Content {
        /// The file.
        path: TreePath,
    },
    /// Fragments that nothing uses; they are zero in a fresh image.
    Free {
        /// The fragment.
        fragment: u64,
    },
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BootArea => write!(f, "boot area"),
            Self::Superblock => write!(f, "superblock"),
            Self::SuperblockCopy { group } => write!(f, "superblock copy in group {group}"),
            Self::CylinderGroup { group } => write!(f, "cylinder group {group}"),
            Self::Summary => write!(f, "summary of the cylinder groups"),
            Self::Inode { number, path: None } => write!(f, "inode {number}"),
            Self::Inode {
                number,
                path: Some(path),
            } => write!(f, "inode {number} of `{path}`"),
            Self::Directory { path, chunk } => write!(f, "directory chunk {chunk} of `{path}`"),
            Self::Symlink { path } => write!(f, "target of the symbolic link `{path}`"),
            Self::Indirect { path } => write!(f, "block of addresses of `{path}`"),
            Self::Attributes { path } => write!(f, "extended attributes of `{path}`"),
            Self::Content { path } => write!(f, "content of `{path}`"),
            Self::Free { fragment } => write!(f, "free fragment {fragment}"),
        }
    }
}
