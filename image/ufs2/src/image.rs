//! What writing and comparing an image take of a layout.

use std::io;
use std::ops::Range;

use clawdie_runs::{Plan, Run, Visit, gaps};
use clawdie_tree::{Content, TreePath};

use crate::geometry::FRAG;
use crate::layout::Layout;
use crate::structure::Structure;

/// A place where an image is not as planned.
pub type Difference = clawdie_runs::Difference<Structure>;

impl Plan for Layout {
    type Structure = Structure;

    fn bytes(&self) -> u64 {
        self.len()
    }

    fn metadata(&self, visit: &mut Visit<'_, Structure>) -> io::Result<()> {
        Layout::metadata(self, visit)
    }

    fn structure_at(&self, what: &Structure, offset: u64) -> (Structure, Range<u64>) {
        Layout::structure_at(self, what, offset)
    }

    fn files(&self) -> impl Iterator<Item = (&TreePath, &Content, &[Run])> {
        Layout::files(self)
    }

    fn unused(&self) -> Vec<Range<u64>> {
        let used = self.used();
        let left_over = self.left_over.iter();
        let left_over = left_over.map(|run| run.start * FRAG..(run.start + run.len) * FRAG);
        gaps(&used, self.len()).chain(left_over).collect()
    }

    fn content_of(path: &TreePath) -> Structure {
        Structure::Content { path: path.clone() }
    }

    fn unused_unit(unit: u64) -> Structure {
        Structure::Free { fragment: unit }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use clawdie_runs::MOST_DIFFERENCES;
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
