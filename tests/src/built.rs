//! The image under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Finished, run};

/// Names the folder with the outputs of `cargo xtask iso`; `cargo xtask test` builds and sets it.
const FOLDER: &str = "CLAWDIE_TEST_IMAGE";

/// Names the program `xtask`; without it, it is run through cargo.
const XTASK: &str = "CLAWDIE_XTASK";

/// The outputs of one `cargo xtask iso`.
pub struct Built {
    folder: PathBuf,
}

impl Built {
    /// The outputs that this test run is about.
    pub fn get() -> Self {
        let folder = std::env::var_os(FOLDER).unwrap_or_else(|| {
            panic!(
                "`{FOLDER}` is not set: run the whole-system tests with `cargo xtask test`, or build \
                 an image with `cargo xtask iso` and set `{FOLDER}=target/iso`"
            )
        });
        let mut folder = PathBuf::from(folder);
        if folder.is_relative() {
            // As the person who set it sees it, who stands at the top of the checkout.
            folder = workspace().join(folder);
        }
        assert!(
            folder.is_dir(),
            "`{FOLDER}` names `{}`, which is no folder",
            folder.display()
        );
        Self { folder }
    }

    /// The disk image.
    pub fn image(&self) -> PathBuf {
        self.only(".img")
    }

    /// The manifest beside it.
    pub fn manifest(&self) -> PathBuf {
        self.folder.join("build-manifest.json")
    }

    /// The one output whose name ends in `ending`.
    pub fn only(&self, ending: &str) -> PathBuf {
        let found: Vec<_> = fs_err::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .collect();
        match found.as_slice() {
            [one] => one.clone(),
            _ => panic!(
                "one file `*{ending}` was expected in `{}`, not {found:?}",
                self.folder.display()
            ),
        }
    }

    /// The folder of all outputs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Runs a verb of `cargo xtask`.
pub fn xtask(words: &[&str]) -> Finished {
    let mut command = match std::env::var_os(XTASK) {
        Some(program) => Command::new(program),
        None => {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["run", "--quiet", "--package", "xtask", "--"]);
            cargo
        }
    };
    command.current_dir(workspace()).args(words);
    run(&mut command, b"", Duration::from_secs(600))
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Where cargo puts what it makes.
pub(crate) fn target() -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    workspace().join(folder.unwrap_or_else(|| "target".into()))
}
