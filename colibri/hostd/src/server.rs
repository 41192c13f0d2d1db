//! Clients coming in, and everything they share.

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use colibri_host::{ErrorKind, HostError, answer_to_line};
use colibri_jail::Jails;
use colibri_protocol::TenantId;

use crate::audit::Audit;
use crate::buckets::Buckets;
use crate::config::Limits;
use crate::connection;
use crate::doors::Doors;
use crate::gate::{Gate, Peer};
use crate::seats::{Row, Seats};
use crate::stop::{Stop, Woken};
use crate::turns::Turns;

/// The pause after the system refused a new connection, for want of file descriptors say; without it the
/// loop would spin.
const PAUSE: Duration = Duration::from_millis(100);

/// Of each thread. Nothing here goes deep, and there may be thousands.
const STACK: usize = 512 * 1024;

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) limits: Limits,
    pub(crate) gate: Gate,
    pub(crate) jails: Box<dyn Jails>,
    pub(crate) buckets: Box<dyn Buckets>,
    pub(crate) doors: Doors,
    /// What all jails' roots lie below.
    pub(crate) base: PathBuf,
    pub(crate) tenants: Turns<TenantId>,
    pub(crate) vault: Turns<()>,
    pub(crate) seats: Arc<Seats>,
    pub(crate) stop: Stop,
}

impl Service {
    pub(crate) fn new(
        limits: Limits,
        gate: Gate,
        jails: Box<dyn Jails>,
        buckets: Box<dyn Buckets>,
        doors: Doors,
        base: PathBuf,
        stop: Stop,
    ) -> Self {
        Self {
            seats: Seats::new(&limits),
            limits,
            gate,
            jails,
            buckets,
            doors,
            base,
            tenants: Turns::new(),
            vault: Turns::new(),
            stop,
        }
    }
}

/// Accepts clients until asked to stop.
pub(crate) fn serve(listener: &UnixListener, service: &Arc<Service>) {
    loop {
        match service.stop.wait_for(&[listener.as_fd()], None) {
            Ok(Woken::By(_) | Woken::InTime) => {}
            Ok(Woken::ToStop) => return,
            Err(errno) => return tracing::error!("cannot wait for clients: {errno}"),
        }
        match listener.accept() {
            Ok((stream, _)) => welcome(stream, service),
            Err(error) => {
                tracing::warn!("a client could not be accepted: {error}");
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// Waits for what is under way; agents were ended when stopping was asked for.
pub(crate) fn finish(service: &Service) {
    let left = service.seats.wait_until_empty(service.limits.grace);
    if left > 0 {
        tracing::warn!(
            "{left} requests did not end within {:?}; the next start repairs what they leave",
            service.limits.grace
        );
    }
}

/// Gives a client a thread, or says why not.
fn welcome(stream: UnixStream, service: &Arc<Service>) {
    let peer = match Peer::of(&stream) {
        Ok(peer) => peer,
        Err(error) => return tracing::warn!("a client without credentials: {error}"),
    };
    if let Err(error) = service.gate.admit(peer) {
        Audit::of_none(peer).answered(&Err(error.clone()));
        return turn_away(&stream, error);
    }
    let row = if peer.is_root() {
        Row::Root
    } else {
        Row::Client
    };
    let Some(seat) = service.seats.take(row) else {
        let most = service.seats.most(row);
        let error = HostError::new(
            ErrorKind::TryAgain,
            format!("{most} clients are connected, which is the most this socket takes"),
        )
        .with_remedy("try again");
        Audit::of_none(peer).answered(&Err(error.clone()));
        return turn_away(&stream, error);
    };
    let shared = Arc::clone(service);
    let client = thread("client", move || {
        connection::serve(stream, peer, &shared, seat)
    });
    if let Err(error) = client {
        tracing::error!("a client was not served: {error}");
    }
}

/// Says why and hangs up, without waiting: a fresh socket always has room for a line this short.
fn turn_away(mut stream: &UnixStream, error: HostError) {
    if stream.set_nonblocking(true).is_ok() {
        // It is gone already, then.
        let _ = stream.write_all(&answer_to_line(&Err(error)));
    }
}

/// A thread of its own for this.
///
/// # Errors
/// The system has none to give; what was to be done is dropped.
pub(crate) fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(work)
}
