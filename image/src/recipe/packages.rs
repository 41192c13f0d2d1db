//! Packages of FreeBSD that the image brings along, and where they come from.

use std::path::{Path, PathBuf};

use clawdie_tree::TreePath;
use serde::{Deserialize, Serialize};

use super::{Base, Recipe, tree_path};
use crate::error::{Error, ErrorKind, Result};

/// What stands in a mirror's address for the system that packages are made for.
const ABI: &str = "${ABI}";

/// Packages from a FreeBSD `pkg` repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Packages {
    /// The list: a package a line, and why.
    pub list: PathBuf,
    /// Addresses of the repository, in the order in which they are asked. `${ABI}` stands for the
    /// system, as in the repositories' own configuration on FreeBSD.
    pub mirrors: Vec<String>,
    /// The folder of the base with the fingerprints that signatures are checked against.
    #[serde(with = "tree_path")]
    pub fingerprints: TreePath,
    /// A folder that holds a repository, in place of the mirrors; never part of a recipe's file.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

impl Packages {
    /// Rules that the types cannot say.
    pub(super) fn verify(&self, base: &Base) -> Result<(), String> {
        if !matches!(base, Base::Sets(_)) {
            return Err("`packages` is for a base of sets: an archive brings its own".into());
        }
        if self.mirrors.is_empty() {
            return Err("`packages.mirrors` names no mirror".into());
        }
        for mirror in &self.mirrors {
            if !mirror.starts_with("https://") && !mirror.starts_with("http://") {
                return Err(format!(
                    "`{mirror}` is not an address that begins with `https://` or `http://`"
                ));
            }
        }
        Ok(())
    }

    /// The mirrors' addresses for packages of `abi`.
    pub fn urls(&self, abi: &str) -> Vec<String> {
        self.mirrors
            .iter()
            .map(|mirror| mirror.replace(ABI, abi).trim_end_matches('/').to_owned())
            .collect()
    }
}

impl Recipe {
    /// Takes what the command line says of packages: `none`, `mirror` for the recipe's mirrors, or a
    /// folder that holds a repository. `none` leaves out those of npm as well: what runs them is such a
    /// package.
    ///
    /// # Errors
    /// When this flavour has none to choose, or there is no such folder.
    pub fn choose_packages(&mut self, choice: &str) -> Result<()> {
        let Some(packages) = &mut self.packages else {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "the packages of {} are its base: they cannot be chosen",
                    self.flavour
                ),
            )
            .hint("`--packages` is for `--flavour freebsd`"));
        };
        match choice {
            "none" => {
                self.packages = None;
                self.npm.clear();
                return Ok(());
            }
            "mirror" => return Ok(()),
            _ => {}
        }
        let folder = Path::new(choice);
        if !folder.is_dir() {
            return Err(Error::missing(format!("`{choice}` is not a folder")).hint(
                "`--packages` takes `mirror`, `none`, or a folder that holds a repository of FreeBSD packages",
            ));
        }
        packages.folder = Some(folder.to_owned());
        Ok(())
    }

    /// What packages for this system call it: `FreeBSD:15:amd64`.
    pub fn abi(&self) -> String {
        let major = self.release.split('.').next().unwrap_or_default();
        format!("FreeBSD:{major}:amd64")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(flavour: &str) -> String {
        let path = format!("{}/{flavour}.toml", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    }

    fn parse(text: &str) -> Result<Recipe> {
        Recipe::parse(text, Path::new("image/freebsd.toml"))
    }

    #[test]
    fn the_address_follows_the_release() {
        let mut recipe = parse(&shipped("freebsd")).unwrap();
        let packages = recipe.packages.clone().unwrap();
        assert_eq!(packages.fingerprints.to_string(), "/usr/share/keys/pkg");
        assert_eq!(
            packages.urls(&recipe.abi())[0],
            "https://pkg.freebsd.org/FreeBSD:15:amd64/quarterly"
        );
        recipe.choose_release("16.0-CURRENT").unwrap();
        assert_eq!(recipe.abi(), "FreeBSD:16:amd64");
    }

    #[test]
    fn the_command_line_chooses() {
        let mut recipe = parse(&shipped("freebsd")).unwrap();
        let error = recipe.choose_packages("/nowhere/at/all").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
        let dir = tempfile::tempdir().unwrap();
        recipe
            .choose_packages(dir.path().to_str().unwrap())
            .unwrap();
        assert_eq!(
            recipe.packages.as_ref().unwrap().folder.as_deref(),
            Some(dir.path())
        );
        assert!(!recipe.npm.is_empty());
        recipe.choose_packages("none").unwrap();
        assert!(recipe.packages.is_none() && recipe.npm.is_empty());
        let error = parse(&shipped("debian"))
            .unwrap()
            .choose_packages("none")
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let text = shipped("freebsd");
        let fault = |text: &str| {
            let error = parse(text).unwrap_err();
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error} {}", cause.unwrap_or_default())
        };
        let ftp = text.replace("https://pkg.freebsd.org", "ftp://pkg.freebsd.org");
        assert!(fault(&ftp).contains("is not an address"), "{}", fault(&ftp));
        let unknown = text.replace("[packages]", "[packages]\ncolour = \"red\"");
        assert!(fault(&unknown).contains("unknown field `colour`"));
        let section =
            "\n[packages]\nlist = \"x\"\nmirrors = [\"https://a\"]\nfingerprints = \"/k\"\n";
        let debian = shipped("debian").replace("\n[stage]", &format!("{section}\n[stage]"));
        assert!(fault(&debian).contains("is for a base of sets"));
    }
}
