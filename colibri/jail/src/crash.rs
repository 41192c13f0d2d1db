//! Where a test may cut the power.

use crate::JailError;

/// Between two things of which either may be the last that was done. Nothing, but in tests.
#[cfg(not(test))]
#[inline]
pub(crate) fn point() -> Result<(), JailError> {
    Ok(())
}

#[cfg(test)]
pub(crate) use fuel::{point, with_fuel};

#[cfg(test)]
mod fuel {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static FUEL: Cell<Option<usize>> = const { Cell::new(None) };
    }

    pub(crate) fn point() -> Result<(), JailError> {
        FUEL.with(|fuel| match fuel.get() {
            Some(0) => Err(JailError::Cut),
            left => {
                fuel.set(left.map(|left| left - 1));
                Ok(())
            }
        })
    }

    /// Does it with power for so many points. From the first one without, all others are without too: a dead
    /// program does nothing more.
    pub(crate) fn with_fuel<T>(points: usize, act: impl FnOnce() -> T) -> T {
        FUEL.set(Some(points));
        let result = act();
        FUEL.set(None);
        result
    }
}
