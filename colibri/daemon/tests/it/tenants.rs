//! Tenants from the first word to the last, with a root helper that a test plays: what is asked of it and
//! when, and what becomes of a tenant when it refuses, hangs or is gone, or the daemon is killed.

use std::path::Path;
use std::time::Duration;

use colibri_host::ErrorKind as HostKind;
use colibri_protocol::client::{Client, ClientError};
use colibri_protocol::{
    Command, ErrorKind, NoFields, OneTenant, Paging, RegisterTenant, Removal, RemoveTenant,
    Snapshot, SpawnAgent, Task, TaskStatus, Tenant, TenantPage, TenantRemoval, TenantRotation,
    TenantSecrets, TenantStatus,
};
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::agents::{
    pane, processes_with, prompt, refusal, spawn, spawning, stands, stop, test_agent, wait,
};
use crate::board::needing;
use crate::harness::{Daemon, Home, LONG, Raw, built, mode};
use crate::hostd::{Hostd, Say};

fn ask<T: DeserializeOwned>(home: &Home, command: Command) -> Result<T, ClientError> {
    home.client().ask(command)
}

fn register(home: &Home, new: RegisterTenant) -> Tenant {
    ask(home, Command::RegisterTenant(new)).unwrap()
}

fn named(id: &str) -> RegisterTenant {
    RegisterTenant::named(id.parse().unwrap())
}

fn one(id: &str) -> OneTenant {
    OneTenant {
        tenant_id: id.parse().unwrap(),
    }
}

fn provision(home: &Home, id: &str) -> Result<Tenant, ClientError> {
    ask(home, Command::ProvisionTenant(one(id)))
}

fn remove(home: &Home, id: &str, removal: Removal) -> Result<TenantRemoval, ClientError> {
    let remove = RemoveTenant {
        tenant_id: id.parse().unwrap(),
        removal,
        dry_run: false,
    };
    ask(home, Command::RemoveTenant(remove))
}

fn tenants(home: &Home) -> Vec<Tenant> {
    let page: TenantPage = ask(home, Command::ListTenants(Paging::default())).unwrap();
    page.tenants
}

fn tenant(home: &Home, id: &str) -> Option<Tenant> {
    let mut all = tenants(home).into_iter();
    all.find(|tenant| tenant.tenant_id.as_str() == id)
}

fn becomes(home: &Home, id: &str, status: TenantStatus) -> Tenant {
    wait(&format!("{status} for {id}"), LONG, || {
        tenant(home, id).filter(|tenant| tenant.status == status)
    })
}

/// An agent that does tasks which need its name, in the tenant's jail.
fn jailed(name: &str, tenant: &str) -> SpawnAgent {
    SpawnAgent {
        program: "/usr/local/bin/colibri-test-agent".into(),
        capabilities: [name.parse().unwrap()].into(),
        tenant: tenant.parse().ok(),
        ..spawning(name, &["--rpc", "--step-ms", "1"])
    }
}

/// A tenant with an agent of the same name.
fn joined(home: &Home, new: RegisterTenant) {
    let id = new.tenant_id.to_string();
    register(home, new);
    provision(home, &id).unwrap();
    spawn(home, jailed(&id, &id)).unwrap();
}

/// A place with this tenant and another, each with its agent.
fn two_joined(new: RegisterTenant, other: &str) -> (Home, Hostd, Daemon) {
    let home = Home::new();
    let helper = Hostd::new(&home);
    let daemon = helper.daemon(&home, &[]);
    joined(&home, new);
    joined(&home, named(other));
    (home, helper, daemon)
}

fn task_for(home: &Home, agent: &str) -> Task {
    home.client().create_task(needing("t", &[agent])).unwrap()
}

fn done_by(home: &Home, agent: &str) {
    stands(home, &task_for(home, agent), TaskStatus::Done, LONG);
}

fn check(home: &Home, part: &str) -> (bool, String) {
    let check = home.client().service_check().unwrap();
    let mut checks = check.checks.into_iter();
    let part = checks.find(|check| check.name == part).unwrap();
    (part.ok, part.detail)
}

#[test]
fn two_tenants_live_from_the_first_word_to_the_last() {
    let home = Home::new();
    let helper = Hostd::new(&home);
    helper.collection("main", &["OPENROUTER_API_KEY"]);
    let daemon = helper.daemon(&home, &[]);
    assert!(check(&home, "helper").1.contains("not asked"));
    assert_eq!(
        register(&home, named("main")).status,
        TenantStatus::Registered
    );
    let (kind, text) = refusal(spawn(&home, jailed("ada", "main")));
    assert_eq!(kind, ErrorKind::Conflict);
    assert!(text.contains("`colibri provision-tenant main`"), "{text}");
    assert_eq!(helper.asked(), Vec::<String>::new());

    let main = provision(&home, "main").unwrap();
    assert_eq!(main.status, TenantStatus::Provisioned);
    assert_eq!(main.jail_root.as_deref(), Some("/jails/main"));
    assert_eq!(main.collection_id.as_deref(), Some("id-of-main"));
    assert_eq!(
        helper.asked(),
        ["create-jail main", "provision main", "start-jail main"]
    );
    spawn(&home, jailed("ada", "main")).unwrap();
    let main = becomes(&home, "main", TenantStatus::Active);
    assert_eq!((main.number.get(), main.agents[0].as_str()), (1, "ada"));
    done_by(&home, "ada");

    // The host's keys stay on the host.
    let given = helper.given("main");
    let names: Vec<_> = given.iter().map(|(name, _)| name.as_str()).collect();
    assert!(
        names.contains(&"PI_MODEL") && names.contains(&"COLIBRI_DAEMON_SOCKET"),
        "{given:?}"
    );
    assert!(!format!("{given:?}").contains("sk-of-the-host"));
    let on_the_host = format!("HOME={}", home.path("data/agents/ada").display());
    let around = [
        processes_with(&helper.mark("main")),
        processes_with(&on_the_host),
    ]
    .concat();
    assert!(
        around.len() >= 3,
        "agent, leash and what stands between: {around:?}"
    );
    for process in around {
        let environment = std::fs::read(format!("{process}/environ")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&environment).contains("sk-of-the-host"));
    }

    // Its socket has its rights and no others'.
    let door = helper.door("main", "ada");
    assert_eq!(mode(&door), 0o666);
    joined(
        &home,
        RegisterTenant {
            no_collection: true,
            ..named("other")
        },
    );
    assert_eq!(tenant(&home, "other").unwrap().number.get(), 2);
    let mut raw = Raw::connect(&door);
    let seen = raw.ask(r#"{"cmd":"list-agents"}"#);
    assert_eq!(
        seen["data"]["agents"].as_array().unwrap().len(),
        1,
        "{seen}"
    );
    assert_eq!(seen["data"]["agents"][0]["name"], "ada");
    for command in [
        "status",
        "list-tenants",
        "list-secrets",
        "provision-tenant",
        "remove-tenant",
    ] {
        let mut request = json!({"cmd": command, "tenant_id": "other", "removal": "destroy"});
        if !["remove-tenant"].contains(&command) {
            request.as_object_mut().unwrap().remove("removal");
        }
        if ["status", "list-tenants"].contains(&command) {
            request.as_object_mut().unwrap().remove("tenant_id");
        }
        let refused = raw.ask(&request.to_string());
        assert_eq!(refused["error"]["kind"], "forbidden", "{refused}");
    }

    // A name is its tenant's, and only programs of the image are started.
    for (wrong, kind) in [
        (jailed("ada", "other"), ErrorKind::Conflict),
        (spawning("ada", &["--rpc"]), ErrorKind::Conflict),
        (jailed("eve", "nobody"), ErrorKind::NotFound),
        (
            SpawnAgent {
                program: "/bin/sh".into(),
                ..jailed("eve", "main")
            },
            ErrorKind::BadRequest,
        ),
    ] {
        let (told, text) = refusal(spawn(&home, wrong));
        assert_eq!(told, kind, "{text}");
    }

    // Other secrets start it anew, the same do not.
    let rotate = || ask::<TenantRotation>(&home, Command::RotateTenant(one("main"))).unwrap();
    let before = pane(&home, "ada").pid;
    assert!(!rotate().changed);
    assert_eq!(pane(&home, "ada").pid, before);
    helper.collection("main", &["OPENROUTER_API_KEY", "MORE"]);
    let rotated = rotate();
    assert_eq!(
        (rotated.changed, rotated.restarted[0].as_str()),
        (true, "ada")
    );
    assert_ne!(pane(&home, "ada").pid, before);
    // What somebody has just changed is not known to a vault client that remembers.
    let asked = helper.asked();
    assert!(
        asked.contains(&"provision main anew".to_owned())
            && !asked.contains(&"provision main".to_owned()),
        "{asked:?}"
    );
    let secrets: TenantSecrets = ask(&home, Command::ListSecrets(one("main"))).unwrap();
    assert_eq!(secrets.names, ["OPENROUTER_API_KEY", "MORE"]);
    let (kind, text) = refusal(ask::<TenantRotation>(
        &home,
        Command::RotateTenant(one("other")),
    ));
    assert_eq!(kind, ErrorKind::Conflict);
    assert!(text.contains("no collection"), "{text}");

    // Gone is gone, and the other one does not notice.
    let dry = RemoveTenant {
        tenant_id: "main".parse().unwrap(),
        removal: Removal::Destroy,
        dry_run: true,
    };
    let would: TenantRemoval = ask(&home, Command::RemoveTenant(dry)).unwrap();
    assert_eq!((would.dry_run, would.tenant.agents.len()), (true, 1));
    assert!(home.path("data/agents/ada").exists());
    let removed = remove(&home, "main", Removal::Destroy).unwrap();
    assert_eq!(removed.archive, None);
    assert_eq!(helper.jails(), [("other".to_owned(), true)]);
    assert!(!door.exists() && !home.path("data/agents/ada").exists());
    assert!(processes_with(&helper.mark("main")).is_empty());
    done_by(&home, "other");
    let (kind, _) = refusal(provision(&home, "main"));
    assert_eq!(kind, ErrorKind::NotFound);
    // Who is called the same is somebody else, and the number is free again.
    joined(
        &home,
        RegisterTenant {
            no_collection: true,
            ..named("ada")
        },
    );
    assert_eq!(tenant(&home, "ada").unwrap().number.get(), 1);
    let mut raw = Raw::connect(&helper.door("ada", "ada"));
    assert_eq!(
        raw.ask(r#"{"cmd":"list-tasks"}"#)["data"]["tasks"],
        json!([])
    );
    let archived = remove(&home, "other", Removal::Archive).unwrap();
    assert_eq!(archived.archive.as_deref(), Some("/archives/other.tar"));
    let status = home.client().status().unwrap();
    assert_eq!((status.tenants.total(), status.tenants.active), (1, 1));
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn without_its_secrets_a_tenant_has_no_agent_and_everybody_is_told() {
    let home = Home::new();
    let helper = Hostd::new(&home);
    helper.collection("another", &[]);
    let _daemon = helper.daemon(&home, &[]);
    register(&home, named("main"));
    let (kind, text) = refusal(provision(&home, "main"));
    assert_eq!(kind, ErrorKind::Host);
    assert!(
        text.contains("cannot fetch its secrets: no collection main"),
        "{text}"
    );
    let failed = tenant(&home, "main").unwrap();
    assert_eq!(
        (failed.status, failed.reason.as_deref()),
        (TenantStatus::Failed, Some(text.as_str()))
    );
    let (kind, refused) = refusal(spawn(&home, jailed("main", "main")));
    assert_eq!(kind, ErrorKind::Conflict);
    assert!(refused.contains("no collection main"), "{refused}");
    assert!(processes_with(&helper.mark("main")).is_empty());
    let status = home.client().status().unwrap();
    assert_eq!(
        (
            status.tenants.failed,
            status.tenant_problems[0].reason.as_str()
        ),
        (1, text.as_str())
    );
    let (ok, detail) = check(&home, "tenants");
    assert!(
        !ok && detail.contains("`colibri provision-tenant main` tries again"),
        "{detail}"
    );

    // Tried again, and refused for another reason at each place.
    helper.collection("main", &["KEY"]);
    for request in ["create-jail", "provision", "start-jail"] {
        helper.next(request, Say::Refuse(HostKind::System, "the disk is full"));
        let (_, text) = refusal(provision(&home, "main"));
        assert!(text.contains("the disk is full; do something"), "{text}");
        assert_eq!(
            tenant(&home, "main").unwrap().status,
            TenantStatus::Failed,
            "{request}"
        );
    }
    helper.next("provision", Say::Close);
    refusal(provision(&home, "main"));
    joined(&home, named("main"));
    assert!(check(&home, "tenants").0);
    // A jail that does not start any more is no better than one without secrets.
    stop(&home, "main");
    helper.next(
        "start-jail",
        Say::Refuse(HostKind::System, "no such bridge"),
    );
    let (kind, _) = refusal(spawn(&home, jailed("main", "main")));
    assert_eq!(kind, ErrorKind::Host);
    assert_eq!(tenant(&home, "main").unwrap().status, TenantStatus::Failed);
}

#[test]
fn a_tenant_whose_collection_cannot_be_read_is_not_one_without() {
    let home = Home::new();
    let helper = Hostd::new(&home);
    helper.collection("main", &["KEY"]);
    let _daemon = helper.daemon(&home, &[]);
    register(&home, named("main"));
    let connection = rusqlite::Connection::open(home.database()).unwrap();
    let damage = "PRAGMA ignore_check_constraints = ON; UPDATE tenants SET bucket = 'no bucket'";
    connection.execute_batch(damage).unwrap();
    let (kind, text) = refusal(provision(&home, "main"));
    assert_eq!(kind, ErrorKind::Host);
    assert!(text.contains("cannot see whose secrets it has"), "{text}");
    assert_eq!(tenant(&home, "main").unwrap().status, TenantStatus::Failed);
    let mended = "UPDATE tenants SET bucket = 'own'";
    connection.execute_batch(mended).unwrap();
    helper.asked();
    provision(&home, "main").unwrap();
    assert!(helper.was_asked("provision main"));
}

#[test]
fn a_rotation_goes_through_all_agents_whatever_becomes_of_one() {
    let home = Home::new();
    let helper = Hostd::new(&home);
    helper.collection("main", &["KEY"]);
    let _daemon = helper.daemon(&home, &[]);
    joined(&home, named("main"));
    spawn(&home, jailed("ada", "main")).unwrap();
    let before = pane(&home, "main").pid;
    helper.collection("main", &["KEY", "MORE"]);
    helper.next("start-jail", Say::Refuse(HostKind::TryAgain, "busy"));
    let rotate = Command::RotateTenant(one("main"));
    let (kind, text) = refusal(ask::<TenantRotation>(&home, rotate));
    assert_eq!(kind, ErrorKind::Host);
    assert!(text.contains("cannot start its jail: busy"), "{text}");
    assert_eq!(pane(&home, "ada").pid, None);
    let after = pane(&home, "main").pid;
    assert!(after.is_some() && after != before, "{before:?} {after:?}");
    // The one that could not be started sleeps, and has not ended for good.
    done_by(&home, "ada");
    assert_eq!(pane(&home, "main").pid, after);
}

#[test]
fn a_helper_that_is_gone_or_hangs_holds_up_nobody_else() {
    let home = Home::new();
    let helper = Hostd::absent(&home);
    let _daemon = helper.daemon(&home, &[]);
    register(&home, named("main"));
    let (kind, text) = refusal(provision(&home, "main"));
    assert_eq!(kind, ErrorKind::Host);
    assert!(text.contains("there is no socket at"), "{text}");
    let (ok, detail) = check(&home, "helper");
    assert!(!ok && detail.contains("colibri-hostd"), "{detail}");
    assert!(check(&home, "tenants").1.contains("see `helper`"));

    helper.listen();
    joined(&home, named("main"));
    // It may not answer; what is ready stays so, for it may be there again in a moment.
    helper.next("start-jail", Say::Close);
    refusal(spawn(&home, jailed("ada", "main")));
    assert_eq!(tenant(&home, "main").unwrap().status, TenantStatus::Active);

    helper.next("create-jail", Say::Hang);
    register(&home, named("stuck"));
    let brief = Client::new(home.socket()).with_timeout(Duration::from_millis(300));
    let waiting = brief.ask::<Tenant>(Command::ProvisionTenant(one("stuck")));
    assert!(
        matches!(waiting, Err(ClientError::TimedOut { .. })),
        "{waiting:?}"
    );
    done_by(&home, "main");
    joined(&home, named("other"));
    helper.next("host-facts", Say::Hang);
    let (ok, detail) = check(&home, "helper");
    assert!(!ok && detail.contains("gave no answer"), "{detail}");
    assert_eq!(
        tenant(&home, "stuck").unwrap().status,
        TenantStatus::Provisioning
    );
}

#[test]
fn killed_anywhere_the_next_daemon_finishes_what_was_begun() {
    let home = Home::new();
    let helper = Hostd::new(&home);
    helper.collection("main", &["KEY"]);
    for (round, request) in ["create-jail", "provision", "start-jail"]
        .into_iter()
        .enumerate()
    {
        let mut daemon = helper.daemon(&home, &[]);
        register(&home, named("main"));
        // Done and not told, or not done at all.
        let say = if round % 2 == 0 {
            Say::Hang
        } else {
            Say::Late(LONG)
        };
        helper.next(request, say);
        helper.asked();
        let socket = home.socket();
        std::thread::spawn(move || {
            Client::new(socket).ask::<Tenant>(Command::ProvisionTenant(one("main")))
        });
        wait(request, LONG, || {
            helper.was_asked(&format!("{request} main")).then_some(())
        });
        daemon.signal(Signal::SIGKILL);
        daemon.ended();

        let mut daemon = helper.daemon(&home, &[]);
        becomes(&home, "main", TenantStatus::Provisioned);
        assert_eq!(helper.jails(), [("main".to_owned(), true)]);
        spawn(&home, jailed("main", "main")).unwrap();
        helper.next(
            "destroy-jail",
            if round % 2 == 0 {
                Say::Late(LONG)
            } else {
                Say::Hang
            },
        );
        let socket = home.socket();
        std::thread::spawn(move || {
            let remove = json!({"cmd": "remove-tenant", "tenant_id": "main", "removal": "destroy"});
            Raw::connect(&socket).send(format!("{remove}\n").as_bytes());
            std::thread::sleep(LONG);
        });
        wait("destroy-jail", LONG, || {
            helper.was_asked("destroy-jail main").then_some(())
        });
        daemon.signal(Signal::SIGKILL);
        daemon.ended();

        let daemon = helper.daemon(&home, &[]);
        wait("the end of main", LONG, || {
            tenants(&home).is_empty().then_some(())
        });
        assert_eq!(helper.jails(), []);
        assert!(!home.path("data/agents/main").exists());
        assert!(processes_with(&helper.mark("main")).is_empty());
        daemon.stop(Signal::SIGTERM);
    }
}

#[test]
fn agents_end_with_their_daemon_and_those_for_good_come_back_with_the_next() {
    let home = Home::new();
    let helper = Hostd::new(&home);
    let mut daemon = helper.daemon(&home, &[]);
    joined(&home, named("main"));
    let for_good = SpawnAgent {
        restart: true,
        ..jailed("forever", "main")
    };
    spawn(&home, for_good).unwrap();
    spawn(&home, jailed("stopped", "main")).unwrap();
    stop(&home, "stopped");
    let first = processes_with(&helper.mark("main"));
    assert_eq!(first.len(), 2, "{first:?}");
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    wait("their end", LONG, || {
        processes_with(&helper.mark("main"))
            .is_empty()
            .then_some(())
    });
    assert!(helper.door("main", "main").exists(), "nobody removed it");

    // That it did not work at first is no reason not to try again.
    helper.next("start-jail", Say::Refuse(HostKind::TryAgain, "busy"));
    let _daemon = helper.daemon(&home, &[]);
    wait("the one for good", LONG, || {
        (helper.agents("main") == 1).then_some(())
    });
    let running = || -> Vec<String> {
        let snapshot: Snapshot = ask(&home, Command::Snapshot(NoFields {})).unwrap();
        snapshot.panes.into_iter().map(|pane| pane.agent).collect()
    };
    assert_eq!(running(), ["forever"]);
    // The other sleeps until something is for it; what an operator has stopped stays so.
    done_by(&home, "main");
    let (kind, _) = refusal(prompt(&home, "stopped", "Hello"));
    assert_eq!(kind, ErrorKind::NotFound);
    assert_eq!(running(), ["forever", "main"]);
}

#[test]
fn who_is_idle_is_stopped_and_wakes_for_a_task_a_prompt_and_an_operator() {
    let (home, helper, _daemon) = two_joined(
        RegisterTenant {
            idle_after: "1s".parse().ok(),
            ..named("main")
        },
        "other",
    );
    becomes(&home, "main", TenantStatus::Stopped);
    assert!(helper.jails().contains(&("main".to_owned(), false)));
    assert_eq!(pane(&home, "main").pid, None);
    assert!(
        home.path("data/agents/main").exists(),
        "what it has written stays"
    );

    done_by(&home, "main");
    becomes(&home, "main", TenantStatus::Stopped);
    prompt(&home, "main", "Hello").unwrap();
    assert!(pane(&home, "main").pid.is_some());
    becomes(&home, "main", TenantStatus::Stopped);
    assert_eq!(
        provision(&home, "main").unwrap().status,
        TenantStatus::Provisioned
    );
    assert!(helper.jails().contains(&("main".to_owned(), true)));

    // One that cannot be woken does not keep its task.
    becomes(&home, "main", TenantStatus::Stopped);
    helper.next(
        "start-jail",
        Say::Refuse(HostKind::System, "no such bridge"),
    );
    let task = task_for(&home, "main");
    becomes(&home, "main", TenantStatus::Failed);
    let back = stands(&home, &task, TaskStatus::Queued, LONG).task;
    assert_eq!(back.agent_id, None);
    // Tried again, it is there, and does it.
    provision(&home, "main").unwrap();
    spawn(&home, jailed("main", "main")).unwrap();
    stands(&home, &task, TaskStatus::Done, LONG);

    // A jail that does not stop at first is tried again, and the tenant sleeps meanwhile.
    helper.next("stop-jail", Say::Refuse(HostKind::System, "busy"));
    let told = wait("the reason", LONG, || {
        tenant(&home, "main").filter(|main| main.reason.is_some())
    });
    assert_eq!(told.status, TenantStatus::Stopped);
    wait("its stop", LONG, || {
        tenant(&home, "main").filter(|main| main.reason.is_none())
    });
    assert!(helper.jails().contains(&("main".to_owned(), false)));
    assert!(helper.jails().contains(&("other".to_owned(), true)));
}

#[test]
fn with_the_first_that_wakes_come_those_for_good_and_the_others_sleep_on() {
    let home = Home::new();
    let helper = Hostd::new(&home);
    let _daemon = helper.daemon(&home, &[]);
    joined(
        &home,
        RegisterTenant {
            idle_after: "4s".parse().ok(),
            ..named("main")
        },
    );
    spawn(&home, jailed("ada", "main")).unwrap();
    let for_good = SpawnAgent {
        restart: true,
        ..jailed("forever", "main")
    };
    spawn(&home, for_good).unwrap();
    becomes(&home, "main", TenantStatus::Stopped);
    assert_eq!(helper.agents("main"), 0);

    helper.asked();
    done_by(&home, "main");
    wait("the one for good", LONG, || {
        pane(&home, "forever").pid.map(drop)
    });
    assert_eq!(pane(&home, "ada").pid, None);
    done_by(&home, "ada");
    done_by(&home, "forever");
    assert!(
        !helper.was_asked("stop-jail main"),
        "it did not have to sleep once more"
    );

    // An operator wakes it, too.
    becomes(&home, "main", TenantStatus::Stopped);
    spawn(&home, jailed("main", "main")).unwrap();
    assert!(pane(&home, "forever").pid.is_some());
    assert_eq!(pane(&home, "ada").pid, None);
}

#[test]
fn who_is_called_like_one_whose_time_is_over_is_left_alone() {
    let home = Home::new();
    let helper = Hostd::new(&home);
    let _daemon = helper.daemon(&home, &[]);
    let ttl = |id: &str, ttl: &str| RegisterTenant {
        ttl: ttl.parse().ok(),
        ..named(id)
    };
    // As many as are removed at once take their time, and the next one waits for them.
    let slow = ["a1", "a2", "a3", "a4"];
    for id in slow {
        register(&home, ttl(id, "1s"));
        helper.next("destroy-jail", Say::Late(Duration::from_secs(5)));
    }
    wait("their end", LONG, || {
        let is_asked = |id: &&str| helper.was_asked(&format!("destroy-jail {id}"));
        slow.iter().all(is_asked).then_some(())
    });
    register(&home, ttl("brief", "1s"));
    std::thread::sleep(Duration::from_secs(2));
    remove(&home, "brief", Removal::Destroy).unwrap();
    joined(&home, named("brief"));
    wait("the end of the slow ones", LONG, || {
        (tenants(&home).len() == 1).then_some(())
    });
    std::thread::sleep(Duration::from_millis(600));
    done_by(&home, "brief");
    assert_eq!(helper.jails(), [("brief".to_owned(), true)]);
}

#[test]
fn whose_time_is_over_is_removed_with_everything() {
    let (home, helper, _daemon) = two_joined(
        RegisterTenant {
            ttl: "1s".parse().ok(),
            ..named("brief")
        },
        "main",
    );
    for _ in 0..3 {
        helper.next("destroy-jail", Say::Refuse(HostKind::TryAgain, "busy"));
    }
    let told = wait("the reason", LONG, || {
        tenant(&home, "brief").filter(|brief| brief.reason.is_some())
    });
    assert_eq!(
        (told.status, told.removal),
        (TenantStatus::Removing, Some(Removal::Destroy))
    );
    let (kind, text) = refusal(spawn(&home, jailed("brief", "brief")));
    assert_eq!(kind, ErrorKind::Conflict);
    assert!(text.contains("being removed"), "{text}");
    wait("its end", LONG, || {
        tenant(&home, "brief").is_none().then_some(())
    });
    assert_eq!(helper.jails(), [("main".to_owned(), true)]);
    assert!(!home.path("data/agents/brief").exists());
    done_by(&home, "main");
}

#[test]
fn an_agent_has_children_only_as_the_policy_says() {
    let home = Home::new();
    let helper = Hostd::new(&home);
    let policy = home.path("replication.toml");
    let _daemon = helper.daemon(
        &home,
        &[("COLIBRI_REPLICATION_POLICY", policy.to_str().unwrap())],
    );
    joined(&home, named("main"));
    let wish = |from: &str, id: &str, ttl: Option<&str>| -> Result<Value, String> {
        let mut raw = Raw::connect(&helper.door(from, from));
        let wish = json!({"cmd": "request-tenant", "tenant_id": id, "ttl": ttl});
        let reply = raw.ask(&wish.to_string());
        match reply["ok"] == true {
            true => Ok(reply["data"].clone()),
            false => Err(reply["error"]["message"].as_str().unwrap().to_owned()),
        }
    };
    let refused = |from: &str, id: &str, ttl, says: &str| {
        let error = wish(from, id, ttl).unwrap_err();
        assert!(error.contains(says), "{error}");
    };
    refused("main", "nika", None, "`enabled = true`");
    std::fs::write(&policy, "enabled = true\nmax_tenant = 3\n").unwrap();
    refused("main", "nika", None, "cannot be read");
    assert!(
        home.log().contains("max_tenant"),
        "the operator is told more"
    );
    let rules =
        "enabled = true\nmax_tenants = 3\nmax_depth = 1\nmax_children = 1\nmax_ttl = \"1h\"\n";
    std::fs::write(&policy, rules).unwrap();
    refused("main", "nika", Some("2h"), "`max_ttl` is 1h");
    let born = wish("main", "nika", None).unwrap();
    assert_eq!(
        (&born["parent"], &born["depth"], &born["ttl"]),
        (&json!("main"), &json!(1), &json!("1h"))
    );
    assert_eq!(
        wish("main", "nika", None).unwrap()["tenant_id"],
        "nika",
        "asked once more"
    );
    let nika = becomes(&home, "nika", TenantStatus::Active);
    assert_eq!((nika.agents[0].as_str(), nika.collection), ("nika", None));
    assert_eq!(nika.created_by, "agent:main");
    refused("main", "mila", None, "`max_children` is 1");
    refused("nika", "mila", None, "`max_depth` is 1");
    std::fs::write(&policy, rules.replace('1', "2")).unwrap();
    let mila = wish("nika", "mila", Some("30m")).unwrap();
    assert_eq!(mila["depth"], 2);
    becomes(&home, "mila", TenantStatus::Active);
    refused("main", "vida", None, "`max_tenants` is 3");

    let request = Command::RequestTenant(colibri_protocol::RequestTenant {
        tenant_id: "vida".parse().unwrap(),
        ttl: None,
    });
    assert_eq!(
        refusal(ask::<Tenant>(&home, request)).0,
        ErrorKind::BadRequest
    );
    let connection = rusqlite::Connection::open(home.database()).unwrap();
    let births: i64 = connection
        .query_row(
            "SELECT count(*) FROM events WHERE kind = 'tenant-born'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(births, 2);
}

#[test]
fn joining_is_one_step_that_can_be_taken_again() {
    let home = Home::new();
    let helper = Hostd::new(&home);
    let _daemon = helper.daemon(&home, &[]);
    let program = built("colibri");
    let colibri = |socket: &Path, words: &[&str], key: &str| {
        let mut command = std::process::Command::new(&program);
        command.arg("--socket").arg(socket).args(words).env_clear();
        let output = command.env("OPENROUTER_API_KEY", key).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let join = [
        "join",
        "main",
        "--runtime",
        "local",
        "--",
        "--rpc",
        "--step-ms",
        "1",
    ];
    helper.next(
        "create-jail",
        Say::Refuse(HostKind::System, "the disk is full"),
    );
    let (code, out, told) = colibri(&home.socket(), &join, "");
    assert_eq!((code, out.as_str()), (Some(1), ""), "{told}");
    assert!(told.contains("1/3 registered: main, number 1"), "{told}");
    assert!(
        told.ends_with("cannot make its jail: the disk is full; do something\n"),
        "{told}"
    );
    for _ in 0..2 {
        let (code, out, told) = colibri(&home.socket(), &join, "");
        assert_eq!(code, Some(0), "{told}");
        assert_eq!(out, "main is active: agent main runs in its jail\n");
        let lines: Vec<_> = told.lines().map(|line| &line[..4]).collect();
        assert_eq!(lines, ["1/3 ", "    ", "2/3 ", "3/3 "], "{told}");
    }
    assert_eq!(helper.agents("main"), 1);
    let (_, table, _) = colibri(&home.socket(), &["list-tenants"], "");
    assert!(table.contains("active"), "{table}");

    // What an agent does first, over its own socket.
    let door = helper.door("main", "main");
    let (code, out, _) = colibri(&door, &["mother", "--json"], "sk-1");
    let mother: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &mother["agent"]["name"]), (Some(0), &json!("main")));
    assert_eq!(mother["is_run_by_daemon"], true);
    assert_eq!(mother["keys"], json!(["OPENROUTER_API_KEY"]));
    assert!(!out.contains("sk-1"));
    let (code, _, told) = colibri(&door, &["mother"], "");
    assert_eq!(code, Some(1));
    assert!(told.contains("no key of a model provider"), "{told}");
    // From the host it registers itself.
    let (code, out, _) = colibri(&home.socket(), &["mother", "--name", "by-hand"], "sk-1");
    assert!(
        code == Some(0) && out.contains("registered by itself"),
        "{out}"
    );
}

#[test]
fn the_agent_of_the_environment_runs_in_its_tenants_jail_once_that_is_ready() {
    let home = Home::new();
    let helper = Hostd::new(&home);
    let daemon = helper.daemon(
        &home,
        &[
            ("COLIBRI_AUTOSPAWN", "yes"),
            (
                "COLIBRI_AUTOSPAWN_BINARY",
                "/usr/local/bin/colibri-test-agent",
            ),
            ("COLIBRI_AUTOSPAWN_ARGS", "--rpc --step-ms 1"),
            ("COLIBRI_AUTOSPAWN_TENANT", "main"),
        ],
    );
    let told = wait("that it is missed", LONG, || {
        Some(check(&home, "snapshot")).filter(|(ok, _)| !ok)
    });
    assert!(told.1.contains("waits for its tenant main"), "{told:?}");
    register(&home, named("main"));
    provision(&home, "main").unwrap();
    becomes(&home, "main", TenantStatus::Active);
    assert_eq!(helper.agents("main"), 1);
    assert!(check(&home, "snapshot").0);
    // Stopped by an operator it stays so, until the daemon starts anew.
    stop(&home, "colibri-test-agent");
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(helper.agents("main"), 0);
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn the_agent_of_the_environment_does_not_take_a_tenants_name() {
    let home = Home::new();
    let helper = Hostd::new(&home);
    let daemon = helper.daemon(&home, &[]);
    register(&home, named("main"));
    provision(&home, "main").unwrap();
    spawn(&home, jailed("colibri-test-agent", "main")).unwrap();
    daemon.stop(Signal::SIGTERM);
    let _daemon = helper.daemon(
        &home,
        &[
            ("COLIBRI_AUTOSPAWN", "yes"),
            ("COLIBRI_AUTOSPAWN_BINARY", test_agent().to_str().unwrap()),
            ("COLIBRI_AUTOSPAWN_ARGS", "--rpc --step-ms 1"),
        ],
    );
    let (_, told) = wait("that it is missed", LONG, || {
        Some(check(&home, "snapshot")).filter(|(ok, _)| !ok)
    });
    assert!(told.contains("belongs to tenant main"), "{told}");
}
