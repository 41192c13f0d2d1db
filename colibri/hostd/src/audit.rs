//! A line of the log for each request: who, what, about whom, how it ended, how long it took. Of what was asked
//! and answered nothing else, for prompts and names of items are nobody's business.

use std::time::Instant;

use colibri_host::{Answer, ErrorKind, Request};

use crate::gate::Peer;

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Audit {
    peer: Peer,
    cmd: &'static str,
    tenant: String,
    begun: Instant,
}

impl Audit {
    /// Of a request.
    pub(crate) fn of(peer: Peer, request: &Request) -> Self {
        let tenant = request.tenant().map(ToString::to_string);
        Self {
            peer,
            cmd: request.name(),
            tenant: tenant.unwrap_or_else(|| "-".to_owned()),
            begun: Instant::now(),
        }
    }

    /// Of something that was no request, or nobody's who may ask.
    pub(crate) fn of_none(peer: Peer) -> Self {
        Self {
            peer,
            cmd: "-",
            tenant: "-".to_owned(),
            begun: Instant::now(),
        }
    }

    /// It is answered so.
    pub(crate) fn answered(&self, answer: &Answer) {
        match answer {
            Ok(_) => self.write("ok", ""),
            // What is wrong with a request is said in its own words.
            Err(error) if error.kind == ErrorKind::BadRequest => {
                self.write(error.kind.as_str(), "");
            }
            Err(error) => self.write(error.kind.as_str(), &error.message),
        }
    }

    /// What it started has ended.
    pub(crate) fn ended(&self, how: &str) {
        self.write("ended", how);
    }

    fn write(&self, outcome: &str, detail: &str) {
        let Peer { uid, pid } = self.peer;
        let ms = self.begun.elapsed().as_millis();
        tracing::info!(
            uid,
            pid,
            cmd = self.cmd,
            tenant = %self.tenant,
            outcome,
            ms,
            detail,
            "audit"
        );
    }
}
