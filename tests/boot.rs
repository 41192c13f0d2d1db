//! The image, booted in QEMU: with a good seed, again, with a bad one, from other hardware.

// Tests all of it, also what is shared between them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use clawdie_image::qemu::{Attach, Firmware, Machine, Network};
use clawdie_tests::{Answers, Built, Canary, Disk, Guest, KeyPair, Owner};
use colibri_model_server::{CALL, Script, Server, WORDS};
use serde_json::{Value, json};

const LOGIN: &str = "ada";
const HOST: &str = "hive-test";
const PROVIDER_ENV: &str = "/etc/colibri/provider.env";
/// `running` when every unit came up; else the names of those that did not.
const SETTLED: &str = "systemctl is-system-running --wait; systemctl --failed --no-legend";
const JOURNAL: &str = "/var/lib/clawdie/journal";

/// What an operator types in, with secrets that can be searched for.
struct Seed {
    provider: Canary,
    telegram: Canary,
    password: Canary,
    key: KeyPair,
}

impl Seed {
    fn new(disk: &Disk) -> Self {
        Self {
            provider: Canary::new("provider's key", "sk-or-v1-", 64),
            telegram: Canary::new("Telegram token", "123456789:", 35),
            password: Canary::new("operator's password", "Pw-", 24),
            key: KeyPair::generate(disk.folder()),
        }
    }

    fn secrets(&self) -> [&Canary; 3] {
        [&self.provider, &self.telegram, &self.password]
    }

    fn text(&self) -> String {
        format!(
            "# typed in Notepad\r\n\
             OPENROUTER_API_KEY={}\r\n\
             TELEGRAM_BOT_TOKEN = {}\r\n\
             TELEGRAM_ADMIN_ID=987654321\r\n\
             ASSISTANT_NAME=Ada Löwe\r\n\
             HOSTNAME={HOST}\r\n\
             TIMEZONE=Europe/Ljubljana\r\n\
             OPERATOR_USER={LOGIN}\r\n\
             SSH_AUTHORIZED_KEY=\"{}\"\r\n\
             CLAWDIE_USER_PASSWORD={}\r\n",
            self.provider.value, self.telegram.value, self.key.public, self.password.value,
        )
    }

    /// No secret in a text that anybody may come to read.
    fn assert_none_in(&self, bytes: &[u8], place: &str) {
        for secret in self.secrets() {
            secret.assert_not_in(bytes, place);
        }
    }

    /// Every byte of the disk that holds a secret belongs to a file that is meant to.
    fn assert_only_where_meant(&self, disk: &Disk) {
        let setup = Owner::SeedFile("setup.txt".to_owned());
        let env = Owner::RootFile(PROVIDER_ENV.to_owned());
        for (secret, places) in [
            (&self.provider, BTreeSet::from([setup.clone(), env.clone()])),
            (&self.telegram, BTreeSet::from([setup.clone(), env])),
            (&self.password, BTreeSet::from([setup])),
        ] {
            let found = secret.owners(disk);
            let listed: Vec<_> = found.iter().map(Owner::to_string).collect();
            assert!(
                found.is_subset(&places) && !found.is_empty(),
                "the {} is in: {}",
                secret.name,
                listed.join(", ")
            );
        }
    }
}

/// A stick that is bigger than its image, as all are.
fn stick() -> Disk {
    let disk = Disk::copy_of(&Built::get());
    disk.grow_by(512);
    disk
}

fn result(disk: &Disk) -> String {
    let bytes = disk
        .seed_file("RESULT.txt")
        .expect("RESULT.txt on the seed");
    let text = String::from_utf8(bytes).unwrap();
    assert!(
        !text.replace("\r\n", "").contains('\n'),
        "Notepad wants CRLF: {text}"
    );
    text
}

#[test]
fn a_good_seed_sets_up_a_host_once() {
    let disk = stick();
    let seed = Seed::new(&disk);
    disk.put_seed("setup.txt", seed.text().as_bytes());
    let before = disk.partition("rootfs").len >> 20;

    let mut guest = Guest::start(&disk, Attach::UsbStick, Firmware::Uefi, "good-seed");
    guest.wait_for_report("READY");
    guest.wait_for_login();
    let own = format!("/proc/{}", guest.process_id());
    for file in ["cmdline", "environ"] {
        let bytes = fs_err::read(format!("{own}/{file}")).unwrap();
        seed.assert_none_in(&bytes, "QEMU's command line or environment");
    }

    let answers = guest.ask(
        &seed.key,
        LOGIN,
        &seed.password.value,
        &[
            ("settled", SETTLED),
            ("host", "hostname; cat /etc/hostname"),
            ("zone", "readlink /etc/localtime"),
            ("motd", "cat /etc/motd"),
            ("status", "colibri status --json"),
            (
                "daemon",
                "stat -c %U /proc/$(systemctl show -P MainPID colibri-daemon)",
            ),
            ("enabled", "systemctl is-enabled colibri-daemon"),
            ("shadow", "root 'grep -E \"^(root|ada):\" /etc/shadow'"),
            ("size", "df --output=size --block-size=1M / | tail -1"),
            ("commands", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
            (
                "environments",
                // A pattern that does not match the command line of the search itself.
                "root 'for file in $(grep -las sk-or[-]v1 /proc/[0-9]*/environ); do \
                 cat ${file%/environ}/cgroup 2>/dev/null; done | sort -u'",
            ),
            ("wholog", "root 'journalctl --no-pager -o export'"),
            ("firstboot", "root 'cat /var/log/clawdie-firstboot.log'"),
            ("listing", "root 'ps -eww -o pid,user,args'"),
        ],
    );
    assert_eq!(answers.text("settled"), "running");
    assert_eq!(answers.text("host"), format!("{HOST}\n{HOST}"));
    assert!(answers.text("zone").ends_with("/Europe/Ljubljana"));
    assert!(answers.text("motd").contains(HOST));
    let status: serde_json::Value = serde_json::from_str(answers.text("status")).unwrap();
    assert_eq!(status["database"]["journal_mode"], "wal", "{status}");
    assert_eq!(answers.text("daemon"), "colibri");
    assert_eq!(answers.text("enabled"), "enabled");
    // The key that was typed in reaches the daemon and its agent, and no other program.
    assert_eq!(
        answers.text("environments"),
        "0::/system.slice/colibri-daemon.service"
    );
    let size: u64 = answers.text("size").trim().parse().unwrap();
    assert!(
        size > before + 400,
        "{before} MiB of root have become {size}"
    );
    assert!(
        answers.text("shadow").contains("root:!*:"),
        "{}",
        answers.text("shadow")
    );
    assert!(
        answers.text("shadow").contains("ada:$y$"),
        "{}",
        answers.text("shadow")
    );
    for place in [
        "commands",
        "wholog",
        "firstboot",
        "listing",
        "motd",
        "status",
    ] {
        assert!(!answers.text(place).is_empty(), "{place} is empty");
        seed.assert_none_in(answers.text(place).as_bytes(), place);
    }

    assert_eq!(guest.offered_methods(LOGIN), "publickey");
    let refused = guest.try_login(&seed.key, "root");
    assert!(!refused.status.success(), "root got in");
    let why = &refused.complaints;
    assert!(why.contains("Permission denied (publickey)"), "{why}");
    let fingerprint = guest.host_fingerprint();
    let console = guest.console_text();
    seed.assert_none_in(console.as_bytes(), "what the console shows");
    guest.power_off();

    disk.assert_sound();
    let report = result(&disk);
    assert!(
        report.contains(HOST) && report.contains(&fingerprint),
        "{report}"
    );
    seed.assert_none_in(report.as_bytes(), "RESULT.txt");
    let env = disk.root_stat(PROVIDER_ENV).expect("the provider's file");
    assert_eq!((env.mode, env.uid, env.gid), (0o600, 0, 0));
    assert!(disk.root_text(PROVIDER_ENV).contains(&seed.provider.value));
    assert_eq!(disk.root_text("/etc/hostname").trim(), HOST);
    assert!(disk.root_text("/etc/shadow").contains("root:!*:"));
    seed.assert_only_where_meant(&disk);

    // Again, with nothing changed.
    let journal = disk.root_file(JOURNAL).expect("the journal");
    let seed_bytes = disk.bytes_of("CLAWDIE-SEED");
    let mut guest = Guest::start(&disk, Attach::UsbStick, Firmware::Uefi, "good-seed-again");
    guest.wait_for_login();
    let answers = guest.ask(
        &seed.key,
        LOGIN,
        "",
        &[("settled", SETTLED), ("status", "colibri status --json")],
    );
    assert_eq!(answers.text("settled"), "running");
    assert_eq!(answers.code("status"), 0, "{}", answers.text("status"));
    guest.power_off();
    assert_eq!(disk.root_file(JOURNAL).unwrap(), journal);
    assert!(
        disk.bytes_of("CLAWDIE-SEED") == seed_bytes,
        "the seed changed: {}",
        disk.seed_listing()
    );
}

/// The lines of a seed with a fault in nearly each, and what the report must say of it.
fn faults(secret: &Canary, root: &Canary) -> Vec<(String, &'static str)> {
    vec![
        (
            "OPENROUTER_API_KEY=<paste here>".into(),
            "line 1, column 20",
        ),
        (
            format!("TELEGRAM_BOT_TOKEN={}", secret.value),
            "line 2, column 20",
        ),
        ("TELEGRAM_ADMIN_ID=@ada".into(), "line 3, column 19"),
        ("TIMEZONE=Europe/Nowhere".into(), "line 4, column 10"),
        ("HOSTNAME=one".into(), "line 5"),
        ("HOSTNAME=two".into(), "line 6"),
        (format!("ROOT_PASSWORD={}", root.value), "line 7"),
        (
            "ASSISTANT_NAME=\u{201c}Ada\u{201d}".into(),
            "line 8, column 16",
        ),
    ]
}

/// Started by BIOS, so that this way in is seen as well.
#[test]
fn a_bad_seed_sets_up_nothing_and_names_every_fault() {
    let disk = stick();
    let secret = Canary::new("misplaced key", "sk-or-v1-", 64);
    let root = Canary::new("root password", "Pw-", 24);
    let faults = faults(&secret, &root);
    let lines: Vec<_> = faults.iter().map(|(line, _)| line.as_str()).collect();
    disk.put_seed("setup.txt", lines.join("\n").as_bytes());

    let mut guest = Guest::start(&disk, Attach::UsbStick, Firmware::Bios, "bad-seed");
    guest.wait_for_report("NOT SET UP");
    guest.leave_wizard();
    assert_eq!(guest.offered_methods("root"), "publickey");
    let console = guest.console_text();
    guest.power_off();

    disk.assert_sound();
    let report = result(&disk);
    for (place, told) in [("RESULT.txt", &report), ("the console", &console)] {
        for (line, expected) in &faults {
            let key = line.split('=').next().unwrap();
            assert!(
                told.contains(expected),
                "{place} does not name {expected}: {told}"
            );
            assert!(told.contains(key), "{place} does not name {key}: {told}");
        }
        for canary in [&secret, &root] {
            canary.assert_not_in(told.as_bytes(), place);
        }
    }
    let setup = BTreeSet::from([Owner::SeedFile("setup.txt".to_owned())]);
    for canary in [&secret, &root] {
        assert_eq!(
            canary.owners(&disk),
            setup,
            "the {} has wandered",
            canary.name
        );
    }

    assert!(disk.root_text("/etc/shadow").contains("root:!*:"));
    let people: Vec<String> = disk
        .root_text("/etc/passwd")
        .lines()
        .filter(|line| {
            let uid: u32 = line.split(':').nth(2).unwrap().parse().unwrap();
            (1000..60000).contains(&uid)
        })
        .map(str::to_owned)
        .collect();
    assert_eq!(people, Vec::<String>::new());
    assert!(disk.root_file(PROVIDER_ENV).is_none());
    let wants = "/etc/systemd/system/multi-user.target.wants";
    assert!(
        disk.root_stat(&format!("{wants}/colibri-daemon.service"))
            .is_none()
    );
    assert!(disk.root_stat("/var/lib/colibri/colibri.sqlite").is_none());
}

/// The seed as Notepad's "Unicode" with Windows' hidden endings leaves it: UTF-16, `setup.txt.txt`;
/// the machine as PCs are sold: NVMe, Secure Boot.
#[test]
fn an_nvme_drive_with_secure_boot_is_set_up_from_a_seed_in_utf_16() {
    let disk = stick();
    let seed = Seed::new(&disk);
    let text = format!(
        "\u{feff}OPENROUTER_API_KEY={}\r\nTELEGRAM=none\r\nASSISTANT_NAME=Ada Byron\r\n\
         SSH_AUTHORIZED_KEY={}\r\n",
        seed.provider.value, seed.key.public
    );
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    disk.remove_seed("setup.txt");
    disk.put_seed("setup.txt.txt", &wide);

    let mut guest = Guest::start(&disk, Attach::Nvme, Firmware::SecureUefi, "nvme");
    guest.wait_for_report("READY");
    guest.wait_for_login();
    let answers = guest.ask(
        &seed.key,
        "clawdie",
        "",
        &[
            ("settled", SETTLED),
            ("host", "hostname"),
            ("root", "sudo -n id -u"),
            ("disk", "findmnt -no SOURCE /"),
            // Four bytes of attributes, then the value.
            (
                "secure",
                "od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-*",
            ),
            ("health", "colibri service-check"),
        ],
    );
    guest.power_off();
    assert_eq!(answers.text("settled"), "running");
    assert_eq!(answers.text("host"), "ada-byron");
    assert_eq!(answers.text("root"), "0");
    assert!(answers.text("disk").starts_with("/dev/nvme0n1p"));
    assert_eq!(answers.text("secure").trim(), "1");
    assert_eq!(answers.code("health"), 0, "{}", answers.text("health"));
    let env = Owner::RootFile(PROVIDER_ENV.to_owned());
    let setup = Owner::SeedFile("setup.txt.txt".to_owned());
    assert_eq!(seed.provider.owners(&disk), BTreeSet::from([setup, env]));
}

/// Sends what the agent asks of its provider to `server`: the guest reaches the host's loopback as 10.0.2.2.
fn provider(server: &Server) -> String {
    let base = format!("http://10.0.2.2:{}/v1", server.address().port());
    let models = json!({"providers": {"openrouter": {"baseUrl": base}}}).to_string();
    format!(
        "root \"set -e
        home=/var/lib/colibri/agents/pi/.pi/agent
        install -d -o colibri -g colibri -m 0700 \\$home
        printf %s '{}' > \\$home/models.json
        chown -R colibri:colibri /var/lib/colibri/agents
        systemctl restart colibri-daemon\"",
        models.replace('"', "\\\"")
    )
}

fn json_of(answers: &Answers, name: &str) -> Value {
    assert_eq!(answers.code(name), 0, "{name}: {}", answers.text(name));
    let text = answers.text(name);
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
}

/// What the image is for: a key typed into `setup.txt`, and the agent inside does a task with it. Then the
/// board from start to stop, as an operator goes through it.
#[test]
fn the_agent_of_the_image_does_a_task_with_the_key_from_the_seed() {
    let disk = stick();
    let seed = Seed::new(&disk);
    disk.put_seed("setup.txt", seed.text().as_bytes());
    let script = Script {
        tool: "bash".to_owned(),
        arguments: json!({"command": "uname -s > system.txt"}),
        text: "This host runs Linux.".to_owned(),
        key: Some(seed.provider.value.clone()),
        ..Script::default()
    };
    let said = script.text.clone();
    let server = Server::start("127.0.0.1:0", script).unwrap();
    let machine = Machine {
        network: Network::Outside,
        ..Guest::machine(&disk)
    };
    let mut guest = Guest::switch_on(&machine, &disk, "agent");
    guest.wait_for_report("READY");
    guest.wait_for_login();
    let ask = |questions: &[(&'static str, &str)]| {
        guest.ask(&seed.key, LOGIN, &seed.password.value, questions)
    };

    let before = ask(&[
        ("settled", SETTLED),
        ("provider", &provider(&server)),
        ("status", "colibri status --json"),
        (
            "snapshot",
            "until colibri snapshot --json | grep -q '\"runtime\"'; do sleep 1; done; \
             colibri snapshot --json",
        ),
        (
            "create",
            "colibri create-task --title 'What system is this?' --json",
        ),
        ("list", "colibri list-tasks --json"),
    ]);
    assert_eq!(before.text("settled"), "running");
    assert_eq!(before.code("provider"), 0, "{}", before.text("provider"));
    let status = json_of(&before, "status");
    assert_eq!(status["database"]["journal_mode"], "wal", "{status}");
    let panes = &json_of(&before, "snapshot")["panes"];
    assert_eq!(panes.as_array().map(Vec::len), Some(1), "{panes}");
    assert_eq!(panes[0]["runtime"], "pi", "{panes}");
    let task = json_of(&before, "create")["id"].clone();
    let task = task.as_str().unwrap();
    assert_eq!(json_of(&before, "list")["tasks"][0]["id"], *task);

    let done =
        format!("until colibri list-tasks --status done --json | grep -q {task}; do sleep 1; done");
    let after = ask(&[
        ("done", &done),
        ("task", &format!("colibri get-task {task} --json")),
        (
            "made",
            "root 'cd /var/lib/colibri/agents/pi/work && cat system.txt'",
        ),
    ]);
    let details = json_of(&after, "task");
    let task = &details["task"];
    assert_eq!(task["status"], "done", "{details}");
    assert_eq!(task["result"], said, "{details}");
    assert_eq!(
        task["usage"]["output"],
        CALL.completion + WORDS.completion,
        "{details}"
    );
    assert_eq!(after.text("made"), "Linux");
    let asked = server.asked();
    assert_eq!(asked[0].key.as_deref(), Some(&*seed.provider.value));
    // The model of the profile, as first boot has chosen it.
    assert_eq!(asked[0].body["model"], "anthropic/claude-sonnet-4.6");

    let end = ask(&[
        (
            "intake",
            "colibri intake-task --title 'Build the port' --capability freebsd --json",
        ),
        // One round of the scheduler, which comes every 30 seconds.
        (
            "tick",
            "last() { colibri status --json | grep -o '\"last_tick\": *\"[^\"]*\"'; }; \
             before=$(last); until [ \"$(last)\" != \"$before\" ]; do sleep 1; done",
        ),
        ("list", "colibri list-tasks --json"),
        ("log", "root 'journalctl --no-pager -o export'"),
        (
            "agent-log",
            "root 'cat /var/lib/colibri/agents/pi/stderr.log'",
        ),
        ("commands", "root 'ps -eww -o args'"),
        ("stop", "root 'systemctl stop colibri-daemon'"),
        ("socket", "test -e /run/colibri/colibri.sock"),
        (
            "database",
            "root 'stat -c %U /var/lib/colibri/colibri.sqlite'",
        ),
    ]);
    let listed = json_of(&end, "list");
    assert_eq!(listed["tasks"][0]["id"], json_of(&end, "intake")["id"]);
    assert_eq!(listed["tasks"][0]["status"], "queued", "{listed}");
    let parked = listed["tasks"][0]["parked"].as_str();
    assert!(
        parked.is_some_and(|why| why.contains("freebsd")),
        "{listed}"
    );
    assert_eq!(end.code("stop"), 0, "{}", end.text("stop"));
    assert_eq!(end.code("socket"), 1, "the socket is left behind");
    assert_eq!(end.text("database"), "colibri");
    for place in ["log", "agent-log", "commands"] {
        seed.assert_none_in(end.text(place).as_bytes(), place);
    }
    let console = guest.console_text();
    seed.assert_none_in(console.as_bytes(), "what the console shows");
    guest.power_off();
    disk.assert_sound();
    seed.assert_only_where_meant(&disk);
}
