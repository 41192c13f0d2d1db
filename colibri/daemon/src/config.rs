//! What the daemon is told: flags first, then the environment, then defaults.

mod old;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use colibri_glasspane::DEFAULT_STALL_AFTER;
use colibri_protocol::variable::{self, AGENT, AUTOSPAWN};
use colibri_protocol::{
    Capability, CostMode, Runtime, SpawnAgent, Thresholds, nearest, place, switch,
};
use colibri_session::Limits;
use colibri_store::Lease;

use crate::failure::Failure;
use crate::retention::Keep;

const EXAMPLES: &str = "\
Environment (a flag wins; an empty value counts as unset):
  COLIBRI_DAEMON_DATA_DIR  --data-dir
  COLIBRI_DB_PATH          --db-path
  COLIBRI_DAEMON_SOCKET    --socket
  COLIBRI_HOST             --host
  COLIBRI_COST_MODE        --cost-mode
  COLIBRI_TICK_SECONDS     --tick-seconds
  COLIBRI_LEASE_SECONDS    --lease-seconds
  COLIBRI_STALL_SECONDS    --stall-seconds
  COLIBRI_LIMITS_FAST      --limits-fast
  COLIBRI_LIMITS_SMART     --limits-smart
  COLIBRI_LIMITS_MAX       --limits-max
  COLIBRI_TASK_DAYS        --task-days
  COLIBRI_SESSION_DAYS     --session-days
  COLIBRI_AUTOSPAWN        whether an agent is started with the daemon; pi and
                           zot only with a model provider's key [default: no]
  COLIBRI_AUTOSPAWN_BINARY its program [default: /usr/local/bin/pi]
  COLIBRI_AUTOSPAWN_ARGS   its arguments, parted by spaces [default: those with
                           which it listens for prompts; pi also gets
                           PI_PROVIDER and PI_MODEL]
  COLIBRI_AUTOSPAWN_PROMPT what it is asked first [default: nothing]
  COLIBRI_AUTOSPAWN_TENANT the tenant in whose jail it runs, with that tenant's
                           keys [default: none, it runs on the host]
  COLIBRI_HOSTD_SOCKET     the socket of the root helper, colibri-hostd
  COLIBRI_REPLICATION_POLICY
                           the file that lets agents ask for further tenants
  RUST_LOG                 error, warn, info (default), debug or trace

Examples:
  colibri-daemon
      with every default, as the service does
  colibri-daemon --data-dir /tmp/try --socket /tmp/try/colibri.sock
      a second one beside it; ask it with
      `colibri --socket /tmp/try/colibri.sock status`

Exit codes:
  0  stopped by SIGTERM or SIGINT, everything in order
  1  the system or the database refused something
  2  a flag or a variable makes no sense
  3  another daemon is alive on this socket or database
  4  the database or the socket's path is not ours, or of a newer version";

/// The control plane's daemon: a board of tasks in SQLite behind a Unix socket.
#[derive(Debug, Default, Parser)]
#[command(name = "colibri-daemon", version, after_long_help = EXAMPLES, max_term_width = 80)]
pub(crate) struct Flags {
    /// Directory of everything the daemon keeps; made if it is not there
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// The database file [default: colibri.sqlite in the data directory]
    #[arg(long, value_name = "FILE")]
    db_path: Option<PathBuf>,

    /// The socket to listen on
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// The name this host goes by in the hive [default: its host name]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// How freely agents may spend: fast, smart or max [default: smart]; what
    /// `colibri set-cost-mode --persist` has set holds instead
    #[arg(long, value_name = "MODE")]
    cost_mode: Option<String>,

    /// Seconds between two rounds of the scheduler when nothing changes
    /// [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    tick_seconds: Option<Duration>,

    /// Seconds that an agent may keep a task without a sign of life
    /// [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    lease_seconds: Option<Duration>,

    /// Seconds without an event after which a working agent counts as stalled
    /// [default: 14400]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    stall_seconds: Option<Duration>,

    /// What a session may use in cost mode fast: bytes of a prompt, turns that
    /// are kept, bytes of a tool's result or `unlimited`
    /// [default: 500000,5,4000]
    #[arg(long, value_name = "BYTES,TURNS,RESULT")]
    limits_fast: Option<Thresholds>,

    /// The same for smart [default: 2000000,20,16000]
    #[arg(long, value_name = "BYTES,TURNS,RESULT")]
    limits_smart: Option<Thresholds>,

    /// The same for max [default: 8000000,100,unlimited]
    #[arg(long, value_name = "BYTES,TURNS,RESULT")]
    limits_max: Option<Thresholds>,

    /// Days that a task is kept after its end, and agents that are not heard
    /// of; `off`: for ever [default: 90]
    #[arg(long, value_name = "DAYS")]
    task_days: Option<Keep>,

    /// Days that a session is kept after it was last written into, but for
    /// each agent's newest; `off`: for ever [default: 90]
    #[arg(long, value_name = "DAYS")]
    session_days: Option<Keep>,

    /// Seconds before an agent that is to run for good is started again; after
    /// each further short run twice as many, up to 300
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    restart_seconds: Duration,

    /// The group whose members may use the socket [default: colibri]
    #[arg(long, value_name = "NAME")]
    group: Option<String>,

    /// Most clients at once
    #[arg(long, value_name = "N", default_value_t = 512,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_clients: u32,

    /// Seconds a client may stay silent between requests
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    idle_timeout: Duration,

    /// Seconds from a line's first byte to its newline
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    line_timeout: Duration,

    /// Seconds a client may take to accept a reply
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    write_timeout: Duration,
}

/// How long each thing may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) idle: Duration,
    pub(crate) line: Duration,
    pub(crate) write: Duration,
}

/// What the daemon runs with; every value checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) db_path: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) host: String,
    pub(crate) cost_mode: CostMode,
    pub(crate) tick: Duration,
    pub(crate) lease: Lease,
    pub(crate) stall_after: Duration,
    /// What sessions may use in each cost mode.
    pub(crate) limits: Limits,
    /// How long a task is kept after its end.
    pub(crate) keep_tasks: Keep,
    /// How long a session is kept into which nothing is written any more.
    pub(crate) keep_sessions: Keep,
    pub(crate) restart_pause: Duration,
    pub(crate) group: String,
    pub(crate) max_clients: u32,
    pub(crate) patience: Patience,
    /// The socket of the root helper.
    pub(crate) hostd: PathBuf,
    /// Below it, the helper makes a folder for the sockets of each tenant's agents.
    pub(crate) doors: PathBuf,
    /// Whether agents may ask for further tenants stands in it.
    pub(crate) policy: PathBuf,
    /// The agent that is started with the daemon.
    pub(crate) autospawn: Option<SpawnAgent>,
    /// Whether a key of a model provider is in the environment.
    pub(crate) has_provider_key: bool,
}

/// The variables this program has a use for.
const READ: [&str; 15] = [
    "COLIBRI_DAEMON_DATA_DIR",
    "COLIBRI_DB_PATH",
    place::SOCKET_VARIABLE,
    "COLIBRI_HOST",
    "COLIBRI_COST_MODE",
    "COLIBRI_TICK_SECONDS",
    "COLIBRI_LEASE_SECONDS",
    "COLIBRI_STALL_SECONDS",
    "COLIBRI_LIMITS_FAST",
    "COLIBRI_LIMITS_SMART",
    "COLIBRI_LIMITS_MAX",
    "COLIBRI_TASK_DAYS",
    "COLIBRI_SESSION_DAYS",
    colibri_host::SOCKET_VARIABLE,
    "COLIBRI_REPLICATION_POLICY",
];

/// Seconds between two rounds of the scheduler.
const TICK: Duration = Duration::from_secs(30);

/// Longer than the pause between two polls of an agent that is started by cron.
const LEASE: Duration = Duration::from_secs(300);

/// What goes with the switch; quiet as long as the switch is off.
const AUTOSPAWN_DETAILS: [&str; 4] = [
    variable::AUTOSPAWN_BINARY,
    variable::AUTOSPAWN_ARGS,
    variable::AUTOSPAWN_PROMPT,
    variable::AUTOSPAWN_TENANT,
];

/// The shortest `sun_path` among our systems (FreeBSD: 104 with its NUL).
const MAX_SOCKET_PATH: usize = 103;

impl Config {
    /// Puts flags, environment and defaults together. What looks wrong and does no harm goes to
    /// `warnings`, whatever else is found: it may be what explains a fault.
    ///
    /// # Errors
    /// Every fault at once.
    pub(crate) fn resolve(
        flags: Flags,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Failure> {
        let mut environment = Environment::of(variables);
        warnings.extend(old::renew(&mut environment.ours));
        warnings.extend(environment.strangers());
        let mut faults = Vec::new();

        let mut absolute = |path: PathBuf| match std::path::absolute(&path) {
            Ok(path) => path,
            Err(error) => {
                faults.push(format!("`{}` is no usable path: {error}", path.display()));
                path
            }
        };
        let data_dir = absolute(
            flags
                .data_dir
                .or_else(|| environment.path("COLIBRI_DAEMON_DATA_DIR"))
                .unwrap_or_else(|| place::DATA_DIR.into()),
        );
        let db_path = absolute(
            flags
                .db_path
                .or_else(|| environment.path("COLIBRI_DB_PATH"))
                .unwrap_or_else(|| data_dir.join(place::DATABASE)),
        );
        let socket = absolute(
            flags
                .socket
                .or_else(|| environment.path(place::SOCKET_VARIABLE))
                .unwrap_or_else(|| place::SOCKET.into()),
        );
        let hostd = absolute(
            environment
                .path(colibri_host::SOCKET_VARIABLE)
                .unwrap_or_else(|| colibri_host::SOCKET.into()),
        );
        let doors = hostd.with_file_name("tenants");
        let policy = absolute(
            environment
                .path("COLIBRI_REPLICATION_POLICY")
                .unwrap_or_else(|| place::REPLICATION_POLICY.into()),
        );
        if socket.as_os_str().len() > MAX_SOCKET_PATH {
            faults.push(format!(
                "the socket's path has {} bytes; the system allows {MAX_SOCKET_PATH}: {}",
                socket.as_os_str().len(),
                socket.display()
            ));
        }
        if socket == db_path {
            faults.push(format!("socket and database are both {}", socket.display()));
        }

        let given = flags
            .host
            .or_else(|| environment.text("COLIBRI_HOST", &mut faults));
        if let Some(name) = given.as_deref().filter(|name| !is_host_name(name)) {
            faults.push(format!(
                "`{name}` is no host name (COLIBRI_HOST): letters, digits, `-`, `.` and `_` only, \
                 at most 253"
            ));
        }
        let host = given.unwrap_or_else(|| own_host_name(warnings));

        let mode = flags
            .cost_mode
            .or_else(|| environment.text("COLIBRI_COST_MODE", &mut faults));
        let cost_mode = match mode.as_deref().map(str::parse) {
            None => CostMode::default(),
            Some(Ok(mode)) => mode,
            Some(Err(error)) => {
                faults.push(format!("{error} (COLIBRI_COST_MODE)"));
                CostMode::default()
            }
        };

        let mut span = |flag, name, default| {
            let given = environment.given(flag, name, seconds, &mut faults);
            given.unwrap_or(default)
        };
        let tick = span(flags.tick_seconds, "COLIBRI_TICK_SECONDS", TICK);
        let lease = span(flags.lease_seconds, "COLIBRI_LEASE_SECONDS", LEASE);
        let stall_after = span(
            flags.stall_seconds,
            "COLIBRI_STALL_SECONDS",
            DEFAULT_STALL_AFTER,
        );

        let mut limits = Limits::default();
        for (of_mode, flag, name) in [
            (&mut limits.fast, flags.limits_fast, "COLIBRI_LIMITS_FAST"),
            (
                &mut limits.smart,
                flags.limits_smart,
                "COLIBRI_LIMITS_SMART",
            ),
            (&mut limits.max, flags.limits_max, "COLIBRI_LIMITS_MAX"),
        ] {
            if let Some(given) = environment.given(flag, name, str::parse, &mut faults) {
                *of_mode = given;
            }
        }
        if let Err(error) = limits.check() {
            faults.push(format!("{error} (COLIBRI_LIMITS_FAST, _SMART and _MAX)"));
        }

        let mut keep = |flag: Option<Keep>, name| {
            let given = environment.given(flag, name, str::parse, &mut faults);
            given.unwrap_or_default()
        };
        let keep_tasks = keep(flags.task_days, "COLIBRI_TASK_DAYS");
        let keep_sessions = keep(flags.session_days, "COLIBRI_SESSION_DAYS");

        let autospawn = environment.autospawn(&mut faults);

        if !faults.is_empty() {
            return Err(Failure::Config { faults });
        }
        Ok(Self {
            data_dir,
            db_path,
            socket,
            host,
            cost_mode,
            tick,
            lease: Lease(lease),
            stall_after,
            limits,
            keep_tasks,
            keep_sessions,
            restart_pause: flags.restart_seconds,
            group: flags.group.unwrap_or_else(|| place::GROUP.to_owned()),
            max_clients: flags.max_clients,
            patience: Patience {
                idle: flags.idle_timeout,
                line: flags.line_timeout,
                write: flags.write_timeout,
            },
            hostd,
            doors,
            policy,
            autospawn,
            has_provider_key: environment.has_provider_key,
        })
    }

    /// What a cost mode allows on this host.
    pub(crate) fn thresholds(&self, mode: CostMode) -> Thresholds {
        *self.limits.of(mode)
    }
}

/// Every variable that this program reads.
fn known() -> impl Iterator<Item = &'static str> {
    READ.into_iter().chain([AUTOSPAWN]).chain(AUTOSPAWN_DETAILS)
}

/// What is set and not empty.
#[derive(Default)]
struct Environment {
    /// The `COLIBRI_*` variables.
    ours: Vec<(String, OsString)>,
    /// Whether one of those of [`variable::PROVIDER_KEYS`] is there.
    has_provider_key: bool,
}

impl Environment {
    fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            match name.into_string() {
                Ok(_) if value.is_empty() => {}
                Ok(name) if name.starts_with("COLIBRI_") => environment.ours.push((name, value)),
                Ok(name) if variable::PROVIDER_KEYS.contains(&name.as_str()) => {
                    environment.has_provider_key = true;
                }
                Ok(_) | Err(_) => {}
            }
        }
        environment
    }

    fn get(&self, name: &str) -> Option<&OsString> {
        self.ours
            .iter()
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(|value| Path::new(value).to_owned())
    }

    fn text(&self, name: &str, faults: &mut Vec<String>) -> Option<String> {
        let value = self.get(name)?;
        let text = value.to_str().map(str::to_owned);
        if text.is_none() {
            faults.push(format!("`{name}` is not UTF-8"));
        }
        text
    }

    /// What the flag says, or else the variable; nothing when neither says anything that can be read.
    fn given<T>(
        &self,
        flag: Option<T>,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
        faults: &mut Vec<String>,
    ) -> Option<T> {
        let text = self.text(name, faults);
        flag.or_else(|| match read(text.as_deref()?) {
            Ok(given) => Some(given),
            Err(error) => {
                faults.push(format!("`{name}` {error}"));
                None
            }
        })
    }

    /// The agent to start with the daemon, when the switch is on.
    fn autospawn(&self, faults: &mut Vec<String>) -> Option<SpawnAgent> {
        match self.text(AUTOSPAWN, faults).map(|text| switch(&text))? {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                faults.push(format!("`{AUTOSPAWN}`: {error}"));
                return None;
            }
        }
        let [binary, args, prompt, tenant] = AUTOSPAWN_DETAILS.map(|name| self.text(name, faults));
        let program = PathBuf::from(binary.as_deref().unwrap_or(AGENT));
        let file = program.file_name().unwrap_or_default().to_string_lossy();
        let name = match file.into_owned().try_into() {
            Ok(name) => name,
            Err(error) => {
                faults.push(format!("`{}`: {error}", AUTOSPAWN_DETAILS[0]));
                return None;
            }
        };
        let tenant = match tenant.map(|tenant| tenant.parse()).transpose() {
            Ok(tenant) => tenant,
            Err(error) => {
                faults.push(format!("`{}`: {error}", variable::AUTOSPAWN_TENANT));
                return None;
            }
        };
        let spawn = SpawnAgent {
            name,
            runtime: runtime_of(&program),
            program,
            args: args.map(|args| args.split_whitespace().map(str::to_owned).collect()),
            cwd: None,
            prompt,
            capabilities: Capability::usual().collect(),
            restart: true,
            tenant,
        };
        if let Err(error) = spawn.check() {
            faults.push(format!("`{AUTOSPAWN}`: {error}"));
        }
        Some(spawn)
    }

    /// A line for each variable that nobody knows. Values are never shown:
    /// nobody knows what was put under a misspelt name.
    fn strangers(&self) -> Vec<String> {
        let names = self.ours.iter().map(|(name, _)| name.as_str());
        let mut lines: Vec<String> = names
            .filter(|name| !known().any(|known| known == *name))
            .map(|name| {
                let hint = nearest(name, known())
                    .map_or(String::new(), |known| format!("; did you mean `{known}`?"));
                format!("`{name}` is not a variable of this daemon and is ignored{hint}")
            })
            .collect();
        lines.sort();
        lines
    }
}

/// Which dialect a program speaks, by its name.
fn runtime_of(program: &Path) -> Runtime {
    match program.file_name().and_then(|name| name.to_str()) {
        Some("pi") => Runtime::Pi,
        Some("zot") => Runtime::Zot,
        _ => Runtime::Local,
    }
}

fn is_host_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

/// A host that has no name yet (Linux then says `(none)`) must not keep the
/// daemon from starting.
fn own_host_name(warnings: &mut Vec<String>) -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| is_host_name(name))
        .unwrap_or_else(|| {
            warnings.push(
                "this host has no usable name; going by `localhost` until COLIBRI_HOST says another"
                    .to_owned(),
            );
            "localhost".to_owned()
        })
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|limit| *limit <= Duration::from_secs(86_400))
        .ok_or_else(|| "must be a number of seconds above 0, at most 86400".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn resolve(
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<(Config, Vec<String>), Failure> {
        let flags = Flags::try_parse_from(std::iter::once(&"colibri-daemon").chain(flags)).unwrap();
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        let mut warnings = Vec::new();
        Config::resolve(flags, variables, &mut warnings).map(|config| (config, warnings))
    }

    fn faults(variables: &[(&str, &str)]) -> Vec<String> {
        match resolve(&[], variables) {
            Err(Failure::Config { faults }) => faults,
            other => panic!("must be refused, not {other:?}"),
        }
    }

    #[test]
    fn defaults_are_the_flavours() {
        let (config, warnings) =
            resolve(&[], &[("PATH", "/bin"), ("COLIBRI_HOST", "atlas")]).unwrap();
        assert_eq!(config.socket, Path::new(place::SOCKET));
        assert_eq!(config.data_dir, Path::new(place::DATA_DIR));
        assert_eq!(
            config.db_path,
            Path::new(place::DATA_DIR).join("colibri.sqlite")
        );
        assert_eq!(
            (config.host.as_str(), config.cost_mode),
            ("atlas", CostMode::Smart)
        );
        assert_eq!(config.group, "colibri");
        assert_eq!(config.hostd, Path::new(colibri_host::SOCKET));
        assert_eq!(config.doors, Path::new(colibri_host::DOORS));
        assert_eq!(config.policy, Path::new(place::REPLICATION_POLICY));
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_an_empty_value_is_unset() {
        let variables = [
            ("COLIBRI_DAEMON_DATA_DIR", "/d"),
            ("COLIBRI_DAEMON_SOCKET", "/s"),
            ("COLIBRI_COST_MODE", "MAX"),
            ("COLIBRI_DB_PATH", ""),
            ("COLIBRI_HOST", "h"),
        ];
        let (config, _) = resolve(&["--socket", "/flag"], &variables).unwrap();
        assert_eq!(config.socket, Path::new("/flag"));
        assert_eq!(config.db_path, Path::new("/d/colibri.sqlite"));
        assert_eq!(config.cost_mode, CostMode::Max);
    }

    #[test]
    fn limits_are_those_of_the_contract_unless_told_otherwise() {
        let (config, _) = resolve(&["--host", "h"], &[]).unwrap();
        for mode in CostMode::ALL {
            assert_eq!(config.thresholds(mode), mode.thresholds());
        }
        assert_eq!(config.stall_after, Duration::from_secs(4 * 60 * 60));
        let variables = [
            ("COLIBRI_LIMITS_FAST", "1000,2,unlimited"),
            ("COLIBRI_LIMITS_SMART", "600000,3,unlimited"),
            ("COLIBRI_STALL_SECONDS", "60"),
        ];
        let flags = ["--host", "h", "--limits-fast", "500000,2,unlimited"];
        let (config, warnings) = resolve(&flags, &variables).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let fast = config.thresholds(CostMode::Fast);
        assert_eq!((fast.session_bytes, fast.turns), (500_000, 2));
        assert_eq!(config.thresholds(CostMode::Smart).turns, 3);
        assert_eq!(config.stall_after, Duration::from_secs(60));
        for (name, value, said) in [
            ("COLIBRI_LIMITS_MAX", "many", "`COLIBRI_LIMITS_MAX` must be"),
            ("COLIBRI_LIMITS_MAX", "0,100,unlimited", "`max` is 0"),
            (
                "COLIBRI_LIMITS_FAST",
                "3000000,5,4000",
                "`smart` is smaller",
            ),
        ] {
            let faults = faults(&[("COLIBRI_HOST", "h"), (name, value)]);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains(said), "{faults:?}");
        }
    }

    #[test]
    fn what_has_ended_is_kept_for_ninety_days_unless_told_otherwise() {
        let (config, _) = resolve(&["--host", "h"], &[]).unwrap();
        let days = |config: &Config| (config.keep_tasks.days(), config.keep_sessions.days());
        assert_eq!(days(&config), (Some(90), Some(90)));
        let variables = [("COLIBRI_TASK_DAYS", "off"), ("COLIBRI_SESSION_DAYS", "7")];
        let (config, warnings) = resolve(&["--host", "h"], &variables).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(days(&config), (None, Some(7)));
        let flags = ["--host", "h", "--task-days", "30", "--session-days", "0"];
        let (config, _) = resolve(&flags, &variables).unwrap();
        assert_eq!(days(&config), (Some(30), None));
        let faults = faults(&[("COLIBRI_HOST", "h"), ("COLIBRI_TASK_DAYS", "90d")]);
        assert!(faults[0].contains("`COLIBRI_TASK_DAYS` must"), "{faults:?}");
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults = faults(&[
            ("COLIBRI_COST_MODE", "cheap"),
            ("COLIBRI_HOST", "a b"),
            ("COLIBRI_AUTOSPAWN", "maybe"),
            ("COLIBRI_TICK_SECONDS", "often"),
            ("COLIBRI_DAEMON_SOCKET", &format!("/{}", "x".repeat(110))),
        ]);
        assert_eq!(faults.len(), 5, "{faults:?}");
        for name in [
            "COLIBRI_COST_MODE",
            "COLIBRI_HOST",
            "COLIBRI_AUTOSPAWN",
            "COLIBRI_TICK_SECONDS",
            "111 bytes",
        ] {
            assert!(
                faults.iter().any(|fault| fault.contains(name)),
                "{name}: {faults:?}"
            );
        }
    }

    #[test]
    fn variables_without_effect_are_named_without_their_values() {
        let (_, warnings) = resolve(
            &["--host", "h"],
            &[
                ("COLIBRI_DEAMON_SOCKET", "s3cret"),
                ("COLIBRI_BRIDGE_LISTEN_ADDR", "s3cret"),
            ],
        )
        .unwrap();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(
            warnings
                .iter()
                .any(|w| w.contains("did you mean `COLIBRI_DAEMON_SOCKET`?"))
        );
        assert!(
            warnings
                .iter()
                .any(|w| w.contains("LISTEN_ADDR") && !w.contains("did you mean"))
        );
        assert!(!warnings.concat().contains("s3cret"));
    }

    #[test]
    fn what_a_variable_was_called_before_still_counts_and_is_told() {
        let variables = [
            ("COLIBRI_AUTOSPAWN_PI", "yes"),
            ("COLIBRI_PI_BINARY", "/opt/pi"),
            ("COLIBRI_AUTOSPAWN_PI_ARGS", "--mode rpc"),
            ("COLIBRI_AUTOSPAWN_RPC_PROMPT", "Say hello."),
        ];
        let (config, warnings) = resolve(&["--host", "h"], &variables).unwrap();
        let agent = config.autospawn.unwrap();
        assert_eq!(agent.program, Path::new("/opt/pi"));
        assert_eq!(agent.args.unwrap(), ["--mode", "rpc"]);
        assert_eq!(agent.prompt.as_deref(), Some("Say hello."));
        assert_eq!(warnings.len(), 4, "{warnings:?}");
        let now = "`COLIBRI_AUTOSPAWN_RPC_PROMPT` is called `COLIBRI_AUTOSPAWN_PROMPT` now";
        assert!(warnings.iter().any(|warning| warning.starts_with(now)));

        // What is wrong is told of the new name, and so the old one is told as well.
        let variables = [("COLIBRI_AUTOSPAWN_PI", "maybe")];
        let mut warnings = Vec::new();
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let refused = Config::resolve(Flags::default(), variables, &mut warnings);
        assert!(matches!(refused, Err(Failure::Config { .. })));
        assert!(warnings[0].starts_with("`COLIBRI_AUTOSPAWN_PI`"));
    }

    #[test]
    fn a_provider_s_key_is_there_when_it_is_not_empty() {
        let has_key = |variables: &[(&str, &str)]| {
            let (config, warnings) = resolve(&["--host", "h"], variables).unwrap();
            assert!(warnings.is_empty(), "{warnings:?}");
            config.has_provider_key
        };
        for name in variable::PROVIDER_KEYS {
            assert!(has_key(&[(name, "sk-1")]), "{name}");
            assert!(!has_key(&[(name, "")]), "{name}");
        }
        assert!(!has_key(&[("PI_PROVIDER", "openrouter")]));
    }

    #[test]
    fn the_agent_that_comes_with_the_daemon_is_on_or_off_and_absolute() {
        let autospawn = |variables: &[(&str, &str)]| {
            let (config, warnings) = resolve(&["--host", "h"], variables).unwrap();
            assert!(warnings.is_empty(), "{warnings:?}");
            config.autospawn
        };
        let details = ("COLIBRI_AUTOSPAWN_ARGS", "--mode  rpc");
        assert_eq!(autospawn(&[details]), None, "off unless turned on");
        assert_eq!(autospawn(&[("COLIBRI_AUTOSPAWN", "No"), details]), None);
        let usual = autospawn(&[("COLIBRI_AUTOSPAWN", "Yes")]).unwrap();
        assert_eq!(usual.program, Path::new("/usr/local/bin/pi"));
        assert_eq!((usual.runtime, usual.args), (Runtime::Pi, None));
        assert_eq!(usual.name.as_str(), "pi");
        let other = autospawn(&[
            ("COLIBRI_AUTOSPAWN", "1"),
            ("COLIBRI_AUTOSPAWN_BINARY", "/opt/colibri-test-agent"),
            details,
            ("COLIBRI_AUTOSPAWN_PROMPT", "Say hello."),
        ])
        .unwrap();
        assert_eq!(other.runtime, Runtime::Local);
        assert_eq!(other.args.unwrap(), ["--mode", "rpc"]);
        assert_eq!(other.prompt.as_deref(), Some("Say hello."));
        let in_jail = |tenant| {
            let on = ("COLIBRI_AUTOSPAWN", "on");
            autospawn(&[on, ("COLIBRI_AUTOSPAWN_TENANT", tenant)])
                .unwrap()
                .tenant
        };
        assert_eq!((in_jail("main"), in_jail("")), ("main".parse().ok(), None));
        let wrong = faults(&[
            ("COLIBRI_AUTOSPAWN", "on"),
            ("COLIBRI_AUTOSPAWN_TENANT", "Main!"),
        ]);
        assert!(
            wrong[0].starts_with("`COLIBRI_AUTOSPAWN_TENANT`"),
            "{wrong:?}"
        );
        let faults = faults(&[
            ("COLIBRI_AUTOSPAWN", "on"),
            ("COLIBRI_AUTOSPAWN_BINARY", "pi"),
        ]);
        assert!(faults[0].contains("absolute"), "{faults:?}");
    }

    #[test]
    fn host_names_are_what_they_look_like() {
        assert!(is_host_name("atlas-1.example_net"));
        for name in ["", "(none)", "a b", "žolna", &"x".repeat(254)] {
            assert!(!is_host_name(name), "{name}");
        }
    }

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for text in ["0", "-1", "inf", "NaN", "86401", "1s", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_pages_of_the_images_are_fresh() {
        colibri_pages::check(&Flags::command(), "8").unwrap();
    }

    #[test]
    fn the_help_fits_a_terminal_of_80_columns() {
        let help = Flags::command().render_long_help().to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        for name in READ {
            assert!(help.contains(name), "{name}");
        }
    }
}
