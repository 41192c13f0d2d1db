//! What is asked reaches the jails, one request about a tenant after the other.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::sync::atomic::Ordering;
use std::time::Duration;

use colibri_host::{ClientError, ErrorKind, NoFields, Provision, Reply, Request};
use colibri_service::accounts;

use super::bench::{Bench, about, create, tenant};

#[track_caller]
fn kind(answer: Result<Reply, ClientError>) -> ErrorKind {
    match answer {
        Err(ClientError::Refused { error }) => error.kind,
        other => panic!("must be refused, not {other:?}"),
    }
}

#[test]
fn a_jails_life_over_one_connection() {
    let bench = Bench::new();
    let mut client = bench.client();
    let Reply::Jail(made) = client.ask(&create("main", 7)).unwrap() else {
        panic!("no jail");
    };
    assert_eq!(
        (made.tenant, made.number.get(), made.running),
        (tenant("main"), 7, false)
    );
    let Reply::Jail(started) = client.ask(&Request::StartJail(about("main"))).unwrap() else {
        panic!("no jail");
    };
    assert!(started.running);
    let Reply::Jails { jails } = client.ask(&Request::ListJails(NoFields {})).unwrap() else {
        panic!("no jails");
    };
    assert_eq!(jails, [started]);
    client.ask(&Request::StopJail(about("main"))).unwrap();
    let gone = client.ask(&Request::DestroyJail(about("main"))).unwrap();
    assert_eq!(gone, Reply::Gone { archive: None });
    client.ask(&create("other", 8)).unwrap();
    let gone = client.ask(&Request::ArchiveJail(about("other"))).unwrap();
    let archive = Some("/archives/other.tar.gz".to_owned());
    assert_eq!(gone, Reply::Gone { archive });
    assert_eq!(
        bench.yard.asked(),
        [
            "create main",
            "start main",
            "stop main",
            "destroy main",
            "create other",
            "archive other"
        ]
    );
}

#[test]
fn a_tenants_folder_of_sockets_is_the_daemons_and_the_one_round_it_is_not() {
    let bench = Bench::new();
    let doors = bench.dir.path().join("run/tenants");
    bench.ask(&create("main", 1)).unwrap();
    let door = doors.join("main");
    let meta = std::fs::metadata(&door).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o755);
    let round = std::fs::metadata(&doors).unwrap();
    assert_eq!(round.uid(), nix::unistd::geteuid().as_raw());
    assert_eq!(
        round.mode() & 0o027,
        0,
        "others look into it, or its group writes"
    );
    if nix::unistd::geteuid().is_root() {
        assert_eq!(Some(meta.uid()), accounts::uid_of("nobody").unwrap());
    }

    // A host that was started anew has none, and the daemon may have left anything in it.
    std::fs::remove_dir(&door).unwrap();
    bench.ask(&Request::StartJail(about("main"))).unwrap();
    assert!(door.is_dir());
    std::os::unix::fs::symlink("/etc", door.join("link")).unwrap();
    std::fs::set_permissions(&door, PermissionsExt::from_mode(0o700)).unwrap();
    bench.ask(&create("main", 1)).unwrap();
    assert_eq!(std::fs::metadata(&door).unwrap().mode() & 0o7777, 0o755);
    bench.ask(&Request::DestroyJail(about("main"))).unwrap();
    assert!(!door.exists() && doors.is_dir());
    assert!(std::path::Path::new("/etc/passwd").exists());
}

#[test]
fn what_is_wrong_has_a_kind_and_nothing_is_done() {
    let bench = Bench::new();
    let mut client = bench.client();
    let start = Request::StartJail(about("nojail"));
    assert_eq!(kind(client.ask(&start)), ErrorKind::NotFound);
    // After an answer of that sort the connection is as good as before.
    assert_eq!(kind(client.ask(&start)), ErrorKind::NotFound);
    let provision = Request::Provision(Provision {
        tenant: tenant("nojail"),
        collection: "main".to_owned(),
        fresh: false,
    });
    assert_eq!(kind(client.ask(&provision)), ErrorKind::NotFound);
    let check = Request::CheckVault(NoFields {});
    assert_eq!(kind(client.ask(&check)), ErrorKind::VaultNotConfigured);
    let Reply::Facts(facts) = client.ask(&Request::HostFacts(NoFields {})).unwrap() else {
        panic!("no facts");
    };
    assert_eq!(facts.os, std::env::consts::OS);
    assert!(!facts.release.is_empty() && !facts.vault);
    assert_eq!(facts.jails, Err("these are folders".to_owned()));
}

#[test]
fn requests_about_one_tenant_wait_for_each_other_and_others_do_not() {
    let bench = Bench::new();
    bench.ask(&create("main", 1)).unwrap();
    *bench.yard.slow.lock().unwrap() = Duration::from_millis(60);
    let start = |names: &[&'static str]| {
        bench.yard.most_inside.store(0, Ordering::SeqCst);
        std::thread::scope(|scope| {
            for name in names {
                scope.spawn(|| bench.ask(&Request::StartJail(about(name))).unwrap());
            }
        });
        bench.yard.most_inside.load(Ordering::SeqCst)
    };
    assert_eq!(start(&["main"; 4]), 1);
    bench.ask(&create("other", 2)).unwrap();
    bench.ask(&create("third", 3)).unwrap();
    *bench.yard.slow.lock().unwrap() = Duration::from_millis(400);
    assert!(start(&["main", "other", "third"]) > 1);
}

#[test]
fn who_waits_too_long_is_told() {
    let limits = crate::config::Limits {
        turn: Duration::from_millis(30),
        ..super::bench::LIMITS
    };
    let bench = Bench::with(limits, "nobody", super::bench::Vault(None));
    bench.ask(&create("main", 1)).unwrap();
    bench.yard.asked();
    *bench.yard.slow.lock().unwrap() = Duration::from_millis(600);
    std::thread::scope(|scope| {
        scope.spawn(|| bench.ask(&Request::StartJail(about("main"))).unwrap());
        super::bench::soon("the first is at work", || !bench.yard.asked().is_empty());
        let stop = bench.ask(&Request::StopJail(about("main")));
        assert_eq!(kind(stop), ErrorKind::TryAgain);
    });
}
