//! Files that survive a power cut: whole old content or whole new content, never a mixture.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// Numeric owner and group.
pub(super) type Owner = (u32, u32);

/// Replaces `path`: temporary name in the same folder, sync, rename, sync of the folder.
///
/// The new file has its mode from the moment it exists. A leftover of an earlier cut is removed first. Of a file that
/// only its owner may read, nothing of the old content is left in blocks that are free now, if the file system writes
/// in place (ext4 and UFS do).
pub(super) fn replace(
    path: &Path,
    content: &[u8],
    mode: u32,
    owner: Option<Owner>,
) -> io::Result<()> {
    let temporary = temporary_name(path)?;
    write_new(&temporary, content, mode, owner)?;
    let old = open_secret(path)?;
    rename(&temporary, path)?;
    old.map_or(Ok(()), blank)
}

/// [`replace`] on a FAT that FreeBSD's msdosfs has mounted: the old file goes before the new one gets its name.
///
/// msdosfs renames onto a name that is there by writing the new entry where the old one was, and the new one's long name
/// before it, without asking whose entry that is. Windows writes `setup.txt` without a long name, so the neighbour's
/// entry would be lost, and `setup.txt` not be found again (seen on 15.1; `msdosfs_rename()` in its sources). A power cut
/// between the two leaves the new content under the temporary name. msdosfs itself removes and creates in two steps.
pub(super) fn replace_on_msdosfs(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let temporary = temporary_name(path)?;
    write_new(&temporary, content, mode, None)?;
    remove(path)?;
    rename(&temporary, path)
}

/// Removes a file, and its content if only its owner may read it. One that is not there is no error.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let old = open_secret(path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    old.map_or(Ok(()), blank)
}

/// Opens a file of which nothing may be left once it is gone; `None` for all others.
fn open_secret(path: &Path) -> io::Result<Option<File>> {
    // A link is not followed: what it leads to stays.
    let Ok(is) = fs::symlink_metadata(path) else {
        return Ok(None);
    };
    let is_secret = is.is_file() && is.nlink() == 1 && is.permissions().mode() & 0o077 == 0;
    if !is_secret {
        return Ok(None);
    }
    let no_follow = nix::fcntl::OFlag::O_NOFOLLOW.bits();
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(no_follow)
        .open(path)?;
    Ok(Some(file))
}

/// Writes zeros over all of a file.
fn blank(mut file: File) -> io::Result<()> {
    let len = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(len), &mut file)?;
    file.sync_data()
}

/// The first half of [`replace`], for content that another program checks before it counts.
pub(super) fn write_new(
    temporary: &Path,
    content: &[u8],
    mode: u32,
    owner: Option<Owner>,
) -> io::Result<()> {
    remove(temporary)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(temporary)?;
    if file.metadata()?.permissions().mode() & 0o7777 != mode {
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    if let Some((uid, gid)) = owner {
        fchown(&file, Some(uid), Some(gid))?;
    }
    file.write_all(content)?;
    file.sync_all()
}

/// `.NAME.new` beside `path`; sudo and most programs that read folders skip such names.
pub(super) fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other("not the path of a file"))?;
    Ok(path.with_file_name(format!(".{}.new", name.to_string_lossy())))
}

/// Makes a rename in the folder of `path` durable.
///
/// FreeBSD's msdosfs cannot sync the root folder of a volume (`deupdat()` in its sources refuses that
/// with `EINVAL`, as `fsync(2)` may). What lies there is durable once the volume is unmounted, which
/// is what follows the one file that is written there.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let synced = path
        .parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all());
    match synced {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

/// Writes over the bytes of a file, which keeps its length and its sectors.
pub(super) fn overwrite(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    if file.metadata()?.len() != content.len() as u64 {
        return Err(io::Error::other("it has another length now"));
    }
    file.write_all(content)?;
    file.sync_all()
}

/// Gives a file another name in its folder, durably.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(to)
}

/// Adds to the end of a file.
pub(super) fn append(path: &Path, content: &[u8], mode: u32, sync: bool) -> io::Result<()> {
    let new = !path.exists();
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)?;
    if sync {
        file.sync_data()?;
    }
    if new && sync {
        sync_folder(path)?;
    }
    Ok(())
}

/// Makes a folder and what leads to it; the folder itself gets `mode`, its parents 0755.
pub(super) fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(path)?;
    let is = fs::metadata(path)?.permissions().mode() & 0o7777;
    if is == mode {
        Ok(())
    } else {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }
}

/// The first `limit` bytes of a file; `None` when there is no such file.
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(limit).read_to_end(&mut content)?;
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leftover_of_a_cut_does_not_stand_in_the_way_and_modes_are_exact() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("provider.env");
        fs::write(temporary_name(&path).expect("a name"), "torn").expect("written");
        replace(&path, b"one", 0o600, None).expect("replaced");
        replace(&path, b"two", 0o440, None).expect("replaced again");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(
            fs::metadata(&path).expect("there").permissions().mode() & 0o7777,
            0o440
        );
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn on_fat_the_old_file_is_gone_before_the_new_one_has_its_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("setup.txt");
        replace_on_msdosfs(&path, b"one", 0o700).expect("made");
        let mut old = File::open(&path).expect("opened");
        replace_on_msdosfs(&path, b"another", 0o700).expect("replaced");
        assert_eq!(fs::read(&path).expect("read"), b"another");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
        let mut text = String::new();
        old.read_to_string(&mut text).expect("read");
        assert_eq!(text, "\0\0\0", "a secret file's content is blanked");
    }

    #[test]
    fn a_planted_link_at_the_temporary_name_is_not_followed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, victim) = (folder.path().join("f"), folder.path().join("victim"));
        fs::write(&victim, "mine").expect("written");
        std::os::unix::fs::symlink(&victim, temporary_name(&path).expect("a name"))
            .expect("linked");
        replace(&path, b"new", 0o600, None).expect("replaced");
        assert_eq!(fs::read(&victim).expect("read"), b"mine");
        assert_eq!(fs::read(&path).expect("read"), b"new");
    }

    #[test]
    fn of_a_secret_nothing_is_left_where_it_lay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (mode, left) in [(0o600, "\0\0\0\0\0\0"), (0o644, "secret")] {
            for goes in [true, false] {
                let path = folder.path().join("provider.env");
                replace(&path, b"secret", mode, None).expect("written");
                let mut old = File::open(&path).expect("opened");
                if goes {
                    remove(&path).expect("removed");
                    assert!(!path.exists());
                    remove(&path).expect("nothing to do");
                } else {
                    replace(&path, b"another", mode, None).expect("replaced");
                    assert_eq!(fs::read(&path).expect("read"), b"another");
                }
                let mut text = String::new();
                old.read_to_string(&mut text).expect("read");
                assert_eq!(text, left, "{mode:o}, goes: {goes}");
                remove(&path).expect("removed");
            }
        }
    }

    #[test]
    fn a_secret_that_has_a_second_name_stays_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, other) = (folder.path().join("f"), folder.path().join("other"));
        replace(&path, b"secret", 0o600, None).expect("written");
        fs::hard_link(&path, &other).expect("linked");
        replace(&path, b"new", 0o600, None).expect("replaced");
        assert_eq!(fs::read(&other).expect("read"), b"secret");
    }

    #[test]
    fn overwriting_keeps_file_and_length() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("setup.txt");
        fs::write(&path, "KEY=secret").expect("written");
        let inode = fs::metadata(&path).expect("there").ino();
        overwrite(&path, b"KEY=      ").expect("overwritten");
        assert_eq!(fs::read(&path).expect("read"), b"KEY=      ");
        assert_eq!(fs::metadata(&path).expect("there").ino(), inode);
        overwrite(&path, b"KEY=").expect_err("shorter");
        assert_eq!(fs::read(&path).expect("read"), b"KEY=      ");
        overwrite(&folder.path().join("none"), b"").expect_err("none is made");
    }

    #[test]
    fn no_file_is_none_and_reading_stops_at_the_limit() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f");
        assert_eq!(read(&path, 10).expect("fine"), None);
        assert_eq!(read(&path.join("below"), 10).expect("fine"), None);
        append(&path, b"0123456789", 0o600, true).expect("appended");
        append(&path, b"more", 0o600, false).expect("appended");
        assert_eq!(
            read(&path, 12).expect("fine").expect("there"),
            b"0123456789mo"
        );
        assert!(read(folder.path(), 10).is_err(), "a folder is not a file");
    }
}
