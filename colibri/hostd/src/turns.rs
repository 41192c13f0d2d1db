//! One at a time: for each tenant, and for the vault.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who has a turn now, by what it is about.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    taken: Mutex<BTreeSet<T>>,
    given_back: Condvar,
}

/// A turn; given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a, T: Ord> {
    turns: &'a Turns<T>,
    about: T,
}

impl<T: Ord + Clone> Turns<T> {
    pub(crate) fn new() -> Self {
        Self {
            taken: Mutex::new(BTreeSet::new()),
            given_back: Condvar::new(),
        }
    }

    /// Waits for the turn, `None` when others take longer than this.
    pub(crate) fn take(&self, about: &T, patience: Duration) -> Option<Turn<'_, T>> {
        let (mut taken, waited) = self
            .given_back
            .wait_timeout_while(self.taken(), patience, |taken| taken.contains(about))
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && taken.contains(about) {
            return None;
        }
        taken.insert(about.clone());
        Some(Turn {
            turns: self,
            about: about.clone(),
        })
    }
}

impl<T> Turns<T> {
    fn taken(&self) -> MutexGuard<'_, BTreeSet<T>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Ord> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.turns.taken().remove(&self.about);
        self.turns.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn one_has_the_turn_and_others_are_not_in_its_way() {
        let turns = Turns::new();
        let first = turns.take(&"main", Duration::ZERO).unwrap();
        assert!(turns.take(&"main", Duration::from_millis(10)).is_none());
        assert!(turns.take(&"other", Duration::ZERO).is_some());
        drop(first);
        assert!(turns.take(&"main", Duration::ZERO).is_some());
    }

    #[test]
    fn nobody_is_inside_with_somebody_else() {
        let (turns, inside) = (Turns::new(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _turn = turns.take(&1, Duration::from_secs(30)).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
