//! Start and stop, in every order and at every bad moment.

use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use colibri_protocol::{CreateTask, ListTasks};
use nix::sys::signal::Signal;
use rusqlite::Connection;

use crate::harness::{Daemon, Home, LONG, Raw, mode};

fn task(title: impl Into<String>) -> CreateTask {
    CreateTask::titled(title)
}

#[test]
fn ten_lives_in_a_row_lose_nothing_and_leave_no_socket() {
    let home = Home::new();
    for life in 0..10 {
        let daemon = home.start(&[]);
        assert_eq!(home.client().status().unwrap().tasks.queued, life);
        home.client()
            .create_task(task(format!("life {life}")))
            .unwrap();
        daemon.stop(if life % 2 == 0 {
            Signal::SIGTERM
        } else {
            Signal::SIGINT
        });
        assert!(!home.socket().exists());
        // Checkpointed: the log is gone and the file alone holds everything.
        assert!(!home.path("data/colibri.sqlite-wal").exists());
        assert!(home.database().exists());
    }
    let count: i64 = Connection::open(home.database())
        .unwrap()
        .query_row(
            "SELECT count(*) FROM tasks JOIN events ON task = id",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(count, 10);
}

#[test]
fn files_are_private_and_the_database_is_in_wal_mode() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    home.client().create_task(task("t")).unwrap();
    assert_eq!(mode(&home.socket()), 0o660);
    assert_eq!(mode(&home.path("data")), 0o750);
    assert_eq!(mode(&home.database()), 0o600);
    assert_eq!(mode(&home.path("data/colibri.sqlite-wal")), 0o600);
    let journal: String = Connection::open(home.database())
        .unwrap()
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!(journal, "wal");
    let status = home.client().status().unwrap();
    assert_eq!(status.database.journal_mode, "wal");
    assert_eq!(
        (status.host.as_str(), status.db_path),
        ("test", home.database())
    );
}

#[test]
fn a_living_daemon_is_not_disturbed_by_a_second_one() {
    let home = Home::new();
    let first = home.start(&[]);
    let other_data = home.path("other");
    let (code, words) = home.refused(&["--data-dir", other_data.to_str().unwrap()]);
    assert_eq!(code, 3, "{words}");
    assert!(
        words.contains(&format!("pid {} answers there", first.pid())),
        "{words}"
    );
    assert!(!other_data.exists(), "a refused daemon changes nothing");

    let other_socket = home.path("other.sock");
    let (code, words) = home.refused(&["--socket", other_socket.to_str().unwrap()]);
    assert_eq!(code, 3, "{words}");
    assert!(words.contains("colibri.sqlite is in use"), "{words}");
    assert!(!other_socket.exists());

    assert_eq!(home.client().status().unwrap().pid, first.pid());
    first.stop(Signal::SIGTERM);
}

#[test]
fn a_daemon_that_accepts_and_does_not_answer_counts_as_alive() {
    let home = Home::new();
    let _hung = UnixListener::bind(home.socket()).unwrap();
    let (code, words) = home.refused(&[]);
    assert_eq!(code, 3, "{words}");
    assert!(words.contains("gave no answer"), "{words}");
    assert!(home.socket().exists());
}

#[test]
fn the_socket_of_a_dead_daemon_is_replaced() {
    let home = Home::new();
    let mut first = home.start(&[]);
    let mut made = home.client().create_task(task("kept")).unwrap();
    // Told to whoever asks later.
    made.parked = Some("no agent is registered".to_owned());
    first.signal(Signal::SIGKILL);
    first.ended();
    assert!(home.socket().exists(), "nobody removed it");
    let second = home.start(&[]);
    assert!(home.log().contains("removing the socket of a dead daemon"));
    let page = home.client().list_tasks(ListTasks::default()).unwrap();
    assert_eq!(page.tasks, [made]);
    second.stop(Signal::SIGTERM);
}

#[test]
fn a_file_where_the_socket_belongs_is_left_alone() {
    let home = Home::new();
    std::fs::write(home.socket(), "precious").unwrap();
    let (code, words) = home.refused(&[]);
    assert_eq!(code, 4, "{words}");
    assert!(words.contains("is not a socket"), "{words}");
    assert_eq!(std::fs::read_to_string(home.socket()).unwrap(), "precious");
}

#[test]
fn of_many_started_at_once_exactly_one_lives() {
    let home = Home::new();
    let mut daemons: Vec<_> = (0..5)
        .map(|_| DaemonOrEnd::new(home.command(&[]).spawn().unwrap()))
        .collect();
    let pid = home.client().wait_until_answers(LONG).unwrap().pid;
    let end = Instant::now() + LONG;
    while daemons
        .iter_mut()
        .filter_map(|daemon| daemon.code())
        .count()
        < 4
    {
        assert!(Instant::now() < end, "{}", home.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let codes: Vec<_> = daemons.iter_mut().map(|daemon| daemon.code()).collect();
    assert_eq!(
        codes.iter().flatten().collect::<Vec<_>>(),
        [&3; 4],
        "{}",
        home.log()
    );
    assert_eq!(home.client().status().unwrap().pid, pid);
}

/// A daemon that may have refused to start.
struct DaemonOrEnd(std::process::Child);

impl DaemonOrEnd {
    fn new(child: std::process::Child) -> Self {
        Self(child)
    }

    fn code(&mut self) -> Option<i32> {
        self.0
            .try_wait()
            .unwrap()
            .map(|status| status.code().unwrap())
    }
}

impl Drop for DaemonOrEnd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn systemd_is_told_when_the_socket_answers_and_when_the_end_begins() {
    let home = Home::new();
    let notified = UnixDatagram::bind(home.path("notify")).unwrap();
    notified.set_read_timeout(Some(LONG)).unwrap();
    let next = || {
        let mut bytes = [0; 200];
        let count = notified.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    };
    let child = home
        .command(&[])
        .env("NOTIFY_SOCKET", home.path("notify"))
        .spawn()
        .unwrap();
    let mut daemon = DaemonOrEnd::new(child);
    assert!(next().starts_with("READY=1\n"));
    // No waiting: ready means that the very first question is answered.
    home.client().status().unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(daemon.0.id()).unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert!(next().starts_with("STOPPING=1\n"));
    assert!(daemon.0.wait().unwrap().success());
}

#[test]
fn a_hang_up_is_answered_in_the_log_and_changes_nothing() {
    let home = Home::new();
    let daemon = home.start(&[]);
    daemon.signal(Signal::SIGHUP);
    let end = Instant::now() + LONG;
    while !home.log().contains("SIGHUP") {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(home.client().status().unwrap().pid, daemon.pid());
}

#[test]
fn a_stop_under_load_keeps_every_acknowledged_task_and_does_not_wait_for_idlers() {
    let home = Home::new();
    let daemon = home.start(&[]);
    // Idle and half-way clients must not hold the daemon up.
    let _idle: Vec<_> = (0..20).map(|_| Raw::connect(&home.socket())).collect();
    let mut halfway = Raw::connect(&home.socket());
    halfway.send(b"{\"cmd\":");
    let stopping = AtomicBool::new(false);
    let acknowledged: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    while !stopping.load(Ordering::Relaxed) {
                        match home.client().create_task(task("load")) {
                            Ok(task) => done.push(task.id.to_string()),
                            Err(_) => break,
                        }
                    }
                    done
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        daemon.stop(Signal::SIGTERM);
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
        stopping.store(true, Ordering::Relaxed);
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert!(!acknowledged.is_empty());
    assert_eq!(halfway.error_kind(), "shutting-down");
    let connection = Connection::open(home.database()).unwrap();
    for id in acknowledged {
        let found: i64 = connection
            .query_row("SELECT count(*) FROM tasks WHERE id = ?1", [&id], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(found, 1, "{id}");
    }
}

#[test]
fn a_newer_database_and_a_wrong_setting_have_their_own_exit_codes() {
    let home = Home::new();
    home.start(&[]).stop(Signal::SIGTERM);
    Connection::open(home.database())
        .unwrap()
        .pragma_update(None, "user_version", 7)
        .unwrap();
    let (code, words) = home.refused(&[]);
    assert_eq!(code, 4, "{words}");
    assert!(words.contains("has schema 7"), "{words}");
    assert!(!home.socket().exists());

    let (code, words) = home.refused(&["--cost-mode", "cheap"]);
    assert_eq!(code, 2, "{words}");
    assert!(words.contains("one of fast, smart, max"), "{words}");
    let (code, _) = home.refused(&["--no-such-flag"]);
    assert_eq!(code, 2);
}

#[test]
fn settings_come_from_the_environment_and_strangers_among_them_are_named() {
    let home = Home::new();
    let mut command = home.command(&[]);
    command
        .env("COLIBRI_COST_MODE", "max")
        .env("COLIBRI_COST_MODUS", "fast");
    let daemon: Daemon = home.start_command(&mut command);
    assert_eq!(
        home.client().status().unwrap().cost_mode,
        colibri_protocol::CostMode::Max
    );
    assert!(
        home.log().contains("did you mean `COLIBRI_COST_MODE`?"),
        "{}",
        home.log()
    );
    daemon.stop(Signal::SIGTERM);
}
