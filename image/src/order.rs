//! What is to be built, and how: the one argument of a build and of its steps.

use std::path::PathBuf;

use clawdie_tree::{Meta, Tree};

use crate::base::{Context, Network};
use crate::cache::Cache;
use crate::checkout::Checkout;
use crate::manifest::Channel;
use crate::programs::Programs;
use crate::progress::Progress;
use crate::recipe::Recipe;

/// What is to be built, and how.
pub struct Order<'a> {
    /// The checkout.
    pub checkout: &'a Checkout,
    /// The recipe.
    pub recipe: &'a Recipe,
    /// Version of the product.
    pub version: &'a str,
    /// Files of the seed partition.
    pub seed: Tree,
    /// Whether the seed holds an operator's secrets: then the results are readable by their owner alone,
    /// and no piece of them stays in the cache.
    pub secret: bool,
    /// Where the results go.
    pub out: PathBuf,
    /// For people or for its makers.
    pub channel: Channel,
    /// Whether downloads are allowed.
    pub network: Network,
    /// The build cache.
    pub cache: &'a Cache,
    /// Programs built elsewhere; else cargo builds them.
    pub programs: Option<Programs>,
    /// Whether the compressed copy is made too.
    pub compress: bool,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

impl Order<'_> {
    /// The part of the order that base back-ends see.
    pub fn context(&self) -> Context<'_> {
        Context {
            root: &self.checkout.root,
            cache: self.cache,
            network: self.network,
            progress: self.progress,
        }
    }

    /// Owned by root, with the build's time.
    pub(crate) fn meta(&self, mode: u16) -> Meta {
        Meta::root(mode, self.checkout.epoch)
    }
}
