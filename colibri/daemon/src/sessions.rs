//! The sessions of agents: where they lie, which are open, and what clients ask of them.
//!
//! A session is a file `agents/NAME/sessions/ID.jsonl` below the daemon's data. Its agent's keeper
//! has it open for as long as the agent lives, and writes it; a session whose agent is gone is
//! opened for as long as a question about it takes.
//!
//! All of this waits for the disk: call it where a thread may.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use colibri_protocol::{
    CompactSession, Compacted, CostMode, ErrorKind, Name, ReplyError, SessionBrief, SessionSnapshot,
};
use colibri_session::{Action, Limits, NewSession, Session, SessionError};
use jiff::Timestamp;
use uuid::Uuid;

use crate::rights::Rights;

/// An agent's folder of its sessions.
const SESSIONS: &str = "sessions";

/// An agent's folder of what it itself remembers, in files that are called as its sessions are.
pub(crate) const MEMORY: &str = "memory";

/// All sessions of this daemon's agents.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// Below it, each agent has a folder of its name.
    folder: PathBuf,
    limits: Limits,
    open: Mutex<BTreeMap<Uuid, Shared>>,
}

/// An open session, its keeper's and everybody's who asks.
pub(crate) type Shared = Arc<Mutex<Book>>;

/// An open session, and what is missing from it.
#[derive(Debug)]
pub(crate) struct Book {
    session: Session,
    limits: Limits,
    gaps: Option<Gaps>,
}

/// What could not be written.
#[derive(Debug)]
struct Gaps {
    entries: u64,
    /// The last reason.
    why: String,
    /// Whether the last write failed, too; the first of a row is logged.
    last: bool,
}

/// What came of a compaction that a client asked for.
#[derive(Debug)]
pub(crate) struct ByHand {
    pub(crate) compacted: Compacted,
    /// The session's agent, as the file has it.
    pub(crate) agent: String,
    /// The session as it is now.
    pub(crate) brief: SessionBrief,
}

impl Sessions {
    /// None is open; `folder` has a folder for each agent.
    pub(crate) fn new(folder: PathBuf, limits: Limits) -> Self {
        Self {
            folder,
            limits,
            open: Mutex::default(),
        }
    }

    /// Goes on with the agent's newest session, or begins one: where there is none, where it
    /// cannot be used, and where the agent has another prefix now. `mode` is what somebody wants; one
    /// that goes on and has escalated keeps its dearer mode until somebody wants another.
    ///
    /// # Errors
    /// Why the agent has no session, as a sentence; another of its name may have it.
    pub(crate) fn enter(
        &self,
        agent: &Name,
        mode: CostMode,
        prefix: String,
    ) -> Result<Shared, String> {
        let mut open = self.open();
        let its = |book: &Shared| lock(book).session.agent() == agent.as_str();
        if open.values().any(its) {
            return Err(format!("agent {agent} runs already, and has it"));
        }
        let folder = self.folder.join(agent.as_str()).join(SESSIONS);
        make(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let newest = newest(&folder)
            .map_err(|error| format!("cannot look into {}: {error}", folder.display()))?;
        let session = match newest.and_then(|path| reopen(&path, agent, &prefix)) {
            Some(session) => session,
            None => begin(&folder, agent, mode, prefix)?,
        };
        let id = session.id();
        let mut book = Book::new(session, self.limits);
        if book.session.wanted() != mode {
            book.write(|session, _| session.set_mode(mode));
        }
        let shared = Arc::new(Mutex::new(book));
        open.insert(id, Arc::clone(&shared));
        Ok(shared)
    }

    /// The session's agent is gone.
    pub(crate) fn leave(&self, shared: Shared) {
        let mut open = self.open();
        let id = {
            let mut book = lock(&shared);
            book.write(|session, _| session.sync());
            book.session.id()
        };
        // With the last of them the file is closed, before another can look for it.
        drop(shared);
        open.remove(&id);
    }

    /// A session as it stands.
    ///
    /// # Errors
    /// `not-found`, `forbidden`, or why its file cannot be read.
    pub(crate) fn get(&self, id: Uuid, rights: &Rights) -> Result<SessionSnapshot, ReplyError> {
        self.with(id, rights, |book| Ok(book.snapshot()))
    }

    /// Summarises all but the newest turns.
    ///
    /// # Errors
    /// `not-found`, `forbidden`, or why its file cannot be read or written.
    pub(crate) fn compact(
        &self,
        which: CompactSession,
        rights: &Rights,
    ) -> Result<ByHand, ReplyError> {
        self.with(which.session, rights, |book| {
            Ok(ByHand {
                compacted: book.session.compact(&book.limits, which.summary)?,
                agent: book.session.agent().to_owned(),
                brief: book.brief(),
            })
        })
    }

    /// Gives every open session this mode.
    pub(crate) fn set_mode(&self, mode: CostMode) {
        for book in self.open().values() {
            lock(book).write(|session, _| session.set_mode(mode));
        }
    }

    /// Removes sessions into which nothing was written since `before`, with what their agent itself
    /// remembers of them; at most so many. Each agent's newest stays, and so does one that is open.
    /// What cannot be removed stays, too, and is logged. Gives back how many are gone.
    pub(crate) fn remove_old(&self, before: Timestamp, most: usize) -> usize {
        let mut removed = 0;
        let agents = std::fs::read_dir(&self.folder).into_iter().flatten();
        for home in agents.flatten().map(|agent| agent.path()) {
            let old = match old(&home.join(SESSIONS), before) {
                Ok(old) => old,
                // It never had one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    tracing::warn!("looking for old sessions in {}: {error}", home.display());
                    continue;
                }
            };
            for id in old {
                if removed == most {
                    return removed;
                }
                match self.remove(&home, id) {
                    Ok(gone) => removed += usize::from(gone),
                    Err(error) => tracing::warn!("an old session stays behind: {error}"),
                }
            }
        }
        removed
    }

    /// Removes a session that is not open. Gives back whether it was not.
    fn remove(&self, home: &Path, id: Uuid) -> io::Result<bool> {
        // Held to the end, so that nobody opens it meanwhile.
        let open = self.open();
        if open.contains_key(&id) {
            return Ok(false);
        }
        // In this order, for without its session a memory would be nobody's.
        for folder in [MEMORY, SESSIONS] {
            match fs_err::remove_file(file_of(&home.join(folder), id)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(true)
    }

    /// Does something with a session that these rights reach. Whose it is stands in its file, which
    /// is read once for both.
    fn with<T>(
        &self,
        id: Uuid,
        rights: &Rights,
        work: impl FnOnce(&mut Book) -> Result<T, SessionError>,
    ) -> Result<T, ReplyError> {
        let reached = |book: &mut Book| {
            rights.reach_session(id, book.session.agent())?;
            work(book).map_err(refused)
        };
        // Held to the end: an agent that starts meanwhile must find its session free.
        let open = self.open();
        match open.get(&id) {
            Some(book) => reached(&mut lock(book)),
            None => {
                let session = Session::open(&self.find(id)?).map_err(refused)?;
                reached(&mut Book::new(session, self.limits))
            }
        }
    }

    /// The file of a session that is not open.
    fn find(&self, id: Uuid) -> Result<PathBuf, ReplyError> {
        let agents = std::fs::read_dir(&self.folder).into_iter().flatten();
        agents
            .flatten()
            .map(|agent| file_of(&agent.path().join(SESSIONS), id))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                let text = format!(
                    "no agent of this daemon has a session {id}; `snapshot` shows those of the \
                     agents that run"
                );
                ReplyError::new(ErrorKind::NotFound, text)
            })
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<Uuid, Shared>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn new(session: Session, limits: Limits) -> Self {
        Self {
            session,
            limits,
            gaps: None,
        }
    }

    /// Writes something. What cannot be written is missing from now on, which is said and stops
    /// nobody.
    pub(crate) fn write<T>(
        &mut self,
        write: impl FnOnce(&mut Session, &Limits) -> Result<T, SessionError>,
    ) -> Option<T> {
        match write(&mut self.session, &self.limits) {
            Ok(done) => {
                if let Some(gaps) = &mut self.gaps {
                    gaps.last = false;
                }
                Some(done)
            }
            Err(error) => {
                let why = error.to_string();
                let before = self.gaps.take();
                if before.as_ref().is_none_or(|gaps| !gaps.last) {
                    let (agent, session) = (self.session.agent(), self.session.id());
                    tracing::error!(agent, %session, "its session has a gap: {why}");
                }
                self.gaps = Some(Gaps {
                    entries: before.map_or(0, |gaps| gaps.entries) + 1,
                    why,
                    last: true,
                });
                None
            }
        }
    }

    /// Compacts and escalates as the session's mode demands, and logs it.
    pub(crate) fn keep_within(&mut self) -> Vec<Action> {
        let actions = self.write(Session::keep_within).unwrap_or_default();
        let (agent, session) = (self.session.agent(), self.session.id());
        for action in &actions {
            match action {
                Action::Compacted(done) => tracing::info!(
                    agent, %session,
                    "compacted {} entries: {} bytes before, {} now",
                    done.entries, done.before, done.after
                ),
                Action::Escalated(step) => tracing::warn!(
                    agent, %session,
                    "escalated from {} to {}: {}",
                    step.from.as_str(), step.to.as_str(), step.trigger
                ),
                Action::AtCeiling(_) => tracing::warn!(
                    agent, %session,
                    "over the limits of the dearest mode; its prompts are trimmed"
                ),
            }
        }
        actions
    }

    /// The session in short.
    pub(crate) fn brief(&self) -> SessionBrief {
        self.session.brief()
    }

    /// What is missing, as a sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        let Gaps { entries, why, .. } = self.gaps.as_ref()?;
        Some(match entries {
            1 => format!("an entry is missing: {why}"),
            _ => format!("{entries} entries are missing: {why}"),
        })
    }

    fn snapshot(&self) -> SessionSnapshot {
        let mut snapshot = self.session.snapshot(&self.limits);
        snapshot.findings.extend(self.problem());
        snapshot
    }
}

/// An open session, for as long as the guard lives.
pub(crate) fn lock(shared: &Mutex<Book>) -> MutexGuard<'_, Book> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(error: SessionError) -> ReplyError {
    let kind = match error {
        SessionError::InUse { .. } => ErrorKind::Conflict,
        _ => ErrorKind::Internal,
    };
    ReplyError::new(kind, error.to_string())
}

/// A session's file in a folder of them.
pub(crate) fn file_of(folder: &Path, id: Uuid) -> PathBuf {
    folder.join(format!("{id}.jsonl"))
}

/// Makes an agent's folder, for good: a file is on disk once every folder above it is. Its own is
/// synced when it is made, those above that up to the daemon's data here.
fn make(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    for above in folder.ancestors().skip(1).take(3) {
        std::fs::File::open(above)?.sync_all()?;
    }
    Ok(())
}

/// The session that was begun last: ids made later sort later.
fn newest(folder: &Path) -> io::Result<Option<PathBuf>> {
    let newest = ids(folder)?.into_iter().max();
    Ok(newest.map(|id| file_of(folder, id)))
}

/// Sessions into which nothing was written since then, in the order in which they were begun, without
/// the one that was begun last.
fn old(folder: &Path, before: Timestamp) -> io::Result<Vec<Uuid>> {
    let mut ids = ids(folder)?;
    ids.sort_unstable();
    ids.pop();
    let is_old = |id: &Uuid| {
        let written = std::fs::metadata(file_of(folder, *id)).and_then(|meta| meta.modified());
        written.is_ok_and(|at| Timestamp::try_from(at).is_ok_and(|at| at < before))
    };
    ids.retain(is_old);
    Ok(ids)
}

/// The sessions in a folder.
fn ids(folder: &Path) -> io::Result<Vec<Uuid>> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            let name = path.file_stem().and_then(|name| name.to_str());
            ids.extend(name.and_then(|name| Uuid::try_parse(name).ok()));
        }
    }
    Ok(ids)
}

/// A session to go on with; none when another has to be begun, which is logged.
fn reopen(path: &Path, agent: &Name, prefix: &str) -> Option<Session> {
    match Session::open(path) {
        Ok(session) if session.prefix() == prefix => {
            for finding in session.findings() {
                tracing::warn!(%agent, session = %session.id(), "its session: {finding}");
            }
            Some(session)
        }
        Ok(session) => {
            let before = session.id();
            tracing::info!(%agent, %before, "begins another session: it has another first prompt");
            None
        }
        Err(error) => {
            tracing::error!(%agent, "begins another session: {error}");
            None
        }
    }
}

fn begin(folder: &Path, agent: &Name, mode: CostMode, prefix: String) -> Result<Session, String> {
    let id = colibri_store::new_id(Timestamp::now()).map_err(|error| error.to_string())?;
    let new = NewSession {
        session: id,
        agent: agent.to_string(),
        cost_mode: mode,
        prefix,
    };
    Session::create(&file_of(folder, id), new).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::AgentIdentity;
    use jiff::SignedDuration;
    use std::fs::File;
    use std::time::Duration;

    const OPERATOR: Rights = Rights::Operator { uid: 0 };

    fn ada() -> Name {
        "ada".parse().unwrap()
    }

    #[test]
    fn a_session_goes_on_while_its_prefix_is_the_same_and_has_the_mode_that_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path().to_owned(), Limits::default());
        let enter = |mode, prefix: &str| {
            let shared = sessions.enter(&ada(), mode, prefix.to_owned()).unwrap();
            assert_eq!(sessions.open().len(), 1);
            let brief = lock(&shared).brief();
            sessions.leave(shared);
            (brief.session, brief.cost_mode)
        };
        let shared = sessions.enter(&ada(), CostMode::Fast, "Be kind.\n".to_owned());
        let second = sessions.enter(&ada(), CostMode::Fast, "Be kind.\n".to_owned());
        assert!(second.unwrap_err().contains("runs already"));
        sessions.leave(shared.unwrap());
        let (first, mode) = enter(CostMode::Smart, "Be kind.\n");
        assert_eq!(mode, CostMode::Smart);
        assert_eq!(enter(CostMode::Fast, "Be kind.\n"), (first, CostMode::Fast));
        assert_eq!(enter(CostMode::Max, "Be kind.\n"), (first, CostMode::Max));
        let (second, mode) = enter(CostMode::Fast, "Be brief.\n");
        assert!(second != first && mode == CostMode::Fast);
        assert!(sessions.open().is_empty());
        // Both can be asked for though none is open.
        assert_eq!(
            sessions.get(first, &OPERATOR).unwrap().cost_mode,
            CostMode::Max
        );
        assert_eq!(sessions.get(second, &OPERATOR).unwrap().agent, "ada");
        let error = sessions.get(Uuid::nil(), &OPERATOR).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
    }

    #[test]
    fn a_mode_that_a_session_came_to_by_itself_stays_until_another_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path().to_owned(), Limits::default());
        let shared = sessions.enter(&ada(), CostMode::Fast, String::new());
        let shared = shared.unwrap();
        let long = "x".repeat(600_000);
        lock(&shared).write(|session, _| session.ask(long));
        assert_eq!(lock(&shared).keep_within().len(), 1);
        sessions.leave(shared);
        let enter = |mode| {
            let shared = sessions.enter(&ada(), mode, String::new()).unwrap();
            let mode = lock(&shared).brief().cost_mode;
            sessions.leave(shared);
            mode
        };
        assert_eq!(enter(CostMode::Fast), CostMode::Smart);
        assert_eq!(enter(CostMode::Smart), CostMode::Smart);
        assert_eq!(enter(CostMode::Fast), CostMode::Fast);
    }

    #[test]
    fn an_agent_reaches_its_own_session_and_no_other_also_when_none_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path().to_owned(), Limits::default());
        let shared = sessions.enter(&ada(), CostMode::Fast, String::new());
        let shared = shared.unwrap();
        for turn in 0..9 {
            lock(&shared).write(|session, _| session.ask(format!("turn {turn}")));
        }
        let session = lock(&shared).brief().session;
        sessions.leave(shared);
        let agent = |name: &str| {
            Rights::Agent(AgentIdentity {
                id: Uuid::nil(),
                name: name.parse().unwrap(),
                tenant: None,
            })
        };
        let compact = |rights: &Rights| {
            let summary = None;
            sessions.compact(CompactSession { session, summary }, rights)
        };
        let before = sessions.get(session, &agent("ada")).unwrap();
        let error = compact(&agent("bob")).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Forbidden);
        let error = sessions.get(session, &agent("bob")).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Forbidden);
        assert_eq!(sessions.get(session, &OPERATOR).unwrap(), before);
        assert!(compact(&agent("ada")).unwrap().compacted.entries > 0);
    }

    #[test]
    fn old_sessions_go_with_what_their_agent_remembers_but_for_the_newest_and_the_open() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path().to_owned(), Limits::default());
        let enter = |prefix: &str| {
            let shared = sessions.enter(&ada(), CostMode::Fast, prefix.to_owned());
            shared.unwrap()
        };
        let home = dir.path().join("ada");
        let file = |id| file_of(&home.join(SESSIONS), id);
        let memory = |id| file_of(&home.join(MEMORY), id);
        let mut ids = Vec::new();
        for prefix in ["1", "2", "3", "4"] {
            let shared = enter(prefix);
            ids.push(lock(&shared).brief().session);
            sessions.leave(shared);
            // Ids of one millisecond are in no order.
            std::thread::sleep(Duration::from_millis(2));
        }
        std::fs::create_dir(home.join(MEMORY)).unwrap();
        std::fs::create_dir(dir.path().join("never-had-one")).unwrap();
        let now = Timestamp::now();
        let before = now - SignedDuration::from_hours(24);
        for (&id, hours) in ids.iter().zip([48, 23, 48, 48]) {
            std::fs::write(memory(id), "what pi remembers").unwrap();
            let at = now - SignedDuration::from_hours(hours);
            let written = File::options().append(true).open(file(id)).unwrap();
            written.set_modified(at.into()).unwrap();
        }
        let there = || -> Vec<bool> {
            let both = ids
                .iter()
                .map(|&id| (file(id).exists(), memory(id).exists()));
            both.map(|(session, memory)| {
                assert_eq!(session, memory);
                session
            })
            .collect()
        };
        assert_eq!(sessions.remove_old(before, 0), 0);
        assert_eq!(there(), [true; 4]);
        assert_eq!(sessions.remove_old(before, 1), 1);
        assert_eq!(there(), [false, true, true, true]);
        assert_eq!(sessions.remove_old(before, 9), 1);
        assert_eq!(there(), [false, true, false, true], "the newest stays");

        let open = enter("4");
        assert_eq!(lock(&open).brief().session, ids[3]);
        std::fs::write(file(Uuid::from_u128(u128::MAX)), "a newer one").unwrap();
        assert_eq!(sessions.remove_old(before, 9), 0, "it is open");
        sessions.leave(open);
        assert_eq!(sessions.remove_old(before, 9), 1);
        assert_eq!(there(), [false, true, false, false]);
        assert_eq!(
            sessions.get(ids[0], &OPERATOR).unwrap_err().kind,
            ErrorKind::NotFound
        );
    }

    #[test]
    fn a_session_that_is_damaged_or_cannot_be_made_stops_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path().to_owned(), Limits::default());
        let shared = sessions.enter(&ada(), CostMode::Fast, String::new());
        let shared = shared.unwrap();
        let first = lock(&shared).brief().session;
        sessions.leave(shared);
        let path = file_of(&dir.path().join("ada/sessions"), first);
        std::fs::write(&path, "not a session\n").unwrap();
        let error = sessions.get(first, &OPERATOR).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        let shared = sessions.enter(&ada(), CostMode::Fast, String::new());
        assert_ne!(lock(&shared.unwrap()).brief().session, first);

        std::fs::write(dir.path().join("bob"), "in the way").unwrap();
        let bob = "bob".parse().unwrap();
        let error = sessions.enter(&bob, CostMode::Fast, String::new());
        assert!(error.unwrap_err().contains("cannot make"));
    }
}
