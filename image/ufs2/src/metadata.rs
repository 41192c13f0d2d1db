//! Every stretch of metadata of a layout: what is written, and what an image is compared with.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

use clawdie_runs::Run;

use crate::directory::CHUNK;
use crate::geometry::{BLOCK, FRAG, FRAGS, INODE, INODES, SUPER_AT, SUPER_COPY};
use crate::layout::{Layout, Placed};
use crate::plan::Payload;
use crate::structure::Structure;
use crate::superblock::recovery;

/// A stretch of metadata.
type Region<'a> = clawdie_runs::Region<'a, Structure>;

/// What is done with each stretch.
type Visit<'v> = clawdie_runs::Visit<'v, Structure>;

impl Layout {
    /// Shows every stretch of metadata, also those that are zero.
    pub(crate) fn metadata(&self, visit: &mut Visit<'_>) -> io::Result<()> {
        let mut boot = vec![0; SUPER_AT as usize];
        let note = recovery(self.geometry.groups);
        let at = boot.len() - note.len();
        boot[at..].copy_from_slice(&note);
        visit(Region {
            at: 0,
            len: SUPER_AT,
            bytes: boot.into(),
            what: Structure::BootArea,
        })?;
        visit(Region {
            at: SUPER_AT,
            len: SUPER_COPY * FRAG - SUPER_AT,
            bytes: self.superblock(SUPER_AT).into(),
            what: Structure::Superblock,
        })?;
        for group in 0..self.geometry.groups {
            self.group_metadata(group, visit)?;
        }
        for placed in &self.placed {
            self.inode_metadata(placed, visit)?;
        }
        Ok(())
    }

    fn group_metadata(&self, group: u64, visit: &mut Visit<'_>) -> io::Result<()> {
        let start = self.geometry.group_start(group);
        let copy_at = (start + SUPER_COPY) * FRAG;
        visit(Region {
            at: copy_at,
            len: BLOCK,
            bytes: self.superblock(copy_at).into(),
            what: Structure::SuperblockCopy { group },
        })?;
        visit(Region {
            at: self.header_at(group) * FRAG,
            len: BLOCK,
            bytes: self.header(group).into(),
            what: Structure::CylinderGroup { group },
        })?;
        visit(Region {
            at: (start + INODES) * FRAG,
            len: self.inodes_len(group),
            bytes: self.inodes_of(group).into(),
            what: Structure::Inode {
                number: group * self.geometry.inodes_per_group,
                path: None,
            },
        })?;
        if group == 0 {
            visit(Region {
                at: self.geometry.data() * FRAG,
                len: self.geometry.summary() * FRAG,
                bytes: self.summary().into(),
                what: Structure::Summary,
            })?;
        }
        Ok(())
    }

    /// A group's inodes up to the last one in use.
    fn inodes_of(&self, group: u64) -> Vec<u8> {
        let first = group * self.geometry.inodes_per_group;
        let used = self.cylinders[group as usize].used_inodes;
        let mut bytes = Vec::with_capacity((used * INODE) as usize);
        for number in first..first + used {
            match self.placed(number) {
                Some(placed) => {
                    let inode = &placed.item.inode;
                    bytes.extend(inode.encode(self.options.epoch, &self.options.id));
                }
                None => bytes.extend([0; INODE as usize]),
            }
        }
        bytes
    }

    fn inode_metadata(&self, placed: &Placed, visit: &mut Visit<'_>) -> io::Result<()> {
        let item = &placed.item;
        let path = || item.path.clone();
        match &item.payload {
            Payload::Bytes(bytes) if item.is_dir() => {
                pieces(&placed.runs, bytes, visit, &|byte| Structure::Directory {
                    path: path(),
                    chunk: byte / CHUNK as u64,
                })?;
            }
            Payload::Bytes(bytes) => {
                pieces(&placed.runs, bytes, visit, &|_| Structure::Symlink {
                    path: path(),
                })?;
            }
            Payload::None | Payload::Content { .. } => {}
        }
        for (at, bytes) in placed.indirect.blocks(&placed.runs) {
            visit(Region {
                at: at * FRAG,
                len: BLOCK,
                bytes: bytes.into(),
                what: Structure::Indirect { path: path() },
            })?;
        }
        pieces(&placed.attributes, &item.attributes, visit, &|_| {
            Structure::Attributes { path: path() }
        })
    }

    /// What stands `offset` bytes into a region that starts with `what`, and from where to where.
    pub(crate) fn structure_at(&self, what: &Structure, offset: u64) -> (Structure, Range<u64>) {
        let unit = |size: u64| {
            let index = offset / size;
            (index, index * size..(index + 1) * size)
        };
        match what {
            Structure::Inode { number, .. } => {
                let (index, range) = unit(INODE);
                let number = number + index;
                let path = self.placed(number).map(|placed| placed.item.path.clone());
                (Structure::Inode { number, path }, range)
            }
            Structure::Directory { path, chunk } => {
                let (index, range) = unit(CHUNK as u64);
                let chunk = chunk + index;
                let path = path.clone();
                (Structure::Directory { path, chunk }, range)
            }
            Structure::Free { fragment } => {
                let (index, range) = unit(FRAG);
                let fragment = fragment + index;
                (Structure::Free { fragment }, range)
            }
            other => (other.clone(), 0..u64::MAX),
        }
    }
}

/// Shows the parts of `bytes` that lie in one run each.
fn pieces(
    runs: &[Run],
    bytes: &[u8],
    visit: &mut Visit<'_>,
    what: &dyn Fn(u64) -> Structure,
) -> io::Result<()> {
    let mut done = 0;
    for run in runs {
        let from = bytes.len().min((done * FRAG) as usize);
        let to = bytes.len().min(((done + run.len) * FRAG) as usize);
        visit(Region {
            at: run.start * FRAG,
            len: run.len * FRAG,
            bytes: Cow::Borrowed(&bytes[from..to]),
            what: what(done * FRAG),
        })?;
        done += run.len;
    }
    Ok(())
}

const _: () = assert!(SUPER_AT.is_multiple_of(FRAG) && SUPER_COPY.is_multiple_of(FRAGS));
