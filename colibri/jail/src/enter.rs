//! What both systems share of starting a program in a jail: our own program is started once more, joins the jail,
//! gives up what the agent is not to have, and starts the program.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use secrecy::ExposeSecret as _;

use crate::face::{Exec, Value};

/// The word by which our program knows that it is to enter a jail.
pub(crate) const WORD: &str = "enter-jail";

/// Exit status when the jail could not be entered, as of other programs that start programs.
pub(crate) const NOT_ENTERED: u8 = 125;

/// Before the names of variables that are not for the one that enters: it still is root, and some names would mean
/// something to it.
const PREFIX: &str = "jail:";

/// What a program finds in its environment unless the caller says otherwise.
const DEFAULTS: [(&str, &str); 5] = [
    ("HOME", "/home/agent"),
    ("LOGNAME", "agent"),
    ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ("SHELL", "/bin/sh"),
    ("USER", "agent"),
];

/// Starts ourselves anew. What comes first of the arguments is the system's business.
pub(crate) fn start_own(
    own: &Path,
    first: &[&std::ffi::OsStr],
    exec: &Exec,
    [stdin, stdout, stderr]: [OwnedFd; 3],
) -> io::Result<Child> {
    Command::new(own)
        .arg(WORD)
        .args(first)
        .arg(&exec.cwd)
        .arg(&exec.program)
        .args(&exec.args)
        .env_clear()
        .envs(environment(exec))
        .current_dir("/")
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        .spawn()
}

/// The variables with their prefix.
fn environment(exec: &Exec) -> Vec<(OsString, OsString)> {
    let missing = DEFAULTS
        .iter()
        .filter(|(name, _)| exec.env.iter().all(|(there, _)| there != name))
        .map(|&(name, value)| (name.into(), value.into()));
    let given = exec.env.iter().map(|(name, value)| {
        let value = match value {
            Value::Plain(value) => value.clone(),
            Value::Secret(value) => value.expose_secret().into(),
        };
        (name.clone(), value)
    });
    missing
        .chain(given)
        .map(|(name, value): (OsString, OsString)| {
            let mut prefixed = OsString::from(PREFIX);
            prefixed.push(name);
            (prefixed, value)
        })
        .collect()
}

/// Runs the program to its end, with the variables that are its own. Gives its status as a shell does.
pub(crate) fn run_to_end(mut command: Command) -> u8 {
    let own = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.as_bytes().strip_prefix(PREFIX.as_bytes())?;
        Some((OsString::from_vec(name.to_vec()), value))
    });
    match command.env_clear().envs(own).status() {
        Ok(status) => shell_status(status),
        Err(error) => {
            say(&format!("{}: {error}", command.get_program().display()));
            match error.kind() {
                io::ErrorKind::NotFound => 127,
                _ => 126,
            }
        }
    }
}

/// A status as a shell has it: 128 and the signal's number for one that was killed.
pub(crate) fn shell_status(status: ExitStatus) -> u8 {
    let status = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(status).unwrap_or(u8::MAX)
}

/// To whoever reads the program's own complaints; nobody may be there.
pub(crate) fn say(message: &str) {
    use io::Write as _;
    let _ = writeln!(io::stderr(), "{WORD}: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_the_programs_and_not_ours() {
        let exec = Exec {
            program: "/usr/local/bin/pi".into(),
            args: Vec::new(),
            env: vec![
                ("LD_PRELOAD".into(), Value::Plain("/tmp/x.so".into())),
                ("OPENAI_API_KEY".into(), Value::Secret("canary-4412".into())),
                ("HOME".into(), Value::Plain("/tmp".into())),
            ],
            cwd: "/home/agent".into(),
        };
        let environment = environment(&exec);
        let find = |name: &str| {
            let mut found = environment.iter().filter(|(there, _)| there == name);
            (found.next().map(|(_, value)| value.clone()), found.count())
        };
        assert_eq!(find("LD_PRELOAD"), (None, 0));
        assert_eq!(find("jail:HOME"), (Some("/tmp".into()), 0));
        assert_eq!(find("jail:USER"), (Some("agent".into()), 0));
        assert_eq!(find("jail:OPENAI_API_KEY"), (Some("canary-4412".into()), 0));
        assert!(!format!("{exec:?}").contains("canary-4412"));
    }

    #[test]
    fn a_status_is_as_a_shell_has_it() {
        let shell = |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]);
            run_to_end(command)
        };
        assert_eq!(shell("exit 7"), 7);
        assert_eq!(shell("kill -9 $$"), 137);
        assert_eq!(run_to_end(Command::new("/no/such/program")), 127);
        assert_eq!(run_to_end(Command::new("/")), 126);
    }
}
