//! Directories: what they list, and who lists what.

use std::collections::HashSet;
use std::io;

use clawdie_tree::TreePath;

use super::inodes::Inodes;
use super::{Faults, Paths, is_inode};
use crate::directory::{self, CHUNK, DIR};
use crate::disk::Volume;
use crate::geometry::{FRAG, ROOT};
use crate::structure::Structure;
use clawdie_runs::Run;

/// Goes through all directories from the root; returns the first name of everything.
pub(super) fn walk(
    volume: &Volume<'_>,
    found: &mut Inodes,
    faults: &mut Faults,
) -> io::Result<Paths> {
    let root = u64::from(ROOT);
    let mut paths = Paths::new();
    match found.get(root) {
        None => faults.inode(root, "the root is not in use"),
        Some(inode) if !inode.is_dir() => faults.inode(root, "the root is no directory"),
        Some(_) => {
            paths.insert(root, TreePath::root());
            let mut todo = vec![(root, root)];
            while let Some((number, parent)) = todo.pop() {
                let Some((runs, len)) = found.get_mut(number).and_then(|inode| inode.dir.take())
                else {
                    continue;
                };
                let path = paths.get(&number).cloned().unwrap_or_default();
                let mut dir = Directory {
                    volume,
                    number,
                    parent,
                    path,
                    found,
                    paths: &mut paths,
                    names: HashSet::new(),
                    below: Vec::new(),
                    faults,
                };
                dir.read(&runs, len)?;
                todo.append(&mut dir.below);
            }
        }
    }
    for (number, inode) in found.iter() {
        if !paths.contains_key(&number) {
            faults.inode(number, "it is in use, but has no name");
        } else if inode.names != u64::from(inode.links) {
            let (is, names) = (inode.links, inode.names);
            let fault = format!("it counts {is} links, but has {names}");
            faults.inode(number, fault);
        }
    }
    Ok(paths)
}

/// A directory that is being read.
struct Directory<'a> {
    volume: &'a Volume<'a>,
    number: u64,
    parent: u64,
    path: TreePath,
    found: &'a mut Inodes,
    paths: &'a mut Paths,
    names: HashSet<Vec<u8>>,
    /// Directories in it, and this one as their parent.
    below: Vec<(u64, u64)>,
    faults: &'a mut Faults,
}

impl Directory<'_> {
    fn read(&mut self, runs: &[Run], len: u64) -> io::Result<()> {
        let mut chunk_number = 0;
        let mut left = len;
        for run in runs {
            // A piece at a time: a run may be as long as the image.
            for frag in run.start..run.start + run.len {
                let bytes = self.volume.window.read(frag * FRAG, FRAG.min(left))?;
                left -= bytes.len() as u64;
                for chunk in bytes.chunks(CHUNK) {
                    self.chunk(chunk_number, chunk);
                    chunk_number += 1;
                }
            }
        }
        Ok(())
    }

    fn fault(&mut self, chunk: u64, fault: impl ToString) {
        let path = self.path.clone();
        self.faults.add(Structure::Directory { path, chunk }, fault);
    }

    fn chunk(&mut self, chunk: u64, bytes: &[u8]) {
        let names = match directory::names(bytes) {
            Ok(names) => names,
            Err((at, fault)) => {
                self.fault(chunk, format!("byte {at}: {fault}"));
                return;
            }
        };
        let mut names = names.into_iter();
        if chunk == 0 {
            let dots = [(b".".as_slice(), self.number), (b"..", self.parent)];
            for (name, wanted) in dots {
                let shown = String::from_utf8_lossy(name);
                match names.next() {
                    Some(entry) if entry.name == name => {
                        let is = u64::from(entry.inode);
                        if is != wanted {
                            let fault = format!("`{shown}` is inode {is}, not {wanted}");
                            self.fault(chunk, fault);
                        }
                        if entry.kind != DIR {
                            self.fault(chunk, format!("`{shown}` is not said to be a directory"));
                        }
                        self.count(wanted);
                    }
                    _ => self.fault(chunk, format!("`{shown}` is missing")),
                }
            }
        }
        for entry in names {
            self.entry(chunk, &entry);
        }
    }

    fn count(&mut self, number: u64) {
        if let Some(inode) = self.found.get_mut(number) {
            inode.names += 1;
        }
    }

    fn entry(&mut self, chunk: u64, entry: &directory::Found<'_>) {
        let shown = String::from_utf8_lossy(entry.name).into_owned();
        let number = u64::from(entry.inode);
        if matches!(entry.name, b"." | b"..") {
            self.fault(chunk, format!("byte {}: another `{shown}`", entry.at));
            return;
        }
        if !self.names.insert(entry.name.to_vec()) {
            self.fault(
                chunk,
                format!("byte {}: `{shown}` is there twice", entry.at),
            );
        }
        if entry.is_whiteout() {
            return;
        }
        let inode = match self.found.get_mut(number) {
            Some(inode) if is_inode(self.volume, number) => inode,
            _ => {
                let fault = format!("`{shown}` is inode {number}, which is not in use");
                self.fault(chunk, fault);
                return;
            }
        };
        inode.names += 1;
        let kind = inode.kind;
        if kind != entry.kind {
            let is = entry.kind;
            let fault =
                format!("`{shown}` is said to be of kind {is}, but inode {number} is {kind}");
            self.fault(chunk, fault);
        }
        if kind == DIR {
            if self.paths.contains_key(&number) {
                let fault =
                    format!("`{shown}` is inode {number}, a directory that has a name already");
                self.fault(chunk, fault);
                return;
            }
            self.below.push((number, self.number));
        }
        // Deeper than a path can be named is still checked, under its directory's name.
        let path = self
            .path
            .join(entry.name)
            .unwrap_or_else(|_| self.path.clone());
        self.paths.entry(number).or_insert(path);
    }
}
