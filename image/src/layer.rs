//! Our own files as a tree of their own: what `iso` merges into the base and `stage` puts on an
//! existing host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clawdie_tree::{Content, Meta, Node, Tree, TreeError, TreePath};
use fs_err as fs;

use crate::base::archive::globs;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::programs::Programs;
use crate::recipe::Recipe;

/// Which of our files are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All: the machine is ours.
    Image,
    /// Those that belong on a host that somebody else set up.
    ExistingHost,
}

/// Files and directories of ours.
#[derive(Debug)]
pub struct Layer {
    /// The files, with the directories that lead to them.
    pub tree: Tree,
    /// Directories whose owner and mode we decide; others keep what the base gave them.
    pub owned_dirs: BTreeSet<TreePath>,
}

/// Collects the recipe's overlays, programs, directories and package lists.
///
/// # Errors
/// When a file cannot be read, or is of a kind that no overlay may hold.
pub fn collect(
    recipe: &Recipe,
    root: &Path,
    programs: &Programs,
    scope: Scope,
    epoch: i64,
) -> Result<Layer> {
    let dir = Meta::root(0o755, epoch);
    let mut layer = Layer {
        tree: Tree::new(dir.clone()),
        owned_dirs: BTreeSet::new(),
    };
    let wanted = match scope {
        Scope::Image => None,
        Scope::ExistingHost => Some(globs(&recipe.stage.files)?),
    };
    for overlay in &recipe.overlays {
        for (path, node) in overlay_nodes(&root.join(overlay), epoch)? {
            let name = String::from_utf8_lossy(path.as_bytes()).into_owned();
            if wanted.as_ref().is_none_or(|wanted| wanted.is_match(&name)) {
                layer.place(path, node, &dir)?;
            }
        }
    }
    for file in &recipe.files {
        let name = String::from_utf8_lossy(file.to.as_bytes()).into_owned();
        if wanted.as_ref().is_none_or(|wanted| wanted.is_match(&name)) {
            let from = root.join(&file.from);
            let content = Content::file(&from).or_error(ErrorKind::Missing, || {
                format!("`{}` of the recipe cannot be read", from.display())
            })?;
            let node = Node::file(content, Meta::root(file.mode, epoch));
            layer.place(file.to.clone(), node, &dir)?;
        }
    }
    for program in &recipe.programs {
        let built = programs
            .get(&program.bin)
            .ok_or_else(|| Error::failed(format!("the program `{}` was not built", program.bin)))?;
        let content = Content::file(built).or_error(ErrorKind::Missing, || {
            format!("the program `{}` cannot be read", built.display())
        })?;
        let path = program
            .to
            .join(&program.bin)
            .map_err(|error| Error::bad_input(error.to_string()))?;
        layer.place(path, Node::file(content, Meta::root(0o755, epoch)), &dir)?;
    }
    for list in &recipe.stage.package_lists {
        let name = list
            .file_name()
            .map(|name| name.as_encoded_bytes().to_vec())
            .unwrap_or_default();
        let path = recipe
            .stage
            .package_lists_to
            .join(name)
            .map_err(|error| Error::bad_input(error.to_string()))?;
        let content = Content::file(&root.join(list))?;
        layer.place(path, Node::file(content, Meta::root(0o644, epoch)), &dir)?;
    }
    let ids: BTreeMap<_, _> = recipe
        .users
        .iter()
        .map(|user| (user.name.as_str(), (user.uid, user.gid)))
        .collect();
    for directory in &recipe.directories {
        let (uid, gid) = directory
            .owner
            .as_deref()
            .and_then(|owner| ids.get(owner))
            .copied()
            .unwrap_or((0, 0));
        let meta = Meta {
            mode: directory.mode,
            uid,
            gid,
            mtime: epoch,
            ..Meta::default()
        };
        layer.place(directory.path.clone(), Node::dir(meta), &dir)?;
        layer.owned_dirs.insert(directory.path.clone());
    }
    if scope == Scope::Image {
        for mode in &recipe.modes {
            let meta = layer.tree.meta_mut(&mode.path).ok_or_else(|| {
                Error::bad_input(format!(
                    "the recipe sets a mode for `{}`, which no overlay holds",
                    mode.path
                ))
            })?;
            meta.mode = mode.mode;
        }
    }
    Ok(layer)
}

impl Layer {
    /// Places one node and the directories that lead to it.
    ///
    /// # Errors
    /// When the way leads through something that is not a directory.
    pub fn place(&mut self, path: TreePath, node: Node, dir: &Meta) -> Result<()> {
        if let Some(parent) = path.parent() {
            self.tree.ensure_dirs(&parent, dir).map_err(misplaced)?;
        }
        self.tree.insert(path, node).map_err(misplaced)
    }

    /// Lays this over `base`: files replace what stood there, directories keep the base's owner and
    /// mode unless we own them.
    ///
    /// # Errors
    /// When a file of ours would have to pass through a link or a file of the base.
    pub fn merge_into(&self, base: &mut Tree) -> Result<()> {
        for (path, node) in self.tree.iter() {
            let there = base.get(path);
            if node.is_dir() && there.is_some_and(Node::is_dir) && !self.owned_dirs.contains(path) {
                continue;
            }
            let fits = match there {
                // A folder of ours never takes the place of a link or a file of the base.
                Some(there) if node.is_dir() && !there.is_dir() => Err(TreeError::ParentNotDir {
                    path: path.clone(),
                    parent: path.clone(),
                }),
                _ => base.insert(path.clone(), node.clone()),
            };
            fits.map_err(|error| {
                misplaced(error).hint(
                    "if the base has a link there (Debian's /bin, /lib), write the overlay's path \
                     where the link points",
                )
            })?;
        }
        Ok(())
    }
}

fn misplaced(error: TreeError) -> Error {
    Error::bad_input(format!("an overlay does not fit: {error}"))
}

/// The files, links and folders of one overlay. A file is 0755 when its owner may execute it, else
/// 0644: git keeps no more than that, and the build host's umask must not show.
fn overlay_nodes(top: &Path, epoch: i64) -> Result<Vec<(TreePath, Node)>> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    let mut nodes = Vec::new();
    for entry in walkdir::WalkDir::new(top).min_depth(1).sort_by_file_name() {
        let entry = entry.or_error(ErrorKind::BadInput, || {
            format!("the overlay `{}` cannot be read", top.display())
        })?;
        let inner = entry.path().strip_prefix(top).unwrap_or(entry.path());
        let path = TreePath::new(inner.as_os_str().as_bytes())
            .map_err(|error| Error::bad_input(error.to_string()))?;
        let kind = entry.file_type();
        let node = if kind.is_dir() {
            // A folder is there for what it holds.
            continue;
        } else if kind.is_symlink() {
            Node::symlink(fs::read_link(entry.path())?.as_os_str().as_bytes(), epoch)
        } else if kind.is_file() {
            let executable = entry
                .metadata()
                .is_ok_and(|meta| meta.permissions().mode() & 0o100 != 0);
            let mode = if executable { 0o755 } else { 0o644 };
            Node::file(Content::file(entry.path())?, Meta::root(mode, epoch))
        } else {
            return Err(Error::bad_input(format!(
                "`{}` is neither a file, a folder nor a link: an overlay holds nothing else",
                entry.path().display()
            )));
        };
        nodes.push((path, node));
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> TreePath {
        TreePath::new(path).unwrap()
    }

    #[test]
    fn a_layer_replaces_files_and_spares_directories() {
        let mut base = Tree::new(Meta::root(0o755, 1));
        base.insert(at("tmp"), Node::dir(Meta::root(0o1777, 1)))
            .unwrap();
        base.insert(
            at("motd"),
            Node::file(Content::bytes(b"old"), Meta::root(0o600, 1)),
        )
        .unwrap();
        let dir = Meta::root(0o755, 2);
        let mut layer = Layer {
            tree: Tree::new(dir.clone()),
            owned_dirs: BTreeSet::new(),
        };
        let file = |bytes: &[u8]| Node::file(Content::bytes(bytes), Meta::root(0o644, 2));
        layer.place(at("tmp/x"), file(b"x"), &dir).unwrap();
        layer.place(at("motd"), file(b"new"), &dir).unwrap();
        layer.merge_into(&mut base).unwrap();
        assert_eq!(base.get(&at("tmp")).unwrap().meta.mode, 0o1777);
        assert_eq!(
            base.get(&at("motd")).unwrap().content(),
            Some(&Content::bytes(b"new"))
        );
        assert_eq!(base.get(&at("motd")).unwrap().meta.mode, 0o644);
    }

    #[test]
    fn a_layer_never_goes_through_a_link() {
        let mut base = Tree::new(Meta::root(0o755, 1));
        base.insert(at("lib"), Node::symlink("usr/lib", 1)).unwrap();
        let dir = Meta::root(0o755, 2);
        let mut layer = Layer {
            tree: Tree::new(dir.clone()),
            owned_dirs: BTreeSet::new(),
        };
        layer
            .place(
                at("lib/x"),
                Node::file(Content::bytes(b"x"), Meta::root(0o644, 2)),
                &dir,
            )
            .unwrap();
        assert!(layer.merge_into(&mut base).is_err());
    }

    #[test]
    fn overlays_keep_the_executable_bit_and_nothing_else_of_the_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in [("plain", 0o600), ("script", 0o700)] {
            let path = dir.path().join(name);
            std::fs::write(&path, "x").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("plain", dir.path().join("link")).unwrap();
        let nodes = overlay_nodes(dir.path(), 5).unwrap();
        let modes: Vec<_> = nodes
            .iter()
            .map(|(path, node)| (path.to_string(), node.meta.mode))
            .collect();
        assert_eq!(
            modes,
            [
                ("/link".to_owned(), 0o777),
                ("/plain".to_owned(), 0o644),
                ("/script".to_owned(), 0o755)
            ]
        );
    }
}
