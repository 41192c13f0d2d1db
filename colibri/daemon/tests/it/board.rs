//! The board as agents and operators see it: claims, leases, assignments, jobs, changes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use colibri_protocol::{
    Agent, Command, CostMode, CostModeInForce, CreateJob, CreateTask, GetTask, Heartbeat,
    ListTasks, Missed, RegisterAgent, Schedule, SetCostMode, Task, TaskDetails, TaskStatus,
    TransitionTask,
};
use nix::sys::signal::Signal;
use uuid::Uuid;

use crate::harness::{Home, LONG, Raw};

pub(crate) fn agent(home: &Home, name: &str, can: &[&str]) -> Agent {
    let new = RegisterAgent {
        name: name.parse().unwrap(),
        capabilities: can.iter().map(|one| one.parse().unwrap()).collect(),
        host: None,
        slots: None,
    };
    home.client().ask(Command::RegisterAgent(new)).unwrap()
}

pub(crate) fn needing(title: &str, needs: &[&str]) -> CreateTask {
    CreateTask {
        capabilities: needs.iter().map(|one| one.parse().unwrap()).collect(),
        ..CreateTask::titled(title)
    }
}

pub(crate) fn details(home: &Home, task_id: Uuid) -> TaskDetails {
    home.client()
        .ask(Command::GetTask(GetTask { task_id }))
        .unwrap()
}

fn go(home: &Home, to: TransitionTask) -> Task {
    home.client().ask(Command::TransitionTask(to)).unwrap()
}

/// Waits until the task stands there.
fn stands(home: &Home, task_id: Uuid, status: TaskStatus) -> Task {
    let end = Instant::now() + LONG;
    loop {
        let task = details(home, task_id).task;
        if task.status == status {
            return task;
        }
        assert!(Instant::now() < end, "{task:?} is not {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_hundred_claimers_get_each_of_two_thousand_tasks_once() {
    claim_race(200, 2000);
}

#[test]
#[ignore = "ten thousand tasks take a minute; `cargo xtask test --all` plays it"]
fn two_hundred_claimers_get_each_of_ten_thousand_tasks_once() {
    claim_race(200, 10_000);
}

fn claim_race(claimers: usize, tasks: usize) {
    let home = Home::new();
    // The scheduler gives idle agents a task each: one more claimer.
    let _daemon = home.start(&["--tick-seconds", "3600"]);
    // Many at once, so that they share the syncs of the disk.
    let ids: Vec<String> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..40)
            .map(|_| {
                scope.spawn(|| {
                    let mut maker = Raw::connect(&home.socket());
                    let line = "{\"cmd\":\"create-task\",\"title\":\"t\"}\n";
                    maker.send(line.repeat(tasks / 40).as_bytes());
                    (0..tasks / 40)
                        .map(|_| {
                            maker.reply().unwrap()["data"]["id"]
                                .as_str()
                                .unwrap()
                                .to_owned()
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let made = makers.into_iter();
        made.flat_map(|maker| maker.join().unwrap()).collect()
    });

    let next = AtomicUsize::new(0);
    let won: Vec<(String, String)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..claimers)
            .map(|number| {
                let (home, ids, next) = (&home, &ids, &next);
                scope.spawn(move || {
                    let mut raw = Raw::connect(&home.socket());
                    let name = format!("{{\"cmd\":\"register-agent\",\"name\":\"a{number}\"}}");
                    let agent = raw.ask(&name)["data"]["id"].as_str().unwrap().to_owned();
                    let mut won = Vec::new();
                    // Each task is tried by two claimers at about the same time.
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed) / 2;
                        let Some(id) = ids.get(at) else {
                            return won;
                        };
                        let reply = raw.ask(&format!(
                            "{{\"cmd\":\"claim-task\",\"task_id\":\"{id}\",\"agent_id\":\"{agent}\"}}"
                        ));
                        if reply["ok"] == true {
                            won.push((id.clone(), agent.clone()));
                        } else {
                            assert_eq!(reply["error"]["kind"], "conflict", "{reply}");
                        }
                    }
                })
            })
            .collect();
        let won = workers.into_iter();
        won.flat_map(|worker| worker.join().unwrap()).collect()
    });
    let winners: HashMap<&String, &String> = won.iter().map(|(id, agent)| (id, agent)).collect();
    assert_eq!(winners.len(), won.len(), "a task was given twice");
    // With what the scheduler gave out, nothing is left and nothing is twice.
    let counts = home.client().status().unwrap().tasks;
    assert_eq!((counts.queued, counts.claimed), (0, tasks as u64));
    let connection = rusqlite::Connection::open(home.database()).unwrap();
    let claims: i64 = connection
        .query_row(
            "SELECT count(*) FROM events WHERE kind = 'task-claimed'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(claims, i64::try_from(tasks).unwrap());
}

#[test]
fn a_task_is_given_at_once_to_the_one_that_can_do_it_and_others_say_why_not() {
    let home = Home::new();
    let _daemon = home.start(&["--tick-seconds", "3600"]);
    let _half = agent(&home, "half", &["freebsd"]);
    let task = home
        .client()
        .create_task(needing("build", &["freebsd", "gpu"]))
        .unwrap();
    let parked = details(&home, task.id).task;
    assert_eq!(
        parked.parked.as_deref(),
        Some("no agent has all of `freebsd`, `gpu`")
    );
    let whole = agent(&home, "whole", &["freebsd", "gpu", "code"]);
    let given = stands(&home, task.id, TaskStatus::Claimed);
    assert_eq!((given.agent_id, given.parked), (Some(whole.id), None));
    let event = details(&home, task.id).events.pop().unwrap();
    assert_eq!(event.actor, "scheduler");

    // One slot, so the next one waits until the first has ended.
    let next = home
        .client()
        .create_task(needing("next", &["gpu"]))
        .unwrap();
    let reason = details(&home, next.id).task.parked.unwrap();
    assert!(reason.contains("busy: whole"), "{reason}");
    for status in [TaskStatus::Started, TaskStatus::Done] {
        go(&home, TransitionTask::to(task.id, status, Some(whole.id)));
    }
    stands(&home, next.id, TaskStatus::Claimed);
    let which = ListTasks {
        agent_id: Some(whole.id),
        status: Some(TaskStatus::Claimed),
        ..ListTasks::default()
    };
    assert_eq!(
        home.client().list_tasks(which).unwrap().tasks[0].id,
        next.id
    );
    let status = home.client().status().unwrap();
    assert_eq!((status.agents.active, status.agents.idle), (1, 1));
    assert!(status.scheduler.last_tick.is_some());
    assert!(home.client().service_check().unwrap().healthy);
}

#[test]
fn a_silent_agent_is_offline_and_its_task_goes_to_another() {
    let home = Home::new();
    let _daemon = home.start(&["--tick-seconds", "0.2", "--lease-seconds", "1"]);
    let silent = agent(&home, "silent", &["code"]);
    let task = home.client().create_task(needing("t", &["code"])).unwrap();
    assert_eq!(
        stands(&home, task.id, TaskStatus::Claimed).agent_id,
        Some(silent.id)
    );
    let lively = agent(&home, "lively", &["code"]);
    let end = Instant::now() + LONG;
    loop {
        let beat = Heartbeat {
            agent_id: lively.id,
            host: None,
        };
        let seen: Agent = home.client().ask(Command::Heartbeat(beat)).unwrap();
        if seen.holds == 1 {
            break;
        }
        assert!(Instant::now() < end, "{}", home.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let task = details(&home, task.id);
    assert_eq!(
        (task.task.agent_id, task.task.attempts),
        (Some(lively.id), 2)
    );
    assert!(
        task.events
            .iter()
            .any(|event| event.kind == "task-requeued")
    );
    // The first one wakes up too late.
    let late = TransitionTask::to(task.task.id, TaskStatus::Started, Some(silent.id));
    let error = home
        .client()
        .ask::<Task>(Command::TransitionTask(late))
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not hold"), "{error}");
}

#[test]
fn subscribers_hear_every_change_and_a_slow_one_is_told_that_it_lags() {
    let home = Home::new();
    let _daemon = home.start(&["--write-timeout", "60"]);
    let mut quick = Raw::connect(&home.socket());
    let first = quick.ask(r#"{"cmd":"subscribe","id":"s"}"#);
    assert_eq!(
        (&first["id"], &first["data"]["change"]),
        (&"s".into(), &"subscribed".into())
    );
    let mut slow = Raw::connect(&home.socket());
    assert_eq!(
        slow.ask(r#"{"cmd":"subscribe"}"#)["data"]["change"],
        "subscribed"
    );

    let (makers, each) = (30, 100);
    let count = makers * each;
    let reading = std::thread::spawn(move || {
        for number in 0..count {
            let line = quick.reply().unwrap();
            assert_eq!(line["data"]["change"], "task", "{number}: {line}");
        }
        quick
    });
    // Many at once, so that they share the syncs of the disk.
    std::thread::scope(|scope| {
        for _ in 0..makers {
            scope.spawn(|| {
                let mut maker = Raw::connect(&home.socket());
                let title = "x".repeat(200);
                let line = format!("{{\"cmd\":\"create-task\",\"title\":\"{title}\"}}\n");
                maker.send(line.repeat(each).as_bytes());
                for _ in 0..each {
                    assert_eq!(maker.reply().unwrap()["ok"], true);
                }
            });
        }
    });
    let mut quick = reading.join().unwrap();
    agent(&home, "a", &[]);
    assert_eq!(quick.reply().unwrap()["data"]["change"], "agent");

    let (mut told, mut lagged) = (0, 0);
    loop {
        let line = slow.reply().unwrap();
        match line["data"]["change"].as_str().unwrap() {
            "task" => told += 1,
            "lagged" => lagged += line["data"]["missed"].as_u64().unwrap(),
            "agent" => break,
            other => panic!("{other}"),
        }
    }
    assert_eq!(told + lagged, count as u64);
    assert!(lagged > 0, "all {told} fitted into the socket");
}

#[test]
fn a_restart_in_the_middle_keeps_who_has_what_jobs_and_the_cost_mode() {
    let home = Home::new();
    let daemon = home.start(&["--lease-seconds", "60"]);
    let worker = agent(&home, "worker", &["code"]);
    let task = home.client().create_task(needing("t", &["code"])).unwrap();
    stands(&home, task.id, TaskStatus::Claimed);
    let set = SetCostMode {
        mode: CostMode::Fast,
        persist: true,
    };
    let set: CostModeInForce = home.client().ask(Command::SetCostMode(set)).unwrap();
    assert!(set.persisted);
    let job = CreateJob {
        name: "later".parse().unwrap(),
        schedule: Schedule::Interval { seconds: 3600 },
        missed: Missed::Skip,
        task: CreateTask::titled("again"),
    };
    let _: colibri_protocol::Job = home.client().ask(Command::CreateJob(job)).unwrap();
    daemon.signal(Signal::SIGKILL);
    drop(daemon);

    let limits = ["--limits-fast", "400000,4,3000", "--stall-seconds", "90"];
    let flags = [["--cost-mode", "max", "--lease-seconds", "60"], limits].concat();
    let daemon = home.start(&flags);
    let status = home.client().status().unwrap();
    assert_eq!((status.cost_mode, status.jobs), (CostMode::Fast, 1));
    let allowed = (status.thresholds.session_bytes, status.thresholds.turns);
    assert_eq!((allowed, status.stall_seconds), ((400_000, 4), 90));
    assert_eq!(details(&home, task.id).task.agent_id, Some(worker.id));
    go(
        &home,
        TransitionTask::to(task.id, TaskStatus::Started, Some(worker.id)),
    );
    go(
        &home,
        TransitionTask::to(task.id, TaskStatus::Done, Some(worker.id)),
    );
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn a_job_makes_its_tasks_by_the_clock() {
    let home = Home::new();
    let _daemon = home.start(&["--tick-seconds", "3600"]);
    let job = |name: &str, schedule| CreateJob {
        name: name.parse().unwrap(),
        schedule,
        missed: Missed::Once,
        task: CreateTask::titled(name),
    };
    let at = jiff::Timestamp::now() + Duration::from_millis(300);
    for job in [
        job("once", Schedule::Once { at }),
        job("often", Schedule::Interval { seconds: 1 }),
        job(
            "cron",
            Schedule::Cron {
                expression: "* * * * * *".into(),
                zone: "Europe/Ljubljana".into(),
            },
        ),
    ] {
        let _: colibri_protocol::Job = home.client().ask(Command::CreateJob(job)).unwrap();
    }
    let end = Instant::now() + LONG;
    loop {
        let tasks = home
            .client()
            .list_tasks(ListTasks::default())
            .unwrap()
            .tasks;
        let made = |name| tasks.iter().filter(|task| task.title == name).count();
        if made("often") >= 2 && made("cron") >= 2 {
            assert_eq!(made("once"), 1);
            assert!(tasks.iter().all(|task| task.job_id.is_some()));
            break;
        }
        assert!(Instant::now() < end, "{tasks:?}\n{}", home.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut raw = Raw::connect(&home.socket());
    assert_eq!(
        raw.ask(r#"{"cmd":"remove-job","name":"often"}"#)["ok"],
        true
    );
    let again = raw.ask(r#"{"cmd":"remove-job","name":"often"}"#);
    assert_eq!(again["error"]["kind"], "not-found");
    let bad = raw.ask(
        r#"{"cmd":"create-job","name":"x","task":{"title":"t"},
            "schedule":{"kind":"cron","expression":"99 * * * *"}}"#
            .replace('\n', " ")
            .as_str(),
    );
    assert_eq!(bad["error"]["kind"], "bad-request");
}

#[test]
fn a_backup_is_a_whole_database_of_its_own() {
    let home = Home::new();
    let daemon = home.start(&[]);
    let task = home.client().create_task(CreateTask::titled("t")).unwrap();
    let client = home.client();
    let (size, mut copy) = client.back_up().unwrap();
    // What comes to the board meanwhile is not in it.
    let many = "d".repeat(60_000);
    for _ in 0..40 {
        let big = CreateTask {
            description: Some(many.clone()),
            ..CreateTask::titled("big")
        };
        home.client().create_task(big).unwrap();
    }
    let file = home.path("copy.sqlite");
    let written = std::io::copy(&mut copy, &mut std::fs::File::create(&file).unwrap()).unwrap();
    assert_eq!(written, size);

    // A client that takes nothing keeps others from a copy until it is gone.
    let client = home.client();
    let (big, idle) = client.back_up().unwrap();
    assert!(big > 2_000_000, "{big}");
    let busy = home.client().back_up().err().map(|error| error.to_string());
    assert!(busy.is_some_and(|text| text.contains("another backup is under way")));
    drop(idle);
    let end = Instant::now() + LONG;
    while home.client().back_up().is_err() {
        assert!(Instant::now() < end, "{}", home.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!home.path("data/backup.partial").exists());
    daemon.stop(Signal::SIGTERM);

    std::fs::rename(&file, home.database()).unwrap();
    let _daemon = home.start(&[]);
    assert_eq!(details(&home, task.id).task.title, "t");
}

#[test]
fn who_is_not_known_is_not_found() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let mut raw = Raw::connect(&home.socket());
    let nobody = Uuid::nil();
    for line in [
        format!(r#"{{"cmd":"get-task","task_id":"{nobody}"}}"#),
        format!(r#"{{"cmd":"cancel-task","task_id":"{nobody}"}}"#),
        format!(r#"{{"cmd":"heartbeat","agent_id":"{nobody}"}}"#),
        format!(r#"{{"cmd":"claim-task","task_id":"{nobody}","agent_id":"{nobody}"}}"#),
        format!(r#"{{"cmd":"transition-task","task_id":"{nobody}","status":"done"}}"#),
    ] {
        assert_eq!(raw.ask(&line)["error"]["kind"], "not-found", "{line}");
    }
    let object = raw.ask(r#"{"cmd":"register-agent","name":"a","capabilities":{"gpu":true}}"#);
    assert_eq!(object["error"]["kind"], "bad-request", "{object}");
}
