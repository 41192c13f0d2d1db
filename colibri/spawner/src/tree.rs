//! The processes below this one, however far they have gone away.
//!
//! A process that made itself *reaper* is given every orphan below it, where
//! otherwise process 1 would be. So whoever was started by us, directly or not,
//! has us among its forebears for as long as it lives: no double fork, no
//! `setsid` gets out of that. (FreeBSD: unless it releases itself as a reaper of
//! its own, and then what it leaves behind comes to us when it ends.)

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::io::Errno;
use rustix::process::WaitOptions;

use crate::Ending;

pub(crate) use system::{become_reaper, descendants};

/// How long we try to end processes that do not go away. SIGKILL is not
/// refused; but a process may wait for a device, or belong to another account.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends everything below us, and reports each child of ours whose end it took
/// note of. Gives back those that are still there.
pub(crate) fn end_all(mut gone: impl FnMut(Pid, Ending)) -> io::Result<Vec<i32>> {
    end(|_| true, &mut || {
        reap(&mut gone);
    })
}

/// Takes note of every child of ours that has ended. Says whether there are
/// others; when there are none, nothing lives below us any more.
pub(crate) fn reap(mut gone: impl FnMut(Pid, Ending)) -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let how = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Ending::Code(code),
                    (None, Some(signal)) => Ending::Signal(signal),
                    (None, None) => continue,
                };
                gone(Pid::from_raw(pid.as_raw_nonzero().get()), how);
            }
            Ok(None) => return true,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Ends what came to us from a dead leash: every child that was not started in
/// our session and is not in `known`, with all that is below it.
///
/// A leash begins a session of its own, which is how we know them: nobody can
/// join another's session, so no process of ours is ever taken for theirs.
pub(crate) fn end_adopted(known: impl Fn() -> HashSet<i32>) -> io::Result<Vec<i32>> {
    let ours = nix::unistd::getsid(None).ok();
    let foreign = |pid: Pid| {
        !known().contains(&pid.as_raw())
            && nix::unistd::getsid(Some(pid)).is_ok_and(|session| Some(session) != ours)
    };
    let adopted = std::cell::RefCell::new(HashSet::new());
    end(
        |pid| {
            let taken = foreign(pid);
            if taken {
                adopted.borrow_mut().insert(pid);
            }
            taken
        },
        &mut || {
            // One by one: a wait for anybody would take the daemon's other
            // children from those who wait for them.
            adopted.borrow_mut().retain(|&pid: &Pid| {
                let pid = rustix::process::Pid::from_raw(pid.as_raw());
                matches!(
                    rustix::process::waitpid(pid, WaitOptions::NOHANG),
                    Ok(None) | Err(Errno::INTR)
                )
            });
        },
    )
}

/// Kills until nothing is found below the chosen children. One pass is not
/// enough: between looking and killing a process may start another.
fn end(chosen: impl Fn(Pid) -> bool, reap: &mut dyn FnMut()) -> io::Result<Vec<i32>> {
    let began = Instant::now();
    let mut pause = Duration::from_micros(500);
    loop {
        reap();
        let found = descendants(&chosen)?;
        if found.is_empty() {
            // The last may have become our children, as zombies, just now.
            reap();
            return Ok(Vec::new());
        }
        if began.elapsed() > PATIENCE {
            return Ok(found.iter().map(|process| process.pid.as_raw()).collect());
        }
        for process in found {
            process.kill();
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::*;
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    use std::collections::HashMap;

    /// A process, and when it began, so that another that was given its number
    /// is not taken for it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Process {
        pub(crate) pid: Pid,
        began: u64,
    }

    impl Process {
        /// SIGKILL for this very process. What fails is found again on the next pass.
        pub(crate) fn kill(self) {
            let Some(pid) = rustix::process::Pid::from_raw(self.pid.as_raw()) else {
                return;
            };
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(process) => {
                    // The number is held now; is it still the same process?
                    if stat(self.pid).is_some_and(|stat| stat.began == self.began) {
                        let _ = pidfd_send_signal(process, rustix::process::Signal::KILL);
                    }
                }
                Err(rustix::io::Errno::SRCH) => {}
                // A sandbox without this system call.
                Err(_) => {
                    let _ = kill(self.pid, Signal::SIGKILL);
                }
            }
        }
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Stat {
        parent: i32,
        began: u64,
        ended: bool,
    }

    /// Makes this process the one that orphans below it come to.
    pub(crate) fn become_reaper() -> io::Result<()> {
        Ok(nix::sys::prctl::set_child_subreaper(true)?)
    }

    /// The living processes below those of our children that are chosen, they
    /// themselves included.
    pub(crate) fn descendants(chosen: impl Fn(Pid) -> bool) -> io::Result<Vec<Process>> {
        let mut all = HashMap::new();
        for entry in std::fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok());
            if let Some(pid) = pid
                && let Some(stat) = stat(Pid::from_raw(pid))
            {
                all.insert(pid, stat);
            }
        }
        let me = std::process::id().cast_signed();
        let mut below: HashMap<i32, Vec<i32>> = HashMap::new();
        for (&pid, stat) in &all {
            below.entry(stat.parent).or_default().push(pid);
        }
        let mut next = below.remove(&me).unwrap_or_default();
        next.retain(|&pid| chosen(Pid::from_raw(pid)));
        let mut found = Vec::new();
        while let Some(pid) = next.pop() {
            next.extend(below.remove(&pid).unwrap_or_default());
            if let Some(stat) = all.get(&pid)
                && !stat.ended
            {
                found.push(Process {
                    pid: Pid::from_raw(pid),
                    began: stat.began,
                });
            }
        }
        Ok(found)
    }

    fn stat(pid: Pid) -> Option<Stat> {
        parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Reads `pid (name) state parent …`; the name may hold anything, also `)`.
    fn parse(stat: &[u8]) -> Option<Stat> {
        let at = stat.iter().rposition(|&byte| byte == b')')?;
        let mut fields = std::str::from_utf8(&stat[at + 1..])
            .ok()?
            .split_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        // proc(5): the parent is field 4, the time of the start field 22.
        let began = fields.nth(17)?.parse().ok()?;
        Some(Stat {
            parent,
            began,
            ended: matches!(state, "Z" | "X" | "x"),
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_name_may_look_like_fields() {
            let line =
                b"42 (a) Z 1 (b\xff) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876 1 2";
            assert_eq!(
                parse(line),
                Some(Stat {
                    parent: 7,
                    began: 9876,
                    ended: false
                })
            );
            assert_eq!(parse(b"42 (a) Z"), None);
            assert_eq!(parse(b""), None);
        }

        #[test]
        fn a_child_is_found_and_nobody_else() {
            let mut child = std::process::Command::new("/bin/sleep")
                .arg("60")
                .spawn()
                .unwrap();
            let pid = child.id().cast_signed();
            let found = descendants(|child| child.as_raw() == pid).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].pid.as_raw(), pid);
            let other = Process {
                began: found[0].began + 1,
                ..found[0]
            };
            other.kill();
            assert!(child.try_wait().unwrap().is_none());
            found[0].kill();
            child.wait().unwrap();
        }
    }
}

#[cfg(target_os = "freebsd")]
mod system {
    use super::*;
    use rustix::process::{PidInfoFlags, get_reaper_pids, set_reaper_status};

    /// A process.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Process {
        pub(crate) pid: Pid,
    }

    impl Process {
        /// SIGKILL. `PROC_REAP_KILL` would spare the moment between looking and
        /// killing, but knows no exceptions among our children, and numbers are
        /// not given out again in order here.
        pub(crate) fn kill(self) {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }

    /// Makes this process the one that orphans below it come to.
    pub(crate) fn become_reaper() -> io::Result<()> {
        match set_reaper_status(true) {
            // It was one before.
            Ok(()) | Err(rustix::io::Errno::BUSY) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The living processes below those of our children that are chosen, they
    /// themselves included. Those below another reaper come to us when it ends.
    pub(crate) fn descendants(chosen: impl Fn(Pid) -> bool) -> io::Result<Vec<Process>> {
        let found = get_reaper_pids(None)?;
        Ok(found
            .into_iter()
            .filter(|info| !info.flags.contains(PidInfoFlags::ZOMBIE))
            .filter(|info| chosen(Pid::from_raw(info.subtree.as_raw_nonzero().get())))
            .map(|info| Process {
                pid: Pid::from_raw(info.pid.as_raw_nonzero().get()),
            })
            .collect())
    }
}
