//! The `.env` in a jail's root: found without following a link, written complete or not at all.
//!
//! Who lives in the jail owns the folder, and may change it at any moment. So folders are opened one after the other from
//! the base down, by descriptors and never through a link, and what was written is looked at once more under its name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Component, Path, PathBuf};

use colibri_protocol::place::JAIL_HOME;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use crate::env::{self, MAX_FILE, SecretName};
use crate::{Bucket, VaultError};

/// What it is called.
const NAME: &str = ".env";

/// What it is called while it is written. Always the same, so that one that a power cut left is replaced.
const NEW: &str = ".env.colibri-new";

/// Whose `.env`, and where.
#[derive(Debug, Clone)]
pub struct Target {
    /// What all jails' roots lie strictly below.
    pub base: PathBuf,
    /// The jail's root.
    pub root: PathBuf,
    /// The agent's account, as the host numbers it.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its home below the root, usually [`Target::HOME`]: the `.env` lies in it.
    pub home: PathBuf,
}

impl Target {
    /// The agent's home in every jail.
    pub const HOME: &str = JAIL_HOME;

    /// The usual home in a root, and the account that owns it.
    ///
    /// # Errors
    /// As [`names`], and [`VaultError::TargetInTheWay`] when root owns it: then it is not an agent's.
    pub fn find(base: &Path, root: &Path) -> Result<Self, VaultError> {
        let mut target = Self {
            base: base.to_owned(),
            root: root.to_owned(),
            uid: 0,
            gid: 0,
            home: Self::HOME.into(),
        };
        let home = File::from(Place::open(&target)?.folder);
        let meta = home
            .metadata()
            .map_err(VaultError::system("look at", &target.root))?;
        if meta.uid() == 0 {
            return Err(VaultError::TargetInTheWay {
                path: target.root.join(&target.home),
                what: "root's, and not an agent's home",
            });
        }
        (target.uid, target.gid) = (meta.uid(), meta.gid());
        Ok(target)
    }
}

/// What writing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Whether the content is another than before.
    pub changed: bool,
    /// Names that were not there before.
    pub added: Vec<String>,
    /// Names that are not there any more.
    pub removed: Vec<String>,
    /// Names with another value than before.
    pub renewed: Vec<String>,
}

/// Writes the bucket as the `.env` of the target: 0600, the agent's, complete or not at all.
///
/// # Errors
/// [`VaultError::TargetEscapesRoot`], [`VaultError::TargetInTheWay`], [`VaultError::NoRoot`], [`VaultError::Item`] when
/// it is more than can be read again, and [`VaultError::System`]; the old file is then as before.
pub fn write_env(target: &Target, bucket: &Bucket) -> Result<Written, VaultError> {
    let place = Place::open(target)?;
    let old = place.read()?;
    // One that nobody could read is replaced like any other.
    let before = old
        .as_ref()
        .and_then(|old| place.secrets(old).ok())
        .unwrap_or_default();
    place.put(old, &bucket.to_env())?;
    Ok(compared(&before, bucket.secrets.iter()))
}

/// Puts single secrets into the `.env` of the target and leaves what else is in it: a provider's key from
/// `setup.txt`, on a host without a vault.
///
/// # Errors
/// As [`write_env`], and [`VaultError::EnvFile`] when the file there cannot be read.
pub fn write_secrets(
    target: &Target,
    secrets: &[(SecretName, SecretString)],
) -> Result<Written, VaultError> {
    let place = Place::open(target)?;
    let old = place.read()?;
    let before = match &old {
        Some(old) => place.secrets(old)?,
        None => Vec::new(),
    };
    let mut after = before.clone();
    for (name, value) in secrets {
        env::check_value(value.expose_secret()).map_err(|why| VaultError::Item {
            item: format!("`{name}`"),
            why,
        })?;
        match after.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value.clone(),
            None => after.push((name.clone(), value.clone())),
        }
    }
    let text = env::write(after.iter().map(|(name, value)| (name.as_str(), value)));
    place.put(old, &text)?;
    Ok(compared(
        &before,
        after.iter().map(|(name, value)| (name, value)),
    ))
}

/// The names in the target's `.env`, in the order of the file; none when there is no file.
///
/// # Errors
/// As [`write_secrets`].
pub fn names(target: &Target) -> Result<Vec<String>, VaultError> {
    let secrets = read_env(target)?;
    Ok(secrets.iter().map(|(name, _)| name.to_string()).collect())
}

/// The secrets in the target's `.env`, in the order of the file; none when there is no file. For who starts the
/// agent.
///
/// # Errors
/// As [`write_secrets`].
pub fn read_env(target: &Target) -> Result<Vec<(SecretName, SecretString)>, VaultError> {
    let place = Place::open(target)?;
    match place.read()? {
        Some(old) => place.secrets(&old),
        None => Ok(Vec::new()),
    }
}

/// The bytes of the target's `.env`, whatever they are, but all of them; for a backup.
///
/// # Errors
/// As [`read_env`], but for what only a reader of secrets minds.
pub(crate) fn raw(target: &Target) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    let place = Place::open(target)?;
    let Some(old) = place.read()? else {
        return Ok(None);
    };
    place.is_whole(&old)?;
    Ok(Some(old.bytes))
}

fn compared<'a>(
    before: &[(SecretName, SecretString)],
    after: impl Iterator<Item = (&'a SecretName, &'a SecretString)>,
) -> Written {
    let mut old: BTreeMap<_, _> = before.iter().map(|(name, value)| (name, value)).collect();
    let mut written = Written::default();
    for (name, value) in after {
        match old.remove(name) {
            None => written.added.push(name.to_string()),
            Some(known) if known.expose_secret() != value.expose_secret() => {
                written.renewed.push(name.to_string());
            }
            Some(_) => {}
        }
    }
    written.removed = old.keys().map(ToString::to_string).collect();
    written.changed =
        !(written.added.is_empty() && written.removed.is_empty() && written.renewed.is_empty());
    written
}

/// The open folder that the `.env` lies in.
struct Place<'a> {
    target: &'a Target,
    folder: OwnedFd,
}

/// The file that is there.
struct Old {
    file: File,
    /// At most one more than [`MAX_FILE`].
    bytes: Zeroizing<Vec<u8>>,
}

impl<'a> Place<'a> {
    /// Walks there from the base.
    fn open(target: &'a Target) -> Result<Self, VaultError> {
        let escapes = |path: &Path, why: &str| VaultError::TargetEscapesRoot {
            path: path.to_owned(),
            base: target.base.clone(),
            why: why.to_owned(),
        };
        // The base is the host's own, and may lie behind its links.
        let base = match target.base.canonicalize() {
            Ok(base) => base,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(VaultError::NoRoot {
                    root: target.base.clone(),
                });
            }
            Err(error) => return Err(VaultError::system("look at", &target.base)(error)),
        };
        let below = target
            .root
            .strip_prefix(&target.base)
            .or_else(|_| target.root.strip_prefix(&base))
            .map_err(|_| escapes(&target.root, "it is not below"))?;
        if below.as_os_str().is_empty() {
            return Err(escapes(&target.root, "it is the base itself"));
        }
        let is_plain = |path: &Path| {
            let mut parts = path.components();
            parts.all(|part| matches!(part, Component::Normal(_)))
        };
        if !is_plain(below) || !is_plain(&target.home) || target.home.as_os_str().is_empty() {
            return Err(escapes(
                &target.root.join(&target.home),
                "it has `..` or `.` in it, or no name",
            ));
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut walked = base;
        let mut folder =
            open(&walked, flags, Mode::empty()).map_err(VaultError::system("open", &walked))?;
        for part in below.components().chain(target.home.components()) {
            walked.push(part);
            folder = match openat(&folder, part.as_os_str(), flags, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::ENOENT) => return Err(VaultError::NoRoot { root: walked }),
                // Linux says the second of a link that must be a folder, FreeBSD the last of any link.
                Err(Errno::ELOOP | Errno::ENOTDIR | Errno::EMLINK) => {
                    return Err(escapes(&walked, "it is a link, or no folder"));
                }
                Err(error) => return Err(VaultError::system("open", &walked)(error)),
            };
        }
        Ok(Self { target, folder })
    }

    fn path(&self) -> PathBuf {
        self.target.root.join(&self.target.home).join(NAME)
    }

    fn system<E: Into<io::Error>>(
        &self,
        what: &'static str,
    ) -> impl FnOnce(E) -> VaultError + use<E> {
        VaultError::system(what, &self.path())
    }

    /// Opens what is there, which must be a file that has this name alone.
    fn look(&self) -> Result<Option<File>, VaultError> {
        let in_the_way = |what| VaultError::TargetInTheWay {
            path: self.path(),
            what,
        };
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(&self.folder, NAME, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP | Errno::EMLINK) => return Err(in_the_way("a symbolic link")),
            Err(Errno::ENXIO | Errno::EOPNOTSUPP) => {
                return Err(in_the_way("a socket or a device"));
            }
            Err(error) => return Err(self.system("open")(error)),
        };
        let meta = file.metadata().map_err(self.system("look at"))?;
        if meta.is_dir() {
            return Err(in_the_way("a folder"));
        }
        if !meta.is_file() {
            return Err(in_the_way("a FIFO or a device"));
        }
        if meta.nlink() != 1 {
            return Err(in_the_way("a file with another name besides, a hard link"));
        }
        Ok(Some(file))
    }

    fn read(&self) -> Result<Option<Old>, VaultError> {
        let Some(file) = self.look()? else {
            return Ok(None);
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
        (&file)
            .take(MAX_FILE as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(self.system("read"))?;
        Ok(Some(Old { file, bytes }))
    }

    fn fault(&self, line: usize, why: String) -> VaultError {
        VaultError::EnvFile {
            path: self.path(),
            line,
            why,
        }
    }

    /// Refuses one of which there is more than was read.
    fn is_whole(&self, old: &Old) -> Result<(), VaultError> {
        if old.bytes.len() > MAX_FILE {
            let why = format!("the file has more than {MAX_FILE} bytes");
            return Err(self.fault(1, why));
        }
        Ok(())
    }

    fn secrets(&self, old: &Old) -> Result<Vec<(SecretName, SecretString)>, VaultError> {
        self.is_whole(old)?;
        // A value with another character in the place of what is none would be another value.
        let text = str::from_utf8(&old.bytes).map_err(|error| {
            let before = &old.bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            self.fault(line, "it has bytes that are no UTF-8".to_owned())
        })?;
        env::read(text).map_err(|fault| self.fault(fault.line, fault.why))
    }

    /// Puts a text in the place of the old one; where it is the same, only owner and mode are mended.
    fn put(&self, old: Option<Old>, text: &SecretString) -> Result<(), VaultError> {
        let len = text.expose_secret().len();
        if len > MAX_FILE {
            return Err(VaultError::Item {
                item: format!("list of `{}`", self.path().display()),
                why: format!("makes an `.env` of {len} bytes, and {MAX_FILE} are the most"),
            });
        }
        if let Some(old) = old
            && *old.bytes == text.expose_secret().as_bytes()
        {
            return self.mend(&old.file);
        }
        self.remove_new()?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let mut file = openat(&self.folder, NEW, flags, mode)
            .map(File::from)
            .map_err(self.system("make the new"))?;
        let written = self.fill(&mut file, text).and_then(|()| {
            renameat(&self.folder, NEW, &self.folder, NAME).map_err(self.system("replace"))
        });
        if let Err(error) = written {
            let _ = self.remove_new();
            return Err(error);
        }
        nix::unistd::fsync(&self.folder).map_err(self.system("sync the folder of"))?;
        let ours = file.metadata().map_err(self.system("look at"))?;
        let there = self.look()?.and_then(|there| there.metadata().ok());
        match there {
            Some(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => Ok(()),
            _ => Err(VaultError::TargetInTheWay {
                path: self.path(),
                what: "something that was put there while it was written",
            }),
        }
    }

    fn fill(&self, file: &mut File, text: &SecretString) -> Result<(), VaultError> {
        file.write_all(text.expose_secret().as_bytes())
            .map_err(self.system("write"))?;
        self.mend(file)?;
        file.sync_all().map_err(self.system("sync"))
    }

    /// Owner and mode as they must be.
    fn mend(&self, file: &File) -> Result<(), VaultError> {
        let meta = file.metadata().map_err(self.system("look at"))?;
        if (meta.uid(), meta.gid()) != (self.target.uid, self.target.gid) {
            fchown(file, Some(self.target.uid), Some(self.target.gid))
                .map_err(self.system("give the agent"))?;
        }
        if meta.mode() & 0o7777 != 0o600 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))
                .map_err(self.system("set the mode of"))?;
        }
        Ok(())
    }

    /// Removes what a power cut left.
    fn remove_new(&self) -> Result<(), VaultError> {
        match unlinkat(&self.folder, NEW, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(self.system("remove what is left of")(error)),
        }
    }
}

#[cfg(test)]
mod tests;
