//! What starts the helper: the unit on Debian, the script on FreeBSD. Neither turns itself on.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const UNIT: &str =
    include_str!("../../../overlays/debian/etc/systemd/system/colibri-hostd.service");
const DAEMONS_UNIT: &str =
    include_str!("../../../overlays/debian/etc/systemd/system/colibri-daemon.service");
const FOLDERS: &str =
    include_str!("../../../overlays/debian/usr/local/lib/tmpfiles.d/colibri-hostd.conf");
const SCRIPT: &str = include_str!("../../../rc.d/colibri_hostd");
const PROGRAM: &str = env!("CARGO_BIN_EXE_colibri-hostd");

/// The values of a setting, in the unit's order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .collect()
}

#[track_caller]
fn has(words: &str, wanted: &str) {
    assert!(words.contains(wanted), "no {wanted:?} in:\n{words}");
}

#[track_caller]
fn lacks(words: &str, unwanted: &str) {
    assert!(!words.contains(unwanted), "{unwanted:?} in:\n{words}");
}

#[test]
fn the_unit_and_the_program_agree() {
    assert_eq!(values(UNIT, "Type"), ["notify"]);
    assert_eq!(values(UNIT, "RestartPreventExitStatus"), ["2 3 4"]);
    assert_eq!(values(UNIT, "Before"), ["colibri-daemon.service"]);
    assert_eq!(values(UNIT, "RuntimeDirectoryPreserve"), ["yes"]);
    // systemd would give everything in it to them, at every start.
    assert!(values(UNIT, "User").is_empty() && values(UNIT, "Group").is_empty());
    if cfg!(target_os = "linux") {
        let run = format!("/run/{}", values(UNIT, "RuntimeDirectory")[0]);
        assert_eq!(colibri_host::SOCKET, format!("{run}/hostd.sock"));
        assert_eq!(colibri_host::DOORS, format!("{run}/tenants"));
        let doors = format!("-{}", colibri_host::DOORS);
        assert_eq!(values(DAEMONS_UNIT, "ReadWritePaths"), [doors]);
        for folder in [run.as_str(), colibri_host::DOORS] {
            let line = FOLDERS
                .lines()
                .find(|line| line.split_whitespace().nth(1) == Some(folder));
            let words: Vec<_> = line.unwrap().split_whitespace().collect();
            assert_eq!(words[2..5], ["0750", "root", colibri_host::ACCOUNT]);
        }
    }
}

#[test]
fn systemd_finds_nothing_to_complain_about() {
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("colibri-hostd.service");
    // The program lies elsewhere in a test, and so may sysctl.
    let text = UNIT
        .replace("/usr/local/bin/colibri-hostd", PROGRAM)
        .replace("/usr/sbin/sysctl", "/bin/true");
    std::fs::write(&unit, text).unwrap();
    match Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit)
        .output()
    {
        Ok(checked) => {
            let words = String::from_utf8_lossy(&checked.stderr);
            // It loads other units of this machine too; theirs are not ours.
            let ours: Vec<_> = words
                .lines()
                .filter(|line| line.contains("colibri-hostd.service"))
                .collect();
            assert!(ours.is_empty(), "{words}");
        }
        Err(error) => println!("NOT CHECKED: systemd-analyze does not run here: {error}"),
    }
}

#[test]
fn without_roots_rights_it_says_so_and_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    open(dir.path());
    // Where it was built, another account may have no way in.
    let program = dir.path().join("hostd");
    std::fs::copy(PROGRAM, &program).unwrap();
    open(&program);
    let socket = dir.path().join("run/hostd.sock");
    let mut command = Command::new(&program);
    command.arg("--socket").arg(&socket).current_dir("/");
    if nix::unistd::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    let ended = command.output().unwrap();
    let words = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(4), "{words}");
    has(&words, "this is not root");
    assert!(!socket.parent().unwrap().exists());
}

/// As much of rc.subr as the script leans on; see the daemon's test of its script.
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

/// Stands for daemon(8).
const DAEMON: &str = "#!/bin/sh\necho \"DAEMON $*\"\nenv | grep -E '^(COLIBRI|PATH)' | sort\n";

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        bench.write("rc.subr", RC_SUBR, 0o644);
        bench.write("daemon", DAEMON, 0o755);
        let script = SCRIPT
            .replace("/etc/rc.subr", bench.path("rc.subr").to_str().unwrap())
            .replace("/usr/sbin/daemon", bench.path("daemon").to_str().unwrap());
        bench.write("colibri_hostd", &script, 0o755);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What the script says and how it ends, with these lines in `rc.conf`.
    fn words(&self, verb: &str, rc_conf: &str, pid: &str) -> String {
        let here = self.dir.path().to_str().unwrap();
        let conf = format!(
            "colibri_hostd_enable=YES\ncolibri_hostd_account=root\n\
             colibri_hostd_socket={here}/run/hostd.sock\n{rc_conf}"
        );
        self.write("rc.conf", &conf, 0o644);
        let output = Command::new("sh")
            .arg(self.path("colibri_hostd"))
            .arg(verb)
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HERE", here)
            .env("RC_PID", pid)
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        format!("{text}exit {}\n", output.status.code().unwrap())
    }
}

#[test]
fn start_hands_the_helper_to_its_supervisor() {
    let bench = Bench::new();
    let words = bench.words("start", "", "");
    has(
        &words,
        "DAEMON -f -P /var/run/colibri_hostd.pid -r -R 5 -t colibri_hostd -H -M 0600 -o \
         /var/log/colibri-hostd.log /usr/local/bin/colibri-hostd --socket ",
    );
    has(
        &words,
        " --account root --group colibri --vault-env /usr/local/etc/colibri/vault.env\n",
    );
    // It stays root: nothing here has -u.
    lacks(&words, " -u ");
    has(
        &words,
        "PATH=/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin\n",
    );
    lacks(&words, "COLIBRI_JAIL_ROOT_BASE");
    // Nobody listens in a test, which is said and is no failure of the script.
    has(&words, "WARN nobody listens on ");
    assert_eq!(words.matches("WARN").count(), 1, "{words}");
    has(&words, "exit 0");
    let words = bench.words("start", "colibri_hostd_jail_base=/srv/jails\n", "");
    has(&words, "COLIBRI_JAIL_ROOT_BASE=/srv/jails\n");
}

#[test]
fn an_account_that_is_missing_is_named_and_nothing_starts() {
    let bench = Bench::new();
    let words = bench.words("start", "colibri_hostd_account=no-such-account\n", "");
    has(&words, "WARN there is no account 'no-such-account'");
    lacks(&words, "DAEMON");
    has(&words, "exit 1");
}

#[test]
fn it_is_off_until_it_is_turned_on_and_knobs_are_checked() {
    let bench = Bench::new();
    let words = bench.words("start", "colibri_hostd_enable=NO\n", "");
    has(&words, "DISABLED");
    lacks(&words, "DAEMON");
    has(SCRIPT, "\n: \"${colibri_hostd_enable:=NO}\"\n");
    let words = bench.words("start", "colibri_hostd_enable=maybe\n", "");
    has(
        &words,
        "ERR colibri_hostd_enable in rc.conf must be YES or NO",
    );
    let words = bench.words(
        "start",
        "colibri_hostd_sokcet=/x\ncolibri_hostd_user=colibri\ncolibri_hostd_env_file=/y\n",
        "",
    );
    has(
        &words,
        "WARN colibri_hostd_sokcet in rc.conf is not a known setting",
    );
    has(&words, "WARN colibri_hostd_user in rc.conf has no effect");
    assert_eq!(words.matches("WARN").count(), 3, "{words}");
}

#[test]
fn stop_waits_for_the_child_too_and_reload_reopens_the_log() {
    let bench = Bench::new();
    let words = bench.words("stop", "", "4242");
    has(&words, "KILL -TERM 4242\nWAIT 4242 4343\n");
    has(&bench.words("stop", "", ""), "exit 1");
    has(&bench.words("reload", "", "4242"), "KILL -HUP 4242\n");
    let conf =
        include_str!("../../../overlays/freebsd/usr/local/etc/newsyslog.conf.d/clawdie.conf");
    let words: Vec<_> = conf
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|words| words.first() == Some(&"/var/log/colibri-hostd.log"))
        .unwrap();
    assert_eq!((words[1], words[6]), ("600", "/var/run/colibri_hostd.pid"));
}

#[test]
fn the_script_is_clean_shell() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rc.d/colibri_hostd");
    let checked = Command::new("sh").args(["-n", source]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    match Command::new("shellcheck")
        .args(["-s", "sh", source])
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
