//! The word with which this program is what stands on the host for an agent in a jail.
//!
//! The daemon starts it on the agent's leash in place of the agent. It has the root helper start the real
//! one in the jail, with its own standard streams, and ends as that does; and when it is ended itself, its
//! connection closes, and the helper ends whatever the agent has started.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use colibri_host::{
    AgentExit, AgentProgram, Client, ClientError, ExecJail, Request, SOCKET, SOCKET_VARIABLE,
    TenantRequest,
};
use colibri_protocol::TenantId;

/// `colibri-daemon in-jail TENANT PROGRAM -- ARGS…`; nobody types it.
pub(crate) const IN_JAIL: &str = "in-jail";

/// Exit codes as in sysexits(3): the helper did not start the agent, it ended before the agent did, and the
/// command line makes no sense.
const NOT_STARTED: u8 = 69;
const HELPER_GONE: u8 = 75;
const USAGE: u8 = 64;

/// What stands behind the word.
pub(crate) fn arguments(tenant: &TenantId, program: &Path, args: Vec<String>) -> Vec<OsString> {
    let head = [
        IN_JAIL.into(),
        tenant.as_str().into(),
        program.into(),
        "--".into(),
    ];
    head.into_iter()
        .chain(args.into_iter().map(Into::into))
        .collect()
}

/// Runs an agent in a jail, with what follows the word.
pub(crate) fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let exec = match parse(args) {
        Ok(exec) => exec,
        Err(problem) => {
            eprintln!("{IN_JAIL}: {problem}");
            return ExitCode::from(USAGE);
        }
    };
    let socket = std::env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty());
    let socket = socket.map_or_else(|| SOCKET.into(), PathBuf::from);
    let (code, problem) = match run(&socket, &exec) {
        Ok(Ok(exit)) => return ExitCode::from(exit.status),
        Ok(Err(error)) => (HELPER_GONE, error),
        Err(error) => (NOT_STARTED, error),
    };
    // Into the agent's log.
    eprintln!("{IN_JAIL}: {problem}");
    ExitCode::from(code)
}

/// # Errors
/// The agent was not started; within: how it ended is not known.
fn run(socket: &Path, exec: &ExecJail) -> Result<Result<AgentExit, ClientError>, ClientError> {
    // It may have been stopped, or have ended by itself, since the agent ran last.
    let start = Request::StartJail(TenantRequest {
        tenant: exec.tenant.clone(),
    });
    Client::connect(socket)?.ask(&start)?;
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let standard = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let running = Client::connect(socket)?.exec(exec, standard)?;
    Ok(running.wait())
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<ExecJail, String> {
    let mut args = args.into_iter().map(|arg| {
        arg.into_string()
            .map_err(|arg| format!("{arg:?} is not UTF-8"))
    });
    let mut next = |what: &str| {
        args.next()
            .unwrap_or_else(|| Err(format!("{what} is missing")))
    };
    let tenant = next("the tenant")?.parse()?;
    let program = next("the program")?;
    let program = AgentProgram::at(Path::new(&program))
        .ok_or_else(|| format!("{program} is not started in jails"))?;
    match next("`--`")?.as_str() {
        "--" => {}
        other => return Err(format!("`--` is missing before `{other}`")),
    }
    Ok(ExecJail {
        tenant,
        program,
        args: args.collect::<Result<_, _>>()?,
        env: handed_in(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        })),
    })
}

/// The variables that go along into the jail.
fn handed_in(all: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    all.into_iter()
        .filter(|(name, _)| ExecJail::takes(name) && name != SOCKET_VARIABLE)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<ExecJail, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn what_the_daemon_writes_is_read_back() {
        let tenant: TenantId = "main".parse().unwrap();
        let args = ["--mode", "rpc", "--", ""].map(str::to_owned).to_vec();
        let words = arguments(&tenant, Path::new("/usr/local/bin/pi"), args.clone());
        assert_eq!(words[0], IN_JAIL);
        let exec = parse(words.into_iter().skip(1)).unwrap();
        assert_eq!((exec.tenant, exec.program), (tenant, AgentProgram::Pi));
        assert_eq!(exec.args, args);
        for (words, says) in [
            (&["main"][..], "the program is missing"),
            (&["root", "/usr/local/bin/pi", "--"], "no tenant"),
            (
                &["main", "/bin/sh", "--"],
                "/bin/sh is not started in jails",
            ),
            (&["main", "/usr/local/bin/pi", "rpc"], "`--` is missing"),
        ] {
            let error = read(words).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn only_what_is_no_secret_and_no_way_out_goes_along() {
        let all = [
            ("COLIBRI_DAEMON_SOCKET", "/run/colibri/ada.sock"),
            ("COLIBRI_HOSTD_SOCKET", "/run/colibri-hostd/hostd.sock"),
            ("HOME", "/var/lib/colibri/agents/ada"),
            ("OPENROUTER_API_KEY", "sk-1"),
            ("PATH", "/bin"),
            ("PI_MODEL", "m"),
            ("TZ", "UTC"),
        ];
        let handed = handed_in(all.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let names: Vec<_> = handed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["COLIBRI_DAEMON_SOCKET", "PI_MODEL", "TZ"]);
    }
}
