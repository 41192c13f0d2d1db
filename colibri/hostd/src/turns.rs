//! One at a time: for each tenant, and for the vault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most that wait for one turn: whoever asks again and again about one tenant must not take every seat.
const MOST_WAITING: u32 = 32;

/// Who has a turn now and who waits for one, by what it is about.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    state: Mutex<State<T>>,
    given_back: Condvar,
}

#[derive(Debug)]
struct State<T> {
    taken: BTreeSet<T>,
    waiting: BTreeMap<T, u32>,
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
            state: Mutex::new(State {
                taken: BTreeSet::new(),
                waiting: BTreeMap::new(),
            }),
            given_back: Condvar::new(),
        }
    }

    /// Waits for the turn, `None` when others take longer than this, or too many wait already.
    pub(crate) fn take(&self, about: &T, patience: Duration) -> Option<Turn<'_, T>> {
        let mut state = self.state();
        if state.taken.contains(about) {
            let waiting = state.waiting.entry(about.clone()).or_default();
            if *waiting >= MOST_WAITING {
                return None;
            }
            *waiting += 1;
            let is_taken = |state: &mut State<T>| state.taken.contains(about);
            let waited = self
                .given_back
                .wait_timeout_while(state, patience, is_taken);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            match state.waiting.get_mut(about) {
                Some(waiting) if *waiting > 1 => *waiting -= 1,
                _ => _ = state.waiting.remove(about),
            }
        }
        // Not taken by now, unless the time is over.
        state.taken.insert(about.clone()).then(|| Turn {
            turns: self,
            about: about.clone(),
        })
    }
}

impl<T> Turns<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Ord> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.turns.state().taken.remove(&self.about);
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
    fn only_so_many_wait_for_one_turn() {
        let turns = Turns::new();
        let first = turns.take(&"main", Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..MOST_WAITING {
                scope.spawn(|| turns.take(&"main", Duration::from_secs(30)).unwrap());
            }
            while turns.state().waiting.get("main") != Some(&MOST_WAITING) {
                std::thread::yield_now();
            }
            assert!(turns.take(&"main", Duration::from_secs(30)).is_none());
            drop(first);
        });
        assert!(turns.state().waiting.is_empty());
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
