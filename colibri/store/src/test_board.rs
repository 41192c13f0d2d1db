//! A board for tests, in a folder of its own and at a time that they set.

use std::time::Duration;

use colibri_protocol::{Agent, ClaimTask, RegisterAgent, Task, TransitionTask};
use jiff::Timestamp;

use crate::{Lease, Reader, Result, Store};

pub(crate) const LEASE: Lease = Lease(Duration::from_secs(60));

pub(crate) struct Board {
    _dir: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) now: Timestamp,
}

impl Board {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("colibri.sqlite")).unwrap();
        Self {
            _dir: dir,
            store,
            now: "2026-11-27T00:00:00Z".parse().unwrap(),
        }
    }

    pub(crate) fn reader(&self) -> Reader {
        self.store.reader().unwrap()
    }

    pub(crate) fn agent(&mut self, name: &str, can: &str) -> Agent {
        let new = RegisterAgent {
            name: name.parse().unwrap(),
            capabilities: can
                .split_whitespace()
                .map(|one| one.parse().unwrap())
                .collect(),
            host: None,
            slots: None,
        };
        let (host, now) = ("h".parse().unwrap(), self.now);
        self.store
            .change(|b| b.register_agent(&new, &host, "uid:0", LEASE, now))
            .unwrap()
    }

    pub(crate) fn claim(&mut self, task: &Task, agent: &Agent) -> Result<Task> {
        let claim = ClaimTask {
            task_id: task.id,
            agent_id: agent.id,
        };
        let now = self.now;
        self.store
            .change(|b| b.claim_task(&claim, None, LEASE, now))
    }

    pub(crate) fn go(&mut self, to: TransitionTask) -> Result<Task> {
        let now = self.now;
        self.store
            .change(|b| b.transition_task(to, "uid:0", LEASE, now))
    }
}
