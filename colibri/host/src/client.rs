//! A small blocking client: connect, ask, and hand an agent's standard streams over.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use colibri_protocol::LineBuffer;
use colibri_protocol::client::{Deadline, connect_to};

use crate::{
    ACCOUNT, AgentExit, Answer, ExecJail, HostError, MAX_LINE, Reply, Request, SHOW_LOG,
    START_SERVICE, frame, passing,
};

/// How long connecting and sending may take.
const BRIEF: Duration = Duration::from_secs(10);

/// How long the answer to this request may take on a host where all is well, with others before it.
fn usual_limit(request: &Request) -> Duration {
    Duration::from_secs(match request {
        Request::ListJails(_) | Request::ListSecrets(_) | Request::HostFacts(_) => 30,
        // `bw` takes a quarter of a minute for each tenant, one after the other, and longer where the vault
        // is slow.
        Request::Provision(_) | Request::CheckVault(_) => 600,
        // It copies what the tenant has written.
        Request::ArchiveJail(_) => 1800,
        _ => 120,
    })
}

/// Why there was no good answer. Each text says which socket, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The path of the socket does not exist.
    #[error(
        "there is no socket at {}: the root helper, colibri-hostd, is not running; start it with \
         `{START_SERVICE}`",
        socket.display()
    )]
    Missing {
        /// The path.
        socket: PathBuf,
    },
    /// The socket is there and nobody listens.
    #[error(
        "nobody listens on {}: the root helper has died; `{SHOW_LOG}` says why, `{START_SERVICE}` \
         starts it again",
        socket.display()
    )]
    Dead {
        /// The path.
        socket: PathBuf,
    },
    /// The account may not reach the socket.
    #[error(
        "permission denied on {}: only root and the account `{ACCOUNT}` may use the root helper, and \
         this is uid {uid}",
        socket.display()
    )]
    Denied {
        /// The path.
        socket: PathBuf,
        /// The account this process runs as.
        uid: u32,
    },
    /// No whole answer came in time.
    #[error(
        "{} gave no answer within {limit:?} ({stage}); the root helper may be stuck: look at \
         `{SHOW_LOG}`",
        socket.display()
    )]
    TimedOut {
        /// The path.
        socket: PathBuf,
        /// The time-out.
        limit: Duration,
        /// What was being waited for.
        stage: &'static str,
    },
    /// The connection ended before a whole answer.
    #[error(
        "{} closed the connection before it answered; the root helper may be stopping: try again, \
         then look at `{SHOW_LOG}`",
        socket.display()
    )]
    Closed {
        /// The path.
        socket: PathBuf,
    },
    /// What came is no answer of the root helper's, or none to this request.
    #[error(
        "the answer from {} is not the root helper's ({problem}); is it the right socket, and are \
         both programs of one version?",
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
    /// The helper answered with an error.
    #[error("{error}{}", remedy(error))]
    Refused {
        /// Its error.
        error: HostError,
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

fn remedy(error: &HostError) -> String {
    let remedy = error.remedy.as_deref();
    remedy.map_or_else(String::new, |remedy| format!("; {remedy}"))
}

/// A connection to the helper. After an error that is not [`ClientError::Refused`] it is of no use.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    stream: UnixStream,
    buffer: LineBuffer,
    /// `None`: as long as the request usually may take.
    limit: Option<Duration>,
}

/// An agent in a jail. It lives no longer than this: dropping it ends the agent.
#[derive(Debug)]
pub struct Running {
    client: Client,
}

impl Client {
    /// Connects to the helper's socket, [`crate::SOCKET`] as a rule.
    ///
    /// # Errors
    /// [`ClientError`]; after 10 seconds also when its queue stays full.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref();
        let deadline = Deadline::within(BRIEF);
        let stream = connect_to(path, deadline)
            .map_err(|error| failed(path, "connecting", deadline, error))?;
        Ok(Self {
            socket: path.to_owned(),
            stream,
            buffer: LineBuffer::default(),
            limit: None,
        })
    }

    /// The same client with one time-out for the answers to all requests, in place of 30 seconds to half an
    /// hour, as the request is.
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Asks, and waits for the answer. For `exec-jail` there is [`Client::exec`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        self.ask_with(request, None)
    }

    /// Starts an agent with these as its standard input, output and error; they stay open here. It lives no
    /// longer than what is returned.
    ///
    /// # Errors
    /// [`ClientError`]; nothing runs then.
    pub fn exec(
        mut self,
        exec: &ExecJail,
        standard: [BorrowedFd<'_>; passing::STANDARD],
    ) -> Result<Running, ClientError> {
        let request = Request::ExecJail(exec.clone());
        match self.ask_with(&request, Some(standard))? {
            Reply::Started => Ok(Running { client: self }),
            _ => Err(self.garbled("it says something else than that the agent runs")),
        }
    }

    fn ask_with(
        &mut self,
        request: &Request,
        standard: Option<[BorrowedFd<'_>; passing::STANDARD]>,
    ) -> Result<Reply, ClientError> {
        let line = request
            .to_line()
            .map_err(|bytes| ClientError::TooLong { bytes })?;
        self.send(&line, standard)?;
        let limit = self.limit.unwrap_or_else(|| usual_limit(request));
        self.answer(Deadline::within(limit))
    }

    fn send(
        &mut self,
        line: &[u8],
        mut standard: Option<[BorrowedFd<'_>; passing::STANDARD]>,
    ) -> Result<(), ClientError> {
        const STAGE: &str = "sending the request";
        let deadline = Deadline::within(BRIEF);
        let mut rest = line;
        while !rest.is_empty() {
            let sent = deadline
                .left()
                .and_then(|left| self.stream.set_write_timeout(left))
                .and_then(|()| match standard {
                    Some(fds) => passing::send(self.stream.as_fd(), rest, &fds),
                    None => self.stream.write(rest),
                });
            match sent {
                Ok(count) => {
                    standard = None;
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A helper that refuses answers and closes before it has read everything; its answer says
                // more than this error.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(failed(&self.socket, STAGE, deadline, error)),
            }
        }
        Ok(())
    }

    /// The next answer.
    fn answer(&mut self, deadline: Deadline) -> Result<Reply, ClientError> {
        const STAGE: &str = "waiting for the answer";
        let mut chunk = vec![0; 16 * 1024];
        loop {
            let next = self.buffer.next_line();
            if let Some(line) = next.map_err(|error| self.garbled(error))? {
                let answer: Answer =
                    frame::answer_from_line(&line).map_err(|error| self.garbled(error))?;
                return answer.map_err(|error| ClientError::Refused { error });
            }
            let read = deadline
                .left()
                .and_then(|left| self.stream.set_read_timeout(left))
                .and_then(|()| self.stream.read(&mut chunk));
            match read {
                Ok(0) => {
                    return Err(ClientError::Closed {
                        socket: self.socket.clone(),
                    });
                }
                Ok(count) => self.buffer.push(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&self.socket, STAGE, deadline, error)),
            }
        }
    }

    fn garbled(&self, problem: impl ToString) -> ClientError {
        ClientError::Garbled {
            socket: self.socket.clone(),
            problem: problem.to_string(),
        }
    }
}

impl Running {
    /// Waits for the agent's end.
    ///
    /// # Errors
    /// [`ClientError::Closed`] when the helper ended first, and the agent with it.
    pub fn wait(mut self) -> Result<AgentExit, ClientError> {
        let for_ever = Deadline {
            limit: Duration::ZERO,
            end: None,
        };
        match self.client.answer(for_ever)? {
            Reply::Ended(exit) => Ok(exit),
            _ => Err(self
                .client
                .garbled("it says something else than how the agent ended")),
        }
    }
}

fn failed(
    socket: &Path,
    stage: &'static str,
    deadline: Deadline,
    source: io::Error,
) -> ClientError {
    let socket = socket.to_owned();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, HostError, NoFields};
    use std::os::unix::net::UnixListener;

    const LIST: Request = Request::ListJails(NoFields {});

    /// A helper that reads one line and answers with these bytes.
    fn answering(answer: Vec<u8>) -> (tempfile::TempDir, Client) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(&answer).unwrap();
        });
        let client = Client::connect(&path).unwrap();
        (dir, client)
    }

    #[test]
    fn answers_and_refusals_are_read() {
        let jails = Reply::Jails { jails: Vec::new() };
        let (_dir, mut client) = answering(frame::answer_to_line(&Ok(jails.clone())));
        assert_eq!(client.ask(&LIST).unwrap(), jails);

        let error = HostError::new(ErrorKind::TryAgain, "no").with_remedy("later");
        let (_dir, mut client) = answering(frame::answer_to_line(&Err(error)));
        let refused = client.ask(&LIST).unwrap_err();
        assert!(matches!(refused, ClientError::Refused { .. }));
        assert_eq!(refused.to_string(), "no; later");
    }

    #[test]
    fn an_agent_runs_until_its_end_is_told() {
        let exec: ExecJail =
            serde_json::from_str(r#"{"tenant":"main","program":"test-agent"}"#).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let answers = |last: &Reply| {
            let mut lines = frame::answer_to_line(&Ok(Reply::Started));
            lines.extend(frame::answer_to_line(&Ok(last.clone())));
            answering(lines)
        };
        let (_dir, client) = answers(&Reply::Ended(AgentExit { status: 3 }));
        let running = client.exec(&exec, [null.as_fd(); 3]).unwrap();
        assert_eq!(running.wait().unwrap().status, 3);
        let (_dir, client) = answers(&Reply::Started);
        let running = client.exec(&exec, [null.as_fd(); 3]).unwrap();
        assert!(matches!(running.wait(), Err(ClientError::Garbled { .. })));

        let (_dir, client) = answering(frame::answer_to_line(&Ok(Reply::Started)));
        let running = client.exec(&exec, [null.as_fd(); 3]).unwrap();
        assert!(matches!(running.wait(), Err(ClientError::Closed { .. })));
        let gone = Reply::Gone { archive: None };
        let (_dir, client) = answering(frame::answer_to_line(&Ok(gone)));
        let error = client.exec(&exec, [null.as_fd(); 3]).unwrap_err();
        assert!(matches!(error, ClientError::Garbled { .. }));
    }

    #[test]
    fn each_way_of_not_answering_says_what_to_do() {
        let (_dir, mut client) = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
        assert!(matches!(
            client.ask(&LIST),
            Err(ClientError::Garbled { .. })
        ));
        let (_dir, mut client) = answering(b"{\"ok\":tr".to_vec());
        assert!(matches!(client.ask(&LIST), Err(ClientError::Closed { .. })));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let missing = Client::connect(&path).unwrap_err();
        assert!(matches!(missing, ClientError::Missing { .. }));
        let listener = UnixListener::bind(&path).unwrap();
        let mut client = Client::connect(&path)
            .unwrap()
            .with_timeout(Duration::from_millis(60));
        let silent = client.ask(&LIST).unwrap_err();
        assert!(matches!(silent, ClientError::TimedOut { .. }));
        drop(listener);
        let dead = Client::connect(&path).unwrap_err();
        assert!(matches!(dead, ClientError::Dead { .. }));
        for (error, words) in [
            (missing, START_SERVICE),
            (silent, SHOW_LOG),
            (dead, SHOW_LOG),
        ] {
            let text = error.to_string();
            assert!(text.contains(path.to_str().unwrap()), "{text}");
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn an_over_long_request_is_not_sent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut client = Client::connect(&path).unwrap();
        let long = Request::Provision(crate::Provision {
            tenant: "main".parse().unwrap(),
            collection: "x".repeat(MAX_LINE),
            fresh: false,
        });
        assert!(matches!(
            client.ask(&long),
            Err(ClientError::TooLong { .. })
        ));
    }
}
