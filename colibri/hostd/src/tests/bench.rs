//! A helper in a folder of its own, with jails that are folders.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use colibri_host::{Client, ExecJail, JailRequest, Reply, Request, TenantRequest};
use colibri_jail::{
    Exec, Jail, JailError, JailState, Jails, Places, Repaired, Running, Stage, Target, Value,
};
use colibri_protocol::TenantId;
use colibri_vault::{Bucket, Seen, VaultError};
use secrecy::{ExposeSecret as _, SecretString};

use crate::buckets::Buckets;
use crate::config::Limits;
use crate::doors::Doors;
use crate::gate::Gate;
use crate::place::Place;
use crate::server::{self, Service};
use crate::stop::Stop;

pub(super) const LIMITS: Limits = Limits {
    clients: 4,
    agents: 8,
    idle: Duration::from_secs(20),
    line: Duration::from_secs(20),
    write: Duration::from_secs(20),
    turn: Duration::from_secs(20),
    grace: Duration::from_secs(20),
};

/// A helper that runs.
pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) service: Arc<Service>,
    pub(super) yard: Arc<Yard>,
    serving: Option<JoinHandle<()>>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(LIMITS, "nobody", Vault(None))
    }

    pub(super) fn with(limits: Limits, account: &str, vault: Vault) -> Self {
        // The account may be another than ours, and must get as far as the socket.
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), 0o755);
        let at = |name: &str| dir.path().join(name);
        let places = Places {
            base: at("jails"),
            run: at("run"),
            state: at("state"),
            host: "/".into(),
        };
        std::fs::create_dir(&places.base).unwrap();
        let place = Place::claim(&at("run/hostd.sock"), "no-such-group").unwrap();
        let doors = Doors::open(&places, account, place.group()).unwrap();
        let listener = place.listen().unwrap();
        open(&at("run"), 0o755);
        open(&at("run/hostd.sock"), 0o666);
        let yard = Arc::new(Yard {
            base: places.base.clone(),
            ..Yard::default()
        });
        let service = Arc::new(Service::new(
            limits,
            Gate::of(account.to_owned()),
            Box::new(Shared(Arc::clone(&yard))),
            Box::new(Noted(vault, Arc::clone(&yard))),
            doors,
            places.base,
            Stop::new().unwrap(),
        ));
        let shared = Arc::clone(&service);
        let serving = std::thread::spawn(move || {
            server::serve(&listener, &shared);
            place.remove();
            server::finish(&shared);
        });
        Self {
            dir,
            service,
            yard,
            serving: Some(serving),
        }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("run/hostd.sock")
    }

    pub(super) fn client(&self) -> Client {
        let client = Client::connect(self.socket()).unwrap();
        client.with_timeout(Duration::from_secs(20))
    }

    /// Asks over a connection of its own.
    pub(super) fn ask(&self, request: &Request) -> Result<Reply, colibri_host::ClientError> {
        self.client().ask(request)
    }

    /// A jail that runs.
    pub(super) fn jail(&self, name: &str) {
        self.ask(&create(name, 1)).unwrap();
        self.ask(&Request::StartJail(about(name))).unwrap();
    }

    /// Asks it to stop and waits until it has.
    pub(super) fn stop(&mut self) {
        self.service.stop.ask();
        if let Some(serving) = self.serving.take() {
            serving.join().unwrap();
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.service.stop.ask();
    }
}

fn open(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(super) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

pub(super) fn about(name: &str) -> TenantRequest {
    TenantRequest {
        tenant: tenant(name),
    }
}

pub(super) fn create(name: &str, number: u16) -> Request {
    Request::CreateJail(JailRequest {
        tenant: tenant(name),
        number: number.try_into().unwrap(),
        limits: Default::default(),
    })
}

/// An agent that is a shell with this script.
pub(super) fn shell(name: &str, script: &str, env: &[(&str, &str)]) -> ExecJail {
    ExecJail {
        tenant: tenant(name),
        program: colibri_host::AgentProgram::TestAgent,
        args: vec![script.to_owned()],
        env: env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

/// Waits until it is so, and fails when it never is.
#[track_caller]
pub(super) fn soon(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Does this as another account, if we may; the kernel says of this thread's connections that they are its.
#[cfg(target_os = "linux")]
pub(super) fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    use rustix::fs::{Gid, Uid};
    use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if nix::unistd::geteuid().is_root() {
                let (uid, gid) = (Uid::from_raw(65_534), Gid::from_raw(65_534));
                set_thread_res_gid(gid, gid, gid).unwrap();
                set_thread_res_uid(uid, uid, uid).unwrap();
            }
            work()
        });
        thread.join().unwrap()
    })
}

/// Jails that are folders, and what was asked of them.
#[derive(Debug, Default)]
pub(super) struct Yard {
    base: PathBuf,
    asked: Mutex<Vec<String>>,
    jails: Mutex<BTreeMap<TenantId, JailState>>,
    /// How long starting takes.
    pub(super) slow: Mutex<Duration>,
    inside: AtomicU32,
    /// How many were at work at once.
    pub(super) most_inside: AtomicU32,
}

impl Yard {
    /// What was asked since this was asked last.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn note(&self, verb: &str, tenant: &TenantId) {
        self.asked.lock().unwrap().push(format!("{verb} {tenant}"));
    }

    fn state(&self, tenant: &TenantId) -> Result<JailState, JailError> {
        let jails = self.jails.lock().unwrap();
        let state = jails.get(tenant).cloned();
        state.ok_or_else(|| JailError::NotFound(tenant.clone()))
    }

    fn set_running(&self, tenant: &TenantId, running: bool) -> Result<JailState, JailError> {
        let mut jails = self.jails.lock().unwrap();
        let state = jails
            .get_mut(tenant)
            .ok_or_else(|| JailError::NotFound(tenant.clone()))?;
        state.running = running;
        Ok(state.clone())
    }
}

#[derive(Debug)]
struct Shared(Arc<Yard>);

impl Jails for Shared {
    fn create(&self, jail: &Jail) -> Result<JailState, JailError> {
        self.0.note("create", &jail.tenant);
        let root = self.0.base.join(jail.tenant.as_str());
        let home = root.join("home/agent");
        std::fs::create_dir_all(&home).unwrap();
        for folder in [&root, &root.join("home"), &home] {
            open(folder, 0o755);
        }
        let state = JailState {
            tenant: jail.tenant.clone(),
            number: jail.number,
            limits: jail.limits,
            root,
            address: Ipv4Addr::new(10, 213, 0, 6),
            running: false,
            stage: Stage::Ready,
        };
        let mut jails = self.0.jails.lock().unwrap();
        Ok(jails.entry(jail.tenant.clone()).or_insert(state).clone())
    }

    fn start(&self, tenant: &TenantId) -> Result<JailState, JailError> {
        self.0.note("start", tenant);
        let inside = self.0.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_inside.fetch_max(inside, Ordering::SeqCst);
        let slow = *self.0.slow.lock().unwrap();
        std::thread::sleep(slow);
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
        self.0.set_running(tenant, true)
    }

    fn exec(
        &self,
        tenant: &TenantId,
        exec: &Exec,
        [stdin, stdout, stderr]: [OwnedFd; 3],
    ) -> Result<Running, JailError> {
        self.0.note("exec", tenant);
        if !self.0.state(tenant)?.running {
            return Err(JailError::NotRunning(tenant.clone()));
        }
        let child = Command::new("/bin/sh")
            .arg("-c")
            .args(&exec.args)
            .env_clear()
            .env("PROGRAM", &exec.program)
            .envs(exec.env.iter().map(|(name, value)| match value {
                Value::Plain(value) => (name.as_os_str(), value.as_os_str()),
                Value::Secret(value) => (name.as_os_str(), OsStr::new(value.expose_secret())),
            }))
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::from(stderr))
            .process_group(0)
            .spawn()
            .unwrap();
        Ok(Running::outside_of_jails(child))
    }

    fn stop(&self, tenant: &TenantId) -> Result<JailState, JailError> {
        self.0.note("stop", tenant);
        self.0.set_running(tenant, false)
    }

    fn destroy(&self, tenant: &TenantId) -> Result<(), JailError> {
        self.0.note("destroy", tenant);
        self.0.jails.lock().unwrap().remove(tenant);
        Ok(())
    }

    fn archive(&self, tenant: &TenantId) -> Result<PathBuf, JailError> {
        self.0.note("archive", tenant);
        self.0.state(tenant)?;
        self.0.jails.lock().unwrap().remove(tenant);
        Ok(format!("/archives/{tenant}.tar.gz").into())
    }

    fn list(&self) -> Result<Vec<JailState>, JailError> {
        Ok(self.0.jails.lock().unwrap().values().cloned().collect())
    }

    fn repair(&self) -> Result<Vec<Repaired>, JailError> {
        Ok(Vec::new())
    }

    fn target(&self, tenant: &TenantId) -> Result<Target, JailError> {
        Ok(Target {
            root: self.0.state(tenant)?.root,
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        })
    }

    fn can(&self) -> Result<(), String> {
        Err("these are folders".to_owned())
    }
}

/// A vault with one collection, or none at all.
#[derive(Debug)]
pub(super) struct Vault(pub(super) Option<Vec<(&'static str, SecretString)>>);

/// The vault, and where it stands what was asked of it.
#[derive(Debug)]
struct Noted(Vault, Arc<Yard>);

impl Buckets for Noted {
    fn are_configured(&self) -> bool {
        self.0.0.is_some()
    }

    fn check(&self) -> Result<Option<Seen>, VaultError> {
        Ok(self.0.0.as_ref().map(|_| Seen {
            server: "https://vault.example.org".to_owned(),
            collections: vec!["main".to_owned()],
        }))
    }

    fn fetch(&self, collection: &str, fresh: bool) -> Result<Option<Bucket>, VaultError> {
        let how = if fresh { "anew" } else { "as remembered" };
        let asked = format!("fetch {collection} {how}");
        self.1.asked.lock().unwrap().push(asked);
        match &self.0.0 {
            None => Ok(None),
            Some(_) if collection == "slow" => Err(VaultError::SyncFailed {
                why: io::Error::from(io::ErrorKind::TimedOut).to_string(),
            }),
            Some(_) if collection != "main" => Err(VaultError::CollectionNotFound {
                name: collection.to_owned(),
                seen: 1,
            }),
            Some(secrets) => Ok(Some(Bucket {
                collection_id: "0b4e9a5c-9b0c-4f0e-8d7b-3f1d2a6c7e01".to_owned(),
                secrets: secrets
                    .iter()
                    .map(|(name, value)| (name.parse().unwrap(), value.clone()))
                    .collect(),
            })),
        }
    }
}
