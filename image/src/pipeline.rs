//! `cargo xtask iso`: from recipe to disk.
//!
//! [`build`] is the whole way on a page; each step is a module of this crate.

use std::fs::File;
use std::thread;

use clawdie_tree::Tree;

use crate::base::{self, Base};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::identity::Identity;
use crate::layer::{self, Layer, Scope};
use crate::lint::{self, Subject};
use crate::manifest::Channel;
use crate::order::Order;
use crate::outputs::{Outputs, Published};
use crate::programs::{self, Programs};
use crate::recipe::Base as BaseRecipe;
use crate::volumes::{self, Volumes};
use crate::{generated, npm, packages, users};

/// Builds an image and its companions in `order.out`; they appear under their names only when they
/// are complete.
///
/// # Errors
/// When an input is missing or wrong, a lint finds a fault, or the disk is full. What was there
/// before stays there then.
pub fn build(order: &Order<'_>) -> Result<Published> {
    refuse_unclean_release(order)?;
    let mut outputs = Outputs::begin(order)?;

    let (programs, mut base) = inputs(order)?;
    let mut layer = layer::collect(
        order.recipe,
        &order.checkout.root,
        &programs,
        Scope::Image,
        order.checkout.epoch,
    )?;
    packages::supply(
        order.recipe,
        &mut base,
        &mut layer,
        &order.context(),
        order.checkout.epoch,
    )?;
    npm::supply(
        order.recipe,
        &mut base.tree,
        &order.context(),
        order.checkout.epoch,
    )?;
    let identity = Identity::new(order, &base)?;
    let tree = merge(order, &base, &layer, &identity)?;
    check(order, &tree, &base, &layer)?;
    let volumes = volumes::plan(order, &base, tree, &identity)?;

    write(order, &base, &volumes, outputs.image()?)?;
    outputs.finish(order, &volumes)
}

fn refuse_unclean_release(order: &Order<'_>) -> Result<()> {
    if order.channel == Channel::Release && order.checkout.git.modified {
        return Err(Error::refused(
            "a release is built from a clean tree, and this one has changes",
        )
        .hint("commit or remove what `git status` shows, untracked files too"));
    }
    Ok(())
}

/// Compiles and installs at the same time: one waits for the processor, the other for the disk.
fn inputs(order: &Order<'_>) -> Result<(Programs, Base)> {
    let context = order.context();
    thread::scope(|scope| {
        let programs = scope.spawn(|| match &order.programs {
            Some(built) => Ok(built.clone()),
            None => programs::build(order.recipe, &context),
        });
        let base = match &order.recipe.base {
            BaseRecipe::Archive(archive) => base::debian::obtain(order.recipe, archive, &context),
            BaseRecipe::Sets(sets) => base::sets::obtain(order.recipe, sets, &context),
        }?;
        let programs = programs
            .join()
            .map_err(|_| Error::failed("building our programs panicked"))??;
        Ok((programs, base))
    })
}

/// Base, then accounts, then our files, then what is made from the plan; all times of the build are
/// the build's one time.
fn merge(order: &Order<'_>, base: &Base, layer: &Layer, identity: &Identity) -> Result<Tree> {
    let mut tree = base.tree.clone();
    users::add(&mut tree, order.recipe)?;
    layer.merge_into(&mut tree)?;
    generated::layer(order, identity)?.merge_into(&mut tree)?;
    for meta in tree.metas_mut() {
        meta.mtime = meta.mtime.min(order.checkout.epoch);
    }
    Ok(tree)
}

fn check(order: &Order<'_>, tree: &Tree, base: &Base, layer: &Layer) -> Result<()> {
    let subject = Subject {
        flavour: order.recipe.flavour,
        tree,
        base: Some(&base.tree),
        layer: Some(layer),
    };
    let findings = lint::run(&subject)?;
    if findings.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = findings.iter().map(ToString::to_string).collect();
    Err(Error::bad_input(format!(
        "the image breaks {} of its own rules",
        findings.len()
    ))
    .caused_by(list.join("\n"))
    .hint("each rule is told in `image/src/lint/mod.rs`; mend the overlay or the recipe"))
}

/// Writes the disk while the base's contents are compared with their checksum: a damaged cache is
/// noticed without waiting for it.
fn write(order: &Order<'_>, base: &Base, volumes: &Volumes, image: &File) -> Result<()> {
    let (written, sound) = thread::scope(|scope| {
        let sound = scope.spawn(|| base.pack.is_sound());
        let task = order
            .progress
            .begin("write the image", Some(volumes.payload()));
        let written = volumes.write(image, &*task);
        (written, sound.join())
    });
    written.or_error(ErrorKind::Failed, || "the image cannot be written".into())?;
    if !sound.map_err(|_| Error::failed("checking the cache panicked"))?? {
        base::forget(order.cache, &base.key)?;
        return Err(
            Error::failed("the cached base system was damaged and has been removed")
                .hint("run the same command again: it is made anew; check this machine's disk too"),
        );
    }
    Ok(())
}
