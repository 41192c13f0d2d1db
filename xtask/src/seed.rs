//! `cargo xtask seed`: checks, shows and puts a `setup.txt`.

use std::path::{Path, PathBuf};

use clawdie_firstboot::setup;
use clawdie_image::seed::Seed;
use clawdie_image::{Error, ErrorKind, Result, ResultExt as _};

/// Checks a setup.txt, shows it redacted, or puts it into an image
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask seed check setup.txt
  cargo xtask seed show target/iso/clawdie-trixie-0.1.0-dev-amd64.img
  cargo xtask seed put setup.txt IMAGE")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Says everything that is wrong with a setup.txt, and where
    #[command(
        after_help = "Exit code 0: can be used, 3: cannot. Example:\n  cargo xtask seed check setup.txt --json"
    )]
    Check {
        /// The file
        file: PathBuf,
        /// A file of SSH public keys that lies beside it
        #[arg(long, value_name = "FILE")]
        authorized_keys: Option<PathBuf>,
        /// Print the problems as JSON
        #[arg(long)]
        json: bool,
    },
    /// Shows a setup.txt, or the one on an image, without its secrets
    #[command(after_help = "Example:\n  cargo xtask seed show setup.txt")]
    Show {
        /// A setup.txt, an image or a stick
        file: PathBuf,
    },
    /// Puts a checked setup.txt on the seed partition of an image or stick
    #[command(after_help = "Example:\n  cargo xtask seed put setup.txt target/iso/IMAGE.img")]
    Put {
        /// The file
        file: PathBuf,
        /// The image or stick
        image: PathBuf,
        /// Put it there although it has errors
        #[arg(long)]
        force: bool,
    },
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.verb {
        Verb::Check {
            file,
            authorized_keys,
            json,
        } => check(file, authorized_keys.as_deref(), *json),
        Verb::Show { file } => show(file),
        Verb::Put { file, image, force } => put(file, image, *force),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    // One byte more than allowed is enough to say that it is too long: an image given by mistake is
    // not read whole.
    use std::io::Read;
    let mut bytes = Vec::new();
    fs_err::File::open(path)
        .and_then(|file| {
            file.take(setup::FILE_LIMIT as u64 + 1)
                .read_to_end(&mut bytes)
        })
        .or_error(ErrorKind::Missing, || {
            format!("`{}` cannot be read", path.display())
        })?;
    Ok(bytes)
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn check(file: &Path, authorized_keys: Option<&Path>, json: bool) -> Result<()> {
    let bytes = read(file)?;
    let keys = authorized_keys.map(read).transpose()?;
    let name = name(file);
    let verdict = setup::check(setup::Input {
        name: &name,
        setup: &bytes,
        authorized_keys: keys.as_deref(),
    });
    if json {
        let json = serde_json::json!({
            "file": name,
            "usable": verdict.setup.is_some(),
            "problems": verdict.problems,
        });
        anstream::println!("{json:#}");
    } else {
        anstream::print!("{}", verdict.report());
    }
    if verdict.setup.is_some() {
        return Ok(());
    }
    Err(
        Error::bad_input(format!("`{}` cannot be used as it is", file.display()))
            .hint("mend what is named above; nothing else is wrong with it"),
    )
}

fn show(file: &Path) -> Result<()> {
    let text = match Seed::open(file, false) {
        Ok(seed) => {
            let found = seed.find(setup::is_setup_name)?;
            let (_, content) = found.ok_or_else(|| {
                Error::missing(format!("the seed of `{}` has no setup.txt", file.display()))
                    .hint("put one there: `cargo xtask seed put FILE IMAGE`")
            })?;
            content.read()?
        }
        Err(error) if error.kind() == ErrorKind::Missing => return Err(error),
        Err(_) => read(file)?,
    };
    anstream::print!("{}", setup::show(&text));
    Ok(())
}

/// Reads a setup.txt that is to be used and says what is wrong with it.
///
/// # Errors
/// When it has errors.
pub(crate) fn checked(file: &Path) -> Result<Vec<u8>> {
    checked_or(file, false, "mend it; nothing was written")
}

/// As [`checked`], but `force` lets errors pass; `hint` is what to do about them.
fn checked_or(file: &Path, force: bool, hint: &str) -> Result<Vec<u8>> {
    let bytes = read(file)?;
    let verdict = setup::check(setup::Input {
        name: &name(file),
        setup: &bytes,
        authorized_keys: None,
    });
    anstream::eprint!("{}", verdict.report());
    if verdict.setup.is_none() && !force {
        return Err(
            Error::bad_input(format!("`{}` cannot be used as it is", file.display())).hint(hint),
        );
    }
    Ok(bytes)
}

/// Puts a setup.txt on a seed, and says under which name.
pub(crate) fn place(seed: &Seed, bytes: &[u8]) -> Result<String> {
    // Whatever spelling is there is the one that is replaced: two would be one too many.
    let there = seed.find(setup::is_setup_name)?.map(|(name, _)| name);
    let target = there.unwrap_or_else(|| "setup.txt".to_owned());
    seed.put(&target, bytes)?;
    Ok(target)
}

fn put(file: &Path, image: &Path, force: bool) -> Result<()> {
    let hint = "mend it, or add `--force` to put it there all the same; nothing was written";
    let bytes = checked_or(file, force, hint)?;
    let seed = Seed::open(image, true)?;
    let private = seed.keep_private()?;
    let target = place(&seed, &bytes)?;
    anstream::println!(
        "`{}` is on the seed of `{}` as `{target}`{}",
        file.display(),
        image.display(),
        if private {
            "; only its owner can read that image now"
        } else {
            ""
        }
    );
    Ok(())
}
