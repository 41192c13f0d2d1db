//! What an image is made of, as data: `image/<flavour>.toml`.
//!
//! A key that the toolchain does not know is refused, so a typo never becomes a setting that is
//! silently ignored. Paths inside the image are written with a leading `/`, paths of the checkout
//! without.

mod base;
mod packages;

use std::fmt;
use std::path::{Path, PathBuf};

use clawdie_tree::TreePath;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use self::base::digest;
pub use self::base::{Archive, Base, PinnedSet, Release, Sets, Source, Supply, release_folder};
pub use self::packages::Packages;
use crate::error::{Error, ErrorKind, Result, ResultExt};

/// Which operating system the image carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// FreeBSD 15, the flagship.
    Freebsd,
    /// Debian 13.
    Debian,
}

impl Flavour {
    /// The flavour of the machine that builds, as cargo defaults to the host target.
    pub fn of_host() -> Self {
        if cfg!(target_os = "freebsd") {
            Self::Freebsd
        } else {
            Self::Debian
        }
    }

    /// The name used on the command line and in file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Freebsd => "freebsd",
            Self::Debian => "debian",
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One recipe, as read from its file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// Which flavour it makes.
    pub flavour: Flavour,
    /// The operating system's release, such as `13`.
    pub release: String,
    /// The part of the image's file name that stands for the release.
    pub codename: String,
    /// Where the operating system comes from.
    pub base: Base,
    /// Packages that the image brings along for its first boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<Packages>,
    /// Packages of npm, which become part of the base.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub npm: Vec<Npm>,
    /// Folders of the checkout laid over the base, in this order.
    pub overlays: Vec<PathBuf>,
    /// Single files of the checkout, each with its place and mode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Placed>,
    /// Our programs and where they go.
    pub programs: Vec<Program>,
    /// Accounts that exist on the image from the start.
    pub users: Vec<User>,
    /// Directories with their owners and modes.
    pub directories: Vec<Directory>,
    /// Modes of staged files other than 0644 and 0755.
    #[serde(default)]
    pub modes: Vec<Mode>,
    /// What `stage` puts on an existing host; a subset of the overlays.
    pub stage: Stage,
    /// How the disk starts.
    pub boot: Boot,
    /// The disk, in order; the root is last so that it can grow.
    pub partitions: Vec<Partition>,
}

/// One file of the checkout.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// Path in the checkout.
    pub from: PathBuf,
    /// Path in the image.
    #[serde(with = "tree_path")]
    pub to: TreePath,
    /// Its permission bits.
    #[serde(with = "octal")]
    pub mode: u16,
}

/// Packages of npm.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Npm {
    /// Folder of the checkout with `package.json` and the `package-lock.json` that pins all of them.
    pub folder: PathBuf,
    /// Folder in the image.
    #[serde(with = "tree_path")]
    pub to: TreePath,
    /// Globs below it that stay out of the image.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Programs of theirs that are found on `PATH`: a link in the folder `to`.
    pub programs: Vec<Program>,
}

/// A program.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The package that has it: cargo's, or npm's.
    pub package: String,
    /// Binary of that package.
    pub bin: String,
    /// Folder in the image.
    #[serde(with = "tree_path")]
    pub to: TreePath,
}

/// An account with fixed numbers, so that files can be owned by it before it can log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Login and group name.
    pub name: String,
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
    /// Home directory.
    #[serde(with = "tree_path")]
    pub home: TreePath,
    /// Login shell.
    #[serde(with = "tree_path")]
    pub shell: TreePath,
    /// The comment field.
    pub comment: String,
}

/// A directory with its owner and mode.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Where.
    #[serde(with = "tree_path")]
    pub path: TreePath,
    /// Permission bits.
    #[serde(with = "octal")]
    pub mode: u16,
    /// One of the recipe's users, or root when absent.
    #[serde(default)]
    pub owner: Option<String>,
}

/// Permission bits of one staged file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mode {
    /// Which file.
    #[serde(with = "tree_path")]
    pub path: TreePath,
    /// Its permission bits.
    #[serde(with = "octal")]
    pub mode: u16,
}

/// What `stage` lays on a host that somebody else installed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stage {
    /// Globs of overlay files that belong on an existing host too.
    pub files: Vec<String>,
    /// Package lists copied for the admin's use.
    pub package_lists: Vec<PathBuf>,
    /// Where they go.
    #[serde(with = "tree_path")]
    pub package_lists_to: TreePath,
    /// Globs of files that an admin edits: never overwritten once changed.
    pub config: Vec<String>,
}

/// How the machine's firmware finds the system.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "loader"
)]
pub enum Boot {
    /// GRUB: signed shim and GRUB for UEFI, a core image for BIOS.
    Grub {
        /// Files of the ESP: path there, path among the unpacked boot packages.
        esp: Vec<EspFile>,
        /// GRUB modules linked into the BIOS core image.
        bios_modules: Vec<String>,
        /// Kernel command line apart from `root=`.
        command_line: String,
    },
    /// FreeBSD's own loader; all of its files lie in the base.
    Loader {
        /// Boot code for the MBR, which finds the next one by its partition's type.
        mbr: BootFile,
        /// What the BIOS boot partition holds.
        bios: BootFile,
        /// What firmware with UEFI starts: the first of these that the base has.
        efi: Vec<BootFile>,
    },
}

/// A file of the EFI system partition.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EspFile {
    /// Path on the ESP.
    #[serde(with = "tree_path")]
    pub path: TreePath,
    /// Path among the unpacked boot packages.
    #[serde(with = "tree_path")]
    pub from: TreePath,
}

/// A boot file of the base, by its path there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootFile(#[serde(with = "tree_path")] pub TreePath);

/// What a partition is for; the type GUID follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The operator's FAT volume.
    Seed,
    /// Boot code for machines without UEFI.
    BiosBoot,
    /// The EFI system partition.
    Esp,
    /// The root file system.
    Root,
}

/// One partition of the disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Partition {
    /// GPT name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// File system label, where it has a file system.
    #[serde(default)]
    pub label: Option<String>,
    /// Size in MiB; the root's follows from its content.
    #[serde(default)]
    pub mib: Option<u64>,
    /// Size in KiB, in place of `mib`, for what must be smaller than a mebibyte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kib: Option<u64>,
    /// MiB left free beyond the content; for the root only.
    #[serde(default)]
    pub free_mib: Option<u64>,
}

impl Partition {
    /// Its size in bytes; none for the root, which is as big as its content asks for.
    pub fn bytes(&self) -> Option<u64> {
        self.mib
            .map(|mib| mib.saturating_mul(1 << 20))
            .or_else(|| self.kib.map(|kib| kib.saturating_mul(1 << 10)))
    }
}

impl Recipe {
    /// Where the recipe of `flavour` lies in a checkout.
    pub fn path(root: &Path, flavour: Flavour) -> PathBuf {
        root.join("image").join(format!("{flavour}.toml"))
    }

    /// Reads a recipe; `path` is for messages only.
    ///
    /// # Errors
    /// With line and column when a key is unknown or a value does not fit; when users, partitions or
    /// owners contradict each other.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let recipe: Self = toml::from_str(text).or_error(ErrorKind::BadInput, || {
            format!("`{}` is not a recipe", path.display())
        })?;
        recipe
            .verify()
            .and_then(|()| match &recipe.base {
                Base::Archive(_) => Ok(()),
                Base::Sets(sets) => sets.verify(&recipe.release),
            })
            .and_then(|()| match &recipe.packages {
                Some(packages) => packages.verify(&recipe.base),
                None => Ok(()),
            })
            .map_err(|fault| Error::bad_input(format!("`{}`: {fault}", path.display())))?;
        Ok(recipe)
    }

    /// Cross-field rules that the types cannot say.
    fn verify(&self) -> Result<(), String> {
        let role = |role| {
            self.partitions
                .iter()
                .filter(|part| part.role == role)
                .count()
        };
        for (name, count) in [
            ("seed", role(Role::Seed)),
            ("esp", role(Role::Esp)),
            ("root", role(Role::Root)),
        ] {
            if count != 1 {
                return Err(format!(
                    "needs exactly one partition with role `{name}`, has {count}"
                ));
            }
        }
        if self
            .partitions
            .first()
            .is_none_or(|first| first.role != Role::Seed)
        {
            return Err("the seed is the first partition: older Windows shows no other".into());
        }
        if self
            .partitions
            .last()
            .is_none_or(|last| last.role != Role::Root)
        {
            return Err("the root is the last partition: only the last one can grow".into());
        }
        for part in &self.partitions {
            if part.name.encode_utf16().count() > 36 {
                return Err(format!(
                    "partition name `{}` is longer than 36 characters",
                    part.name
                ));
            }
            match (part.role, part.mib, part.kib) {
                (Role::Root, None, None) => {}
                (Role::Root, ..) => {
                    return Err(format!(
                        "partition `{}` is as big as its content: it has `free-mib`, not `mib` or \
                         `kib`",
                        part.name
                    ));
                }
                (_, Some(_), None) | (_, None, Some(_)) => {}
                (_, None, None) => return Err(format!("partition `{}` needs `mib`", part.name)),
                (_, Some(_), Some(_)) => {
                    return Err(format!(
                        "partition `{}` has both `mib` and `kib`",
                        part.name
                    ));
                }
            }
        }
        for file in &self.files {
            let inside = |part| matches!(part, std::path::Component::Normal(_));
            if !file.from.components().all(inside) {
                return Err(format!(
                    "file `{}` is to come from the checkout, by its path there",
                    file.from.display()
                ));
            }
        }
        for dir in &self.directories {
            if let Some(owner) = &dir.owner
                && !self.users.iter().any(|user| &user.name == owner)
            {
                return Err(format!(
                    "directory `{}` belongs to unknown user `{owner}`",
                    dir.path
                ));
            }
        }
        Ok(())
    }

    /// The partition with a role.
    ///
    /// # Errors
    /// When there is none, which [`Recipe::parse`] lets through for BIOS boot code alone.
    pub fn partition(&self, role: Role) -> Result<&Partition> {
        self.partitions
            .iter()
            .find(|part| part.role == role)
            .ok_or_else(|| {
                Error::bad_input(format!("the recipe has no partition with role {role:?}"))
            })
    }
}

mod tree_path {
    use super::*;

    pub(super) fn serialize<S: Serializer>(path: &TreePath, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(path)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TreePath, D::Error> {
        let text = String::deserialize(from)?;
        if !text.starts_with('/') {
            return Err(serde::de::Error::custom(format!(
                "`{text}` is a path in the image and starts with `/`"
            )));
        }
        TreePath::new(text).map_err(serde::de::Error::custom)
    }
}

mod octal {
    use super::*;

    pub(super) fn serialize<S: Serializer>(mode: &u16, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{mode:04o}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
        let text = String::deserialize(from)?;
        u16::from_str_radix(&text, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777)
            .ok_or_else(|| {
                serde::de::Error::custom(format!("`{text}` is not an octal mode such as \"0750\""))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> String {
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/debian.toml")).unwrap()
    }

    fn parse(text: &str) -> Result<Recipe> {
        Recipe::parse(text, Path::new("image/debian.toml"))
    }

    #[test]
    fn the_shipped_recipe_reads() {
        let recipe = parse(&shipped()).unwrap();
        assert_eq!(recipe.flavour, Flavour::Debian);
        assert_eq!(
            recipe.partition(Role::Seed).unwrap().label.as_deref(),
            Some("CLAWDIESEED")
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let error = parse(&format!("colour = \"red\"\n{}", shipped())).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("unknown field `colour`"), "{cause}");
        assert!(cause.contains("line 1"), "{cause}");
    }

    #[test]
    fn freebsds_recipe_puts_each_service_script_where_rc_looks_for_it() {
        let text = include_str!("../freebsd.toml");
        let recipe = Recipe::parse(text, Path::new("image/freebsd.toml")).unwrap();
        let scripts: Vec<_> = recipe
            .files
            .iter()
            .filter(|file| file.from.starts_with("rc.d"))
            .map(|file| (file.from.to_str().unwrap(), file.to.to_string(), file.mode))
            .collect();
        let at = |path: &str| path.to_owned();
        assert_eq!(
            scripts,
            [
                ("rc.d/clawdie_seed", at("/etc/rc.d/clawdie_seed"), 0o555),
                (
                    "rc.d/clawdie_firstboot",
                    at("/usr/local/etc/rc.d/clawdie_firstboot"),
                    0o555
                ),
                (
                    "rc.d/colibri_daemon",
                    at("/usr/local/etc/rc.d/colibri_daemon"),
                    0o555
                ),
                (
                    "rc.d/colibri_hostd",
                    at("/usr/local/etc/rc.d/colibri_hostd"),
                    0o555
                ),
            ]
        );
        for from in ["/etc/passwd", "../rc.d/clawdie_seed", "./rc.d/clawdie_seed"] {
            let text = text.replacen("rc.d/clawdie_seed", from, 1);
            let error = Recipe::parse(&text, Path::new("x"))
                .unwrap_err()
                .to_string();
            assert!(error.contains("from the checkout"), "{error}");
        }
    }

    #[test]
    fn contradictions_are_named() {
        let twice = shipped().replace("role = \"esp\"", "role = \"seed\"");
        assert!(
            parse(&twice)
                .unwrap_err()
                .to_string()
                .contains("exactly one partition")
        );
        let nobody = shipped().replacen("owner = \"colibri\"", "owner = \"nobody\"", 1);
        assert!(
            parse(&nobody)
                .unwrap_err()
                .to_string()
                .contains("unknown user `nobody`")
        );
        let relative = shipped().replacen("to = \"/usr", "to = \"usr", 1);
        let error = parse(&relative).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("starts with `/`"), "{cause}");
    }
}
