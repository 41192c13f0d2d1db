//! What starts a service, looked at in a test: the unit by systemd's own checker, the script of FreeBSD by this
//! system's `sh` against a small `rc.subr` of our own that records what the real one would be asked to do.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// As much of rc.subr as the scripts lean on. Like the real one it runs
/// `<verb>_precmd` and `<verb>_cmd` in the script's own shell, and looks at
/// the switch before `start`.
const RC_SUBR: &str = r#"
load_rc_config() { . "$HERE/rc.conf"; }
warn() { echo "WARN $*"; }
err() { code=$1; shift; echo "ERR $*"; exit "$code"; }
startmsg() { echo "$*"; }
checkyesno() {
    eval "_value=\$$1"
    case "$_value" in
    [Yy][Ee][Ss]|[Tt][Rr][Uu][Ee]|[Oo][Nn]|1) return 0 ;;
    *) return 1 ;;
    esac
}
wait_for_pids() { echo "WAIT $*"; }
kill() { echo "KILL $*"; }
pgrep() { echo "4343"; }
sleep() { :; }
run_rc_command() {
    rc_pid="$RC_PID"
    if [ "$1" = start ] && ! checkyesno "$rcvar"; then echo "DISABLED"; return 0; fi
    eval "_pre=\${$1_precmd:-} _cmd=\${$1_cmd:-}"
    if [ -n "$_pre" ]; then "$_pre" || return 1; fi
    "$_cmd"
}
"#;

/// Stands for daemon(8): writes down its arguments and what it would pass on.
const DAEMON: &str =
    "#!/bin/sh\necho \"DAEMON $*\"\nenv | grep -E '^(COLIBRI|ANY|PATH|DEEP)' | sort\n";

/// A script of `rc.d` in a folder of its own, with what it calls beside it.
#[derive(Debug)]
pub struct RcScript {
    dir: tempfile::TempDir,
    name: &'static str,
}

impl RcScript {
    /// The script with this text.
    pub fn new(name: &'static str, text: &str) -> Self {
        let script = Self {
            dir: tempfile::tempdir().unwrap(),
            name,
        };
        script.write("rc.subr", RC_SUBR, 0o644);
        script.write("daemon", DAEMON, 0o755);
        let text = text
            .replace("/etc/rc.subr", script.path("rc.subr").to_str().unwrap())
            .replace("/usr/sbin/daemon", script.path("daemon").to_str().unwrap());
        script.write(name, &text, 0o755);
        script
    }

    /// The folder.
    pub fn folder(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    /// Where a file of this name lies in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes such a file.
    pub fn write(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What the script says and how it ends, with this `rc.conf` and with `pid` for a service that runs.
    pub fn words(&self, verb: &str, rc_conf: &str, pid: &str) -> String {
        self.write("rc.conf", rc_conf, 0o644);
        let output = Command::new("sh")
            .arg(self.path(self.name))
            .arg(verb)
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HERE", self.folder())
            .env("RC_PID", pid)
            .output()
            .unwrap();
        words_of(&output)
    }
}

fn words_of(output: &Output) -> String {
    let text = String::from_utf8([&*output.stdout, &*output.stderr].concat()).unwrap();
    format!("{text}exit {}\n", output.status.code().unwrap())
}

/// Has `sh` and shellcheck look at a script of the checkout, which must be executable: rc.d runs no others.
#[track_caller]
pub fn is_clean_shell(source: &Path) {
    let checked = Command::new("sh").arg("-n").arg(source).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    match Command::new("shellcheck")
        .args(["-s", "sh"])
        .arg(source)
        .output()
    {
        Ok(checked) => {
            let words = String::from_utf8_lossy(&checked.stdout);
            assert!(checked.status.success(), "{words}");
        }
        Err(error) => println!("NOT CHECKED: shellcheck does not run here: {error}"),
    }
    let mode = std::fs::metadata(source).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "rc.d runs executable files only");
}

/// Has systemd look at a unit, in which whatever program it names must be there on this machine.
#[track_caller]
pub fn systemd_accepts(name: &str, text: &str) {
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join(name);
    std::fs::write(&unit, text).unwrap();
    match Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit)
        .output()
    {
        Ok(checked) => {
            let words = String::from_utf8_lossy(&checked.stderr);
            // It loads other units of this machine too; theirs are not ours.
            let ours: Vec<_> = words.lines().filter(|line| line.contains(name)).collect();
            assert!(ours.is_empty(), "{words}");
        }
        Err(error) => println!("NOT CHECKED: systemd-analyze does not run here: {error}"),
    }
}

/// Fails unless the words are among what was said.
#[track_caller]
pub fn has(words: &str, wanted: &str) {
    assert!(words.contains(wanted), "no {wanted:?} in:\n{words}");
}

/// Fails if they are.
#[track_caller]
pub fn lacks(words: &str, unwanted: &str) {
    assert!(!words.contains(unwanted), "{unwanted:?} in:\n{words}");
}
