//! A small blocking client: connect with a time-out, one request, one reply.
//!
//! Used by the `colibri` command, by first boot's "wait until it answers",
//! and by the daemon itself to see whether another one is alive.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    BackedUp, Change, Command, CreateTask, LineBuffer, ListTasks, MAX_LINE, NoFields, Reply,
    ReplyError, Request, ServiceCheck, Status, Task, TaskPage, place,
};

/// How long a pause between two attempts is, while the queue of the socket is
/// full or the daemon is still starting.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the reply to this command may take on a host where all is well.
fn usual_limit(command: &Command) -> Duration {
    Duration::from_secs(match command {
        // An agent has ten seconds to end by itself, and a busy host half a minute to start one.
        Command::SpawnAgent(_) | Command::StopAgent(_) => 60,
        // It asks the vault, which may have to be asked again and again, and others may come first.
        Command::ProvisionTenant(_) | Command::RotateTenant(_) => 300,
        Command::RemoveTenant(_) | Command::ListSecrets(_) => 120,
        // The daemon copies first, and answers then.
        Command::Backup(_) => 600,
        _ => 10,
    })
}

/// Why there was no good reply. Each text says which socket, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The path of the socket does not exist.
    #[error(
        "there is no socket at {}: the daemon is not running; start it with `{}` (`{}` when it \
         runs after all: its socket was removed), or name its socket with --socket or {}",
        socket.display(), place::START_SERVICE, place::RESTART_SERVICE, place::SOCKET_VARIABLE
    )]
    Missing {
        /// The path.
        socket: PathBuf,
    },
    /// The socket is there and nobody listens.
    #[error(
        "nobody listens on {}: the daemon has died; `{}` says why, `{}` starts it again",
        socket.display(), place::SHOW_LOG, place::START_SERVICE
    )]
    Dead {
        /// The path.
        socket: PathBuf,
    },
    /// The account may not reach the socket.
    #[error(
        "permission denied on {}: this account (uid {uid}) is neither root nor in the group \
         `{}`; run this as root, or add the account with `{}` and log in again",
        socket.display(), place::GROUP, place::JOIN_GROUP
    )]
    Denied {
        /// The path.
        socket: PathBuf,
        /// The account this process runs as.
        uid: u32,
    },
    /// No whole reply came in time.
    #[error(
        "{} gave no answer within {limit:?} ({stage}); the daemon may be stuck: look at `{}`",
        socket.display(), place::SHOW_LOG
    )]
    TimedOut {
        /// The path.
        socket: PathBuf,
        /// The time-out.
        limit: Duration,
        /// What was being waited for.
        stage: &'static str,
    },
    /// The connection ended before a whole reply.
    #[error(
        "{} closed the connection before it answered; the daemon may be stopping: try again, \
         then look at `{}`",
        socket.display(), place::SHOW_LOG
    )]
    Closed {
        /// The path.
        socket: PathBuf,
    },
    /// What came is no reply of Colibri's.
    #[error(
        "the answer from {} is not Colibri's ({problem}); is it the right socket, and are both \
         programs of one version?",
        socket.display()
    )]
    Garbled {
        /// The path.
        socket: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The request is longer than a line may be; nothing was sent.
    #[error("the request has {bytes} bytes; at most {MAX_LINE} may go over the socket")]
    TooLong {
        /// The request's length.
        bytes: usize,
    },
    /// The daemon answered with an error.
    #[error("{error}")]
    Refused {
        /// Its error.
        error: ReplyError,
    },
    /// Anything else the system says.
    #[error("{}: {stage}: {source}", socket.display())]
    Io {
        /// The path.
        socket: PathBuf,
        /// What was being done.
        stage: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// Where the daemon is and how long to wait for it.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    /// `None`: as long as the command usually may take.
    limit: Option<Duration>,
}

/// By when something must have happened.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// The whole time that was given.
    pub limit: Duration,
    /// `None`: it may take for ever.
    pub end: Option<Instant>,
}

impl Deadline {
    /// From now on.
    pub fn within(limit: Duration) -> Self {
        Self {
            limit,
            end: Some(Instant::now() + limit),
        }
    }

    /// What is left of it, as a socket takes it: `None` is for ever.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when it is over; a socket would take nothing for an error of its own.
    pub fn left(self) -> io::Result<Option<Duration>> {
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        match self.end.map(left) {
            Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

/// Connects without blocking for ever: on Linux a plain `connect` waits as
/// long as the queue of the listening socket is full.
///
/// # Errors
/// The system's; [`io::ErrorKind::WouldBlock`] when the queue stays full.
pub fn connect_to(path: &Path, deadline: Deadline) -> io::Result<UnixStream> {
    let address = UnixAddr::new(path)?;
    loop {
        let file = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )?;
        match connect(file.as_raw_fd(), &address) {
            Ok(()) => {
                let stream = UnixStream::from(file);
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(Errno::EAGAIN | Errno::EINTR) if deadline.left().is_ok() => {
                std::thread::sleep(PAUSE);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

impl Client {
    /// A client for this socket which waits 10 seconds for a reply, and longer where an agent is
    /// started or stopped, or a tenant provisioned or removed.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            limit: None,
        }
    }

    /// The same client with one time-out for all commands: for connecting, sending and the
    /// reply together.
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The socket it talks to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks `status`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn status(&self) -> Result<Status, ClientError> {
        self.ask(Command::Status(NoFields {}))
    }

    /// Puts a task on the board; it is on disk when this returns.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn create_task(&self, task: CreateTask) -> Result<Task, ClientError> {
        self.ask(Command::CreateTask(task))
    }

    /// One page of tasks.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn list_tasks(&self, which: ListTasks) -> Result<TaskPage, ClientError> {
        self.ask(Command::ListTasks(which))
    }

    /// Asks `service-check`.
    ///
    /// # Errors
    /// [`ClientError`]; an unhealthy service is no error but a reply.
    pub fn service_check(&self) -> Result<ServiceCheck, ClientError> {
        self.ask(Command::ServiceCheck(NoFields {}))
    }

    /// Asks `status` again and again until the daemon answers, at most for `total`.
    ///
    /// # Errors
    /// The last attempt's error. An error the daemon itself answers with ends
    /// the wait at once, for it will not get better.
    pub fn wait_until_answers(&self, total: Duration) -> Result<Status, ClientError> {
        let end = Instant::now() + total;
        let limit = self.limit_of(&Command::Status(NoFields {}));
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let attempt = self.clone().with_timeout(limit.min(left.max(PAUSE)));
            match attempt.status() {
                Ok(status) => return Ok(status),
                Err(error @ ClientError::Refused { .. }) => return Err(error),
                Err(error) if left <= PAUSE => return Err(error),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Sends one command and reads its `data`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ask<T: DeserializeOwned>(&self, command: Command) -> Result<T, ClientError> {
        let data = self.ask_raw(&Request::from(command))?;
        serde_json::from_value(data).map_err(|error| self.garbled(error))
    }

    /// Sends one request and reads the reply's `data` as it came.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ask_raw(&self, request: &Request) -> Result<Value, ClientError> {
        let (mut stream, deadline) = self.begin(request)?;
        let line = self.receive(&mut stream, &mut LineBuffer::default(), deadline)?;
        self.outcome(&line)
    }

    /// Follows the daemon's changes until `see` has seen enough and says so with `false`, or the
    /// daemon ends. The time-out holds for the first line only.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Closed`] when the daemon ends.
    pub fn follow(&self, mut see: impl FnMut(Change) -> bool) -> Result<(), ClientError> {
        let request = Request::from(Command::Subscribe(NoFields {}));
        let (mut stream, mut deadline) = self.begin(&request)?;
        let mut buffer = LineBuffer::default();
        loop {
            let line = self.receive(&mut stream, &mut buffer, deadline)?;
            deadline.end = None;
            let change = serde_json::from_value(self.outcome(&line)?)
                .map_err(|error| self.garbled(error))?;
            if !see(change) {
                return Ok(());
            }
        }
    }

    /// Asks for a copy of the database: its size in bytes, and from where to read them. A reader
    /// that ends before means that the copy is not whole. The time-out holds for the beginning, and
    /// then for each piece.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn back_up(&self) -> Result<(u64, impl Read), ClientError> {
        let request = Request::from(Command::Backup(NoFields {}));
        let (mut stream, deadline) = self.begin(&request)?;
        let mut buffer = LineBuffer::default();
        let line = self.receive(&mut stream, &mut buffer, deadline)?;
        let BackedUp { size_bytes } =
            serde_json::from_value(self.outcome(&line)?).map_err(|error| self.garbled(error))?;
        stream
            .set_read_timeout(Some(self.limit_of(&request.command)))
            .map_err(|error| self.failed("reading the copy", deadline, error))?;
        let copy = io::Cursor::new(buffer.into_rest())
            .chain(stream)
            .take(size_bytes);
        Ok((size_bytes, copy))
    }

    fn limit_of(&self, command: &Command) -> Duration {
        self.limit.unwrap_or_else(|| usual_limit(command))
    }

    /// Connects and sends the request.
    fn begin(&self, request: &Request) -> Result<(UnixStream, Deadline), ClientError> {
        let mut line = serde_json::to_vec(request).map_err(|error| self.garbled(error))?;
        if line.len() > MAX_LINE {
            return Err(ClientError::TooLong { bytes: line.len() });
        }
        line.push(b'\n');
        let deadline = Deadline::within(self.limit_of(&request.command));
        let mut stream = connect_to(&self.socket, deadline)
            .map_err(|error| self.failed("connecting", deadline, error))?;
        self.send(&mut stream, &line, deadline)?;
        Ok((stream, deadline))
    }

    fn outcome(&self, line: &[u8]) -> Result<Value, ClientError> {
        let reply: Reply = serde_json::from_slice(line).map_err(|error| self.garbled(error))?;
        match reply.outcome() {
            Some(Ok(data)) => Ok(data),
            Some(Err(error)) => Err(ClientError::Refused { error }),
            None => Err(self.garbled("`ok` contradicts the rest")),
        }
    }

    fn send(
        &self,
        stream: &mut UnixStream,
        line: &[u8],
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        const STAGE: &str = "sending the request";
        let mut rest = line;
        while !rest.is_empty() {
            deadline
                .left()
                .and_then(|left| stream.set_write_timeout(left))
                .map_err(|error| self.failed(STAGE, deadline, error))?;
            match stream.write(rest) {
                // A daemon that refuses answers and closes before it has read
                // everything; its answer says more than this error.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(STAGE, deadline, error)),
                Ok(sent) => rest = &rest[sent..],
            }
        }
        Ok(())
    }

    /// The next line.
    fn receive(
        &self,
        stream: &mut UnixStream,
        buffer: &mut LineBuffer,
        deadline: Deadline,
    ) -> Result<Vec<u8>, ClientError> {
        const STAGE: &str = "waiting for the reply";
        let mut chunk = vec![0; 64 * 1024];
        loop {
            if let Some(line) = buffer.next_line().map_err(|error| self.garbled(error))? {
                return Ok(line);
            }
            deadline
                .left()
                .and_then(|left| stream.set_read_timeout(left))
                .map_err(|error| self.failed(STAGE, deadline, error))?;
            match stream.read(&mut chunk) {
                Ok(0) => {
                    return Err(ClientError::Closed {
                        socket: self.socket.clone(),
                    });
                }
                Ok(count) => buffer.push(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(STAGE, deadline, error)),
            }
        }
    }

    fn garbled(&self, problem: impl ToString) -> ClientError {
        ClientError::Garbled {
            socket: self.socket.clone(),
            problem: problem.to_string(),
        }
    }

    fn failed(&self, stage: &'static str, deadline: Deadline, source: io::Error) -> ClientError {
        let socket = self.socket.clone();
        match source.kind() {
            io::ErrorKind::NotFound => ClientError::Missing { socket },
            io::ErrorKind::ConnectionRefused => ClientError::Dead { socket },
            io::ErrorKind::ConnectionReset => ClientError::Closed { socket },
            io::ErrorKind::PermissionDenied => ClientError::Denied {
                socket,
                uid: nix::unistd::geteuid().as_raw(),
            },
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::TimedOut {
                socket,
                limit: deadline.limit,
                stage,
            },
            _ => ClientError::Io {
                socket,
                stage,
                source,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A server that reads one line and answers with these bytes.
    fn answering(answer: &'static [u8]) -> (tempfile::TempDir, Client) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut byte = [0];
                while stream.read(&mut byte).unwrap() == 1 && byte != *b"\n" {}
                stream.write_all(answer).unwrap();
            }
        });
        let client = Client::new(path).with_timeout(Duration::from_secs(5));
        (dir, client)
    }

    #[test]
    fn an_error_of_the_daemon_comes_through_as_it_is() {
        let (_dir, client) =
            answering(b"{\"ok\":false,\"error\":{\"kind\":\"busy\",\"message\":\"later\"}}\n");
        let error = client.status().unwrap_err();
        assert!(matches!(&error, ClientError::Refused { error } if error.message == "later"));
        let waited = Instant::now();
        assert!(client.wait_until_answers(Duration::from_secs(5)).is_err());
        assert!(waited.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn an_answer_of_someone_else_and_no_answer_are_told_apart() {
        let (_dir, client) = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        assert!(matches!(client.status(), Err(ClientError::Garbled { .. })));
        let (_dir, client) = answering(b"{\"ok\":tr");
        assert!(matches!(client.status(), Err(ClientError::Closed { .. })));
        let (_dir, client) = answering(b"{\"ok\":true}\n");
        assert!(matches!(client.status(), Err(ClientError::Garbled { .. })));
    }

    #[test]
    fn a_missing_and_a_dead_socket_say_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("colibri.sock");
        let missing = Client::new(&path).status().unwrap_err();
        assert!(matches!(missing, ClientError::Missing { .. }));
        drop(UnixListener::bind(&path).unwrap());
        let dead = Client::new(&path).status().unwrap_err();
        assert!(matches!(dead, ClientError::Dead { .. }));
        for error in [missing, dead] {
            let text = error.to_string();
            assert!(text.contains(path.to_str().unwrap()), "{text}");
            assert!(text.contains(place::START_SERVICE), "{text}");
        }
    }

    #[test]
    fn a_full_queue_and_a_silent_daemon_end_by_the_time_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        // Never accepted from: the first client gets no reply, and once the
        // queue is full a plain connect would wait for ever.
        let _listener = UnixListener::bind(&path).unwrap();
        let client = Client::new(&path).with_timeout(Duration::from_millis(120));
        let begun = Instant::now();
        let error = client.status().unwrap_err();
        assert!(matches!(
            error,
            ClientError::TimedOut {
                stage: "waiting for the reply",
                ..
            }
        ));
        assert!(begun.elapsed() >= Duration::from_millis(120));

        let backlog = nix::sys::socket::Backlog::new(0).unwrap();
        let path = dir.path().join("t");
        let file = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .unwrap();
        nix::sys::socket::bind(file.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        nix::sys::socket::listen(&file, backlog).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        let begun = Instant::now();
        let client = Client::new(&path).with_timeout(Duration::from_millis(120));
        assert!(matches!(
            client.status(),
            Err(ClientError::TimedOut { .. } | ClientError::Dead { .. })
        ));
        assert!(begun.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn starting_and_stopping_may_take_longer_unless_the_caller_says_otherwise() {
        let client = Client::new("/nonexistent");
        let stop = Command::StopAgent(crate::StopAgent {
            agent: "ada".parse().unwrap(),
        });
        let status = Command::Status(NoFields {});
        assert_eq!(client.limit_of(&status), Duration::from_secs(10));
        assert_eq!(client.limit_of(&stop), Duration::from_secs(60));
        let hasty = client.with_timeout(Duration::from_secs(3));
        assert_eq!(hasty.limit_of(&stop), Duration::from_secs(3));
    }

    #[test]
    fn the_wait_ends_when_the_daemon_comes_up() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(dir.path().join("s"));
        let begun = Instant::now();
        let error = client
            .wait_until_answers(Duration::from_millis(200))
            .unwrap_err();
        assert!(matches!(error, ClientError::Missing { .. }));
        assert!(begun.elapsed() >= Duration::from_millis(100));
    }

    #[test]
    fn an_over_long_request_is_not_sent() {
        let client = Client::new("/nonexistent");
        let task = CreateTask::titled("x".repeat(MAX_LINE));
        assert!(matches!(
            client.create_task(task),
            Err(ClientError::TooLong { .. })
        ));
    }
}
