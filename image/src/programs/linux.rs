//! Programs for Linux, with the machine's own compiler: static, so that they do not care which C
//! library the image has.

use std::process::Command;

use super::remap::Remap;
use super::{Programs, cargo, compile, order};
use crate::base::Context;
use crate::error::Result;
use crate::recipe::Recipe;

const TARGET: &str = "x86_64-unknown-linux-gnu";

pub(super) fn build(recipe: &Recipe, context: &Context<'_>) -> Result<Programs> {
    let task = context.progress.begin("build our programs", None);
    let remap = Remap::of_machine(context.root);
    let mut command = Command::new(cargo());
    command.arg("build");
    let target_dir = context.root.join("target/image-build");
    order(&mut command, recipe, context, TARGET, &target_dir);
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    flags.extend(remap.rust_flags());
    command
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("CFLAGS", remap.c_flags());
    compile(&mut command, recipe, context, &*task)
}
