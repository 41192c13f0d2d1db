//! `service-check`: each part of the service is asked to do something small and real.
//!
//! Here it is asked, each part for a time that has an end, so that there is an answer whatever is
//! broken. What the answers mean together, [`verdict`] finds out.
//!
//! A check costs one durable row in the database, which shares its transaction with whatever else
//! is to be written, and one small file beside it.

mod verdict;

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use colibri_host::HostFacts;
use colibri_protocol::place::RESTART_SERVICE;
use colibri_protocol::{
    DatabaseStatus, ListTasks, MAX_LINE, ReplyError, ServiceCheck, TenantCounts, TenantProblem,
};
use colibri_store::{Fault, Reader, StoreError};
use jiff::Timestamp;
use nix::sys::statvfs::statvfs;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::verdict::Verdict;
use crate::autospawn;
use crate::board::Step;
use crate::place::{Identity, SOCKET_MODE};
use crate::scheduler::{self, RoundsSeen};
use crate::server::Service;

/// How often the daemon's loop beats.
const BEAT: Duration = Duration::from_secs(1);

/// How long a write, the disk and the intake may take, all at the same time. With [`READ`], well
/// below the time that a client waits.
const LIMIT: Duration = Duration::from_secs(3);

/// How long it may take to read the database afterwards.
const READ: Duration = Duration::from_secs(2);

/// The small file that is made for a moment.
const TRIAL: &str = "service-check.tmp";

/// What a check needs of earlier ones, and what beats between them.
#[derive(Debug)]
pub(crate) struct Health {
    pulse: Pulse,
    /// One look at the disk at a time: on a disk that is stuck, each would cost a thread.
    disk: Arc<Mutex<()>>,
}

impl Health {
    /// Starts the pulse.
    pub(crate) fn start() -> Self {
        Self {
            pulse: Pulse::start(),
            disk: Arc::default(),
        }
    }
}

/// The beat of the daemon's own loop, to tell a live daemon from one whose
/// threads are all stuck.
#[derive(Debug)]
struct Pulse {
    begun: Instant,
    /// Milliseconds from `begun` to the last beat.
    last: Arc<AtomicU64>,
}

impl Pulse {
    /// Starts beating in the background.
    fn start() -> Self {
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

/// Looks at everything; never fails itself, and never takes longer than [`LIMIT`] and [`READ`].
pub(crate) async fn check(service: &Service) -> ServiceCheck {
    verdict::judge(look(service).await)
}

/// What there was to see.
#[derive(Debug)]
struct Seen {
    socket: Verdict,
    write: Write,
    /// Nothing when there was no answer in time.
    read: Option<Result<ReadBack, Trouble>>,
    database: PathBuf,
    disk: Disk,
    /// The age of the pulse's last beat.
    beat: Duration,
    rounds: RoundsSeen,
    /// Between two rounds of the scheduler.
    tick: Duration,
    /// Since the daemon's start.
    up: Duration,
    /// Nothing when there was no answer in time.
    intake: Option<Result<Intake, ReplyError>>,
    panes: PanesSeen,
    /// Nothing when there was no answer in time.
    tenants: Option<Result<TenantsSeen, ReplyError>>,
    /// What the root helper says of itself, or why it says nothing; nobody asked it when no tenant is there.
    helper: Option<Result<HostFacts, String>>,
}

/// What came of writing a mark, the whole way of every change.
#[derive(Debug)]
enum Write {
    /// This mark is on disk after this time.
    Done(String, Duration),
    /// The database refused it.
    Failed(Trouble),
    /// It was not done in time; the writer is at this step, for so long.
    Late(Step, Duration),
    /// There is no writer any more.
    Ended,
}

/// What the database refused.
#[derive(Debug)]
struct Trouble {
    fault: Fault,
    text: String,
}

impl Trouble {
    fn of(error: &StoreError) -> Self {
        Self {
            fault: error.fault(),
            text: error.to_string(),
        }
    }
}

/// What a connection sees that has nothing in memory yet.
#[derive(Debug)]
struct ReadBack {
    status: DatabaseStatus,
    mark: Option<String>,
}

/// What came of a small file beside the database, and in the folder of all data.
#[derive(Debug)]
enum Disk {
    /// It was made and is gone again; this many bytes are free, at the least.
    Free(PathBuf, u64),
    /// The system refused.
    Refused(PathBuf, io::Error),
    /// There was no answer in time.
    Late,
}

/// Queued tasks that an agent could do now.
#[derive(Debug)]
struct Intake {
    waiting: usize,
    /// Those that have been so for longer than it takes the scheduler to come round.
    overdue: usize,
}

/// What the panes are like, and the answer to `snapshot` with them.
#[derive(Debug)]
struct PanesSeen {
    agents: usize,
    attention: u32,
    /// Length of the answer in bytes.
    bytes: usize,
    unkept: Vec<String>,
    /// That the agent which comes with the daemon is not there, and why.
    missing: Option<String>,
}

/// How many tenants there are and what is wrong with some of them.
#[derive(Debug)]
struct TenantsSeen {
    counts: TenantCounts,
    problems: Vec<TenantProblem>,
}

/// Tenants whose problems are told.
const PROBLEMS: u32 = 3;

async fn look(service: &Service) -> Seen {
    let (write, disk, intake, (tenants, helper)) = tokio::join!(
        write(service),
        disk(service),
        timeout(LIMIT, intake(service)),
        tenants(service),
    );
    // After the write, whose mark should be there.
    let read = timeout(READ, service.board.read(|reader| Ok(read_back(reader)))).await;
    Seen {
        socket: socket(service),
        write,
        read: read.ok().map(|read| {
            read.unwrap_or_else(|error| {
                Err(Trouble {
                    fault: Fault::Other,
                    text: error.message,
                })
            })
        }),
        database: service.config.db_path.clone(),
        disk,
        beat: service.health.pulse.age(),
        rounds: service.last_tick.seen(),
        tick: service.config.tick,
        up: service.started.elapsed(),
        intake: intake.ok(),
        panes: panes(service),
        tenants,
        helper,
    }
}

/// The tenants, and the helper if there are any.
async fn tenants(
    service: &Service,
) -> (
    Option<Result<TenantsSeen, ReplyError>>,
    Option<Result<HostFacts, String>>,
) {
    let begun = Instant::now();
    let read = service.board.read(|reader| {
        Ok(TenantsSeen {
            counts: reader.tenant_counts()?,
            // One more than is told: then there are more.
            problems: reader.tenant_problems(PROBLEMS + 1)?,
        })
    });
    let tenants = timeout(LIMIT, read).await.ok();
    if !matches!(&tenants, Some(Ok(seen)) if seen.counts.total() > 0) {
        return (tenants, None);
    }
    let left = LIMIT.saturating_sub(begun.elapsed());
    // It ends by itself a bit before that; but a thread may have to be waited for first.
    let brief = left.saturating_sub(BEAT / 2).max(BEAT / 2);
    let facts = service.tenants.hostd.facts(Some(brief));
    let helper = match timeout(left, facts).await {
        Ok(facts) => facts.map_err(|trouble| trouble.to_string()),
        Err(_) => Err(format!(
            "the root helper could not be asked within {LIMIT:?}"
        )),
    };
    (tenants, Some(helper))
}

fn socket(service: &Service) -> Verdict {
    let path = service.config.socket.display();
    let meta = match fs_err::symlink_metadata(&service.config.socket) {
        Ok(meta) => meta,
        Err(error) => {
            return Verdict::Broken(format!(
                "{error}; new clients cannot connect: `{RESTART_SERVICE}`"
            ));
        }
    };
    if Some(Identity::of(&meta)) != service.socket {
        return Verdict::Broken(format!(
            "{path} is not this daemon's any more: `{RESTART_SERVICE}`"
        ));
    }
    match meta.permissions().mode() & 0o777 {
        SOCKET_MODE => Verdict::Well(format!("{path}, mode {SOCKET_MODE:04o}")),
        mode => Verdict::Broken(format!(
            "{path} has mode {mode:04o}; give it back its own: `chmod {SOCKET_MODE:04o} {path}`"
        )),
    }
}

async fn write(service: &Service) -> Write {
    let begun = Instant::now();
    let (started, started_at) = (service.started, service.started_at);
    let marked = service.board.submit(
        move |batch| {
            // Made by the writer itself, so that a later mark is always a greater one, whoever else
            // has a check made at the same time.
            let mark = format!("{started_at} {:030}", started.elapsed().as_nanos());
            batch.mark(&mark)?;
            Ok(mark)
        },
        Trouble::of,
    );
    match timeout(LIMIT, marked).await {
        Ok(Some(Ok(mark))) => Write::Done(mark, begun.elapsed()),
        Ok(Some(Err(trouble))) => Write::Failed(trouble),
        Ok(None) => Write::Ended,
        Err(_) => {
            let (step, since) = service.board.writer_is_at();
            Write::Late(step, since.elapsed())
        }
    }
}

fn read_back(reader: &Reader) -> Result<ReadBack, Trouble> {
    let read = || -> Result<ReadBack, StoreError> {
        let fresh = reader.afresh()?;
        // Pages of the tables that everything hangs on.
        fresh.task_counts()?;
        fresh.tasks(&ListTasks::default(), 1, MAX_LINE)?;
        Ok(ReadBack {
            status: fresh.database_status()?,
            mark: fresh.mark()?,
        })
    };
    read().map_err(|error| Trouble::of(&error))
}

async fn disk(service: &Service) -> Disk {
    let mut folders = vec![service.config.data_dir.clone()];
    match service.config.db_path.parent() {
        Some(parent) if parent != service.config.data_dir => folders.push(parent.to_owned()),
        _ => {}
    }
    let turn = Arc::clone(&service.health.disk);
    let tried = async {
        let turn = turn.lock_owned().await;
        let trial = move || {
            let tried = try_all(&folders);
            drop(turn);
            tried
        };
        tokio::task::spawn_blocking(trial).await
    };
    // It fails only with the whole daemon, when its threads end.
    match timeout(LIMIT, tried).await {
        Ok(Ok(tried)) => tried,
        Ok(Err(_)) | Err(_) => Disk::Late,
    }
}

/// The first folder that fails, else the one with the least room.
fn try_all(folders: &[PathBuf]) -> Disk {
    let mut least: Option<(PathBuf, u64)> = None;
    for folder in folders {
        match try_disk(folder) {
            Err(error) => return Disk::Refused(folder.clone(), error),
            Ok(free) if least.as_ref().is_some_and(|(_, least)| *least <= free) => {}
            Ok(free) => least = Some((folder.clone(), free)),
        }
    }
    least.map_or(Disk::Late, |(folder, free)| Disk::Free(folder, free))
}

/// Writes a small file as SQLite would its own. Gives back how many bytes are free.
///
/// The system's own words are needed for that: SQLite calls a file system that has become
/// read-only under it an I/O error, as it does a disk that breaks.
fn try_disk(folder: &Path) -> io::Result<u64> {
    let path = folder.join(TRIAL);
    let written = fs_err::File::create(&path).and_then(|mut file| {
        file.write_all(&[0; 4096])?;
        file.sync_all()
    });
    let removed = fs_err::remove_file(&path);
    written?;
    removed?;
    let space = statvfs(folder)?;
    // The types of these fields differ between systems.
    #[allow(clippy::useless_conversion, reason = "not useless on FreeBSD")]
    let free = u64::from(space.blocks_available()) * u64::from(space.fragment_size());
    Ok(free)
}

/// Looked at more than once: an agent that has just become free has its next task in a moment.
const LOOKS: u32 = 10;

async fn intake(service: &Service) -> Result<Intake, ReplyError> {
    let limit = service.config.tick * 2;
    let mut look = 1;
    loop {
        let waiting = scheduler::assignable(service).await?;
        let now = Timestamp::now();
        let is_overdue = |since: Timestamp| now.duration_since(since).unsigned_abs() > limit;
        let overdue = waiting
            .iter()
            .filter(|(task, _)| is_overdue(task.since))
            .count();
        if overdue == 0 || look == LOOKS {
            return Ok(Intake {
                waiting: waiting.len(),
                overdue,
            });
        }
        look += 1;
        tokio::time::sleep(BEAT / LOOKS).await;
    }
}

fn panes(service: &Service) -> PanesSeen {
    let unkept = service.panes.unkept();
    let snapshot = service.panes.snapshot(None);
    PanesSeen {
        agents: snapshot.panes.len(),
        attention: snapshot.attention,
        bytes: json!(snapshot).to_string().len(),
        unkept: unkept.iter().map(ToString::to_string).collect(),
        missing: autospawn::missing(service, &snapshot),
    }
}
