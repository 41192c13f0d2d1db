//! `service-check`: each part of the service is asked to do something small.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use colibri_protocol::{Check, ReplyError, ServiceCheck};
use nix::sys::statvfs::statvfs;

use crate::place::{Identity, SOCKET_MODE};
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
