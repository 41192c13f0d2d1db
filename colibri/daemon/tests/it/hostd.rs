//! A root helper for tests: answers as `colibri-hostd` would, on a real socket, without root and without
//! jails. Its "jails" are names that it remembers, and an agent in one is a process of this host.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use colibri_host::{
    AgentExit, Answer, DOORS_IN_JAIL, ErrorKind, ExecJail, HostError, HostFacts, JailInfo,
    Provisioned, Reply, Request, SOCKET_VARIABLE, SecretNames, answer_to_line, passing,
};
use colibri_protocol::TenantId;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::agents::test_agent;
use crate::harness::{Daemon, Home};

/// What happens to the next request of a name instead of what usually does.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    /// It is refused.
    Refuse(ErrorKind, &'static str),
    /// No answer ever comes.
    Hang,
    /// It is done, and the answer comes late.
    Late(Duration),
    /// It is done, and the connection closed without an answer.
    Close,
}

#[derive(Default)]
struct State {
    /// What was asked, such as `start-jail main`.
    asked: Vec<String>,
    script: BTreeMap<&'static str, VecDeque<Say>>,
    jails: BTreeMap<TenantId, Jail>,
    /// The vault's collections with the names of their secrets; none is configured while it is empty.
    vault: BTreeMap<String, Vec<String>>,
    /// What agents were given, by tenant.
    given: BTreeMap<TenantId, Vec<(String, String)>>,
}

struct Jail {
    info: JailInfo,
    secrets: Vec<String>,
    /// Process groups of its agents.
    agents: Vec<i32>,
}

/// The double; it ends with its test.
#[derive(Clone)]
pub(crate) struct Hostd {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Hostd {
    /// Begins to answer.
    pub(crate) fn new(home: &Home) -> Self {
        let helper = Self::absent(home);
        helper.listen();
        helper
    }

    /// Nobody listens yet.
    pub(crate) fn absent(home: &Home) -> Self {
        // Built before time matters.
        test_agent();
        Self {
            socket: home.path("hostd.sock"),
            state: Arc::default(),
        }
    }

    pub(crate) fn listen(&self) {
        let listener = UnixListener::bind(&self.socket).unwrap();
        let helper = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let helper = helper.clone();
                std::thread::spawn(move || helper.serve(stream.unwrap()));
            }
        });
    }

    /// Starts a daemon that knows this helper.
    pub(crate) fn daemon(&self, home: &Home, variables: &[(&str, &str)]) -> Daemon {
        let mut command = home.command(&["--tick-seconds", "0.2", "--restart-seconds", "0.1"]);
        command
            .env(SOCKET_VARIABLE, &self.socket)
            .env("OPENROUTER_API_KEY", "sk-of-the-host")
            .env("PI_MODEL", "model-of-the-host")
            .envs(variables.iter().copied());
        home.start_command(&mut command)
    }

    /// From now on a vault is configured, with this collection among others.
    pub(crate) fn collection(&self, name: &str, secrets: &[&str]) {
        let secrets = secrets.iter().map(ToString::to_string).collect();
        self.state().vault.insert(name.to_owned(), secrets);
    }

    /// The next request of this name is answered so.
    pub(crate) fn next(&self, request: &'static str, say: Say) {
        self.state()
            .script
            .entry(request)
            .or_default()
            .push_back(say);
    }

    /// What was asked since the last call, without `host-facts`.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }

    pub(crate) fn was_asked(&self, what: &str) -> bool {
        self.state().asked.iter().any(|asked| asked == what)
    }

    /// Every jail, and whether it runs.
    pub(crate) fn jails(&self) -> Vec<(String, bool)> {
        let state = self.state();
        let jails = state.jails.values();
        jails
            .map(|jail| (jail.info.tenant.to_string(), jail.info.running))
            .collect()
    }

    /// The variables that an agent of the tenant was given.
    pub(crate) fn given(&self, tenant: &str) -> Vec<(String, String)> {
        self.state().given[&tenant.parse::<TenantId>().unwrap()].clone()
    }

    /// How many agents run in a tenant's jail.
    pub(crate) fn agents(&self, tenant: &str) -> usize {
        let state = self.state();
        state
            .jails
            .get(&tenant.parse().unwrap())
            .map_or(0, |jail| jail.agents.len())
    }

    /// Where a jail's agent listens, as the host sees it.
    pub(crate) fn door(&self, tenant: &str, agent: &str) -> PathBuf {
        self.doors().join(tenant).join(format!("{agent}.sock"))
    }

    fn doors(&self) -> PathBuf {
        self.socket.with_file_name("tenants")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: UnixStream) {
        let (mut line, mut fds) = (Vec::new(), Vec::new());
        while !line.ends_with(b"\n") {
            let mut chunk = [0; 4096];
            match passing::receive(&stream, &mut chunk, &mut fds) {
                Ok(0) => return,
                Ok(count) => line.extend(&chunk[..count]),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        let request = Request::from_line(&line[..line.len() - 1]).unwrap();
        let say = {
            let mut state = self.state();
            if !matches!(request, Request::HostFacts(_)) {
                let tenant = request
                    .tenant()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let anew = match &request {
                    Request::Provision(of) if of.fresh => " anew",
                    _ => "",
                };
                let asked = format!("{} {tenant}{anew}", request.name());
                state.asked.push(asked);
            }
            let script = state.script.get_mut(request.name());
            script.and_then(VecDeque::pop_front)
        };
        match say {
            Some(Say::Hang) => hang(stream),
            Some(Say::Refuse(kind, text)) => {
                let error = HostError::new(kind, text).with_remedy("do something");
                send(stream, &Err(error));
            }
            Some(Say::Close) => drop(self.answer(&request)),
            Some(Say::Late(pause)) => {
                let answer = self.answer(&request);
                std::thread::sleep(pause);
                send(stream, &answer);
            }
            None => match &request {
                Request::ExecJail(exec) => self.exec(stream, exec, fds),
                other => send(stream, &self.answer(other)),
            },
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        let mut state = self.state();
        let missing = || HostError::new(ErrorKind::NotFound, "no such jail");
        match request {
            Request::CreateJail(of) => {
                let jail = state
                    .jails
                    .entry(of.tenant.clone())
                    .or_insert_with(|| Jail {
                        info: JailInfo {
                            tenant: of.tenant.clone(),
                            number: of.number,
                            limits: of.limits,
                            root: format!("/jails/{}", of.tenant),
                            address: [10, 213, 0, 6].into(),
                            running: false,
                        },
                        secrets: Vec::new(),
                        agents: Vec::new(),
                    });
                Ok(Reply::Jail(jail.info.clone()))
            }
            Request::StartJail(of) => {
                std::fs::create_dir_all(self.doors().join(of.tenant.as_str())).unwrap();
                let jail = state.jails.get_mut(&of.tenant).ok_or_else(missing)?;
                jail.info.running = true;
                Ok(Reply::Jail(jail.info.clone()))
            }
            Request::StopJail(of) => {
                let jail = state.jails.get_mut(&of.tenant).ok_or_else(missing)?;
                jail.info.running = false;
                jail.agents.drain(..).for_each(end);
                Ok(Reply::Jail(jail.info.clone()))
            }
            Request::DestroyJail(of) | Request::ArchiveJail(of) => {
                let jail = state.jails.remove(&of.tenant).ok_or_else(missing)?;
                jail.agents.into_iter().for_each(end);
                let is_archived = matches!(request, Request::ArchiveJail(_));
                let archive = is_archived.then(|| format!("/archives/{}.tar", of.tenant));
                Ok(Reply::Gone { archive })
            }
            Request::Provision(of) => {
                let names = state.vault.get(&of.collection).cloned().ok_or_else(|| {
                    HostError::new(ErrorKind::Vault, format!("no collection {}", of.collection))
                })?;
                let jail = state.jails.get_mut(&of.tenant).ok_or_else(missing)?;
                let changed = std::mem::replace(&mut jail.secrets, names.clone()) != names;
                Ok(Reply::Provisioned(Provisioned {
                    changed,
                    names,
                    collection_id: format!("id-of-{}", of.collection),
                }))
            }
            Request::ListSecrets(of) => {
                let jail = state.jails.get(&of.tenant).ok_or_else(missing)?;
                Ok(Reply::Secrets(SecretNames {
                    names: jail.secrets.clone(),
                }))
            }
            Request::HostFacts(_) => Ok(Reply::Facts(HostFacts {
                os: "linux".to_owned(),
                release: "1".to_owned(),
                jails: Ok(()),
                vault: !state.vault.is_empty(),
            })),
            other => panic!("nobody asks {other:?}"),
        }
    }

    fn exec(&self, stream: UnixStream, exec: &ExecJail, fds: Vec<OwnedFd>) {
        let runs = |jail: &Jail| jail.info.running;
        if !self.state().jails.get(&exec.tenant).is_some_and(runs) {
            return send(
                stream,
                &Err(HostError::new(ErrorKind::Conflict, "it does not run")),
            );
        }
        let mut child = self.start(exec, fds);
        let group = child.id().cast_signed();
        {
            let mut state = self.state();
            state.given.insert(exec.tenant.clone(), exec.env.clone());
            let jail = state.jails.get_mut(&exec.tenant);
            jail.expect("it ran just now").agents.push(group);
        }
        send(stream.try_clone().unwrap(), &Ok(Reply::Started));
        // When the other end closes, everything ends.
        let mut watched = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            while matches!(watched.read(&mut [0; 64]), Ok(1..)) {}
            end(group);
        });
        let ended = child.wait().unwrap();
        end(group);
        if let Some(jail) = self.state().jails.get_mut(&exec.tenant) {
            jail.agents.retain(|agent| *agent != group);
        }
        let status = ended.code().unwrap_or(128 + ended.signal().unwrap_or(0));
        let status = u8::try_from(status).unwrap();
        send(stream, &Ok(Reply::Ended(AgentExit { status })));
    }

    fn start(&self, exec: &ExecJail, fds: Vec<OwnedFd>) -> Child {
        // The jail sees the folder of its doors elsewhere.
        let seen = |value: &str| match Path::new(value).strip_prefix(DOORS_IN_JAIL) {
            Ok(file) => self.doors().join(exec.tenant.as_str()).join(file),
            Err(_) => value.into(),
        };
        let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(fds).expect("three descriptors");
        Command::new(test_agent())
            .args(&exec.args)
            .env_clear()
            .envs(exec.env.iter().map(|(name, value)| (name, seen(value))))
            .env("IN_JAIL", self.doors().join(exec.tenant.as_str()))
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::from(File::from(stderr)))
            .process_group(0)
            .spawn()
            .unwrap()
    }

    /// What marks the processes of a tenant's agents.
    pub(crate) fn mark(&self, tenant: &str) -> String {
        format!("IN_JAIL={}", self.doors().join(tenant).display())
    }
}

fn end(group: i32) {
    // It may be gone.
    let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
}

fn hang(mut stream: UnixStream) {
    while matches!(stream.read(&mut [0; 64]), Ok(1..)) {}
}

fn send(mut stream: UnixStream, answer: &Answer) {
    // Who asked may be gone.
    let _ = stream.write_all(&answer_to_line(answer));
}
