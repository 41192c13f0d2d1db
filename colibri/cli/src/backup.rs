//! `colibri backup`: the daemon's copy of its database as a file of the person who asks.
//!
//! The file is made here and not by the daemon, which as a service sees neither homes nor the /tmp
//! that everybody else sees.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use colibri_protocol::client::{Client, ClientError};
use colibri_protocol::{ErrorKind, ReplyError};
use serde::{Deserialize, Serialize};

/// A backup that is whole and on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) file: PathBuf,
    pub(crate) size_bytes: u64,
}

/// Makes the file, mode 0600; one that is there stays as it is.
///
/// # Errors
/// The daemon's, or as if it were: why the file cannot be made.
pub(crate) fn write(client: &Client, file: &Path) -> Result<Made, ClientError> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let failed = |problem: String| {
        let text = format!("cannot back up into {}: {problem}", file.display());
        let error = ReplyError::new(ErrorKind::BadRequest, text);
        ClientError::Refused { error }
    };
    if file.symlink_metadata().is_ok() {
        return Err(failed("it exists, and is not overwritten".to_owned()));
    }
    let mut partial = file.clone().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut out = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => failed(format!(
                "{} is there: another backup is under way, or was interrupted; then remove it",
                partial.display()
            )),
            _ => failed(error.to_string()),
        })?;
    let made = copy(client, &mut out).and_then(|copied| {
        copied
            .and_then(|size| give_name(&partial, &file).map(|()| size))
            .map_err(|error| failed(error.to_string()))
    });
    if made.is_err() {
        // What went wrong before says more than this could.
        let _ = fs::remove_file(&partial);
    }
    made.map(|size_bytes| Made { file, size_bytes })
}

/// The whole copy, on disk: its size in bytes.
///
/// # Errors
/// The daemon gives none; within, it did not come to its end or cannot be written.
fn copy(client: &Client, out: &mut File) -> Result<io::Result<u64>, ClientError> {
    let (size, mut copy) = client.back_up()?;
    Ok(io::copy(&mut copy, out).and_then(|written| {
        if written != size {
            let text = format!("the daemon hung up after {written} of {size} bytes; try again");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        out.sync_all()?;
        Ok(size)
    }))
}

/// A link is refused when somebody has made the file meanwhile. A rename is not, and serves where
/// there are no links, as on a stick.
fn give_name(partial: &Path, file: &Path) -> io::Result<()> {
    match fs::hard_link(partial, file) {
        Ok(()) => fs::remove_file(partial)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => fs::rename(partial, file)?,
    }
    let folder = file.parent().unwrap_or(Path::new("/"));
    File::open(folder)?.sync_all()
}
