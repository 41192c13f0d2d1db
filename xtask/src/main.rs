//! `cargo xtask`: builds, checks, boots and stages Clawdie ISO.
//!
//! Thin: each verb reads its arguments, calls `clawdie-image` and says what came of it.

mod bench;
mod boot;
mod doctor;
mod fetch;
mod flash;
mod house;
mod iso;
mod programs;
mod seed;
mod stage;
mod test;
mod ui;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use clawdie_image::ErrorKind;

/// Clawdie ISO's build tool
#[derive(Debug, Parser)]
#[command(
    bin_name = "cargo xtask",
    version,
    max_term_width = 80,
    after_help = "Exit codes:
  0 ok, 1 failed, 2 usage, 3 bad input, 4 missing tool or input, 5 refused

Examples:
  cargo xtask iso                      build an image into target/iso
  cargo xtask seed check setup.txt     find mistakes before it boots
  cargo xtask boot                     try the newest image in QEMU
  cargo xtask flash                    list the disks that it can be written to
  cargo xtask test                     everything that CI runs"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Show what the programs that are called say
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Iso(iso::Args),
    Stage(stage::Args),
    Fetch(fetch::Args),
    Programs(programs::Args),
    Seed(seed::Args),
    Boot(boot::Args),
    Flash(flash::Args),
    Verify(verify::Args),
    Doctor(doctor::Args),
    Test(test::Args),
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    ui::log(cli.verbose);
    let done = match &cli.verb {
        Verb::Iso(args) => iso::run(args),
        Verb::Stage(args) => stage::run(args),
        Verb::Fetch(args) => fetch::run(args),
        Verb::Programs(args) => programs::run(args),
        Verb::Seed(args) => seed::run(args),
        Verb::Boot(args) => boot::run(args, &house::root().join("target/iso")),
        Verb::Flash(args) => flash::run(args, &house::root().join("target/iso")),
        Verb::Verify(args) => verify::run(args),
        Verb::Doctor(args) => doctor::run(args),
        Verb::Test(args) => test::run(args),
        Verb::Bench(args) => bench::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui::complain(&error);
            ExitCode::from(exit_code(error.kind()))
        }
    }
}

fn exit_code(kind: ErrorKind) -> u8 {
    kind as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn help_fits_a_terminal_of_80_columns() {
        fn walk(command: &mut clap::Command) {
            for long in [false, true] {
                let help = if long {
                    command.render_long_help()
                } else {
                    command.render_help()
                };
                for line in help.to_string().lines() {
                    assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
                }
            }
            for sub in command.get_subcommands_mut() {
                walk(sub);
            }
        }
        let mut command = Cli::command();
        command.build();
        walk(&mut command);
    }

    #[test]
    fn every_verb_shows_an_example() {
        for verb in Cli::command().get_subcommands() {
            let help = verb
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                help.contains("Example"),
                "`{}` has no example",
                verb.get_name()
            );
        }
    }
}
