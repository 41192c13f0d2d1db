//! `cargo xtask flash`: an image onto a USB stick.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clawdie_image::flash::disks::Kind;
use clawdie_image::flash::{self, Disk, Image, Machine, Open, Target as _};
use clawdie_image::seed::Seed;
use clawdie_image::{Error, ErrorKind, Result};

use crate::{boot, seed, ui};

/// Writes an image to a USB stick and reads it back
///
/// Without DEVICE, the disks of this machine are listed and nothing is
/// written. Of two arguments one may be left out: a name that ends in .img or
/// .img.xz is the image, any other is the device.
///
/// The running system's disk, disks with anything mounted, write-protected
/// ones, and those smaller than the image are refused, whatever is said.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What lies beside the image is used: .sha256 must be there and hold; with
the .img.bmap only what means something is written. The partition table
comes last, when all else was read back: a stick that was not finished
does not start. DEVICE may also be a file that is long enough.

Examples:
  cargo xtask flash                        lists the disks
  cargo xtask flash /dev/sdX --dry-run     says what would be done
  cargo xtask flash /dev/sdX               the newest image
  cargo xtask flash IMAGE.img.xz /dev/sdX --seed setup.txt

Only root may write to disks:
  sudo target/debug/xtask flash IMAGE DEVICE"
)]
pub(crate) struct Args {
    /// The image, .img or .img.xz [default: the newest in target/iso]
    image: Option<PathBuf>,
    /// The whole disk, such as /dev/sdX, never a partition of it
    device: Option<PathBuf>,
    /// Put this file on the stick's seed partition as setup.txt
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Check everything, say what would be written, and stop
    #[arg(long)]
    dry_run: bool,
    /// Yes, overwrite it: do not ask
    #[arg(long)]
    yes: bool,
    /// Allow a disk over 256 GB, and nothing else that is refused
    #[arg(long)]
    force: bool,
    /// Print the list or the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb. `newest_in` is the folder that images are built into.
pub(crate) fn run(args: &Args, newest_in: &Path) -> Result<()> {
    let (image, device) = args.named();
    let newest = || boot::newest(newest_in);
    let machine = Machine::read()?;
    let Some(device) = device else {
        // The list is of use without an image, too; a named one must be there.
        let image = image.map(Path::to_owned).or_else(|| newest().ok());
        return list(&machine, image.as_deref(), args);
    };
    let image = image.map_or_else(newest, |image| Ok(image.to_owned()))?;
    let disk = machine.find(device)?;
    // What is quick to refuse comes before a gigabyte is hashed.
    disk.allow(flash::image_len(&image)?, args.force)?;
    let setup = args.seed.as_deref().map(seed::checked).transpose()?;
    let stages = ui::Stages::new(args.json);
    let image = Image::open(&image, &stages)?;
    disk.allow(image.len(), args.force)?;

    if args.dry_run {
        return told(args, &image, &disk, "would be written");
    }
    let mut open = Open::exclusive(&disk)?;
    if open.is_file(image.path())? {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("`{}` is the image itself", disk.path.display()),
        )
        .hint("name the disk that it goes to"));
    }
    if setup.is_some() && !open.takes_any_bytes() {
        return Err(
            Error::refused("`--seed` does not work with this system's disks").hint(
                "flash without it, open the volume CLAWDIESEED and put `setup.txt` there; or build \
                 with `cargo xtask iso --seed`",
            ),
        );
    }
    if !args.yes {
        agreed(&image, &disk)?;
    }
    flash::write(
        &mut image.reader()?,
        image.map(),
        &mut open,
        disk.bytes,
        &stages,
    )?;
    if let Some(setup) = &setup {
        put_seed(&mut open, &disk, setup)?;
    }
    let seen = open.release(&disk);
    told(args, &image, &disk, "written and read back")?;
    if !args.json && disk.kind != Kind::File {
        if !seen {
            anstream::println!(
                "The system has not looked at it again: take it out before you use it."
            );
        }
        anstream::println!("{}", next(setup.is_some()));
    }
    Ok(())
}

impl Args {
    /// Image and device, whichever were named.
    fn named(&self) -> (Option<&Path>, Option<&Path>) {
        match (self.image.as_deref(), self.device.as_deref()) {
            (Some(only), None) if !flash::is_image(only) => (None, Some(only)),
            both => both,
        }
    }
}

/// Puts a `setup.txt` on the seed of a disk that was just written, and reads it back.
fn put_seed(open: &mut Open, disk: &Disk, setup: &[u8]) -> Result<()> {
    let seed = Seed::of(open.file()?, &disk.path)?;
    seed.keep_private()?;
    let name = seed::place(&seed, setup)?;
    open.settle()?;
    let found = seed.find(|found| found == name)?;
    let bytes = found.map(|(_, content)| content.read()).transpose()?;
    if bytes.as_deref() == Some(setup) {
        return Ok(());
    }
    Err(Error::failed(format!(
        "`{}` was written, but its seed does not hold the `setup.txt` that was put there",
        disk.path.display()
    ))
    .hint("the disk is worn out: take another one"))
}

fn next(seeded: bool) -> &'static str {
    if seeded {
        "Boot a machine from it; its setup.txt is in place, with all that is secret in it."
    } else {
        "Take it out and put it in again, open the volume CLAWDIESEED and edit setup.txt."
    }
}

/// What was done, or would be.
fn told(args: &Args, image: &Image, disk: &Disk, done: &str) -> Result<()> {
    let (path, device) = (image.path().display(), disk.path.display());
    let bytes = image.map().mapped_len();
    if args.json {
        return ui::json(&serde_json::json!({
            "image": path.to_string(),
            "device": device.to_string(),
            "image_bytes": image.len(),
            "written_bytes": bytes,
            "written": !args.dry_run,
            "seed": args.seed.is_some(),
        }));
    }
    if args.dry_run {
        describe(disk);
    }
    anstream::println!(
        "`{path}` {done} to `{device}`: {} of {}",
        ui::size(bytes),
        ui::size(image.len())
    );
    Ok(())
}

/// What a person should recognise before it is gone.
fn describe(disk: &Disk) {
    let model = if disk.model.is_empty() {
        "unknown"
    } else {
        &disk.model
    };
    let size = ui::size(disk.bytes);
    anstream::eprintln!("{}: {model}, {size}", disk.path.display());
    for part in &disk.partitions {
        let label = part.label.as_deref().unwrap_or("without a name");
        anstream::eprintln!("  {:<10} {:>11}  {label}", part.name, ui::size(part.bytes));
    }
    if disk.partitions.is_empty() && disk.kind != Kind::File {
        anstream::eprintln!("  no partitions");
    }
}

/// Asks whether it may be written; an error is a no.
fn agreed(image: &Image, disk: &Disk) -> Result<()> {
    let refused =
        |why: &str| Error::refused(format!("`{}` was not written: {why}", disk.path.display()));
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refused("nobody is there to be asked").hint("`--yes` does it without asking"));
    }
    describe(disk);
    anstream::eprintln!(
        "All that is on it will be lost. Onto it comes {}",
        image.path().display()
    );
    anstream::eprint!("Write it? Type `yes`: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() == "yes" {
        return Ok(());
    }
    Err(refused("the answer was not `yes`").hint("nothing was changed"))
}

/// A disk of the list.
#[derive(serde::Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    disk: &'a Disk,
    /// Is it one to flash?
    offered: bool,
    /// If not, why.
    why_not: Vec<String>,
}

fn list(machine: &Machine, image: Option<&Path>, args: &Args) -> Result<()> {
    let need = image.map(flash::image_len).transpose()?;
    let listed: Vec<_> = machine
        .disks()
        .map(|disk| {
            let objections = disk.objections(need, args.force).into_iter();
            let mut why_not: Vec<_> = objections.map(|objection| objection.why).collect();
            if why_not.is_empty() && disk.kind != Kind::Portable {
                why_not.push("neither a USB disk nor a card: name it if it is meant".into());
            }
            let offered = why_not.is_empty();
            Listed {
                disk,
                offered,
                why_not,
            }
        })
        .collect();
    if args.json {
        return ui::json(&serde_json::json!({
            "image": image.map(|path| path.to_string_lossy()),
            "image_bytes": need,
            "disks": listed,
        }));
    }
    for line in table(&listed) {
        anstream::println!("{line}");
    }
    match (listed.iter().find(|listed| listed.offered), image) {
        (None, _) => anstream::println!("No disk can be flashed now: plug a USB stick in."),
        (Some(_), None) => {
            anstream::println!("No image is there yet: `cargo xtask iso` builds one.")
        }
        (Some(first), Some(image)) => anstream::println!(
            "To write: cargo xtask flash {} {}",
            image.display(),
            first.disk.path.display()
        ),
    }
    Ok(())
}

/// The list in columns, as wide as they need to be.
fn table(listed: &[Listed<'_>]) -> Vec<String> {
    let rows: Vec<[String; 4]> = listed
        .iter()
        .map(|Listed { disk, why_not, .. }| {
            let labels: Vec<_> = disk
                .partitions
                .iter()
                .filter_map(|part| part.label.as_deref())
                .collect();
            let on_it = if labels.is_empty() {
                String::new()
            } else {
                format!(" (on it: {})", labels.join(", "))
            };
            let verdict = match why_not.as_slice() {
                [] => format!("can be flashed{on_it}"),
                why => format!("no: {}", why.join("; ")),
            };
            [
                disk.path.display().to_string(),
                ui::size(disk.bytes),
                disk.model.clone(),
                verdict,
            ]
        })
        .collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let [device, size, model] = [0, 1, 2].map(width);
    rows.iter()
        .map(|row| {
            format!(
                "{:<device$}  {:>size$}  {:<model$}  {}",
                row[0], row[1], row[2], row[3]
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn one_argument_is_the_image_or_the_device_by_its_name() {
        let named = |words: &[&str]| {
            let line = Line::parse_from(std::iter::once("flash").chain(words.iter().copied()));
            let (image, device) = line.args.named();
            (image.map(Path::to_owned), device.map(Path::to_owned))
        };
        let path = |name: &str| Some(PathBuf::from(name));
        assert_eq!(named(&[]), (None, None));
        assert_eq!(named(&["/dev/sdx"]), (None, path("/dev/sdx")));
        assert_eq!(named(&["a/i.img"]), (path("a/i.img"), None));
        assert_eq!(named(&["i.img.xz"]), (path("i.img.xz"), None));
        assert_eq!(
            named(&["i.img", "stick.img"]),
            (path("i.img"), path("stick.img"))
        );
    }

    #[test]
    fn the_list_is_in_columns() {
        let disk = |name: &str, model: &str| Disk {
            path: Path::new("/dev").join(name),
            bytes: 8 << 30,
            model: model.into(),
            kind: Kind::Portable,
            read_only: false,
            sector: 512,
            partitions: Vec::new(),
            uses: Vec::new(),
        };
        let (one, other) = (disk("sda", "A stick"), disk("nvme0n1", "Inside"));
        let lines = table(&[
            Listed {
                disk: &one,
                offered: true,
                why_not: vec![],
            },
            Listed {
                disk: &other,
                offered: false,
                why_not: vec!["mounted".into(), "old".into()],
            },
        ]);
        assert_eq!(
            lines,
            [
                "/dev/sda      8.00 GiB  A stick  can be flashed",
                "/dev/nvme0n1  8.00 GiB  Inside   no: mounted; old"
            ]
        );
    }
}
