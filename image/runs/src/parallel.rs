//! Hashing is the slow part of checking an image, so every processor takes part.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Bytes of the buffer that each worker has.
pub(crate) const BUFFER: usize = 1 << 20;

/// Does `work` for every item, with a buffer of [`BUFFER`] bytes, and returns the results in order.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T, &mut [u8]) -> io::Result<R> + Sync,
) -> io::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let worker = || -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else {
                return Ok(());
            };
            let result = work(item, &mut buffer)?;
            results
                .lock()
                .map_err(|_| panicked())?
                .push((index, result));
        }
    };
    let workers = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(items.len());
    thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(worker)).collect();
        let mine = worker();
        others
            .into_iter()
            .map(|other| other.join().unwrap_or_else(|_| Err(panicked())))
            .fold(mine, Result::and)
    })?;
    let mut results = results.into_inner().map_err(|_| panicked())?;
    results.sort_unstable_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

fn panicked() -> io::Error {
    io::Error::other("a worker thread stopped")
}
