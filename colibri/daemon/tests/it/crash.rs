//! `kill -9` in the middle of everything: what was acknowledged stays.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use colibri_protocol::{CreateTask, ListTasks};
use nix::sys::signal::Signal;

use crate::agents::{processes_with, spawn, spawning, test_agent, wait};
use crate::harness::{Home, LONG, Raw};

/// Clients that are at work when the daemon is killed.
const CLIENTS: usize = 50;

#[test]
fn twenty_kills_under_load_lose_no_acknowledged_task() {
    let home = Home::new();
    let acknowledged = Mutex::new(HashSet::new());
    for life in 0..20_u64 {
        let mut daemon = home.start(&[]);
        std::thread::scope(|scope| {
            for worker in 0..CLIENTS {
                let (home, acknowledged) = (&home, &acknowledged);
                scope.spawn(move || {
                    let mut raw = Raw::connect(&home.socket());
                    for number in 0.. {
                        let line = format!(
                            "{{\"cmd\":\"create-task\",\"title\":\"{life}/{worker}/{number}\"}}\n"
                        );
                        if std::io::Write::write_all(&mut raw.stream, line.as_bytes()).is_err() {
                            break;
                        }
                        let Some(reply) = raw.whole_reply() else {
                            break;
                        };
                        let id = reply["data"]["id"].as_str().unwrap().to_owned();
                        acknowledged.lock().unwrap().insert(id);
                    }
                });
            }
            // Not always at the same moment of a transaction.
            std::thread::sleep(Duration::from_millis(100 + life * 7 % 60));
            daemon.signal(Signal::SIGKILL);
            daemon.ended();
        });
    }

    let daemon = home.start(&[]);
    let mut kept = HashSet::new();
    let mut which = ListTasks {
        limit: Some(500),
        ..ListTasks::default()
    };
    loop {
        let page = home.client().list_tasks(which.clone()).unwrap();
        kept.extend(page.tasks.into_iter().map(|task| task.id.to_string()));
        which.after = page.next;
        if which.after.is_none() {
            break;
        }
    }
    let acknowledged = acknowledged.into_inner().unwrap();
    let lost: Vec<_> = acknowledged.difference(&kept).collect();
    assert!(
        lost.is_empty(),
        "lost {} of {}: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    assert!(
        acknowledged.len() > 100,
        "only {} tasks: no load",
        acknowledged.len()
    );

    // The counts, kept by triggers, agree with the rows; so do the events.
    let counts = home.client().status().unwrap().tasks;
    assert_eq!(counts.total(), kept.len() as u64);
    home.client()
        .create_task(CreateTask::titled("after"))
        .unwrap();
    daemon.stop(Signal::SIGTERM);
    let connection = rusqlite::Connection::open(home.database()).unwrap();
    let (integrity, events): (String, i64) = (
        connection
            .pragma_query_value(None, "integrity_check", |row| row.get(0))
            .unwrap(),
        connection
            .query_row("SELECT count(*) FROM events", [], |row| row.get(0))
            .unwrap(),
    );
    assert_eq!(
        (integrity.as_str(), events),
        ("ok", i64::try_from(kept.len() + 1).unwrap())
    );
}

#[test]
fn twenty_kills_under_transitions_lose_none_and_apply_none_twice() {
    transitions_under_kills(20);
}

#[test]
#[ignore = "two hundred lives take minutes; `cargo xtask test --all` plays them"]
fn two_hundred_kills_under_transitions_lose_none_and_apply_none_twice() {
    transitions_under_kills(200);
}

/// Workers take tasks through their whole life, each step with a known usage, and ask again after a
/// kill for what they got no reply to.
fn transitions_under_kills(lives: u64) {
    const STEP: i64 = 7;
    let home = Home::new();
    // What was acknowledged last, of each task.
    let acknowledged = Mutex::new(std::collections::HashMap::<String, &'static str>::new());
    let started = AtomicU64::new(0);
    test_agent();
    for life in 0..lives {
        let mut daemon = home.start(&["--tick-seconds", "3600"]);
        std::thread::scope(|scope| {
            for worker in 0..CLIENTS {
                let (home, acknowledged) = (&home, &acknowledged);
                scope.spawn(move || -> Option<()> {
                    let mut raw = Raw::connect(&home.socket());
                    let mut ask = |line: String| -> Option<serde_json::Value> {
                        std::io::Write::write_all(&mut raw.stream, line.as_bytes()).ok()?;
                        raw.whole_reply()
                    };
                    let note = |id: &str, status| {
                        acknowledged.lock().unwrap().insert(id.to_owned(), status);
                    };
                    // Needs what it lacks for the scheduler to leave it alone: a slot.
                    let agent = ask(format!(
                        "{{\"cmd\":\"register-agent\",\"name\":\"w{worker}\",\"capabilities\":[\"w{worker}\"]}}\n"
                    ))?["data"]["id"]
                        .as_str()?
                        .to_owned();
                    // What an earlier life left half done.
                    let mine = ask(format!(
                        "{{\"cmd\":\"list-tasks\",\"agent_id\":\"{agent}\",\"limit\":500}}\n"
                    ))?;
                    let mut open: Vec<String> = mine["data"]["tasks"]
                        .as_array()?
                        .iter()
                        .filter(|task| task["status"] == "claimed" || task["status"] == "started")
                        .map(|task| task["id"].as_str().unwrap().to_owned())
                        .collect();
                    loop {
                        let id = match open.pop() {
                            Some(id) => id,
                            None => {
                                let made = ask(format!(
                                    "{{\"cmd\":\"create-task\",\"title\":\"t\",\"capabilities\":[\"w{worker}\"]}}\n"
                                ))?;
                                let id = made["data"]["id"].as_str()?.to_owned();
                                note(&id, "queued");
                                let claimed = ask(format!(
                                    "{{\"cmd\":\"claim-task\",\"task_id\":\"{id}\",\"agent_id\":\"{agent}\"}}\n"
                                ))?;
                                // Otherwise the scheduler was faster, for the same agent.
                                assert!(claimed["ok"] == true || claimed["error"]["kind"] == "conflict");
                                id
                            }
                        };
                        for status in ["started", "done"] {
                            let moved = ask(format!(
                                "{{\"cmd\":\"transition-task\",\"task_id\":\"{id}\",\"agent_id\":\"{agent}\",\
                                 \"status\":\"{status}\",\"usage\":{{\"input\":{STEP}}}}}\n"
                            ))?;
                            assert_eq!(moved["ok"], true, "{moved}");
                            note(&id, status);
                        }
                    }
                });
            }
            // It may be killed in the middle of that, too.
            let agent = spawning(&format!("a{life}"), &["--rpc", "--children", "3"]);
            let (home, started) = (&home, &started);
            scope.spawn(move || {
                if spawn(home, agent).is_ok() {
                    started.fetch_add(1, Ordering::Relaxed);
                }
            });
            std::thread::sleep(Duration::from_millis(150 + life * 7 % 60));
            daemon.signal(Signal::SIGKILL);
            daemon.ended();
        });
    }
    assert!(started.into_inner() > 0, "no agent was ever started");
    let mark = format!("HOME={}", home.path("data/agents/a").display());
    wait("the end of all agents", LONG, || {
        processes_with(&mark).is_empty().then_some(())
    });

    let daemon = home.start(&[]);
    daemon.stop(Signal::SIGTERM);
    let connection = rusqlite::Connection::open(home.database()).unwrap();
    let rank = |status: &str| {
        ["queued", "claimed", "started", "done"]
            .iter()
            .position(|one| *one == status)
    };
    let acknowledged = acknowledged.into_inner().unwrap();
    let mut done = 0;
    for (id, promised) in &acknowledged {
        let (status, tokens, events): (String, i64, String) = connection
            .query_row(
                "SELECT status, tokens_in,
                    (SELECT group_concat(kind) FROM (SELECT kind FROM events WHERE task = id ORDER BY seq))
                 FROM tasks WHERE id = ?1",
                [id],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        assert!(
            rank(&status) >= rank(promised),
            "{id}: {promised} was promised, is {status}"
        );
        let all = ["task-created", "task-claimed", "task-started", "task-done"];
        let kept = rank(&status).unwrap();
        // Every step that was made left one event and one booking, and no more.
        assert_eq!(events, all[..=kept].join(","), "{id}");
        let booked = i64::try_from(kept.saturating_sub(1)).unwrap() * STEP;
        assert_eq!(tokens, booked, "{id}: {status}");
        done += u64::from(status == "done");
    }
    assert!(done > lives, "only {done} tasks were done: no load");
}
