//! Packages that came with the image, by pkg(8), which the base has only a bootstrap of.
//!
//! Both bootstrap and pkg read the repository's signatures and compare them with the base's fingerprints: what lies on
//! the image is believed no more than what comes from a mirror.

use super::{Command, Freebsd, HostError, Processes, sync_if_file};
use crate::host::Host as _;

/// The repository's name in the configuration that the image's builder wrote.
const REPOSITORY: &str = "clawdie";

impl<P: Processes> Freebsd<P> {
    /// With the image's repository and no other: nothing here may wait for a network.
    fn with_repository(&self, command: &[&str]) -> Command {
        let only = format!("REPOS_DIR={}/repos", self.paths().packages);
        let mut words = vec!["env", &only];
        words.extend(command);
        Command::new(words)
    }

    /// Whether pkg itself is there, with its database; never starts the bootstrap.
    fn has_pkg(&self) -> Result<bool, HostError> {
        self.machine.says_yes(&Command::new(["pkg", "-N"]))
    }

    fn is_installed(&self, name: &str) -> Result<bool, HostError> {
        self.machine
            .says_yes(&Command::new(["pkg", "info", "-e", name]))
    }

    fn lacking<'a>(&self, names: &'a [String]) -> Result<Vec<&'a str>, HostError> {
        let mut lacking = Vec::new();
        for name in names {
            if !self.is_installed(name)? {
                lacking.push(name.as_str());
            }
        }
        Ok(lacking)
    }

    pub(super) fn packages_are_there(&self, names: &[String]) -> Result<bool, HostError> {
        Ok(self.has_pkg()? && self.lacking(names)?.is_empty())
    }

    /// Each part is done only when it is lacking, because a cut may fall between any two of them; one in the middle of
    /// the bootstrap leaves a pkg without a database, which `-f` puts right.
    pub(super) fn install_packages(&self, names: &[String]) -> Result<(), HostError> {
        if !self.has_pkg()? {
            // By its full path: a half-made pkg may stand before it.
            let bootstrap = ["/usr/sbin/pkg", "bootstrap", "-f", "-y"];
            self.machine
                .processes
                .demand(&self.with_repository(&bootstrap))?;
        }
        let lacking = self.lacking(names)?;
        if !lacking.is_empty() {
            let mut install = vec!["pkg", "install", "-y", "-r", REPOSITORY];
            install.extend(lacking);
            self.machine
                .processes
                .demand(&self.with_repository(&install))?;
        }
        self.settle_packages()
    }

    /// pkg leaves files for the system to write some day, and its database would be ahead of them.
    fn settle_packages(&self) -> Result<(), HostError> {
        let files = self
            .machine
            .processes
            .demand(&Command::new(["pkg", "query", "-a", "%Fp"]))?;
        for file in files.stdout.lines().filter(|line| line.starts_with('/')) {
            sync_if_file(&self.machine.at(file))
                .map_err(HostError::io(format!("waiting for the disk ({file})")))?;
        }
        Ok(())
    }
}
