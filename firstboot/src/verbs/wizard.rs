//! `clawdie-firstboot wizard`: the dialogue, and what follows it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clawdie_firstboot::host::Host;
use clawdie_firstboot::journal::Phase;
use clawdie_firstboot::wizard::{Ending, hold, place};
use miette::{IntoDiagnostic as _, miette};

use crate::{lock, print, require_root};

/// On a file, or on the seed; `console`: the boot called it.
pub(crate) fn run(
    host: &dyn Host,
    file: Option<PathBuf>,
    console: bool,
) -> miette::Result<ExitCode> {
    match file {
        Some(file) => on_file(host, &file),
        None => {
            require_root(host)?;
            on_seed(host, console)
        }
    }
}

fn on_file(host: &dyn Host, file: &Path) -> miette::Result<ExitCode> {
    let path = std::path::absolute(file).into_diagnostic()?;
    match hold(&place::File::new(host, path)).map_err(no_dialogue)? {
        Ending::Saved(saved) => {
            println!("{} is saved.", file.display());
            tell_old(&saved);
            print(&saved.report)
        }
        Ending::Left | Ending::DoneElsewhere => {
            println!("Nothing was saved.");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn on_seed(host: &dyn Host, console: bool) -> miette::Result<ExitCode> {
    // On a console anybody may sit down. Whoever holds the stick of a host that was never set up can do all of this
    // on another computer; but a host that was set up is its operator's, who can log in and become root.
    if console && !place::is_wanted(host) {
        println!("This machine is set up, or being set up.");
        return Ok(ExitCode::SUCCESS);
    }
    let seed = place::Seed::new(host, || lock(Path::new(host.paths().run)), console);
    loop {
        match hold(&seed).map_err(no_dialogue)? {
            Ending::Saved(saved) => {
                println!("setup.txt is saved. Setting this machine up ...");
                tell_old(&saved);
            }
            Ending::DoneElsewhere => {
                println!("Another console has saved setup.txt: the set-up goes on there.");
                return Ok(ExitCode::SUCCESS);
            }
            Ending::Left => {
                println!("Nothing was saved.");
                return Ok(ExitCode::FAILURE);
            }
        }
        place::want(host, false).into_diagnostic()?;
        let code = apply(host, console)?;
        if console {
            println!("Press Enter for the login prompt.");
            io::stdin()
                .read_line(&mut String::new())
                .into_diagnostic()?;
        }
        // The stick may have been pulled out or exchanged in between.
        if !place::is_wanted(host) {
            return Ok(code);
        }
    }
}

/// Runs both phases, each as a boot runs it; the code is that of the last one that ended badly.
fn apply(host: &dyn Host, console: bool) -> miette::Result<ExitCode> {
    let program = std::env::current_exe().into_diagnostic()?;
    let mut ended = ExitCode::SUCCESS;
    for phase in [Phase::Early, Phase::Late] {
        let mut run = Command::new(&program);
        run.args(["run", "--phase", &phase.to_string()]);
        if console {
            // It prints every step on every console anyway.
            run.stdout(Stdio::null());
        }
        let status = run.status().into_diagnostic()?;
        if status.success() {
            // The boot's own run was refused. Where it was not, there is nothing to forget.
            if let Err(error) = host.forget_failure(phase) {
                tracing::debug!("the {phase} phase is still listed as failed: {error}");
            }
        } else {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            ended = code.map_or(ExitCode::FAILURE, ExitCode::from);
        }
    }
    Ok(ended)
}

fn tell_old(saved: &place::Saved) {
    if saved.kept_old {
        println!(
            "The old file is kept beside it as {}: it says something that the new one does not. \
             It may hold keys and passwords; delete it when you have looked.",
            clawdie_firstboot::seed::OLD_SETUP
        );
    }
}

fn no_dialogue(error: io::Error) -> miette::Report {
    miette!(
        help = "run it on a terminal, without redirecting its input or output; or edit setup.txt with an editor",
        "the dialogue cannot be held: {error}"
    )
}
