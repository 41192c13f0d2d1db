//! An agent in a jail, for as long as the connection over which it was asked for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use colibri_host::{ErrorKind, ExecJail, HostError, passing};
use colibri_jail::{Exec, Running, Value};
use colibri_protocol::variable;
use colibri_service::blank::Keys;
use colibri_vault::Target;

use crate::answer::{jail_error, tenants_turn, vault_error, vault_target};
use crate::output;
use crate::server::{self, Service};
use crate::stop::{Stop, Woken};

/// Why the wait for an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It ended.
    Itself,
    /// Who asked for it went away, or said something more.
    Client,
    /// The helper stops.
    Stop,
}

impl Cause {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Itself => "by itself",
            Self::Client => "with its connection",
            Self::Stop => "with the helper",
        }
    }
}

/// An agent that runs.
#[derive(Debug)]
pub(crate) struct Agent {
    running: Running,
    /// What hands on what it prints.
    output: Vec<JoinHandle<()>>,
}

/// Starts it.
///
/// # Errors
/// What is in the way; nothing runs then.
pub(crate) fn start(
    service: &Service,
    exec: &ExecJail,
    standard: Vec<OwnedFd>,
) -> Result<Agent, HostError> {
    let count = standard.len();
    let standard: [OwnedFd; passing::STANDARD] = standard.try_into().map_err(|_| {
        HostError::new(
            ErrorKind::BadRequest,
            format!(
                "{count} file descriptors came with `exec-jail`; it takes three: standard input, output \
                 and error"
            ),
        )
    })?;
    let _turn = tenants_turn(service, &exec.tenant)?;
    let target = service.jails.target(&exec.tenant).map_err(jail_error)?;
    let target = vault_target(service, target);
    let started = Exec {
        program: exec.program.path().into(),
        args: exec.args.iter().map(OsString::from).collect(),
        env: environment(exec, &target)?,
        cwd: Path::new("/").join(Target::HOME),
    };
    let (standard, output) = blanked(&keys(&started), standard).map_err(|error| {
        let text = format!("what the agent prints cannot be looked through: {error}");
        HostError::new(ErrorKind::System, text)
    })?;
    let running = service.jails.exec(&exec.tenant, &started, standard);
    let running = running.map_err(jail_error)?;
    Ok(Agent { running, output })
}

/// What its tenant's own file gives it, but for names of models and the like, which are in much that it prints.
fn keys(started: &Exec) -> Keys {
    let is_setting = |name: &OsString| variable::handed_into_jails().any(|known| name == known);
    Keys::new(started.env.iter().filter_map(|(name, value)| match value {
        Value::Secret(value) if !is_setting(name) => Some(value.clone()),
        _ => None,
    }))
}

/// The streams for an agent with these keys, and what hands on what it prints.
fn blanked(
    keys: &Keys,
    [stdin, stdout, stderr]: [OwnedFd; passing::STANDARD],
) -> io::Result<([OwnedFd; passing::STANDARD], Vec<JoinHandle<()>>)> {
    if keys.is_empty() {
        return Ok(([stdin, stdout, stderr], Vec::new()));
    }
    let (stdout, said) = output::without(keys, stdout)?;
    let (stderr, complaints) = output::without(keys, stderr)?;
    Ok(([stdin, stdout, stderr], vec![said, complaints]))
}

/// What was sent, and over it what the tenant's own `.env` has. That is read from outside, below the jail's root
/// and through no link: what the jail has made of it matters to nobody else.
fn environment(exec: &ExecJail, target: &Target) -> Result<Vec<(OsString, Value)>, HostError> {
    let sent = exec.env.iter().cloned();
    let mut variables: BTreeMap<String, Value> = sent
        .map(|(name, value)| (name, Value::Plain(value.into())))
        .collect();
    for (name, value) in colibri_vault::read_env(target).map_err(vault_error)? {
        variables.insert(name.as_str().to_owned(), Value::Secret(value));
    }
    let variables = variables.into_iter();
    Ok(variables
        .map(|(name, value)| (name.into(), value))
        .collect())
}

/// Waits for the agent's end and for its last words to be taken, and brings the end about when the client goes or the
/// helper stops. Its status is as a shell would have it.
///
/// # Errors
/// What the system refused; the agent has been ended as far as that is possible.
pub(crate) fn watch(stream: &UnixStream, agent: Agent, stop: &Stop) -> io::Result<(u8, Cause)> {
    let (over, tells) = UnixStream::pair()?;
    let (ends, end) = mpsc::channel();
    let Agent {
        mut running,
        output,
    } = agent;
    let ender = running.ender();
    // When the thread cannot be had, `running` is dropped with it, and ends.
    server::thread("agent", move || {
        // Nobody asks any more when `watch` has failed.
        let _ = ends.send(running.wait());
        // Nothing can print any more; somebody may be slow to read.
        for copies in output {
            let _ = copies.join();
        }
        drop(tells);
    })?;
    let cause = match stop.wait_for(&[over.as_fd(), stream.as_fd()], None) {
        Ok(Woken::By(0)) => Cause::Itself,
        Ok(Woken::ToStop) => Cause::Stop,
        Ok(Woken::By(_) | Woken::InTime) => Cause::Client,
        Err(errno) => {
            tracing::error!("cannot wait for an agent: {errno}");
            Cause::Client
        }
    };
    if cause != Cause::Itself
        && let Err(error) = ender.end()
    {
        tracing::error!("an agent could not be ended: {error}");
    }
    let ended = end
        .recv()
        .map_err(|_| io::Error::other("the thread that waited for it ended badly"))?;
    Ok((ended?, cause))
}
