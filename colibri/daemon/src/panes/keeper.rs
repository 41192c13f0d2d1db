//! One agent's life: its process, its pane and what it works on.
//!
//! It is given one thing at a time. Agents would queue the rest, but what they say at an end does
//! not name what has ended, and `pi` has one end for all that it was asked meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use colibri_glasspane::{Change as Seen, End, Input as Said, Pane, SETTLES_AFTER};
use colibri_protocol::{
    AnswerAgent, Change, ErrorKind, Heartbeat, ListTasks, Name, PaneSnapshot, PaneState,
    ReplyError, SpawnAgent, Task, TaskStatus, TransitionTask, Usage,
};
use colibri_service::blank::{Blanker, Keys};
use colibri_spawner::{
    Decision, Ending, Exit, Input, Output, Program, RestartPolicy, Restarts, Spawned, Spawner, When,
};
use colibri_store::{Batch, Lease};
use jiff::Timestamp;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::Panes;
use super::record::Record;
use crate::board::Board;
use crate::door::Door;

/// How long an agent's last words may take once its processes are gone.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Longest result that is kept with a task, in bytes.
const MAX_RESULT: usize = 16 * 1024;

/// Most prompts that wait until an agent is free.
const MAX_PROMPTS: usize = 32;

/// The pause before the database is asked again to take the end of a task; each is twice as long as the
/// one before, up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Names a compaction, which is no work that anybody asked for but has to end like it.
const COMPACTION: &str = "compact";

/// What a keeper is told.
#[derive(Debug)]
pub(super) enum Order {
    /// There may be a task for it, or its own may be its own no more.
    Look,
    /// This task stands elsewhere than before; look, should it be the agent's.
    Moved(Uuid),
    /// Show its session anew, which somebody else has changed.
    Show,
    /// The same, and its session was compacted: so is what the agent itself remembers. Answered when
    /// the session is shown.
    Compacted(oneshot::Sender<()>),
    /// Ask it this, once it is free; the answer is whether it can be asked.
    Prompt(String, oneshot::Sender<Result<(), String>>),
    /// Answer what it asks; the answer is whether it can be answered.
    Answer(AnswerAgent, oneshot::Sender<Result<(), String>>),
    /// End it; answered when nothing is left of it.
    Stop(oneshot::Sender<()>),
}

/// Sees to one agent until it is stopped, or ends and is not to be started again.
#[derive(Debug)]
pub(super) struct Keeper {
    board: Arc<Board>,
    spawner: Spawner,
    lease: Lease,
    /// Before it is first started again.
    first_pause: Duration,
    agent_id: Uuid,
    spawn: SpawnAgent,
    program: Program,
    keys: Keys,
    orders: mpsc::UnboundedReceiver<Order>,
    pane: Pane,
    record: Record,
    shown: watch::Sender<PaneSnapshot>,
    work: Option<Work>,
    /// Writes the end of a task, which the database did not take at first.
    unwritten: Option<JoinHandle<()>>,
    /// What it is asked as soon as it is free, before it gets its next task.
    prompts: VecDeque<String>,
    /// Its session was compacted, and the agent is told to do the same before anything else.
    is_to_compact: bool,
    /// Those who wait for its end.
    stops: Vec<oneshot::Sender<()>>,
}

/// What it works on.
#[derive(Debug)]
struct Work {
    /// Names it when the agent refuses it.
    id: String,
    /// The task that it is; none when it was asked something else.
    task_id: Option<Uuid>,
    /// Which of the task's attempts.
    attempt: u32,
    /// The task was called off or taken away, and the agent has not yet said that it stopped. What
    /// it uses until then is the task's all the same.
    is_called_off: bool,
    /// What it took that is not in the task's account yet.
    unbooked: Usage,
}

impl Work {
    fn task(task: &Task) -> Self {
        Self {
            id: task.id.to_string(),
            task_id: Some(task.id),
            attempt: task.attempts,
            is_called_off: false,
            unbooked: Usage::default(),
        }
    }

    fn prompt() -> Self {
        Self::other("prompt")
    }

    fn compaction() -> Self {
        Self::other(COMPACTION)
    }

    fn other(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            task_id: None,
            attempt: 0,
            is_called_off: false,
            unbooked: Usage::default(),
        }
    }
}

/// What an attempt at a task has come to.
#[derive(Debug, Clone)]
struct AttemptEnd {
    to: TransitionTask,
    attempt: u32,
    agent: Name,
    lease: Lease,
}

impl AttemptEnd {
    async fn write(self, board: &Board) -> Result<(), ReplyError> {
        let actor = format!("agent:{}", self.agent);
        let end = move |batch: &mut Batch<'_>| {
            batch.end_attempt(self.to, self.attempt, &actor, self.lease, Timestamp::now())
        };
        board.change(end).await.map(drop)
    }

    /// Has it written as soon as the database takes it, for as long as the daemon lives.
    async fn insist(self, board: Arc<Board>) {
        let mut pause = FIRST_RETRY;
        loop {
            tokio::time::sleep(pause).await;
            match self.clone().write(&board).await {
                Ok(()) => {
                    return tracing::info!(agent = %self.agent, "the end of its task is written");
                }
                Err(error) if error.kind == ErrorKind::Database => {
                    pause = (pause * 2).min(LONGEST_RETRY);
                }
                Err(error) => {
                    return tracing::warn!(agent = %self.agent, "the end of its task: {error}");
                }
            }
        }
    }
}

impl Keeper {
    /// A keeper with what others see of its agent, which has begun as `spawned` and goes on with, or
    /// begins, the session of `record`.
    pub(super) fn new(
        panes: &Panes,
        spawned: &Spawned,
        agent_id: Uuid,
        spawn: SpawnAgent,
        program: Program,
        record: Record,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> (Self, watch::Sender<PaneSnapshot>) {
        let now = Timestamp::now();
        let id = format!("{}-{}", spawn.name, now.as_millisecond());
        let mut pane = Pane::new(id, spawn.name.as_str(), spawn.runtime, now)
            .with_stall_after(panes.stall_after);
        note_process(&mut pane, spawned);
        let shown = watch::Sender::new(pane.snapshot(now));
        let keeper = Self {
            board: Arc::clone(&panes.board),
            spawner: panes.spawner.clone(),
            lease: panes.lease,
            first_pause: panes.first_pause,
            agent_id,
            spawn,
            program,
            keys: panes.keys.clone(),
            orders,
            pane,
            record,
            shown: shown.clone(),
            work: None,
            unwritten: None,
            prompts: VecDeque::new(),
            is_to_compact: false,
            stops: Vec::new(),
        };
        keeper.show(false);
        (keeper, shown)
    }

    /// The agent's whole life, which has begun with `spawned`; its `door` is open that long, restarts
    /// included.
    pub(super) async fn keep(mut self, spawned: Spawned, door: Door, mut first: Option<String>) {
        let policy = RestartPolicy {
            when: if self.spawn.restart {
                When::Always
            } else {
                When::Never
            },
            first: self.first_pause,
            ..RestartPolicy::default()
        };
        let mut restarts = Restarts::default();
        let mut next = Some(spawned);
        loop {
            let decision = match next.take() {
                Some(spawned) => {
                    let began = Instant::now();
                    let exit = self.live(spawned, first.take()).await;
                    self.bury(&exit).await;
                    restarts.ended(&policy, exit.how, began.elapsed())
                }
                None => match self.spawner.spawn(&self.program).await {
                    Ok(spawned) => {
                        note_process(&mut self.pane, &spawned);
                        next = Some(spawned);
                        continue;
                    }
                    Err(error) => restarts.refused(&policy, &error.to_string()),
                },
            };
            if self.is_stopping() {
                break;
            }
            match decision {
                Decision::Finished => break,
                Decision::GiveUp { reason } => {
                    tracing::warn!(agent = %self.spawn.name, "left alone: {reason}");
                    // Of one that nobody wanted to run again the pane says enough.
                    if self.spawn.restart {
                        let seen = self.pane.left_alone(&reason, Timestamp::now());
                        self.follow(seen, None).await;
                        self.show(true);
                    }
                    break;
                }
                Decision::Restart { after, attempt } => {
                    tracing::info!(agent = %self.spawn.name, attempt, "starts again in {after:?}");
                    if self.pause(after).await {
                        break;
                    }
                }
            }
        }
        self.record.close();
        // Whoever waits for the end finds nothing left of it, the socket included.
        drop(door);
        for stop in self.stops.drain(..) {
            // Whoever asked may be gone.
            let _ = stop.send(());
        }
        // From here on its name is free.
        self.orders.close();
        // Its end was not noted before that of its task, and the board takes it for alive.
        if let Some(unwritten) = self.unwritten.take() {
            if let Err(error) = unwritten.await {
                tracing::error!(agent = %self.spawn.name, "writing the end of its task: {error}");
            }
            self.note_end().await;
        }
    }

    fn is_stopping(&self) -> bool {
        !self.stops.is_empty()
    }

    /// One process from its start to its end.
    async fn live(&mut self, spawned: Spawned, first: Option<String>) -> Exit {
        let Spawned {
            agent,
            input,
            mut output,
        } = spawned;
        self.show(true);
        if let Some(message) = first {
            match self.say(&input, Work::prompt(), &message) {
                Ok(()) => self.record.asked_first(&message),
                Err(problem) => {
                    tracing::warn!(agent = %self.spawn.name, "its first prompt: {problem}");
                }
            }
        }
        self.look(&input).await;

        let mut beat = tokio::time::interval(self.lease.0 / 3);
        let mut blanker = Blanker::new(self.keys.clone());
        let mut chunk = vec![0; 16 * 1024];
        let mut is_open = true;
        let ended = agent.ended();
        tokio::pin!(ended);
        loop {
            let wakes = until(self.pane.wakes_at());
            tokio::select! {
                read = output.read(&mut chunk), if is_open => match read {
                    Ok(0) | Err(_) => is_open = false,
                    Ok(count) => {
                        let said = blanker.pass(&chunk[..count]);
                        let seen = self.pane.feed(&said, Timestamp::now());
                        self.follow(seen, Some(&input)).await;
                    }
                },
                order = self.orders.recv() => match order {
                    Some(Order::Look) => self.look(&input).await,
                    Some(Order::Moved(task_id)) => {
                        if self.work.as_ref().and_then(|work| work.task_id) == Some(task_id) {
                            self.look(&input).await;
                        }
                    }
                    Some(Order::Show) => self.show_session(),
                    Some(Order::Compacted(done)) => {
                        self.compacted(done);
                        self.look(&input).await;
                    }
                    Some(Order::Prompt(message, taken)) => {
                        // Whoever asked may be gone; the prompt stands.
                        let _ = taken.send(self.prompt(&input, message));
                    }
                    Some(Order::Answer(answer, taken)) => {
                        let given = self.answer(&input, answer).await;
                        let _ = taken.send(given);
                    }
                    Some(Order::Stop(done)) => {
                        self.stops.push(done);
                        agent.ask_to_stop(None);
                    }
                    // The daemon has forgotten us.
                    None => agent.ask_to_stop(None),
                },
                _ = beat.tick() => {
                    self.beat().await;
                    // For what the database did not let it see or begin before.
                    self.look(&input).await;
                }
                () = tokio::time::sleep(wakes) => {
                    let seen = self.pane.tick(Timestamp::now());
                    self.follow(seen, Some(&input)).await;
                }
                exit = &mut ended => {
                    self.drain(&mut output, is_open, &mut blanker).await;
                    return exit;
                }
            }
        }
    }

    /// What it printed before its end and nobody has read yet.
    async fn drain(&mut self, output: &mut Output, is_open: bool, blanker: &mut Blanker) {
        let mut chunk = vec![0; 16 * 1024];
        let rest = async {
            while is_open && let Ok(count @ 1..) = output.read(&mut chunk).await {
                let said = blanker.pass(&chunk[..count]);
                let seen = self.pane.feed(&said, Timestamp::now());
                self.follow(seen, None).await;
            }
        };
        // A process that cannot be ended may hold the pipe for ever.
        let _ = tokio::time::timeout(LAST_WORDS, rest).await;
    }

    /// Notes how it ended; a task that it had goes back.
    async fn bury(&mut self, exit: &Exit) {
        if !exit.left.is_empty() {
            tracing::error!(agent = %self.spawn.name, "processes that cannot be ended: {:?}", exit.left);
        }
        let end = match exit.how {
            _ if self.is_stopping() => End::Asked,
            Ending::Code(code) => End::Code(code),
            Ending::Signal(signal) => End::Signal(signal),
            Ending::Unknown => End::Code(-1),
        };
        // What it had ended before counts; a task that it was in the middle of is another's to try.
        let settled = Timestamp::now().saturating_add(SETTLES_AFTER);
        let seen = self.pane.tick(settled.unwrap_or(Timestamp::MAX));
        self.follow(seen, None).await;
        // Stopped by an operator, it has not failed, and another may try at once.
        let why = format!("agent {} ended: {}", self.spawn.name, exit.how);
        let why = Some(why).filter(|_| !self.is_stopping());
        self.end_work(TaskStatus::Queued, why).await;
        // What it holds is taken back; but not what it has done, and is only not written yet.
        if self.unwritten.as_ref().is_none_or(JoinHandle::is_finished) {
            self.note_end().await;
        }
        let seen = self.pane.ended(end, Timestamp::now());
        self.follow(seen, None).await;
        self.show(true);
    }

    /// The board gives it no tasks any more, and takes back those that it holds.
    async fn note_end(&self) {
        let (agent_id, lease) = (self.agent_id, self.lease);
        let ended = self
            .board
            .change(move |batch| batch.agent_ended(agent_id, lease, Timestamp::now()))
            .await;
        if let Err(error) = ended {
            tracing::warn!(agent = %self.spawn.name, "its end: {error}");
        }
    }

    /// Waits before the next start. Gives back whether it was told to stop meanwhile.
    async fn pause(&mut self, after: Duration) -> bool {
        let end = Instant::now() + after;
        loop {
            let order = tokio::select! {
                () = tokio::time::sleep_until(end) => return false,
                order = self.orders.recv() => order,
            };
            match order {
                Some(Order::Look | Order::Moved(_)) => {}
                Some(Order::Show) => self.show_session(),
                Some(Order::Compacted(done)) => self.compacted(done),
                Some(Order::Prompt(_, taken) | Order::Answer(_, taken)) => {
                    let text = format!("agent {} is about to be started again", self.spawn.name);
                    let _ = taken.send(Err(text));
                }
                Some(Order::Stop(done)) => {
                    self.stops.push(done);
                    return true;
                }
                None => return true,
            }
        }
    }

    /// Acts on what has changed in the pane.
    async fn follow(&mut self, seen: Vec<Seen>, input: Option<&Input>) {
        let mut is_news = false;
        let mut is_free = false;
        for change in seen {
            // The session first: who sees a task done finds in the session what was said of it.
            for news in self.record.hear(&change) {
                let compacted = matches!(
                    news,
                    Change::Session {
                        escalated: None,
                        ..
                    }
                );
                self.is_to_compact |= compacted;
                self.board.tell(news);
            }
            match change {
                Seen::State { .. } => {
                    is_news = true;
                    // Also after something that nobody had asked it for.
                    is_free |= self.is_free();
                }
                Seen::Asked { .. } | Seen::Stalled => is_news = true,
                Seen::Used(used) => {
                    if let Some(work) = &mut self.work {
                        work.unbooked += used;
                    }
                }
                // For the session alone.
                Seen::Said(_) | Seen::Called { .. } | Seen::Returned { .. } => {}
                Seen::Finished => {
                    self.end_work(TaskStatus::Done, None).await;
                    is_free = true;
                }
                Seen::Failed { why, may_pass } => {
                    // What may pass is tried again, after a pause and by whoever is free then.
                    let status = if may_pass {
                        TaskStatus::Queued
                    } else {
                        TaskStatus::Failed
                    };
                    self.end_work(status, Some(why)).await;
                    is_free = true;
                }
                Seen::Aborted => {
                    self.end_work(TaskStatus::Queued, Some("called off".to_owned()))
                        .await;
                    is_free = true;
                }
                Seen::Compacted => {
                    if self.work.as_ref().is_some_and(|work| work.id == COMPACTION) {
                        self.work = None;
                        is_free = true;
                    }
                }
                Seen::Refused { id, why } => {
                    // One that could not even be read has no name.
                    let is_it = |work: &Work| id.as_deref().is_none_or(|id| id == work.id);
                    if self.work.as_ref().is_some_and(is_it) {
                        self.end_work(TaskStatus::Failed, Some(why)).await;
                        is_free = true;
                    }
                }
            }
        }
        // Once for all that was read together, which is about once for each answer of a model.
        self.book().await;
        self.show(is_news);
        if let (true, Some(input)) = (is_free, input) {
            self.look(input).await;
        }
    }

    /// Gives it what comes next once it is free: a compaction, a prompt, or the task that the board
    /// has for it. Or calls its work off when the board has called the task off, taken it away or
    /// ended it.
    async fn look(&mut self, input: &Input) {
        if let Some(work) = &mut self.work {
            let Some(task_id) = work.task_id.filter(|_| !work.is_called_off) else {
                return;
            };
            let found = self.board.read(move |reader| reader.task(task_id)).await;
            let holder = (TaskStatus::Started, Some(self.agent_id), work.attempt);
            let stands = |task: &Task| (task.status, task.agent_id, task.attempts);
            if found.is_ok_and(|found| stands(&found.task) != holder) {
                // Not free before it says that it has stopped.
                work.is_called_off = true;
                let abort = Said::Abort { id: "abort" };
                if let Some(line) = abort.line(self.spawn.runtime) {
                    // One that does not read will not be helped by this either.
                    let _ = input.send(line);
                }
            }
            return;
        }
        if !self.is_free() {
            return;
        }
        if std::mem::take(&mut self.is_to_compact) && self.compact(input) {
            return;
        }
        while let Some(message) = self.prompts.pop_front() {
            match self.ask(input, Work::prompt(), &message) {
                Ok(()) => return,
                Err(problem) => tracing::warn!(agent = %self.spawn.name, "a prompt: {problem}"),
            }
        }
        let Some(task) = self.claimed().await else {
            return;
        };
        let started = TransitionTask::to(task.id, TaskStatus::Started, Some(self.agent_id));
        if !self.transition(started).await {
            return;
        }
        let work = Work::task(&task);
        let message = match task.description.is_empty() {
            true => task.title,
            false => format!("{}\n\n{}", task.title, task.description),
        };
        if let Err(problem) = self.ask(input, work, &message) {
            let back = TransitionTask {
                error: Some(plain(&problem)),
                ..TransitionTask::to(task.id, TaskStatus::Queued, Some(self.agent_id))
            };
            self.end_attempt(back, task.attempts).await;
        }
    }

    /// Whether it can be asked something whose end is then told from others: it was asked nothing,
    /// and has not begun anything by itself.
    fn is_free(&self) -> bool {
        let is_busy = matches!(self.pane.state(), PaneState::Working | PaneState::Blocked);
        self.work.is_none() && !is_busy
    }

    async fn claimed(&self) -> Option<Task> {
        let which = ListTasks {
            status: Some(TaskStatus::Claimed),
            agent_id: Some(self.agent_id),
            ..ListTasks::default()
        };
        let read = move |reader: &colibri_store::Reader| reader.tasks(&which, 1, usize::MAX);
        match self.board.read(read).await {
            Ok(page) => page.tasks.into_iter().next(),
            Err(error) => {
                tracing::error!(agent = %self.spawn.name, "looking for its tasks: {error}");
                None
            }
        }
    }

    /// Puts what its task took since the last time into the task's account: at once, for the daemon
    /// may be killed before the work ends, and whatever becomes of the task.
    async fn book(&mut self) {
        let Some(work) = &mut self.work else {
            return;
        };
        let Some(task_id) = work.task_id.filter(|_| work.unbooked != Usage::default()) else {
            return;
        };
        let used = work.unbooked;
        let booked = self
            .board
            .change(move |batch| batch.book_usage(task_id, used, Timestamp::now()))
            .await;
        match booked {
            Ok(_) => work.unbooked = Usage::default(),
            // Tried again with what comes next.
            Err(error) => tracing::warn!(agent = %self.spawn.name, "its task's cost: {error}"),
        }
    }

    /// It is free, and a task that it had has come to this.
    async fn end_work(&mut self, status: TaskStatus, error: Option<String>) {
        self.book().await;
        let Some(Work {
            task_id: Some(task_id),
            attempt,
            is_called_off: false,
            unbooked,
            ..
        }) = self.work.take()
        else {
            return;
        };
        let result = (status == TaskStatus::Done)
            .then(|| plain(&self.pane.snapshot(Timestamp::now()).text))
            .filter(|text| !text.is_empty());
        let to = TransitionTask {
            result,
            error: error.as_deref().map(plain),
            usage: Some(unbooked).filter(|used| *used != Usage::default()),
            ..TransitionTask::to(task_id, status, Some(self.agent_id))
        };
        self.end_attempt(to, attempt).await;
    }

    /// Writes what an attempt at a task has come to: now, or else as soon as the database takes it. The
    /// agent holds the task on the board until then, and is given no other.
    async fn end_attempt(&mut self, to: TransitionTask, attempt: u32) {
        let end = AttemptEnd {
            to,
            attempt,
            agent: self.spawn.name.clone(),
            lease: self.lease,
        };
        match end.clone().write(&self.board).await {
            Ok(()) => {}
            Err(error) if error.kind == ErrorKind::Database => {
                tracing::error!(
                    agent = %self.spawn.name,
                    "the end of its task is not written yet, and tried again: {error}"
                );
                let insist = end.insist(Arc::clone(&self.board));
                self.unwritten = Some(tokio::spawn(insist));
            }
            Err(error) => tracing::warn!(agent = %self.spawn.name, "its task: {error}"),
        }
    }

    async fn transition(&self, to: TransitionTask) -> bool {
        let lease = self.lease;
        let actor = format!("agent:{}", self.spawn.name);
        let moved = self
            .board
            .change(move |batch| batch.transition_task(to, &actor, lease, Timestamp::now()))
            .await;
        if let Err(error) = &moved {
            tracing::warn!(agent = %self.spawn.name, "its task: {error}");
        }
        moved.is_ok()
    }

    /// It lives as long as its process does, whatever it does.
    async fn beat(&self) {
        let of = Heartbeat {
            agent_id: self.agent_id,
            host: None,
        };
        let lease = self.lease;
        let beat = self
            .board
            .change(move |batch| batch.heartbeat(&of, lease, Timestamp::now()))
            .await;
        if let Err(error) = beat {
            tracing::warn!(agent = %self.spawn.name, "its sign of life: {error}");
        }
    }

    /// Asks it something that is no task, now or once it is free.
    fn prompt(&mut self, input: &Input, message: String) -> Result<(), String> {
        if self.is_free() {
            return self.ask(input, Work::prompt(), &message);
        }
        if self.prompts.len() >= MAX_PROMPTS {
            return Err(format!(
                "agent {} is busy, and {MAX_PROMPTS} prompts wait for it; try again later",
                self.spawn.name
            ));
        }
        self.prompts.push_back(message);
        Ok(())
    }

    /// Answers what it asks.
    async fn answer(&mut self, input: &Input, given: AnswerAgent) -> Result<(), String> {
        let name = &self.spawn.name;
        let shown = self.pane.question().map(str::to_owned);
        let question = given
            .question
            .or(shown)
            .filter(|question| self.pane.asks(question))
            .ok_or_else(|| format!("agent {name} does not wait for the answer to that"))?;
        let said = Said::Answer {
            question: &question,
            answer: &given.answer,
        };
        let line = said
            .line(self.spawn.runtime)
            .ok_or_else(|| format!("a {} takes no answers", self.spawn.runtime))?;
        input.send(line).map_err(|error| error.to_string())?;
        let seen = self.pane.answered(&question, Timestamp::now());
        self.follow(seen, Some(input)).await;
        Ok(())
    }

    /// Has it compact what it remembers, as its session was; whether it does.
    fn compact(&mut self, input: &Input) -> bool {
        let work = Work::compaction();
        let compact = Said::Compact { id: &work.id };
        let Some(line) = compact.line(self.spawn.runtime) else {
            return false;
        };
        if let Err(error) = input.send(line) {
            tracing::warn!(agent = %self.spawn.name, "compacting what it remembers: {error}");
            return false;
        }
        self.work = Some(work);
        true
    }

    /// Asks it something, which begins a turn of its session.
    fn ask(&mut self, input: &Input, work: Work, message: &str) -> Result<(), String> {
        self.say(input, work, message)?;
        self.record.asked(message);
        Ok(())
    }

    /// Tells it what to do, which is its work from now on.
    fn say(&mut self, input: &Input, work: Work, message: &str) -> Result<(), String> {
        let prompt = Said::Prompt {
            id: &work.id,
            message,
        };
        let line = prompt
            .line(self.spawn.runtime)
            .ok_or_else(|| format!("a {} cannot be asked anything", self.spawn.runtime))?;
        input.send(line).map_err(|error| error.to_string())?;
        self.work = Some(work);
        Ok(())
    }

    /// Subscribers heard of the change itself before the pane showed it.
    fn show_session(&mut self) {
        self.record.refresh();
        self.show(true);
    }

    /// Its session was compacted by somebody else.
    fn compacted(&mut self, done: oneshot::Sender<()>) {
        self.show_session();
        self.is_to_compact = true;
        // Whoever asked may be gone.
        let _ = done.send(());
    }

    /// Shows the pane as it is; `is_news`: subscribers are told, too.
    fn show(&self, is_news: bool) {
        let mut snapshot = self.pane.snapshot(Timestamp::now());
        let state = snapshot.state;
        let session = self.record.shown();
        snapshot.session = session.brief;
        snapshot.session_problem = session.problem;
        self.shown.send_replace(snapshot);
        if is_news {
            self.board.tell(Change::Pane {
                agent: self.spawn.name.clone(),
                state,
            });
        }
    }
}

fn note_process(pane: &mut Pane, spawned: &Spawned) {
    if let Some(pid) = spawned.agent.state().pid() {
        pane.started_as(pid.unsigned_abs());
    }
}

/// How long until then; a long time when there is no such moment.
fn until(at: Option<Timestamp>) -> Duration {
    at.map_or(Duration::from_secs(3600), |at| {
        Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()
    })
}

/// Text of an agent as it may stand in the database and on terminals: no control characters, and
/// the end of what is too long.
fn plain(text: &str) -> String {
    let clean: String = text
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    let mut from = clean.len().saturating_sub(MAX_RESULT);
    while !clean.is_char_boundary(from) {
        from += 1;
    }
    clean[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_says_is_plain_and_short() {
        assert_eq!(plain("a\u{1b}[31mb\r\n\tc"), "a[31mb\n\tc");
        let long = format!("{}end", "ž".repeat(MAX_RESULT));
        let short = plain(&long);
        assert!(short.len() <= MAX_RESULT && short.ends_with("žend"));
    }
}
