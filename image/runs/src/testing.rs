//! What tests of file systems that are planned share: contents for trees, and images with a fault in them.

use std::collections::HashSet;
use std::fmt::Debug;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use clawdie_tree::{Content, ContentFile};
use sha2::{Digest as _, Sha256};

use crate::{Difference, MOST_DIFFERENCES, Plan, UNIT};

/// Bytes that differ from unit to unit and from seed to seed.
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A pack: contents in one file, one after the other, each from a multiple of [`UNIT`] on.
#[derive(Debug)]
pub struct Pack {
    path: PathBuf,
    file: File,
    end: u64,
    placed: Vec<(u64, u64, [u8; 32])>,
}

impl Pack {
    /// An empty one in this folder.
    ///
    /// # Panics
    /// There is one already.
    pub fn new(folder: &Path) -> Self {
        let path = folder.join("pack");
        let file = File::create_new(&path).expect("a new file");
        Self {
            path,
            file,
            end: 0,
            placed: Vec::new(),
        }
    }

    /// Puts a content in.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn add(&mut self, bytes: &[u8]) {
        self.file.write_all_at(bytes, self.end).expect("written");
        let len = bytes.len() as u64;
        self.placed
            .push((self.end, len, Sha256::digest(bytes).into()));
        self.end = (self.end + len).next_multiple_of(UNIT);
        self.file.set_len(self.end).expect("lengthened");
    }

    /// The contents, as they were put in.
    ///
    /// # Panics
    /// The pack is gone.
    pub fn contents(self) -> Vec<Content> {
        let file = ContentFile::open(&self.path).expect("opened");
        self.placed
            .into_iter()
            .map(|(offset, len, sha256)| Content::extent(file.clone(), offset, len, sha256))
            .collect()
    }
}

/// Writes a file system into a new file.
///
/// # Panics
/// The file is there already, or cannot be written.
pub fn write(plan: &impl Plan, path: &Path) {
    let mut new = File::options();
    let file = new.read(true).write(true).create_new(true).open(path);
    let file = file.expect("a new file");
    plan.write(&file, 0, &mut |_| {}).expect("written");
}

/// Flips a bit of the byte at `at`.
fn flip(file: &File, at: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 0x10], at).expect("written");
}

/// Flips, in an image at the start of `image`, a byte of each structure: first the first ones, then some in the middle,
/// then the last ones, and each time one behind the end of each content and one of these `unused` ones, the last of
/// their units. Gives back how many kinds of structures there were.
///
/// # Panics
/// One is not found, or named wrongly, or something else is found that is not `known`.
pub fn every_flip_is_found<P>(
    plan: &P,
    image: &File,
    known: &[Difference<P::Structure>],
    unused: [u64; 3],
) -> usize
where
    P: Plan,
    P::Structure: Debug + PartialEq,
{
    let mut kinds = HashSet::new();
    for (part, unused) in unused.into_iter().enumerate() {
        // Many at once, but of each structure one.
        let mut places: Vec<(u64, u64, P::Structure)> = Vec::new();
        plan.metadata(&mut |region| {
            let last = region.len - 1;
            let offset = [0, last.min(region.bytes.len() as u64 / 2), last][part];
            let (structure, range) = plan.structure_at(&region.what, offset);
            let place = (region.at + offset, offset - range.start, structure);
            if places.iter().all(|(.., other)| *other != place.2) {
                places.push(place);
            }
            Ok(())
        })
        .expect("shown");
        for (path, content, runs) in plan.files() {
            let structure = P::content_of(path);
            if !content.is_empty() && known.iter().all(|known| known.structure != structure) {
                let at = runs[0].start * UNIT + content.len();
                places.push((at, content.len(), structure));
            }
        }
        places.push((unused, UNIT - 1, P::unused_unit(unused / UNIT)));

        for (at, ..) in &places {
            flip(image, *at);
        }
        let mut found: Vec<_> = plan
            .compare(image, 0)
            .expect("compared")
            .into_iter()
            .filter(|found| !known.contains(found))
            .map(|found| (found.at, found.byte, found.structure))
            .collect();
        found.sort_by_key(|(at, ..)| *at);
        places.sort_by_key(|(at, ..)| *at);
        assert_eq!(found, places);
        for (at, _, structure) in &places {
            flip(image, *at);
            kinds.insert(std::mem::discriminant(structure));
        }
    }
    kinds.len()
}

/// What is found in an image, not at the start of its file, where this byte of this file's content was changed.
///
/// # Panics
/// There is no such file.
pub fn with_changed_content<P: Plan>(
    plan: &P,
    path: &str,
    byte: u64,
) -> Vec<Difference<P::Structure>> {
    const OFFSET: u64 = 1 << 20;
    let file = tempfile::tempfile().expect("a file");
    plan.write(&file, OFFSET, &mut |_| {}).expect("written");
    let start = plan
        .files()
        .find(|(found, ..)| found.as_bytes() == path.as_bytes())
        .map(|(.., runs)| runs[0].start * UNIT)
        .expect("a file of this path");
    flip(&file, OFFSET + start + byte);
    plan.compare(&file, OFFSET).expect("compared")
}

/// Holds a file of zeros, which differs nearly everywhere, against the plan, and one that ends too early.
///
/// # Panics
/// Too few or too many differences are told of, or the missing end is not.
pub fn another_image_has_an_end(plan: &impl Plan) {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(plan.bytes()).expect("lengthened");
    let found = plan.compare(&file, 0).expect("compared");
    assert!(found.len() > 300 && found.len() <= MOST_DIFFERENCES);
    file.set_len(plan.bytes() / 2).expect("cut");
    assert!(plan.compare(&file, 0).is_err());
}
