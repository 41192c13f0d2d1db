//! The daemon's side: starts leashes, and knows what became of each agent.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use crate::program::check_program;
use crate::report::{Order, Report, line};
use crate::{Ending, Exit, Input, Output, Program, ProgramError, State, leash, tree};

/// How long a leash may take to say that the agent runs, or does not.
const START: Duration = Duration::from_secs(30);

/// Lines of an agent that are kept, unless the caller changes it: long enough for
/// a tool's result in full.
const MAX_LINE: usize = 8 * 1024 * 1024;

/// How a leash is started.
#[derive(Debug, Clone)]
pub struct Leash {
    /// The program; absolute.
    pub program: PathBuf,
    /// What stands before the leash's own arguments.
    pub args: Vec<OsString>,
}

impl Leash {
    /// The program that runs now, with one word that makes it a leash: it must
    /// call [`leash::main`] then. Ask early: once the file has been replaced,
    /// the system may no longer know where it was.
    ///
    /// # Errors
    /// When the system does not know which program runs.
    pub fn this_program(word: &str) -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            args: vec![word.into()],
        })
    }
}

/// Starts agents. It makes this process the reaper of whatever a leash leaves when
/// it is killed, so other parts of the process must not start sessions of their
/// own (`setsid`): a sweep would take them for an agent's.
#[derive(Debug, Clone)]
pub struct Spawner {
    leash: Leash,
    live: Live,
}

/// Every leash that this process has started, whichever spawner did: the kernel
/// gives orphans to the process, and a sweep must know whom to spare.
static LEASHES: LazyLock<Mutex<HashSet<i32>>> = LazyLock::new(Mutex::default);

fn leashes() -> MutexGuard<'static, HashSet<i32>> {
    LEASHES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The agents of a spawner, by their leash's process.
#[derive(Debug, Clone, Default)]
struct Live(Arc<Mutex<HashMap<i32, Agent>>>);

impl Live {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Agent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An agent that runs, or has ended. Clones are of the same agent; dropping them
/// all does not end it.
#[derive(Debug, Clone)]
pub struct Agent {
    state: watch::Receiver<State>,
    orders: mpsc::UnboundedSender<Order>,
    grace: Duration,
}

/// An agent that was just started.
#[derive(Debug)]
pub struct Spawned {
    /// Its state, and the way to end it.
    pub agent: Agent,
    /// Its standard input.
    pub input: Input,
    /// Its standard output; to be read, or the agent will wait.
    pub output: Output,
}

/// An agent was not started. Nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// What was asked for cannot run.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The leash, this product's own program, cannot run.
    #[error("the leash cannot run: {0}; is the installation complete?")]
    Leash(ProgramError),
    /// The system refused something on the way.
    #[error("cannot {what} for {}: {source}", program.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// The agent's program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The leash could not start the agent.
    #[error("{} was not started: {message}", program.display())]
    Refused {
        /// The agent's program.
        program: PathBuf,
        /// Why.
        message: String,
    },
    /// The leash ended or said nothing.
    #[error(
        "{} was not started: its leash {what}; the host may be out of memory or processes",
        program.display()
    )]
    Silent {
        /// The agent's program.
        program: PathBuf,
        /// What it did instead of answering.
        what: &'static str,
    },
}

impl Spawner {
    /// Makes this process the reaper of its orphans, and remembers how to start
    /// leashes.
    ///
    /// # Errors
    /// When the leash is no program, or the system refuses.
    pub fn new(leash: Leash) -> Result<Self, SpawnError> {
        check_program(&leash.program).map_err(SpawnError::Leash)?;
        tree::become_reaper().map_err(|source| SpawnError::Io {
            what: "take care of orphans",
            program: leash.program.clone(),
            source,
        })?;
        Ok(Self {
            leash,
            live: Live::default(),
        })
    }

    /// Starts an agent. `Ok` means that its program runs. When the future is
    /// dropped before, the agent is ended.
    ///
    /// # Errors
    /// [`SpawnError`]; then nothing of it runs.
    pub async fn spawn(&self, program: &Program) -> Result<Spawned, SpawnError> {
        program.check()?;
        let io = |what| {
            move |source| SpawnError::Io {
                what,
                program: program.path.clone(),
                source,
            }
        };
        let (ours, theirs) = StdUnixStream::pair().map_err(io("make a control socket"))?;
        ours.set_nonblocking(true)
            .map_err(io("make a control socket"))?;
        let ours = UnixStream::from_std(ours).map_err(io("make a control socket"))?;
        let mut command = Command::new(&self.leash.program);
        command
            .args(&self.leash.args)
            .args(leash::arguments(program))
            .current_dir(&program.directory)
            .env_clear()
            .envs(program.environment.exposed())
            .stdin(if program.listens {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
        let (state_is, state) = watch::channel(State::Starting);
        let (orders, ordered) = mpsc::unbounded_channel();
        let agent = Agent {
            state,
            orders,
            grace: program.grace,
        };
        let mut child = {
            // Held over the start: a sweep that sees the leash must know it.
            let mut leashes = leashes();
            let child = command.spawn().map_err(io("start a leash"))?;
            if let Some(pid) = child.id() {
                leashes.insert(pid.cast_signed());
                self.live.lock().insert(pid.cast_signed(), agent.clone());
            }
            child
        };
        // The other end of the control socket, and copies of the secrets.
        drop(command);
        let input = child.stdin.take();
        let output = child.stdout.take();

        let (read, write) = ours.into_split();
        let (started, hears) = tokio::sync::oneshot::channel();
        let watcher = Watcher {
            pid: child.id().map_or(0, u32::cast_signed),
            child,
            reports: BufReader::new(read).lines(),
            control: write,
            orders: ordered,
            state: state_is,
            live: self.live.clone(),
            program: program.path.clone(),
        };
        tokio::spawn(watcher.run(started));
        let said = hears.await.unwrap_or(Err(Failed::Silent("ended")));
        match (said, output) {
            (Ok(()), Some(stdout)) => Ok(Spawned {
                agent,
                input: input.map_or_else(Input::closed, Input::new),
                output: Output::new(stdout, MAX_LINE),
            }),
            (Err(Failed::Refused(message)), _) => Err(SpawnError::Refused {
                program: program.path.clone(),
                message,
            }),
            (Err(Failed::Silent(what)), _) => Err(SpawnError::Silent {
                program: program.path.clone(),
                what,
            }),
            (Ok(()), None) => Err(SpawnError::Silent {
                program: program.path.clone(),
                what: "has no pipe",
            }),
        }
    }

    /// Ends every agent that runs, all at the same time, and waits until nothing
    /// is left of them. Each has its own grace, or `grace` when that is given.
    pub async fn stop_all(&self, grace: Option<Duration>) {
        let agents: Vec<_> = self.live.lock().values().cloned().collect();
        for agent in &agents {
            agent.ask_to_stop(grace);
        }
        for agent in agents {
            agent.ended().await;
        }
    }

    /// How many agents run, those that are being started or ended included.
    pub fn running(&self) -> usize {
        self.live.lock().len()
    }
}

impl Agent {
    /// Where it stands now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Its states from now on, for those who wait for changes.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until it is gone, with everything that it has started.
    pub async fn ended(&self) -> Exit {
        let mut state = self.state.clone();
        let found = state
            .wait_for(|state| matches!(state, State::Exited(_)))
            .await;
        match found.as_deref() {
            Ok(State::Exited(exit)) => exit.clone(),
            // Its watcher is gone without a last word: the runtime is ending.
            _ => Exit {
                how: Ending::Unknown,
                at: Timestamp::now(),
                left: Vec::new(),
            },
        }
    }

    /// SIGTERM to its group now; after the grace SIGKILL to all that it has
    /// started. Waits until nothing is left.
    pub async fn stop(&self, grace: Option<Duration>) -> Exit {
        self.ask_to_stop(grace);
        self.ended().await
    }

    /// As [`stop`](Self::stop), without waiting. Asked again with a shorter
    /// grace, the shorter holds.
    pub fn ask_to_stop(&self, grace: Option<Duration>) {
        let grace = grace.unwrap_or(self.grace).as_millis();
        let grace_ms = u64::try_from(grace).unwrap_or(u64::MAX);
        // Fails when it is gone already.
        let _ = self.orders.send(Order::Stop { grace_ms });
    }
}

/// Why an agent does not run.
enum Failed {
    Refused(String),
    Silent(&'static str),
}

/// Lives as long as a leash.
struct Watcher {
    pid: i32,
    child: Child,
    reports: Lines<BufReader<OwnedReadHalf>>,
    control: OwnedWriteHalf,
    orders: mpsc::UnboundedReceiver<Order>,
    state: watch::Sender<State>,
    live: Live,
    program: PathBuf,
}

impl Watcher {
    async fn run(mut self, started: tokio::sync::oneshot::Sender<Result<(), Failed>>) {
        let mut how = None;
        let first = tokio::time::timeout(START, self.report()).await;
        let done = match first {
            Ok(Some(Report::Running { pid })) => {
                self.state.send_replace(State::Running {
                    pid,
                    since: Timestamp::now(),
                });
                if started.send(Ok(())).is_err() {
                    // Nobody waits for it any more.
                    self.order(Order::Stop { grace_ms: 0 }).await;
                }
                self.until_done(pid, &mut how).await
            }
            other => {
                let failed = match other {
                    Ok(Some(Report::Refused { message })) => Failed::Refused(message),
                    Ok(_) => Failed::Silent("ended before it was ready"),
                    Err(_) => Failed::Silent("said nothing for half a minute"),
                };
                let refused = matches!(failed, Failed::Refused(_));
                let _ = started.send(Err(failed));
                // One that says nothing may have got anywhere.
                refused.then(Vec::new)
            }
        };
        let left = match done {
            Some(left) => left,
            None => self.sweep().await,
        };
        let _ = self.child.wait().await;
        leashes().remove(&self.pid);
        self.live.lock().remove(&self.pid);
        if !left.is_empty() {
            tracing::error!(
                program = %self.program.display(), ?left,
                "processes of an agent cannot be ended"
            );
        }
        self.state.send_replace(State::Exited(Exit {
            how: how.unwrap_or(Ending::Unknown),
            at: Timestamp::now(),
            left,
        }));
    }

    /// Follows the agent to its end; `None` when the leash is gone without its
    /// last word.
    async fn until_done(&mut self, pid: i32, how: &mut Option<Ending>) -> Option<Vec<i32>> {
        let mut open = true;
        loop {
            let report = tokio::select! {
                report = self.reports.next_line() => read(report),
                order = self.orders.recv(), if open => {
                    match order {
                        Some(order) => {
                            self.order(order).await;
                            self.stopping(pid);
                        }
                        None => open = false,
                    }
                    continue;
                }
            };
            match report? {
                Report::Exited { how: found } => {
                    *how = Some(found);
                    self.stopping(pid);
                }
                Report::Done { left } => return Some(left),
                Report::Running { .. } | Report::Refused { .. } => {}
            }
        }
    }

    fn stopping(&self, pid: i32) {
        self.state.send_if_modified(|state| {
            let begins = !matches!(state, State::Stopping { .. });
            if begins {
                *state = State::Stopping {
                    pid,
                    since: Timestamp::now(),
                };
            }
            begins
        });
    }

    async fn report(&mut self) -> Option<Report> {
        read(self.reports.next_line().await)
    }

    /// A leash that does not hear any more is about to be found gone.
    async fn order(&mut self, order: Order) {
        let _ = self.control.write_all(&line(&order)).await;
    }

    /// The leash was killed, or is stuck: it ends for good, and what it held has
    /// come to us.
    async fn sweep(&mut self) -> Vec<i32> {
        tracing::warn!(
            program = %self.program.display(), leash = self.pid,
            "the leash of an agent is gone; ending what it held"
        );
        let _ = self.child.kill().await;
        let known = || leashes().clone();
        match tokio::task::spawn_blocking(move || tree::end_adopted(known)).await {
            Ok(Ok(left)) => left,
            Ok(Err(error)) => {
                tracing::error!("the processes of a lost leash cannot be listed: {error}");
                Vec::new()
            }
            Err(error) => {
                tracing::error!("the sweep after a lost leash failed: {error}");
                Vec::new()
            }
        }
    }
}

fn read(line: io::Result<Option<String>>) -> Option<Report> {
    let line = line.ok()??;
    match serde_json::from_str(&line) {
        Ok(report) => Some(report),
        Err(error) => {
            tracing::warn!("a leash said what is not understood: {error}");
            None
        }
    }
}
