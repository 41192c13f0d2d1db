//! How a program is started in a jail.
//!
//! Our own program is started once more, joins the jail (its control group, its namespaces, its root), gives up everything
//! that the agent is not to have, and starts the program, which is the first that belongs to the jail's
//! processes. So nothing in the jail is trusted or even run before there is no privilege left; and the one that entered
//! is not among the processes that the jail sees.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;

use nix::sched::{CloneFlags, setns};
use nix::unistd::{Gid, Uid, chdir, chroot, fchdir, setgroups, setresgid, setresuid, setsid};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::thread::CapabilitySet;

use super::cgroup::{Program, Unit};
use super::filter;
use crate::JailError;
use crate::enter::{NOT_ENTERED, run_to_end, say, start_own};
use crate::face::{Exec, Group, Running};
use crate::numbers::AGENT;

/// Starts a program in a jail whose process 1 is `leader`.
pub(super) fn start(
    unit: &Unit,
    leader: i32,
    exec: &Exec,
    stdio: [OwnedFd; 3],
) -> Result<Running, JailError> {
    let program = unit.program()?;
    let own = Path::new("/proc/self/exe");
    let number = OsString::from(leader.to_string());
    let first = [&*number, program.folder().as_os_str()];
    let child = match start_own(own, &first, exec, stdio) {
        Ok(child) => child,
        Err(error) => {
            program.remove()?;
            return Err(JailError::files("cannot run", own)(error));
        }
    };
    running(child, program)
}

/// What stands for a child that is to join the group.
fn running(mut child: Child, program: Program) -> Result<Running, JailError> {
    match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
        Ok(leader) => Ok(Running {
            child,
            group: Arc::new(Entered { program, leader }),
        }),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            program.remove()?;
            Err(JailError::files("cannot watch", "a program")(error))
        }
    }
}

/// Our own program that enters, and the group that it joins by itself some time after its start. Until then there
/// is nothing in the group that could be killed.
#[derive(Debug)]
struct Entered {
    program: Program,
    leader: OwnedFd,
}

impl Group for Entered {
    fn kill(&self) -> io::Result<()> {
        // It first, so that nothing joins the group, or is started in it, once that was killed.
        let killed = pidfd_send_signal(&self.leader, Signal::KILL);
        self.program.kill()?;
        match killed {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn clear(&self) -> io::Result<()> {
        self.program.clear()
    }
}

/// Joins the jail and runs the program; for [`crate::enter`], with what follows the word.
pub(crate) fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    close_inherited();
    let entered = Arguments::parse(args).and_then(|arguments| {
        arguments.enter()?;
        Ok(arguments)
    });
    let status = match entered {
        Ok(arguments) => {
            let mut command = Command::new(&arguments.program);
            command.args(&arguments.args);
            run_to_end(command)
        }
        Err(message) => {
            say(&message);
            NOT_ENTERED
        }
    };
    ExitCode::from(status)
}

#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    leader: i32,
    group: PathBuf,
    cwd: PathBuf,
    program: PathBuf,
    args: Vec<OsString>,
}

impl Arguments {
    fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut next = || args.next().ok_or("only colibri-hostd runs this");
        let leader = next()?.to_str().and_then(|pid| pid.parse().ok());
        Ok(Self {
            leader: leader.ok_or("the leader is no process number")?,
            group: next()?.into(),
            cwd: next()?.into(),
            program: next()?.into(),
            args: args.collect(),
        })
    }

    /// From root on the host to the jail's agent.
    fn enter(&self) -> Result<(), String> {
        let step =
            |what: &'static str| move |error: &dyn std::fmt::Display| format!("{what}: {error}");
        let pid = Pid::from_raw(self.leader).ok_or("the leader is no process number")?;
        let leader =
            pidfd_open(pid, PidfdFlags::empty()).map_err(|error| step("the jail ended")(&error))?;
        // Looked at while its number is held: if it has ended in between, joining fails below.
        let cgroup = std::fs::read_to_string(format!("/proc/{}/cgroup", self.leader))
            .map_err(|error| step("the jail ended")(&error))?;
        if !self.belongs(&cgroup) {
            return Err("the leader is not of this jail".into());
        }
        let root = rustix::fs::open(
            format!("/proc/{}/root", self.leader),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|error| step("the jail ended")(&error))?;
        // First of all: from here on whoever ends the program ends this too.
        std::fs::write(self.group.join("cgroup.procs"), "0")
            .map_err(|error| step("cannot join the control group")(&error))?;
        setns(
            &leader,
            CloneFlags::CLONE_NEWUSER
                | CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWPID
                | CloneFlags::CLONE_NEWIPC
                | CloneFlags::CLONE_NEWUTS
                | CloneFlags::CLONE_NEWCGROUP,
        )
        .map_err(|error| step("cannot join the namespaces")(&error))?;
        fchdir(&root)
            .and_then(|()| chroot("."))
            .and_then(|()| chdir("/"))
            .map_err(|error| step("cannot enter the root")(&error))?;
        drop((root, leader));
        setsid().map_err(|error| step("cannot begin a session")(&error))?;
        drop_capabilities().map_err(|error| step("cannot drop capabilities")(&error))?;
        let (uid, gid) = (Uid::from_raw(AGENT), Gid::from_raw(AGENT));
        setgroups(&[])
            .and_then(|()| setresgid(gid, gid, gid))
            .and_then(|()| setresuid(uid, uid, uid))
            .map_err(|error| step("cannot become the agent")(&error))?;
        chdir(&self.cwd).map_err(|error| step("cannot enter the agent's folder")(&error))?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        filter::apply().map_err(|error| step("cannot apply the filter")(&error))
    }

    /// Whether a process with this `/proc/PID/cgroup` is in the unit that the program's group is in.
    fn belongs(&self, cgroup: &str) -> bool {
        let unit = self.group.parent();
        cgroup
            .lines()
            .filter_map(|line| line.strip_prefix("0::/"))
            .any(|path| {
                let leaders = Path::new("/sys/fs/cgroup").join(path);
                unit.is_some_and(|unit| leaders.starts_with(unit))
            })
    }
}

/// None of the capabilities that this kernel has can be had again.
fn drop_capabilities() -> Result<(), rustix::io::Errno> {
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // The kernel does not have so many.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    rustix::thread::clear_ambient_capability_set()
}

/// Whatever descriptors this was started with, the agent gets the first three.
fn close_inherited() {
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        // Collected first: the folder itself is one of them until then.
        let open: Vec<i32> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|&fd| fd > 2)
            .collect();
        for fd in open {
            let _ = nix::unistd::close(fd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(words.iter().map(OsString::from))
    }

    const GROUP: &str = "/sys/fs/cgroup/colibri.slice/colibri-jail@main.service/exec-9-0";

    #[test]
    fn a_leader_of_another_unit_is_refused() {
        let arguments = arguments(&["42", GROUP, "/home/agent", "/usr/bin/x", "-a", "--"]).unwrap();
        assert_eq!((arguments.leader, arguments.args.len()), (42, 2));
        assert!(arguments.belongs("0::/colibri.slice/colibri-jail@main.service/payload\n"));
        for other in [
            "0::/colibri.slice/colibri-jail@main2.service/payload\n",
            "0::/colibri.slice\n",
            "0::/\n",
            "1:cpu:/colibri.slice/colibri-jail@main.service/payload\n",
            "",
        ] {
            assert!(!arguments.belongs(other), "{other}");
        }
    }

    /// As the one that enters is, just after its start: not in the group.
    #[test]
    fn what_has_not_joined_its_group_yet_is_ended_too() {
        let folder = tempfile::tempdir().unwrap();
        let places = crate::Places::within(folder.path());
        let name = "colibri-jail@main.service";
        let slice = folder.path().join("sys/fs/cgroup/colibri.slice");
        std::fs::create_dir_all(slice.join(name)).unwrap();
        let program = || Unit::new(&places, name).program().unwrap();
        let child = || Command::new("sleep").arg("20").spawn().unwrap();
        let mut one = running(child(), program()).unwrap();
        one.ender().end().unwrap();
        assert_eq!(one.wait().unwrap(), 128 + 9);
        // It is gone, and so is its group.
        one.ender().end().unwrap();
        let other = running(child(), program()).unwrap();
        let begun = std::time::Instant::now();
        drop(other);
        assert!(begun.elapsed() < std::time::Duration::from_secs(10));
        assert_eq!(Unit::new(&places, name).programs().len(), 0);
    }

    #[test]
    fn what_is_missing_is_said() {
        assert!(arguments(&["x", GROUP, "/", "/bin/sh"]).is_err());
        assert!(arguments(&["42", GROUP, "/"]).is_err());
        let wrong = arguments(&["0", GROUP, "/", "/bin/sh"]).unwrap();
        assert!(wrong.enter().is_err());
    }
}
