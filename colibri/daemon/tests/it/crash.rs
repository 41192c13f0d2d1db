//! `kill -9` in the middle of everything: what was acknowledged stays.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use colibri_protocol::{CreateTask, ListTasks};
use nix::sys::signal::Signal;

use crate::harness::{Home, Raw};

#[test]
fn twenty_kills_under_load_lose_no_acknowledged_task() {
    let home = Home::new();
    let acknowledged = Mutex::new(HashSet::new());
    for life in 0..20_u64 {
        let mut daemon = home.start(&[]);
        std::thread::scope(|scope| {
            for worker in 0..6 {
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
            std::thread::sleep(Duration::from_millis(40 + life * 7 % 60));
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
        .create_task(CreateTask {
            title: "after".into(),
            description: None,
        })
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
