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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::ffi::OsString;

    #[test]
    fn the_pages_of_the_images_are_fresh() {
        let command = Args::command();
        colibri_pages::check(&command, "1").unwrap();

        // A verb that is gone has no page any more.
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../overlays/common/usr/local/share/man/man1"
        );
        let there = std::fs::read_dir(folder).unwrap();
        let there: BTreeSet<_> = there.map(|entry| entry.unwrap().file_name()).collect();
        let made = colibri_pages::files(&command, "1").unwrap();
        let mut known: BTreeSet<_> = made
            .keys()
            .filter(|path| path.starts_with("man"))
            .filter_map(|path| path.file_name().map(ToOwned::to_owned))
            .collect();
        // Pages of other programs, which have tests of their own.
        known.extend(["colibri-mcp.1", "colibri-tui.1"].map(OsString::from));
        let stale: Vec<_> = there.difference(&known).collect();
        assert!(stale.is_empty(), "remove {stale:?} from {folder}");
    }
}
