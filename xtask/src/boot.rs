//! `cargo xtask boot`: starts an image in QEMU with its serial line on this terminal.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clawdie_image::qemu::{Accel, Attach, Firmware, Machine, Writes, sparse_copy};
use clawdie_image::seed::Seed;
use clawdie_image::{Error, ErrorKind, Result, ResultExt as _};

use crate::seed;

/// Boots an image in QEMU, its serial line on this terminal
///
/// The image stays untouched: what the guest writes is thrown away at the end.
/// KVM is used when it works, else the processor is translated (slower).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask boot
  cargo xtask boot --seed setup.txt
  cargo xtask boot --attach nvme --firmware bios target/iso/my.img")]
pub(crate) struct Args {
    /// The image [default: the newest in target/iso]
    image: Option<PathBuf>,
    /// Put this file on the seed partition as setup.txt first
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// How the disk hangs on the machine
    #[arg(long, value_enum, default_value_t)]
    attach: AttachArg,
    /// What starts it
    #[arg(long, value_enum, default_value_t)]
    firmware: FirmwareArg,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: u32,
    /// Port of 127.0.0.1 for ssh [default: 2222, or a free one]
    #[arg(long, value_name = "PORT")]
    ssh_port: Option<u16>,
    /// Change the image itself (also what --seed does)
    #[arg(long)]
    write: bool,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum AttachArg {
    /// A USB stick
    #[default]
    Usb,
    /// An NVMe drive
    Nvme,
    /// A virtio disk
    Virtio,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum FirmwareArg {
    /// UEFI
    #[default]
    Uefi,
    /// UEFI with Secure Boot on
    SecureUefi,
    /// Legacy BIOS
    Bios,
}

impl From<AttachArg> for Attach {
    fn from(arg: AttachArg) -> Self {
        match arg {
            AttachArg::Usb => Self::UsbStick,
            AttachArg::Nvme => Self::Nvme,
            AttachArg::Virtio => Self::Virtio,
        }
    }
}

impl From<FirmwareArg> for Firmware {
    fn from(arg: FirmwareArg) -> Self {
        match arg {
            FirmwareArg::Uefi => Self::Uefi,
            FirmwareArg::SecureUefi => Self::SecureUefi,
            FirmwareArg::Bios => Self::Bios,
        }
    }
}

/// Where people expect ssh when they did not say.
const USUAL_PORT: u16 = 2222;

/// Runs the verb. `newest_in` is the folder that images are built into.
pub(crate) fn run(args: &Args, newest_in: &Path) -> Result<()> {
    let image = match &args.image {
        Some(image) => image.clone(),
        None => newest(newest_in)?,
    };
    // The seed goes onto a copy, unless the image itself is to change; the folder keeps it alive.
    let mut folder = None;
    let mut machine = Machine {
        attach: args.attach.into(),
        firmware: args.firmware.into(),
        memory: args.memory,
        ssh_port: Some(port(args.ssh_port)),
        writes: if args.write {
            Writes::Kept
        } else {
            Writes::Discarded
        },
        ..Machine::new(&image)
    };
    if let Some(seed) = &args.seed {
        if !args.write {
            let holder = tempfile::Builder::new().prefix("clawdie-boot-").tempdir()?;
            machine.image = holder.path().join("disk.img");
            sparse_copy(&image, &machine.image)?;
            // Thrown away as a whole: no second layer is needed.
            machine.writes = Writes::Kept;
            folder = Some(holder);
        }
        put_seed(&machine.image, seed)?;
    }
    let status = machine.run_on_terminal(|port, accel| announce(args, &image, port, accel))?;
    drop(folder);
    if status.success() {
        Ok(())
    } else {
        Err(Error::failed(format!("QEMU ended with {status}")))
    }
}

fn announce(args: &Args, image: &Path, port: u16, accel: Accel) {
    anstream::eprintln!("Booting {}", image.display());
    if accel != Accel::Kvm {
        anstream::eprintln!("KVM does not work here, so a boot takes one to two minutes.");
    }
    if args.write {
        anstream::eprintln!("The image itself is changed (--write).");
    }
    anstream::eprintln!("Leave:  Ctrl-A, then X");
    anstream::eprintln!(
        "Log in: ssh -p {port} clawdie@127.0.0.1   (or your OPERATOR_USER, with the seed's key)"
    );
}

/// Any file will do: how a machine takes a bad one is worth seeing, too.
fn put_seed(image: &Path, seed: &Path) -> Result<()> {
    let text = fs_err::read(seed).or_error(ErrorKind::Missing, || {
        format!("`{}` cannot be read", seed.display())
    })?;
    seed::place(&Seed::open(image, true)?, &text).map(drop)
}

/// The port asked for; else the usual one if it is free, else any.
fn port(asked: Option<u16>) -> u16 {
    asked.unwrap_or_else(
        || match std::net::TcpListener::bind(("127.0.0.1", USUAL_PORT)) {
            Ok(_) => USUAL_PORT,
            Err(_) => 0,
        },
    )
}

/// The newest image in the folder that images are built into.
pub(crate) fn newest(folder: &Path) -> Result<PathBuf> {
    let mut found: Option<(SystemTime, PathBuf)> = None;
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries.collect::<std::io::Result<Vec<_>>>()?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "img") {
            let age = entry.metadata()?.modified()?;
            if found.as_ref().is_none_or(|(newest, _)| age > *newest) {
                found = Some((age, path));
            }
        }
    }
    found.map(|(_, path)| path).ok_or_else(|| {
        Error::missing(format!("there is no image in `{}`", folder.display()))
            .hint("build one: `cargo xtask iso`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_image_is_taken_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for (name, age) in [("old.img", 20), ("new.img", 10), ("newer.img.xz", 0)] {
            let file = fs_err::File::create(folder.path().join(name)).unwrap();
            let time = SystemTime::now() - std::time::Duration::from_secs(age);
            file.file().set_modified(time).unwrap();
        }
        let found = newest(folder.path()).unwrap();
        assert_eq!(found, folder.path().join("new.img"));
    }

    #[test]
    fn no_image_says_how_to_build_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = newest(&folder.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert!(error.remedy().unwrap().contains("cargo xtask iso"));
    }
}
