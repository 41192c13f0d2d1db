//! A checkout of its own for a test: the files of this one as they lie, in a repository without a
//! past, so that a test may change them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::program::{Finished, program, run};

/// A copy of this checkout, its tree clean.
pub struct Checkout {
    folder: tempfile::TempDir,
}

impl Checkout {
    /// Copies what git knows here and what it would take up; builds are ignored, so they stay away.
    pub fn copy() -> Self {
        // On the disk that images are built on: a copy is small, what is built beside it is not.
        Self::copy_into(scratch())
    }

    /// The same in a folder below `home`.
    pub fn copy_to(home: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("test-").tempdir_in(home);
        let folder = folder.unwrap();
        // For every user to read.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(folder.path(), open).unwrap();
        Self::copy_into(folder)
    }

    fn copy_into(folder: tempfile::TempDir) -> Self {
        let top = workspace();
        let listed = git(
            top,
            &[
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ],
        );
        let names: Vec<&str> = listed
            .split('\0')
            .filter(|name| !name.is_empty() && top.join(name).symlink_metadata().is_ok())
            .collect();
        let checkout = Self { folder };
        fs_err::create_dir(checkout.root()).unwrap();
        let mut copy = Command::new("cp");
        copy.current_dir(top)
            .args(["--archive", "--parents", "--target-directory"])
            .arg(checkout.root())
            .args(&names);
        let done = run(&mut copy, b"", Duration::from_secs(60));
        assert!(done.status.success(), "{}", done.all());
        git(&checkout.root(), &["init", "--quiet"]);
        checkout.commit();
        checkout
    }

    /// Its top folder.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    /// A folder beside it that goes away with it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Commits everything as it is; equal files give equal commits.
    pub fn commit(&self) {
        git(&self.root(), &["add", "--all"]);
        git(&self.root(), &["commit", "--quiet", "--message=test"]);
    }

    /// A verb of the build tool on this checkout, with the build cache of the real one.
    pub fn xtask(&self) -> Command {
        let mut command = match std::env::var_os("CLAWDIE_XTASK") {
            Some(program) => Command::new(program),
            None => panic!("`CLAWDIE_XTASK` is not set: run these tests with `cargo xtask test`"),
        };
        command
            .current_dir(self.folder.path())
            .env("CLAWDIE_CHECKOUT", self.root())
            .env("CLAWDIE_CACHE", cache());
        command
    }

    /// `iso` from the cache alone with the programs of the image under test, into `out`.
    pub fn iso(&self, out: &Path) -> Command {
        let mut command = self.xtask();
        command
            .args([
                "iso",
                "--flavour=debian",
                "--offline",
                "--no-xz",
                "--programs",
            ])
            .arg(programs())
            .arg("--out")
            .arg(out);
        command
    }
}

/// The build cache of this checkout, which is warm once an image has been built.
pub fn cache() -> PathBuf {
    std::env::var_os("CLAWDIE_CACHE").map_or_else(
        || workspace().join("target/iso-cache"),
        |folder| workspace().join(folder),
    )
}

/// Our programs, as the image under test has them.
pub fn programs() -> PathBuf {
    let folder = workspace().join("target/image-build/x86_64-unknown-linux-gnu/dist");
    assert!(
        folder.join("colibri-daemon").is_file(),
        "`{}` holds no programs: `cargo xtask iso` builds them",
        folder.display()
    );
    folder
}

/// An empty folder in `target/`, gone when dropped.
pub fn scratch() -> tempfile::TempDir {
    let home = workspace().join("target/test-builds");
    fs_err::create_dir_all(&home).unwrap();
    tempfile::Builder::new()
        .prefix("test-")
        .tempdir_in(home)
        .unwrap()
}

/// Runs a command to its end, ten minutes at most.
pub fn finish(command: &mut Command) -> Finished {
    run(command, b"", Duration::from_secs(600))
}

/// Starts a command that nobody listens to.
pub fn start(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn git(at: &Path, words: &[&str]) -> String {
    let mut command = program("git", "git");
    command
        .current_dir(at)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "test")
            .env(format!("GIT_{who}_EMAIL"), "test@example.org")
            .env(format!("GIT_{who}_DATE"), "2026-06-01T12:00:00Z");
    }
    let done = run(
        command.args(["-c", "safe.directory=*"]).args(words),
        b"",
        Duration::from_secs(60),
    );
    assert!(done.status.success(), "git {words:?}: {}", done.all());
    done.text()
}
