//! How many clients there may be. Root has seats of its own, so that nobody can keep it out.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::Limits;

/// Root's seats.
const OF_ROOT: u32 = 8;

/// All seats.
#[derive(Debug)]
pub(crate) struct Seats {
    most: [u32; 3],
    taken: Mutex<[u32; 3]>,
    left: Condvar,
}

/// Which seats: root's, the other account's, those of agents' connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    Root,
    Client,
    Agent,
}

/// A seat; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    row: Row,
}

impl Seats {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            most: [OF_ROOT, limits.clients, limits.agents],
            taken: Mutex::new([0; 3]),
            left: Condvar::new(),
        })
    }

    /// A seat, `None` when the row is full.
    pub(crate) fn take(self: &Arc<Self>, row: Row) -> Option<Seat> {
        let at = row as usize;
        let mut taken = self.taken();
        if taken[at] >= self.most[at] {
            return None;
        }
        taken[at] += 1;
        Some(Seat {
            seats: Arc::clone(self),
            row,
        })
    }

    /// How many the row has.
    pub(crate) fn most(&self, row: Row) -> u32 {
        self.most[row as usize]
    }

    /// Waits until all seats are empty; how many are not when the time is over.
    pub(crate) fn wait_until_empty(&self, patience: Duration) -> u32 {
        let (taken, _) = self
            .left
            .wait_timeout_while(self.taken(), patience, |taken| *taken != [0; 3])
            .unwrap_or_else(PoisonError::into_inner);
        taken.iter().sum()
    }

    fn taken(&self) -> MutexGuard<'_, [u32; 3]> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken()[self.row as usize] -= 1;
        self.seats.left.notify_all();
    }
}
