//! `cargo xtask bench boot`: from power-on to a set-up host, against cloud-init doing the same on the same Debian.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clawdie_image::Result;
use clawdie_image::base::{Context, Network};
use clawdie_image::cache::Cache;
use clawdie_image::checkout::Checkout;
use clawdie_image::manifest::Channel;
use clawdie_image::order::Order;
use clawdie_image::pipeline;
use clawdie_image::programs::{self, Programs};
use clawdie_image::qemu::{self, Accel, Machine};
use clawdie_image::recipe::{Base, Boot, Flavour, Recipe, Role};
use clawdie_tree::Tree;

use crate::{doctor, house, ui};

/// First boot, against cloud-init doing the same work
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Both images are the same Debian with our programs; the other one has cloud-init
besides, and our first boot is switched off in it. Each sets up a host name, a time
zone, an account with a key, a provider file, a locked root, a grown disk, and
starts Colibri. Measured from power-on to `RESULT.txt`, or to cloud-init's last
message.

Example:
  cargo xtask bench boot --runs 3"
)]
pub(crate) struct Args {
    /// Boots of each; the median is shown
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// A public key that nobody has the other half of.
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f bench";

/// What our first boot says when its report is out.
const OURS_ENDS: &str = "Clawdie first boot: READY";

/// What cloud-init is told to say last.
const THEIRS_ENDS: &str = "BENCH: cloud-init is done";

/// With KVM a boot takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(args: &Args) -> Result<()> {
    doctor::ensure(doctor::Purpose::Test, false)?;
    let bench = Bench::new()?;
    anstream::eprintln!("preparing what is not measured: two images");
    let ours = bench.image("ours", &bench.recipe, bench.our_seed()?)?;
    let (recipe, seed) = bench.theirs()?;
    let theirs = bench.image("theirs", &recipe, seed)?;

    let runs = args.runs.max(1);
    let mut times = [Vec::new(), Vec::new()];
    for run in 1..=runs {
        anstream::eprintln!("boot {run} of {runs}, of each");
        // By turns: what else the machine does falls on both.
        times[0].push(bench.boot(&ours, OURS_ENDS)?);
        times[1].push(bench.boot(&theirs, THEIRS_ENDS)?);
    }
    let [ours, theirs] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    });
    let ratio = ours / theirs;
    if args.json {
        let value = serde_json::json!({
            "ours_seconds": ours, "cloud_init_seconds": theirs, "ratio": ratio, "runs": runs,
        });
        anstream::println!("{value:#}");
    } else {
        anstream::println!("power-on to RESULT.txt       {ours:>7.1} s");
        anstream::println!("the same by cloud-init       {theirs:>7.1} s");
        anstream::println!("ratio                        {ratio:>7.2}");
    }
    Ok(())
}

struct Bench {
    checkout: Checkout,
    recipe: Recipe,
    cache: Cache,
    programs: Programs,
    work: tempfile::TempDir,
}

impl Bench {
    fn new() -> Result<Self> {
        let root = house::root();
        let checkout = Checkout::read(&root)?;
        let recipe = house::recipe(Some(Flavour::Debian))?;
        let cache = house::cache()?;
        let programs = programs::build(
            &recipe,
            &Context {
                root: &checkout.root,
                cache: &cache,
                network: Network::Allowed,
                progress: &ui::Stages::new(false),
            },
        )?;
        Ok(Self {
            checkout,
            recipe,
            cache,
            programs,
            work: tempfile::Builder::new()
                .prefix("bench-")
                .tempdir_in(root.join("target"))?,
        })
    }

    fn our_seed(&self) -> Result<Tree> {
        let setup = format!(
            "OPENROUTER_API_KEY=sk-or-v1-{}\nTELEGRAM=none\nHOSTNAME=hive\n\
             TIMEZONE=Europe/Ljubljana\nOPERATOR_USER=ada\nSSH_AUTHORIZED_KEY={KEY}\n",
            "0".repeat(64)
        );
        house::seed(&self.checkout, &self.recipe, Some(setup.into_bytes()))
    }

    /// The same Debian with cloud-init, and its settings where ours would be.
    fn theirs(&self) -> Result<(Recipe, Tree)> {
        let mut recipe = self.recipe.clone();
        if let Base::Archive(archive) = &mut recipe.base {
            let mut list = fs_err::read_to_string(self.checkout.root.join(&archive.packages))?;
            list.push_str("cloud-init  # the reference\ncloud-guest-utils  # growpart\n");
            let path = self.work.path().join("packages.txt");
            fs_err::write(&path, list)?;
            archive.packages = path;
        }
        if let Boot::Grub { command_line, .. } = &mut recipe.boot {
            command_line.push_str(
                " systemd.mask=clawdie-firstboot-early.service \
                 systemd.mask=clawdie-firstboot-late.service ds=nocloud",
            );
        }
        for partition in &mut recipe.partitions {
            if partition.role == Role::Seed {
                partition.label = Some("CIDATA".into());
            }
        }
        let user_data = format!(
            "#cloud-config\n\
             hostname: hive\n\
             timezone: Europe/Ljubljana\n\
             users:\n  - name: ada\n    shell: /bin/bash\n    groups: colibri\n    \
             sudo: ALL=(ALL) NOPASSWD:ALL\n    ssh_authorized_keys:\n      - {KEY}\n\
             disable_root: true\nssh_pwauth: false\n\
             growpart:\n  mode: auto\n  devices: [/]\nresize_rootfs: true\n\
             write_files:\n  - path: /etc/colibri/provider.env\n    permissions: '0600'\n    \
             content: |\n      OPENROUTER_API_KEY=\"sk-or-v1-{}\"\n\
             runcmd:\n  - passwd -l root\n  - systemctl enable --now colibri-daemon\n\
             final_message: \"{THEIRS_ENDS}\"\n",
            "0".repeat(64)
        );
        let seed = house::seed_of(
            &self.checkout,
            [
                ("user-data", user_data.into_bytes()),
                ("meta-data", b"instance-id: bench\n".to_vec()),
            ],
        )?;
        Ok((recipe, seed))
    }

    fn image(&self, name: &str, recipe: &Recipe, seed: Tree) -> Result<PathBuf> {
        let published = pipeline::build(&Order {
            checkout: &self.checkout,
            recipe,
            version: house::VERSION,
            seed,
            secret: false,
            out: self.work.path().join(name),
            channel: Channel::Dev,
            network: Network::Allowed,
            cache: &self.cache,
            programs: Some(self.programs.clone()),
            compress: false,
            progress: &ui::Stages::new(true),
        })?;
        Ok(published.image)
    }

    /// Power-on to the line that says that all is done, on a fresh stick of twice the image's size.
    fn boot(&self, image: &Path, ends: &str) -> Result<Duration> {
        let folder = tempfile::tempdir_in(self.work.path())?;
        let stick = folder.path().join("stick.img");
        qemu::sparse_copy(image, &stick)?;
        let file = fs_err::OpenOptions::new().write(true).open(&stick)?;
        file.set_len(file.metadata()?.len() * 2)?;
        let machine = Machine {
            network: qemu::Network::Isolated,
            writes: qemu::Writes::Kept,
            ..Machine::new(&stick)
        };
        let started = Instant::now();
        let mut running = machine.start(&self.work.path().join("console.log"))?;
        running
            .console()
            .wait_for(ends, PATIENCE * Accel::probe()?.slowness())?;
        Ok(started.elapsed())
    }
}
