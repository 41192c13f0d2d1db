//! Folders of this machine that must not show up in a program, and what stands there instead.

use std::path::{Path, PathBuf};

/// Folder and stand-in. Of several that hold a path, the last one is applied, by rustc and C
/// compilers alike: so the inner ones come last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remap(Vec<(PathBuf, String)>);

impl Remap {
    /// The checkout, and where cargo keeps crates.
    pub(super) fn of_machine(root: &Path) -> Self {
        let mut remap = Self(Vec::new());
        remap.add(root, "/clawdie-iso");
        if let Some(home) = cargo_home() {
            remap.add(&home, "/cargo");
        }
        remap
    }

    /// One more folder; by its real name, too, when it is reached through a link.
    pub(super) fn add(&mut self, folder: &Path, stand_in: &str) {
        self.0.push((folder.to_owned(), stand_in.to_owned()));
        if let Ok(real) = std::fs::canonicalize(folder)
            && real != folder
        {
            self.0.push((real, stand_in.to_owned()));
        }
    }

    pub(super) fn rust_flags(&self) -> impl Iterator<Item = String> {
        self.flags("--remap-path-prefix")
    }

    pub(super) fn c_flags(&self) -> String {
        self.flags("-ffile-prefix-map")
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn flags(&self, flag: &str) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .map(move |(folder, stand_in)| format!("{flag}={}={stand_in}", folder.display()))
    }

    /// The folders themselves.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(folder, _)| folder.as_path())
    }
}

fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_behind_a_link_is_replaced_by_both_of_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let real = std::fs::canonicalize(dir.path()).unwrap().join("real");
        let link = dir.path().join("link");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut remap = Remap(Vec::new());
        remap.add(&link, "/x");
        let flags: Vec<_> = remap.rust_flags().collect();
        assert_eq!(
            flags,
            [
                format!("--remap-path-prefix={}=/x", link.display()),
                format!("--remap-path-prefix={}=/x", real.display())
            ]
        );
        assert_eq!(
            remap.c_flags(),
            flags
                .join(" ")
                .replace("--remap-path-prefix", "-ffile-prefix-map")
        );
    }

    #[test]
    fn inner_folders_come_after_outer_ones() {
        let mut remap = Remap(Vec::new());
        remap.add(Path::new("/nowhere"), "/a");
        remap.add(Path::new("/nowhere/inner"), "/b");
        assert_eq!(
            remap.c_flags(),
            "-ffile-prefix-map=/nowhere=/a -ffile-prefix-map=/nowhere/inner=/b"
        );
    }
}
