//! A program that runs in no jail, for tests of who uses jails: everything but the walls.

use std::io;
use std::process::Child;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::Running;
use crate::face::Group;

/// The process group that a child leads.
#[derive(Debug)]
struct Led(Pid);

impl Group for Led {
    fn kill(&self) -> io::Result<()> {
        match killpg(self.0, Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn clear(&self) -> io::Result<()> {
        self.kill()
    }
}

impl Running {
    /// A child that was started as the leader of its own process group, which is all that is ended with it.
    pub fn outside_of_jails(child: Child) -> Self {
        let leader = Pid::from_raw(child.id().cast_signed());
        Self {
            child,
            group: Arc::new(Led(leader)),
        }
    }
}
