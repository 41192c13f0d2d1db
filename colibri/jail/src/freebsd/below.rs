//! All that lives below a process that orphans come to, and its end.
//!
//! The kernel answers whoever asks what lives below a process that orphans do not come to with what lives below the
//! one that they come to instead: process 1 as a rule, and so with the whole host. So nothing that it lists is killed
//! unless the process was one that orphans come to both before and after it was listed.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::face::Group;

/// How long killed processes may take to end, and one just started to become one that orphans come to.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// What the kernel says of processes, and does to them.
pub(super) trait Processes: Send + Sync + fmt::Debug {
    /// Whom the orphans below this process come to: itself, or another; `None`: it has ended.
    fn reaper(&self, process: Pid) -> io::Result<Option<Pid>>;
    /// All that lives below the one whom the orphans below this process come to; nothing when it has ended.
    fn below(&self, process: Pid) -> io::Result<Vec<Pid>>;
    /// Kills one; that it has ended is no error.
    fn kill(&self, process: Pid);
}

/// All that lives below a child of ours that makes itself one that orphans come to, some time after its start.
#[derive(Debug)]
pub(super) struct Below<P> {
    processes: P,
    leader: Pid,
    /// The child was waited for: its number may be another's.
    waited_for: AtomicBool,
}

impl<P: Processes> Below<P> {
    pub(super) fn new(processes: P, leader: Pid) -> Self {
        Self {
            processes,
            leader,
            waited_for: AtomicBool::new(false),
        }
    }

    fn is_ours(&self, reaper: Option<Pid>) -> bool {
        reaper == Some(self.leader) && !self.waited_for.load(Ordering::Acquire)
    }
}

impl<P: Processes> Group for Below<P> {
    fn kill(&self) -> io::Result<()> {
        let began = Instant::now();
        // It ends by itself when nothing is left below it. When it is gone, so is what was below.
        while !self.waited_for.load(Ordering::Acquire) {
            let Some(reaper) = self.processes.reaper(self.leader)? else {
                break;
            };
            if self.is_ours(Some(reaper)) {
                let below = self.processes.below(self.leader)?;
                if !below.is_empty() && self.is_ours(self.processes.reaper(self.leader)?) {
                    below.into_iter().for_each(|pid| self.processes.kill(pid));
                    break;
                }
            }
            // It has started nothing yet, or is about to end.
            if began.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn clear(&self) -> io::Result<()> {
        // It has seen to the rest before its end.
        self.waited_for.store(true, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const LEADER: i32 = 700;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).unwrap()
    }

    /// Answers of the kernel's: whom orphans come to at each look, the last one for good.
    #[derive(Debug)]
    struct Played {
        reapers: Mutex<Vec<Option<i32>>>,
        /// Below the leader.
        below: Vec<i32>,
        killed: Mutex<Vec<i32>>,
    }

    impl Played {
        fn now(&self) -> Option<i32> {
            self.reapers.lock().unwrap()[0]
        }
    }

    impl Processes for &'static Played {
        fn reaper(&self, process: Pid) -> io::Result<Option<Pid>> {
            assert_eq!(process, pid(LEADER));
            let mut reapers = self.reapers.lock().unwrap();
            let now = reapers[0];
            if reapers.len() > 1 {
                reapers.remove(0);
            }
            Ok(now.map(pid))
        }

        fn below(&self, _: Pid) -> io::Result<Vec<Pid>> {
            let below = match self.now() {
                Some(1) => vec![2, 300, LEADER, 9999],
                Some(LEADER) => self.below.clone(),
                None => Vec::new(),
                other => panic!("{other:?}"),
            };
            Ok(below.into_iter().map(pid).collect())
        }

        fn kill(&self, process: Pid) {
            let mut killed = self.killed.lock().unwrap();
            killed.push(process.as_raw_nonzero().get());
        }
    }

    fn played(reapers: &[Option<i32>], below: &[i32]) -> (Below<&'static Played>, &'static Played) {
        let played: &_ = Box::leak(Box::new(Played {
            reapers: Mutex::new(reapers.to_vec()),
            below: below.to_vec(),
            killed: Mutex::default(),
        }));
        (Below::new(played, pid(LEADER)), played)
    }

    #[track_caller]
    fn killed(reapers: &[Option<i32>], below: &[i32]) -> Vec<i32> {
        let (group, played) = played(reapers, below);
        group.kill().unwrap();
        played.killed.lock().unwrap().clone()
    }

    #[test]
    fn what_is_below_it_is_killed_and_nothing_else() {
        let own = Some(LEADER);
        assert_eq!(killed(&[own], &[701, 702]), [701, 702]);
        // Just started: orphans come to process 1 still, as on all of the host.
        assert_eq!(killed(&[Some(1), Some(1), own], &[701]), [701]);
        assert_eq!(killed(&[Some(1), None], &[701]), [0; 0]);
        // It has started nothing, and ends.
        assert_eq!(killed(&[own, own, None], &[]), [0; 0]);
        // It ended, and its number was given to another while that was asked.
        assert_eq!(killed(&[own, Some(1), Some(1), None], &[701]), [0; 0]);
    }

    #[test]
    fn a_number_that_was_waited_for_is_nobodys() {
        for reaper in [1, LEADER] {
            let (group, played) = played(&[Some(reaper)], &[701]);
            group.clear().unwrap();
            group.kill().unwrap();
            assert_eq!(played.killed.lock().unwrap()[..], [0; 0]);
        }
    }
}
