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
    use clawdie_runs::testing;
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

    #[test]
    fn a_flipped_byte_is_found_in_every_structure() {
        let layout = planned();
        let file = tempfile::tempfile().unwrap();
        layout.write(&file, 0, &mut |_| {}).unwrap();
        // The holes were not made of zeros.
        let known = layout.compare(&file, 0).unwrap();
        assert_eq!(known.len(), 1);
        assert!(
            known[0].to_string().starts_with("content of `/large`"),
            "{}",
            known[0]
        );
        let ends = [
            layout.len(),
            (GROUP + SUPER_COPY) * FRAG,
            (layout.left_over[0].start + 1) * FRAG,
        ];
        let unused = ends.map(|end| end - 1);
        let kinds = testing::every_flip_is_found(&layout, &file, &known, unused);
        assert_eq!(kinds, 12, "each kind there is");
        assert_eq!(layout.compare(&file, 0).unwrap(), known);
    }

    #[test]
    fn a_changed_content_is_named_by_its_path() {
        let found = testing::with_changed_content(&planned(), "file", 4999);
        assert_eq!(found.len(), 2);
        assert!(
            found[0].to_string().starts_with("content of `/file`"),
            "{}",
            found[0]
        );
    }

    #[test]
    fn another_image_altogether_has_an_end() {
        testing::another_image_has_an_end(&planned());
    }
}
