//! Lives of tasks: created, claimed, started, finished, each step durable before the next.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use colibri_protocol::{
    Agent, Capability, ClaimTask, Command, CreateTask, ErrorKind, Name, NoFields, RegisterAgent,
    ReplyError, Request, Status, TaskStatus, TransitionTask,
};
use miette::{IntoDiagnostic as _, Report, Result, miette};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use uuid::Uuid;

/// Clients that work at the same time, whoever they work with.
pub(crate) const CLIENTS: usize = 64;
/// Tasks that each of them sees through.
pub(crate) const EACH: usize = 60;

/// A reply of which no more is read than is needed: the clients share the processors with the daemon.
#[derive(Deserialize)]
struct Answer<T> {
    data: Option<T>,
    error: Option<ReplyError>,
}

/// A new task; the rest of it is known.
#[derive(Deserialize)]
struct Made {
    id: Uuid,
}

/// A connection that stays, as that of an agent does.
pub(crate) struct Line {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
    reply: Vec<u8>,
}

impl Line {
    pub(crate) fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).into_diagnostic()?;
        let reader = BufReader::new(stream.try_clone().into_diagnostic()?);
        Ok(Self {
            stream,
            reader,
            reply: Vec::new(),
        })
    }

    /// The daemon's answer, or its refusal.
    fn outcome<T: DeserializeOwned>(&mut self, command: Command) -> Result<Result<T, ReplyError>> {
        let mut line = serde_json::to_vec(&Request::from(command)).into_diagnostic()?;
        line.push(b'\n');
        self.stream.write_all(&line).into_diagnostic()?;
        self.reply.clear();
        self.reader
            .read_until(b'\n', &mut self.reply)
            .into_diagnostic()?;
        let answer: Answer<T> = serde_json::from_slice(&self.reply).into_diagnostic()?;
        match (answer.data, answer.error) {
            (Some(data), None) => Ok(Ok(data)),
            (None, Some(error)) => Ok(Err(error)),
            _ => Err(miette!("a reply contradicts itself")),
        }
    }

    fn ask<T: DeserializeOwned>(&mut self, command: Command) -> Result<T> {
        self.outcome(command)?.map_err(|error| miette!("{error}"))
    }

    pub(crate) fn status(&mut self) -> Result<Status> {
        self.ask(Command::Status(NoFields {}))
    }
}

/// An agent that takes what it likes, and is given nothing.
pub(crate) struct Worker {
    pub(crate) line: Line,
    id: Uuid,
}

impl Worker {
    /// Registers an agent of this name. It holds one task all the time, so that it has no free slot,
    /// and the scheduler does not take part in the race.
    pub(crate) fn new(socket: &Path, name: &str) -> Result<Self> {
        let mut line = Line::connect(socket)?;
        let own = name.parse::<Capability>().map_err(Report::msg)?;
        let agent: Agent = line.ask(Command::RegisterAgent(RegisterAgent {
            name: name.parse::<Name>().map_err(Report::msg)?,
            capabilities: [own].into(),
            host: None,
            slots: None,
        }))?;
        let mut worker = Self { line, id: agent.id };
        let held: Made = worker.line.ask(Command::CreateTask(CreateTask {
            capabilities: agent.capabilities,
            ..CreateTask::titled("held all the time")
        }))?;
        let claim = Command::ClaimTask(ClaimTask {
            task_id: held.id,
            agent_id: agent.id,
        });
        match worker.line.outcome(claim)? {
            Ok(IgnoredAny) => Ok(worker),
            // The scheduler was faster, and gave it to us: nobody else can do it.
            Err(error) if error.kind == ErrorKind::Conflict => Ok(worker),
            Err(error) => Err(miette!("{error}")),
        }
    }

    pub(crate) fn create(&mut self) -> Result<Uuid> {
        let new = CreateTask::titled("bench");
        let made: Made = self.line.ask(Command::CreateTask(new))?;
        Ok(made.id)
    }

    pub(crate) fn claim(&mut self, task_id: Uuid) -> Result<()> {
        let agent_id = self.id;
        let claim = ClaimTask { task_id, agent_id };
        let IgnoredAny = self.line.ask(Command::ClaimTask(claim))?;
        Ok(())
    }

    pub(crate) fn finish(&mut self, task_id: Uuid) -> Result<()> {
        for status in [TaskStatus::Started, TaskStatus::Done] {
            let to = TransitionTask::to(task_id, status, Some(self.id));
            let IgnoredAny = self.line.ask(Command::TransitionTask(to))?;
        }
        Ok(())
    }
}

/// Tasks a second that [`CLIENTS`] see through, each over a connection of its own.
pub(crate) fn lives(socket: &Path) -> Result<f64> {
    let workers = (0..CLIENTS)
        .map(|number| Worker::new(socket, &format!("a{number}")))
        .collect::<Result<Vec<_>>>()?;
    at_once(workers, |worker| {
        for _ in 0..EACH {
            let task = worker.create()?;
            worker.claim(task)?;
            worker.finish(task)?;
        }
        Ok(())
    })
}

/// Lets all work at the same time; gives back tasks a second.
pub(crate) fn at_once<W: Send>(
    mut workers: Vec<W>,
    work: impl Fn(&mut W) -> Result<()> + Sync,
) -> Result<f64> {
    let (tasks, work) = (workers.len() * EACH, &work);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .iter_mut()
            .map(|worker| scope.spawn(move || work(worker)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| miette!("a worker panicked"))?)
    })?;
    Ok(tasks as f64 / begun.elapsed().as_secs_f64())
}
