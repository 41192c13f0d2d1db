//! Files that are first boot's alone. They are told by their first line, so that nobody else's is ever overwritten.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use super::machine::Machine;
use super::{HostError, Processes, files};

/// The first line of each.
pub(super) const MARK: &str = "# Written by clawdie-firstboot. Change setup.txt on the stick instead: this file follows it.\n";

/// A file as it should be.
#[derive(Debug, Clone)]
pub(super) struct OwnFile {
    /// Absolute path.
    pub(super) path: String,
    /// Exact mode.
    pub(super) mode: u32,
    /// The whole content, which begins with [`MARK`].
    pub(super) content: SecretString,
}

impl OwnFile {
    /// A file that everybody may read.
    pub(super) fn open(path: impl Into<String>, rest: &str) -> Self {
        Self {
            path: path.into(),
            mode: 0o644,
            content: format!("{MARK}{rest}").into(),
        }
    }

    /// A file with a secret in it.
    pub(super) fn secret(path: impl Into<String>, content: SecretString) -> Self {
        Self {
            path: path.into(),
            mode: 0o600,
            content,
        }
    }
}

impl<P: Processes> Machine<P> {
    /// Whether the file is there, to the byte and with its mode.
    pub(super) fn own_file_is(&self, file: &OwnFile) -> Result<bool, HostError> {
        let is = self.read_at(&file.path)?;
        let mode = fs::metadata(self.at(&file.path)).map(|meta| meta.permissions().mode() & 0o7777);
        Ok(mode.is_ok_and(|mode| mode == file.mode)
            && is.is_some_and(|is| is == file.content.expose_secret().as_bytes()))
    }

    /// Whether a file of ours is at this path.
    pub(super) fn is_own_file(&self, path: &str) -> Result<bool, HostError> {
        let is = self.read_at(path)?;
        Ok(is.is_some_and(|is| is.starts_with(MARK.as_bytes())))
    }

    /// Writes the file, unless somebody else's stands there.
    pub(super) fn write_own_file(&self, file: &OwnFile) -> Result<(), HostError> {
        if self.own_file_is(file)? {
            return Ok(());
        }
        let path = &file.path;
        if self.read_at(path)?.is_some() && !self.is_own_file(path)? {
            return Err(HostError::Refused(format!(
                "{path} is there already and not first boot's; rename it, or take the network lines out of setup.txt"
            )));
        }
        if let Some(folder) = Path::new(path)
            .parent()
            .filter(|folder| !self.at(folder).is_dir())
        {
            files::make_folder(&self.at(folder), 0o755)
                .map_err(HostError::io(format!("making {}", folder.display())))?;
        }
        self.write_at(path, file.content.expose_secret(), file.mode)
    }

    /// Removes a file of ours; somebody else's stays.
    pub(super) fn remove_own_file(&self, path: &str) -> Result<(), HostError> {
        if !self.is_own_file(path)? {
            return Ok(());
        }
        let at = self.at(path);
        files::remove(&at)
            .and_then(|()| files::sync_folder(&at))
            .map_err(HostError::io(format!("removing {path}")))
    }
}
