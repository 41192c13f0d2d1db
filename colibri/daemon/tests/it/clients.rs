//! Clients, polite and otherwise.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use colibri_protocol::{CreateTask, ListTasks, MAX_LINE};

use crate::harness::{Home, Raw};

/// What "not delayed" means on a busy test machine.
const PROMPT: Duration = Duration::from_secs(3);

fn promptly_answered(home: &Home) {
    let begun = Instant::now();
    home.client().status().unwrap();
    assert!(
        begun.elapsed() < PROMPT,
        "another client waited {:?}",
        begun.elapsed()
    );
}

#[test]
fn mistakes_are_answered_and_the_connection_goes_on() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let mut raw = Raw::connect(&home.socket());
    let reply = raw.ask(r#"{"cmd":"fly","id":"x"}"#);
    assert_eq!(
        (&reply["id"], &reply["error"]["kind"]),
        (&"x".into(), &"unknown-command".into())
    );
    assert_eq!(raw.ask("nonsense")["error"]["kind"], "bad-request");
    assert_eq!(raw.ask("\u{0}\u{ff}")["error"]["kind"], "bad-request");
    assert_eq!(
        raw.ask(r#"{"cmd":"create-task","title":" "}"#)["error"]["kind"],
        "bad-request"
    );
    assert_eq!(
        raw.ask(r#"{"cmd":"list-tasks","after":"x"}"#)["error"]["kind"],
        "bad-request"
    );
    assert_eq!(
        raw.ask(r#"{"cmd":"list-tasks","limit":501}"#)["error"]["kind"],
        "bad-request"
    );
    let deep = "[".repeat(100_000);
    assert_eq!(raw.ask(&deep)["error"]["kind"], "bad-request");
    // Blank lines are no requests; a carriage return is no fault.
    raw.send(b"\n\r\n  \n");
    assert_eq!(raw.ask("{\"cmd\":\"status\"}\r")["ok"], true);
}

#[test]
fn many_requests_sent_at_once_are_answered_in_order() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let mut raw = Raw::connect(&home.socket());
    let lines: String = (0..300)
        .map(|number| {
            format!("{{\"cmd\":\"create-task\",\"title\":\"t{number}\",\"id\":{number}}}\n")
        })
        .collect();
    raw.send(lines.as_bytes());
    for number in 0..300 {
        let reply = raw.reply().unwrap();
        assert_eq!(reply["id"], number);
        assert_eq!(reply["data"]["title"], format!("t{number}"));
    }
}

#[test]
fn an_over_long_line_is_refused_and_delays_nobody() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let mut raw = Raw::connect(&home.socket());
    raw.send(&vec![b'x'; MAX_LINE]);
    promptly_answered(&home);
    raw.send(b"xx");
    assert_eq!(raw.error_kind(), "line-too-long");
    assert_eq!(raw.reply(), None);

    // One that goes on for ever is cut off; it cannot send without end.
    let mut endless = Raw::connect(&home.socket());
    let chunk = vec![b'x'; 256 * 1024];
    let begun = Instant::now();
    let mut sent = 0;
    while endless.stream.write_all(&chunk).is_ok() {
        sent += chunk.len();
        assert!(sent < 64 * MAX_LINE && begun.elapsed() < Duration::from_secs(15));
    }
    promptly_answered(&home);
}

#[test]
fn a_line_as_long_as_allowed_is_read_to_its_end() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let mut raw = Raw::connect(&home.socket());
    let head = r#"{"cmd":"create-task","title":""#;
    let filler = "x".repeat(MAX_LINE - head.len() - 2);
    let reply = raw.ask(&format!("{head}{filler}\"}}"));
    assert!(
        reply["error"]["message"]
            .as_str()
            .unwrap()
            .contains("at most 200"),
        "{reply}"
    );
}

#[test]
fn half_lines_do_nothing_and_end() {
    let home = Home::new();
    let _daemon = home.start(&["--line-timeout", "0.4", "--idle-timeout", "30"]);
    let mut cut = Raw::connect(&home.socket());
    cut.send(br#"{"cmd":"create-task","title":"never"}"#);
    cut.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(cut.error_kind(), "bad-request");

    // A byte now and then does not buy more time.
    let mut slow = Raw::connect(&home.socket());
    let begun = Instant::now();
    for byte in br#"{"cmd":"create-task","title":"never"}"# {
        if slow.stream.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    assert_eq!(slow.error_kind(), "timed-out");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(home.client().status().unwrap().tasks.total(), 0);
}

#[test]
fn a_silent_client_is_let_go_without_a_word() {
    let home = Home::new();
    let _daemon = home.start(&["--idle-timeout", "0.3"]);
    let mut raw = Raw::connect(&home.socket());
    assert_eq!(raw.ask(r#"{"cmd":"status"}"#)["ok"], true);
    let begun = Instant::now();
    assert_eq!(raw.reply(), None);
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_client_that_never_reads_is_dropped_and_delays_nobody() {
    let home = Home::new();
    let _daemon = home.start(&["--write-timeout", "0.5"]);
    let description = Some("x".repeat(60_000));
    for number in 0..10 {
        let new = CreateTask {
            title: format!("big {number}"),
            description: description.clone(),
            ..CreateTask::default()
        };
        home.client().create_task(new).unwrap();
    }
    let mut deaf: Vec<_> = (0..10).map(|_| Raw::connect(&home.socket())).collect();
    for raw in &mut deaf {
        // Each asks for some 30 MB and takes none of it.
        raw.send("{\"cmd\":\"list-tasks\"}\n".repeat(50).as_bytes());
    }
    promptly_answered(&home);
    let begun = Instant::now();
    while home.client().status().unwrap().clients > 1 {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "deaf clients are kept"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn two_hundred_clients_at_once_are_all_served() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    // All connected first, so that they are there together.
    let clients: Vec<_> = (0..200).map(|_| Raw::connect(&home.socket())).collect();
    assert!(home.client().status().unwrap().clients >= 201);
    let ids: std::collections::HashSet<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(number, mut raw)| {
                scope.spawn(move || {
                    (0..5)
                        .map(|round| {
                            let reply = raw.ask(&format!(
                                "{{\"cmd\":\"create-task\",\"title\":\"{number}/{round}\"}}"
                            ));
                            assert_eq!(reply["data"]["title"], format!("{number}/{round}"));
                            reply["data"]["id"].as_str().unwrap().to_owned()
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert_eq!(ids.len(), 1000);
    assert_eq!(home.client().status().unwrap().tasks.queued, 1000);
}

/// A client that has a seat for certain: one that just left may still hold its own.
fn sit_down(home: &Home) -> Raw {
    let begun = Instant::now();
    loop {
        let mut raw = Raw::connect(&home.socket());
        let sent = raw.stream.write_all(b"{\"cmd\":\"status\"}\n").is_ok();
        if sent && raw.whole_reply().is_some_and(|reply| reply["ok"] == true) {
            return raw;
        }
        assert!(begun.elapsed() < PROMPT, "no seat gets free");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn more_clients_than_seats_are_told_so() {
    let home = Home::new();
    let _daemon = home.start(&["--max-clients", "3"]);
    let mut seated: Vec<_> = (0..3).map(|_| sit_down(&home)).collect();
    let mut late = Raw::connect(&home.socket());
    assert_eq!(late.error_kind(), "busy");
    assert_eq!(late.reply(), None);
    drop(seated.pop());
    let begun = Instant::now();
    while home.client().status().is_err() {
        assert!(begun.elapsed() < PROMPT, "the seat stays taken");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn pages_of_long_tasks_stay_below_the_limit_of_a_line() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    for number in 0..20 {
        // Newlines take two bytes each in JSON: the worst that is allowed.
        let description = Some("\n".repeat(CreateTask::MAX_DESCRIPTION_BYTES));
        home.client()
            .create_task(CreateTask {
                title: format!("t{number}"),
                description,
                ..CreateTask::default()
            })
            .unwrap();
    }
    let mut which = ListTasks {
        limit: Some(500),
        ..ListTasks::default()
    };
    let mut pages = Vec::new();
    loop {
        // The client itself refuses a longer line.
        let page = home.client().list_tasks(which.clone()).unwrap();
        pages.push(page.tasks.len());
        which.after = page.next;
        if which.after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [7, 7, 6]);
}
