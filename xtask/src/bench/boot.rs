//! `cargo xtask bench boot`: from power-on to a set-up host, against cloud-init doing the same on the same Debian.

use std::path::Path;
use std::time::{Duration, Instant};

use clawdie_image::Result;
use clawdie_image::qemu::{self, Accel, Machine};
use clawdie_image::recipe::{Base, Boot, Recipe, Role};
use clawdie_tree::Tree;

use super::images::Images;
use crate::{doctor, house};

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
    let bench = Bench {
        images: Images::new()?,
    };
    anstream::eprintln!("preparing what is not measured: two images");
    let ours = bench
        .images
        .image("ours", &bench.images.recipe, bench.our_seed()?)?;
    let (recipe, seed) = bench.theirs()?;
    let theirs = bench.images.image("theirs", &recipe, seed)?;

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
    images: Images,
}

impl Bench {
    fn our_seed(&self) -> Result<Tree> {
        let setup = format!(
            "OPENROUTER_API_KEY=sk-or-v1-{}\nTELEGRAM=none\nHOSTNAME=hive\n\
             TIMEZONE=Europe/Ljubljana\nOPERATOR_USER=ada\nSSH_AUTHORIZED_KEY={KEY}\n",
            "0".repeat(64)
        );
        house::seed(
            &self.images.checkout,
            &self.images.recipe,
            Some(setup.into_bytes()),
        )
    }

    /// The same Debian with cloud-init, and its settings where ours would be.
    fn theirs(&self) -> Result<(Recipe, Tree)> {
        let mut recipe = self.images.recipe.clone();
        if let Base::Archive(archive) = &mut recipe.base {
            let mut list =
                fs_err::read_to_string(self.images.checkout.root.join(&archive.packages))?;
            list.push_str("cloud-init  # the reference\ncloud-guest-utils  # growpart\n");
            let path = self.images.work.path().join("packages.txt");
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
            &self.images.checkout,
            [
                ("user-data", user_data.into_bytes()),
                ("meta-data", b"instance-id: bench\n".to_vec()),
            ],
        )?;
        Ok((recipe, seed))
    }

    /// Power-on to the line that says that all is done, on a fresh stick of twice the image's size.
    fn boot(&self, image: &Path, ends: &str) -> Result<Duration> {
        let (_folder, stick) = self.images.stick(image)?;
        let machine = Machine {
            network: qemu::Network::Isolated,
            writes: qemu::Writes::Kept,
            ..Machine::new(&stick)
        };
        let started = Instant::now();
        let mut running = machine.start(&self.images.work.path().join("console.log"))?;
        running
            .console()
            .wait_for(ends, PATIENCE * Accel::probe()?.slowness())?;
        Ok(started.elapsed())
    }
}
