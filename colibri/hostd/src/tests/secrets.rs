//! A tenant's secrets: from the vault into its `.env`, from there into its agent, and nowhere else.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use colibri_host::{ClientError, ErrorKind, NoFields, Provision, Reply, Request};

use super::bench::{Bench, LIMITS, Vault, about, shell, tenant};

/// What must be found in one place only.
const CANARY: &str = "canary-5d1f 'quoted' $HOME";

/// What the log has, of all tests of this process.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn bench() -> Bench {
    let secrets = vec![
        ("DEEPSEEK_API_KEY", CANARY.into()),
        ("PI_MODEL", "the-tenants-own".into()),
    ];
    let bench = Bench::with(LIMITS, "nobody", Vault(Some(secrets)));
    bench.jail("secretive");
    bench
}

fn provision(bench: &Bench, collection: &str) -> Result<Reply, ClientError> {
    bench.ask(&Request::Provision(Provision {
        tenant: tenant("secretive"),
        collection: collection.to_owned(),
        fresh: false,
    }))
}

#[test]
fn they_reach_the_agent_and_no_answer_and_no_log() {
    let _ = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(|| Writer)
        .try_init();
    let bench = bench();
    let Reply::Provisioned(first) = provision(&bench, "main").unwrap() else {
        panic!("not provisioned");
    };
    assert!(first.changed);
    assert_eq!(first.names, ["DEEPSEEK_API_KEY", "PI_MODEL"]);
    let Reply::Provisioned(second) = provision(&bench, "main").unwrap() else {
        panic!("not provisioned");
    };
    assert!(!second.changed);
    let file = bench.dir.path().join("jails/secretive/home/agent/.env");
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    let secrets = bench
        .ask(&Request::ListSecrets(about("secretive")))
        .unwrap();
    let Reply::Secrets(names) = &secrets else {
        panic!("no secrets");
    };
    assert_eq!(names.names, first.names);

    let (read, write) = nix::unistd::pipe().unwrap();
    let null = File::open("/dev/null").unwrap();
    // It has the key, and nobody who reads what it prints gets it.
    let script =
        "printf '%s %s|%s|%s' ${#DEEPSEEK_API_KEY} \"$DEEPSEEK_API_KEY\" \"$PI_MODEL\" \"$TZ\"";
    let sent = [("PI_MODEL", "the-hosts"), ("TZ", "Europe/Vienna")];
    let standard = [null.as_fd(), write.as_fd(), null.as_fd()];
    let running = bench
        .client()
        .exec(&shell("secretive", script, &sent), standard)
        .unwrap();
    drop(write);
    let mut said = String::new();
    File::from(read).read_to_string(&mut said).unwrap();
    let has = CANARY.len();
    assert_eq!(
        said,
        format!("{has} (secret)|the-tenants-own|Europe/Vienna")
    );
    assert_eq!(running.wait().unwrap().status, 0);

    // One that took a wrong turn before it came here.
    let mut stream = UnixStream::connect(bench.socket()).unwrap();
    writeln!(stream, r#"{{"cmd":"start-jail","tenant":"canary-5d1f"}}"#).unwrap();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.contains("bad-request"), "{said}");

    let told = format!("{first:?} {secrets:?} {:?}", bench.service);
    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    for (what, text) in [("an answer", &told), ("the log", &log)] {
        assert!(!text.contains("canary"), "in {what}: {text}");
    }
    // Every request is a line: who, what, about whom, how it ended, how long it took.
    let uid = nix::unistd::geteuid();
    for (cmd, outcome, detail) in [
        ("create-jail", "ok", ""),
        ("start-jail", "ok", ""),
        ("provision", "ok", ""),
        ("list-secrets", "ok", ""),
        ("exec-jail", "ok", ""),
        ("exec-jail", "ended", "by itself with status 0"),
    ] {
        let found = log.lines().any(|line| {
            let words = [
                "audit".to_owned(),
                format!("uid={uid} pid="),
                format!("cmd=\"{cmd}\" tenant=secretive outcome=\"{outcome}\" ms="),
                format!("detail=\"{detail}\""),
            ];
            words.iter().all(|word| line.contains(word))
        });
        assert!(found, "no {cmd} {outcome} {detail:?} in:\n{log}");
    }
}

#[test]
fn the_vault_is_asked_anew_where_that_is_wanted_and_only_there() {
    let bench = bench();
    for (fresh, asked) in [
        (false, "fetch main as remembered"),
        (true, "fetch main anew"),
    ] {
        bench.yard.asked();
        let request = Request::Provision(Provision {
            tenant: tenant("secretive"),
            collection: "main".to_owned(),
            fresh,
        });
        bench.ask(&request).unwrap();
        assert_eq!(bench.yard.asked(), [asked]);
    }
}

#[test]
fn what_the_vault_has_not_changes_nothing() {
    let bench = bench();
    for (collection, kind) in [("nothing", ErrorKind::Vault), ("slow", ErrorKind::TryAgain)] {
        let error = provision(&bench, collection).unwrap_err();
        let ClientError::Refused { error } = error else {
            panic!("{error}");
        };
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.remedy.is_some());
    }
    let file = bench.dir.path().join("jails/secretive/home/agent/.env");
    assert!(!file.exists());
    let seen = bench.ask(&Request::CheckVault(NoFields {})).unwrap();
    assert!(matches!(seen, Reply::Vault { collections, .. } if collections == ["main"]));
}

#[test]
fn a_link_for_an_env_is_not_followed() {
    let bench = bench();
    let home = bench.dir.path().join("jails/secretive/home/agent");
    let outside = bench.dir.path().join("outside");
    std::fs::write(&outside, "STOLEN='from the host'\n").unwrap();
    std::os::unix::fs::symlink(&outside, home.join(".env")).unwrap();
    let null = File::open("/dev/null").unwrap();
    let exec = shell("secretive", "env", &[]);
    let error = bench.client().exec(&exec, [null.as_fd(); 3]).unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error}");
    assert!(
        bench
            .ask(&Request::ListSecrets(about("secretive")))
            .is_err()
    );
    assert!(
        !bench
            .yard
            .asked()
            .iter()
            .any(|asked| asked.starts_with("exec"))
    );
}
