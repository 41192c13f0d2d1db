//! Manual pages and completions of a program, made from the definition of its command line.
//!
//! The images and `cargo xtask stage` take them from an overlay, where they lie as files: a program
//! built for another system cannot be run to print them. A test of each program holds its files
//! against its definition ([`check`]), and renews them when `COLIBRI_BLESS` is set.
//!
//! A verb that is hidden has no page. Completions know hidden ones all the same: `clap_complete` has no
//! way to leave them out.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// The overlay's folder for what does not depend on the machine.
const SHARE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../overlays/common/usr/local/share"
);

/// Every file of a program, by its path below `share`: a page for it and one for each verb that is
/// shown, in this section of the manual, and the completions of bash, zsh and fish where these look
/// for them.
///
/// # Errors
/// When a page cannot be rendered.
pub fn files(command: &Command, section: &str) -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut built = command.clone().disable_help_subcommand(true);
    built.build();
    let verbs = built.get_subcommands().filter(|verb| !verb.is_hide_set());
    let pages = std::iter::once(&built).chain(verbs);
    for one in pages {
        let page = Man::new(one.clone()).section(section);
        let path = format!("man/man{section}/{}", page.get_filename());
        let mut bytes = Vec::new();
        page.render(&mut bytes)?;
        files.insert(path.into(), bytes);
    }
    let name = command.get_name();
    for (shell, path) in [
        (Shell::Bash, format!("bash-completion/completions/{name}")),
        (
            Shell::Fish,
            format!("fish/vendor_completions.d/{name}.fish"),
        ),
        (Shell::Zsh, format!("zsh/site-functions/_{name}")),
    ] {
        let mut bytes = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), name, &mut bytes);
        files.insert(path.into(), bytes);
    }
    Ok(files)
}

/// Holds a program's files in the overlay against its definition; with `COLIBRI_BLESS` in the
/// environment they are written first.
///
/// # Errors
/// Which are stale, and how to renew them; or what cannot be written.
pub fn check(command: &Command, section: &str) -> Result<(), String> {
    let share = Path::new(SHARE);
    let files = files(command, section).map_err(|error| error.to_string())?;
    if std::env::var_os("COLIBRI_BLESS").is_some() {
        for (path, bytes) in &files {
            write(&share.join(path), bytes)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    let stale: Vec<String> = files
        .iter()
        .filter(|(path, bytes)| std::fs::read(share.join(path)).ok().as_ref() != Some(*bytes))
        .map(|(path, _)| path.display().to_string())
        .collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!(
        "stale in the overlay: {}; renew them with COLIBRI_BLESS=1 cargo nextest run pages_of_the",
        stale.join(", ")
    ))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn a_program_has_a_page_for_each_verb_and_three_completions() {
        let command = Command::new("try")
            .about("Tries things")
            .version("1")
            .subcommand(Command::new("fly").arg(Arg::new("how").long("high")))
            .subcommand(Command::new("flutter").hide(true));
        let files = files(&command, "8").unwrap();
        let paths: Vec<_> = files.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            paths,
            [
                "bash-completion/completions/try",
                "fish/vendor_completions.d/try.fish",
                "man/man8/try-fly.8",
                "man/man8/try.8",
                "zsh/site-functions/_try",
            ]
        );
        let page = String::from_utf8_lossy(&files[Path::new("man/man8/try.8")]);
        assert!(page.contains(".TH try 8"), "{page}");
        let words = &files[Path::new("bash-completion/completions/try")];
        assert!(String::from_utf8_lossy(words).contains("--high"));
        assert!(check(&command, "8").unwrap_err().contains("try-fly.8"));
    }
}
