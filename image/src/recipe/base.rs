//! Where the base system comes from: the two members and what each needs to know.

use std::path::PathBuf;

use clawdie_tree::Sha256;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Recipe;
use crate::error::{Error, ErrorKind, Result};
use crate::pack::unhex;

/// Where the base system comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "kind")]
pub enum Base {
    /// A Debian root, installed by apt and dpkg from the archive.
    Archive(Archive),
    /// FreeBSD's dist sets.
    Sets(Sets),
}

/// A Debian archive and what to install from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Archive {
    /// The main suite, such as `trixie`.
    pub suite: String,
    /// Every place packages come from.
    pub sources: Vec<Source>,
    /// Keyring on the build host that signs them.
    pub keyring: PathBuf,
    /// The list of packages for the host system.
    pub packages: PathBuf,
    /// Packages that are unpacked for their boot files and not installed.
    pub boot_packages: Vec<String>,
    /// Folder of the checkout copied into the root before packages are configured, for settings
    /// that their maintainer scripts read (what goes into the initramfs).
    pub before_packages: PathBuf,
    /// Globs of what is left out of the image.
    pub drop: Vec<String>,
}

/// One line of apt's sources.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Base address of the mirror.
    pub uri: String,
    /// Suite on it.
    pub suite: String,
    /// Components of the suite.
    pub components: Vec<String>,
}

/// FreeBSD's dist sets: tar archives that together are a root.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sets {
    /// Addresses under which a folder for each release lies (`15.1-RELEASE/`), in the order in which
    /// they are asked.
    pub mirrors: Vec<String>,
    /// The sets of every release, in the order in which they are laid over each other.
    pub sets: Vec<String>,
    /// Releases whose sets are known.
    pub pins: Vec<Release>,
    /// What the command line says about them; never part of a recipe's file.
    #[serde(skip)]
    pub supply: Supply,
}

/// Where the sets come from in this one build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supply {
    /// A folder that holds them; else the cache and the mirrors are asked.
    pub folder: Option<PathBuf>,
    /// A release without a pin is taken on the word of its `MANIFEST`.
    pub insecure: bool,
}

/// The sets of one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Such as `15.1`.
    pub release: String,
    /// One for each of the recipe's sets.
    pub sets: Vec<PinnedSet>,
}

/// What is known of one set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedSet {
    /// Name of the file.
    pub file: String,
    /// SHA-256 of the file.
    #[serde(with = "sha256")]
    pub sha256: Sha256,
    /// How many entries its archive has, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
}

impl Sets {
    /// Rules that the types cannot say.
    pub(super) fn verify(&self, release: &str) -> Result<(), String> {
        release_folder(release)?;
        if self.sets.is_empty() {
            return Err("`base.sets` names no set".into());
        }
        for set in &self.sets {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if !set.ends_with(".txz") || set.starts_with('.') || !set.bytes().all(legal) {
                return Err(format!(
                    "`{set}` is not the name of a set such as `base.txz`"
                ));
            }
        }
        for pin in &self.pins {
            release_folder(&pin.release)?;
            if !pin.sets.iter().map(|set| &set.file).eq(&self.sets) {
                return Err(format!(
                    "the pins of release `{}` are not for {}, in this order",
                    pin.release,
                    self.sets.join(", ")
                ));
            }
        }
        Ok(())
    }

    /// What is pinned for a release.
    pub fn pins_of(&self, release: &str) -> Option<&[PinnedSet]> {
        self.pins
            .iter()
            .find(|pin| pin.release == release)
            .map(|pin| pin.sets.as_slice())
    }
}

impl Recipe {
    /// Takes another release than the recipe's own: `15.0`, `15.0-RELEASE` or `15.1-STABLE`.
    ///
    /// # Errors
    /// When the base is not made of releases that can be chosen, or the text is none.
    pub fn choose_release(&mut self, release: &str) -> Result<()> {
        if let Base::Archive(archive) = &self.base {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("{} has one release here: {}", self.flavour, archive.suite),
            )
            .hint("leave out `--release`, or choose `--flavour freebsd`"));
        }
        release_folder(release).map_err(|fault| {
            Error::new(ErrorKind::Usage, fault).hint("for example `--release 15.1`")
        })?;
        release
            .strip_suffix("-RELEASE")
            .unwrap_or(release)
            .clone_into(&mut self.release);
        Ok(())
    }

    /// The archive that the base is installed from.
    ///
    /// # Errors
    /// When the base is not made of packages.
    pub fn archive(&self) -> Result<&Archive> {
        match &self.base {
            Base::Archive(archive) => Ok(archive),
            Base::Sets(_) => Err(Error::failed(format!(
                "the base of {} is made of sets, not of packages",
                self.flavour
            ))),
        }
    }
}

/// The name of a release on its mirrors: `15.1` is `15.1-RELEASE`, the rest is meant as it stands.
///
/// # Errors
/// When it is not the name of a release: it becomes part of an address and of a path.
pub fn release_folder(release: &str) -> Result<String, String> {
    let fault = || format!("`{release}` is not the name of a FreeBSD release such as `15.1`");
    let (version, branch) = release
        .split_once('-')
        .map_or((release, None), |(version, branch)| (version, Some(branch)));
    let number = |text: &str| {
        (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (major, minor) = version.split_once('.').ok_or_else(fault)?;
    if !number(major) || !number(minor) {
        return Err(fault());
    }
    let branch = branch.unwrap_or("RELEASE");
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if branch.is_empty() || branch.len() > 32 || !branch.bytes().all(legal) {
        return Err(fault());
    }
    Ok(format!("{version}-{branch}"))
}

/// Reads a SHA-256 as people write it: 64 hexadecimal digits and nothing else.
pub(crate) fn digest(text: &str) -> Option<Sha256> {
    unhex(text).filter(|_| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

mod sha256 {
    use super::*;

    pub(super) fn serialize<S: Serializer>(digest: &Sha256, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&clawdie_tree::hex(digest))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Sha256, D::Error> {
        let text = String::deserialize(from)?;
        digest(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` is not a SHA-256 in 64 hexadecimal digits"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::recipe::{Boot, Flavour, Role};

    const PATH: &str = "image/freebsd.toml";

    fn shipped() -> String {
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/freebsd.toml")).unwrap()
    }

    fn parse(text: &str) -> Result<Recipe> {
        Recipe::parse(text, Path::new(PATH))
    }

    fn sets(recipe: &Recipe) -> &Sets {
        match &recipe.base {
            Base::Sets(sets) => sets,
            Base::Archive(_) => panic!("FreeBSD is made of sets"),
        }
    }

    #[test]
    fn the_shipped_recipe_reads() {
        let recipe = parse(&shipped()).unwrap();
        assert_eq!(recipe.flavour, Flavour::Freebsd);
        let pinned = sets(&recipe).pins_of(&recipe.release).unwrap();
        assert_eq!(pinned[0].file, "base.txz");
        assert_eq!(pinned[0].files, Some(30469));
        assert_eq!(
            clawdie_tree::hex(sets(&recipe).pins_of("15.0").unwrap()[1].sha256),
            "1c36f7e635dc2bba32b7e64de35a730ffc439a4072bd40d0e7221d6df35f12da"
        );
        assert!(matches!(recipe.boot, Boot::Loader { .. }));
        let names: Vec<_> = recipe
            .partitions
            .iter()
            .map(|part| part.name.as_str())
            .collect();
        assert_eq!(names, ["CLAWDIE-SEED", "bootfs", "efiboot0", "rootfs"]);
        let bios = recipe.partition(Role::BiosBoot).unwrap();
        assert_eq!(bios.bytes(), Some(512 << 10));
    }

    #[test]
    fn another_release_is_chosen_by_its_name() {
        let mut recipe = parse(&shipped()).unwrap();
        for (given, kept, folder) in [
            ("15.0", "15.0", "15.0-RELEASE"),
            ("15.0-RELEASE", "15.0", "15.0-RELEASE"),
            ("15.2-BETA1", "15.2-BETA1", "15.2-BETA1"),
        ] {
            recipe.choose_release(given).unwrap();
            assert_eq!(recipe.release, kept);
            assert_eq!(release_folder(&recipe.release).unwrap(), folder);
        }
        for wrong in [
            "", "15", "15.", "x.1", "15.1-", "15.1/..", "../15.1", "15.1-a b", "1.2.3",
        ] {
            let error = recipe.choose_release(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{wrong}");
            assert!(error.to_string().contains("FreeBSD release"), "{error}");
        }
    }

    #[test]
    fn pins_that_contradict_the_sets_are_refused() {
        let swapped = shipped().replace(
            r#"["base.txz", "kernel.txz"]"#,
            r#"["kernel.txz", "base.txz"]"#,
        );
        let error = parse(&swapped).unwrap_err().to_string();
        assert!(
            error.contains("are not for kernel.txz, base.txz"),
            "{error}"
        );
        let short = shipped().replacen("sha256 = \"", "sha256 = \"0", 1);
        let error = parse(&short).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("64 hexadecimal digits"), "{cause}");
        let both = shipped().replacen("kib = 512", "kib = 512\nmib = 1", 1);
        let error = parse(&both).unwrap_err().to_string();
        assert!(error.contains("both `mib` and `kib`"), "{error}");
    }
}
