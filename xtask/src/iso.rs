//! `cargo xtask iso`: builds an image.

use std::path::PathBuf;

use clawdie_firstboot::setup;
use clawdie_image::base::{Network, debian, sets};
use clawdie_image::checkout::Checkout;
use clawdie_image::manifest::Channel;
use clawdie_image::order::Order;
use clawdie_image::outputs::{self, Published};
use clawdie_image::pipeline;
use clawdie_image::programs::Programs;
use clawdie_image::recipe::{Archive, Base, Flavour, Npm, Recipe, Sets, release_folder};
use clawdie_image::{Error, ErrorKind, Result, ResultExt as _, npm, packages};

use crate::{doctor, house, ui};

/// Builds a bootable disk image
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask iso                          this system's flavour
  cargo xtask iso --flavour debian --plan  say what would be done
  cargo xtask iso --flavour freebsd --sets ~/sets
                                           from base.txz and kernel.txz there
  cargo xtask iso --seed setup.txt         with your settings on the seed
  cargo xtask iso --offline --out /tmp/a   from the cache alone")]
pub(crate) struct Args {
    /// Which system the image carries [default: this machine's own]
    #[arg(long, value_enum)]
    flavour: Option<FlavourArg>,
    #[command(flatten)]
    release: ReleaseArgs,
    /// Put this setup.txt on the seed instead of the empty form
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Where the results go [default: target/iso]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Say what would be built, and stop
    #[arg(long)]
    plan: bool,
    /// Print the result (or the plan) as JSON
    #[arg(long)]
    json: bool,
    /// Use the cache alone; `cargo xtask fetch` fills it
    #[arg(long)]
    offline: bool,
    /// What the image is for; a release needs a clean tree
    #[arg(long, value_enum, default_value_t)]
    channel: ChannelArg,
    /// Leave out the compressed copy
    #[arg(long)]
    no_xz: bool,
    /// Take our programs from this folder instead of building them
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Install the tools that this machine lacks, without asking
    #[arg(long)]
    install_tools: bool,
}

/// Which release of FreeBSD, and where its dist sets and packages are.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    /// Which FreeBSD: 15.1 or 15.0, whose sets are known, or another
    #[arg(long, value_name = "R")]
    release: Option<String>,
    /// Take base.txz and kernel.txz from this folder, not from a mirror
    #[arg(long, value_name = "DIR")]
    sets: Option<PathBuf>,
    /// Believe the MANIFEST of a release that is not known here
    #[arg(long)]
    insecure: bool,
    /// FreeBSD packages from the repository in this folder, or `mirror`,
    /// or `none` [default: mirror; with --sets what is in DIR/packages]
    #[arg(long, value_name = "DIR|mirror|none")]
    packages: Option<String>,
}

impl ReleaseArgs {
    /// Puts into the recipe what the command line says.
    pub(crate) fn apply(&self, recipe: &mut Recipe) -> Result<()> {
        if let Some(release) = &self.release {
            recipe.choose_release(release)?;
        }
        match (&self.packages, &self.sets) {
            (Some(choice), _) => recipe.choose_packages(choice)?,
            // Whoever brings the sets along is asked for nothing else: no mirror is needed then.
            (None, Some(sets)) if recipe.packages.is_some() => {
                let beside = sets.join("packages");
                if beside.is_dir() {
                    recipe.choose_packages(&beside.to_string_lossy())?;
                } else {
                    tracing::warn!(
                        "no packages of FreeBSD on the image, and so no agent: `--sets` has no folder \
                         `packages` with a repository; `--packages mirror` downloads them"
                    );
                    recipe.choose_packages("none")?;
                }
            }
            (None, _) => {}
        }
        let flavour = recipe.flavour;
        match &mut recipe.base {
            Base::Sets(sets) => {
                if let Some(folder) = self.sets.as_deref().filter(|folder| !folder.is_dir()) {
                    return Err(
                        Error::missing(format!("`{}` is not a folder", folder.display()))
                            .hint("`--sets` names the folder that holds base.txz and kernel.txz"),
                    );
                }
                sets.supply.folder.clone_from(&self.sets);
                sets.supply.insecure = self.insecure;
            }
            Base::Archive(_) if self.sets.is_some() || self.insecure => {
                return Err(
                    Error::new(ErrorKind::Usage, format!("{flavour} is not made of sets"))
                        .hint("`--sets` and `--insecure` are for `--flavour freebsd`"),
                );
            }
            Base::Archive(_) => {}
        }
        Ok(())
    }
}

/// A flavour on the command line.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum FlavourArg {
    /// FreeBSD 15
    Freebsd,
    /// Debian 13
    Debian,
}

impl From<FlavourArg> for Flavour {
    fn from(arg: FlavourArg) -> Self {
        match arg {
            FlavourArg::Freebsd => Self::Freebsd,
            FlavourArg::Debian => Self::Debian,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum ChannelArg {
    /// For its makers
    #[default]
    Dev,
    /// For people
    Release,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut recipe = house::recipe(args.flavour.map(Into::into))?;
    args.release.apply(&mut recipe)?;
    let checkout = Checkout::read(&house::root())?;
    let cache = house::cache()?;
    let stages = ui::Stages::new(args.json && args.plan);
    let order = Order {
        seed: house::seed(&checkout, &recipe, own_seed(args)?)?,
        secret: args.seed.is_some(),
        checkout: &checkout,
        recipe: &recipe,
        version: house::VERSION,
        out: args
            .out
            .clone()
            .unwrap_or_else(|| house::root().join("target/iso")),
        channel: match args.channel {
            ChannelArg::Dev => Channel::Dev,
            ChannelArg::Release => Channel::Release,
        },
        network: if args.offline {
            Network::Offline
        } else {
            Network::Allowed
        },
        cache: &cache,
        programs: own_programs(args, &recipe)?,
        compress: !args.no_xz,
        progress: &stages,
    };
    if args.plan {
        return plan(args, &order);
    }
    // Of FreeBSD, only compiling for it wants anything.
    if recipe.flavour == Flavour::Debian || order.programs.is_none() {
        doctor::ensure(doctor::Purpose::of(recipe.flavour), args.install_tools)?;
    }
    doctor::ensure_agent(&recipe, &order.context(), args.install_tools)?;
    let published = pipeline::build(&order)?;
    report(args, &order, &published)
}

/// A release says which commit its programs are: only programs built here can keep that word.
fn own_programs(args: &Args, recipe: &Recipe) -> Result<Option<Programs>> {
    let Some(folder) = &args.programs else {
        return Ok(None);
    };
    if matches!(args.channel, ChannelArg::Release) {
        return Err(
            Error::refused("a release holds programs of its own commit, built with it")
                .hint("leave out `--programs`"),
        );
    }
    house::programs(recipe, folder).map(Some)
}

/// The operator's file, checked: a typo is cheaper to find here than at the first boot.
fn own_seed(args: &Args) -> Result<Option<Vec<u8>>> {
    let Some(path) = &args.seed else {
        return Ok(None);
    };
    let bytes = fs_err::read(path).or_error(ErrorKind::Missing, || {
        format!("`{}` cannot be read", path.display())
    })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let verdict = setup::check(setup::Input {
        name: &name,
        setup: &bytes,
        authorized_keys: None,
    });
    if verdict.setup.is_none() {
        return Err(
            Error::bad_input(format!("`{}` cannot be used as it is", path.display()))
                .caused_by(verdict.report())
                .hint("`cargo xtask seed check FILE` shows the same; nothing was built"),
        );
    }
    for warning in verdict.warnings() {
        anstream::eprintln!("{warning}");
    }
    Ok(Some(bytes))
}

fn plan(args: &Args, order: &Order<'_>) -> Result<()> {
    let (inputs, packages) = match &order.recipe.base {
        Base::Archive(archive) => {
            let lock = debian::cached(archive, &order.context())?;
            (
                archive_lines(archive, lock.as_ref()),
                lock.map(|lock| serde_json::json!(lock.packages)),
            )
        }
        Base::Sets(sets) => {
            let lock = packages::cached(order.recipe, &order.context())?;
            let mut lines = set_lines(order, sets)?;
            lines.push(package_line(order.recipe, lock.as_ref()));
            (lines, lock.map(|lock| serde_json::json!(lock.packages)))
        }
    };
    let from_npm: Vec<Vec<npm::Package>> = order
        .recipe
        .npm
        .iter()
        .map(|npm| npm::pinned(npm, &order.checkout.root))
        .collect::<Result<_>>()?;
    let stem = outputs::stem(order.recipe, order.version, order.channel);
    let endings: &[&str] = if order.compress {
        &[".img", ".img.xz", ".img.bmap", ".sha256"]
    } else {
        &[".img", ".img.bmap", ".sha256"]
    };
    let mut results: Vec<String> = endings
        .iter()
        .map(|ending| format!("{stem}{ending}"))
        .collect();
    results.push(outputs::MANIFEST.to_owned());
    if args.json {
        let plan = serde_json::json!({
            "schema": "clawdie.iso.plan.v1",
            "version": order.version,
            "git": order.checkout.git,
            "source_date_epoch": order.checkout.epoch,
            "channel": order.channel,
            // A name that is not UTF-8 is shown as well as it can be.
            "out": order.out.to_string_lossy(),
            "results": results,
            "packages_in_cache": packages,
            "packages_of_npm": from_npm.concat(),
            "recipe": order.recipe,
        });
        anstream::println!("{plan:#}");
        return Ok(());
    }
    let Recipe {
        flavour,
        release,
        codename,
        ..
    } = order.recipe;
    anstream::println!("Image      {stem} ({flavour} {release} {codename})");
    let changed = if order.checkout.git.modified {
        ", with changes"
    } else {
        ""
    };
    anstream::println!("Commit     {}{changed}", order.checkout.git.commit);
    for line in inputs {
        anstream::println!("{line}");
    }
    for (npm, packages) in order.recipe.npm.iter().zip(&from_npm) {
        anstream::println!("{}", npm_line(npm, packages.len(), order)?);
    }
    for overlay in &order.recipe.overlays {
        anstream::println!("Overlay    {}", overlay.display());
    }
    for file in &order.recipe.files {
        anstream::println!("File       {}", file.to);
    }
    for program in &order.recipe.programs {
        anstream::println!("Program    {}/{}", program.to, program.bin);
    }
    for (number, part) in (1..).zip(&order.recipe.partitions) {
        let size = match (part.mib, part.kib) {
            (Some(mib), _) => format!("{mib} MiB"),
            (None, Some(kib)) => format!("{kib} KiB"),
            (None, None) => format!("content + {} MiB", part.free_mib.unwrap_or(0)),
        };
        anstream::println!("Partition  {number} {:<13} {size}", part.name);
    }
    anstream::println!("Results    {}", results.join("\n           "));
    anstream::println!("Into       {}", order.out.display());
    Ok(())
}

/// Where Debian's packages come from.
fn archive_lines(archive: &Archive, lock: Option<&debian::Lock>) -> Vec<String> {
    let sources: Vec<_> = archive
        .sources
        .iter()
        .map(|source| format!("{} {}", source.uri, source.suite))
        .collect();
    vec![
        format!("Base       {}", sources.join("\n           ")),
        match lock {
            Some(lock) => format!("Packages   {} in the cache", lock.packages.len()),
            None => format!(
                "Packages   {}: to be resolved and downloaded",
                archive.packages.display()
            ),
        },
    ]
}

/// Where FreeBSD's sets come from, and what vouches for them.
fn set_lines(order: &Order<'_>, sets: &Sets) -> Result<Vec<String>> {
    let release = &order.recipe.release;
    let folder = release_folder(release).map_err(Error::bad_input)?;
    let cached = sets::cached(order.recipe, sets, &order.context())?;
    let pins = sets.pins_of(release);
    let mut lines = vec![match &sets.supply.folder {
        Some(given) => format!("Base       {folder} from {}", given.display()),
        None => format!(
            "Base       {folder} from {}",
            sets.mirrors.join("\n           or ")
        ),
    }];
    for (at, set) in sets.sets.iter().enumerate() {
        let sha256 = pins.and_then(|pins| pins.get(at)).map_or_else(
            || "not pinned: needs MANIFEST and --insecure".to_owned(),
            |pin| clawdie_tree::hex(pin.sha256),
        );
        let there = if sets.supply.folder.is_none() && cached.contains(set) {
            ", in the cache"
        } else {
            ""
        };
        lines.push(format!("Set        {set}{there}\n           {sha256}"));
    }
    Ok(lines)
}

/// Why an image without packages has no agent.
const NO_AGENT: &str = "it runs on Node, which is one of them";

/// Where FreeBSD's packages come from.
fn package_line(recipe: &Recipe, lock: Option<&packages::Resolved>) -> String {
    let Some(packages) = &recipe.packages else {
        return format!("Packages   none, and so no agent: {NO_AGENT}");
    };
    match (&packages.folder, lock) {
        (Some(folder), _) => format!("Packages   from {}", folder.display()),
        (None, Some(lock)) => format!(
            "Packages   {} in the cache, {}",
            lock.packages.len(),
            ui::size(lock.bytes())
        ),
        (None, None) => format!(
            "Packages   {}: to be resolved and downloaded from\n           {}",
            packages.list.display(),
            packages.urls(&recipe.abi()).join("\n           ")
        ),
    }
}

/// What comes from npm, and what says which.
fn npm_line(npm: &Npm, count: usize, order: &Order<'_>) -> Result<String> {
    let state = if npm::is_cached(npm, &order.context())? {
        "in the cache"
    } else {
        "to be downloaded"
    };
    let folder = npm.folder.display();
    Ok(format!(
        "npm        {count} packages that {folder} pins, {state}"
    ))
}

fn report(args: &Args, order: &Order<'_>, published: &Published) -> Result<()> {
    if args.json {
        ui::json(published)?;
        return Ok(());
    }
    let image = published.image.display();
    anstream::println!();
    anstream::println!("Image      {image}");
    anstream::println!(
        "           {}, {} on this disk",
        ui::size(published.bytes),
        ui::size(published.bytes_on_disk)
    );
    if let (Some(path), Some(bytes)) = (&published.compressed, published.compressed_bytes) {
        anstream::println!("Compressed {} ({})", path.display(), ui::size(bytes));
    }
    anstream::println!("SHA-256    {}", published.image_sha256);
    if order.secret {
        anstream::println!(
            "Secret     it holds your setup.txt: only you can read it; do not give it away"
        );
    }
    if order.channel == Channel::Dev && order.checkout.git.modified {
        anstream::println!("Note       the tree has changes that are not committed");
    }
    if order.recipe.npm.is_empty() {
        anstream::println!("Note       no packages on the image, and so no agent: {NO_AGENT}");
    }
    anstream::println!();
    anstream::println!("Next:  try it here     cargo xtask boot --seed setup.txt {image}");
    anstream::println!("       write a stick   cargo xtask flash --seed setup.txt {image}");
    Ok(())
}
