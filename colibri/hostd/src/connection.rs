//! One client: lines in, answers out, and no patience without end.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use colibri_host::{
    AgentExit, Answer, ErrorKind, ExecJail, HostError, MAX_LINE, Reply, Request, answer_to_line,
    passing, too_long,
};
use colibri_protocol::LineBuffer;

use crate::audit::Audit;
use crate::gate::Peer;
use crate::seats::{Row, Seat};
use crate::server::Service;
use crate::stop::Woken;
use crate::{answer, exec};

/// After a rule was broken: how much more is read and thrown away, so that the client gets to its answer before
/// the connection breaks.
const DISCARD: usize = 4 * MAX_LINE;
const DISCARD_FOR: Duration = Duration::from_secs(1);

/// Serves one client until it leaves, breaks a rule, or the helper stops.
pub(crate) fn serve(stream: UnixStream, peer: Peer, service: &Service, seat: Seat) {
    let mut connection = Connection {
        stream,
        buffer: LineBuffer::default(),
        fds: Vec::new(),
        peer,
    };
    if let Err(error) = connection
        .stream
        .set_write_timeout(Some(service.limits.write))
    {
        return tracing::error!("a client without a time-out: {error}");
    }
    loop {
        let line = match connection.next_line(service) {
            Next::Line(line) => line,
            Next::Gone => return,
            Next::Broken(error) => return connection.refuse(error),
        };
        let fds = std::mem::take(&mut connection.fds);
        let request = match Request::from_line(&line) {
            Ok(request) => request,
            Err(error) => return connection.refuse(error),
        };
        drop(line);
        let audit = Audit::of(peer, &request);
        match request {
            Request::ExecJail(exec) => return connection.exec(exec, fds, service, seat, &audit),
            _ if !fds.is_empty() => {
                return connection.refuse(bad(format!(
                    "{} file descriptors came with `{}`, which takes none",
                    fds.len(),
                    request.name()
                )));
            }
            _ => {
                let answer = answer::answer(service, &request);
                audit.answered(&answer);
                if connection.send(&answer).is_err() {
                    return;
                }
            }
        }
    }
}

enum Next {
    Line(Vec<u8>),
    /// Nobody waits for an answer.
    Gone,
    /// The stream cannot be used any more; the client is told why.
    Broken(HostError),
}

struct Connection {
    stream: UnixStream,
    buffer: LineBuffer,
    /// Those that came with the line.
    fds: Vec<OwnedFd>,
    peer: Peer,
}

impl Connection {
    /// The next line that is not blank.
    fn next_line(&mut self, service: &Service) -> Next {
        let quiet_since = Instant::now();
        // When the first byte of an unfinished line came. Not the latest: a byte a second would otherwise
        // hold a seat for ever.
        let mut line_begun = None;
        loop {
            match self.buffer.next_line() {
                Ok(Some(line)) if line.iter().all(u8::is_ascii_whitespace) => continue,
                Ok(Some(line)) => return Next::Line(line),
                Ok(None) if self.buffer.kept() > MAX_LINE => return Next::Broken(too_long()),
                Ok(None) => {}
                Err(_) => return Next::Broken(too_long()),
            }
            let deadline = if self.buffer.is_mid_line() {
                *line_begun.get_or_insert_with(Instant::now) + service.limits.line
            } else {
                // The end of a blank one may have come.
                line_begun = None;
                quiet_since + service.limits.idle
            };
            match service
                .stop
                .wait_for(&[self.stream.as_fd()], Some(deadline))
            {
                Ok(Woken::By(_)) => {}
                Ok(Woken::ToStop) if self.buffer.is_mid_line() => {
                    return Next::Broken(stopping());
                }
                Ok(Woken::InTime) if self.buffer.is_mid_line() => {
                    return Next::Broken(bad(format!(
                        "the line did not end within {:?}; nothing was done",
                        service.limits.line
                    )));
                }
                // Unasked words would be taken for the answer to the next request.
                Ok(Woken::ToStop | Woken::InTime) | Err(_) => return Next::Gone,
            }
            match self.receive() {
                Ok(0) if self.buffer.is_mid_line() => {
                    return Next::Broken(bad(
                        "the line ended without its newline; nothing was done",
                    ));
                }
                Ok(0) => return Next::Gone,
                Ok(_) if self.fds.len() > passing::STANDARD => {
                    return Next::Broken(bad("more file descriptors came than any request takes"));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Next::Broken(bad("more file descriptors came than can be taken"));
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(_) => return Next::Gone,
            }
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let count = passing::receive(self.stream.as_fd(), &mut chunk, &mut self.fds)?;
        self.buffer.push(&chunk[..count]);
        Ok(count)
    }

    /// Starts an agent, and stays with it until its end.
    fn exec(
        mut self,
        exec: ExecJail,
        fds: Vec<OwnedFd>,
        service: &Service,
        seat: Seat,
        audit: &Audit,
    ) {
        // Its own seat: agents that run do not keep others from asking.
        let Some(_agents_seat) = service.seats.take(Row::Agent) else {
            let most = service.seats.most(Row::Agent);
            let error = HostError::new(
                ErrorKind::TryAgain,
                format!("{most} agents run, which is the most this host takes"),
            );
            audit.answered(&Err(error.clone()));
            return self.refuse_quietly(error);
        };
        let agent = match exec::start(service, &exec, fds) {
            Ok(agent) => agent,
            Err(error) => {
                audit.answered(&Err(error.clone()));
                return self.refuse_quietly(error);
            }
        };
        // For the next client; what was left of this one's words is dropped.
        drop(seat);
        self.buffer = LineBuffer::default();
        let started = Ok(Reply::Started);
        audit.answered(&started);
        if self.send(&started).is_err() {
            drop(agent);
            return audit.ended("with its connection");
        }
        let ended = match exec::watch(&self.stream, agent, &service.stop) {
            Ok((status, cause)) => {
                audit.ended(&format!("{} with status {status}", cause.as_str()));
                Ok(Reply::Ended(AgentExit { status }))
            }
            Err(error) => {
                audit.ended(&format!("nobody knows how: {error}"));
                Err(HostError::new(
                    ErrorKind::System,
                    format!("nobody knows how the agent ended: {error}"),
                ))
            }
        };
        // It may be gone already.
        let _ = self.send(&ended);
    }

    /// Sends a whole line, or gives up on a client that does not read.
    fn send(&mut self, answer: &Answer) -> io::Result<()> {
        self.stream.write_all(&answer_to_line(answer))
    }

    /// Says why, in the log too, and hangs up.
    fn refuse(self, error: HostError) {
        Audit::of_none(self.peer).answered(&Err(error.clone()));
        self.refuse_quietly(error);
    }

    /// Hangs up without cutting the client off from reading why.
    fn refuse_quietly(mut self, error: HostError) {
        self.fds.clear();
        self.buffer = LineBuffer::default();
        if self.send(&Err(error)).is_err()
            || self.stream.shutdown(std::net::Shutdown::Write).is_err()
        {
            return;
        }
        let (until, mut left) = (Instant::now() + DISCARD_FOR, DISCARD);
        let mut chunk = [0; 16 * 1024];
        while left > 0 {
            let patience = until.saturating_duration_since(Instant::now());
            if patience.is_zero() || self.stream.set_read_timeout(Some(patience)).is_err() {
                return;
            }
            // A plain read: the system closes the descriptors that come along.
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
    }
}

fn bad(message: impl Into<String>) -> HostError {
    HostError::new(ErrorKind::BadRequest, message)
}

fn stopping() -> HostError {
    HostError::new(
        ErrorKind::TryAgain,
        "the root helper is stopping; nothing was done",
    )
}
