//! One flow at a time: `bw` mixes up what two do in one folder.
//!
//! The lock is the kernel's, on an open file, and its holder's name stands in that file. `bw` gets the same open file as
//! its standard input, so when who started it is killed, the lock stays with `bw`, and who comes next knows whom to end.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::VaultError;

/// From one try to the next.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// The lock, while it is held.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

/// What its file says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Holder {
    /// Its process.
    pid: Option<i32>,
    /// Its program.
    name: String,
    /// The process group of the `bw` that runs for it.
    bw: Option<i32>,
}

impl Lock {
    /// Takes it, or gives up after `limit`.
    pub(crate) fn take(path: &Path, limit: Duration) -> Result<Self, VaultError> {
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(VaultError::system("make", folder))?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
            .open(path)
            .map_err(VaultError::system("open", path))?;
        let mut lock = Self {
            file,
            path: path.to_owned(),
        };
        let started = Instant::now();
        loop {
            match lock.file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if started.elapsed() < limit => {
                    lock.end_orphan();
                    thread::sleep(TRY_AGAIN);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(VaultError::Busy {
                        path: path.to_owned(),
                        holder: lock.holder().shown(),
                        waited: started.elapsed(),
                    });
                }
                Err(TryLockError::Error(source)) => {
                    return Err(VaultError::system("lock", path)(source));
                }
            }
        }
        lock.note(None)?;
        Ok(lock)
    }

    /// The open file, for `bw` to inherit; it stands at its end, so there is nothing in it to be read.
    pub(crate) fn inherited(&self) -> Result<File, VaultError> {
        self.file
            .try_clone()
            .map_err(VaultError::system("hand on", &self.path))
    }

    /// Writes down who holds it, and which `bw` runs for it.
    pub(crate) fn note(&mut self, bw: Option<i32>) -> Result<(), VaultError> {
        let name = std::env::current_exe().ok();
        let name = name.as_deref().and_then(Path::file_name);
        let mut text = format!(
            "{} {}\n",
            std::process::id(),
            name.unwrap_or_default().to_string_lossy()
        );
        if let Some(bw) = bw {
            text.push_str(&format!("bw {bw}\n"));
        }
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .and_then(|_| self.file.write_all(text.as_bytes()))
            .map_err(VaultError::system("write", &self.path))
    }

    fn holder(&self) -> Holder {
        let mut text = String::new();
        // A descriptor of its own: the offset of ours is the one that `bw` has.
        let _ = File::open(&self.path).and_then(|file| file.take(1024).read_to_string(&mut text));
        Holder::parse(&text)
    }

    /// Ends the `bw` of a holder that is dead: it is what still has the lock.
    fn end_orphan(&self) {
        let holder = self.holder();
        if let (Some(pid), Some(bw)) = (holder.pid, holder.bw)
            && !is_alive(pid)
        {
            tracing::warn!(holder = pid, bw, "a bw whose starter was killed is ended");
            let _ = killpg(Pid::from_raw(bw), Signal::SIGKILL);
        }
    }
}

impl Holder {
    fn parse(text: &str) -> Self {
        let mut holder = Self::default();
        let number = |text: &str| text.parse().ok().filter(|&number: &i32| number > 1);
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("bw", group)) => holder.bw = number(group),
                Some((pid, name)) => (holder.pid, holder.name) = (number(pid), name.to_owned()),
                None => {}
            }
        }
        holder
    }

    fn shown(&self) -> String {
        let name = if self.name.is_empty() {
            "a process"
        } else {
            &self.name
        };
        match self.pid {
            Some(pid) if is_alive(pid) => format!("{name} (process {pid})"),
            Some(pid) => format!("a bw that {name} (process {pid}, which is gone) started"),
            None => "a process that does not say who it is".to_owned(),
        }
    }
}

fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    #[test]
    fn the_second_waits_and_then_says_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/lock");
        let first = Lock::take(&path, Duration::ZERO).unwrap();
        let error = Lock::take(&path, Duration::from_millis(120)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&format!("(process {})", std::process::id())),
            "{text}"
        );
        assert!(error.is_worth_retrying());
        drop(first);
        Lock::take(&path, Duration::ZERO).unwrap();
        let mode = std::fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
            0o700
        );
    }

    #[test]
    fn the_bw_of_a_dead_holder_is_ended_and_of_a_living_one_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let mut dead = Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        for (holder, is_ended) in [(std::process::id(), false), (dead.id(), true)] {
            let mut lock = Lock::take(&path, Duration::from_secs(5)).unwrap();
            let mut bw = Command::new("sleep")
                .arg("60")
                .stdin(Stdio::from(lock.inherited().unwrap()))
                .process_group(0)
                .spawn()
                .unwrap();
            lock.note(Some(bw.id() as i32)).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.replacen(&std::process::id().to_string(), &holder.to_string(), 1);
            std::fs::write(&path, text).unwrap();
            // Its starter is gone, but `bw` has the lock.
            drop(lock);
            let taken = Lock::take(&path, Duration::from_millis(400));
            // Reaping it is what its starter would have done.
            if is_ended {
                bw.wait().unwrap();
            } else {
                assert!(taken.is_err());
                bw.kill().unwrap();
                bw.wait().unwrap();
            }
            Lock::take(&path, Duration::from_secs(5)).unwrap();
        }
    }

    #[test]
    fn nonsense_in_the_file_names_nobody() {
        for text in ["", "x", "-1 a\nbw 0\n", "bw 1\n", "\0\n"] {
            let holder = Holder::parse(text);
            assert_eq!((holder.pid, holder.bw), (None, None), "{text:?}");
        }
    }
}
