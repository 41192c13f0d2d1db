//! What clients may make the daemon keep, all of them together: beginnings of lines whose end does
//! not come, and replies that nobody reads. Without it, half a thousand clients with a megabyte each
//! would be half a gigabyte.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that each client has for itself, whatever others do. Nearly every request and reply fits.
const OWN: usize = 32 * 1024;

/// Bytes that all have together for what is longer.
const SHARED: usize = 24 * 1024 * 1024;

/// Others have taken so much that this does not fit.
#[derive(Debug, thiserror::Error)]
#[error(
    "lines without an end and replies that nobody reads take nearly all of the {SHARED} bytes that \
     clients have together, and {bytes} for this one do not fit"
)]
pub(crate) struct Full {
    bytes: usize,
}

/// The part of the memory that all clients share; a permit is a byte.
#[derive(Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(SHARED)))
    }

    /// A client's part of it, which is nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share {
            budget: Arc::clone(&self.0),
            taken: None,
        }
    }
}

/// What one client has of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Says that the daemon now keeps so many bytes for this client, more or fewer than before.
    ///
    /// # Errors
    /// [`Full`]; it has then what it had before.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Full> {
        let wanted = bytes.saturating_sub(OWN);
        let has = self.taken.as_ref().map_or(0, |taken| taken.num_permits());
        if wanted <= has {
            // What is not split off goes back.
            self.taken = self.taken.as_mut().and_then(|taken| taken.split(wanted));
            return Ok(());
        }
        let more = u32::try_from(wanted - has)
            .ok()
            .and_then(|more| Arc::clone(&self.budget).try_acquire_many_owned(more).ok())
            .ok_or(Full { bytes })?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }

    /// Gives all of it back.
    pub(crate) fn release(&mut self) {
        self.taken = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_fits_even_when_others_have_taken_everything() {
        let budget = Budget::new();
        let mut greedy = budget.share();
        greedy.hold(SHARED + OWN).unwrap();
        let mut other = budget.share();
        other.hold(OWN).unwrap();
        assert!(other.hold(OWN + 1).is_err());
        other.hold(OWN).unwrap();
    }

    #[test]
    fn a_share_grows_and_shrinks_with_what_is_kept_and_leaves_nothing_behind() {
        let budget = Budget::new();
        let left = || budget.0.available_permits();
        let mut share = budget.share();
        for (bytes, taken) in [(OWN + 7, 7), (OWN + 100, 100), (OWN + 3, 3), (0, 0)] {
            share.hold(bytes).unwrap();
            assert_eq!(left(), SHARED - taken, "{bytes}");
        }
        share.hold(OWN + 9).unwrap();
        assert!(share.hold(OWN + SHARED + 1).is_err());
        assert_eq!(left(), SHARED - 9, "it has what it had before");
        share.release();
        assert_eq!(left(), SHARED);
        share.hold(OWN + 9).unwrap();
        drop(share);
        assert_eq!(left(), SHARED);
    }
}
