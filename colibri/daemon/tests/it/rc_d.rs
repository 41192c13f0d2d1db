//! The FreeBSD service script, run against a small `rc.subr` of our own.

use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use colibri_service::testing::{RcScript, has, is_clean_shell, lacks};

use crate::harness::set_mode;

const SCRIPT: &str = include_str!("../../../../rc.d/colibri_daemon");

/// The script with the places of this bench.
struct Bench(RcScript);

impl Bench {
    fn new() -> Self {
        Self(RcScript::new("colibri_daemon", SCRIPT))
    }

    /// Runs the script with these lines in `rc.conf` besides the places of
    /// this bench. The service account is ours, for only root can use another.
    fn words(&self, verb: &str, rc_conf: &str, pid: &str) -> String {
        let id = |flag| {
            let output = Command::new("id").arg(flag).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let here = self.folder();
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
        self.0.words(verb, &conf, pid)
    }
}

impl Deref for Bench {
    type Target = RcScript;

    fn deref(&self) -> &RcScript {
        &self.0
    }
}

#[test]
fn start_makes_the_directories_and_hands_the_daemon_to_its_supervisor() {
    let bench = Bench::new();
    let words = bench.words("start", "", "");
    let here = bench.folder();
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
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rc.d/colibri_daemon");
    is_clean_shell(Path::new(source));
}
