//! `cargo xtask test`: everything that CI runs, in the order in which a mistake is found soonest.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clawdie_image::{Error, ErrorKind, Result, ResultExt as _};

use crate::{doctor, house, ui};

/// Runs all checks and tests, as CI does
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Compiles our programs for FreeBSD, builds an image twice and compares,
boots it several times: about 45 minutes and 12 GB on two processors without KVM.

Examples:
  cargo xtask test
  cargo xtask test --quick       no image, no boots
  cargo xtask test --all         every scenario of a first boot too: two hours more
  cargo xtask test --install-tools"
)]
pub(crate) struct Args {
    /// Leave out images, boots and compiling for FreeBSD
    #[arg(long, conflicts_with = "all")]
    quick: bool,
    /// Play every scenario of a first boot, power cuts included, not only a few
    #[arg(long)]
    all: bool,
    /// Install the tools that this machine lacks, without asking
    #[arg(long)]
    install_tools: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    doctor::ensure(doctor::Purpose::Test, args.install_tools)?;
    let root = house::root();
    if !args.quick {
        enough_room(&root.join("target"))?;
    }
    let started = Instant::now();
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.current_dir(&root).args(arguments);
        command
    };
    step("format", &mut cargo(&["fmt", "--all", "--check"]))?;
    step(
        "shell scripts",
        shellcheck(&root)?.args(shell_scripts(&root)?),
    )?;
    step(
        "clippy",
        &mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    step(
        "licences, bans, sources",
        &mut cargo(&["deny", "check", "licenses", "bans", "sources"]),
    )?;
    step(
        "unit and property tests",
        &mut cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--exclude",
            "clawdie-tests",
            "--run-ignored",
            if args.all { "all" } else { "default" },
        ]),
    )?;
    if args.quick {
        // Its unit tests need no image.
        step(
            "harness tests",
            &mut cargo(&["nextest", "run", "--package", "clawdie-tests", "--lib"]),
        )?;
        anstream::println!("not run (--quick): programs for FreeBSD, images, boots");
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let skipped = unless_missing(step(
        "programs for FreeBSD",
        Command::new(&program)
            .args(["programs", "--flavour", "freebsd", "--out"])
            .arg(root.join("target/test-programs")),
    ))?;
    let images = root.join("target/test-images");
    let iso = |name: &str, more: &[&str]| {
        let mut command = Command::new(&program);
        command
            .arg("iso")
            .args(["--flavour", "debian", "--out"])
            .arg(images.join(name))
            .args(more);
        command
    };
    step("image", &mut iso("first", &[]))?;
    step("image again, offline", &mut iso("second", &["--offline"]))?;
    same_bytes(&images.join("first"), &images.join("second"))?;
    // Machines boot when nothing else runs: they have deadlines.
    const BOOTS: &str = "binary(boot) or binary(scenarios)";
    for (name, filter, ignored) in [
        (
            "tests of images and builds",
            format!("not ({BOOTS})"),
            "default",
        ),
        (
            "tests that boot images",
            BOOTS.to_owned(),
            if args.all { "all" } else { "default" },
        ),
    ] {
        step(
            name,
            cargo(&["nextest", "run", "--package", "clawdie-tests"])
                .args(["--filterset", &filter, "--run-ignored", ignored])
                .env("CLAWDIE_TEST_IMAGE", images.join("first"))
                .env("CLAWDIE_XTASK", &program),
        )?;
    }
    if !args.all {
        anstream::println!(
            "not run (without --all): most scenarios of a first boot, the long races and kills of the board, the long siege, most of what bw may do wrong"
        );
    }
    let seconds = started.elapsed().as_secs();
    match skipped {
        None => anstream::println!("All checks passed in {seconds} s"),
        Some(skipped) => {
            anstream::println!("All checks that could run passed in {seconds} s");
            anstream::println!("NOT RUN: {skipped}");
        }
    }
    Ok(())
}

/// What a whole run takes, with the disks of two machines, in bytes: 10 GB were measured.
const ROOM: u64 = 12 << 30;

/// What it takes when an earlier one has left everything in `target`: two images, and machines' disks.
const LEAST_ROOM: u64 = 4 << 30;

/// A disk that is full is found at the first second, not after twenty minutes. What an earlier run
/// left in `target` need not be written again.
fn enough_room(target: &Path) -> Result<()> {
    fs_err::create_dir_all(target)?;
    let there: u64 = walkdir::WalkDir::new(target)
        .into_iter()
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|meta| meta.len())
        .sum();
    let space = nix::sys::statvfs::statvfs(target)
        .or_error(ErrorKind::Failed, || format!("`{}`", target.display()))?;
    #[allow(clippy::unnecessary_cast)] // 32 bits on some systems
    let free = space.blocks_available() as u64 * space.fragment_size() as u64;
    let needed = ROOM.saturating_sub(there).max(LEAST_ROOM);
    if free < needed {
        return Err(Error::failed(format!(
            "`{}` has {} free, all tests need {}",
            target.display(),
            ui::size(free),
            ui::size(needed),
        ))
        .hint("make room, or leave images and boots out with --quick"));
    }
    Ok(())
}

/// A step whose inputs are not to be had (exit code 4) is left out, and said to be; what came after
/// it does not need it.
fn unless_missing(outcome: Result<()>) -> Result<Option<String>> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::Missing => {
            anstream::eprintln!("== NOT RUN: {error}");
            Ok(Some(error.to_string()))
        }
        other => other.map(|()| None),
    }
}

/// Runs one step with its output on this terminal.
fn step(name: &str, command: &mut Command) -> Result<()> {
    anstream::eprintln!("== {name}");
    let started = Instant::now();
    let program = command.get_program().to_string_lossy().into_owned();
    // The tools of others that tests call lie in folders that users' paths often lack.
    let path = std::env::var("PATH").unwrap_or_default();
    let status = command
        .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"))
        .status()
        .or_error(ErrorKind::Missing, || {
            format!("`{program}` cannot be started")
        })?;
    if !status.success() {
        // Our own verbs say so when something cannot be had; nobody else's code 4 is meant.
        let ours =
            std::env::current_exe().is_ok_and(|own| own.as_os_str() == command.get_program());
        let error = match status.code() {
            Some(code) if ours && code == ErrorKind::Missing as i32 => {
                Error::missing(format!("{name}: something is missing that the step needs"))
            }
            _ => Error::failed(format!("{name}: failed ({status})")),
        };
        return Err(error.hint("the reason stands above; mend it and run `cargo xtask test` again"));
    }
    anstream::eprintln!("== {name}: ok, {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn shellcheck(root: &Path) -> Result<Command> {
    let tool = clawdie_image::tool::Tool {
        program: "shellcheck",
        package: "shellcheck",
        why: "it checks shell scripts",
    };
    let mut command = tool.command()?;
    command.current_dir(root);
    Ok(command)
}

/// Every shell script of the checkout: by its ending or by its first line.
fn shell_scripts(root: &Path) -> Result<Vec<PathBuf>> {
    let output = clawdie_image::tool::run(
        clawdie_image::checkout::GIT
            .command()?
            .current_dir(root)
            .args([
                "-c",
                "safe.directory=*",
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ]),
    )?;
    let files = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_script = |path: &Path| {
        std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
            && std::fs::read(path).is_ok_and(|text| {
                [
                    b"#!/bin/sh".as_slice(),
                    b"#!/usr/bin/env bash",
                    b"#!/bin/bash",
                ]
                .iter()
                .any(|head| text.starts_with(head))
            })
    };
    let scripts: Vec<_> = files
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|name| is_script(&root.join(name)))
        .collect();
    if scripts.is_empty() {
        return Err(Error::failed(
            "no shell script was found: that cannot be right",
        ));
    }
    Ok(scripts)
}

/// Two builds of one commit are one build.
fn same_bytes(first: &Path, second: &Path) -> Result<()> {
    let mut names: Vec<_> = fs_err::read_dir(first)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<std::io::Result<_>>()?;
    names.retain(|name| !name.to_string_lossy().starts_with('.'));
    names.sort();
    if names.len() < 5 {
        return Err(Error::failed(format!(
            "`{}` lacks outputs: {names:?}",
            first.display()
        )));
    }
    for name in &names {
        let digest = |folder: &Path| clawdie_tree::Content::file(&folder.join(name));
        if digest(first)? != digest(second)? {
            return Err(Error::failed(format!(
                "two builds differ in `{}`: the build is not reproducible",
                name.to_string_lossy()
            ))
            .hint("`diff` the two build-manifest.json to see which file it is"));
        }
    }
    anstream::eprintln!("== two builds are equal: {} files", names.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_cannot_run_is_left_out_and_told() {
        let missing = unless_missing(Err(Error::missing("no such library"))).unwrap();
        assert_eq!(missing.as_deref(), Some("no such library"));
        assert!(unless_missing(Err(Error::failed("no"))).is_err());
        assert_eq!(unless_missing(Ok(())).unwrap(), None);
    }

    #[test]
    fn only_our_own_verbs_can_say_that_something_is_missing() {
        let outcome = step("other", Command::new("sh").args(["-c", "exit 4"]));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Failed);
    }
}
