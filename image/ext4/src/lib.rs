//! Writes a complete ext4 file system from a tree into a region of a file: nothing is mounted, no
//! tool is run, no privilege is needed, and the same tree gives the same bytes.
//!
//! [`layout`] decides every byte of metadata; [`Plan::write`] puts it and the contents of the
//! files in place; [`Plan::compare`] finds what differs in an image; [`read`] makes a tree from a
//! file system, through another's decoder.
//!
//! The order on disk is made for speed. Metadata comes first, then the files in the tree's order,
//! each from a block boundary on. Contents that lie the same way in one source file (a "pack") are
//! copied as one piece, in the kernel.
//!
//! **Contract for packs:** where a content starts at a multiple of 4096 in its file, and the next
//! one starts at the first such multiple after its end, the bytes between the two are zero. They
//! are copied along.

mod bytes;
mod checksum;
mod directory;
mod extent;
mod geometry;
mod hash;
mod image;
mod inode;
mod journal;
mod layout;
mod metadata;
mod plan;
mod read;
mod structure;
mod superblock;
mod xattr;

pub use clawdie_runs::{MOST_DIFFERENCES, Plan};
pub use image::Difference;
pub use layout::{Layout, layout};
pub use read::{Found, ReadError, read};
pub use structure::Structure;

use clawdie_tree::TreePath;

/// What a file system is to be, besides its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The file system's UUID; metadata checksums start from it.
    pub uuid: [u8; 16],
    /// Seed of the hash that orders large directories.
    pub hash_seed: [u8; 16],
    /// Volume name, 16 bytes at most.
    pub label: String,
    /// Seconds since 1970 for every time that the tree does not give: of making the file system, and
    /// of every inode's change, access and creation.
    pub epoch: i64,
    /// Bytes kept free beyond the content.
    pub free: u64,
    /// Bytes up to which the file system can be grown, also while mounted (`resize2fs`).
    pub grow_to: u64,
    /// Bytes of the journal, a multiple of 4096; 0 for none, else 4 MiB at least.
    pub journal: u64,
    /// Bytes of the whole file system, when they must not follow from the content.
    pub exact_size: Option<u64>,
}

/// Why a tree cannot become a file system.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The volume name is too long.
    #[error("the label `{0}` is longer than 16 bytes; shorten it")]
    Label(String),
    /// The journal's size is impossible.
    #[error(
        "a journal of {0} bytes is not possible; take 0 for none, or a multiple of 4096 between 4 MiB and 40000 MiB"
    )]
    Journal(u64),
    /// The content does not fit into the size that was asked for.
    #[error(
        "the content and the file system's own structures need {needed} bytes, but the file system has {size}; raise the size or remove content"
    )]
    TooSmall {
        /// Bytes needed.
        needed: u64,
        /// Bytes there are.
        size: u64,
    },
    /// There are more files than inodes.
    #[error(
        "{inodes} inodes do not fit into a file system of {bytes} bytes; raise its size or remove files"
    )]
    TooManyInodes {
        /// Inodes needed.
        inodes: u64,
        /// Bytes of the file system.
        bytes: u64,
    },
    /// More growth than the reserved blocks can provide for.
    #[error("growth to {wanted} bytes cannot be provided for; the most for this size is {limit}")]
    GrowTo {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes possible.
        limit: u64,
    },
    /// More than 16 TiB of content, free space included.
    #[error("a file system of {0} bytes is larger than the 16 TiB that this writer can make")]
    TooLarge(u64),
    /// A file beyond the format's limit.
    #[error("`{path}` has {len} bytes; a file of ext4 holds 16 TiB less 4 KiB at most")]
    FileTooLarge {
        /// The file.
        path: TreePath,
        /// Its length.
        len: u64,
    },
    /// Too many hard links.
    #[error("`{0}` and its hard links have more than 65000 names; copy the file for some of them")]
    TooManyLinks(TreePath),
    /// Names of one inode disagree on what it is.
    #[error(
        "`{first}` and `{second}` are hard links but differ in content, owner, mode or time; make them equal or separate files"
    )]
    LinksDiffer {
        /// The first name in the tree's order.
        first: TreePath,
        /// The one that differs from it.
        second: TreePath,
    },
    /// A symbolic link that ext4 cannot hold.
    #[error(
        "`{path}` points to a target of {len} bytes; a symbolic link has 1 to 4095, and no NUL"
    )]
    Symlink {
        /// The link.
        path: TreePath,
        /// Length of its target.
        len: usize,
    },
    /// A device number out of range.
    #[error(
        "`{path}` is device {major}:{minor}; ext4 holds a major number below 4096 and a minor below 1048576"
    )]
    Device {
        /// The device.
        path: TreePath,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Permission bits beyond `0o7777`.
    #[error("`{path}` has mode {mode:o}; only the lowest twelve bits are permissions")]
    Mode {
        /// The node.
        path: TreePath,
        /// Its mode.
        mode: u16,
    },
    /// A time that ext4 cannot hold.
    #[error("`{path}` has time {time}; ext4 holds 1901 to 2446")]
    Time {
        /// The node; the root for the file system's own time.
        path: TreePath,
        /// Seconds since 1970.
        time: i64,
    },
    /// BSD file flags without a counterpart.
    #[error("`{path}` has file flags {flags:#x}, which ext4 does not know; clear them")]
    Flags {
        /// The node.
        path: TreePath,
        /// The flags that ext4 does not know.
        flags: u32,
    },
    /// An extended attribute that ext4 cannot hold.
    #[error("the extended attribute `{name}` of `{path}`: {fault}; remove or correct it")]
    Attribute {
        /// The node.
        path: TreePath,
        /// Name of the attribute.
        name: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// More extended attributes than one block holds.
    #[error("the extended attributes of `{path}` take {bytes} bytes; one block holds {limit}")]
    AttributesTooLarge {
        /// The node.
        path: TreePath,
        /// Bytes they take.
        bytes: usize,
        /// Bytes there are.
        limit: usize,
    },
    /// `lost+found` is needed as a directory.
    #[error("`/lost+found` must be a directory, for e2fsck puts there what it finds")]
    LostFound,
}
