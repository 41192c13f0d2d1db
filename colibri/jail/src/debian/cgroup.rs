//! Control groups: what tells whether a jail runs, and what ends all that a program has started.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use colibri_protocol::{TenantId, TenantLimits};
use nix::errno::Errno;

use super::{group_of, texts};
use crate::face::Group;
use crate::files::gone;
use crate::record::entries;
use crate::{JailError, Places};

/// How long killed processes may take to end: one may wait for a device.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the names of programs' groups begin with.
const PROGRAM: &str = "exec-";

/// The control group of a unit.
#[derive(Debug)]
pub(super) struct Unit {
    folder: PathBuf,
    proc: PathBuf,
}

/// The tenants whose units have a control group.
pub(super) fn tenants(places: &Places) -> Result<Vec<TenantId>, JailError> {
    let names = entries(&group_of(places, ""))?;
    Ok(names
        .iter()
        .filter_map(|name| {
            let name = name.strip_prefix("colibri-jail@")?;
            name.strip_suffix(".service")?.parse().ok()
        })
        .filter(|tenant| group_of(places, &texts::unit(tenant)).is_dir())
        .collect())
}

impl Unit {
    pub(super) fn new(places: &Places, unit: &str) -> Self {
        Self {
            folder: group_of(places, unit),
            proc: places.host("proc"),
        }
    }

    pub(super) fn is_there(&self) -> bool {
        self.folder.is_dir()
    }

    /// Process 1 of the jail, as the host numbers it; `None` while it does not run.
    pub(super) fn leader(&self) -> Result<Option<i32>, JailError> {
        for folder in [self.folder.join("payload"), self.folder.clone()] {
            let Some(processes) = peek(&folder.join("cgroup.procs"))? else {
                continue;
            };
            for pid in processes.lines().filter_map(|line| line.parse().ok()) {
                let status = peek(&self.proc.join(format!("{pid}/status")))?;
                if status.is_some_and(|status| is_leader(&status)) {
                    return Ok(Some(pid));
                }
            }
        }
        Ok(None)
    }

    /// Whether the kernel has these limits for it, but that of [`has_time`](Self::has_time).
    pub(super) fn has_limits(&self, limits: &TenantLimits) -> Result<bool, JailError> {
        let memory = u64::from(limits.memory_mib) << 20;
        for (file, limit) in [("memory.max", memory), ("pids.max", limits.tasks.into())] {
            let there = peek(&self.folder.join(file))?;
            if there.is_none_or(|there| there.trim() != limit.to_string()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the kernel has this limit of the processor's time for it: so much in so much.
    pub(super) fn has_time(&self, limits: &TenantLimits) -> Result<bool, JailError> {
        let there = peek(&self.folder.join("cpu.max"))?.unwrap_or_default();
        let mut numbers = there.split_whitespace().map(str::parse::<u64>);
        Ok(match (numbers.next(), numbers.next()) {
            (Some(Ok(time)), Some(Ok(of))) => time * 100 == of * u64::from(limits.cpu_percent),
            _ => false,
        })
    }

    /// Whether no process is in it.
    pub(super) fn is_empty(&self) -> Result<bool, JailError> {
        is_empty(&self.folder).map_err(JailError::files("cannot read", &self.folder))
    }

    /// A new group for a program.
    pub(super) fn program(&self) -> Result<Program, JailError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PROGRAM}{}-{number}", std::process::id());
        let folder = self.folder.join(name);
        match fs::create_dir(&folder) {
            // A process of our number ended without removing it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.program(),
            made => {
                made.map_err(JailError::files("cannot make", &folder))?;
                Ok(Program { folder })
            }
        }
    }

    /// The groups of programs that there are.
    pub(super) fn programs(&self) -> Vec<Program> {
        entries(&self.folder)
            .unwrap_or_default()
            .into_iter()
            .filter(|name| name.starts_with(PROGRAM))
            .map(|name| Program {
                folder: self.folder.join(name),
            })
            .collect()
    }
}

/// The control group of a program that was started in a jail. Whatever it starts is in it too, and cannot
/// leave: it is the host's root who owns the groups.
#[derive(Debug)]
pub(super) struct Program {
    folder: PathBuf,
}

impl Program {
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn remove(&self) -> Result<(), JailError> {
        self.clear()
            .map_err(JailError::files("cannot end the programs of", &self.folder))
    }
}

impl Group for Program {
    fn kill(&self) -> io::Result<()> {
        let kill = fs::File::options()
            .write(true)
            .open(self.folder.join("cgroup.kill"));
        match kill.and_then(|mut kill| io::Write::write_all(&mut kill, b"1")) {
            Err(error) if is_gone(&error) => Ok(()),
            killed => killed,
        }
    }

    fn clear(&self) -> io::Result<()> {
        self.kill()?;
        let began = Instant::now();
        let mut pause = Duration::from_millis(1);
        while !is_empty(&self.folder)? {
            if began.elapsed() > PATIENCE {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        gone(fs::remove_dir(&self.folder))
    }
}

fn is_empty(folder: &Path) -> io::Result<bool> {
    match fs::read_to_string(folder.join("cgroup.events")) {
        Ok(events) => Ok(!events.lines().any(|line| line == "populated 1")),
        Err(error) if is_gone(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Its process or group ended while it was opened or read.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || [Errno::ESRCH, Errno::ENODEV]
            .iter()
            .any(|&gone| error.raw_os_error() == Some(gone as i32))
}

fn peek(path: &Path) -> Result<Option<String>, JailError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(JailError::files("cannot read", path)(error)),
    }
}

/// Whether this is `/proc/PID/status` of a process that is 1 in a namespace below the host's.
fn is_leader(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .is_some_and(|pids| {
            let pids: Vec<&str> = pids.split_whitespace().collect();
            pids.len() > 1 && pids.last() == Some(&"1")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_known_by_its_number_inside() {
        assert!(is_leader(
            "Name:\t(sd-stubinit)\nPid:\t8302\nNSpid:\t8302\t1\n"
        ));
        // The sleeper beside it, nspawn itself, the host's own process 1, and one that calls itself so.
        for other in [
            "NSpid:\t8303\t2\n",
            "NSpid:\t8290\n",
            "NSpid:\t1\n",
            "Name:\tNSpid: 1 1\n",
            "",
        ] {
            assert!(!is_leader(other), "{other}");
        }
    }

    #[test]
    fn limits_are_read_as_the_kernel_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let unit = Unit {
            folder: folder.path().to_owned(),
            proc: folder.path().to_owned(),
        };
        let limits = TenantLimits::default();
        let has = || {
            (
                unit.has_limits(&limits).unwrap(),
                unit.has_time(&limits).unwrap(),
            )
        };
        assert_eq!(has(), (false, false));
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        write("memory.max", "2147483648\n");
        write("pids.max", "512\n");
        write("cpu.max", "200000 100000\n");
        assert_eq!(has(), (true, true));
        write("pids.max", "max\n");
        write("cpu.max", "max 100000\n");
        assert_eq!(has(), (false, false));
    }

    #[test]
    fn a_group_that_is_gone_is_empty_and_ended() {
        let folder = tempfile::tempdir().unwrap();
        let unit = Unit {
            folder: folder.path().join("colibri-jail@main.service"),
            proc: folder.path().into(),
        };
        assert!(!unit.is_there() && unit.is_empty().unwrap());
        assert_eq!(unit.leader().unwrap(), None);
        assert!(unit.program().is_err());
        fs::create_dir(&unit.folder).unwrap();
        let (one, two) = (unit.program().unwrap(), unit.program().unwrap());
        assert_ne!(one.folder(), two.folder());
        assert_eq!(unit.programs().len(), 2);
        one.clear().unwrap();
        one.clear().unwrap();
        fs::write(two.folder().join("cgroup.kill"), "").unwrap();
        two.kill().unwrap();
        assert_eq!(
            fs::read_to_string(two.folder().join("cgroup.kill")).unwrap(),
            "1"
        );
        assert_eq!(unit.programs().len(), 1);
    }
}
