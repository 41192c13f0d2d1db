//! Clients coming in, and everything they share.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use colibri_protocol::client::Client;
use colibri_protocol::{CostMode, ErrorKind, Reply, ReplyError, place::SKILLS};
use jiff::Timestamp;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};

use crate::board::Board;
use crate::budget::Budget;
use crate::config::Config;
use crate::connection;
use crate::door::OpenDoor;
use crate::failure::Failure;
use crate::gate::Gate;
use crate::health::Health;
use crate::panes::Panes;
use crate::place::{Identity, Place};
use crate::scheduler::LastTick;
use crate::skills::Skills;
use crate::stop::Stop;
use crate::tenants::Tenants;

/// How long clients may take to finish once the daemon stops. Below the
/// service manager's own patience.
const GRACE: Duration = Duration::from_secs(5);

/// The pause after the system refused a new connection, for want of file
/// descriptors say; without it the loop would spin.
const PAUSE: Duration = Duration::from_millis(100);

/// Clients of one agent at once: a few programs beside it, and none can take an operator's seat.
const AGENT_CLIENTS: u32 = 16;

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) board: Arc<Board>,
    pub(crate) panes: Panes,
    pub(crate) tenants: Tenants,
    pub(crate) skills: Skills,
    pub(crate) health: Health,
    pub(crate) socket: Option<Identity>,
    pub(crate) started_at: Timestamp,
    pub(crate) started: Instant,
    pub(crate) last_tick: LastTick,
    /// Why the agent that comes with the daemon was not started; empty when nothing hindered it.
    pub(crate) not_started: OnceLock<String>,
    cost_mode: Mutex<CostModeSet>,
    /// Held by the client that gets a copy of the database.
    pub(crate) backing_up: tokio::sync::Mutex<()>,
    /// One for each client that may be connected to the daemon's own socket.
    seats: Arc<Semaphore>,
    /// Memory for what clients leave unfinished or unread.
    pub(crate) budget: Budget,
}

/// The cost mode in force, and the one that the next start begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CostModeSet {
    pub(crate) mode: CostMode,
    pub(crate) kept: Option<CostMode>,
}

impl Service {
    /// `kept_mode` is the cost mode that the database has, which wins over flag and environment: it
    /// was set later, and by a person.
    pub(crate) fn new(
        config: Config,
        board: Arc<Board>,
        panes: Panes,
        place: &Place,
        health: Health,
        kept_mode: Option<CostMode>,
    ) -> Self {
        let seats = Arc::new(Semaphore::new(config.max_clients as usize));
        Self {
            board,
            panes,
            tenants: Tenants::new(&config),
            skills: Skills::new(config.data_dir.join(SKILLS)),
            health,
            socket: place.identity(),
            started_at: Timestamp::now(),
            started: Instant::now(),
            last_tick: LastTick::default(),
            not_started: OnceLock::new(),
            cost_mode: Mutex::new(CostModeSet {
                mode: kept_mode.unwrap_or(config.cost_mode),
                kept: kept_mode,
            }),
            backing_up: tokio::sync::Mutex::new(()),
            seats,
            budget: Budget::new(),
            config,
        }
    }

    /// The cost mode in force; asked whenever a decision depends on it.
    pub(crate) fn cost_mode(&self) -> CostModeSet {
        *self
            .cost_mode
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_cost_mode(&self, set: CostModeSet) {
        *self
            .cost_mode
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = set;
    }

    /// Clients of the daemon's own socket that are connected now.
    pub(crate) fn clients(&self) -> u32 {
        let free = u32::try_from(self.seats.available_permits()).unwrap_or(u32::MAX);
        self.config.max_clients.saturating_sub(free)
    }
}

/// A socket, and what holds for those who come in by it.
#[derive(Debug)]
struct Entrance {
    listener: UnixListener,
    gate: Gate,
    seats: Arc<Semaphore>,
    /// As many as there are seats.
    max_clients: u32,
}

/// Serves the daemon's own socket, and those of agents as they are opened, until asked to stop.
pub(crate) async fn serve(
    listener: UnixListener,
    gate: Gate,
    mut doors: mpsc::UnboundedReceiver<OpenDoor>,
    service: Arc<Service>,
    stop: Stop,
) {
    let own = Entrance {
        listener,
        gate,
        seats: Arc::clone(&service.seats),
        max_clients: service.config.max_clients,
    };
    let mut entrances = JoinSet::new();
    entrances.spawn(own.serve(Arc::clone(&service), stop.clone()));
    loop {
        tokio::select! {
            () = stop.asked() => break,
            Some(door) = doors.recv() => {
                entrances.spawn(serve_agent(door, Arc::clone(&service), stop.clone()));
            }
            Some(ended) = entrances.join_next() => note_end(ended),
        }
    }
    while let Some(ended) = entrances.join_next().await {
        note_end(ended);
    }
}

fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!("nobody is served on one of the sockets any more: {error}");
    }
}

/// Serves an agent's socket for as long as the agent lives. Who is still connected then has nobody's
/// rights any more.
async fn serve_agent(door: OpenDoor, service: Arc<Service>, stop: Stop) {
    let entrance = Entrance {
        listener: door.listener,
        gate: Gate::Agent(door.agent),
        seats: Arc::new(Semaphore::new(AGENT_CLIENTS as usize)),
        max_clients: AGENT_CLIENTS,
    };
    tokio::select! {
        () = entrance.serve(service, stop) => {}
        _ = door.closed => {}
    }
}

impl Entrance {
    /// Accepts clients until asked to stop, then lets them finish.
    async fn serve(self, service: Arc<Service>, stop: Stop) {
        let gate = Arc::new(self.gate);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.asked() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => match Arc::clone(&self.seats).try_acquire_owned() {
                        Ok(seat) => {
                            let gate = Arc::clone(&gate);
                            let (service, stop) = (Arc::clone(&service), stop.clone());
                            connections.spawn(async move {
                                connection::serve(stream, &gate, &service, &stop).await;
                                drop(seat);
                            });
                        }
                        Err(_) => turn_away(&stream, self.max_clients),
                    },
                    Err(error) => {
                        tracing::warn!("accepting a client: {error}");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        let all_gone = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all_gone).await.is_err() {
            tracing::warn!("some clients did not finish within {GRACE:?}; hanging up");
        }
    }
}

/// Says why and hangs up, without waiting: a fresh socket always has room for
/// a line this short.
fn turn_away(stream: &UnixStream, most: u32) {
    let error = ReplyError::new(
        ErrorKind::Busy,
        format!("{most} clients are connected, which is the most this socket takes; try again"),
    );
    if let Ok(line) = Reply::new(None, Err(error)).to_line() {
        // It is gone already, then.
        let _ = stream.try_write(&line);
    }
}

/// Asks ourselves over the socket, as any client would: accepting is not answering.
///
/// # Errors
/// [`Failure::Silent`].
pub(crate) async fn answers(socket: &Path) -> Result<(), Failure> {
    let client = Client::new(socket);
    let answer = tokio::task::spawn_blocking(move || client.status()).await;
    match answer {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::Silent {
            reason: error.to_string(),
        }),
        Err(error) => Err(Failure::Silent {
            reason: error.to_string(),
        }),
    }
}
