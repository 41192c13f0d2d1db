//! Tenants in the booted image: from `setup.txt` and a vault to a task done in a jail; what cannot be reached from in
//! there; what is left when a program is killed, and when the vault says no.

// Tests all of it, also what is shared between them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clawdie_tests::hive::{
    FIRST, Hive, LIBRARY, LOGIN, SECOND, Seed, VARIABLE, Way, percentile, put,
};
use clawdie_tests::witness::{assert_only_bw_had_it, assert_unprivileged};
use clawdie_tests::{Aims, Answers, Canary, Disk, Entry, Owner, assert_held};
use colibri_model_server::{Script, Server};
use serde_json::{Value, json};

const SETTLED: &str = "systemctl is-system-running --wait; systemctl --failed --no-legend";
const VAULT_ENV: &str = "/etc/colibri/vault.env";
const LEFT: &str = include_str!("tenants/left.sh");
const WATCH: &str = include_str!("tenants/watch.sh");

/// The ports of listeners: on all addresses of the host, in each jail, and by AF_VSOCK.
const HOST_PORT: u16 = 7007;
const JAIL_PORT: u16 = 7008;
const VSOCK_PORT: u32 = 7009;

/// What the daemon and the other tenant may take for an answer, at most, in milliseconds, while one tenant does its
/// worst. A translated machine takes a hundred times what a real one does.
const RESPONSIVE: u64 = 5000;

fn home(tenant: &str) -> String {
    format!("/var/lib/machines/{tenant}/home/agent")
}

fn json_of(answers: &Answers, name: &str) -> Value {
    assert_eq!(answers.code(name), 0, "{name}: {}", answers.text(name));
    let text = answers.text(name);
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
}

/// The status of a tenant, as `list-tenants --json` has it.
fn status_of<'a>(listed: &'a Value, tenant: &str) -> &'a str {
    listed["tenants"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["tenant_id"] == tenant))
        .and_then(|one| one["status"].as_str())
        .unwrap_or_else(|| panic!("no tenant {tenant}: {listed}"))
}

const PROC_STATUS: &str = "cat /proc/$(systemctl show -P MainPID colibri-daemon)/status";

/// What a listener of one line of Perl is started with; it goes on when the session ends.
fn listen(enter: &str, program: &str) -> String {
    format!("{enter} perl -e '{program}' </dev/null >/dev/null 2>&1 &\n")
}

fn tcp_listener(family: &str) -> String {
    format!(
        "use Socket qw(:all); socket(my $l, {family}, SOCK_STREAM, 0) or die; \
         setsockopt($l, SOL_SOCKET, SO_REUSEADDR, 1); \
         bind($l, ADDRESS) or die; listen($l, 64) or die; while (accept(my $c, $l)) {{ close $c }}"
    )
}

/// Puts files with a mark where the host has its own, and starts listeners on it and in both jails.
fn set_the_scene(hive: &Hive) {
    let all = tcp_listener("AF_INET6").replace(
        "ADDRESS",
        &format!("pack_sockaddr_in6({HOST_PORT}, in6addr_any)"),
    );
    let inside = tcp_listener("AF_INET").replace(
        "ADDRESS",
        &format!("pack_sockaddr_in({JAIL_PORT}, INADDR_ANY)"),
    );
    // VMADDR_CID_ANY, vsock(7).
    let vsock = format!(
        "socket(my $l, 40, 1, 0) or die; bind($l, pack(\"SSLLx4\", 40, 0, {VSOCK_PORT}, 0xffffffff)) or die; \
         listen($l, 64) or die; while (accept(my $c, $l)) {{ close $c }}"
    );
    let mut script = String::from(
        "for folder in /etc /var/lib /root /home /tmp /run /srv /var/lib/colibri /etc/colibri; do
            echo of the host >$folder/host-marker
        done
        modprobe vsock_loopback\n",
    );
    script += &listen("setsid", &all);
    script += &listen("setsid", &vsock);
    for tenant in [FIRST, SECOND] {
        script += &listen(&format!("enter {tenant} 1000"), &inside);
    }
    // What is not there cannot be kept from anybody: all of it answers whom it should.
    writeln!(
        script,
        "sleep 5
        for address in 127.0.0.1 $(ip -4 -o addr show scope global | awk '{{ sub(\"/.*\", \"\", $4); print $4 }}'); do
            for port in 22 {HOST_PORT}; do
                timeout 20 bash -c \"exec 3<>/dev/tcp/$address/$port\" || echo \"no listener at $address $port\"
            done
        done
        perl -e 'socket(my $s, 40, 1, 0) or die; connect($s, pack(\"SSLLx4\", 40, 0, {VSOCK_PORT}, 1)) or die' ||
            echo 'no listener for AF_VSOCK'
        for tenant in {FIRST} {SECOND}; do
            enter $tenant 1000 timeout 20 bash -c 'exec 3<>/dev/tcp/127.0.0.1/{JAIL_PORT}' ||
                echo \"no listener in $tenant\"
        done"
    )
    .unwrap();
    let said = hive.run(&script);
    assert_eq!(said, "", "the scene is not set");
}

/// What each tenant tries at the other and at the host.
fn aims(hive: &Hive, server: &Server) -> [Aims; 2] {
    let address = |tenant| {
        format!(
            "enter {tenant} 0 ip -4 -o addr show scope global | awk '{{ sub(\"/.*\", \"\", $4); print $4 }}'"
        )
    };
    let facts = hive.root(&[
        ("first", &address(FIRST)),
        ("second", &address(SECOND)),
        (
            "host",
            "ip -o addr | awk '$2 != \"lo\" { sub(\"/.*\", \"\", $4); print $4 }' | sort -u",
        ),
        ("daemon", "systemctl show -P MainPID colibri-daemon"),
    ]);
    let of = |other: &str, name: &str| Aims {
        server: Hive::from_guest(server.address().port()),
        other: other.to_owned(),
        other_address: facts.text(name).to_owned(),
        other_port: JAIL_PORT,
        host_addresses: facts.text("host").lines().map(str::to_owned).collect(),
        host_port: HOST_PORT,
        vsock_port: VSOCK_PORT,
        daemon: facts.text("daemon").to_owned(),
        login: LOGIN.to_owned(),
    };
    [of(SECOND, "second"), of(FIRST, "first")]
}

/// Sends what the first tenant's agent asks of its provider to `server`, and starts it anew with that.
fn use_provider(hive: &Hive, server: &Server) {
    let base = format!("http://{}/v1", Hive::from_guest(server.address().port()));
    let models = json!({"providers": {"openrouter": {"baseUrl": base}}}).to_string();
    let home = home(FIRST);
    let file = format!("{home}/.pi/agent/models.json");
    hive.run(&format!(
        "set -e
        mkdir -p {home}/.pi/agent
        {}
        chown -R --reference={home} {home}/.pi
        systemctl restart colibri-daemon
        until colibri snapshot --json | grep -q '\"runtime\"'; do sleep 1; done",
        put(&file, &models)
    ));
}

/// Everything of tenants that the host has at this moment.
fn left(hive: &Hive) -> BTreeSet<String> {
    hive.run(LEFT).lines().map(str::to_owned).collect()
}

fn assert_nothing_left(hive: &Hive, before: &BTreeSet<String>, of: &str) {
    let after = left(hive);
    let more: Vec<_> = after
        .difference(before)
        .filter(|line| !line.ends_with("/host-marker"))
        .collect();
    assert!(more.is_empty(), "left of {of}: {more:#?}");
}

/// Registers and provisions the second tenant while root looks at every process for the way into the vault.
fn join_under_watch(hive: &Hive) {
    let mut prepare = String::from("mkdir -m 700 /run/watch\n");
    for (name, secret) in ["client-secret", "password"]
        .iter()
        .zip(hive.seed.bootstrap())
    {
        prepare += &put(&format!("/run/watch/secret-{name}"), secret.core());
    }
    prepare += &put("/run/watch/watch.sh", WATCH);
    hive.run(&prepare);
    let answers = hive.root_within(
        120,
        &[
            (
                "watch",
                "setsid sh /run/watch/watch.sh >/run/watch/seen 2>/dev/null </dev/null &",
            ),
            (
                "register",
                &format!("colibri register-tenant {SECOND} --memory-mib 256 --tasks 128"),
            ),
            ("provision", &format!("colibri provision-tenant {SECOND}")),
            ("list", "colibri list-tenants --json"),
            ("secrets", &format!("colibri list-secrets {SECOND}")),
            (
                "seen",
                "touch /run/watch/stop; sleep 5; cat /run/watch/seen",
            ),
        ],
    );
    for done in ["register", "provision", "secrets"] {
        assert_eq!(answers.code(done), 0, "{done}: {}", answers.text(done));
        hive.seed.assert_none_in(answers.text(done), done);
    }
    assert_eq!(status_of(&json_of(&answers, "list"), SECOND), "provisioned");
    assert!(answers.text("secrets").contains(VARIABLE));
    assert_only_bw_had_it(answers.text("seen"));
}

/// One tenant does its worst until a file is there; meanwhile the daemon and the other tenant answer in time.
fn assert_responsive(hive: &Hive, what: &str, worst: &str) -> Answers {
    let stop = format!("{}/stop", home(SECOND));
    let answers = hive.root_within(
        120,
        &[
            ("worst", &format!("rm -f {stop}; setsid {worst} >/run/worst 2>&1 </dev/null & sleep 5")),
            ("status", "milliseconds 40 colibri status --json"),
            (
                "other",
                &format!("pid=$(first {FIRST}); milliseconds 20 nsenter --target $pid --all true"),
            ),
            ("while", "pgrep -f '[w]orst-of-all'"),
            (
                "end",
                &format!("touch {stop}; while pgrep -f '[w]orst-of-all'; do sleep 1; done; tail -c 300 /run/worst"),
            ),
            ("tasks", &format!("cat /sys/fs/cgroup$(group {SECOND})/pids.events")),
            ("memory", &format!("cat /sys/fs/cgroup$(group {SECOND})/memory.events")),
            ("all", "cat /sys/fs/cgroup/colibri.slice/memory.max"),
            ("alive", &format!("enter {SECOND} 1000 echo alive")),
            ("settled", SETTLED),
        ],
    );
    for who in ["status", "other"] {
        let slowest =
            percentile(99, answers.text(who)).unwrap_or_else(|why| panic!("{what}: {who}: {why}"));
        println!("{what}: 99 of 100 answers of {who} within {slowest} ms");
        assert!(slowest < RESPONSIVE, "{what}: {who} took {slowest} ms");
    }
    assert_eq!(
        answers.code("while"),
        0,
        "the {what} had ended already: {}",
        answers.text("end")
    );
    assert_eq!(
        answers.text("alive"),
        "alive",
        "{what}: {}",
        answers.text("end")
    );
    assert_eq!(answers.text("settled"), "running", "{what}");
    // All tenants together leave something to the host, whatever each of them may take.
    let all = answers.text("all").parse::<u64>();
    assert!(all.is_ok(), "{all:?}: {}", answers.text("all"));
    answers
}

/// A counter of a control group's file of events.
fn events(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or_else(|| panic!("no {name}: {text}"))
}

fn do_the_worst(hive: &Hive) {
    let before = hive.root(&[("daemon", "systemctl show -P MainPID colibri-daemon")]);
    // `setsid` starts programs, not functions of the shell.
    hive.run("printf '. /run/jail.sh\\nenter \"$@\"\\n' >/run/enter.sh");
    hive.put("/run/jail.sh", LIBRARY);
    let worst = |program: &str| {
        format!("sh /run/enter.sh {SECOND} 1000 bash -c ': worst-of-all; cd; {program}'")
    };
    let bomb = worst("bomb() { while [ ! -e stop ]; do bomb & done; }; bomb");
    let after = assert_responsive(hive, "fork bomb", &bomb);
    assert!(
        events(after.text("tasks"), "max ") > 0,
        "{}",
        after.text("tasks")
    );
    let hog = worst("while [ ! -e stop ]; do tail -n 1 /dev/zero; done");
    let after = assert_responsive(hive, "memory hog", &hog);
    assert!(
        events(after.text("memory"), "oom_kill ") > 0,
        "{}",
        after.text("memory")
    );
    let same = hive.root(&[("daemon", "systemctl show -P MainPID colibri-daemon")]);
    assert_eq!(
        before.text("daemon"),
        same.text("daemon"),
        "the daemon did not live through it"
    );
}

/// What a person gets to read has no secret in it.
fn assert_nothing_told(hive: &Hive) {
    let told = hive.root(&[
        ("audit", "journalctl -u colibri-hostd --no-pager -o cat"),
        ("journal", "journalctl --no-pager -o export"),
        ("logs", "find /var/log /var/lib/colibri /var/lib/clawdie -type f ! -name '*.journal' -exec cat {} +"),
        ("commands", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
        ("motd", "cat /etc/motd"),
        ("tenants", "colibri list-tenants --json; colibri status --json; colibri snapshot --json"),
        (
            "environments",
            "for file in $(grep -las sk-or[-]v1 /proc/[0-9]*/environ); do \
             cat ${file%/environ}/cgroup 2>/dev/null; done | sort -u",
        ),
    ]);
    // Each request of the daemon to root has its line.
    let audit = told.text("audit");
    let is_told = |line: &str| line.contains("provision") && line.contains(FIRST);
    assert!(audit.lines().any(is_told), "{audit}");
    for place in ["journal", "logs", "commands", "motd", "tenants"] {
        assert!(!told.text(place).is_empty(), "{place} is empty");
        hive.seed.assert_none_in(told.text(place), place);
    }
    // A tenant's key is in its own jail and nowhere else.
    let groups = told.text("environments");
    assert!(!groups.is_empty(), "the agent has no key");
    for group in groups.lines() {
        assert!(
            group.contains(&format!("colibri-jail@{FIRST}.service")),
            "{groups}"
        );
    }
}

/// Every byte of the disk that holds a secret belongs to a file that is meant to.
fn assert_only_where_meant(disk: &Disk, seed: &Seed) {
    let setup = Owner::SeedFile("setup.txt".to_owned());
    let file = |path: &str| Owner::RootFile(path.to_owned());
    let env = |tenant| file(&format!("{}/.env", home(tenant)));
    let assert_in = |secret: &Canary, places: &[Owner], also: fn(&Owner) -> bool| {
        let found = secret.owners(disk);
        let astray: Vec<_> = found
            .iter()
            .filter(|owner| !places.contains(owner) && !also(owner))
            .map(Owner::to_string)
            .collect();
        assert!(
            astray.is_empty(),
            "the {} is in: {}",
            secret.name,
            astray.join(", ")
        );
        for place in places {
            assert!(
                found.contains(place),
                "the {} is not in {place}",
                secret.name
            );
        }
    };
    let vault = file(VAULT_ENV);
    assert_in(&seed.password, &[setup.clone(), vault.clone()], |_| false);
    // `bw` keeps the API key in clear in its own folder, and writes its file anew again and again.
    assert_in(&seed.client_secret, &[setup, vault], |owner| match owner {
        Owner::RootFile(path) => path.starts_with(BW_FOLDER),
        Owner::RootFree => true,
        _ => false,
    });
    assert_in(&seed.first, &[env(FIRST)], |_| false);
    // Its tenant has been removed; blocks that no file has are not wiped.
    assert_in(&seed.second, &[], |owner| *owner == Owner::RootFree);
    for (path, mode, uid) in [
        (VAULT_ENV.to_owned(), 0o600, Some(0)),
        (format!("{}/.env", home(FIRST)), 0o600, None),
    ] {
        let stat = disk.root_stat(&path).unwrap_or_else(|| panic!("no {path}"));
        assert_eq!(stat.mode, mode, "{path}");
        match uid {
            Some(uid) => assert_eq!(stat.uid, uid, "{path}"),
            // The agent of that jail: far from every account of the host.
            None => assert!(
                stat.uid >= 524_288 && stat.uid % 65_536 == 1000,
                "{path}: {}",
                stat.uid
            ),
        }
    }
}

/// `bw`'s own folder on the host.
const BW_FOLDER: &str = "/var/lib/colibri-vault/";

/// What the image is for, with tenants: the way into a vault typed into `setup.txt`, and an agent in a jail does a task with
/// the key from there. The task is to turn against the host.
#[test]
fn a_tenant_works_with_its_key_from_the_vault_and_gets_nowhere_else() {
    let hive = Hive::boot("tenants", Way::Open, "READY", &[]);
    let seed = &hive.seed;
    let first = hive.root(&[
        ("settled", SETTLED),
        ("list", "colibri list-tenants --json"),
        ("secrets", &format!("colibri list-secrets {FIRST}")),
        ("daemon", PROC_STATUS),
        ("vault", &format!("runuser -u colibri -- cat {VAULT_ENV}")),
        ("health", "colibri service-check"),
        ("skills", "colibri list-skills --json"),
    ]);
    assert_eq!(first.text("settled"), "running");
    assert_eq!(status_of(&json_of(&first, "list"), FIRST), "active");
    assert!(
        first.text("secrets").contains(VARIABLE),
        "{}",
        first.text("secrets")
    );
    assert_unprivileged(first.text("daemon"));
    assert_ne!(
        first.code("vault"),
        0,
        "the daemon's account can read {VAULT_ENV}"
    );
    assert_eq!(first.code("health"), 0, "{}", first.text("health"));
    let skills = json_of(&first, "skills");
    assert_eq!(skills["skills"][0]["name"], "mother", "{skills}");
    assert_eq!(
        skills["findings"].as_array().map_or(0, Vec::len),
        0,
        "{skills}"
    );

    let script = Script {
        tool: "bash".to_owned(),
        arguments: json!({"command":
            // The last is what must not be found in the host's sessions and logs.
            "cd; uname -s >system.txt; sh attempts.sh >attempts.txt 2>&1; wc -c <.env >own.txt; cat .env"}),
        text: "Nobody is at home.".to_owned(),
        key: Some(seed.first.value.clone()),
        ..Script::default()
    };
    let said = script.text.clone();
    let server = Server::start("127.0.0.1:0", script).unwrap();
    use_provider(&hive, &server);
    let before = left(&hive);
    join_under_watch(&hive);
    set_the_scene(&hive);

    let [of_first, of_second] = aims(&hive, &server);
    let home = home(FIRST);
    let mut prepare = put(
        &format!("{home}/attempts.sh"),
        &of_first.script(Entry::Helper),
    );
    prepare += &put("/run/of-first.sh", &of_first.script(Entry::Test));
    prepare += &put("/run/of-second.sh", &of_second.script(Entry::Test));
    prepare += &format!("chown --reference={home} {home}/attempts.sh");
    hive.run(&prepare);
    let created = hive.root(&[("task", "colibri create-task --title 'Look around' --json")]);
    let task = json_of(&created, "task")["id"].clone();
    let task = task.as_str().unwrap();
    let try_as = |tenant, uid, list| format!("enter {tenant} {uid} sh -s </run/{list}.sh");
    let tried = hive.root_within(
        120,
        &[
            ("first-root", &try_as(FIRST, 0, "of-first")),
            ("second-agent", &try_as(SECOND, 1000, "of-second")),
            ("second-root", &try_as(SECOND, 0, "of-second")),
            (
                "done",
                &format!("until colibri get-task {task} --json | grep -qE '\"status\": *\"(done|failed)\"'; do sleep 1; done"),
            ),
            ("task", &format!("colibri get-task {task} --json")),
            ("made", &format!("cat {home}/system.txt")),
            ("own", &format!("wc -c <{home}/.env | cmp - {home}/own.txt")),
            ("first-agent", &format!("cat {home}/attempts.txt")),
        ],
    );
    let details = json_of(&tried, "task");
    assert_eq!(details["task"]["status"], "done", "{details}");
    assert_eq!(details["task"]["result"], said, "{details}");
    assert_eq!(tried.text("made"), "Linux");
    assert_eq!(tried.code("own"), 0, "{}", tried.text("own"));
    let asked = server.asked();
    let keys: BTreeSet<_> = asked
        .iter()
        .filter(|one| one.path.ends_with("/chat/completions"))
        .map(|one| one.key.as_deref())
        .collect();
    assert_eq!(keys, BTreeSet::from([Some(&*seed.first.value)]));
    assert_held(&[
        (
            "agent of the first, told by a model",
            tried.text("first-agent"),
        ),
        ("root in the first", tried.text("first-root")),
        ("agent of the second", tried.text("second-agent")),
        ("root in the second", tried.text("second-root")),
    ]);

    do_the_worst(&hive);
    assert_unprivileged(hive.root(&[("daemon", PROC_STATUS)]).text("daemon"));
    assert_nothing_told(&hive);
    hive.run(&format!("colibri remove-tenant {SECOND} --destroy"));
    assert_nothing_left(&hive, &before, SECOND);
    let (disk, seed) = hive.power_off();
    let report = String::from_utf8(disk.seed_file("RESULT.txt").unwrap()).unwrap();
    assert!(report.contains(FIRST), "{report}");
    seed.assert_none_in(&report, "RESULT.txt");
    assert_only_where_meant(&disk, &seed);
}

/// How many times something is killed.
const KILLS: usize = 30;

/// What is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Daemon,
    Helper,
    Bw,
}

/// Lines of shell that kill it in the middle of a chain that takes so many milliseconds undisturbed: the point is one of
/// so many, from 0. Of `bw`, which is started several times, it is one start or another.
fn kill(victim: Victim, point: usize, of: usize, whole: u64) -> String {
    let later = whole * (2 * point as u64 + 1) / (2 * of as u64);
    let unit = match victim {
        Victim::Daemon => "colibri-daemon",
        Victim::Helper => "colibri-hostd",
        Victim::Bw => {
            return format!(
                "left={} seen=
                while [ $left -gt 0 ] && kill -0 $chain 2>/dev/null; do
                    for pid in $(pgrep -f '[b]w[.]js'); do
                        case \" $seen \" in
                        *\" $pid \"*) ;;
                        *) seen=\"$seen $pid\" left=$((left - 1))
                            [ $left -gt 0 ] || {{ sleep 0.{}; kill -KILL $pid && echo 'killed bw'; }} ;;
                        esac
                    done
                    sleep 0.1
                done",
                point % 6 + 1,
                point,
            );
        }
    };
    format!(
        "sleep {}.{:03}; systemctl kill --signal=KILL --kill-whom=main {unit} && echo 'killed {unit}'",
        later / 1000,
        later % 1000
    )
}

/// Registers a tenant and provisions it while something is killed; then once more, and nobody kills.
fn kill_and_go_on(hive: &Hive, tenant: &str, kill: &str, before: &BTreeSet<String>) {
    let chain = format!("colibri register-tenant {tenant} && colibri provision-tenant {tenant}");
    let answers = hive.root_within(
        240,
        &[
            (
                "killed",
                &format!("( {chain} ) >/run/chain 2>&1 & chain=$!\n{kill}\nwait $chain; echo \"chain: $?\"; cat /run/chain"),
            ),
            (
                "back",
                "systemctl reset-failed; until systemctl is-active --quiet colibri-hostd && \
                 systemctl is-active --quiet colibri-daemon && colibri status >/dev/null 2>&1; do sleep 1; done",
            ),
            ("again", &chain),
            ("list", "colibri list-tenants --json"),
            ("secrets", &format!("colibri list-secrets {tenant}")),
            ("env", &format!("stat -c %a {0}/.env; grep -c . {0}/.env; ls -A {0}", home(tenant))),
            ("jail", &format!("enter {tenant} 1000 echo alive")),
            ("others", "enter ember 1000 echo alive"),
            ("remove", &format!("colibri remove-tenant {tenant} --destroy")),
        ],
    );
    let said = answers.text("killed");
    println!("{tenant}: {}", said.replace('\n', " | "));
    for done in ["again", "secrets", "remove"] {
        assert_eq!(
            answers.code(done),
            0,
            "{tenant}: {said}\n{done}: {}",
            answers.text(done)
        );
    }
    let status = json_of(&answers, "list");
    assert_eq!(
        status_of(&status, tenant),
        "provisioned",
        "{tenant}: {said}"
    );
    assert!(answers.text("secrets").contains(VARIABLE), "{tenant}");
    let env: Vec<_> = answers.text("env").lines().collect();
    assert_eq!(env[0], "600", "{tenant}");
    let strays = env.iter().filter(|name| name.starts_with(".env")).count();
    assert_eq!(strays, 1, "{tenant}: half-written files: {env:?}");
    for jail in ["jail", "others"] {
        assert_eq!(answers.text(jail), "alive", "{tenant}: {said}");
    }
    assert_nothing_left(hive, before, tenant);
}

/// The daemon, the root helper and the vault's client are killed at thirty points of the way from a registration to
/// secrets in a jail.
#[test]
#[ignore = "an hour and a half: with `cargo xtask test --all`"]
fn whatever_is_killed_the_next_run_converges_and_nothing_is_left() {
    let tenants: Vec<_> = (0..=KILLS).map(|number| format!("k{number}")).collect();
    let hive = Hive::boot("tenants-killed", Way::Open, "READY", &tenants);
    let before = left(&hive);
    kill_and_go_on(&hive, &tenants[KILLS], "echo 'killed nothing'", &before);
    let timed = hive.root_within(
        120,
        &[
            ("time", &format!("milliseconds 1 sh -c 'colibri register-tenant {0} && colibri provision-tenant {0}'", tenants[KILLS])),
            ("remove", &format!("colibri remove-tenant {} --destroy", tenants[KILLS])),
        ],
    );
    let whole = percentile(99, timed.text("time")).unwrap();
    println!("from registration to secrets: {whole} ms");
    for (number, tenant) in tenants[..KILLS].iter().enumerate() {
        let victim = [Victim::Daemon, Victim::Helper, Victim::Bw][number % 3];
        kill_and_go_on(
            &hive,
            tenant,
            &kill(victim, number / 3, KILLS / 3, whole),
            &before,
        );
    }
    assert_nothing_told(&hive);
    hive.power_off();
}

/// A first boot whose vault does not open: told with what to do, no agent runs, and the host can be reached.
fn assert_refused(name: &str, way: Way, says: [&str; 2]) -> Hive {
    let hive = Hive::boot(name, way, "SET UP, WITH FAULTS", &[]);
    let answers = hive.root(&[
        ("list", "colibri list-tenants --json"),
        ("snapshot", "colibri snapshot --json"),
        (
            "agents",
            "pgrep -a -x pi || pgrep -a -f '[p]i-coding-agent'",
        ),
        ("env", &format!("cat {}/.env", home(FIRST))),
        ("status", "colibri status"),
    ]);
    let listed = json_of(&answers, "list");
    // What may pass by itself, the daemon tries again.
    let status = status_of(&listed, FIRST);
    assert!(
        status == "failed" || (way == Way::Unreachable && status == "provisioning"),
        "{listed}"
    );
    let reason = listed["tenants"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(says[0]), "{reason}");
    assert!(
        answers.text("status").contains(FIRST),
        "{}",
        answers.text("status")
    );
    assert_ne!(answers.code("agents"), 0, "{}", answers.text("agents"));
    assert_ne!(answers.code("env"), 0, "there is an .env without a vault");
    let panes = &json_of(&answers, "snapshot")["panes"];
    assert_eq!(panes.as_array().map(Vec::len), Some(0), "{panes}");
    hive
}

fn assert_report(disk: &Disk, seed: &Seed, says: [&str; 2]) {
    let report = String::from_utf8(disk.seed_file("RESULT.txt").unwrap()).unwrap();
    // Lines are broken for people.
    let flat = report.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in says {
        assert!(flat.contains(text), "RESULT.txt lacks {text:?}: {report}");
    }
    seed.assert_none_in(&report, "RESULT.txt");
}

#[test]
#[ignore = "a boot of its own: with `cargo xtask test --all`"]
fn a_wrong_master_password_is_told_and_once_mended_the_secrets_come() {
    let says = [
        "does not open the vault",
        "put the master password of the host's account into vault.env",
    ];
    let hive = assert_refused("tenants-wrong-password", Way::WrongPassword, says);
    let password = &hive.seed.password.value;
    let mut mend = put("/run/mend.sed", &format!("s/{password}x/{password}/"));
    writeln!(
        mend,
        "sed -i -f /run/mend.sed {VAULT_ENV}; chmod 0600 {VAULT_ENV}"
    )
    .unwrap();
    hive.run(&mend);
    let answers = hive.root_within(
        120,
        &[
            ("provision", &format!("colibri provision-tenant {FIRST}")),
            ("secrets", &format!("colibri list-secrets {FIRST}")),
            ("told", "colibri list-tenants --json"),
        ],
    );
    assert_eq!(
        answers.code("provision"),
        0,
        "{}",
        answers.text("provision")
    );
    assert!(answers.text("secrets").contains(VARIABLE));
    let listed = json_of(&answers, "told");
    assert!(
        matches!(status_of(&listed, FIRST), "provisioned" | "active"),
        "{listed}"
    );
    let (disk, seed) = hive.power_off();
    assert_report(&disk, &seed, says);
}

#[test]
#[ignore = "a boot of its own: with `cargo xtask test --all`"]
fn a_vault_that_nobody_reaches_is_told_and_no_agent_runs() {
    let says = ["cannot be reached", "look after the network and the server"];
    let hive = assert_refused("tenants-unreachable", Way::Unreachable, says);
    let (disk, seed) = hive.power_off();
    assert_report(&disk, &seed, says);
}
