//! Writes a complete UFS2 file system from a tree into a region of a file: nothing is mounted, no
//! tool is run, no privilege is needed, and the same tree gives the same bytes.
//!
//! ```
//! use clawdie_tree::{Content, Meta, Node, Tree, TreePath};
//! use clawdie_ufs2::{Options, Plan as _, check, layout};
//!
//! let mut tree = Tree::new(Meta::root(0o755, 0));
//! let file = Node::file(Content::bytes("hello"), Meta::root(0o644, 0));
//! tree.insert(TreePath::new("file")?, file)?;
//! let layout = layout(&tree, &Options::default())?;
//! let image = tempfile::tempfile()?;
//! layout.write(&image, 0, &mut |_| ())?;
//! assert_eq!(check(&image, 0, layout.len())?, []);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`layout`] decides every byte of metadata; [`Plan::write`] puts it and the contents of the
//! files in place; [`Plan::compare`] finds what differs in an image; [`read`] makes a tree from a
//! file system; [`check`] finds what contradicts itself in one, as `fsck_ffs -n` would.
//!
//! **Source of the format:** FreeBSD 15's `sys/ufs/ffs/fs.h` (superblock and cylinder groups),
//! `sys/ufs/ufs/dinode.h` (inodes), `sys/ufs/ufs/dir.h` (directories), `sys/ufs/ufs/extattr.h`
//! (extended attributes); what the kernel asks of a superblock: `validate_sblock()` in
//! `sys/ufs/ffs/ffs_subr.c`; which values a new file system has: `sbin/newfs/mkfs.c`; what must
//! agree with what: `sbin/fsck_ffs/pass1.c` to `pass5.c`.
//!
//! Blocks have 32 KiB and fragments 4 KiB, as newfs has it. The superblock, the cylinder groups and
//! the inodes carry check hashes. Soft updates are on, a journal for them is not: `tunefs -j enable`
//! makes one. The last cylinder group is left empty, so that `growfs` has where to start.
//!
//! The order on disk is made for speed. Metadata comes first, then the files in the tree's order.
//! Contents that lie the same way in one source file (a "pack") are copied as one piece, in the
//! kernel.
//!
//! **Contract for packs:** where a content starts at a multiple of 4096 in its file, and the next
//! one starts at the first such multiple after its end, the bytes between the two are zero. They
//! are copied along.

/// What stands in the README runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod allocate;
mod bytes;
mod check;
mod checksum;
mod cylinder;
mod directory;
mod disk;
mod geometry;
mod image;
mod indirect;
mod inode;
mod layout;
mod metadata;
mod plan;
mod read;
mod structure;
mod superblock;
mod xattr;

pub use check::{Fault, MOST_FAULTS, check};
pub use clawdie_runs::{MOST_DIFFERENCES, Plan};
pub use image::Difference;
pub use layout::{Layout, layout};
pub use read::{Found, ReadError, read};
pub use structure::Structure;

use std::collections::BTreeMap;
use std::ops::Range;

use clawdie_tree::TreePath;

/// What a file system is to be, besides its tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The file system's identifier (`fs_id`); generation numbers of inodes follow from it.
    pub id: [u8; 8],
    /// Volume name: 31 bytes at most, letters, digits, `-` and `_`. `/dev/ufs/<name>` is made of it.
    pub label: String,
    /// Seconds since 1970 for every time that the tree does not give: of making the file system, and
    /// of every inode's change, access and creation.
    pub epoch: i64,
    /// Bytes kept free beyond the content. Besides, a cylinder group (128 MiB) stays empty, so that
    /// the least file system has two.
    pub free: u64,
    /// Bytes of the whole file system, when they must not follow from the content.
    pub exact_size: Option<u64>,
    /// Parts of files that are known to hold nothing but zeros: whole blocks of 32 KiB within them,
    /// other than a file's last one, take no room. Of hard links the first name counts.
    pub holes: BTreeMap<TreePath, Vec<Range<u64>>>,
}

/// Why a tree cannot become a file system.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The volume name is too long or has other characters.
    #[error(
        "the label `{0}` is not possible; take 31 letters, digits, `-` and `_` at most, as newfs does"
    )]
    Label(String),
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
    /// More than 16 TiB of content, free space included.
    #[error("a file system of {0} bytes is larger than the 16 TiB that this writer can make")]
    TooLarge(u64),
    /// A file beyond the format's limit.
    #[error("`{path}` has {len} bytes; a file of UFS2 holds {limit} at most")]
    FileTooLarge {
        /// The file.
        path: TreePath,
        /// Its length.
        len: u64,
        /// The greatest length there can be.
        limit: u64,
    },
    /// Too many hard links, or too many directories in one.
    #[error("`{path}` would have more than {limit} links; {advice}")]
    TooManyLinks {
        /// The file or directory.
        path: TreePath,
        /// The most links an inode can have.
        limit: u64,
        /// What can be done.
        advice: &'static str,
    },
    /// Names of one inode disagree on what it is.
    #[error(
        "`{first}` and `{second}` are hard links but differ in content, owner, mode, flags or time; make them equal or separate files"
    )]
    LinksDiffer {
        /// The first name in the tree's order.
        first: TreePath,
        /// The one that differs from it.
        second: TreePath,
    },
    /// A symbolic link that FreeBSD cannot follow.
    #[error(
        "`{path}` points to a target of {len} bytes; a symbolic link has 1 to 1023, and no NUL"
    )]
    Symlink {
        /// The link.
        path: TreePath,
        /// Length of its target.
        len: usize,
    },
    /// Permission bits beyond `0o7777`.
    #[error("`{path}` has mode {mode:o}; only the lowest twelve bits are permissions")]
    Mode {
        /// The node.
        path: TreePath,
        /// Its mode.
        mode: u16,
    },
    /// The file system's own time is before 1970.
    #[error("the file system's time {0} is before 1970; give seconds since then")]
    Epoch(i64),
    /// File flags that UFS does not know, or that only a snapshot may have.
    #[error("`{path}` has file flags {flags:#x}, which UFS does not know; clear them")]
    Flags {
        /// The node.
        path: TreePath,
        /// The flags that UFS does not know.
        flags: u32,
    },
    /// An extended attribute that UFS2 cannot hold.
    #[error("the extended attribute `{name}` of `{path}`: {fault}; remove or correct it")]
    Attribute {
        /// The node.
        path: TreePath,
        /// Name of the attribute.
        name: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// More extended attributes than an inode's two blocks hold.
    #[error(
        "the extended attributes of `{path}` take {bytes} bytes; an inode has room for {limit}"
    )]
    AttributesTooLarge {
        /// The node.
        path: TreePath,
        /// Bytes they take.
        bytes: usize,
        /// Bytes there are.
        limit: usize,
    },
    /// A hole for a path that is no file, or beyond a file's end.
    #[error(
        "`{path}` has no bytes {start} to {end} that could be a hole; correct the list of holes"
    )]
    Hole {
        /// The path.
        path: TreePath,
        /// First byte.
        start: u64,
        /// The byte after the last.
        end: u64,
    },
}
