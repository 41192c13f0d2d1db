//! What of an agent's doings goes into its session.

use std::sync::Arc;

use colibri_glasspane::Change as Seen;
use colibri_protocol::{Change, CostMode, Name, SessionBrief, Usage};
use colibri_session::{Action, Limits, Session, SessionError};
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::sessions::{Sessions, Shared, lock};

/// Writes an agent's session. Nothing that goes wrong with it concerns the agent: it is logged, and
/// shown with the pane.
#[derive(Debug)]
pub(super) struct Record {
    sessions: Arc<Sessions>,
    agent: Name,
    session: Option<Shared>,
    /// What the agent said, until it is known what that took: some tell afterwards.
    said: Option<String>,
    /// What was used up since the last answer that was written.
    used: Usage,
    shown: Shown,
}

/// What others see of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    pub(super) brief: Option<SessionBrief>,
    pub(super) problem: Option<String>,
}

impl Record {
    /// Nothing is written before it is opened.
    pub(super) fn new(sessions: Arc<Sessions>, agent: Name) -> Self {
        Self {
            sessions,
            agent,
            session: None,
            said: None,
            used: Usage::default(),
            shown: Shown::default(),
        }
    }

    /// Goes on with the agent's session, or begins one. Its prefix is `first`, what the agent is
    /// asked first.
    pub(super) fn open(&mut self, mode: CostMode, first: Option<&str>) {
        let prefix = first.map_or_else(String::new, |first| format!("{first}\n"));
        match block_in_place(|| self.sessions.enter(&self.agent, mode, prefix)) {
            Ok(session) => {
                self.session = Some(session);
                self.refresh();
            }
            Err(problem) => {
                tracing::error!(agent = %self.agent, "it has no session: {problem}");
                self.shown.problem = Some(format!("there is no session: {problem}"));
            }
        }
    }

    /// The session, when there is one.
    pub(super) fn session(&self) -> Option<Uuid> {
        self.shown.brief.map(|brief| brief.session)
    }

    /// The agent was asked what it is asked first. A new session has that as its prefix, and not in
    /// the log, too; in one that goes on it begins a turn like any other.
    pub(super) fn asked_first(&mut self, message: &str) {
        if self.shown.brief.is_some_and(|brief| brief.log_bytes > 0) {
            self.asked(message);
        }
    }

    /// The agent was asked this, which begins a turn.
    pub(super) fn asked(&mut self, message: &str) {
        self.answered();
        self.write(|session, _| session.ask(message));
    }

    /// Takes in what the agent does. Gives back what subscribers should know of the session.
    pub(super) fn hear(&mut self, seen: &Seen) -> Vec<Change> {
        match seen {
            Seen::Said(text) => {
                self.answered();
                self.said = Some(text.clone());
            }
            Seen::Used(used) => self.used += *used,
            Seen::Called { tool, arguments } => {
                self.answered();
                self.write(|session, _| session.call_tool(tool, arguments));
            }
            Seen::Returned { tool, text } => {
                self.write(|session, limits| session.tool_result(tool, text, limits));
            }
            Seen::Finished | Seen::Failed { .. } | Seen::Aborted => return self.end_turn(),
            Seen::State { .. }
            | Seen::Asked { .. }
            | Seen::Stalled
            | Seen::Compacted
            | Seen::Refused { .. } => {}
        }
        Vec::new()
    }

    /// Looks at the session anew: somebody else has changed it.
    pub(super) fn refresh(&mut self) {
        if let Some(session) = &self.session {
            self.shown = block_in_place(|| shown(session));
        }
    }

    pub(super) fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// The agent is gone for good.
    pub(super) fn close(&mut self) {
        self.answered();
        if let Some(session) = self.session.take() {
            block_in_place(|| self.sessions.leave(session));
        }
    }

    /// Writes the last answer, to which nothing more belongs.
    fn answered(&mut self) {
        if let Some(text) = self.said.take() {
            let used = std::mem::take(&mut self.used);
            let used = Some(used).filter(|used| *used != Usage::default());
            self.write(|session, _| session.answer(text, used));
        }
    }

    fn end_turn(&mut self) -> Vec<Change> {
        // What was used up without a word counts all the same.
        if self.said.is_none() && self.used != Usage::default() {
            self.said = Some(String::new());
        }
        self.answered();
        let Some(session) = &self.session else {
            return Vec::new();
        };
        let actions = block_in_place(|| lock(session).keep_within());
        self.refresh();
        let Some(SessionBrief {
            session, cost_mode, ..
        }) = self.shown.brief
        else {
            return Vec::new();
        };
        let told = |action: &Action| {
            let (mode, escalated) = match action {
                Action::Escalated(step) => (step.to, Some(step.trigger)),
                Action::Compacted(_) => (cost_mode, None),
                Action::AtCeiling(_) => return None,
            };
            Some(Change::Session {
                session,
                agent: self.agent.clone(),
                mode,
                escalated,
            })
        };
        actions.iter().filter_map(told).collect()
    }

    fn write(&mut self, write: impl FnOnce(&mut Session, &Limits) -> Result<(), SessionError>) {
        if let Some(session) = &self.session {
            self.shown = block_in_place(|| {
                lock(session).write(write);
                shown(session)
            });
        }
    }
}

fn shown(session: &Shared) -> Shown {
    let book = lock(session);
    Shown {
        brief: Some(book.brief()),
        problem: book.problem(),
    }
}
