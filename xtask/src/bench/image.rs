//! `cargo xtask bench image`: how fast images are built, as ratios within one run.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clawdie_image::base::sets::sample::{self, Sample};
use clawdie_image::base::{Context, Network};
use clawdie_image::cache::Cache;
use clawdie_image::checkout::Checkout;
use clawdie_image::manifest::Channel;
use clawdie_image::order::Order;
use clawdie_image::outputs::Published;
use clawdie_image::pipeline;
use clawdie_image::programs::{self, Programs};
use clawdie_image::recipe::{Base, Flavour, Recipe};
use clawdie_image::tool::Tool;
use clawdie_image::{Error, ErrorKind, Result, ResultExt as _};

use crate::iso::FlavourArg;
use crate::{doctor, house, ui};

/// As large as a release's.
const SETS: Sample = Sample {
    files: 30_000,
    bytes: 1_200_000_000,
};

/// Cold build, unchanged rebuild, rebuild with one program changed
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Times mean little, ratios within one run do: each build is held against
a copy of its own result. Debian's also against mkosi making a disk with
the same packages, FreeBSD's against `xz | tar` of the sets and `dd` of
the image. Its sets are made up: 30,000 files, 1.2 GB.

Examples:
  cargo xtask bench image --runs 5
  cargo xtask bench image --flavour freebsd
  cargo xtask bench image --no-reference"
)]
pub(crate) struct Args {
    /// Which system's image
    #[arg(long, value_enum, default_value_t = FlavourArg::Debian)]
    flavour: FlavourArg,
    /// Repetitions of the fast measurements; the median is shown
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Leave out what others are measured for (two minutes)
    #[arg(long, alias = "no-mkosi")]
    no_reference: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// One row of the result.
#[derive(Debug, serde::Serialize)]
struct Row {
    name: &'static str,
    seconds: f64,
    to_copy: f64,
    to_reference: Option<f64>,
}

/// What others need for the same: from nothing, and after one changed file.
struct Reference {
    name: &'static str,
    cold: Duration,
    rebuild: Option<Duration>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Args {
        flavour,
        runs,
        no_reference,
        json,
    } = *args;
    let flavour = flavour.into();
    doctor::ensure(doctor::Purpose::of(flavour), false)?;
    let say = |text: &str| anstream::eprintln!("{text}");

    say("preparing what is not measured: inputs, our programs, the download cache");
    let bench = Bench::new(flavour, runs)?;
    let programs = bench.programs()?;
    bench.build(&programs, false)?;
    say("cold: downloads cached, everything else made");
    let (cold, stages) = bench.cold(&programs)?;
    say("nothing changed");
    let unchanged = bench.median(|| bench.timed(&programs))?;
    say("one program changed");
    let changed = bench.one_changed(&programs)?;
    say("memory: a cold build as a command of its own");
    let memory = bench.peak_memory()?;
    let published = bench.build(&programs, false)?;
    say("copying the image, without and with a sync");
    let copy = bench.median(|| bench.copy(&published.image, false))?;
    let synced = bench.median(|| bench.copy(&published.image, true))?;
    say("with the compressed copy: first, then after one changed program");
    let (compressed, recompressed) = bench.compressed(&programs)?;
    let reference = match (no_reference, &bench.recipe.base) {
        (true, _) => None,
        (false, Base::Archive(_)) => bench.mkosi(&bench.work.path().join("mkosi"))?,
        (false, Base::Sets(_)) => Some(bench.unpacked(&published.image)?),
    };

    let row = |name, took: Duration, reference: Option<Duration>| Row {
        name,
        seconds: took.as_secs_f64(),
        to_copy: took.as_secs_f64() / synced.as_secs_f64(),
        to_reference: reference.map(|other| took.as_secs_f64() / other.as_secs_f64()),
    };
    let rows = [
        row("cold", cold, reference.as_ref().map(|other| other.cold)),
        row("nothing changed", unchanged, None),
        row(
            "one program changed",
            changed,
            reference.as_ref().and_then(|other| other.rebuild),
        ),
        row("compressed, cold", compressed, None),
        row("compressed, one program changed", recompressed, None),
        row("copy of the image (cp)", copy, None),
        row("copy of the image (cp, sync)", synced, None),
    ];
    if json {
        let value = serde_json::json!({
            "flavour": flavour,
            "rows": rows,
            "stages_of_cold": stages.iter().map(|(name, took)| (name, took.as_secs_f64())).collect::<Vec<_>>(),
            "image_bytes": published.bytes,
            "image_bytes_on_disk": published.bytes_on_disk,
            "peak_memory_kib": memory,
            "reference": reference.map(|other| serde_json::json!({
                "name": other.name,
                "cold_seconds": other.cold.as_secs_f64(),
                "rebuild_seconds": other.rebuild.map(|took| took.as_secs_f64()),
            })),
        });
        anstream::println!("{value:#}");
        return Ok(());
    }
    let name = reference.as_ref().map_or("-", |other| other.name);
    anstream::println!("{:<34} {:>9} {:>9} to {name}", "", "seconds", "to copy");
    for row in rows {
        let other = row
            .to_reference
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        anstream::println!(
            "{:<34} {:>9.2} {:>9.2} {other:>9}",
            row.name,
            row.seconds,
            row.to_copy
        );
    }
    if let Some(other) = reference {
        for (what, took) in [
            ("cold", Some(other.cold)),
            ("one file changed", other.rebuild),
        ] {
            if let Some(took) = took {
                let name = format!("{}, {what}", other.name);
                anstream::println!("{name:<34} {:>9.2}", took.as_secs_f64());
            }
        }
    }
    anstream::println!();
    for (name, took) in stages {
        anstream::println!("  stage of cold: {name:<30} {:>7.2}", took.as_secs_f64());
    }
    anstream::println!(
        "image {} ({} on disk); peak memory of a cold build {} MB",
        ui::size(published.bytes),
        ui::size(published.bytes_on_disk),
        memory * 1024 / 1_000_000
    );
    Ok(())
}

struct Bench {
    checkout: Checkout,
    recipe: Recipe,
    cache: Cache,
    work: tempfile::TempDir,
    runs: usize,
}

impl Bench {
    fn new(flavour: Flavour, runs: usize) -> Result<Self> {
        let root = house::root();
        fs_err::create_dir_all(root.join("target"))?;
        // On the disk that images are built on, not in memory.
        let work = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(root.join("target"))?;
        let mut recipe = house::recipe(Some(flavour))?;
        if let Base::Sets(sets) = &mut recipe.base {
            let folder = work.path().join("sets");
            fs_err::create_dir(&folder)?;
            sample::write(&folder, SETS)?;
            sets.supply.folder = Some(folder);
            // Nobody has pinned what was just made up.
            sets.supply.insecure = true;
            recipe.choose_release("15.99")?;
            // Packages are copied as they are.
            recipe.choose_packages("none")?;
        }
        Ok(Self {
            checkout: Checkout::read(&root)?,
            recipe,
            cache: house::cache()?,
            work,
            runs: runs.max(1),
        })
    }

    fn order<'a>(
        &'a self,
        programs: &Programs,
        compress: bool,
        stages: &'a ui::Stages,
    ) -> Result<Order<'a>> {
        Ok(Order {
            checkout: &self.checkout,
            recipe: &self.recipe,
            version: house::VERSION,
            seed: house::seed(&self.checkout, &self.recipe, None)?,
            secret: false,
            out: self.work.path().join("out"),
            channel: Channel::Dev,
            network: Network::Allowed,
            cache: &self.cache,
            programs: Some(programs.clone()),
            compress,
            progress: stages,
        })
    }

    fn programs(&self) -> Result<Programs> {
        programs::build(
            &self.recipe,
            &Context {
                root: &self.checkout.root,
                cache: &self.cache,
                network: Network::Allowed,
                progress: &ui::Stages::new(false),
            },
        )
    }

    fn build(&self, programs: &Programs, compress: bool) -> Result<Published> {
        pipeline::build(&self.order(programs, compress, &ui::Stages::new(true))?)
    }

    fn timed(&self, programs: &Programs) -> Result<Duration> {
        let started = Instant::now();
        self.build(programs, false)?;
        Ok(started.elapsed())
    }

    fn median(&self, measure: impl Fn() -> Result<Duration>) -> Result<Duration> {
        let mut times = (0..self.runs)
            .map(|_| measure())
            .collect::<Result<Vec<_>>>()?;
        times.sort();
        Ok(times[times.len() / 2])
    }

    /// The cached base is thrown away, the downloads stay.
    fn cold(&self, programs: &Programs) -> Result<(Duration, Vec<(String, Duration)>)> {
        fs_err::remove_dir_all(self.cache.folder("base")?)?;
        let stages = ui::Stages::new(true);
        let started = Instant::now();
        pipeline::build(&self.order(programs, false, &stages)?)?;
        Ok((started.elapsed(), stages.times()))
    }

    /// The most memory that `cargo xtask iso` takes for a cold build, in KiB. In a process of its own, as users run it:
    /// what the builds before have left in this one is no build's need. 0 where the kernel does not tell.
    fn peak_memory(&self) -> Result<u64> {
        fs_err::remove_dir_all(self.cache.folder("base")?)?;
        let log = fs_err::File::create(self.work.path().join("iso.log"))?;
        let mut iso = Command::new(std::env::current_exe()?);
        iso.args([
            "iso",
            "--no-xz",
            "--flavour",
            &self.recipe.flavour.to_string(),
        ])
        .arg("--out")
        .arg(self.work.path().join("out"))
        .stdout(Stdio::null())
        .stderr(log.into_parts().0);
        if let Base::Sets(sets) = &self.recipe.base {
            iso.args(["--release", &self.recipe.release, "--insecure"])
                .args(["--packages", "none", "--sets"])
                .args(&sets.supply.folder);
        }
        let mut iso = iso.spawn()?;
        let mut peak = 0;
        let status = loop {
            peak = peak.max(peak_memory_of(iso.id()));
            if let Some(status) = iso.try_wait()? {
                break status;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        if status.success() {
            return Ok(peak);
        }
        let said = fs_err::read_to_string(self.work.path().join("iso.log"))?;
        Err(Error::failed("`cargo xtask iso` failed").caused_by(clawdie_image::tool::tail(&said)))
    }

    /// Alternates between two versions of one program, so that every build sees a change.
    fn one_changed(&self, programs: &Programs) -> Result<Duration> {
        let changed = self.changed(programs, "changed")?;
        let turn = std::cell::Cell::new(false);
        self.median(|| {
            turn.set(!turn.get());
            self.timed(if turn.get() { &changed } else { programs })
        })
    }

    /// The programs with the first of them a little longer, by `tail`.
    fn changed(&self, programs: &Programs, tail: &str) -> Result<Programs> {
        let (name, path) = programs
            .first_key_value()
            .ok_or_else(|| Error::failed("the recipe has no program"))?;
        let other = self.work.path().join(tail);
        let mut bytes = fs_err::read(path)?;
        bytes.extend_from_slice(tail.as_bytes());
        fs_err::write(&other, bytes)?;
        let mut changed = programs.clone();
        changed.insert(name.clone(), other);
        Ok(changed)
    }

    /// The image copied, in the place of the copy before, as a build's result takes the place of the last: where a
    /// disk is told of every block that comes free, that costs both as much.
    fn copy(&self, image: &Path, sync: bool) -> Result<Duration> {
        let to = self.work.path().join("copy.img");
        let new = self.work.path().join("copy.img.new");
        if !to.exists() {
            fs_err::copy(image, &to)?;
        }
        let started = Instant::now();
        let status = Command::new("cp")
            .arg("--reflink=never")
            .arg(image)
            .arg(&new)
            .status()?;
        if sync {
            fs_err::File::open(&new)?.sync_all()?;
        }
        if !status.success() {
            return Err(Error::failed("`cp` failed"));
        }
        fs_err::rename(&new, &to)?;
        Ok(started.elapsed())
    }

    fn compressed(&self, programs: &Programs) -> Result<(Duration, Duration)> {
        let chunks = self.cache.folder("xz")?;
        fs_err::remove_dir_all(chunks)?;
        let started = Instant::now();
        self.build(programs, true)?;
        let first = started.elapsed();
        let changed = self.changed(programs, "again")?;
        let started = Instant::now();
        self.build(&changed, true)?;
        Ok((first, started.elapsed()))
    }

    /// The sets unpacked into a folder by xz and tar, and the image written by dd: what the work comes to
    /// without any file system being made.
    fn unpacked(&self, image: &Path) -> Result<Reference> {
        let to = self.work.path().join("unpacked");
        fs_err::create_dir(&to)?;
        let script = "for set in base kernel; do \
             xz -dc -T0 \"$0/$set.txz\" | tar -xf - -C \"$1\" || exit 1; done; \
             dd if=\"$2\" of=\"$1/copy.img\" bs=1M conv=fsync,sparse status=none";
        let started = Instant::now();
        let status = Command::new("sh")
            .args(["-c", script])
            .args([&self.work.path().join("sets"), &to, &image.to_owned()])
            .status()?;
        let cold = started.elapsed();
        if !status.success() {
            return Err(Error::failed("unpacking the sets with xz and tar failed"));
        }
        Ok(Reference {
            name: "xz, tar, dd",
            cold,
            rebuild: None,
        })
    }

    /// mkosi with the same package list, its package cache warm: cold, then with one changed file.
    /// None, with a word why, when mkosi is not on this machine.
    fn mkosi(&self, work: &Path) -> Result<Option<Reference>> {
        let mkosi = Tool {
            program: "mkosi",
            package: "mkosi",
            why: "the reference",
        };
        if mkosi.find().is_none() {
            anstream::eprintln!(
                "mkosi is not on this machine: no ratio to it (Debian: bookworm-backports)"
            );
            return Ok(None);
        }
        let archive = self.recipe.archive()?;
        let list = self.checkout.root.join(&archive.packages);
        let packages =
            clawdie_image::base::debian::package_list(&fs_err::read_to_string(&list)?, &list)?;
        write_mkosi(work, archive, &packages)?;
        let run = |again: bool| -> Result<Duration> {
            let mut command = mkosi.command()?;
            command.current_dir(work).arg("--force");
            if !again {
                // Twice: caches of packages stay, caches of the root go.
                command.arg("--force");
            }
            let log = fs_err::File::create(work.join("log"))?.into_parts().0;
            let started = Instant::now();
            let status = command
                .stdout(log.try_clone()?)
                .stderr(log)
                .status()
                .or_error(ErrorKind::Missing, || "mkosi cannot be started".into())?;
            if !status.success() {
                let said = fs_err::read_to_string(work.join("log"))?;
                return Err(
                    Error::failed("mkosi failed").caused_by(clawdie_image::tool::tail(&said))
                );
            }
            Ok(started.elapsed())
        };
        anstream::eprintln!("mkosi: filling its package cache (not measured)");
        run(false)?;
        anstream::eprintln!("mkosi: cold");
        let cold = run(false)?;
        fs_err::write(work.join("mkosi.extra/etc/changed"), "changed")?;
        anstream::eprintln!("mkosi: one file changed");
        let rebuild = run(true)?;
        Ok(Some(Reference {
            name: "mkosi",
            cold,
            rebuild: Some(rebuild),
        }))
    }
}

fn write_mkosi(
    work: &Path,
    archive: &clawdie_image::recipe::Archive,
    packages: &[String],
) -> Result<()> {
    for folder in [
        "cache",
        "package-cache",
        "mkosi.extra/etc",
        "pm/etc/apt/sources.list.d",
    ] {
        fs_err::create_dir_all(work.join(folder))?;
    }
    let mut sources = String::new();
    for source in &archive.sources {
        sources.push_str(&format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\nSigned-By: {}\n\n",
            source.uri,
            source.suite,
            source.components.join(" "),
            archive.keyring.display()
        ));
    }
    fs_err::write(
        work.join("pm/etc/apt/sources.list.d/mkosi.sources"),
        sources,
    )?;
    let packages: String = packages
        .iter()
        .map(|name| format!("    {name}\n"))
        .collect();
    let config = format!(
        "[Distribution]\nDistribution=debian\nRelease={}\nPackageManagerTrees=pm\n\n\
         [Output]\nFormat=disk\nCacheDirectory=cache\n\n\
         [Content]\nBootable=no\nWithDocs=no\nPackages=\n{packages}\n\
         [Host]\nIncremental=yes\n",
        archive.suite
    );
    Ok(fs_err::write(work.join("mkosi.conf"), config)?)
}

/// The most memory that a running process has used so far, in KiB (`proc_pid_status(5)`).
fn peak_memory_of(process: u32) -> u64 {
    std::fs::read_to_string(format!("/proc/{process}/status"))
        .unwrap_or_default()
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}
