//! An agent's standard input. Whoever writes never waits: an agent that does not
//! read is told nothing more, and its caller learns of it at once.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How many bytes may wait for an agent to read them: one longest line of the
/// protocol with room for small ones.
const WAITING: usize = 2 * 1024 * 1024;

/// The way to an agent's standard input. It is closed when the last clone is
/// dropped and what waits has been written.
#[derive(Debug, Clone)]
pub struct Input {
    queue: mpsc::UnboundedSender<Message>,
    room: Arc<Semaphore>,
    most: usize,
}

#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    /// Room in the queue, given back when the bytes are in the pipe.
    _room: OwnedSemaphorePermit,
}

/// The bytes were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// It reads nothing or too slowly.
    #[error(
        "the agent does not read its input: {waiting} bytes wait for it; try again later, or stop it"
    )]
    Full {
        /// How many bytes wait.
        waiting: usize,
    },
    /// More than could ever wait.
    #[error("{length} bytes are too many at once for an agent; the most is {most}")]
    TooLong {
        /// How many came.
        length: usize,
        /// How many may.
        most: usize,
    },
    /// It ended, closed its input, or never had one.
    #[error("the agent reads no input; it ended or closed it, or does not listen")]
    Closed,
}

impl Input {
    pub(crate) fn new(stdin: ChildStdin) -> Self {
        Self::with_room(stdin, WAITING)
    }

    /// The way to an agent that has no standard input.
    pub(crate) fn closed() -> Self {
        let (queue, _) = mpsc::unbounded_channel();
        let (room, most) = (Arc::new(Semaphore::new(WAITING)), WAITING);
        Self { queue, room, most }
    }

    fn with_room(mut stdin: ChildStdin, most: usize) -> Self {
        let room = Arc::new(Semaphore::new(most));
        let (queue, mut waiting) = mpsc::unbounded_channel::<Message>();
        tokio::spawn(async move {
            while let Some(message) = waiting.recv().await {
                // Whoever does not read any more is served with an end of this
                // task: the receiver is gone, and every further send says so.
                if stdin.write_all(&message.bytes).await.is_err() {
                    break;
                }
            }
        });
        Self { queue, room, most }
    }

    /// Queues bytes; `Ok` means that they wait, not that they were read.
    ///
    /// # Errors
    /// [`InputError`]; then none of the bytes was taken.
    pub fn send(&self, bytes: Vec<u8>) -> Result<(), InputError> {
        let length = bytes.len();
        let too_long = InputError::TooLong {
            length,
            most: self.most,
        };
        if length > self.most {
            return Err(too_long);
        }
        let wanted = u32::try_from(length).map_err(|_| too_long)?;
        if self.queue.is_closed() {
            return Err(InputError::Closed);
        }
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(wanted)
            .map_err(|_| InputError::Full {
                waiting: self.most - self.room.available_permits(),
            })?;
        self.queue
            .send(Message { bytes, _room: room })
            .map_err(|_| InputError::Closed)
    }

    /// Queues a line; its newline is added.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_line(&self, line: &str) -> Result<(), InputError> {
        self.send(format!("{line}\n").into_bytes())
    }
}
