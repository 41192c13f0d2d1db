//! The wish to stop, as something that can be polled for.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::failure::Failure;

/// Readable from the moment on at which stopping was asked for, for everybody and for good: nobody reads it.
#[derive(Debug)]
pub(crate) struct Stop {
    asked: UnixStream,
    ask: UnixStream,
}

impl Stop {
    /// Nobody has asked yet.
    ///
    /// # Errors
    /// When the system has no socket to give.
    pub(crate) fn new() -> Result<Self, Failure> {
        let (asked, ask) =
            UnixStream::pair().map_err(|error| Failure::io("make", "a pair of sockets", error))?;
        Ok(Self { asked, ask })
    }

    /// Asked for by SIGTERM and SIGINT. SIGHUP, which some send to every service, does nothing: there are
    /// only flags, and they are read at start.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub(crate) fn on_signals() -> Result<Self, Failure> {
        let stop = Self::new()?;
        for (signal, name) in [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")] {
            stop.ask
                .try_clone()
                .and_then(|ask| signal_hook::low_level::pipe::register(signal, ask))
                .map_err(|error| Failure::io("listen for", name, error))?;
        }
        signal_hook::flag::register(SIGHUP, Arc::new(AtomicBool::new(false)))
            .map_err(|error| Failure::io("listen for", "SIGHUP", error))?;
        Ok(stop)
    }

    /// Asks everybody to stop, as a signal would.
    #[cfg(test)]
    pub(crate) fn ask(&self) {
        // A full socket was written to, which is as good.
        let _ = std::io::Write::write(&mut &self.ask, b"!");
    }

    /// Waits until one of these can be read or has ended, stopping is asked for, or the time is over, and says
    /// which.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn wait_for(
        &self,
        fds: &[BorrowedFd<'_>],
        until: Option<Instant>,
    ) -> nix::Result<Woken> {
        let mut polled: Vec<PollFd> = std::iter::once(self.asked.as_fd())
            .chain(fds.iter().copied())
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match poll(&mut polled, timeout(left)) {
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
                Ok(_) => {}
            }
            let ready = |polled: &PollFd| polled.any().unwrap_or(true);
            if ready(&polled[0]) {
                return Ok(Woken::ToStop);
            }
            if let Some(at) = polled[1..].iter().position(ready) {
                return Ok(Woken::By(at));
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Ok(Woken::InTime);
            }
        }
    }
}

/// Rounded up: a wait that ends too early would only be begun again.
fn timeout(left: Option<Duration>) -> PollTimeout {
    left.map_or(PollTimeout::NONE, |left| {
        let left = left.saturating_add(Duration::from_micros(999));
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    })
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Stopping was asked for.
    ToStop,
    /// By this one of those that were waited for.
    By(usize),
    /// The time is over.
    InTime,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn waits_end_by_what_comes_first_and_for_good_by_the_wish_to_stop() {
        let stop = Stop::new().unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let soon = || Some(Instant::now() + Duration::from_millis(30));
        assert_eq!(stop.wait_for(&[theirs.as_fd()], soon()), Ok(Woken::InTime));
        ours.write_all(b"x").unwrap();
        assert_eq!(stop.wait_for(&[theirs.as_fd()], None), Ok(Woken::By(0)));
        stop.ask();
        for _ in 0..2 {
            assert_eq!(stop.wait_for(&[theirs.as_fd()], None), Ok(Woken::ToStop));
        }
    }
}
