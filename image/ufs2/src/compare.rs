//! Finds what differs between a layout and an image.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use clawdie_tree::{Content, TreePath, hex};
use sha2::{Digest, Sha256};

use crate::geometry::{FRAG, Run};
use crate::layout::Layout;
use crate::parallel::{self, BUFFER};
use crate::structure::Structure;

/// How many differences are told of; an image that is something else altogether has no end of them.
pub const MOST_DIFFERENCES: usize = 1000;

/// A place where an image is not as planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{structure}: byte {byte} (byte {at} of the file system) {fault}")]
pub struct Difference {
    /// The structure that differs; each is named once, for its first byte that does.
    pub structure: Structure,
    /// Bytes from the start of the structure; of the file, for content.
    pub byte: u64,
    /// Bytes from the start of the file system.
    pub at: u64,
    /// What was expected there and what was found.
    pub fault: String,
}

impl Layout {
    /// Compares an image with the plan, the file system starting `offset` bytes into it: metadata
    /// byte by byte, contents by their SHA-256, and everything else must be zero. An image that was
    /// mounted for writing differs. At most [`MOST_DIFFERENCES`] are returned: those of metadata, then of
    /// contents, then of free fragments.
    ///
    /// # Errors
    /// When the image cannot be read or ends too early.
    pub fn compare(&self, image: &File, offset: u64) -> io::Result<Vec<Difference>> {
        let image = Image {
            file: image,
            offset,
        };
        // Holes are passed over, so a missing end would not be noticed where all is free.
        image.read(&mut [0], self.len() - 1)?;
        let mut found = Vec::new();
        let mut buffer = vec![0; BUFFER];
        self.metadata(&mut |region| {
            let mut done = 0;
            while done < region.len && found.len() < MOST_DIFFERENCES {
                let count = (region.len - done).min(BUFFER as u64);
                let from = region.bytes.len().min(done as usize);
                let to = region.bytes.len().min((done + count) as usize);
                let expected = &region.bytes[from..to];
                if expected.is_empty() && image.is_hole(region.at + done, region.len - done) {
                    break;
                }
                let real = &mut buffer[..count as usize];
                image.read(real, region.at + done)?;
                self.differences(&region.what, region.at, done, expected, real, &mut found);
                done += count;
            }
            Ok(())
        })?;
        self.compare_contents(&image, &mut found)?;
        self.compare_free(&image, &mut buffer, &mut found)?;
        found.truncate(MOST_DIFFERENCES);
        Ok(found)
    }

    /// Adds what differs in `real`, which stands `done` bytes into the region at `at` that starts
    /// with `what`. Beyond `expected` there should be zeros.
    fn differences(
        &self,
        what: &Structure,
        at: u64,
        done: u64,
        expected: &[u8],
        real: &[u8],
        found: &mut Vec<Difference>,
    ) {
        let (head, tail) = real.split_at(expected.len());
        if head == expected && is_zero(tail) {
            return;
        }
        let mut index = 0;
        while index < real.len() && found.len() < MOST_DIFFERENCES {
            let wanted = expected.get(index).copied().unwrap_or(0);
            if real[index] == wanted {
                index += 1;
                continue;
            }
            let here = done + index as u64;
            let (structure, range) = self.structure_at(what, here);
            found.push(Difference {
                structure,
                byte: here - range.start,
                at: at + here,
                fault: format!("is {:#04x}, not {wanted:#04x}", real[index]),
            });
            index = usize::try_from(range.end - done).unwrap_or(usize::MAX);
        }
    }

    fn compare_contents(&self, image: &Image<'_>, found: &mut Vec<Difference>) -> io::Result<()> {
        let files: Vec<_> = self.files().collect();
        let all = parallel::map(&files, |(path, content, runs), buffer| {
            compare_content(image, path, content, runs, buffer)
        })?;
        found.extend(all.into_iter().flatten());
        Ok(())
    }

    /// Free fragments of a fresh image are zero.
    fn compare_free(
        &self,
        image: &Image<'_>,
        buffer: &mut [u8],
        found: &mut Vec<Difference>,
    ) -> io::Result<()> {
        let used = self.used();
        let starts = used.iter().map(|range| range.end);
        let ends = used.iter().skip(1).map(|range| range.start);
        let gaps = starts.zip(ends.chain([self.len()]));
        let left_over = self.left_over.iter();
        let left_over = left_over.map(|run| (run.start * FRAG, (run.start + run.len) * FRAG));
        for (start, end) in gaps.chain(left_over) {
            let mut at = start;
            while found.len() < MOST_DIFFERENCES {
                at = image.next_data(at).min(end);
                if at == end {
                    break;
                }
                let count = (end - at).min(BUFFER as u64) as usize;
                let real = &mut buffer[..count];
                image.read(real, at)?;
                let fragment = at / FRAG;
                // The file's own blocks need not lie as the file system's fragments do.
                let skew = at % FRAG;
                self.differences(
                    &Structure::Free { fragment },
                    at - skew,
                    skew,
                    &[],
                    real,
                    found,
                );
                at += count as u64;
            }
        }
        Ok(())
    }
}

/// Compares one file's content and what follows it in its last fragment. Holes are zeros.
fn compare_content(
    image: &Image<'_>,
    path: &TreePath,
    content: &Content,
    runs: &[Run],
    buffer: &mut [u8],
) -> io::Result<Vec<Difference>> {
    let mut found = Vec::new();
    let difference = |byte, at, fault| Difference {
        structure: Structure::Content { path: path.clone() },
        byte,
        at,
        fault,
    };
    let mut hasher = Sha256::new();
    let mut done = 0;
    for run in runs {
        if run.is_hole() {
            let mut left = run.len * FRAG;
            done += left;
            buffer.fill(0);
            while left > 0 {
                let count = left.min(buffer.len() as u64);
                hasher.update(&buffer[..count as usize]);
                left -= count;
            }
            continue;
        }
        let mut at = run.start * FRAG;
        let end = at + run.len * FRAG;
        while at < end {
            let count = (end - at).min(buffer.len() as u64) as usize;
            let real = &mut buffer[..count];
            image.read(real, at)?;
            let bytes = (content.len() - done).min(count as u64);
            let (bytes, rest) = real.split_at(bytes as usize);
            hasher.update(bytes);
            done += bytes.len() as u64;
            if let Some(index) = rest.iter().position(|&byte| byte != 0) {
                let fault = format!(
                    "after the end of the file is {:#04x}, not 0x00",
                    rest[index]
                );
                let index = index as u64;
                found.push(difference(
                    done + index,
                    at + (bytes.len() as u64) + index,
                    fault,
                ));
            }
            at += count as u64;
        }
    }
    let hash = hasher.finalize();
    if hash[..] != content.sha256()[..] {
        let stored = runs.iter().find(|run| !run.is_hole());
        let at = stored.map_or(0, |run| run.start * FRAG);
        let fault = format!(
            "starts a content with SHA-256 {}, not {}",
            hex(hash),
            hex(content.sha256())
        );
        found.push(difference(0, at, fault));
    }
    Ok(found)
}

fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<64>();
    chunks.iter().all(|chunk| *chunk == [0; 64]) && rest.iter().all(|&byte| byte == 0)
}

/// The file system's part of an image.
struct Image<'a> {
    file: &'a File,
    offset: u64,
}

impl Image<'_> {
    fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, self.offset + at)
    }

    /// Whether the file has nothing stored there, so that there are zeros.
    fn is_hole(&self, at: u64, len: u64) -> bool {
        self.next_data(at) >= at + len
    }

    /// Where the next bytes are that may not be zero; `at` itself where the host cannot tell.
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    fn next_data(&self, at: u64) -> u64 {
        use nix::errno::Errno;
        use nix::unistd::{Whence, lseek64};

        let Ok(from) = i64::try_from(self.offset + at) else {
            return at;
        };
        match lseek64(self.file, from, Whence::SeekData) {
            Ok(data) => u64::try_from(data).map_or(at, |data| data.saturating_sub(self.offset)),
            // Nothing but a hole up to the end.
            Err(Errno::ENXIO)
                if self
                    .file
                    .metadata()
                    .is_ok_and(|meta| meta.len() > self.offset + at) =>
            {
                u64::MAX
            }
            Err(_) => at,
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    fn next_data(&self, at: u64) -> u64 {
        at
    }
}

#[cfg(test)]
mod tests {
    use clawdie_tree::{Meta, Node, Tree};

    use super::*;
    use crate::geometry::{GROUP, SUPER_COPY};
    use crate::{Options, layout};

    /// An image of several groups with every kind of structure.
    fn planned() -> Layout {
        let mut tree = Tree::new(Meta::root(0o755, 5));
        let at = |path: &str| TreePath::new(path).unwrap();
        let file = |bytes: &[u8]| Node::file(Content::bytes(bytes), Meta::root(0o644, 5));
        tree.ensure_dirs(&at("many"), &Meta::root(0o755, 5))
            .unwrap();
        for n in 0..300 {
            tree.insert(at(&format!("many/number-{n}")), file(b""))
                .unwrap();
        }
        tree.insert(at("file"), file(&[7; 5000])).unwrap();
        tree.insert(at("large"), file(&[8; 800_001])).unwrap();
        tree.insert(at("link"), Node::symlink("x".repeat(200), 5))
            .unwrap();
        let mut heavy = file(b"heavy");
        heavy.meta.xattrs.insert("user.big".into(), vec![1; 1000]);
        tree.insert(at("heavy"), heavy).unwrap();
        let options = Options {
            id: [1; 8],
            label: "test".into(),
            epoch: 10,
            free: 150 << 20,
            exact_size: None,
            holes: [(at("large"), vec![32768..70_000, 100_000..200_000])].into(),
        };
        layout(&tree, &options).unwrap()
    }

    fn flip(file: &File, at: u64) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    }

    #[test]
    fn a_flipped_byte_is_found_in_every_structure() {
        let layout = planned();
        let file = tempfile::tempfile().unwrap();
        layout.write(&file, 0, &mut |_| {}).unwrap();
        let unlike: Vec<_> = layout.compare(&file, 0).unwrap();
        // The holes were not made of zeros.
        assert_eq!(unlike.len(), 1);
        let large = unlike[0].clone();
        assert!(
            large.to_string().starts_with("content of `/large`"),
            "{large}"
        );

        // Many at once, but of each structure one.
        let mut kinds = std::collections::HashSet::new();
        for part in 0..3 {
            let mut places: Vec<(u64, u64, Structure)> = Vec::new();
            layout
                .metadata(&mut |region| {
                    let last = region.len - 1;
                    let offset = [0, last.min(region.bytes.len() as u64 / 2), last][part];
                    let (structure, range) = layout.structure_at(&region.what, offset);
                    let place = (region.at + offset, offset - range.start, structure);
                    if places.iter().all(|(.., other)| *other != place.2) {
                        places.push(place);
                    }
                    Ok(())
                })
                .unwrap();
            let contents = layout
                .files()
                .filter(|(path, content, _)| !content.is_empty() && path.as_bytes() != b"large");
            for (path, content, runs) in contents {
                let structure = Structure::Content { path: path.clone() };
                // The first byte after its end; the next test is about those before.
                let at = runs[0].start * FRAG + content.len();
                places.push((at, content.len(), structure));
            }
            let ends = [
                layout.len(),
                (GROUP + SUPER_COPY) * FRAG,
                (layout.left_over[0].start + 1) * FRAG,
            ];
            let at = ends[part] - 1;
            let fragment = at / FRAG;
            places.push((at, FRAG - 1, Structure::Free { fragment }));

            for (at, ..) in &places {
                flip(&file, *at);
            }
            let mut found: Vec<_> = layout
                .compare(&file, 0)
                .unwrap()
                .into_iter()
                .filter(|found| *found != large)
                .map(|found| (found.at, found.byte, found.structure))
                .collect();
            found.sort_by_key(|(at, ..)| *at);
            places.sort_by_key(|(at, ..)| *at);
            assert_eq!(found, places);
            for (at, _, structure) in &places {
                flip(&file, *at);
                kinds.insert(std::mem::discriminant(structure));
            }
        }
        assert_eq!(kinds.len(), 12, "each kind there is");
        assert_eq!(layout.compare(&file, 0).unwrap(), [large]);
    }

    #[test]
    fn a_changed_content_is_named_by_its_path() {
        let layout = planned();
        let file = tempfile::tempfile().unwrap();
        layout.write(&file, 1 << 20, &mut |_| {}).unwrap();
        let start = layout
            .files()
            .find(|(path, ..)| path.as_bytes() == b"file")
            .map(|(.., runs)| runs[0].start * FRAG)
            .unwrap();
        flip(&file, (1 << 20) + start + 4999);
        let found = layout.compare(&file, 1 << 20).unwrap();
        assert_eq!(found.len(), 2);
        assert!(
            found[0].to_string().starts_with("content of `/file`"),
            "{}",
            found[0]
        );
    }

    #[test]
    fn another_image_altogether_has_an_end() {
        let layout = planned();
        let file = tempfile::tempfile().unwrap();
        file.set_len(layout.len()).unwrap();
        let found = layout.compare(&file, 0).unwrap();
        assert!(found.len() > 300 && found.len() <= MOST_DIFFERENCES);
        file.set_len(layout.len() / 2).unwrap();
        assert!(layout.compare(&file, 0).is_err());
    }
}
