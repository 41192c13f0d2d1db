//! Images that a measurement boots, and the sticks they are on.

use std::path::{Path, PathBuf};

use clawdie_image::Result;
use clawdie_image::base::{Context, Network};
use clawdie_image::cache::Cache;
use clawdie_image::checkout::Checkout;
use clawdie_image::manifest::Channel;
use clawdie_image::order::Order;
use clawdie_image::pipeline;
use clawdie_image::programs::{self, Programs};
use clawdie_image::qemu;
use clawdie_image::recipe::{Flavour, Recipe};
use clawdie_tree::Tree;

use crate::{house, ui};

/// All that images of this checkout are built from, and a folder for them.
pub(super) struct Images {
    pub(super) checkout: Checkout,
    pub(super) recipe: Recipe,
    cache: Cache,
    programs: Programs,
    pub(super) work: tempfile::TempDir,
}

impl Images {
    /// Builds our programs.
    pub(super) fn new() -> Result<Self> {
        let root = house::root();
        let checkout = Checkout::read(&root)?;
        let recipe = house::recipe(Some(Flavour::Debian))?;
        let cache = house::cache()?;
        let programs = programs::build(
            &recipe,
            &Context {
                root: &checkout.root,
                cache: &cache,
                network: Network::Allowed,
                progress: &ui::Stages::new(false),
            },
        )?;
        Ok(Self {
            checkout,
            recipe,
            cache,
            programs,
            work: tempfile::Builder::new()
                .prefix("bench-")
                .tempdir_in(root.join("target"))?,
        })
    }

    /// An image of this recipe, with this on its seed.
    pub(super) fn image(&self, name: &str, recipe: &Recipe, seed: Tree) -> Result<PathBuf> {
        let published = pipeline::build(&Order {
            checkout: &self.checkout,
            recipe,
            version: house::VERSION,
            seed,
            secret: false,
            out: self.work.path().join(name),
            channel: Channel::Dev,
            network: Network::Allowed,
            cache: &self.cache,
            programs: Some(self.programs.clone()),
            compress: false,
            progress: &ui::Stages::new(true),
        })?;
        Ok(published.image)
    }

    /// A fresh stick of twice the image's size, in a folder that goes with it.
    pub(super) fn stick(&self, image: &Path) -> Result<(tempfile::TempDir, PathBuf)> {
        let folder = tempfile::tempdir_in(self.work.path())?;
        let stick = folder.path().join("stick.img");
        qemu::sparse_copy(image, &stick)?;
        let file = fs_err::OpenOptions::new().write(true).open(&stick)?;
        file.set_len(file.metadata()?.len() * 2)?;
        Ok((folder, stick))
    }
}
