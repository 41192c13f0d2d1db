//! One client: lines in, replies out, and no patience without end.

use std::fs::File;
use std::io::{self, Read as _};
use std::time::Duration;

use colibri_protocol::{
    BackedUp, Change, ErrorKind, LineBuffer, MAX_LINE, Reply, ReplyError, RequestId,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::{self, Answer};
use crate::budget::Share;
use crate::config::Patience;
use crate::gate::{Gate, Peer};
use crate::server::Service;
use crate::stop::Stop;

/// After an over-long line: how much of its rest is read and thrown away, so
/// that the client gets to its reply before the connection breaks.
const DISCARD: usize = 8 * MAX_LINE;
const DISCARD_FOR: Duration = Duration::from_secs(1);

/// Bytes of a backup that a client must accept within the patience for one reply.
const PIECE: usize = 256 * 1024;

/// Serves one client, with the rights that the gate gives it, until it leaves, breaks a rule, or the
/// daemon stops.
pub(crate) async fn serve(stream: UnixStream, gate: &Gate, service: &Service, stop: &Stop) {
    let mut connection = Connection {
        stream,
        buffer: LineBuffer::default(),
        share: service.budget.share(),
        line_begun: None,
        patience: service.config.patience,
    };
    let peer = match connection.stream.peer_cred() {
        Ok(cred) => Peer {
            uid: cred.uid(),
            gid: cred.gid(),
        },
        Err(error) => return tracing::warn!("a client without credentials: {error}"),
    };
    let rights = match gate.admit(peer) {
        Ok(rights) => rights,
        Err(refusal) => {
            tracing::warn!(uid = peer.uid, gid = peer.gid, "refused a client");
            return connection.refuse(refusal).await;
        }
    };
    loop {
        let line = match connection.next_line(stop).await {
            Next::Line(line) => line,
            Next::Gone => return,
            Next::Broken(error) => return connection.refuse(error).await,
        };
        let answer = answer::to_line(&line, &rights, service).await;
        // It may be a megabyte, and the client may be slow to read.
        drop(line);
        match answer {
            Answer::Line(reply) => {
                let kept = reply.len() + connection.buffer.kept();
                if let Err(full) = connection.share.hold(kept) {
                    drop(reply);
                    let text = format!("{full}; what was asked is done, its reply is lost");
                    let error = ReplyError::new(ErrorKind::Busy, text);
                    return connection.refuse(error).await;
                }
                if connection.send(&reply).await.is_err() {
                    return;
                }
            }
            // It begins before the client knows, so that no change falls between.
            Answer::Stream(id) => {
                return connection.stream(id, service.board.changes(), stop).await;
            }
            Answer::Copy(id) => {
                if let Err(error) = connection.send_copy(id, service).await {
                    return tracing::warn!("a backup was not sent to its end: {error}");
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
    Broken(ReplyError),
}

struct Connection {
    stream: UnixStream,
    buffer: LineBuffer,
    /// For the buffer, the line that is being answered, and the reply.
    share: Share,
    /// When the first byte of an unfinished line came. Not the latest: a byte
    /// a second would otherwise hold a seat for ever.
    line_begun: Option<Instant>,
    patience: Patience,
}

impl Connection {
    /// The next line that is not blank.
    async fn next_line(&mut self, stop: &Stop) -> Next {
        let quiet_since = Instant::now();
        loop {
            match self.buffer.next_line() {
                Ok(Some(line)) if line.iter().all(u8::is_ascii_whitespace) => continue,
                Ok(Some(line)) if !stop.is_asked() => {
                    self.line_begun = None;
                    return Next::Line(line);
                }
                Ok(Some(_)) => return Next::Broken(stopping()),
                Ok(None) => {
                    if let Err(full) = self.share.hold(self.buffer.kept()) {
                        let text = format!("{full}; nothing was done, try again");
                        return Next::Broken(ReplyError::new(ErrorKind::Busy, text));
                    }
                }
                Err(error) => {
                    let text = format!("{error}; the connection is closed");
                    return Next::Broken(ReplyError::new(ErrorKind::LineTooLong, text));
                }
            }
            let deadline = if self.buffer.is_mid_line() {
                *self.line_begun.get_or_insert_with(Instant::now) + self.patience.line
            } else {
                self.line_begun = None;
                quiet_since + self.patience.idle
            };
            let mut chunk = [0; 16 * 1024];
            let read = tokio::select! {
                read = timeout_at(deadline, self.stream.read(&mut chunk)) => read,
                () = stop.asked() => return match self.buffer.is_mid_line() {
                    true => Next::Broken(stopping()),
                    false => Next::Gone,
                },
            };
            match read {
                Ok(Ok(0)) if self.buffer.is_mid_line() => {
                    return Next::Broken(ReplyError::new(
                        ErrorKind::BadRequest,
                        "the line ended without its newline; nothing was done",
                    ));
                }
                Ok(Ok(0) | Err(_)) => return Next::Gone,
                Ok(Ok(count)) => self.buffer.push(&chunk[..count]),
                Err(_) if self.buffer.is_mid_line() => {
                    let limit = self.patience.line;
                    return Next::Broken(ReplyError::new(
                        ErrorKind::TimedOut,
                        format!("the line did not end within {limit:?}; nothing was done"),
                    ));
                }
                // Unasked words would be taken for the reply to the next request.
                Err(_) => return Next::Gone,
            }
        }
    }

    /// Sends a whole line, or gives up on a client that does not read.
    async fn send(&mut self, line: &[u8]) -> io::Result<()> {
        timeout(self.patience.write, self.stream.write_all(line)).await?
    }

    /// Sends a copy of the database: a reply with its size, and then its bytes.
    ///
    /// # Errors
    /// The client does not read any more, or the copy cannot be read; either way the client sees
    /// that bytes are missing, and nothing else may follow.
    async fn send_copy(&mut self, id: Option<RequestId>, service: &Service) -> io::Result<()> {
        // A copy takes room beside the database for as long as its client takes.
        let Ok(_turn) = service.backing_up.try_lock() else {
            let busy = ReplyError::new(ErrorKind::Busy, "another backup is under way; try again");
            return self.send(&answer::reply_line::<()>(id, Err(busy))).await;
        };
        let folder = service.config.data_dir.clone();
        let mut copy = match service.board.read(move |r| r.back_up(&folder)).await {
            Ok(copy) => copy,
            Err(error) => return self.send(&answer::reply_line::<()>(id, Err(error))).await,
        };
        let size_bytes = copy.metadata()?.len();
        let reply = answer::reply_line(id, Ok(BackedUp { size_bytes }));
        self.send(&reply).await?;
        loop {
            let (piece, rest) = tokio::task::spawn_blocking(|| read_piece(copy)).await??;
            if piece.is_empty() {
                return Ok(());
            }
            self.send(&piece).await?;
            copy = rest;
        }
    }

    /// Sends every change until the client leaves, does not read, or the daemon stops. What the
    /// client still sends is thrown away.
    async fn stream(
        &mut self,
        id: Option<RequestId>,
        mut changes: broadcast::Receiver<Change>,
        stop: &Stop,
    ) {
        self.forget();
        let mut change = Change::Subscribed;
        let mut chunk = [0; 4096];
        loop {
            let line = answer::reply_line(id.clone(), Ok(&change));
            if self.send(&line).await.is_err() {
                return;
            }
            change = loop {
                tokio::select! {
                    () = stop.asked() => return,
                    next = changes.recv() => match next {
                        Ok(change) => break change,
                        Err(RecvError::Lagged(missed)) => break Change::Lagged { missed },
                        Err(RecvError::Closed) => return,
                    },
                    read = self.stream.read(&mut chunk) => match read {
                        Ok(0) | Err(_) => return,
                        Ok(_) => {}
                    },
                }
            };
        }
    }

    /// What the client has sent is not looked at any more.
    fn forget(&mut self) {
        self.buffer = LineBuffer::default();
        self.share.release();
    }

    /// Says why, and hangs up without cutting the client off from reading it.
    async fn refuse(mut self, error: ReplyError) {
        self.forget();
        let Ok(line) = Reply::new(None, Err(error)).to_line() else {
            return;
        };
        if self.send(&line).await.is_err() || self.stream.shutdown().await.is_err() {
            return;
        }
        let mut chunk = vec![0; 16 * 1024];
        let mut left = DISCARD;
        let discard = async {
            while left > 0 {
                match self.stream.read(&mut chunk).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => left = left.saturating_sub(count),
                }
            }
        };
        // Whoever is still sending by then is not going to read.
        let _ = timeout(DISCARD_FOR, discard).await;
    }
}

/// The next piece of a file, empty at its end, and the file for the one after.
fn read_piece(mut file: File) -> io::Result<(Vec<u8>, File)> {
    let mut piece = vec![0; PIECE];
    let count = file.read(&mut piece)?;
    piece.truncate(count);
    Ok((piece, file))
}

fn stopping() -> ReplyError {
    ReplyError::new(
        ErrorKind::ShuttingDown,
        "the daemon is stopping; nothing was done",
    )
}
