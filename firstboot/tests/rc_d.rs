//! The FreeBSD services of first boot, run by this system's `sh` against a small `rc.subr` of our own that records
//! what the real one would be asked to do; and the place that their headers give them among the base's scripts.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

const SEED: &str = include_str!("../../rc.d/clawdie_seed");
const FIRSTBOOT: &str = include_str!("../../rc.d/clawdie_firstboot");
const DAEMON: &str = include_str!("../../rc.d/colibri_daemon");
const CONSOLE: &str = include_str!("../../overlays/freebsd/usr/local/libexec/clawdie-console");
const TTYS: &str = include_str!("../../overlays/freebsd/etc/ttys");

/// As much of rc.subr as the scripts lean on. Like the real one it looks at the switch before `start`, knows the
/// prefixes with which rc and people call, and lets `status` and `stop` through.
const RC_SUBR: &str = r#"
load_rc_config() { . "$HERE/rc.conf"; }
warn() { echo "WARN $*"; }
kill() { echo "KILL $*"; }
checkyesno() {
    eval "_value=\${$1}"
    case "$_value" in
    [Yy][Ee][Ss]|[Tt][Rr][Uu][Ee]|[Oo][Nn]|1) return 0 ;;
    *) return 1 ;;
    esac
}
run_rc_command() {
    _verb=${1#fast}
    _verb=${_verb#quiet}
    # `NAME_program` is what the real one, too, calls the knob for a service's program.
    eval "command=\${${name}_program:-}"
    if [ "$_verb" = start ] && ! checkyesno "$rcvar"; then echo "DISABLED"; return 0; fi
    eval "_cmd=\${${_verb}_cmd:-}"
    $_cmd
}
"#;

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    /// A bench where first boot ends with this exit code after printing on both outputs.
    fn new(code: i32) -> Self {
        let bench = Self {
            dir: tempfile::tempdir().expect("a temporary folder"),
        };
        bench.write("rc.subr", RC_SUBR, 0o644);
        let program = format!("#!/bin/sh\necho \"LOG $*\"\necho \"PROGRAM $*\" >&2\nexit {code}\n");
        bench.write("firstboot", &program, 0o755);
        bench.stub("pw", 0);
        bench.stub("motd", 0);
        // timeout(1) is the same here and there, as far as it is used.
        for (name, script) in [("clawdie_seed", SEED), ("clawdie_firstboot", FIRSTBOOT)] {
            let script = script
                .replace("/etc/rc.subr", &bench.path("rc.subr").to_string_lossy())
                .replace("/etc/rc.d/motd", &bench.path("motd").to_string_lossy());
            bench.write(name, &script, 0o755);
        }
        bench
    }

    /// A program that tells how it was called and ends with this exit code.
    fn stub(&self, name: &str, code: i32) {
        let text = format!(
            "#!/bin/sh\necho \"{} $*\"\nexit {code}\n",
            name.to_uppercase()
        );
        self.write(name, &text, 0o755);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).expect("written");
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(mode)).expect("set");
    }

    /// Everything that a verb of a script said, and how it ended. `boot`: called by rc, not by service(8).
    fn run(&self, script: &str, verb: &str, rc_conf: &str, boot: bool) -> String {
        let here = self.dir.path().display();
        let conf = format!("{script}_enable=YES\n{script}_program={here}/firstboot\n{rc_conf}");
        self.write("rc.conf", &conf, 0o644);
        let mut command = Command::new("sh");
        command
            .args([self.path(script), verb.into()])
            .env_clear()
            .env("PATH", format!("{here}:/usr/bin:/bin"))
            .env("HERE", self.dir.path());
        if boot {
            command.env("autoboot", "yes").env("RC_PID", "17");
        }
        let output = command.output().expect("a shell");
        format!(
            "{}{}exit {}\n",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            output.status.code().expect("an exit code"),
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
fn the_console_has_the_wizard_when_it_is_wanted_and_the_login_prompt_after_it() {
    let bench = Bench::new(0);
    bench.stub("getty", 0);
    bench.write("terminal", "", 0o644);
    let here = |name: &str| bench.path(name).to_string_lossy().into_owned();
    let script = CONSOLE
        .replace("/var/run/clawdie/wizard-wanted", &here("wanted"))
        .replace("/usr/local/bin/clawdie-firstboot", &here("firstboot"))
        .replace("/usr/libexec/getty", &here("getty"))
        .replace("/dev/$2", &here("terminal"));
    bench.write("console", &script, 0o755);
    let prompt = || {
        let mut command = Command::new(bench.path("console"));
        let output = command.args(["3wire", "ttyu0"]).output().expect("a shell");
        let shown = std::fs::read_to_string(bench.path("terminal")).expect("read");
        (String::from_utf8_lossy(&output.stdout).into_owned(), shown)
    };
    let getty = "GETTY 3wire ttyu0\n".to_owned();
    assert_eq!(prompt(), (getty.clone(), String::new()), "no file");
    bench.write("wanted", "", 0o600);
    assert_eq!(prompt(), (getty.clone(), String::new()), "an empty file");
    bench.write("wanted", "yes\n", 0o600);
    let (printed, shown) = prompt();
    assert_eq!(printed, getty);
    has(&shown, "PROGRAM wizard --console\n");
}

#[test]
fn nobody_logs_in_as_root_at_a_terminal() {
    let lines: Vec<Vec<&str>> = TTYS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').filter(|field| !field.is_empty()).collect())
        .collect();
    assert!(lines.len() > 10);
    for fields in lines {
        let [name, getty, kind, status] = fields[..] else {
            panic!("{fields:?}");
        };
        if name == "console" {
            assert_eq!((getty, status), ("none", "off secure"));
            continue;
        }
        let program = getty.trim_matches('"').split(' ').next().expect("a word");
        assert!(
            ["/usr/libexec/getty", "/usr/local/libexec/clawdie-console"].contains(&program),
            "{name}: {getty}"
        );
        assert!(["xterm", "vt100"].contains(&kind), "{name}: {kind}");
        assert!(["onifexists", "onifconsole"].contains(&status), "{name}");
    }
}

#[test]
fn the_seed_is_read_and_rc_told_to_read_its_configuration_anew() {
    let words = Bench::new(0).run("clawdie_seed", "faststart", "", true);
    assert_eq!(words, "KILL -ALRM 17\nPROGRAM run --phase early\nexit 0\n");
}

#[test]
fn service_by_hand_does_not_signal_itself() {
    let words = Bench::new(0).run("clawdie_seed", "start", "", false);
    assert_eq!(words, "PROGRAM run --phase early\nexit 0\n");
}

#[test]
fn faults_that_the_program_told_stop_no_boot_and_are_not_told_twice() {
    for code in [1, 3] {
        let bench = Bench::new(code);
        for (script, phase) in [("clawdie_seed", "early"), ("clawdie_firstboot", "late")] {
            let words = bench.run(script, "faststart", "", true);
            has(&words, &format!("PROGRAM run --phase {phase}\n"));
            has(&words, "exit 0");
            lacks(&words, "WARN");
            lacks(&words, "PW ");
        }
    }
}

#[test]
fn root_is_locked_even_when_the_program_is_missing_or_breaks() {
    let bench = Bench::new(134);
    let missing = "clawdie_seed_program=/no/such/program\n";
    for (conf, code) in [("", "134"), (missing, "127")] {
        let words = bench.run("clawdie_seed", "faststart", conf, true);
        has(&words, &format!("ended with {code}; nothing is set up\n"));
        has(&words, "PW lock root\nWARN root is locked\n");
        has(&words, "KILL -ALRM 17\n");
        has(&words, "exit 0");
    }
    // Locked already is fine; anything else is told for what it is.
    bench.stub("pw", 65);
    let words = bench.run("clawdie_seed", "faststart", missing, true);
    has(&words, "WARN root is locked\n");
    bench.stub("pw", 74);
    let words = bench.run("clawdie_seed", "faststart", missing, true);
    has(&words, "WARN root could not be locked");
    has(&words, "exit 0");
}

#[test]
fn the_late_half_is_bounded_and_renews_the_greeting() {
    let words = Bench::new(0).run("clawdie_firstboot", "faststart", "", true);
    assert_eq!(words, "MOTD quietstart\nPROGRAM run --phase late\nexit 0\n");
    // No `timeout`, no run: so it is there. What it says when time is up is told with the log's place.
    let words = Bench::new(124).run("clawdie_firstboot", "faststart", "", true);
    has(&words, "ended with 124; see /var/log/clawdie-firstboot.log");
    has(&words, "MOTD quietstart\n");
    has(&words, "exit 0");
    // FreeBSD's waits for the daemon that was started, and stops it with the rest, unless it is told not to.
    has(
        FIRSTBOOT,
        "timeout --foreground -k 10 900 \"$clawdie_firstboot_program\"",
    );
    // Stopping growfs half way would do harm.
    lacks(SEED, "\ttimeout ");
}

#[test]
fn nothing_runs_unless_rc_conf_says_so() {
    for script in ["clawdie_seed", "clawdie_firstboot"] {
        let bench = Bench::new(0);
        let words = bench.run(script, "faststart", &format!("{script}_enable=NO\n"), true);
        assert_eq!(words, "DISABLED\nexit 0\n");
        // Not set at all is off as well.
        let words = bench.run(
            script,
            "faststart",
            &format!("unset {script}_enable\n"),
            true,
        );
        assert_eq!(words, "DISABLED\nexit 0\n");
        let words = bench.run(script, "status", "", false);
        assert_eq!(words, "LOG status\nPROGRAM status\nexit 0\n");
    }
}

#[test]
fn the_scripts_are_clean_shell() {
    for name in ["clawdie_seed", "clawdie_firstboot", "colibri_daemon"] {
        let source = format!("{}/../rc.d/{name}", env!("CARGO_MANIFEST_DIR"));
        let checked = Command::new("sh")
            .args(["-n", &source])
            .output()
            .expect("a shell");
        assert!(checked.status.success(), "{checked:?}");
        match Command::new("shellcheck")
            .args(["-s", "sh", &source])
            .output()
        {
            Ok(checked) => {
                let words = String::from_utf8_lossy(&checked.stdout);
                assert!(checked.status.success(), "{words}");
            }
            Err(error) => println!("NOT CHECKED: shellcheck does not run here: {error}"),
        }
        let mode = std::fs::metadata(&source)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111, "rc runs executable files only");
    }
}

/// Header lines of FreeBSD 15.1's scripts in `libexec/rc/rc.d`: name, REQUIRE, BEFORE. Each provides its own name.
const BASE: &[(&str, &str, &str)] = &[
    ("fsck", "swap", ""),
    ("growfs", "fsck", "root"),
    ("root", "fsck", ""),
    ("sysctl", "", ""),
    ("hostid", "sysctl", ""),
    ("hostid_save", "hostid root", ""),
    ("mountcritlocal", "root hostid_save mdconfig", ""),
    ("zfs", "zfsbe", "FILESYSTEMS tmp var"),
    ("tmp", "mountcritlocal", ""),
    ("var", "mountcritlocal", ""),
    ("cleanvar", "var", "FILESYSTEMS"),
    ("FILESYSTEMS", "root mountcritlocal tmp var", ""),
    ("kldxref", "mountcritlocal", "netif"),
    ("kld", "kldxref", ""),
    ("devmatch", "kld", "netif"),
    ("adjkerntz", "FILESYSTEMS", "netif"),
    ("random", "FILESYSTEMS", "netif"),
    ("hostname", "FILESYSTEMS", "netif"),
    ("netif", "FILESYSTEMS iovctl serial sysctl hostid", ""),
    ("ldconfig", "FILESYSTEMS", "DAEMON"),
    ("devd", "netif ldconfig", "NETWORKING mountcritremote"),
    ("routing", "netif ppp stf", ""),
    ("pf", "FILESYSTEMS netif pflog pfsync routing", ""),
    ("nuageinit", "mountcritlocal zfs devmatch", "NETWORKING"),
    (
        "NETWORKING",
        "netif netwait netoptions routing ppp ipfw stf defaultroute route6d resolv bridge static_arp static_ndp",
        "",
    ),
    (
        "mountcritremote",
        "NETWORKING FILESYSTEMS ipsec netwait nfscbd",
        "",
    ),
    ("newsyslog", "FILESYSTEMS mountcritremote", ""),
    (
        "syslogd",
        "mountcritremote FILESYSTEMS newsyslog netif",
        "SERVERS",
    ),
    (
        "SERVERS",
        "mountcritremote sysvipc linux ldconfig savecore watchdogd",
        "",
    ),
    ("motd", "mountcritremote FILESYSTEMS", "LOGIN"),
    ("ntpd", "DAEMON ntpdate FILESYSTEMS devfs", "LOGIN"),
    ("DAEMON", "NETWORKING SERVERS", ""),
    ("LOGIN", "DAEMON", ""),
    ("sshd", "LOGIN FILESYSTEMS", ""),
    ("syscons", "LOGIN", ""),
];

/// What each script must come after, as rcorder(8) reads it: its own REQUIRE, and the BEFORE of others. A name that
/// nobody provides is left out, as there.
#[derive(Default)]
struct Order {
    after: BTreeMap<String, BTreeSet<String>>,
}

impl Order {
    fn of(scripts: &[&str]) -> Self {
        let mut order = Self::default();
        for (name, require, before) in BASE {
            order.add(name, require, before);
        }
        for script in scripts {
            let line = |keyword: &str| {
                script
                    .lines()
                    .filter_map(|line| line.strip_prefix(&format!("# {keyword}: ")))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            order.add(&line("PROVIDE"), &line("REQUIRE"), &line("BEFORE"));
        }
        order
    }

    fn add(&mut self, name: &str, require: &str, before: &str) {
        let own = self.after.entry(name.to_owned()).or_default();
        own.extend(require.split_whitespace().map(str::to_owned));
        for other in before.split_whitespace() {
            let other = self.after.entry(other.to_owned()).or_default();
            other.insert(name.to_owned());
        }
    }

    /// Everything that must have run before a script.
    fn before(&self, name: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![name];
        while let Some(next) = open.pop() {
            for earlier in self.after.get(next).into_iter().flatten() {
                if self.after.contains_key(earlier) && found.insert(earlier.clone()) {
                    open.push(earlier);
                }
            }
        }
        found
    }
}

#[test]
fn the_headers_give_the_order_that_first_boot_needs() {
    let order = Order::of(&[SEED, FIRSTBOOT, DAEMON]);
    for name in order.after.keys() {
        assert!(
            !order.before(name).contains(name),
            "{name} waits for itself"
        );
    }
    for (earlier, later) in [
        // Root is writable, /var/run emptied, drivers loaded, the random device fed.
        ("root", "clawdie_seed"),
        ("mountcritlocal", "clawdie_seed"),
        ("cleanvar", "clawdie_seed"),
        ("zfs", "clawdie_seed"),
        ("devmatch", "clawdie_seed"),
        ("random", "clawdie_seed"),
        // The kernel's rule for mdo(1) is asked for.
        ("sysctl", "clawdie_seed"),
        ("clawdie_seed", "hostname"),
        ("clawdie_seed", "netif"),
        ("clawdie_seed", "NETWORKING"),
        ("clawdie_seed", "pf"),
        ("clawdie_seed", "sshd"),
        ("clawdie_seed", "motd"),
        // It loads the keyboard's layout.
        ("clawdie_seed", "syscons"),
        ("clawdie_seed", "colibri_daemon"),
        ("NETWORKING", "clawdie_firstboot"),
        ("motd", "clawdie_firstboot"),
        ("sshd", "clawdie_firstboot"),
        ("colibri_daemon", "clawdie_firstboot"),
        ("clawdie_seed", "clawdie_firstboot"),
    ] {
        assert!(
            order.before(later).contains(earlier),
            "nothing puts {earlier} before {later}"
        );
    }
}

#[test]
fn each_line_of_the_headers_is_needed() {
    for (line, earlier, later) in [
        (
            "# BEFORE: hostname netif NETWORKING\n",
            "clawdie_seed",
            "sshd",
        ),
        (
            "# REQUIRE: FILESYSTEMS random devmatch\n",
            "cleanvar",
            "clawdie_seed",
        ),
        (
            "# REQUIRE: clawdie_seed NETWORKING LOGIN sshd colibri_daemon\n",
            "colibri_daemon",
            "clawdie_firstboot",
        ),
    ] {
        let without = |script: &str| script.replace(line, "");
        let (seed, firstboot) = (without(SEED), without(FIRSTBOOT));
        assert!(
            seed != SEED || firstboot != FIRSTBOOT,
            "no script has {line}"
        );
        let order = Order::of(&[&seed, &firstboot, DAEMON]);
        assert!(
            !order.before(later).contains(earlier),
            "{line} changes nothing"
        );
    }
}

#[test]
fn no_script_waits_for_the_sentinel_that_rc_deletes() {
    for script in [SEED, FIRSTBOOT, DAEMON] {
        let keywords: Vec<&str> = script
            .lines()
            .filter(|line| line.starts_with("# KEYWORD:"))
            .collect();
        assert!(!keywords.is_empty());
        assert!(
            !keywords.iter().any(|line| line.contains("firstboot")),
            "{keywords:?}"
        );
    }
}
