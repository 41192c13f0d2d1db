//! `service-check`: each part of the service is asked to do something small.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use colibri_protocol::{Check, ReplyError, ServiceCheck};
use jiff::Timestamp;
use nix::sys::statvfs::statvfs;

use crate::place::{Identity, SOCKET_MODE};
use crate::scheduler;
use crate::server::Service;

/// How often the daemon's loop beats.
const BEAT: Duration = Duration::from_secs(1);

/// The age from which the last beat means that the loop hangs.
const MISSED: Duration = Duration::from_secs(5);

/// How long the writer may take to come round.
const WRITER: Duration = Duration::from_secs(5);

/// Below this the database may soon not grow any more.
const LEAST_FREE: u64 = 32 * 1024 * 1024;

/// The beat of the daemon's own loop, to tell a live daemon from one whose
/// threads are all stuck.
#[derive(Debug)]
pub(crate) struct Pulse {
    begun: Instant,
    /// Milliseconds from `begun` to the last beat.
    last: Arc<AtomicU64>,
}

impl Pulse {
    /// Starts beating in the background.
    pub(crate) fn start() -> Self {
        let begun = Instant::now();
        let last = Arc::new(AtomicU64::new(0));
        let beat = Arc::clone(&last);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(BEAT);
            loop {
                ticks.tick().await;
                let now = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                beat.store(now, Ordering::Relaxed);
            }
        });
        Self { begun, last }
    }

    fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(last)
    }
}

/// Looks at everything; never fails itself.
pub(crate) async fn check(service: &Service) -> ServiceCheck {
    let (database, wal) = database(service).await;
    let checks = vec![
        named("socket", socket(service)),
        named("database", database),
        named("wal", wal),
        named("writer", writer(service).await),
        named("loop", pulse(service)),
        named("disk", disk(service)),
        named("scheduler", rounds(service)),
        named("intake", intake(service).await),
    ];
    ServiceCheck {
        healthy: checks.iter().all(|check| check.ok),
        checks,
    }
}

/// What was seen: well, or not.
type Seen = Result<String, String>;

fn named(name: &str, seen: Seen) -> Check {
    let ok = seen.is_ok();
    let detail = seen.unwrap_or_else(|problem| problem);
    Check {
        name: name.to_owned(),
        ok,
        detail,
    }
}

fn socket(service: &Service) -> Seen {
    let path = service.config.socket.display();
    let meta = fs_err::symlink_metadata(&service.config.socket)
        .map_err(|error| format!("{error}; new clients cannot connect: restart the service"))?;
    if Some(Identity::of(&meta)) != service.socket {
        return Err(format!(
            "{path} is not this daemon's any more: restart the service"
        ));
    }
    match meta.permissions().mode() & 0o777 {
        SOCKET_MODE => Ok(format!("{path}, mode {SOCKET_MODE:04o}")),
        mode => Err(format!(
            "{path} has mode {mode:04o} and should have {SOCKET_MODE:04o}"
        )),
    }
}

async fn database(service: &Service) -> (Seen, Seen) {
    let problem = |error: ReplyError| error.message;
    match service
        .board
        .read(colibri_store::Reader::database_status)
        .await
        .map_err(problem)
    {
        Ok(status) => {
            let database = format!(
                "{}, schema {}, {} bytes",
                service.config.db_path.display(),
                status.schema_version,
                status.size_bytes
            );
            let mode = status.journal_mode;
            let wal = if mode == "wal" {
                Ok(format!(
                    "journal mode wal, log of {} bytes",
                    status.wal_bytes
                ))
            } else {
                Err(format!(
                    "journal mode is {mode} and should be wal: restart the service"
                ))
            };
            (Ok(database), wal)
        }
        Err(problem) => (Err(problem.clone()), Err(problem)),
    }
}

/// An empty change goes the whole way of a real one.
async fn writer(service: &Service) -> Seen {
    let begun = Instant::now();
    match tokio::time::timeout(WRITER, service.board.change(|_| Ok(()))).await {
        Ok(Ok(())) => Ok(format!("answers in {} ms", begun.elapsed().as_millis())),
        Ok(Err(error)) => Err(error.message),
        Err(_) => Err(format!("no answer within {WRITER:?}; is the disk stuck?")),
    }
}

fn pulse(service: &Service) -> Seen {
    let age = service.pulse.age();
    if age < MISSED {
        Ok(format!("last beat {} ms ago", age.as_millis()))
    } else {
        Err(format!(
            "last beat {} s ago: restart the service",
            age.as_secs()
        ))
    }
}

/// Time beyond two ticks that a round may take.
const SLACK: Duration = Duration::from_secs(5);

fn rounds(service: &Service) -> Seen {
    let limit = service.config.tick * 2 + SLACK;
    let Some((_, age)) = service.last_tick.get() else {
        return if service.started.elapsed() < limit {
            Ok("about to look at the board for the first time".to_owned())
        } else {
            Err("it has not looked at the board yet: the log says why".to_owned())
        };
    };
    let seen = format!(
        "last round {} s ago, every {} s",
        age.as_secs(),
        service.config.tick.as_secs_f64()
    );
    if age < limit {
        Ok(seen)
    } else {
        Err(format!("{seen}: the log says why"))
    }
}

/// Looked at more than once: an agent that has just become free has its next task in a moment.
const LOOKS: u32 = 10;

async fn intake(service: &Service) -> Seen {
    let limit = service.config.tick * 2;
    let mut overdue = 0;
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(BEAT / LOOKS).await;
        }
        let waiting = scheduler::assignable(service)
            .await
            .map_err(|error| error.message)?;
        let now = Timestamp::now();
        overdue = waiting
            .iter()
            .filter(|(task, _)| now.duration_since(task.since).unsigned_abs() > limit)
            .count();
        if overdue == 0 {
            return Ok(match waiting.len() {
                0 => "drained: nothing waits that an agent could do now".to_owned(),
                count => format!("{count} task(s) about to be given out"),
            });
        }
    }
    Err(format!(
        "{overdue} task(s) wait although an agent is free: is the scheduler stuck? the log says why"
    ))
}

fn disk(service: &Service) -> Seen {
    let path = &service.config.data_dir;
    let space = statvfs(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // The types of these fields differ between systems.
    #[allow(clippy::useless_conversion, reason = "not useless on FreeBSD")]
    let free = u64::from(space.blocks_available()) * u64::from(space.fragment_size());
    let seen = format!("{} MiB free for {}", free / (1024 * 1024), path.display());
    if free >= LEAST_FREE {
        Ok(seen)
    } else {
        Err(format!("{seen}: free some space"))
    }
}
