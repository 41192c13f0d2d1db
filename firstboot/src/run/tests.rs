use std::path::Path;

use super::*;
use crate::host::Volume;
use crate::host::recording::{Disk, Recording};
use crate::paths::Paths;

const AGENT: &str = "0.1.0";
const CANARY: &str = "CANARY";

fn setup() -> String {
    include_str!("../../tests/setup/good/typical.txt").to_owned()
        + "\nCLAWDIE_USER_PASSWORD=CANARY horse # battery\n"
}

const BAD: &str = include_str!("../../tests/setup/bad/many-faults-at-once.txt");

/// Text without its line breaks, which fall where a console needs them.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn boot(host: &Recording) -> (Result, Result) {
    (
        run(host, Phase::Early, AGENT),
        run(host, Phase::Late, AGENT),
    )
}

/// The machine after a run: everything but the account of how it came about.
fn state(host: &Recording) -> Disk {
    let mut disk = host.disk.borrow().clone();
    disk.files.remove(Path::new(Paths::DEBIAN.journal));
    for stick in disk.sticks.values_mut() {
        // Whether a step was done in this run or in the one before the cut is told truthfully, so it differs.
        stick.remove(report::FILE);
    }
    disk
}

#[test]
fn a_good_seed_sets_everything_up() {
    let host = Recording::fresh(Some(&setup()));
    host.silence.set(3);
    let ended = Result::Ended(Ending::Complete);
    assert_eq!(boot(&host), (ended, ended));
    let is = |key: &str| host.setting(key).unwrap_or_default();
    assert_eq!(is("root"), "locked");
    assert_eq!(is("host-name"), "zoe");
    assert_eq!(is("time-zone"), "Europe/Ljubljana");
    assert_eq!(is("locale"), "C.UTF-8");
    assert_eq!(is("account clawdie"), "there");
    assert!(is("keys clawdie").starts_with("ssh-ed25519 "));
    assert_eq!(is("password clawdie"), "CANARY horse # battery");
    assert_eq!(is("sudo clawdie"), "ask true");
    assert!(is("file /etc/colibri/provider.env").contains("OPENROUTER_API_KEY=\"sk-or-v1-CANARY"));
    assert!(host.running.get() && host.disk.borrow().enabled);
    let root = host.disk.borrow().root.clone().expect("a root");
    assert_eq!(
        root.file_system_bytes,
        root.disk_bytes - root.start - (1 << 20)
    );

    let result = host.on_seed(report::FILE).expect("a report");
    assert!(
        result.starts_with("Clawdie first boot: READY\r\n"),
        "{result}"
    );
    for part in [
        "zoe",
        "192.0.2.7",
        "SHA256:abcdef",
        "ssh clawdie@192.0.2.7",
        "still holds",
    ] {
        assert!(result.contains(part), "no {part} in:\n{result}");
    }
    assert!(
        !result.replace("\r\n", "").contains(['\r', '\n']),
        "every line ends in CRLF"
    );
}

fn put_program(host: &Recording, path: &str) {
    let program = (0o755, b"a program".to_vec());
    host.disk.borrow_mut().files.insert(path.into(), program);
}

#[test]
fn the_agent_starts_with_the_daemon_when_it_is_here_and_has_a_key() {
    let told = |host: &Recording| flat(&host.on_seed(report::FILE).expect("a report"));
    let host = Recording::fresh(Some(&setup()));
    boot(&host);
    let environment = host.setting(PROVIDER_ENV).expect("the file");
    assert!(!environment.contains("AUTOSPAWN"), "{environment}");
    assert!(told(&host).contains("this host has no /usr/local/bin/pi"));

    let with_agent = |setup: &str| {
        let host = Recording::fresh(Some(setup));
        put_program(&host, colibri_protocol::variable::AGENT);
        put_program(&host, "/usr/bin/node");
        host
    };
    let host = with_agent(&setup());
    boot(&host);
    let environment = host.setting(PROVIDER_ENV).expect("the file");
    assert!(environment.contains("\nCOLIBRI_AUTOSPAWN=\"YES\"\n"));
    assert!(environment.contains("\nCOLIBRI_AUTOSPAWN_BINARY=\"/usr/local/bin/pi\"\n"));
    assert!(told(&host).contains("the assistant starts with Colibri"));

    // Turned off by hand it stays off, and nobody is bothered with it.
    host.reboot();
    let off = environment.replace("AUTOSPAWN=\"YES\"", "AUTOSPAWN=\"NO\"");
    let place = PROVIDER_ENV.to_owned();
    host.disk.borrow_mut().settings.insert(place, off.clone());
    host.edit_seed(&(setup() + "KEYMAP=de\n"));
    boot(&host);
    assert_eq!(host.setting(PROVIDER_ENV), Some(off));
    assert!(told(&host).contains("the assistant is turned off there"));
    assert!(!told(&host).contains("AUTOSPAWN"));

    // So does one that was turned off under the names of before: a new one would win over them.
    let host = with_agent(&setup());
    boot(&host);
    host.reboot();
    let before = environment
        .replace("COLIBRI_AUTOSPAWN=\"YES\"", "COLIBRI_AUTOSPAWN_PI=\"NO\"")
        .replace("COLIBRI_AUTOSPAWN_BINARY=", "COLIBRI_PI_BINARY=");
    let place = PROVIDER_ENV.to_owned();
    host.disk
        .borrow_mut()
        .settings
        .insert(place, before.clone());
    host.edit_seed(&(setup() + "KEYMAP=de\n"));
    boot(&host);
    assert_eq!(host.setting(PROVIDER_ENV), Some(before));
    assert!(told(&host).contains("the assistant is turned off there"));

    // The key may stand in the file alone: typed in there, or emptied from the seed since.
    let host = with_agent(&emptying());
    boot(&host);
    assert!(
        !host
            .on_seed("SETUP.TXT")
            .expect("the file")
            .contains(CANARY)
    );
    host.reboot();
    let without = environment.replace("COLIBRI_AUTOSPAWN", "#COLIBRI_AUTOSPAWN");
    let place = PROVIDER_ENV.to_owned();
    host.disk.borrow_mut().settings.insert(place, without);
    let seed = host.on_seed("SETUP.TXT").expect("the file");
    host.edit_seed(&(seed + "KEYMAP=de\r\n"));
    boot(&host);
    let filled = host.setting(PROVIDER_ENV).expect("the file");
    assert!(filled.contains("\nCOLIBRI_AUTOSPAWN=\"YES\"\n"));
    assert!(told(&host).contains("the assistant starts with Colibri"));

    // As long as nothing of a seed is final, the key that goes takes the switch along.
    let host = with_agent(&setup());
    host.silence.set(u32::MAX);
    boot(&host);
    let environment = host.setting(PROVIDER_ENV).expect("the file");
    assert!(environment.contains("COLIBRI_AUTOSPAWN"));
    host.reboot();
    host.silence.set(0);
    host.edit_seed(include_str!("../../tests/setup/good/vault.txt"));
    boot(&host);
    let environment = host.setting(PROVIDER_ENV).expect("the file");
    assert!(!environment.contains("AUTOSPAWN"), "{environment}");

    // The key lies in a vault, and has not been had from there.
    let host = with_agent(include_str!("../../tests/setup/good/vault.txt"));
    boot(&host);
    let environment = host.setting(PROVIDER_ENV).expect("the file");
    assert!(!environment.contains("AUTOSPAWN"), "{environment}");
    assert!(told(&host).contains("it needs the key of a model provider"));
}

#[test]
fn a_second_boot_with_the_same_seed_changes_nothing() {
    let host = Recording::fresh(Some(&setup()));
    boot(&host);
    let before = host.disk.borrow().clone();
    host.reboot();
    assert_eq!(boot(&host), (Result::NothingToDo, Result::NothingToDo));
    assert_eq!(*host.disk.borrow(), before);
    assert_eq!(
        *host.effects.borrow(),
        ["write /run/clawdie/early.json"],
        "only word to the late phase"
    );
    assert_eq!(*host.printed.borrow(), "");
}

#[test]
fn without_the_stick_a_host_that_was_set_up_stays_as_it_is() {
    let mut host = Recording::fresh(Some(&setup()));
    boot(&host);
    host.volumes.clear();
    let before = host.disk.borrow().clone();
    host.reboot();
    host.slept.set(Duration::ZERO);
    assert_eq!(boot(&host), (Result::NothingToDo, Result::NothingToDo));
    assert_eq!(
        (host.disk.borrow().clone(), host.slept.get()),
        (before, Duration::ZERO)
    );
}

#[test]
fn an_edited_seed_fills_blanks_and_what_the_host_has_stays_and_is_told() {
    let host = Recording::fresh(Some(&setup()));
    boot(&host);
    host.reboot();
    let edited = setup()
        .replace(
            "PASSWORD=CANARY horse # battery",
            "PASSWORD=CANARY another one",
        )
        .replace("Europe/Ljubljana", "Europe/Vienna")
        .replace("sk-or-v1-CANARY", "sk-or-v1-CANARY2")
        + "KEYMAP=de\nOPERATOR_USER=bob\nWIFI_SSID=Home\nWIFI_PASSWORD=CANARY-wifi\n";
    host.edit_seed(&edited);
    let ended = Result::Ended(Ending::Complete);
    assert_eq!(boot(&host), (ended, ended));
    // Blank so far, or first boot's own: filled in, and followed.
    let set: Vec<String> = host
        .effects
        .borrow()
        .iter()
        .filter(|effect| effect.starts_with("set"))
        .cloned()
        .collect();
    assert_eq!(set, ["set keymap", "set network"]);
    assert_eq!(
        host.setting("password clawdie").as_deref(),
        Some("CANARY horse # battery")
    );
    let result = flat(&host.on_seed(report::FILE).expect("a report"));
    for told in [
        "this host keeps its own; setup.txt asks for time zone `Europe/Vienna`, which is not used",
        "OPERATOR_USER: this host keeps `clawdie`; setup.txt says `bob`",
        "OPENROUTER_API_KEY: /etc/colibri/provider.env keeps what it has",
    ] {
        assert!(result.contains(told), "no `{told}` in:\n{result}");
    }
    assert!(!result.contains(CANARY), "{result}");

    // Without the lines, DHCP by cable is back; what was filled in stays.
    host.reboot();
    host.edit_seed(&setup());
    assert_eq!(boot(&host), (ended, ended));
    assert_eq!(
        host.setting("network").as_deref(),
        Some("wired network, DHCP")
    );
    assert_eq!(host.setting("keymap").as_deref(), Some("de"));
}

#[test]
fn another_provider_s_key_is_added_and_restarts_a_running_daemon() {
    let host = Recording::fresh(Some(&setup()));
    boot(&host);
    host.reboot();
    let key = format!("DEEPSEEK_API_KEY=sk-{}\n", "0a".repeat(16));
    host.edit_seed(&(setup() + &key));
    boot(&host);
    let effects = host.effects.borrow();
    assert!(
        effects.contains(&"Restart colibri-daemon".to_owned()),
        "{effects:?}"
    );
    let environment = host
        .setting("file /etc/colibri/provider.env")
        .expect("there");
    assert!(environment.contains("OPENROUTER_API_KEY=\"sk-or-v1-CANARY"));
    assert!(environment.contains("DEEPSEEK_API_KEY=\"sk-0a"));
}

#[test]
fn a_default_of_ours_gives_way_to_a_choice_and_a_choice_does_not() {
    let blank = setup().replace("PROFILE=balanced\n", "");
    let host = Recording::fresh(Some(&blank));
    boot(&host);
    let model = || {
        let text = host.setting("file /etc/colibri/provider.env");
        text.expect("there")
            .lines()
            .find(|line| line.starts_with("PI_MODEL="))
            .expect("a model")
            .to_owned()
    };
    assert_eq!(model(), "PI_MODEL=\"anthropic/claude-sonnet-4.6\"");
    for profile in ["quality", "economy"] {
        host.reboot();
        host.edit_seed(&(blank.clone() + "PROFILE=" + profile + "\n"));
        boot(&host);
        assert_eq!(
            model(),
            "PI_MODEL=\"anthropic/claude-opus-4.7\"",
            "{profile}"
        );
    }
    let result = flat(&host.on_seed(report::FILE).expect("a report"));
    assert!(
        result.contains("PROFILE: this host keeps `quality`; setup.txt says `economy`"),
        "{result}"
    );
}

#[test]
fn a_seed_of_another_host_changes_nothing() {
    let host = Recording::fresh(Some(&setup()));
    boot(&host);
    let before = state(&host);
    for (line, told) in [
        (
            "HOSTNAME=otter",
            "HOSTNAME is `zoe` on this host and `otter` in setup.txt",
        ),
        (
            "TENANT_ID=acme",
            "TENANT_ID is `main` on this host and `acme` in setup.txt",
        ),
    ] {
        host.reboot();
        host.edit_seed(&(setup() + line + "\nTIMEZONE=UTC\n").replacen(
            "TIMEZONE=Europe",
            "#TIMEZONE=Europe",
            1,
        ));
        let refused = Result::Ended(Ending::Refused);
        assert_eq!(boot(&host), (refused, refused), "{line}");
        let mut after = state(&host);
        after.sticks = before.sticks.clone();
        // The greeting tells of it.
        after.files.clone_from(&before.files);
        assert_eq!(after, before, "{line}");
        let result = flat(&host.on_seed(report::FILE).expect("a report"));
        assert!(result.contains(told), "no `{told}` in:\n{result}");
        assert!(
            result.contains("Correct setup.txt on the stick"),
            "{result}"
        );
        assert!(
            result.contains("stays as an earlier seed set it up"),
            "{result}"
        );
    }
    // Put back, all is well.
    host.reboot();
    host.edit_seed(&(setup() + "# put back\n"));
    let ended = Result::Ended(Ending::Complete);
    assert_eq!(boot(&host), (ended, ended));
}

#[test]
fn the_assistant_moves_to_another_bot_only_when_that_is_meant() {
    let host = Recording::fresh(Some(&setup()));
    boot(&host);
    let record = host.text(Path::new(Paths::DEBIAN.identity));
    let bot = |text: &str| text.contains("\"telegram_bot\": \"987654321\"");
    assert!(!bot(&record), "{record}");
    let other: String = setup()
        .lines()
        .map(|line| match line.split_once(':') {
            Some((start, rest)) if start.starts_with("TELEGRAM_BOT_TOKEN") => {
                format!("TELEGRAM_BOT_TOKEN=987654321:{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    host.reboot();
    host.edit_seed(&other);
    let refused = Result::Ended(Ending::Refused);
    assert_eq!(boot(&host), (refused, refused));
    let result = flat(&host.on_seed(report::FILE).expect("a report"));
    assert!(result.contains("ALLOW_TELEGRAM_CHANGE=yes"), "{result}");
    assert!(!result.contains(CANARY));

    host.reboot();
    host.edit_seed(&(other.clone() + "ALLOW_TELEGRAM_CHANGE=yes\n"));
    let ended = Result::Ended(Ending::Complete);
    assert_eq!(boot(&host), (ended, ended));
    let environment = host
        .setting("file /etc/colibri/provider.env")
        .expect("there");
    assert!(environment.contains("TELEGRAM_BOT_TOKEN=\"987654321:"));
    assert!(bot(&host.text(Path::new(Paths::DEBIAN.identity))));
    // From now on that is the host's own.
    host.reboot();
    host.edit_seed(&other);
    assert_eq!(boot(&host), (ended, ended));
}

#[test]
fn telegram_is_switched_off_only_when_that_is_meant() {
    let host = Recording::fresh(Some(&setup()));
    boot(&host);
    let without: String = setup()
        .lines()
        .filter(|line| !line.starts_with("TELEGRAM"))
        .map(|line| format!("{line}\n"))
        .chain(["TELEGRAM=none\n".to_owned()])
        .collect();
    for (line, ended, is_there) in [
        ("", Result::Ended(Ending::Refused), true),
        (
            "ALLOW_TELEGRAM_CHANGE=yes\n",
            Result::Ended(Ending::Complete),
            false,
        ),
    ] {
        host.reboot();
        host.edit_seed(&(without.clone() + line));
        assert_eq!(boot(&host), (ended, ended));
        let environment = host
            .setting("file /etc/colibri/provider.env")
            .expect("there");
        assert_eq!(environment.contains("TELEGRAM_"), is_there, "{environment}");
        let record = host.text(Path::new(Paths::DEBIAN.identity));
        assert_eq!(record.contains("\"7712345678\""), is_there, "{record}");
    }
    // And on again, which fills a blank.
    host.reboot();
    host.edit_seed(&setup());
    let ended = Result::Ended(Ending::Complete);
    assert_eq!(boot(&host), (ended, ended));
    let record = host.text(Path::new(Paths::DEBIAN.identity));
    assert!(record.contains("\"7712345678\""), "{record}");
}

/// The power goes after every single effect of applying an edit; what is known of the host must not be ahead of it.
#[test]
fn a_cut_while_an_edit_is_applied_is_mended() {
    let first = setup().replace("PROFILE=balanced\n", "");
    let edited = first.replace("7712345678:", "987654321:")
        + "ALLOW_TELEGRAM_CHANGE=yes\nPROFILE=quality\nKEYMAP=de\nDNS=9.9.9.9\n";
    let edit = |fuel: Option<usize>| {
        let host = Recording::fresh(Some(&first));
        boot(&host);
        host.reboot();
        host.edit_seed(&edited);
        host.fuel.set(fuel);
        boot(&host);
        host
    };
    let whole = edit(None);
    let effects = whole.effects.borrow().len();
    assert!(effects > 10, "{effects} effects");
    for fuel in 0..effects {
        let host = edit(Some(fuel));
        host.reboot();
        boot(&host);
        assert_eq!(
            state(&host),
            state(&whole),
            "after a cut behind effect {fuel}"
        );
    }
}

/// A host that somebody else set up: it has a name, a time zone, an assistant and a key.
fn anothers_host(setup: &str) -> Recording {
    let host = Recording::fresh(Some(setup));
    let mut disk = host.disk.borrow_mut();
    for (key, value) in [
        ("host-name", "hive.example.org"),
        ("time-zone", "Asia/Tokyo"),
        ("locale", "ja_JP.UTF-8"),
        ("keymap", "jp"),
        ("network", "their own"),
        (
            "file /etc/colibri/provider.env",
            "# theirs\nASSISTANT_NAME=Zo\u{eb}\nOPENROUTER_API_KEY=\"theirs\"\nexport X=1\n",
        ),
    ] {
        disk.settings.insert(key.into(), value.into());
    }
    drop(disk);
    host
}

#[test]
fn a_host_that_is_adopted_keeps_all_it_has() {
    let host = anothers_host(&(setup() + "INSTALL_MODE=adopt\n"));
    let root = host.disk.borrow().root.clone();
    let ended = Result::Ended(Ending::Complete);
    for _ in 0..2 {
        assert_eq!(boot(&host), (ended, ended));
        for (key, value) in [
            ("host-name", "hive.example.org"),
            ("time-zone", "Asia/Tokyo"),
            ("locale", "ja_JP.UTF-8"),
            ("keymap", "jp"),
            ("network", "their own"),
        ] {
            assert_eq!(host.setting(key).as_deref(), Some(value), "{key}");
        }
        assert_eq!(host.disk.borrow().root, root);
        // An edit later changes none of that either.
        host.reboot();
        host.edit_seed(&(setup() + "DNS=9.9.9.9\n"));
    }
    let environment = host
        .setting("file /etc/colibri/provider.env")
        .expect("there");
    assert!(
        environment.starts_with(
            "# theirs\nASSISTANT_NAME=Zo\u{eb}\nOPENROUTER_API_KEY=\"theirs\"\nexport X=1\n"
        ),
        "{environment}"
    );
    assert!(environment.contains("TELEGRAM_BOT_TOKEN="), "{environment}");
    let result = flat(&host.on_seed(report::FILE).expect("a report"));
    assert!(!result.contains("setup.txt asks for host name"), "{result}");
    assert!(
        result.contains("setup.txt asks for time zone `Europe/Ljubljana`, which is not used"),
        "{result}"
    );
    assert!(
        result.contains("OPENROUTER_API_KEY: /etc/colibri"),
        "{result}"
    );
    assert_eq!(host.setting("account clawdie").as_deref(), Some("there"));
}

#[test]
fn adopting_a_host_of_another_name_is_refused_before_anything_is_provisioned() {
    for line in ["HOSTNAME=otter", "ASSISTANT_NAME=Ada"] {
        let text = setup().replace("ASSISTANT_NAME", "#ASSISTANT_NAME") + line;
        let host = anothers_host(&(text + "\nINSTALL_MODE=adopt\n"));
        let refused = Result::Ended(Ending::Refused);
        assert_eq!(boot(&host), (refused, refused), "{line}");
        assert_eq!(host.setting("account clawdie"), None);
        let disk = host.disk.borrow();
        assert!(!disk.files.contains_key(Path::new(Paths::DEBIAN.identity)));
    }
}

#[test]
fn a_record_of_this_host_that_cannot_be_read_stops_the_run() {
    let host = Recording::fresh(Some(&setup()));
    boot(&host);
    for record in [
        "{\"version\":2,\"adopted\":false,\"settings\":{},\"telegram_bot\":null,\"environment\":{}}",
        "{",
    ] {
        host.reboot();
        host.edit_seed(&(setup() + "# " + record + "\n"));
        let path = Path::new(Paths::DEBIAN.identity);
        let bytes = record.as_bytes().to_vec();
        host.disk
            .borrow_mut()
            .files
            .insert(path.into(), (0o600, bytes));
        let refused = Result::Ended(Ending::Refused);
        assert_eq!(boot(&host), (refused, refused));
        assert!(flat(&host.printed.borrow()).contains("identity.json"));
    }
}

#[test]
fn the_record_of_a_host_holds_no_secret_and_only_root_may_read_it() {
    let host = Recording::fresh(Some(&setup()));
    boot(&host);
    let path = Path::new(Paths::DEBIAN.identity);
    assert_eq!(host.disk.borrow().files[path].0, 0o600);
    let text = host.text(path);
    let record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(record["version"], 1);
    assert_eq!(record["settings"]["HOSTNAME"], "zoe");
    assert_eq!(record["settings"]["TENANT_ID"], "main");
    assert!(!text.contains(CANARY), "{text}");
}

#[test]
fn a_clock_that_was_never_set_is_set_before_the_first_line_is_written() {
    let built = jiff::Timestamp::from_second(1_765_000_000).expect("a time");
    let host = Recording::fresh(Some(&setup()));
    host.built.set(Some(built));
    host.clock.set(jiff::Timestamp::UNIX_EPOCH);
    boot(&host);
    assert_eq!(host.clock.get(), built);
    let result = flat(&host.on_seed(report::FILE).expect("a report"));
    assert!(
        result.contains("it showed 1970-01-01T00:00:00Z"),
        "{result}"
    );
    assert!(!String::from_utf8_lossy(&host.journal()).contains("1970-01-01T00:00:00Z\",\"event"));

    // It is so again at the next boot, when nothing else is to be done.
    host.reboot();
    host.clock.set(jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(boot(&host), (Result::NothingToDo, Result::NothingToDo));
    assert_eq!(host.clock.get(), built);
}

#[test]
fn a_network_that_fails_is_told_and_nothing_waits_for_it() {
    let host = Recording::fresh(Some(&(setup() + "WIFI_SSID=Home\n")));
    host.broken.borrow_mut().push("network".into());
    assert_eq!(
        boot(&host),
        (
            Result::Ended(Ending::Incomplete),
            Result::Ended(Ending::Complete)
        )
    );
    assert_eq!(host.setting("account clawdie").as_deref(), Some("there"));
    assert!(host.running.get());
    let result = host.on_seed(report::FILE).expect("a report");
    assert!(result.contains("network is broken here"), "{result}");
    let disk = host.disk.borrow();
    assert!(
        !disk.files.contains_key(Path::new(Paths::DEBIAN.identity)),
        "not all is applied"
    );
}

#[test]
fn a_bad_seed_locks_root_names_every_fault_and_provisions_nothing() {
    let host = Recording::fresh(Some(BAD));
    let ended = Result::Ended(Ending::Refused);
    assert_eq!(boot(&host), (ended, ended));
    let disk = host.disk.borrow();
    let set: Vec<&String> = disk.settings.keys().collect();
    assert_eq!(set, ["root", "ssh-host-keys"]);
    assert!(!host.running.get() && !disk.enabled);
    assert_eq!(disk.root, Recording::fresh(None).disk.borrow().root);
    drop(disk);
    let result = host
        .on_seed(report::FILE)
        .expect("a report")
        .replace("\r\n", "\n");
    assert!(
        result.starts_with("Clawdie first boot: NOT SET UP\n"),
        "{result}"
    );
    let verdict = crate::setup::check(crate::setup::Input {
        name: "SETUP.TXT",
        setup: BAD.as_bytes(),
        authorized_keys: None,
    });
    assert!(verdict.errors().count() > 4);
    for problem in &verdict.problems {
        assert!(
            result.contains(&problem.to_string()),
            "not in RESULT.txt: {problem}"
        );
        assert!(
            host.printed.borrow().contains(&problem.title),
            "not on the console: {problem}"
        );
    }
    // Corrected on the stick, the next boot does the rest.
    host.reboot();
    host.edit_seed(&setup());
    let ended = Result::Ended(Ending::Complete);
    assert_eq!(boot(&host), (ended, ended));
}

#[test]
fn no_seed_at_all_is_waited_for_then_told() {
    let mut host = Recording::fresh(None);
    host.volumes.clear();
    assert_eq!(
        run(&host, Phase::Early, AGENT),
        Result::Ended(Ending::Refused)
    );
    assert_eq!(host.slept.get(), STICK);
    assert_eq!(host.setting("root").as_deref(), Some("locked"));
    assert!(
        host.printed
            .borrow()
            .contains("no FAT volume is called CLAWDIESEED")
    );

    let empty = Recording::fresh(None);
    run(&empty, Phase::Early, AGENT);
    let result = empty
        .on_seed(report::FILE)
        .expect("a seed without setup.txt still takes the report");
    assert!(
        result.contains("no setup.txt on /dev/sda1 (CLAWDIESEED)"),
        "{result}"
    );
}

#[test]
fn a_failing_step_stops_those_that_need_it_and_the_next_boot_tries_again() {
    let host = Recording::fresh(Some(&setup()));
    host.broken
        .borrow_mut()
        .extend(["account".to_owned(), "time-zone".to_owned()]);
    let (early, late) = boot(&host);
    assert_eq!(
        (early, late),
        (
            Result::Ended(Ending::Incomplete),
            Result::Ended(Ending::Complete)
        )
    );
    for absent in [
        "account clawdie",
        "keys clawdie",
        "password clawdie",
        "sudo clawdie",
    ] {
        assert_eq!(host.setting(absent), None, "{absent}");
    }
    assert_eq!(host.setting("host-name").as_deref(), Some("zoe"));
    let result = host.on_seed(report::FILE).expect("a report");
    assert!(result.starts_with("Clawdie first boot: SET UP, WITH FAULTS\r\n"));
    assert!(result.contains("needs `operator-account`") && result.contains("time-zone is broken"));

    host.reboot();
    host.broken.borrow_mut().clear();
    let ended = Result::Ended(Ending::Complete);
    assert_eq!(boot(&host), (ended, ended));
    assert!(
        host.on_seed(report::FILE)
            .expect("a report")
            .starts_with("Clawdie first boot: READY")
    );
}

#[test]
fn a_silent_daemon_is_reported_and_asked_again_at_the_next_boot() {
    let host = Recording::fresh(Some(&setup()));
    host.silence.set(u32::MAX);
    assert_eq!(boot(&host).1, Result::Ended(Ending::Incomplete));
    assert!(
        host.slept.get() > Duration::from_secs(60) && host.slept.get() < Duration::from_secs(120)
    );
    host.reboot();
    host.silence.set(0);
    assert_eq!(
        boot(&host),
        (Result::NothingToDo, Result::Ended(Ending::Complete))
    );
}

#[test]
fn a_journal_of_a_newer_agent_is_left_alone_and_root_is_locked() {
    let host = Recording::fresh(Some(&setup()));
    let newer = b"{\"at\":\"2030-01-01T00:00:00Z\",\"event\":\"journal\",\"version\":2}\n".to_vec();
    let path = Path::new(Paths::DEBIAN.journal);
    host.disk
        .borrow_mut()
        .files
        .insert(path.into(), (0o600, newer.clone()));
    assert_eq!(
        run(&host, Phase::Early, AGENT),
        Result::Ended(Ending::Refused)
    );
    assert_eq!(host.journal(), newer);
    assert_eq!(host.setting("root").as_deref(), Some("locked"));
    assert_eq!(host.setting("account clawdie"), None);
    assert!(flat(&host.printed.borrow()).contains("newer clawdie-firstboot"));
}

#[test]
fn no_secret_leaves_its_place() {
    for (text, may_hold) in [
        (
            setup(),
            vec!["file /etc/colibri/provider.env", "password clawdie"],
        ),
        (BAD.into(), vec![]),
    ] {
        let host = Recording::fresh(Some(&text));
        boot(&host);
        assert!(!host.printed.borrow().contains(CANARY));
        assert!(
            !host
                .effects
                .borrow()
                .iter()
                .any(|effect| effect.contains(CANARY))
        );
        assert!(
            !host
                .on_seed(report::FILE)
                .expect("a report")
                .contains(CANARY)
        );
        let disk = host.disk.borrow();
        for (path, (_, content)) in &disk.files {
            assert!(
                !String::from_utf8_lossy(content).contains(CANARY),
                "{}",
                path.display()
            );
        }
        let held: Vec<&String> = disk
            .settings
            .iter()
            .filter(|(_, value)| value.contains(CANARY))
            .map(|(key, _)| key)
            .collect();
        assert_eq!(held, may_hold);
        let journal = disk
            .files
            .get(Path::new(Paths::DEBIAN.journal))
            .expect("a journal");
        assert_eq!(journal.0, 0o600);
    }
}

/// The power goes after every single effect, journal lines included (which it may tear); the boots after it must bring
/// the machine to where an uninterrupted boot brings it.
#[test]
fn a_cut_at_any_moment_is_mended_by_the_next_boot() {
    for text in [setup(), emptying(), BAD.to_owned()] {
        let whole = Recording::fresh(Some(&text));
        boot(&whole);
        let effects = whole.effects.borrow().len();
        assert!(effects > 20, "{effects} effects");
        for fuel in 0..effects {
            let host = Recording::fresh(Some(&text));
            host.fuel.set(Some(fuel));
            boot(&host);
            host.reboot();
            let ended = boot(&host);
            assert_eq!(
                state(&host),
                state(&whole),
                "after a cut behind effect {fuel}"
            );
            assert!(
                host.on_seed(report::FILE).is_some(),
                "no report after a cut behind effect {fuel}"
            );
            assert!(!holds_canary(&host.freed.borrow()), "cut behind {fuel}");
            let history = History::parse(&host.journal()).expect("readable");
            assert_eq!(
                (history.damaged, history.torn),
                (0, false),
                "cut behind effect {fuel}"
            );
            if text != BAD {
                assert!(
                    matches!(
                        ended.1,
                        Result::Ended(Ending::Complete) | Result::NothingToDo
                    ),
                    "cut behind effect {fuel}: {ended:?}"
                );
                host.reboot();
                assert_eq!(boot(&host), (Result::NothingToDo, Result::NothingToDo));
            }
        }
    }
}

/// The same with a second cut in the boot that mends the first.
#[test]
fn two_cuts_in_a_row_are_mended_as_well() {
    let text = emptying();
    let whole = Recording::fresh(Some(&text));
    boot(&whole);
    let effects = whole.effects.borrow().len();
    for first in (0..effects).step_by(3) {
        for second in (0..effects).step_by(4) {
            let host = Recording::fresh(Some(&text));
            for fuel in [first, second] {
                host.fuel.set(Some(fuel));
                boot(&host);
                host.reboot();
            }
            boot(&host);
            assert_eq!(
                state(&host),
                state(&whole),
                "after cuts behind effects {first} and {second}"
            );
        }
    }
}

#[test]
fn another_stick_serves_and_two_that_differ_are_refused() {
    let stick = |device: &str| Volume {
        device: device.into(),
        label: Some("CLAWDIE".into()),
        gpt_name: None,
        on_boot_disk: false,
    };
    let with = |sticks: &[(&str, &str)], boot_disk: Option<&str>| {
        let mut host = Recording::fresh(boot_disk);
        for (device, text) in sticks {
            host.volumes.push(stick(device));
            let files = [("setup.txt".to_owned(), text.as_bytes().to_vec())];
            host.disk
                .borrow_mut()
                .sticks
                .insert((*device).into(), files.into());
        }
        host
    };
    let good = setup();
    let other = setup() + "HOSTNAME=otter\n";

    let alone = with(&[("/dev/sdb1", &good)], None);
    assert_eq!(
        run(&alone, Phase::Early, AGENT),
        Result::Ended(Ending::Complete)
    );

    let differing = with(&[("/dev/sdb1", &good), ("/dev/sdc1", &other)], None);
    assert_eq!(
        run(&differing, Phase::Early, AGENT),
        Result::Ended(Ending::Refused)
    );
    assert!(flat(&differing.printed.borrow()).contains("both hold a setup.txt, and they differ"));

    let twins = with(&[("/dev/sdb1", &good), ("/dev/sdc1", &good)], None);
    assert_eq!(
        run(&twins, Phase::Early, AGENT),
        Result::Ended(Ending::Complete)
    );

    let own_wins = with(&[("/dev/sdb1", &good)], Some(&other));
    boot(&own_wins);
    assert_eq!(own_wins.setting("host-name").as_deref(), Some("otter"));
    assert!(
        own_wins
            .on_seed(report::FILE)
            .expect("a report")
            .contains("/dev/sdb1 (CLAWDIE) holds another setup.txt")
    );
}

#[test]
fn notepads_second_ending_counts_only_alone_and_is_mentioned() {
    let host = Recording::fresh(None);
    let put = |name: &str, text: &str| {
        let mut disk = host.disk.borrow_mut();
        let stick = disk.sticks.get_mut("/dev/sda1").expect("the stick");
        stick.insert(name.into(), text.as_bytes().to_vec());
    };
    put("Setup.txt.txt", &setup());
    assert_eq!(
        run(&host, Phase::Early, AGENT),
        Result::Ended(Ending::Complete)
    );
    put("setup.txt", BAD);
    host.reboot();
    assert_eq!(
        run(&host, Phase::Early, AGENT),
        Result::Ended(Ending::Refused)
    );
    assert!(flat(&host.printed.borrow()).contains("also holds `Setup.txt.txt`"));
}

#[test]
fn an_unreadable_seed_on_the_boot_disk_is_not_replaced_by_another() {
    let mut host = Recording::fresh(Some(&setup()));
    host.disk.borrow_mut().sticks.remove("/dev/sda1");
    host.volumes.push(Volume {
        device: "/dev/sdb1".into(),
        label: Some("CLAWDIE".into()),
        gpt_name: None,
        on_boot_disk: false,
    });
    let files = [("setup.txt".to_owned(), setup().into_bytes())];
    host.disk
        .borrow_mut()
        .sticks
        .insert("/dev/sdb1".into(), files.into());
    assert_eq!(
        run(&host, Phase::Early, AGENT),
        Result::Ended(Ending::Refused)
    );
    assert!(
        host.printed
            .borrow()
            .contains("cannot read the seed on /dev/sda1")
    );
    assert!(flat(&host.printed.borrow()).contains("wrong fs type"));
}

#[test]
fn status_tells_what_the_journal_tells() {
    use crate::status::{State, Status};
    let host = Recording::fresh(Some(&setup()));
    assert_eq!(
        Status::read(&host).expect("readable").state,
        State::NeverRun
    );
    run(&host, Phase::Early, AGENT);
    assert_eq!(
        Status::read(&host).expect("readable").state,
        State::Interrupted
    );
    run(&host, Phase::Late, AGENT);
    let status = Status::read(&host).expect("readable");
    assert_eq!(status.state, State::Ready);
    let json = serde_json::to_value(&status).expect("serialised");
    assert_eq!(json["state"], "ready");
    assert_eq!(json["runs"][0]["steps"][0]["name"], "root-lock");
    assert!(
        !json.to_string().contains("sha256:"),
        "the mark stays private"
    );
    assert!(
        status.text().contains("Operator account"),
        "{}",
        status.text()
    );
}

#[test]
fn waiting_ends_with_the_late_phase_of_this_boot() {
    use crate::status::wait;
    let limit = Duration::from_secs(30);
    let waited = |host: &Recording| {
        host.slept.set(Duration::ZERO);
        let ending = wait(host, limit).expect("readable");
        assert_eq!(host.slept.get() >= limit, ending.is_none());
        ending
    };
    let host = Recording::fresh(Some(&setup()));
    assert_eq!(waited(&host), None, "nothing has run yet");
    run(&host, Phase::Early, AGENT);
    assert_eq!(waited(&host), None, "the late phase is to come");
    run(&host, Phase::Late, AGENT);
    assert_eq!(waited(&host), Some(Ending::Complete));

    host.reboot();
    assert_eq!(waited(&host), None, "that was another boot");
    run(&host, Phase::Early, AGENT);
    assert_eq!(
        waited(&host),
        Some(Ending::Complete),
        "nothing is to be done"
    );

    let host = Recording::fresh(Some(BAD));
    boot(&host);
    assert_eq!(waited(&host), Some(Ending::Refused));
    let host = Recording::fresh(Some(&setup()));
    host.silence.set(u32::MAX);
    boot(&host);
    assert_eq!(waited(&host), Some(Ending::Incomplete));
}

#[test]
fn a_plan_changes_nothing_and_shows_no_secret() {
    let host = Recording::fresh(Some(&setup()));
    let before = host.disk.borrow().clone();
    let plan = crate::plan::plan(&host, AGENT);
    assert_eq!(
        (&*host.disk.borrow(), host.effects.borrow().len()),
        (&before, 0)
    );
    assert!(
        plan.contains("host name `zoe`") && plan.contains("would do"),
        "{plan}"
    );
    assert!(!plan.contains(CANARY), "{plan}");
}

#[test]
fn a_seed_tied_to_another_machine_is_not_used() {
    let here = crate::facts::Facts::from(Recording::fresh(None).survey()).fingerprint;
    let other = format!("machine:{}", "0f".repeat(32));
    for (line, ending) in [(&here, Ending::Complete), (&other, Ending::Refused)] {
        let host = Recording::fresh(Some(&(setup() + "HOST_FINGERPRINT=" + line + "\n")));
        assert_eq!(boot(&host).1, Result::Ended(ending));
        assert_eq!(host.setting("root").as_deref(), Some("locked"));
        let is_named = host.setting("host-name").is_some();
        assert_eq!(is_named, ending == Ending::Complete);
        let result = flat(&host.on_seed(report::FILE).expect("a report"));
        let told = result.contains(&format!("another machine: this one is {here}."));
        assert_eq!(told, ending == Ending::Refused, "{result}");
    }
}

/// A seed that asks to be emptied, with everything that holds secrets.
fn emptying() -> String {
    setup().replace('\n', "\r\n") + "#OPENAI_API_KEY=sk-proj-CANARYold\r\nSEED_SECRETS=blank\r\n"
}

fn holds_canary(files: &[Vec<u8>]) -> bool {
    files
        .iter()
        .any(|file| String::from_utf8_lossy(file).contains(CANARY))
}

const PROVIDER_ENV: &str = "file /etc/colibri/provider.env";
const COMPLETE: Result = Result::Ended(Ending::Complete);

#[test]
fn a_seed_is_emptied_of_secrets_and_is_the_same_seed_afterwards() {
    let host = Recording::fresh(Some(&emptying()));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    let left = host.on_seed("SETUP.TXT").expect("the file");
    let expected: String = emptying()
        .split_inclusive("\r\n")
        .map(|line| match line.split_once('=') {
            Some((name, value)) if value.contains(CANARY) => format!("{name}=\r\n"),
            _ => line.to_owned(),
        })
        .collect();
    assert_eq!(left, expected);
    assert!(!holds_canary(&host.freed.borrow()), "in sectors set free");
    let result = flat(&host.on_seed(report::FILE).expect("a report"));
    assert!(result.starts_with("Clawdie first boot: READY"), "{result}");
    assert!(result.contains("secret lines of the stick's setup.txt are empty now"));
    assert!(!result.contains("still holds"), "{result}");
    assert!(
        host.setting(PROVIDER_ENV)
            .is_some_and(|text| text.contains(CANARY))
    );

    host.reboot();
    assert_eq!(boot(&host), (Result::NothingToDo, Result::NothingToDo));
    assert_eq!(*host.effects.borrow(), ["write /run/clawdie/early.json"]);
}

#[test]
fn copies_of_the_seed_and_what_the_wizard_kept_are_emptied_too() {
    let mut host = Recording::fresh(Some(&emptying()));
    let second = Volume {
        device: "/dev/sdb1".into(),
        on_boot_disk: false,
        ..host.volumes[0].clone()
    };
    let old =
        "OPENROUTER_API_KEY=sk-or-v1-CANARYold\n# was sk-or-v1-0123456789abcdef0123456789abcdef\n";
    {
        let sticks = &mut host.disk.get_mut().sticks;
        let files = [("setup", emptying()), ("SETUP.OLD.TXT", old.to_owned())]
            .map(|(name, text)| (name.to_owned(), text.into_bytes()));
        sticks.insert(second.device.clone(), files.into_iter().collect());
    }
    host.volumes.push(second.clone());
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    {
        let disk = host.disk.borrow();
        let files = &disk.sticks[&second.device];
        assert_eq!(files["setup"], disk.sticks["/dev/sda1"]["SETUP.TXT"]);
        let old = String::from_utf8_lossy(&files["SETUP.OLD.TXT"]);
        assert!(old.starts_with("OPENROUTER_API_KEY=\n"), "{old}");
    }
    assert!(!holds_canary(&host.freed.borrow()), "in sectors set free");
    let result = flat(&host.on_seed(report::FILE).expect("a report"));
    assert!(
        result.contains("line(s) 2 of setup.old.txt on /dev/sdb1 (CLAWDIESEED) still hold"),
        "{result}"
    );
    host.reboot();
    assert_eq!(boot(&host), (Result::NothingToDo, Result::NothingToDo));
}

#[test]
fn without_the_wish_a_seed_keeps_its_secrets_and_the_report_offers_it() {
    let host = Recording::fresh(Some(&setup()));
    boot(&host);
    assert_eq!(host.on_seed("SETUP.TXT").as_deref(), Some(&*setup()));
    let result = flat(&host.on_seed(report::FILE).expect("a report"));
    assert!(
        result.contains("write SEED_SECRETS=blank into it"),
        "{result}"
    );
}

#[test]
fn an_empty_line_of_an_edited_emptied_seed_keeps_what_the_host_has() {
    let host = Recording::fresh(Some(&emptying()));
    boot(&host);
    let environment = host.setting(PROVIDER_ENV);
    host.reboot();
    let emptied = host.on_seed("SETUP.TXT").expect("the file");
    host.edit_seed(&(emptied.clone() + "KEYMAP=de\r\n"));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    assert_eq!(host.setting("keymap").as_deref(), Some("de"));
    assert_eq!(host.setting(PROVIDER_ENV), environment);
    assert_eq!(
        host.setting("password clawdie").as_deref(),
        Some("CANARY horse # battery")
    );

    // A new key beside the old token: it is used, and goes from the stick as the first one did.
    host.reboot();
    let key = "OPENROUTER_API_KEY=sk-or-v1-CANARY9999456789abcdef0123456789abcdef";
    host.edit_seed(&emptied.replace("OPENROUTER_API_KEY=", key));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    let environment = host.setting(PROVIDER_ENV).expect("the file");
    assert!(environment.contains("CANARY9999") && environment.contains("7712345678:AACANARY"));
    assert_eq!(host.on_seed("SETUP.TXT").as_deref(), Some(&*emptied));
    assert!(!holds_canary(&host.freed.borrow()));

    // Without the host's own, an empty line is a fault again.
    host.reboot();
    host.edit_seed(&(emptied + "KEYMAP=de\r\n"));
    host.disk.borrow_mut().settings.remove(PROVIDER_ENV);
    assert_eq!(boot(&host).0, Result::Ended(Ending::Refused));
    let printed = flat(&host.printed.borrow());
    assert!(
        printed.contains("the key of a model provider is missing"),
        "{printed}"
    );
}

#[test]
fn a_wifi_that_was_emptied_stays_until_its_password_is_written_again() {
    let wifi = "WIFI_SSID=Home\r\nWIFI_PASSWORD=CANARY-wifi\r\n";
    let host = Recording::fresh(Some(&(emptying() + wifi)));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    let joined = host.setting("network");
    assert_eq!(joined.as_deref(), Some("Wi-Fi `Home`, DHCP CANARY-wifi"));
    let emptied = host.on_seed("SETUP.TXT").expect("the file");
    assert!(emptied.contains("WIFI_PASSWORD=\r\n"), "{emptied}");
    host.reboot();
    host.edit_seed(&(emptied.clone() + "KEYMAP=de\r\n"));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    assert_eq!(host.setting("network"), joined);
    let result = flat(&host.on_seed(report::FILE).expect("a report"));
    assert!(result.contains("WIFI_PASSWORD was emptied"), "{result}");
    host.reboot();
    host.edit_seed(&emptied.replace("WIFI_PASSWORD=", "WIFI_PASSWORD=CANARY-other"));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    assert_eq!(
        host.setting("network").as_deref(),
        Some("Wi-Fi `Home`, DHCP CANARY-other")
    );
}

#[test]
fn a_seed_that_comes_back_filled_is_emptied_again() {
    let host = Recording::fresh(Some(&emptying()));
    boot(&host);
    let emptied = host.on_seed("SETUP.TXT");
    host.reboot();
    host.edit_seed(&emptying());
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    assert_eq!(host.on_seed("SETUP.TXT"), emptied);
}

#[test]
fn a_seed_is_not_emptied_while_some_step_still_needs_it() {
    for broken in ["password", "file"] {
        let host = Recording::fresh(Some(&emptying()));
        host.broken.borrow_mut().push(broken.into());
        assert_eq!(boot(&host).1, Result::Ended(Ending::Incomplete), "{broken}");
        assert_eq!(host.on_seed("SETUP.TXT").as_deref(), Some(&*emptying()));
        let result = flat(&host.on_seed(report::FILE).expect("a report"));
        assert!(
            result.contains("waits until every step has gone well"),
            "{result}"
        );
        assert!(result.contains("still holds your keys"), "{result}");
        host.reboot();
        host.broken.borrow_mut().clear();
        assert_eq!(boot(&host).1, COMPLETE, "{broken}");
        let left = host.on_seed("SETUP.TXT").expect("the file");
        assert!(!left.contains(CANARY), "{left}");
    }
}

#[test]
fn the_dashboard_operator_is_set_once_and_a_difference_is_told() {
    let with = |email: &str, password: &str| {
        setup()
            + &format!("OPERATOR_EMAIL={email}\nOPERATOR_PASSWORD={password}\nSEED_SECRETS=blank\n")
    };
    let host = Recording::fresh(Some(&with("ada@example.org", "CANARY long phrase")));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    let record = host.setting("file /etc/colibri/operator.json");
    let text = record.clone().expect("an operator");
    assert!(
        text.contains("ada@example.org") && !text.contains(CANARY),
        "{text}"
    );
    assert!(
        !host
            .on_seed("SETUP.TXT")
            .expect("the file")
            .contains(CANARY)
    );

    // The emptied line is not missing beside its other half.
    host.reboot();
    let emptied = host.on_seed("SETUP.TXT").expect("the file");
    host.edit_seed(&(emptied + "KEYMAP=de\n"));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    let result = flat(&host.on_seed(report::FILE).expect("a report"));
    assert!(!result.contains("operator was set before"), "{result}");

    host.reboot();
    host.edit_seed(&with("eve@example.org", "CANARY other phrase"));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    assert_eq!(host.setting("file /etc/colibri/operator.json"), record);
    let result = flat(&host.on_seed(report::FILE).expect("a report"));
    assert!(
        result.contains("OPERATOR_EMAIL and OPERATOR_PASSWORD in setup.txt differs"),
        "{result}"
    );
    assert!(!result.contains("example.org"), "{result}");
}

#[test]
fn facts_are_stored_once_and_tell_no_number_of_the_machine() {
    let host = Recording::fresh(Some(&setup()));
    let serial = |serial: &str| {
        let ids = [("product_serial".to_owned(), serial.to_owned())];
        host.survey.borrow_mut().ids = ids.into();
    };
    let facts = Path::new(Paths::DEBIAN.facts);
    serial("CANARY-serial");
    boot(&host);
    let stored = host.text(facts);
    assert!(stored.contains("\"fingerprint\": \"machine:"), "{stored}");
    assert!(!stored.contains(CANARY), "{stored}");
    assert_eq!(host.disk.borrow().files[facts].0, 0o600);

    let written = format!("write {}", facts.display());
    host.reboot();
    host.edit_seed(&(setup() + "HOSTNAME=otter\n"));
    boot(&host);
    assert!(!host.effects.borrow().contains(&written));
    host.reboot();
    host.edit_seed(&(setup() + "HOSTNAME=badger\n"));
    serial("CANARY-other");
    boot(&host);
    assert!(host.effects.borrow().contains(&written));
    assert_ne!(host.text(facts), stored, "another machine");
}

#[test]
fn a_password_that_fails_is_not_tried_again() {
    let host = Recording::fresh(Some(&setup()));
    host.broken.borrow_mut().push("password".into());
    assert_eq!(boot(&host).0, Result::Ended(Ending::Incomplete));
    assert_eq!(host.slept.get(), Duration::ZERO, "time heals no password");
}

/// The list that an image's builder leaves beside its packages.
fn with_packages(host: &Recording) {
    let list = Path::new(Paths::DEBIAN.packages).join("install");
    let mut disk = host.disk.borrow_mut();
    disk.files.insert(list, (0o644, b"pkg\n\ntool \n".to_vec()));
}

#[test]
fn packages_that_came_with_the_image_are_installed() {
    let host = Recording::fresh(Some(&setup()));
    boot(&host);
    assert_eq!(host.setting("packages"), None, "an image without packages");
    assert!(
        !host
            .effects
            .borrow()
            .iter()
            .any(|effect| effect == "set packages")
    );

    let host = Recording::fresh(Some(&setup()));
    with_packages(&host);
    let ended = Result::Ended(Ending::Complete);
    assert_eq!(boot(&host), (ended, ended));
    assert_eq!(host.setting("packages").as_deref(), Some("pkg tool"));
    let effects = host.effects.borrow();
    let at = |what: &str| effects.iter().position(|effect| effect == what);
    assert!(
        at("set packages") < at("Restart colibri-daemon"),
        "{effects:?}"
    );
}

/// As on FreeBSD, where Node is such a package.
#[test]
fn the_agent_waits_for_the_package_that_runs_it() {
    let told = |host: &Recording| flat(&host.on_seed(report::FILE).expect("a report"));
    let host = Recording::fresh(Some(&setup()));
    with_packages(&host);
    put_program(&host, colibri_protocol::variable::AGENT);
    host.broken.borrow_mut().push("packages".into());
    assert_eq!(boot(&host).1, Result::Ended(Ending::Incomplete));
    let environment = host.setting(PROVIDER_ENV).expect("the file");
    assert!(!environment.contains("AUTOSPAWN"), "{environment}");
    let why = "it runs on Node, and this host has neither";
    assert!(told(&host).contains(why), "{}", told(&host));

    // The next boot tries again, and this time the package comes.
    host.reboot();
    host.broken.borrow_mut().clear();
    put_program(&host, "/usr/local/bin/node");
    assert_eq!(boot(&host).1, Result::Ended(Ending::Complete));
    let environment = host.setting(PROVIDER_ENV).expect("the file");
    assert!(environment.contains("\nCOLIBRI_AUTOSPAWN=\"YES\"\n"));
    let restarted = "Restart colibri-daemon".to_owned();
    assert!(host.effects.borrow().contains(&restarted));
    assert!(told(&host).contains("the assistant starts with Colibri"));
}

#[test]
fn packages_that_fail_are_reported_and_the_daemon_starts_all_the_same() {
    let host = Recording::fresh(Some(&setup()));
    with_packages(&host);
    host.broken.borrow_mut().push("packages".into());
    assert_eq!(boot(&host).1, Result::Ended(Ending::Incomplete));
    assert!(host.running.get());
    let result = host.on_seed(report::FILE).expect("a report");
    assert!(result.contains("packages is broken"), "{result}");
    host.reboot();
    host.broken.borrow_mut().clear();
    assert_eq!(boot(&host).1, Result::Ended(Ending::Complete));
    assert_eq!(host.setting("packages").as_deref(), Some("pkg tool"));
}

#[test]
fn packages_wait_for_a_good_seed() {
    let host = Recording::fresh(Some(BAD));
    with_packages(&host);
    boot(&host);
    assert_eq!(host.setting("packages"), None);
}
