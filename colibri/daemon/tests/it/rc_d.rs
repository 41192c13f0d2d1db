//! The FreeBSD service script, run by this system's `sh` against a small
//! `rc.subr` of our own that records what the real one would be asked to do.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::harness::set_mode;

const SCRIPT: &str = include_str!("../../../../rc.d/colibri_daemon");

/// As much of rc.subr as the script leans on. Like the real one it runs
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
        bench.write("colibri_daemon", &script, 0o755);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).unwrap();
        set_mode(&self.path(name), mode);
    }

    /// Runs the script with these lines in `rc.conf` besides the places of
    /// this bench. The service account is ours, for only root can use another.
    fn run(&self, verb: &str, rc_conf: &str, pid: &str) -> Output {
        let id = |flag| {
            let output = Command::new("id").arg(flag).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let here = self.dir.path().to_str().unwrap();
        let conf = format!(
            "colibri_daemon_enable=YES\n\
             colibri_daemon_user={}\ncolibri_daemon_group={}\n\
             colibri_daemon_data_dir={here}/db\n\
             colibri_daemon_socket={here}/run/colibri.sock\n\
             colibri_daemon_provider_env={here}/provider.env\n\
             colibri_daemon_host=atlas\n{rc_conf}",
            id("-un"),
            id("-gn"),
        );
        self.write("rc.conf", &conf, 0o644);
        Command::new("sh")
            .arg(self.path("colibri_daemon"))
            .arg(verb)
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HERE", here)
            .env("RC_PID", pid)
            .output()
            .unwrap()
    }

    fn words(&self, verb: &str, rc_conf: &str, pid: &str) -> String {
        let output = self.run(verb, rc_conf, pid);
        let text = [output.stdout, output.stderr].concat();
        format!(
            "{}exit {}\n",
            String::from_utf8(text).unwrap(),
            output.status.code().unwrap()
        )
    }
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
fn start_makes_the_directories_and_hands_the_daemon_to_its_supervisor() {
    let bench = Bench::new();
    let words = bench.words("start", "", "");
    let here = bench.dir.path().display();
    has(
        &words,
        "DAEMON -f -P /var/run/colibri_daemon.pid -r -R 5 -t colibri_daemon -H -M 0600 -o ",
    );
    has(&words, " -u ");
    has(&words, "/usr/local/bin/colibri-daemon --group ");
    has(&words, &format!("COLIBRI_DAEMON_DATA_DIR={here}/db\n"));
    has(
        &words,
        &format!("COLIBRI_DB_PATH={here}/db/colibri.sqlite\n"),
    );
    has(
        &words,
        &format!("COLIBRI_DAEMON_SOCKET={here}/run/colibri.sock\n"),
    );
    has(&words, "COLIBRI_HOST=atlas\n");
    has(
        &words,
        "PATH=/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin\n",
    );
    lacks(&words, "COLIBRI_COST_MODE");
    lacks(&words, "WARN");
    has(&words, "exit 0");
    for name in ["run", "db"] {
        let mode = std::fs::metadata(bench.path(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o750, "{name}");
    }
}

#[test]
fn an_account_that_is_missing_is_named_and_nothing_is_made() {
    let bench = Bench::new();
    let words = bench.words("start", "colibri_daemon_user=no-such-account\n", "");
    has(
        &words,
        "WARN there is no account 'no-such-account' (colibri_daemon_user); ",
    );
    lacks(&words, "DAEMON");
    has(&words, "exit 1");
    assert!(!bench.path("db").exists());
}

#[test]
fn a_directory_that_is_there_keeps_its_mode() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("run")).unwrap();
    set_mode(&bench.path("run"), 0o777);
    bench.words("start", "", "");
    let mode = std::fs::metadata(bench.path("run"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o777);
}

#[test]
fn provider_keys_reach_the_daemons_environment_and_rc_conf_wins() {
    let bench = Bench::new();
    let keys = "ANY_API_KEY='a b$c'\nCOLIBRI_COST_MODE=max\nCOLIBRI_DAEMON_SOCKET=/elsewhere\n";
    bench.write("provider.env", keys, 0o600);
    let words = bench.words("start", "", "");
    if !nix::unistd::geteuid().is_root() {
        // Then the file is not root's, and the right thing is to refuse it.
        has(&words, "must belong to root");
        return lacks(&words, "DAEMON");
    }
    has(&words, "ANY_API_KEY=a b$c\n");
    has(&words, "COLIBRI_COST_MODE=max\n");
    has(&words, "WARN COLIBRI_DAEMON_SOCKET in ");
    has(&words, "set colibri_daemon_socket in rc.conf");
    lacks(&words, "COLIBRI_DAEMON_SOCKET=/elsewhere");
    // A key shows in no argument.
    let arguments = words
        .lines()
        .find(|line| line.starts_with("DAEMON"))
        .unwrap();
    lacks(arguments, "a b$c");
    has(
        &bench.words("start", "colibri_daemon_cost_mode=fast\n", ""),
        "COLIBRI_COST_MODE=fast\n",
    );
}

#[test]
fn keys_that_others_may_write_are_not_read() {
    let bench = Bench::new();
    bench.write("provider.env", "touch \"$HERE/owned\"\n", 0o620);
    let words = bench.words("start", "", "");
    has(&words, "WARN ");
    has(&words, "writable by nobody else");
    has(&words, "exit 1");
    lacks(&words, "DAEMON");
    assert!(!bench.path("owned").exists());
}

#[test]
fn the_old_knob_counts_and_says_its_new_name() {
    let bench = Bench::new();
    let words = bench.words("start", "colibri_cost_mode=max\n", "");
    has(
        &words,
        "WARN colibri_cost_mode in rc.conf is now called colibri_daemon_cost_mode",
    );
    has(&words, "COLIBRI_COST_MODE=max\n");
    let words = bench.words(
        "start",
        "colibri_cost_mode=max\ncolibri_daemon_cost_mode=fast\n",
        "",
    );
    has(&words, "WARN colibri_cost_mode in rc.conf is ignored");
    has(&words, "COLIBRI_COST_MODE=fast\n");
}

#[test]
fn unknown_knobs_are_named_and_known_ones_are_not() {
    let bench = Bench::new();
    let words = bench.words(
        "start",
        "colibri_socket=/x\ncolibri_daemon_sokcet=/y\ncolibri_frobnicate=1\n\
         colibri_daemon_nice=5\ncolibri_daemon_cpuset=1\ncolibri_daemon_env_file=/z\n\
         colibri_hostd_enable=YES\n",
        "",
    );
    has(
        &words,
        "WARN colibri_socket in rc.conf is not a known setting and is ignored; did you mean colibri_daemon_socket?",
    );
    has(
        &words,
        "WARN colibri_daemon_sokcet in rc.conf is not a known setting and is ignored\n",
    );
    has(
        &words,
        "WARN colibri_frobnicate in rc.conf is not a known setting and is ignored\n",
    );
    // rc.subr knows these, but not for a service that starts itself.
    for knob in ["nice", "cpuset"] {
        has(
            &words,
            &format!("WARN colibri_daemon_{knob} in rc.conf has no effect"),
        );
    }
    assert_eq!(words.matches("WARN").count(), 5, "{words}");
}

#[test]
fn the_switch_has_every_common_spelling_and_no_other() {
    let bench = Bench::new();
    for yes in ["YES", "yes", "True", "ON", "1"] {
        has(
            &bench.words("start", &format!("colibri_daemon_enable={yes}\n"), ""),
            "DAEMON",
        );
    }
    for no in ["NO", "no", "False", "off", "0"] {
        let words = bench.words("start", &format!("colibri_daemon_enable={no}\n"), "");
        has(&words, "DISABLED");
        has(&words, "exit 0");
    }
    for verb in ["start", "onestart", "restart"] {
        let words = bench.words(verb, "colibri_daemon_enable=maybe\n", "");
        has(
            &words,
            "ERR colibri_daemon_enable in rc.conf must be YES or NO",
        );
        has(&words, "exit 1");
        lacks(&words, "DAEMON");
    }
    // Stopping must always be possible.
    has(
        &bench.words("stop", "colibri_daemon_enable=maybe\n", "4242"),
        "KILL",
    );
}

#[test]
fn stop_signals_the_supervisor_and_waits_for_its_child_too() {
    let bench = Bench::new();
    let words = bench.words("stop", "", "4242");
    has(&words, "KILL -TERM 4242\nWAIT 4242 4343\n");
    has(&words, "exit 0");
    let words = bench.words("stop", "", "");
    has(&words, "is not running");
    has(&words, "exit 1");
    lacks(&words, "KILL");
}

#[test]
fn reload_reopens_the_log_and_says_what_it_does_not_do() {
    let bench = Bench::new();
    let words = bench.words("reload", "", "4242");
    has(&words, "KILL -HUP 4242\n");
    has(&words, "service colibri_daemon restart");
    has(&bench.words("reload", "", ""), "exit 1");
}

#[test]
fn health_is_the_daemons_own_answer() {
    let bench = Bench::new();
    let client = bench.path("client");
    let knob = format!("colibri_daemon_client={}\n", client.display());
    let answers = [
        ("echo \"ok socket $*\"", "ok socket --socket", "exit 0"),
        ("echo 'FAIL wal'; exit 1", "FAIL wal", "exit 1"),
        ("exit 0", "no answer on", "exit 1"),
    ];
    for (body, words, code) in answers {
        bench.write("client", &format!("#!/bin/sh\n{body}\n"), 0o755);
        let said = bench.words("health", &knob, "4242");
        has(&said, words);
        has(&said, code);
    }
}

#[test]
fn newsyslog_rotates_the_log_and_signals_the_supervisor() {
    let conf =
        include_str!("../../../../overlays/freebsd/usr/local/etc/newsyslog.conf.d/clawdie.conf");
    let log = "/var/log/colibri-daemon.log";
    has(SCRIPT, &format!("colibri_daemon_log:={log}}}\""));
    has(SCRIPT, "\npidfile=\"/var/run/${name}.pid\"\n");
    let words: Vec<&str> = conf
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|words| words.first() == Some(&log))
        .unwrap();
    // File, mode, count, size, time, flags, pid file; without a signal it is SIGHUP.
    assert_eq!(words.len(), 7, "{words:?}");
    assert_eq!(words[1], "600");
    assert_eq!(words[6], "/var/run/colibri_daemon.pid");
}

#[test]
fn the_script_is_clean_shell() {
    let bench = Bench::new();
    let checked = Command::new("sh")
        .arg("-n")
        .arg(bench.path("colibri_daemon"))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rc.d/colibri_daemon");
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
