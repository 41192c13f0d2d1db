//! `cargo xtask doctor`: what this machine lacks, and the command that installs it.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::Command;

use clawdie_image::base::{Context, Network, debian};
use clawdie_image::programs::freebsd;
use clawdie_image::recipe::{Flavour, Recipe};
use clawdie_image::tool::Tool;
use clawdie_image::{Error, ErrorKind, Result, ResultExt as _, checkout, npm};

use crate::house;

/// Says what this machine lacks for each verb
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Only installing needs root; everything else runs as any user.

Examples:
  cargo xtask doctor
  cargo xtask doctor --install-tools"
)]
pub(crate) struct Args {
    /// Install what is missing, without asking
    #[arg(long)]
    install_tools: bool,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// What tools are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Purpose {
    /// Building Debian images.
    Iso,
    /// Building FreeBSD images.
    Freebsd,
    /// Downloading the agent of an image.
    Agent,
    /// Booting them.
    Boot,
    /// Running all tests.
    Test,
    /// Measuring against mkosi.
    Bench,
}

impl Purpose {
    const ALL: [Self; 6] = [
        Self::Iso,
        Self::Freebsd,
        Self::Agent,
        Self::Boot,
        Self::Test,
        Self::Bench,
    ];

    /// Building images of a flavour.
    pub(crate) fn of(flavour: Flavour) -> Self {
        match flavour {
            Flavour::Debian => Self::Iso,
            Flavour::Freebsd => Self::Freebsd,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Iso => "iso, fetch --flavour debian",
            Self::Freebsd => "iso, fetch, programs --flavour freebsd",
            Self::Agent => "iso, fetch, for the agent of both",
            Self::Boot => "boot",
            Self::Test => "test",
            Self::Bench => "bench",
        }
    }

    /// Tests build and boot.
    fn includes(self, other: Self) -> bool {
        self == other || (self == Self::Test && other < Self::Test)
    }
}

/// Something that must be on the machine.
struct Need {
    purpose: Purpose,
    what: What,
}

enum What {
    Tool(Tool),
    /// A file, the Debian package that brings it, and what it is for.
    File(&'static str, &'static str, &'static str),
    /// A cargo subcommand that cargo itself installs, with its version.
    Cargo(&'static str, &'static str, &'static str),
    /// Python can make a venv with pip in it.
    Venv,
    /// The user may map ids: `/etc/subuid` names them.
    SubordinateIds,
}

const fn tool(
    purpose: Purpose,
    program: &'static str,
    package: &'static str,
    why: &'static str,
) -> Need {
    Need {
        purpose,
        what: What::Tool(Tool {
            program,
            package,
            why,
        }),
    }
}

const NEEDS: &[Need] = &[
    Need {
        purpose: Purpose::Iso,
        what: What::Tool(checkout::GIT),
    },
    Need {
        purpose: Purpose::Freebsd,
        what: What::Tool(checkout::GIT),
    },
    Need {
        purpose: Purpose::Iso,
        what: What::Tool(debian::MMDEBSTRAP),
    },
    Need {
        purpose: Purpose::Iso,
        what: What::Tool(debian::NEWUIDMAP),
    },
    Need {
        purpose: Purpose::Iso,
        what: What::SubordinateIds,
    },
    Need {
        purpose: Purpose::Agent,
        what: What::Tool(npm::NPM),
    },
    tool(
        Purpose::Iso,
        "apt-get",
        "apt",
        "resolves, downloads and verifies packages",
    ),
    tool(
        Purpose::Iso,
        "gpgv",
        "gpgv",
        "checks the archive's signature",
    ),
    tool(
        Purpose::Iso,
        "dpkg-deb",
        "dpkg",
        "unpacks the boot packages",
    ),
    tool(
        Purpose::Iso,
        "cc",
        "gcc",
        "links our programs, compiles SQLite and xz",
    ),
    tool(
        Purpose::Freebsd,
        "cc",
        "gcc",
        "links what runs here while our programs are compiled",
    ),
    Need {
        purpose: Purpose::Iso,
        what: What::File(
            "/usr/share/keyrings/debian-archive-keyring.gpg",
            "debian-archive-keyring",
            "the keys that sign the Debian archive",
        ),
    },
    Need {
        purpose: Purpose::Iso,
        what: What::File(
            "/usr/lib/x86_64-linux-gnu/libc.a",
            "libc6-dev",
            "our programs on the image are static",
        ),
    },
    tool(
        Purpose::Boot,
        "qemu-system-x86_64",
        "qemu-system-x86",
        "boots images",
    ),
    Need {
        purpose: Purpose::Boot,
        what: What::File(
            "/usr/share/OVMF/OVMF_CODE_4M.fd",
            "ovmf",
            "UEFI for the virtual machine",
        ),
    },
    tool(
        Purpose::Test,
        "sgdisk",
        "gdisk",
        "reads the partition table",
    ),
    tool(
        Purpose::Test,
        "sfdisk",
        "fdisk",
        "reads the partition table",
    ),
    tool(
        Purpose::Test,
        "fsck.vfat",
        "dosfstools",
        "checks FAT volumes",
    ),
    tool(Purpose::Test, "mcopy", "mtools", "reads FAT volumes"),
    tool(
        Purpose::Test,
        "debugfs",
        "e2fsprogs",
        "checks and reads ext4",
    ),
    tool(Purpose::Test, "icat", "sleuthkit", "reads UFS2"),
    tool(Purpose::Test, "bmaptool", "bmap-tools", "reads block maps"),
    tool(Purpose::Test, "xz", "xz-utils", "reads the compressed copy"),
    tool(
        Purpose::Test,
        "ssh",
        "openssh-client",
        "logs in to booted images",
    ),
    tool(
        Purpose::Test,
        "shellcheck",
        "shellcheck",
        "checks shell scripts",
    ),
    tool(
        Purpose::Test,
        "tmux",
        "tmux",
        "a terminal whose keys are pressed and whose screen is read",
    ),
    tool(
        Purpose::Test,
        "wpa_supplicant",
        "wpasupplicant",
        "reads the Wi-Fi settings that first boot writes",
    ),
    Need {
        purpose: Purpose::Test,
        what: What::Cargo(
            "cargo-nextest",
            "0.9.143",
            "runs the tests, each in a process of its own",
        ),
    },
    Need {
        purpose: Purpose::Test,
        what: What::Cargo(
            "cargo-deny",
            "0.20.2",
            "checks licences, bans and sources of dependencies",
        ),
    },
    tool(
        Purpose::Bench,
        "mkosi",
        "mkosi",
        "the reference that image building is measured against",
    ),
];

impl What {
    fn name(&self) -> &'static str {
        match self {
            Self::Tool(tool) => tool.program,
            Self::File(path, ..) => path,
            Self::Cargo(name, ..) => name,
            Self::Venv => "python3 -m venv",
            Self::SubordinateIds => "/etc/subuid",
        }
    }

    fn why(&self) -> &'static str {
        match self {
            Self::Tool(tool) => tool.why,
            Self::File(.., why) | Self::Cargo(.., why) => why,
            Self::Venv => "the linker for FreeBSD is installed in one, in the cache",
            Self::SubordinateIds => "this user may map ids (usermod --add-subuids)",
        }
    }

    fn present(&self) -> bool {
        match self {
            Self::Tool(tool) if tool.program == debian::NEWUIDMAP.program => {
                is_root() || tool.find().is_some()
            }
            Self::Tool(tool) => tool.find().is_some(),
            Self::File(path, ..) => Path::new(path).exists(),
            Self::Cargo(name, _, why) => Tool {
                program: name,
                package: "",
                why,
            }
            .find()
            .is_some(),
            Self::Venv => freebsd::can_make_venv(),
            Self::SubordinateIds => is_root() || has_subordinate_ids(),
        }
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether `/etc/subuid` and `/etc/subgid` have a line for this user, by name or number.
fn has_subordinate_ids() -> bool {
    let uid = nix::unistd::getuid();
    let name = nix::unistd::User::from_uid(uid)
        .ok()
        .flatten()
        .map(|user| user.name);
    let names = [name.unwrap_or_default(), uid.to_string()];
    ["/etc/subuid", "/etc/subgid"].iter().all(|file| {
        std::fs::read_to_string(file).is_ok_and(|text| {
            text.lines()
                .filter_map(|line| line.split(':').next())
                .any(|owner| !owner.is_empty() && names.iter().any(|name| name == owner))
        })
    })
}

/// Wanted by whoever compiles for FreeBSD on another system.
const CROSS_NEEDS: &[Need] = &[
    Need {
        purpose: Purpose::Freebsd,
        what: What::Tool(freebsd::PYTHON),
    },
    Need {
        purpose: Purpose::Freebsd,
        what: What::Venv,
    },
];

/// Wanted when the compiler has neither a library for FreeBSD nor its sources.
const RUST_SRC_NEEDS: &[Need] = &[
    Need {
        purpose: Purpose::Freebsd,
        what: What::Tool(freebsd::ARCHIVE_TOOLS[0]),
    },
    Need {
        purpose: Purpose::Freebsd,
        what: What::Tool(freebsd::ARCHIVE_TOOLS[1]),
    },
    Need {
        purpose: Purpose::Freebsd,
        what: What::Tool(freebsd::ARCHIVE_TOOLS[2]),
    },
    Need {
        purpose: Purpose::Freebsd,
        what: What::File(
            freebsd::KEYRING,
            "debian-archive-keyring",
            "the keys that sign the Debian archive",
        ),
    },
];

/// Everything that is wanted of this machine, with the Rust that is on it.
fn needs() -> Vec<&'static Need> {
    let demands = freebsd::demands(&house::root());
    let mut needs: Vec<_> = NEEDS.iter().collect();
    if demands.cross_tools {
        needs.extend(CROSS_NEEDS);
    }
    if demands.archive {
        needs.extend(RUST_SRC_NEEDS);
    }
    needs
}

fn missing(purpose: Purpose) -> Vec<&'static Need> {
    needs()
        .into_iter()
        .filter(|need| purpose.includes(need.purpose) && !need.what.present())
        .collect()
}

/// The commands that install `needs`, in order.
fn remedies(needs: &[&Need]) -> Vec<Vec<String>> {
    let mut packages: Vec<&str> = needs
        .iter()
        .filter_map(|need| match &need.what {
            What::Tool(tool) => Some(tool.package),
            What::File(_, package, _) => Some(*package),
            What::Venv => Some(freebsd::VENV_PACKAGE),
            What::Cargo(..) | What::SubordinateIds => None,
        })
        .collect();
    packages.sort_unstable();
    packages.dedup();
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let as_root = |words_of: &[&str]| {
        let mut command = if is_root() {
            Vec::new()
        } else {
            words(&["sudo"])
        };
        command.extend(words(words_of));
        command
    };
    let mut commands = Vec::new();
    if !packages.is_empty() {
        commands.push(as_root(&["apt-get", "update", "-q"]));
        let mut install = as_root(&[
            "apt-get",
            "install",
            "-q",
            "--yes",
            "--no-install-recommends",
        ]);
        install.extend(words(&packages));
        commands.push(install);
    }
    for need in needs {
        match &need.what {
            What::Cargo(name, version, _) => commands.push(words(&[
                "cargo",
                "install",
                "--locked",
                name,
                "--version",
                version,
            ])),
            What::SubordinateIds => {
                let uid = nix::unistd::getuid();
                let name = nix::unistd::User::from_uid(uid)
                    .ok()
                    .flatten()
                    .map_or_else(|| uid.to_string(), |user| user.name);
                commands.push(as_root(&[
                    "usermod",
                    "--add-subuids",
                    "524288-589823",
                    "--add-subgids",
                    "524288-589823",
                    &name,
                ]));
            }
            What::Tool(_) | What::File(..) | What::Venv => {}
        }
    }
    commands
}

/// Makes sure that all tools for `purpose` are there: installs them when told to, or when a person
/// at a terminal agrees.
pub(crate) fn ensure(purpose: Purpose, install: bool) -> Result<()> {
    let needs = missing(purpose);
    if needs.is_empty() {
        return Ok(());
    }
    let commands: Vec<_> = remedies(&needs)
        .iter()
        .map(|command| command.join(" "))
        .collect();
    if !install && !agreed(&needs, &commands)? {
        let list: Vec<_> = needs
            .iter()
            .map(|need| format!("{:<20} {}", need.what.name(), need.what.why()))
            .collect();
        return Err(Error::missing("this machine lacks tools for that")
            .caused_by(list.join("\n"))
            .hint(format!(
                "add `--install-tools`, or run:\n  {}",
                commands.join("\n  ")
            )));
    }
    match install_missing(purpose)?.as_slice() {
        [] => Ok(()),
        still => Err(Error::missing(format!(
            "still missing after the installation: {}",
            still
                .iter()
                .map(|need| need.what.name())
                .collect::<Vec<_>>()
                .join(", ")
        ))
        .hint("`cargo xtask doctor` names the packages")),
    }
}

/// The same for what downloads the agent, when the recipe wants one and the cache lacks it.
pub(crate) fn ensure_agent(recipe: &Recipe, context: &Context<'_>, install: bool) -> Result<()> {
    for npm in &recipe.npm {
        if context.network == Network::Allowed && !npm::is_cached(npm, context)? {
            return ensure(Purpose::Agent, install);
        }
    }
    Ok(())
}

fn agreed(needs: &[&Need], commands: &[String]) -> Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(false);
    }
    anstream::eprintln!("This machine lacks:");
    for need in needs {
        anstream::eprintln!("  {:<20} {}", need.what.name(), need.what.why());
    }
    anstream::eprintln!("These commands install it:");
    for command in commands {
        anstream::eprintln!("  {command}");
    }
    anstream::eprint!("Run them now? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Installs what is missing and returns what still is. Twice at most: a package can push another out
/// that is then missing in its turn.
fn install_missing(purpose: Purpose) -> Result<Vec<&'static Need>> {
    for _ in 0..2 {
        let needs = missing(purpose);
        if needs.is_empty() {
            break;
        }
        install_all(&needs)?;
    }
    Ok(missing(purpose))
}

fn install_all(needs: &[&Need]) -> Result<()> {
    for command in remedies(needs) {
        anstream::eprintln!("+ {}", command.join(" "));
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| Error::failed("empty command"))?;
        let status = Command::new(program)
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Standard output belongs to the verb that was asked for.
            .stdout(std::io::stderr())
            .status()
            .or_error(ErrorKind::Missing, || {
                format!("`{program}` cannot be started")
            })?;
        if !status.success() {
            return Err(
                Error::failed(format!("`{}` failed ({status})", command.join(" ")))
                    .hint("run it by hand to see why"),
            );
        }
    }
    Ok(())
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.install_tools {
        install_missing(Purpose::Test)?;
    }
    if args.json {
        let rows: Vec<_> = needs()
            .into_iter()
            .map(|need| {
                serde_json::json!({
                    "for": need.purpose,
                    "name": need.what.name(),
                    "why": need.what.why(),
                    "present": need.what.present(),
                })
            })
            .collect();
        anstream::println!("{:#}", serde_json::Value::from(rows));
        return Ok(());
    }
    let mut lacking = Vec::new();
    let needs = needs();
    for purpose in Purpose::ALL {
        anstream::println!("{}", purpose.name());
        for need in needs.iter().filter(|need| need.purpose == purpose) {
            let present = need.what.present();
            let mark = if present { "ok     " } else { "MISSING" };
            anstream::println!("  {mark} {:<20} {}", need.what.name(), need.what.why());
            if !present && purpose != Purpose::Bench {
                lacking.push(*need);
            }
        }
    }
    if lacking.is_empty() {
        anstream::println!("Everything is here.");
        return Ok(());
    }
    anstream::println!("To install what is missing:");
    for command in remedies(&lacking) {
        anstream::println!("  {}", command.join(" "));
    }
    Err(Error::missing("some verbs cannot run on this machine yet")
        .hint("`cargo xtask doctor --install-tools` runs the commands above"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_command_installs_all_packages() {
        let needs: Vec<_> = NEEDS
            .iter()
            .filter(|need| need.purpose == Purpose::Boot)
            .collect();
        let commands = remedies(&needs);
        let install = commands
            .iter()
            .find(|command| command.contains(&"install".to_owned()))
            .unwrap();
        for package in ["ovmf", "qemu-system-x86"] {
            assert!(install.contains(&package.to_owned()), "{install:?}");
        }
    }

    #[test]
    fn cargo_is_told_whole_versions() {
        for need in NEEDS {
            if let What::Cargo(name, version, _) = &need.what {
                assert_eq!(version.split('.').count(), 3, "{name} {version}");
            }
        }
    }

    #[test]
    fn freebsd_images_need_nothing_of_debians_installer() {
        for need in NEEDS.iter().chain(CROSS_NEEDS).chain(RUST_SRC_NEEDS) {
            if Purpose::Freebsd.includes(need.purpose) {
                let name = need.what.name();
                assert!(
                    !["mmdebstrap", "newuidmap", "/etc/subuid"].contains(&name),
                    "{name}"
                );
            }
        }
        let venv = CROSS_NEEDS
            .iter()
            .find(|need| matches!(need.what, What::Venv))
            .unwrap();
        let commands = remedies(&[venv]);
        assert!(
            commands
                .iter()
                .any(|command| command.last().is_some_and(|last| last == "python3-venv")),
            "{commands:?}"
        );
    }

    #[test]
    fn tests_need_what_building_and_booting_need() {
        assert!(Purpose::Test.includes(Purpose::Iso));
        assert!(Purpose::Test.includes(Purpose::Freebsd));
        assert!(Purpose::Test.includes(Purpose::Agent));
        assert!(Purpose::Test.includes(Purpose::Boot));
        assert!(!Purpose::Iso.includes(Purpose::Test));
        assert!(!Purpose::Freebsd.includes(Purpose::Iso));
        assert!(!Purpose::Test.includes(Purpose::Bench));
    }
}
