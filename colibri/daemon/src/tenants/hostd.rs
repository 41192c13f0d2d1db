//! The way to the root helper: one question at a time over a connection of its own.

use std::path::PathBuf;
use std::time::Duration;

use colibri_host::{
    Client, ClientError, ErrorKind as HostKind, HostFacts, NoFields, Reply, Request,
};
use colibri_protocol::{ErrorKind, ReplyError};
use tokio::sync::Semaphore;

/// Questions at once; more wait their turn. Each holds a thread, and others need some, too.
const AT_ONCE: usize = 32;

/// Where the helper is.
#[derive(Debug)]
pub(crate) struct Hostd {
    socket: PathBuf,
    turns: Semaphore,
}

/// Why the helper did not do it, as a sentence with what to do.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Trouble {
    /// The helper's own word for it; none when it does not answer.
    pub(crate) kind: Option<HostKind>,
    /// It would help to try again later.
    pub(crate) may_pass: bool,
    text: String,
}

impl Trouble {
    fn new(text: impl Into<String>) -> Self {
        Self {
            kind: None,
            may_pass: true,
            text: text.into(),
        }
    }

    /// The same with what was tried.
    pub(crate) fn while_trying_to(self, what: &str) -> Self {
        Self {
            text: format!("cannot {what}: {}", self.text),
            ..self
        }
    }
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        let kind = match &error {
            ClientError::Refused { error } => Some(error.kind),
            _ => None,
        };
        let may_pass = match &error {
            ClientError::Refused { error } => error.kind == HostKind::TryAgain,
            ClientError::TooLong { .. } | ClientError::Garbled { .. } => false,
            _ => true,
        };
        Self {
            kind,
            may_pass,
            text: error.to_string(),
        }
    }
}

/// What the database says to it, which may be otherwise in a moment.
impl From<ReplyError> for Trouble {
    fn from(error: ReplyError) -> Self {
        Self::new(error.message)
    }
}

impl From<Trouble> for ReplyError {
    fn from(trouble: Trouble) -> Self {
        Self::new(ErrorKind::Host, trouble.text)
    }
}

impl Hostd {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// Asks, and waits for the answer for as long as it usually may take.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn ask(&self, request: Request) -> Result<Reply, Trouble> {
        let turn = self.turns.acquire().await;
        let _turn = turn.map_err(|error| Trouble::new(error.to_string()))?;
        self.ask_within(request, None).await
    }

    /// What kind of host this is; nothing waits for longer than this.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn facts(&self, limit: Option<Duration>) -> Result<HostFacts, Trouble> {
        let request = Request::HostFacts(NoFields {});
        match self.ask_within(request, limit).await? {
            Reply::Facts(facts) => Ok(facts),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask_within(
        &self,
        request: Request,
        limit: Option<Duration>,
    ) -> Result<Reply, Trouble> {
        let socket = self.socket.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let client = Client::connect(socket)?;
            let mut client = match limit {
                Some(limit) => client.with_timeout(limit),
                None => client,
            };
            client.ask(&request)
        });
        let answer = asked
            .await
            .map_err(|error| Trouble::new(error.to_string()))?;
        Ok(answer?)
    }
}

/// The helper answered something else than what was asked.
pub(crate) fn unexpected(reply: &Reply) -> Trouble {
    tracing::error!("the root helper answered something else than what was asked: {reply:?}");
    Trouble {
        may_pass: false,
        ..Trouble::new(
            "the root helper answered something else than what was asked; are colibri-hostd and \
             colibri-daemon of one version?",
        )
    }
}
