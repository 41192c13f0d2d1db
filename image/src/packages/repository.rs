//! The repository on the image: what `pkg` on the host needs to check and install everything again.

use clawdie_tree::{Content, Meta, Node, TreePath};

use super::lock::Lock;
use super::resolve::PKG;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::recipe::Packages;

/// Where it lies in the image; first boot looks for it there.
pub const FOLDER: &str = "usr/local/share/clawdie-iso/packages";

/// Where a repository has the package manager for those who do not have it yet.
pub(super) const BOOTSTRAP: &str = "Latest/pkg.pkg";
/// And who signed it.
pub(super) const BOOTSTRAP_SIGNATURE: &str = "Latest/pkg.pkg.sig";

/// Our own, not the mirror's: that one is not signed. It says what the names of FreeBSD's own say.
const META: &str = "version = 2;\npacking_format = \"tzst\";\nmanifests = \"packagesite.yaml\";\n\
    manifests_archive = \"packagesite\";\ndata = \"data\";\n";

/// Puts the repository's files into a layer. `contents` are those of [`Lock::files`], in their order.
pub(super) fn place(
    layer: &mut Layer,
    lock: &Lock,
    contents: Vec<Content>,
    packages: &Packages,
    epoch: i64,
) -> Result<()> {
    let (dir, meta) = (Meta::root(0o755, epoch), Meta::root(0o644, epoch));
    let mut put = |path: &str, node: Node| {
        let path = TreePath::new(format!("{FOLDER}/{path}"))
            .map_err(|error| Error::bad_input(error.to_string()))?;
        layer.place(path, node, &dir)
    };
    for ((_, kept), content) in lock.files().zip(contents) {
        put(&kept.file, Node::file(content, meta.clone()))?;
    }
    if let Some(pkg) = lock.packages.iter().find(|package| package.name == PKG) {
        let link = format!("../{}", pkg.kept.file);
        put(BOOTSTRAP, Node::symlink(link, epoch))?;
    }
    let mut text =
        |path: &str, text: &str| put(path, Node::file(Content::bytes(text), meta.clone()));
    text("meta.conf", META)?;
    text("repos/clawdie.conf", &configuration(packages))?;
    let names: String = lock.wanted.iter().map(|name| format!("{name}\n")).collect();
    text("install", &names)
}

/// In a folder of its own: `pkg` uses it when it is told to (`REPOS_DIR`), and else asks FreeBSD's own
/// repositories, where the updates are.
fn configuration(packages: &Packages) -> String {
    format!(
        "# Packages that came with the image. Used by first boot; by hand:\n\
         #   pkg -o REPOS_DIR=/{FOLDER}/repos install NAME\n\
         clawdie: {{\n  url: \"file:///{FOLDER}\",\n  signature_type: \"fingerprints\",\n  \
         fingerprints: \"{}\",\n  enabled: yes\n}}\n",
        packages.fingerprints
    )
}
