//! The agents that this daemon runs itself: who they are, and how to reach each of them.
//!
//! Every agent has a keeper of its own ([`keeper`]), which starts its process, reads what it prints
//! and gives it work. Here they are found by name.

mod keeper;
mod log;
mod record;

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use colibri_protocol::{
    AgentLog, AnswerAgent, Change, CompactSession, Compacted, CostMode, DismissPane, ErrorKind,
    GetSession, LogLines, Name, PaneSnapshot, RegisterAgent, Removal, ReplyError, Runtime,
    SendPrompt, SessionBrief, SessionSnapshot, Snapshot, SpawnAgent, StopAgent, TaskStatus,
    TenantId, place, variable,
};
use colibri_service::blank::Keys;
use colibri_service::notify;
use colibri_spawner::{
    Environment, Leash, Log, LogPlace, Program, ProgramError, SpawnError, Spawned, Spawner,
};
use colibri_store::Retired;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::keeper::{Keeper, Order};
use self::record::Record;
use crate::board::Board;
use crate::config::Config;
use crate::door::Doors;
use crate::failure::Failure;
use crate::in_jail;
use crate::rights::{AgentIdentity, Rights};
use crate::sessions::{MEMORY, Sessions, file_of};
use crate::stop::Stop;

/// The word with which this program is a leash: `colibri-daemon leash …`.
pub(crate) const LEASH: &str = "leash";

/// Where an agent in a jail remembers.
const JAIL_MEMORY: &str = "/home/agent/.colibri/memory";

/// How long agents may take to end once the daemon stops. Below the service manager's own patience.
const GRACE: Duration = Duration::from_secs(8);

/// How long it may take to write down what became of those that were killed.
const LAST_WRITES: Duration = Duration::from_secs(4);

/// All agents of this daemon, those that have ended included.
#[derive(Debug)]
pub(crate) struct Panes {
    board: Arc<Board>,
    lease: colibri_store::Lease,
    /// Before an agent that ended is first started again.
    first_pause: Duration,
    host: String,
    /// The silence after which a working agent counts as stalled.
    stall_after: Duration,
    spawner: Spawner,
    /// Below it, each agent has a folder of its name.
    folder: PathBuf,
    environment: Environment,
    /// For what stands on the host for an agent in a jail: without keys, which are the tenant's own there.
    jail_environment: Environment,
    /// This program.
    own_program: PathBuf,
    doors: Doors,
    /// What agents are given and nobody is to read.
    keys: Keys,
    sessions: Arc<Sessions>,
    seats: Mutex<BTreeMap<Name, Seat>>,
}

/// An agent, and the way to its keeper.
#[derive(Debug)]
struct Seat {
    agent_id: Uuid,
    /// In whose jail it runs.
    tenant: Option<TenantId>,
    orders: mpsc::UnboundedSender<Order>,
    /// Its keeper's to write; after the keeper's end, ours.
    pane: watch::Sender<PaneSnapshot>,
    keeper: JoinHandle<()>,
}

impl Panes {
    /// Nobody runs yet.
    ///
    /// # Errors
    /// The system cannot tell which program we are, or does not let us take care of orphans.
    pub(crate) fn new(config: &Config, board: Arc<Board>, doors: Doors) -> Result<Self, Failure> {
        let leash = Leash::this_program(LEASH)
            .map_err(|source| Failure::io("find", "our own program", source))?;
        let own_program = leash.program.clone();
        let spawner = Spawner::new(leash)?;
        let environment = environment(variable::handed_on());
        let mut jail_environment = self::environment(variable::handed_into_jails());
        // A path without a NUL in it, as it came from an environment itself.
        let _ = jail_environment.set(colibri_host::SOCKET_VARIABLE, config.hostd.as_os_str());
        let keys = variable::PROVIDER_KEYS
            .into_iter()
            .filter_map(|name| std::env::var(name).ok())
            .map(SecretString::from);
        let folder = config.data_dir.join(place::AGENTS);
        Ok(Self {
            board,
            lease: config.lease,
            first_pause: config.restart_pause,
            host: config.host.clone(),
            stall_after: config.stall_after,
            spawner,
            sessions: Arc::new(Sessions::new(folder.clone(), config.limits)),
            folder,
            environment,
            jail_environment,
            own_program,
            doors,
            keys: Keys::new(keys),
            seats: Mutex::default(),
        })
    }

    /// Starts an agent and registers it. A session that it begins has this cost mode.
    ///
    /// # Errors
    /// `conflict` when one of this name runs, `bad-request` when its program cannot.
    pub(crate) async fn spawn(
        &self,
        mut spawn: SpawnAgent,
        actor: &str,
        mode: CostMode,
    ) -> Result<PaneSnapshot, ReplyError> {
        spawn.check()?;
        self.refuse_second(&spawn.name)?;
        // Before the process, which is told where its socket is, and to remember where its session does.
        let door = self.doors.make(&spawn.name, spawn.tenant.as_ref())?;
        let program = self.program(&spawn, door.path())?;
        // A session that is begun for nothing would be the newest from then on.
        program.check().map_err(|error| refused(error.into()))?;
        let mut record = Record::new(Arc::clone(&self.sessions), spawn.name.clone());
        record.open(mode, spawn.prompt.as_deref());
        let started = self.start(&spawn, program, record.session(), actor).await;
        let (program, spawned, agent_id) = match started {
            Ok(started) => started,
            Err(error) => {
                record.close();
                return Err(error);
            }
        };
        let name = spawn.name.clone();
        let identity = AgentIdentity {
            id: agent_id,
            name: name.clone(),
            tenant: spawn.tenant.clone(),
        };
        let door = self.doors.open(door, identity);
        let mut seats = self.seats();
        if is_running(seats.get(&name)) {
            spawned.agent.ask_to_stop(Some(Duration::ZERO));
            record.close();
            return Err(runs_already(&name));
        }
        let (orders, ordered) = mpsc::unbounded_channel();
        let first = spawn.prompt.take();
        let tenant = spawn.tenant.clone();
        let (keeper, pane) = Keeper::new(self, &spawned, agent_id, spawn, program, record, ordered);
        let snapshot = pane.borrow().clone();
        let seat = Seat {
            agent_id,
            tenant,
            orders,
            pane,
            keeper: tokio::spawn(keeper.keep(spawned, door, first)),
        };
        if let Some(gone) = seats.insert(name, seat) {
            // The board knows this one as alive; that the one before has ended is noted no more.
            gone.keeper.abort();
        }
        Ok(snapshot)
    }

    /// An agent's process, and who it is on the board.
    async fn start(
        &self,
        spawn: &SpawnAgent,
        mut program: Program,
        session: Option<Uuid>,
        actor: &str,
    ) -> Result<(Program, Spawned, Uuid), ReplyError> {
        if let Some(session) = session {
            self.remember(&mut program, spawn, session)?;
        }
        let spawned = self.spawner.spawn(&program).await.map_err(refused)?;
        match self.register(spawn, program.listens, actor).await {
            Ok(agent_id) => Ok((program, spawned, agent_id)),
            Err(error) => {
                spawned.agent.ask_to_stop(Some(Duration::ZERO));
                Err(error)
            }
        }
    }

    /// Stops an agent with everything that it has started. One that has ended stays so.
    ///
    /// # Errors
    /// `not-found`.
    pub(crate) async fn stop(&self, which: &StopAgent) -> Result<PaneSnapshot, ReplyError> {
        let (orders, pane) = self.seat(&which.agent)?;
        let (done, is_done) = oneshot::channel();
        if orders.send(Order::Stop(done)).is_ok() {
            // Fails when it ended by itself in that moment.
            let _ = is_done.await;
        }
        // From here on its name is free.
        orders.closed().await;
        Ok(pane.borrow().clone())
    }

    /// Takes away the pane of an agent that has ended, and gives it back as it was.
    ///
    /// # Errors
    /// `not-found`, or `conflict` while the agent runs or is about to be started again.
    pub(crate) fn dismiss(&self, which: DismissPane) -> Result<PaneSnapshot, ReplyError> {
        let name = which.agent;
        let mut seats = self.seats();
        if is_running(seats.get(&name)) {
            let text = format!("agent {name} has not ended for good; stop it first");
            return Err(ReplyError::new(ErrorKind::Conflict, text));
        }
        let seat = seats.remove(&name).ok_or_else(|| no_agent(&name))?;
        self.board.tell(Change::PaneDismissed { agent: name });
        Ok(seat.pane.borrow().clone())
    }

    /// Asks an agent something.
    ///
    /// # Errors
    /// `not-found`, or `conflict` when it does not run or does not read.
    pub(crate) async fn prompt(&self, prompt: SendPrompt) -> Result<PaneSnapshot, ReplyError> {
        prompt.check()?;
        let message = prompt.message;
        self.hand(&prompt.agent, |taken| Order::Prompt(message, taken))
            .await
    }

    /// Answers what an agent asks.
    ///
    /// # Errors
    /// `not-found`, or `conflict` when it does not run, asks nothing or does not read.
    pub(crate) async fn answer(&self, given: AnswerAgent) -> Result<PaneSnapshot, ReplyError> {
        given.check()?;
        let agent = given.agent.clone();
        self.hand(&agent, |taken| Order::Answer(given, taken)).await
    }

    /// Hands an agent something, which its keeper may refuse.
    async fn hand(
        &self,
        agent: &Name,
        order: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Order,
    ) -> Result<PaneSnapshot, ReplyError> {
        let (orders, pane) = self.seat(agent)?;
        let (taken, is_taken) = oneshot::channel();
        let order = order(taken);
        let outcome = match orders.send(order) {
            Ok(()) => is_taken.await.ok(),
            Err(_) => None,
        };
        match outcome {
            Some(Ok(())) => Ok(pane.borrow().clone()),
            Some(Err(problem)) => Err(ReplyError::new(ErrorKind::Conflict, problem)),
            None => Err(ReplyError::new(
                ErrorKind::Conflict,
                format!("agent {agent} does not run; start it with spawn-agent"),
            )),
        }
    }

    /// The end of an agent's log, whether the agent runs or not.
    ///
    /// # Errors
    /// `bad-request`, `not-found` when no agent of this name ever ran here, or `internal` when the
    /// log cannot be read.
    pub(crate) async fn log(&self, which: AgentLog) -> Result<LogLines, ReplyError> {
        let most = which.checked_lines()?;
        let place = |text: String| {
            text.parse::<LogPlace>().map_err(|wrong| {
                ReplyError::new(ErrorKind::BadRequest, format!("`after`: {wrong}"))
            })
        };
        let after = which.after.map(place).transpose()?;
        let home = self.home(&which.agent);
        let keys = self.keys.clone();
        // The disk may take its time.
        let read = tokio::task::spawn_blocking(move || {
            if !home.is_dir() {
                let text = format!("no agent {} was ever started here", which.agent);
                return Err(ReplyError::new(ErrorKind::NotFound, text));
            }
            let kept = log_in(&home);
            let tail = kept.tail(log::MOST_BYTES, after).map_err(|error| {
                let text = format!("cannot read {}: {error}", kept.path.display());
                ReplyError::new(ErrorKind::Internal, text)
            })?;
            Ok(log::lines(&tail, most, &keys))
        });
        read.await
            .map_err(|error| ReplyError::new(ErrorKind::Internal, error.to_string()))?
    }

    /// Every pane as it is now, or this agent's only.
    pub(crate) fn snapshot(&self, only: Option<&AgentIdentity>) -> Snapshot {
        let is_reached = |name: &Name| only.is_none_or(|agent| agent.name == *name);
        let panes: Vec<PaneSnapshot> = self
            .seats()
            .iter()
            .filter(|(name, _)| is_reached(name))
            .map(|(_, seat)| seat.pane.borrow().clone())
            .collect();
        let attention = panes.iter().filter(|pane| pane.needs_attention()).count();
        Snapshot {
            at: Timestamp::now(),
            panes,
            attention: u32::try_from(attention).unwrap_or(u32::MAX),
        }
    }

    /// Whether an agent of this name runs, or is about to be started again.
    pub(crate) fn is_running(&self, name: &Name) -> bool {
        is_running(self.seats().get(name))
    }

    /// Whether an agent of this name was started since the daemon was, and its pane is still there.
    pub(crate) fn has_pane(&self, name: &Name) -> bool {
        self.seats().contains_key(name)
    }

    /// Those agents of a tenant that run, or are about to be started again.
    pub(crate) fn running_of(&self, tenant: &TenantId) -> Vec<Name> {
        let seats = self.seats();
        of_tenant(&seats, tenant)
            .filter(|(_, seat)| is_running(Some(seat)))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The panes of a tenant's agents.
    pub(crate) fn panes_of(&self, tenant: &TenantId) -> Vec<PaneSnapshot> {
        let seats = self.seats();
        of_tenant(&seats, tenant)
            .map(|(_, seat)| seat.pane.borrow().clone())
            .collect()
    }

    /// Takes away the panes and the names of agents whose tenant is being removed and that do not run; and
    /// what they have left on the host, unless it is kept under their names of from now on.
    ///
    /// # Errors
    /// `internal`, with what could not be removed or renamed. It can be done again.
    pub(crate) async fn retire(
        &self,
        agents: Vec<Retired>,
        removal: Removal,
    ) -> Result<(), ReplyError> {
        for retired in agents {
            let agent = retired.before.clone();
            if self.seats().remove(&agent).is_some() {
                self.board.tell(Change::PaneDismissed { agent });
            }
            let (before, now) = (self.home(&retired.before), self.home(&retired.now));
            let moved = tokio::task::spawn_blocking(move || match removal {
                Removal::Archive => fs_err::rename(before, now),
                Removal::Destroy => fs_err::remove_dir_all(before),
            });
            let outcome = moved.await.map_err(std::io::Error::other).flatten();
            match outcome {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(ReplyError::new(ErrorKind::Internal, error.to_string()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Agents with a process that nobody keeps any more: a keeper has a fault, then.
    pub(crate) fn unkept(&self) -> Vec<Name> {
        let seats = self.seats();
        let is_unkept = |seat: &Seat| !is_running(Some(seat)) && seat.pane.borrow().pid.is_some();
        let unkept = seats.iter().filter(|(_, seat)| is_unkept(seat));
        unkept.map(|(name, _)| name.clone()).collect()
    }

    /// A session of an agent, running or not.
    ///
    /// # Errors
    /// `not-found`, `forbidden`, or why its file cannot be read.
    pub(crate) async fn session(
        &self,
        which: GetSession,
        rights: &Rights,
    ) -> Result<SessionSnapshot, ReplyError> {
        let rights = rights.clone();
        self.sessions(move |sessions| sessions.get(which.session, &rights))
            .await?
    }

    /// Summarises all but the newest turns of a session, and tells subscribers.
    ///
    /// # Errors
    /// `not-found`, `forbidden`, or why its file cannot be read or written.
    pub(crate) async fn compact(
        &self,
        which: CompactSession,
        rights: &Rights,
    ) -> Result<Compacted, ReplyError> {
        which.check()?;
        let (session, rights) = (which.session, rights.clone());
        let done = self
            .sessions(move |sessions| sessions.compact(which, &rights))
            .await??;
        if done.compacted.entries > 0
            && let Ok(agent) = done.agent.parse::<Name>()
        {
            self.show_session(&agent, done.brief).await;
            self.board.tell(Change::Session {
                session,
                agent,
                mode: done.brief.cost_mode,
                escalated: None,
            });
        }
        Ok(done.compacted)
    }

    /// Removes sessions into which nothing was written since then, at most so many; of no agent the
    /// newest. Gives back how many.
    ///
    /// # Errors
    /// `internal`, when the daemon itself is at fault.
    pub(crate) async fn remove_sessions(
        &self,
        before: Timestamp,
        most: u32,
    ) -> Result<usize, ReplyError> {
        self.sessions(move |sessions| sessions.remove_old(before, most as usize))
            .await
    }

    /// Gives the session of every running agent this mode.
    ///
    /// # Errors
    /// `internal`, when the daemon itself is at fault.
    pub(crate) async fn set_cost_mode(&self, mode: CostMode) -> Result<(), ReplyError> {
        self.sessions(move |sessions| sessions.set_mode(mode))
            .await?;
        self.order(|_| true, || Order::Show);
        Ok(())
    }

    /// How many sessions are open. Does not wait for the disk, unlike they themselves.
    pub(crate) fn open_sessions(&self) -> u32 {
        let seats = self.seats();
        let is_open = |seat: &&Seat| is_running(Some(seat)) && seat.pane.borrow().session.is_some();
        u32::try_from(seats.values().filter(is_open).count()).unwrap_or(u32::MAX)
    }

    /// Tells keepers when the board has something for their agents; until the daemon stops.
    pub(crate) async fn follow_board(&self, stop: Stop) {
        let mut changes = self.board.changes();
        loop {
            let change = tokio::select! {
                () = stop.asked() => return,
                change = changes.recv() => change,
            };
            match change {
                Ok(Change::Task {
                    status: TaskStatus::Claimed,
                    agent_id: Some(agent_id),
                    ..
                }) => self.order(|seat| seat.agent_id == agent_id, || Order::Look),
                // One that was taken away does not say from whom. Those who do not have it need not
                // read anything to know.
                Ok(Change::Task { task_id, .. }) => self.order(|_| true, || Order::Moved(task_id)),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => self.order(|_| true, || Order::Look),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Ends every agent, and waits until nothing is left of them.
    pub(crate) async fn close(&self) {
        let seats = std::mem::take(&mut *self.seats());
        for seat in seats.values() {
            let (done, _) = oneshot::channel();
            // Fails when it has ended.
            let _ = seat.orders.send(Order::Stop(done));
        }
        let all_gone = async {
            for (name, seat) in seats {
                if let Err(error) = seat.keeper.await {
                    tracing::error!(agent = %name, "its keeper ended badly: {error}");
                }
            }
        };
        tokio::pin!(all_gone);
        let in_time = tokio::time::timeout(GRACE, &mut all_gone).await.is_ok();
        if !in_time {
            tracing::warn!("some agents did not end within {GRACE:?}; killing them");
        }
        self.spawner.stop_all(Some(Duration::ZERO)).await;
        // Keepers still give tasks back, and write the ends of sessions.
        if !in_time && tokio::time::timeout(LAST_WRITES, all_gone).await.is_err() {
            tracing::error!("what became of some agents is not written down");
        }
        self.doors.remove();
    }

    /// Does something with sessions where it may wait for the disk.
    async fn sessions<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Sessions) -> T + Send + 'static,
    ) -> Result<T, ReplyError> {
        let sessions = Arc::clone(&self.sessions);
        tokio::task::spawn_blocking(move || work(&sessions))
            .await
            .map_err(|error| ReplyError::new(ErrorKind::Internal, error.to_string()))
    }

    /// Brings an agent and its pane in step with its session, which somebody else has compacted.
    async fn show_session(&self, agent: &Name, brief: SessionBrief) {
        let Ok((orders, pane)) = self.seat(agent) else {
            return;
        };
        // An older session of its own is nothing to what it does now.
        let shown = pane.borrow().session.map(|shown| shown.session);
        if shown != Some(brief.session) {
            return;
        }
        let (done, is_done) = oneshot::channel();
        if orders.send(Order::Compacted(done)).is_ok() && is_done.await.is_ok() {
            return;
        }
        // Its keeper has ended with it, so nobody else writes the pane.
        pane.send_modify(|pane| pane.session = Some(brief));
    }

    fn order(&self, whom: impl Fn(&Seat) -> bool, order: impl Fn() -> Order) {
        for seat in self.seats().values().filter(|seat| whom(seat)) {
            // Fails when it has ended.
            let _ = seat.orders.send(order());
        }
    }

    /// What is started.
    fn program(&self, spawn: &SpawnAgent, socket: &Path) -> Result<Program, ReplyError> {
        let home = self.home(&spawn.name);
        let directory = spawn.cwd.clone().unwrap_or_else(|| home.join("work"));
        make(&home)?;
        if spawn.cwd.is_none() {
            make(&directory)?;
        }
        let mut environment = match spawn.tenant {
            None => self.environment.clone(),
            Some(_) => self.jail_environment.clone(),
        };
        environment
            .set("HOME", home.as_os_str())
            .and_then(|()| environment.set(place::SOCKET_VARIABLE, socket.as_os_str()))
            .map_err(|error| ReplyError::new(ErrorKind::Internal, error.to_string()))?;
        let args = match &spawn.args {
            Some(args) => args.clone(),
            None => usual_arguments(spawn.runtime),
        };
        let listens = colibri_glasspane::listens(spawn.runtime, &args);
        let (path, args) = match &spawn.tenant {
            None => (&spawn.program, args.into_iter().map(Into::into).collect()),
            Some(tenant) => {
                let args = in_jail::arguments(tenant, &spawn.program, args);
                (&self.own_program, args)
            }
        };
        let mut program = Program::new(path, environment, log_in(&home));
        program.directory = directory;
        program.listens = listens;
        program.args = args;
        Ok(program)
    }

    /// An agent of ours in a folder of its own remembers with its session: when that goes on, so does
    /// it. (`pi` would go on in the folder of before, wherever it is started.)
    fn remember(
        &self,
        program: &mut Program,
        spawn: &SpawnAgent,
        session: Uuid,
    ) -> Result<(), ReplyError> {
        if spawn.args.is_some() || spawn.cwd.is_some() {
            return Ok(());
        }
        let memory = match spawn.tenant {
            // Made there by the agent itself.
            Some(_) => PathBuf::from(JAIL_MEMORY),
            None => {
                let memory = self.home(&spawn.name).join(MEMORY);
                make(&memory)?;
                memory
            }
        };
        let file = file_of(&memory, session);
        let arguments = colibri_glasspane::session_arguments(spawn.runtime, &file);
        program.args.extend(arguments);
        Ok(())
    }

    /// The folder of an agent's own.
    fn home(&self, name: &Name) -> PathBuf {
        self.folder.join(name.as_str())
    }

    async fn register(
        &self,
        spawn: &SpawnAgent,
        listens: bool,
        actor: &str,
    ) -> Result<Uuid, ReplyError> {
        let new = RegisterAgent {
            name: spawn.name.clone(),
            capabilities: spawn.capabilities.clone(),
            host: None,
            // One that cannot be told anything is given nothing.
            slots: (!listens).then_some(0),
        };
        let host = crate::answer::host_name(&self.host)?;
        let (lease, actor) = (self.lease, actor.to_owned());
        let agent = self
            .board
            .change(move |batch| {
                let agent = batch.register_agent(&new, &host, &actor, lease, Timestamp::now())?;
                batch.agent_spawned(agent.id)?;
                Ok(agent)
            })
            .await?;
        Ok(agent.id)
    }

    fn refuse_second(&self, name: &Name) -> Result<(), ReplyError> {
        if is_running(self.seats().get(name)) {
            return Err(runs_already(name));
        }
        Ok(())
    }

    fn seat(
        &self,
        name: &Name,
    ) -> Result<(mpsc::UnboundedSender<Order>, watch::Sender<PaneSnapshot>), ReplyError> {
        let seats = self.seats();
        let seat = seats.get(name).ok_or_else(|| no_agent(name))?;
        Ok((seat.orders.clone(), seat.pane.clone()))
    }

    fn seats(&self) -> MutexGuard<'_, BTreeMap<Name, Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The usual variables, and those of these names that we have ourselves.
fn environment(handed_on: impl Iterator<Item = &'static str>) -> Environment {
    let mut environment = Environment::inherit(std::env::vars_os());
    for name in handed_on {
        if let Ok(value) = std::env::var(name) {
            // A value with a NUL in it cannot come from an environment.
            let _ = environment.set_secret(name, SecretString::from(value));
        }
    }
    environment
}

/// Makes a folder that is nobody else's to look into.
fn make(folder: &Path) -> Result<(), ReplyError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| {
            let text = format!("cannot make {}: {error}", folder.display());
            ReplyError::new(ErrorKind::Internal, text)
        })
}

/// Where an agent's standard error goes.
fn log_in(home: &Path) -> Log {
    Log::new(home.join("stderr.log"))
}

/// Those with which an agent listens, and uses the model that this host is set up for.
fn usual_arguments(runtime: Runtime) -> Vec<String> {
    let mut arguments: Vec<String> = colibri_glasspane::rpc_arguments(runtime)
        .iter()
        .map(ToString::to_string)
        .collect();
    let [provider, model] =
        [variable::PROVIDER, variable::MODEL].map(|name| std::env::var(name).unwrap_or_default());
    if !provider.is_empty() && !model.is_empty() {
        arguments.extend(colibri_glasspane::model_arguments(
            runtime, &provider, &model,
        ));
    }
    arguments
}

/// Those in a tenant's jail.
fn of_tenant<'a>(
    seats: &'a BTreeMap<Name, Seat>,
    tenant: &'a TenantId,
) -> impl Iterator<Item = (&'a Name, &'a Seat)> {
    let its = |seat: &Seat| seat.tenant.as_ref() == Some(tenant);
    seats.iter().filter(move |(_, seat)| its(seat))
}

/// Whether its keeper still takes orders: it does until nothing is left of its agent.
fn is_running(seat: Option<&Seat>) -> bool {
    seat.is_some_and(|seat| !seat.orders.is_closed())
}

fn no_agent(name: &Name) -> ReplyError {
    let text = format!("this daemon runs no agent {name}; `snapshot` shows those that it does");
    ReplyError::new(ErrorKind::NotFound, text)
}

fn runs_already(name: &Name) -> ReplyError {
    ReplyError::new(
        ErrorKind::Conflict,
        format!("an agent {name} runs already; stop it first, or choose another name"),
    )
}

fn refused(error: SpawnError) -> ReplyError {
    let kind = match error {
        SpawnError::Program(_) | SpawnError::Refused { .. } => ErrorKind::BadRequest,
        _ => ErrorKind::Internal,
    };
    ReplyError::new(kind, format!("{error}{}", hidden(&error)))
}

/// Where the service does not see what everybody else sees: its unit says `ProtectHome=` and
/// `PrivateTmp=`.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// What to add when a path may be there for everybody but us.
fn hidden(error: &SpawnError) -> &'static str {
    match error {
        SpawnError::Program(ProgramError::Missing { path, .. } | ProgramError::Io { path, .. })
            if notify::is_service() && HIDDEN.iter().any(|folder| path.starts_with(folder)) =>
        {
            "; the service sees nothing of /home, /root, /run/user, /tmp and /var/tmp: put it \
             elsewhere, a program into /usr/local/bin, say, and a folder below /srv"
        }
        _ => "",
    }
}
