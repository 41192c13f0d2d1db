//! The small process between the daemon and an agent: starts it, keeps its
//! standard error, and ends it with everything that it has started.
//!
//! It is started with the agent's environment and directory, the agent's pipes as
//! standard input and output, and the control socket as standard error:
//!
//! ```text
//! leash --grace-ms N --log PATH --log-bytes N --log-files N -- PROGRAM ARGS…
//! ```
//!
//! It reads nothing of what agent and daemon say to each other, and never has
//! more than one thing to do at a time; so it needs no runtime, only three
//! threads that wait: for the socket, for signals, for children.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, getpgid, setsid};
use rustix::process::{WaitId, WaitIdOptions};

use crate::log::LogFile;
use crate::report::{Order, Report, line};
use crate::{Ending, Log, tree};

/// Grace when the daemon is gone: long enough to write a file, short enough that
/// the next daemon does not meet the agents of the last.
const ORPHAN_GRACE: Duration = Duration::from_secs(2);

/// How long the log may take to end once all its writers should be gone.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs an agent on a leash; for `colibri-daemon leash`, with what follows the
/// word. Call it before anything is opened: whatever file descriptors are found
/// open, but the standard three, are closed.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    close_inherited();
    let started = Arguments::parse(args).and_then(|arguments| {
        let control = control().map_err(|error| {
            format!(
                "standard error is not a control socket ({error}): only colibri-daemon runs this"
            )
        })?;
        Ok((arguments, control))
    });
    match started {
        Ok((arguments, control)) => {
            run(&arguments, control);
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("leash: {message}");
            ExitCode::from(64)
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    grace: Duration,
    log: Log,
    program: OsString,
    args: Vec<OsString>,
}

impl Arguments {
    /// As the daemon writes them; nobody types these.
    fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut args = args.into_iter();
        let mut value = |name: &str| match (args.next(), args.next()) {
            (Some(found), Some(value)) if found == name => Ok(value),
            (found, _) => Err(format!("expected {name} and a value, found {found:?}")),
        };
        let grace = number(&value("--grace-ms")?)?;
        let path = PathBuf::from(value("--log")?);
        let max_bytes = number(&value("--log-bytes")?)?;
        let keep = number(&value("--log-files")?)?;
        let program = value("--")?;
        Ok(Self {
            grace: Duration::from_millis(grace),
            log: Log {
                path,
                max_bytes,
                keep: u32::try_from(keep).map_err(|error| error.to_string())?,
            },
            program,
            args: args.collect(),
        })
    }
}

/// What the daemon writes and [`Arguments::parse`] reads.
pub(crate) fn arguments(program: &crate::Program) -> Vec<OsString> {
    let grace = u64::try_from(program.grace.as_millis()).unwrap_or(u64::MAX);
    let mut all: Vec<OsString> = vec![
        "--grace-ms".into(),
        grace.to_string().into(),
        "--log".into(),
        program.log.path.clone().into(),
        "--log-bytes".into(),
        program.log.max_bytes.to_string().into(),
        "--log-files".into(),
        program.log.keep.to_string().into(),
        "--".into(),
        program.path.clone().into(),
    ];
    all.extend(program.args.iter().cloned());
    all
}

fn number(text: &OsStr) -> Result<u64, String> {
    let text = text.to_string_lossy();
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

/// The control socket, away from standard error, where the agent's starts.
fn control() -> io::Result<UnixStream> {
    let socket = io::stderr().as_fd().try_clone_to_owned()?;
    let socket = UnixStream::from(socket);
    socket.peer_addr()?;
    Ok(socket)
}

/// Whatever the daemon's own starter left open stays out of agents. What Rust
/// opened is closed on exec anyway; this runs before anything else is open, so
/// no descriptor that is closed here is anybody's.
fn close_inherited() {
    let close = |fd: i32| {
        if fd > 2 {
            let _ = nix::unistd::close(fd);
        }
    };
    #[cfg(target_os = "linux")]
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        // Collected first: the folder itself is one of them until then.
        let open: Vec<i32> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        open.into_iter().for_each(close);
        return;
    }
    // FreeBSD's /dev/fd shows three of them unless fdescfs is mounted there.
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .map_or(i32::MAX, |most| i32::try_from(most).unwrap_or(i32::MAX));
    (3..most.min(1 << 20)).for_each(close);
}

/// What the leash waits for.
#[derive(Debug)]
enum Event {
    /// A child of ours has ended; it is ours to take note of.
    Child,
    /// The daemon says so.
    Order(Order),
    /// The daemon is gone.
    Alone,
    /// Somebody else told us to end.
    Signal,
}

/// A leash in use.
struct Leash {
    control: UnixStream,
    agent: Pid,
    /// The agent's end is noted and said.
    ended: bool,
    /// When patience ends, once it has begun to.
    deadline: Option<Instant>,
}

fn run(arguments: &Arguments, control: UnixStream) {
    match start(arguments, &control) {
        Ok((mut leash, events, reaped, log)) => {
            let left = leash.watch(arguments.grace, &events, &reaped);
            // Those that are left may hold the log's pipe for ever.
            let _ = log.recv_timeout(LAST_WORDS);
            leash.say(&Report::Done { left });
        }
        Err(message) => {
            let _ = (&control).write_all(&line(&Report::Refused { message }));
        }
    }
}

type Started = (Leash, Receiver<Event>, Sender<()>, Receiver<()>);

fn start(arguments: &Arguments, control: &UnixStream) -> Result<Started, String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("cannot {what}: {error}");
    umask(Mode::from_bits_truncate(0o077));
    setsid().map_err(|error| failed("begin a session", &error))?;
    tree::become_reaper().map_err(|error| failed("become the reaper of what it starts", &error))?;
    let shown = arguments.log.path.display().to_string();
    let mut log = LogFile::open(arguments.log.clone())
        .map_err(|error| failed(&format!("open the log {shown}"), &error))?;

    let signals = signals().map_err(|error| failed("listen for signals", &error))?;

    let name = PathBuf::from(&arguments.program);
    let mut child = Command::new(&name)
        .args(&arguments.args)
        .process_group(0)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&format!("run {}", name.display()), &error))?;
    let agent = Pid::from_raw(child.id().cast_signed());
    let stderr = child.stderr.take();
    let leash = Leash {
        control: control.try_clone().map_err(|error| {
            let _ = killpg(agent, Signal::SIGKILL);
            failed("keep the control socket", &error)
        })?,
        agent,
        ended: false,
        deadline: None,
    };
    // Held here, too, the pipes would look open when the agent has closed them.
    let let_go = File::options().read(true).write(true).open("/dev/null");
    if let Ok(null) = let_go {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
    leash.say(&Report::Running {
        pid: agent.as_raw(),
    });

    let (said, events) = mpsc::channel();
    let (reaped, go_on) = mpsc::channel();
    let (written, log_ended) = mpsc::channel();
    std::thread::spawn(move || {
        if let Some(stderr) = stderr {
            log.take_all(stderr);
        }
        let _ = written.send(());
    });
    let orders = said.clone();
    let socket = control
        .try_clone()
        .map_err(|error| failed("keep the control socket", &error));
    std::thread::spawn(move || hear(socket.ok(), &orders));
    let signalled = said.clone();
    std::thread::spawn(move || {
        for _signal in signals.bytes().map_while(Result::ok) {
            let _ = signalled.send(Event::Signal);
        }
    });
    std::thread::spawn(move || wait_for_children(&said, &go_on));
    Ok((leash, events, reaped, log_ended))
}

/// A byte for each signal that asks us to end. Handlers, not a mask of blocked
/// signals: the agent would inherit the mask, and be deaf to SIGTERM. A mask that
/// we have inherited goes for the same reason.
fn signals() -> io::Result<BufReader<UnixStream>> {
    SigSet::empty().thread_set_mask()?;
    let (heard, said) = UnixStream::pair()?;
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signal_hook::low_level::pipe::register(signal as i32, said.try_clone()?)?;
    }
    Ok(BufReader::new(heard))
}

/// Orders, line by line, until the daemon is gone.
fn hear(socket: Option<UnixStream>, events: &Sender<Event>) {
    for line in socket
        .map(BufReader::new)
        .into_iter()
        .flat_map(BufRead::lines)
    {
        let Ok(line) = line else { break };
        // A word of a newer daemon is passed over.
        if let Ok(order) = serde_json::from_str(&line) {
            let _ = events.send(Event::Order(order));
        }
    }
    let _ = events.send(Event::Alone);
}

/// Says that a child has ended without taking note of it: until the main thread
/// does, its number stays its own, and a signal to it hits nobody else.
fn wait_for_children(events: &Sender<Event>, go_on: &Receiver<()>) {
    loop {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::All, options) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => {
                let _ = events.send(Event::Child);
                return;
            }
            Ok(_) => {}
        }
        if events.send(Event::Child).is_err() || go_on.recv().is_err() {
            return;
        }
    }
}

impl Leash {
    /// Waits until nothing is there any more, and sees to that when it is time.
    /// Gives back what could not be ended.
    fn watch(
        &mut self,
        grace: Duration,
        events: &Receiver<Event>,
        reaped: &Sender<()>,
    ) -> Vec<i32> {
        loop {
            let event = match self.deadline {
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => events.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match event {
                Ok(Event::Child) => {
                    if !self.reap() {
                        return Vec::new();
                    }
                    let _ = reaped.send(());
                    if self.ended {
                        self.begin_to_end(grace);
                    }
                }
                Ok(Event::Order(Order::Stop { grace_ms })) => {
                    self.begin_to_end(Duration::from_millis(grace_ms));
                }
                Ok(Event::Alone) => self.begin_to_end(grace.min(ORPHAN_GRACE)),
                Ok(Event::Signal) => self.begin_to_end(grace),
                Err(_) => return self.end_all(),
            }
            if self.deadline.is_some() && self.ended && self.group().is_empty() {
                // Whoever is left has left the group, and was not asked to end.
                return self.end_all();
            }
        }
    }

    /// SIGTERM to the group, once; a shorter grace shortens one that runs.
    fn begin_to_end(&mut self, grace: Duration) {
        let at = Instant::now().checked_add(grace);
        match (self.deadline, at) {
            (Some(before), Some(at)) => self.deadline = Some(before.min(at)),
            (Some(_), None) => {}
            (None, at) => {
                self.terminate();
                // A grace beyond all clocks is a day.
                let day = Duration::from_secs(86_400);
                self.deadline = Some(at.unwrap_or_else(|| Instant::now() + day));
            }
        }
    }

    fn terminate(&self) {
        if self.ended {
            // The agent's number may be another's by now, unless others of its
            // group are there.
            for pid in self.group() {
                let _ = kill(pid, Signal::SIGTERM);
            }
        } else {
            let _ = killpg(self.agent, Signal::SIGTERM);
        }
    }

    /// Those that are in the agent's group still.
    fn group(&self) -> Vec<Pid> {
        tree::descendants(|_| true)
            .unwrap_or_default()
            .into_iter()
            .map(|process| process.pid)
            .filter(|&pid| getpgid(Some(pid)) == Ok::<_, Errno>(self.agent))
            .collect()
    }

    /// Takes note of children that have ended; `false` when none is left.
    fn reap(&mut self) -> bool {
        tree::reap(|pid, how| self.gone(pid, how))
    }

    fn end_all(&mut self) -> Vec<i32> {
        match tree::end_all(|pid, how| self.gone(pid, how)) {
            Ok(left) => left,
            // Without a list of processes there is still the group.
            Err(_) => {
                let _ = killpg(self.agent, Signal::SIGKILL);
                vec![self.agent.as_raw()]
            }
        }
    }

    fn gone(&mut self, pid: Pid, how: Ending) {
        if pid == self.agent && !self.ended {
            self.ended = true;
            self.say(&Report::Exited { how });
        }
    }

    /// Nobody hears it when the daemon is gone, and that is fine.
    fn say(&self, report: &Report) {
        let _ = (&self.control).write_all(&line(report));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    use crate::{Environment, Program};

    #[test]
    fn what_the_daemon_writes_is_what_the_leash_reads() {
        let mut program = Program::new("/bin/sh", Environment::default(), Log::new("/tmp/a b"));
        program.args = vec!["--".into(), OsStr::from_bytes(b"\xff").into(), "".into()];
        let read = Arguments::parse(arguments(&program)).unwrap();
        assert_eq!(
            read,
            Arguments {
                grace: program.grace,
                log: program.log.clone(),
                program: "/bin/sh".into(),
                args: program.args.clone(),
            }
        );
        assert!(Arguments::parse(["--help".into()]).is_err());
        assert!(Arguments::parse(["--grace-ms".into(), "x".into()]).is_err());
    }
}
