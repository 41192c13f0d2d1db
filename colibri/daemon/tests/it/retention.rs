//! What ended long ago is removed by a running daemon, and what is open never.

use std::fs::File;
use std::time::{Duration, SystemTime};

use colibri_protocol::{Command, ErrorKind, GetTask, SpawnAgent, TaskDetails, TaskStatus};
use nix::sys::signal::Signal;
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::agents::{create, pane, refusal, spawn, spawning, stands, stop, wait};
use crate::board::details;
use crate::harness::{Home, LONG};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[test]
fn what_ended_long_ago_goes_and_is_counted_and_what_is_open_stays() {
    let home = Home::new();
    let daemon = home.start(&[]);
    // Two sessions of one agent: it is asked something else first.
    spawn(&home, spawning("ada", &["--rpc", "--step-ms", "1"])).unwrap();
    let first = pane(&home, "ada").session.unwrap().session;
    let done = create(&home, "Task 1");
    stands(&home, &done, TaskStatus::Done, LONG);
    stop(&home, "ada");
    let again = SpawnAgent {
        prompt: Some("Be kind.".to_owned()),
        ..spawning("ada", &["--rpc", "--step-ms", "1"])
    };
    spawn(&home, again).unwrap();
    let second = pane(&home, "ada").session.unwrap().session;
    assert_ne!(first, second);
    let kept = create(&home, "Task 2");
    stands(&home, &kept, TaskStatus::Done, LONG);
    stop(&home, "ada");
    let open = create(&home, "Task 3");
    daemon.stop(Signal::SIGTERM);

    // A task of long ago that has ended, as the daemon would have written it; and one that has not.
    let database = Connection::open(home.database()).unwrap();
    let long_ago = "2020-01-01T00:00:00.000Z";
    let (old, waits) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for (id, status) in [(old, "failed"), (waits, "queued")] {
        let id = id.to_string();
        database
            .execute(
                "INSERT INTO tasks (id, title, description, status, created_by, created_at,
                     updated_at, capabilities, tokens_in, cost)
                 VALUES (?1, 'old', '', ?2, 'uid:0', ?3, ?3, '[\"none-has-it\"]', 1200, 8100000)",
                params![id, status, long_ago],
            )
            .unwrap();
        database
            .execute(
                "INSERT INTO events (at, actor, kind, task, detail)
                 VALUES (?2, 'uid:0', 'task-created', ?1, '{}')",
                params![id, long_ago],
            )
            .unwrap();
    }
    database.close().unwrap();
    let file = |session| home.path(&format!("data/agents/ada/sessions/{session}.jsonl"));
    for session in [first, second] {
        let written = File::options().append(true).open(file(session)).unwrap();
        written.set_modified(SystemTime::now() - YEAR).unwrap();
    }

    // For ever, nothing goes; a sweep comes every 120 ticks.
    let tick = ["--tick-seconds", "0.01"];
    let off = ["--task-days", "off", "--session-days", "0"];
    let daemon = home.start(&[&tick[..], &off[..]].concat());
    std::thread::sleep(Duration::from_secs(3));
    let retention = home.client().status().unwrap().retention;
    assert_eq!((retention.task_days, retention.session_days), (None, None));
    assert_eq!(retention.removed.total(), 0);
    assert!(file(first).exists());
    daemon.stop(Signal::SIGTERM);

    let daemon = home.start(&tick);
    wait("the sweep", LONG, || {
        let status = home.client().status().unwrap();
        (status.retention.removed.failed == 1 && !file(first).exists()).then_some(())
    });
    assert!(file(second).exists(), "the newest");
    let status = home.client().status().unwrap();
    let retention = status.retention;
    assert_eq!(
        (retention.task_days, retention.session_days),
        (Some(90), Some(90))
    );
    assert_eq!(retention.removed.total(), 1);
    let usage = retention.removed_usage;
    assert_eq!(
        (usage.input, usage.cost_usd.billionths()),
        (1200, 8_100_000)
    );
    assert_eq!((status.tasks.done, status.tasks.failed), (2, 0));
    let get = Command::GetTask(GetTask { task_id: old });
    let (kind, _) = refusal::<TaskDetails>(home.client().ask(get));
    assert_eq!(kind, ErrorKind::NotFound);
    for (task, events) in [(waits, 1), (open.id, 1), (done.id, 4), (kept.id, 4)] {
        assert!(details(&home, task).events.len() >= events, "{task}");
    }
    let words = "removed what ended long ago: 1 task(s), 1 event(s), 0 agent(s), 1 session(s)";
    wait("the log", LONG, || home.log().contains(words).then_some(()));
    daemon.stop(Signal::SIGTERM);
}
