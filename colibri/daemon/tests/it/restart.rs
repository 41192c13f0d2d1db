//! A daemon that is killed and started again: what its agents had is free at once.

use colibri_protocol::TaskStatus;
use nix::sys::signal::Signal;

use crate::agents::{create, spawn, spawning, stands};
use crate::board::{agent, details, needing};
use crate::harness::{Home, LONG};

/// Longer than the test: what comes back meanwhile does so for another reason.
const LEASE: [&str; 2] = ["--lease-seconds", "3600"];

#[test]
fn a_task_whose_agent_died_with_the_daemon_is_free_at_once_and_only_once() {
    let home = Home::new();
    let mut daemon = home.start(&LEASE);
    let hanging = ["--rpc", "--step-ms", "1", "--hang"];
    spawn(&home, spawning("ada", &hanging)).unwrap();
    let task = create(&home, "Read the note");
    stands(&home, &task, TaskStatus::Started, LONG);
    // One that runs by itself, and may be at work while there is no daemon.
    let eve = agent(&home, "eve", &["mail"]);
    let hers = home.client().create_task(needing("Sort it", &["mail"]));
    let hers = hers.unwrap();
    stands(&home, &hers, TaskStatus::Claimed, LONG);

    // The second restart finds nothing more to take back.
    for _ in 0..2 {
        daemon.signal(Signal::SIGKILL);
        daemon.ended();
        daemon = home.start(&LEASE);
        let back = details(&home, task.id);
        assert_eq!(
            (back.task.status, back.task.agent_id, back.task.attempts),
            (TaskStatus::Queued, None, 1)
        );
        let event = back.events.last().unwrap();
        assert_eq!(event.actor, "daemon");
        let why = event.note.as_deref().unwrap();
        assert!(why.contains("1 of 3: the daemon restarted"), "{why}");
        // The dead agent is not given it again.
        let parked = back.task.parked.unwrap();
        assert_eq!(parked, "every agent that can do it is offline: ada");
        let kept = details(&home, hers.id).task;
        assert_eq!(
            (kept.status, kept.agent_id, kept.attempts),
            (TaskStatus::Claimed, Some(eve.id), 1)
        );
    }

    spawn(&home, spawning("ada", &["--rpc", "--step-ms", "1"])).unwrap();
    let done = stands(&home, &task, TaskStatus::Done, LONG);
    assert_eq!(done.task.attempts, 2);
    let kinds: Vec<&str> = done
        .events
        .iter()
        .map(|event| event.kind.as_str())
        .collect();
    let expected = [
        "task-created",
        "task-claimed",
        "task-started",
        "task-requeued",
        "task-claimed",
        "task-started",
        "task-done",
    ];
    assert_eq!(kinds, expected);
}
