//! How long one answer takes, alone and in a crowd.

use std::path::Path;
use std::time::{Duration, Instant};

use miette::{Result, miette};

use crate::work::Worker;

/// Answers of each kind that are measured, over all clients together.
const SAMPLES: usize = 2000;

/// Each client of a crowd asks ten times a second, not as fast as it can: two thousand questions a second
/// are many for a control plane, and without a pause the clients' own threads would be what is measured.
const PAUSE: Duration = Duration::from_millis(100);

/// How long each answer took, in order of length.
#[derive(Debug, Default)]
pub(crate) struct Times {
    status: Vec<Duration>,
    claim: Vec<Duration>,
}

impl Times {
    pub(crate) fn each(&self) -> [(&'static str, &[Duration]); 2] {
        [("status", &self.status), ("claim-task", &self.claim)]
    }
}

/// Lets so many clients ask at the same time. What is claimed is created before and finished after, not measured.
pub(crate) fn measure(socket: &Path, clients: usize) -> Result<Times> {
    let mut workers = (0..clients)
        .map(|number| Worker::new(socket, &format!("l{number}")))
        .collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    let measured = std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .iter_mut()
            .enumerate()
            .map(|(number, worker)| {
                // Not all in the same moment.
                let first = PAUSE * u32::try_from(number).unwrap_or(0) / 200;
                scope.spawn(move || {
                    one(
                        worker,
                        SAMPLES / clients,
                        (clients > 1).then_some(begun + first),
                    )
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| miette!("a client panicked"))?)
            .collect::<Result<Vec<_>>>()
    })?;
    let mut all = Times::default();
    for times in measured {
        all.status.extend(times.status);
        all.claim.extend(times.claim);
    }
    all.status.sort();
    all.claim.sort();
    Ok(all)
}

/// One client's questions; from `next` on one each [`PAUSE`], or as fast as they are answered.
fn one(worker: &mut Worker, samples: usize, mut next: Option<Instant>) -> Result<Times> {
    let mut times = Times::default();
    let mut wait = || {
        if let Some(next) = &mut next {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            *next += PAUSE;
        }
    };
    for _ in 0..samples {
        wait();
        let begun = Instant::now();
        worker.line.status()?;
        times.status.push(begun.elapsed());

        let task = worker.create()?;
        wait();
        let begun = Instant::now();
        worker.claim(task)?;
        times.claim.push(begun.elapsed());
        worker.finish(task)?;
    }
    Ok(times)
}

/// What so many of a hundred do not exceed; `sorted` is not empty.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_smallest_value_that_covers_it() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(1));
    }
}
