//! Whether a folder of the cache is still whole, told by the names and sizes of all its files.
//!
//! A toolchain has twenty thousand of them: reading each before every build would cost more than the
//! build. What this finds is what happens to caches: a cleaner that removes old files, a disk that was
//! full, a machine that lost power.

use std::path::Path;

use fs_err as fs;
use sha2::Digest;

use crate::error::{Error, ErrorKind, Result, ResultExt};

const SEAL: &str = "sealed";

/// Writes down what is in `folder`.
pub(super) fn set(folder: &Path) -> Result<()> {
    fs::write(folder.join(SEAL), inventory(folder)?)?;
    Ok(())
}

/// Whether `folder` still holds what it held when it was sealed.
pub(super) fn holds(folder: &Path) -> Result<bool> {
    let seal = fs::read_to_string(folder.join(SEAL))?;
    Ok(seal == inventory(folder)?)
}

fn inventory(folder: &Path) -> Result<String> {
    let mut hasher = sha2::Sha256::new();
    for entry in walkdir::WalkDir::new(folder)
        .min_depth(1)
        .sort_by_file_name()
    {
        let entry = entry.or_error(ErrorKind::Failed, || {
            format!("`{}` cannot be read", folder.display())
        })?;
        let inner = entry
            .path()
            .strip_prefix(folder)
            .map_err(|error| Error::failed("a file outside its folder").caused_by(error))?;
        if inner == Path::new(SEAL) {
            continue;
        }
        let meta = entry.metadata().or_error(ErrorKind::Failed, || {
            format!("`{}` cannot be read", entry.path().display())
        })?;
        let size = if meta.is_file() { meta.len() } else { 0 };
        hasher.update(inner.as_os_str().as_encoded_bytes());
        hasher.update([0]);
        hasher.update(size.to_le_bytes());
    }
    Ok(clawdie_tree::hex(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_a_lost_and_an_added_file_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lib/a");
        fs::create_dir(dir.path().join("lib")).unwrap();
        fs::write(&path, "whole").unwrap();
        set(dir.path()).unwrap();
        assert!(holds(dir.path()).unwrap());
        fs::write(&path, "").unwrap();
        assert!(!holds(dir.path()).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!holds(dir.path()).unwrap());
        fs::write(&path, "whole").unwrap();
        assert!(holds(dir.path()).unwrap());
        fs::write(dir.path().join("b"), "").unwrap();
        assert!(!holds(dir.path()).unwrap());
    }
}
