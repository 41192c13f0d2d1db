//! What starts the helper: the unit on Debian, the script on FreeBSD. Neither turns itself on.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use colibri_service::testing::{RcScript, has, is_clean_shell, lacks, systemd_accepts};

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
    // The program lies elsewhere in a test, and so may sysctl.
    let text = UNIT
        .replace("/usr/local/bin/colibri-hostd", PROGRAM)
        .replace("/usr/sbin/sysctl", "/bin/true");
    systemd_accepts("colibri-hostd.service", &text);
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

/// The script with the places of this bench.
struct Bench(RcScript);

impl Bench {
    fn new() -> Self {
        Self(RcScript::new("colibri_hostd", SCRIPT))
    }

    /// What the script says and how it ends, with these lines in `rc.conf`.
    fn words(&self, verb: &str, rc_conf: &str, pid: &str) -> String {
        let here = self.0.folder();
        let conf = format!(
            "colibri_hostd_enable=YES\ncolibri_hostd_account=root\n\
             colibri_hostd_socket={here}/run/hostd.sock\n{rc_conf}"
        );
        self.0.words(verb, &conf, pid)
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
    is_clean_shell(Path::new(source));
}
