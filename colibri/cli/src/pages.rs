//! What is made from the definition of the command line itself.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use anstream::eprintln;
use clap::CommandFactory;

use crate::REFUSED;
use crate::args::{Args, Verb};

/// Completions to stdout, or manual pages into a folder.
pub(crate) fn write(verb: &Verb) -> ExitCode {
    let outcome = match verb {
        Verb::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "colibri", &mut text);
            use io::Write as _;
            io::stdout().write_all(&text)
        }
        Verb::Man { folder } => manual(folder),
        _ => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("colibri: {error}");
            ExitCode::from(REFUSED)
        }
    }
}

/// A page for the program and one for each verb.
fn manual(folder: &Path) -> io::Result<()> {
    clap_mangen::generate_to(Args::command(), folder)
        .map_err(|error| io::Error::other(format!("{}: {error}", folder.display())))
}
