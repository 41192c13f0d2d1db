//! The threads around the database: one that writes, a few that read.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use colibri_protocol::{Change as Told, ErrorKind, ReplyError};
use colibri_service::lock;
use colibri_store::{Batch, Fault, Lease, Reader, Store, StoreError};
use jiff::Timestamp;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};

use crate::failure::Failure;
use crate::place;

/// Readings at once; more wait their turn.
const READERS: usize = 4;

/// Changes waiting for the writer; whoever comes next waits to be let in.
const QUEUE: usize = 1024;

/// Changes that share one transaction, and so one sync of the disk.
const BATCH: usize = 256;

/// Changes kept for a subscriber that is behind; what comes on top, it is only told the number of.
const KEPT: usize = 1024;

/// The board as the rest of the daemon sees it.
#[derive(Debug)]
pub(crate) struct Board {
    changes: mpsc::Sender<Job>,
    told: broadcast::Sender<Told>,
    writer: Mutex<Option<JoinHandle<()>>>,
    progress: Progress,
    idle_readers: Arc<Mutex<Vec<Reader>>>,
    turns: Arc<Semaphore>,
    _lock: File,
}

/// What the writer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Waits for something to do.
    Waiting,
    /// Tries to lock the database; again and again, as long as another program has it locked.
    Locking,
    /// Makes the changes of a batch.
    Changing,
    /// Has them written to the disk.
    Committing,
}

/// What the writer does and since when, for those who wonder why it does not come round.
#[derive(Debug, Clone)]
struct Progress(Arc<Mutex<(Step, Instant)>>);

impl Progress {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((Step::Waiting, Instant::now()))))
    }

    /// One that it is at already goes on.
    fn enter(&self, step: Step) {
        let mut now = locked(&self.0);
        if now.0 != step {
            *now = (step, Instant::now());
        }
    }

    fn get(&self) -> (Step, Instant) {
        *locked(&self.0)
    }
}

/// Called when it is known whether a change reached the disk.
type Acknowledge = Box<dyn FnOnce(Result<(), &StoreError>) + Send>;

/// A change, given its batch or the reason why there is none; it leaves behind
/// how to acknowledge it.
type Change = Box<dyn FnOnce(Result<&mut Batch<'_>, &StoreError>) -> Acknowledge + Send>;

enum Job {
    Change(Change),
    /// Nothing is taken after this; what is queued is still done.
    Close,
}

impl Board {
    /// Opens the database, makes its directory if need be, settles what agents hold, and starts the
    /// writer.
    ///
    /// # Errors
    /// Another daemon has it, or the store refuses.
    pub(crate) fn open(data_dir: &Path, db_path: &Path, lease: Lease) -> Result<Self, Failure> {
        place::make_directory(data_dir)?;
        let lock = lock::take(db_path)?;
        let mut store = Store::open(db_path)?;
        take_back_and_renew(&mut store, lease)?;
        let idle_readers = (0..READERS)
            .map(|_| store.reader())
            .collect::<Result<Vec<_>, _>>()?;
        let (changes, queue) = mpsc::channel(QUEUE);
        let told = broadcast::Sender::new(KEPT);
        let tell = told.clone();
        let progress = Progress::new();
        let note = progress.clone();
        let writer = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || write(store, queue, &tell, &note))
            .map_err(|error| Failure::io("start the writer of", PathBuf::from(db_path), error))?;
        Ok(Self {
            changes,
            told,
            writer: Mutex::new(Some(writer)),
            progress,
            idle_readers: Arc::new(Mutex::new(idle_readers)),
            turns: Arc::new(Semaphore::new(READERS)),
            _lock: lock,
        })
    }

    /// Makes one change; when this returns a value, it is on disk.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ReplyError> {
        self.submit(change, refusal).await.unwrap_or_else(|| {
            let text = "the daemon is stopping; nothing was changed";
            Err(ReplyError::new(ErrorKind::ShuttingDown, text))
        })
    }

    /// Makes one change whose failure the caller explains; nothing when the writer has ended.
    pub(crate) async fn submit<T: Send + 'static, E: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
        explain: fn(&StoreError) -> E,
    ) -> Option<Result<T, E>> {
        let (answer, answered) = oneshot::channel();
        let change: Change = Box::new(move |batch| {
            let made = match batch {
                Ok(batch) => batch.attempt(change).map_err(|error| explain(&error)),
                Err(error) => Err(explain(error)),
            };
            Box::new(move |committed| {
                let outcome = made.and_then(|value| committed.map(|()| value).map_err(explain));
                // Nobody waits any more when the client is gone; the change stands.
                let _ = answer.send(outcome);
            })
        });
        self.changes.send(Job::Change(change)).await.ok()?;
        answered.await.ok()
    }

    /// What the writer does, and since when.
    pub(crate) fn writer_is_at(&self) -> (Step, Instant) {
        self.progress.get()
    }

    /// Every change from now on, in its order, once it is on disk. Whoever is slow to read loses the
    /// oldest and is told so; the writer never waits.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Told> {
        self.told.subscribe()
    }

    /// Tells those who listen of something that is not in the database.
    pub(crate) fn tell(&self, change: Told) {
        // Fails when nobody listens.
        let _ = self.told.send(change);
    }

    /// Reads something, beside the writer.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ReplyError> {
        let lost = |problem: &str| {
            tracing::error!("reading the database: {problem}");
            ReplyError::new(
                ErrorKind::Internal,
                "reading failed; the daemon's log has the reason",
            )
        };
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|error| lost(&error.to_string()))?;
        let reader = self
            .readers()
            .pop()
            .ok_or_else(|| lost("no connection is left"))?;
        let idle_readers = Arc::clone(&self.idle_readers);
        let task = tokio::task::spawn_blocking(move || {
            let outcome = read(&reader);
            // Not left to the caller, who may have given up waiting.
            locked(&idle_readers).push(reader);
            drop(turn);
            outcome
        });
        let outcome = task.await.map_err(|error| lost(&error.to_string()))?;
        outcome.map_err(|error| refusal(&error))
    }

    /// Lets the writer finish what is queued, checkpoints the log and closes.
    pub(crate) async fn close(&self) {
        self.readers().clear();
        // An error means that the writer has already ended.
        let _ = self.changes.send(Job::Close).await;
        let writer = locked(&self.writer).take();
        if let Some(writer) = writer {
            let joined = tokio::task::spawn_blocking(move || writer.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the writer ended badly");
            }
        }
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Reader>> {
        locked(&self.idle_readers)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writer's life: whatever waits goes into one transaction together, so
/// that two hundred clients cost one sync and not two hundred.
fn write(
    mut store: Store,
    mut queue: mpsc::Receiver<Job>,
    told: &broadcast::Sender<Told>,
    progress: &Progress,
) {
    while let Some(first) = queue.blocking_recv() {
        let mut changes = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Change(change) => changes.push(change),
                Job::Close => queue.close(),
            }
            next = if changes.len() < BATCH {
                queue.try_recv().ok()
            } else {
                None
            };
        }
        if !changes.is_empty() {
            write_together(&mut store, changes, told, progress);
        }
    }
    if let Err(error) = store.close() {
        // Nothing is lost: the log is read again at the next start.
        tracing::warn!("closing the database: {error}");
    }
}

fn write_together(
    store: &mut Store,
    changes: Vec<Change>,
    told: &broadcast::Sender<Told>,
    progress: &Progress,
) {
    progress.enter(Step::Locking);
    let (acknowledgements, outcome) = match store.begin() {
        Ok(mut batch) => {
            progress.enter(Step::Changing);
            let acknowledgements: Vec<Acknowledge> = changes
                .into_iter()
                .map(|change| change(Ok(&mut batch)))
                .collect();
            progress.enter(Step::Committing);
            (acknowledgements, batch.commit())
        }
        Err(error) => (
            changes
                .into_iter()
                .map(|change| change(Err(&error)))
                .collect(),
            Err(error),
        ),
    };
    if let Err(error) = &outcome {
        tracing::error!("{error}");
    }
    // While another program has the lock, the next attempt is a part of this one.
    if !matches!(&outcome, Err(error) if error.fault() == Fault::Locked) {
        progress.enter(Step::Waiting);
    }
    // First those who wait for it, then those who only listen.
    for acknowledge in acknowledgements {
        acknowledge(outcome.as_ref().map(|_| ()));
    }
    for change in outcome.unwrap_or_default() {
        // Fails when nobody listens.
        let _ = told.send(change);
    }
}

/// The first change of each start. Whoever ran by itself may live, and had nobody to say so to; the
/// agents of the daemon before are gone, and another may have their tasks at once.
fn take_back_and_renew(store: &mut Store, lease: Lease) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let taken_back = store.change(|batch| {
        let taken_back = batch.daemon_restarted(lease, now)?;
        batch.renew_leases(lease, now)?;
        Ok(taken_back)
    })?;
    if taken_back > 0 {
        tracing::warn!("{taken_back} task(s) of agents that ended with the last daemon are back");
    }
    Ok(())
}

/// The store's error as the client sees it.
fn refusal(error: &StoreError) -> ReplyError {
    let kind = match error {
        StoreError::BadCursor { .. } => ErrorKind::BadRequest,
        StoreError::NotFound { .. } => ErrorKind::NotFound,
        StoreError::Conflict { .. } => ErrorKind::Conflict,
        _ => ErrorKind::Database,
    };
    ReplyError::new(kind, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use colibri_protocol::CreateTask;
    use std::sync::atomic::{AtomicBool, Ordering};

    const LEASE: Lease = Lease(std::time::Duration::from_secs(60));

    fn task(title: &str) -> CreateTask {
        CreateTask::titled(title)
    }

    async fn create(board: &Board, title: &str) -> Result<(), ReplyError> {
        let new = task(title);
        let made = board
            .change(move |batch| batch.create_task(new, "uid:0", Timestamp::now()))
            .await;
        made.map(drop)
    }

    fn open() -> (tempfile::TempDir, Arc<Board>) {
        let dir = tempfile::tempdir().unwrap();
        let board = Board::open(dir.path(), &dir.path().join("colibri.sqlite"), LEASE).unwrap();
        (dir, Arc::new(board))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn changes_queued_before_the_end_are_done_and_later_ones_refused() {
        let (dir, board) = open();
        let waiting: Vec<_> = (0..600)
            .map(|number| {
                let board = Arc::clone(&board);
                tokio::spawn(async move { create(&board, &format!("task {number}")).await })
            })
            .collect();
        tokio::task::yield_now().await;
        board.close().await;
        let mut done = 0;
        for task in waiting {
            match task.await.unwrap() {
                Ok(()) => done += 1,
                Err(error) => assert_eq!(error.kind, ErrorKind::ShuttingDown),
            }
        }
        let late = create(&board, "late").await.unwrap_err();
        assert_eq!(late.kind, ErrorKind::ShuttingDown);
        let store = Store::open(&dir.path().join("colibri.sqlite")).unwrap();
        assert_eq!(store.reader().unwrap().task_counts().unwrap().total(), done);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_change_that_fails_says_why_and_the_next_one_works() {
        let (_dir, board) = open();
        let failed: Result<(), _> = board
            .change(|_| {
                Err(StoreError::Commit {
                    reason: "for the test".into(),
                })
            })
            .await;
        assert_eq!(failed.unwrap_err().kind, ErrorKind::Database);
        create(&board, "good").await.unwrap();
        let counts = board.read(Reader::task_counts).await.unwrap();
        assert_eq!(counts.total(), 1);
        board.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn readings_that_take_for_ever_do_not_hold_up_a_change() {
        let (_dir, board) = open();
        let released = Arc::new(AtomicBool::new(false));
        let slow: Vec<_> = (0..READERS * 2)
            .map(|_| {
                let (board, released) = (Arc::clone(&board), Arc::clone(&released));
                let read = move |reader: &Reader| {
                    while !released.load(Ordering::Relaxed) {
                        std::thread::sleep(std::time::Duration::from_millis(2));
                    }
                    reader.task_counts()
                };
                tokio::spawn(async move { board.read(read).await })
            })
            .collect();
        tokio::task::yield_now().await;
        create(&board, "meanwhile").await.unwrap();
        released.store(true, Ordering::Relaxed);
        for task in slow {
            task.await.unwrap().unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reading_that_nobody_waits_for_gives_its_connection_back() {
        let (_dir, board) = open();
        let released = Arc::new(AtomicBool::new(false));
        for _ in 0..READERS * 2 {
            let released = Arc::clone(&released);
            let slow = board.read(move |reader| {
                while !released.load(Ordering::Relaxed) {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                reader.task_counts()
            });
            let patience = std::time::Duration::from_millis(10);
            assert!(tokio::time::timeout(patience, slow).await.is_err());
        }
        released.store(true, Ordering::Relaxed);
        for _ in 0..READERS * 2 {
            board.read(Reader::task_counts).await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_writer_that_waits_for_the_lock_says_so() {
        let (dir, board) = open();
        let other = rusqlite::Connection::open(dir.path().join("colibri.sqlite")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let waiting = {
            let board = Arc::clone(&board);
            tokio::spawn(async move { create(&board, "t").await })
        };
        while board.writer_is_at().0 != Step::Locking {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        other.execute_batch("ROLLBACK").unwrap();
        waiting.await.unwrap().unwrap();
        assert_eq!(board.writer_is_at().0, Step::Waiting);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_second_board_on_the_same_file_is_refused() {
        let (dir, _board) = open();
        let second = Board::open(dir.path(), &dir.path().join("colibri.sqlite"), LEASE);
        assert!(matches!(second, Err(Failure::Alive { .. })));
    }
}
