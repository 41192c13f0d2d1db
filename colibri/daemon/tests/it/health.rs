//! `service-check` with things really broken: of each, one line says what it is, the others do not
//! blame anybody else, and once it is mended all is well again.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use colibri_protocol::{
    Agent, AgentPage, AgentStatus, Command as Ask, CreateTask, Heartbeat, Paging, ServiceCheck,
    TaskStatus,
};
use nix::sys::signal::Signal;
use rusqlite::Connection;

use crate::agents::{create, spawn, spawning, stands, stop, wait};
use crate::board::{agent, details, needing};
use crate::harness::{Daemon, Home, LONG, Raw, set_mode};

/// Whatever is stuck, there is an answer within this time; a client waits for ten seconds.
const BOUND: Duration = Duration::from_secs(7);

/// The size of a file system that is filled; the daemon wants 32 MiB of it free.
const SMALL: u64 = 64 * 1024 * 1024;

/// What a client has to tell, also when it gets no answer.
fn check(home: &Home) -> ServiceCheck {
    let begun = Instant::now();
    let check = home
        .client()
        .service_check()
        .unwrap_or_else(ServiceCheck::unreachable);
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    check
}

/// What the daemon tells to a client that it has already.
fn told(raw: &mut Raw) -> ServiceCheck {
    let reply = raw.ask(r#"{"cmd":"service-check"}"#);
    serde_json::from_value(reply["data"].clone()).unwrap()
}

fn detail<'a>(check: &'a ServiceCheck, part: &str) -> &'a str {
    let found = check.checks.iter().find(|check| check.name == part);
    &found.unwrap().detail
}

/// Which parts nobody can tell anything of.
fn unknown(check: &ServiceCheck) -> Vec<&str> {
    let unknown = check.checks.iter().filter(|check| check.unknown);
    unknown.map(|check| check.name.as_str()).collect()
}

/// This part is broken and says so in these words; nothing else is, and only of these parts can
/// nobody tell.
#[track_caller]
fn tells(check: &ServiceCheck, part: &str, words: &str, may_be_unknown: &[&str]) {
    let names: Vec<_> = check.checks.iter().map(|check| &check.name).collect();
    assert_eq!(names, ServiceCheck::PARTS);
    let broken: Vec<_> = check
        .checks
        .iter()
        .filter(|check| !check.ok && !check.unknown)
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(broken, [part], "{check:#?}");
    assert!(detail(check, part).contains(words), "{check:#?}");
    for name in unknown(check) {
        assert!(may_be_unknown.contains(&name), "{name}: {check:#?}");
        assert!(detail(check, name).contains("see `"), "{check:#?}");
    }
    assert!(!check.healthy);
}

/// Waits until all is well.
#[track_caller]
fn mended(home: &Home) {
    let end = Instant::now() + LONG;
    loop {
        let check = check(home);
        if check.healthy {
            return;
        }
        assert!(Instant::now() < end, "{check:#?}\n{}", home.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_socket_that_is_gone_closed_or_somebody_elses_is_told_from_both_sides() {
    let home = Home::new();
    let mut daemon = home.start(&[]);
    mended(&home);
    let mut inside = Raw::connect(&home.socket());
    let aside = home.path("aside");
    let others: Vec<_> = ServiceCheck::PARTS[1..].to_vec();

    std::fs::rename(home.socket(), &aside).unwrap();
    tells(
        &told(&mut inside),
        "socket",
        "new clients cannot connect",
        &[],
    );
    let outside = check(&home);
    tells(&outside, "socket", "there is no socket at", &others);
    // None of them is passed over in silence.
    assert_eq!(unknown(&outside), others);

    let stranger = UnixListener::bind(home.socket()).unwrap();
    tells(
        &told(&mut inside),
        "socket",
        "not this daemon's any more",
        &[],
    );
    let client = home.client().with_timeout(Duration::from_secs(1));
    let silent = ServiceCheck::unreachable(client.service_check().unwrap_err());
    tells(&silent, "socket", "gave no answer within 1s", &others);
    drop(stranger);

    std::fs::rename(&aside, home.socket()).unwrap();
    mended(&home);

    set_mode(&home.socket(), 0o600);
    tells(&told(&mut inside), "socket", "has mode 0600", &[]);
    set_mode(&home.socket(), 0o660);
    mended(&home);

    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    tells(&check(&home), "socket", "nobody listens on", &others);
    let _second = home.start(&[]);
    mended(&home);
}

#[test]
fn a_database_locked_by_another_program_is_told_and_so_is_what_waits_for_it() {
    let home = Home::new();
    let _daemon = home.start(&["--tick-seconds", "0.2"]);
    mended(&home);
    let other = Connection::open(home.database()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let wait = ["writer", "scheduler", "intake"];
    let at_once = check(&home);
    tells(&at_once, "database", "is locked by another program", &wait);
    assert!(
        detail(&at_once, "database").contains(home.database().to_str().unwrap()),
        "{at_once:#?}"
    );

    // The scheduler goes round five times a second, so it is stuck soon.
    let end = Instant::now() + LONG;
    loop {
        let check = check(&home);
        tells(&check, "database", "is locked by another program", &wait);
        if unknown(&check).contains(&"scheduler") {
            let words = detail(&check, "scheduler");
            assert!(words.contains("waits for the database"), "{words}");
            break;
        }
        assert!(Instant::now() < end, "{check:#?}");
    }

    other.execute_batch("ROLLBACK").unwrap();
    mended(&home);
    home.client().create_task(CreateTask::titled("t")).unwrap();
}

#[test]
fn nobody_loses_a_task_for_a_time_in_which_the_database_took_no_sign_of_life() {
    let home = Home::new();
    let _daemon = home.start(&["--lease-seconds", "4", "--tick-seconds", "0.2"]);
    let eve = agent(&home, "eve", &["mail"]);
    let task = home.client().create_task(needing("Sort it", &["mail"]));
    let task = task.unwrap();
    stands(&home, &task, TaskStatus::Claimed, LONG);
    let other = Connection::open(home.database()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    // The daemon waits for five seconds, and so for longer than a lease.
    wait("a round that fails", LONG, || {
        home.log().contains("the scheduler: ").then_some(())
    });
    other.execute_batch("ROLLBACK").unwrap();
    let beat = Ask::Heartbeat(Heartbeat {
        agent_id: eve.id,
        host: None,
    });
    let alive: Agent = home.client().ask(beat).unwrap();
    assert_eq!(alive.holds, 1, "{}", home.log());
    let kept = details(&home, task.id).task;
    assert_eq!((kept.status, kept.attempts), (TaskStatus::Claimed, 1));
}

#[test]
fn the_end_of_a_task_that_the_database_does_not_take_is_written_once_it_does() {
    for is_stopped in [false, true] {
        let home = Home::new();
        // Longer than the test: the task does not come back for any other reason.
        let _daemon = home.start(&["--lease-seconds", "3600"]);
        spawn(&home, spawning("ada", &["--rpc", "--step-ms", "500"])).unwrap();
        let task = create(&home, "Read the note");
        stands(&home, &task, TaskStatus::Started, LONG);
        let other = Connection::open(home.database()).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        wait("the end that cannot be written", LONG, || {
            home.log().contains("is not written yet").then_some(())
        });
        tells(
            &check(&home),
            "database",
            "is locked by another program",
            &["writer", "scheduler", "intake"],
        );
        // What it has done is done, also when nothing is left of it.
        if is_stopped {
            stop(&home, "ada");
        }
        let waits = details(&home, task.id).task;
        assert_eq!(waits.status, TaskStatus::Started);

        other.execute_batch("ROLLBACK").unwrap();
        let done = stands(&home, &task, TaskStatus::Done, LONG).task;
        assert_eq!((done.attempts, done.result.is_some()), (1, true));
        mended(&home);
        if !is_stopped {
            let next = create(&home, "And the next one");
            stands(&home, &next, TaskStatus::Done, LONG);
            continue;
        }
        // Not only when its lease ends: it would be given tasks until then.
        wait("the end of the agent on the board", LONG, || {
            let list = Ask::ListAgents(Paging::default());
            let page: AgentPage = home.client().ask(list).unwrap();
            let is_offline = page
                .agents
                .iter()
                .all(|ada| ada.status == AgentStatus::Offline);
            is_offline.then_some(())
        });
    }
}

#[test]
fn a_database_that_was_moved_or_replaced_is_told() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    mended(&home);
    let aside = home.path("aside");
    let follow = ["wal", "intake"];

    std::fs::rename(home.database(), &aside).unwrap();
    tells(
        &check(&home),
        "database",
        "not the file that was opened",
        &follow,
    );
    std::fs::copy(&aside, home.database()).unwrap();
    tells(
        &check(&home),
        "database",
        "another file has its name",
        &follow,
    );
    std::fs::rename(&aside, home.database()).unwrap();
    mended(&home);
    home.client().create_task(CreateTask::titled("t")).unwrap();
}

#[test]
fn a_damaged_database_is_told_and_a_backup_in_its_place_is_well() {
    let home = Home::new();
    let mut daemon = home.start(&[]);
    for number in 0..50 {
        let new = CreateTask {
            description: Some("x".repeat(2000)),
            ..CreateTask::titled(format!("task {number}"))
        };
        home.client().create_task(new).unwrap();
    }
    mended(&home);
    checkpoint(&home.database());
    let backup = std::fs::read(home.database()).unwrap();
    // Of the first page the beginning stays, by which the file is still a database.
    let file = OpenOptions::new()
        .write(true)
        .open(home.database())
        .unwrap();
    file.write_all_at(&vec![0xff; backup.len() - 4096], 4096)
        .unwrap();
    tells(
        &check(&home),
        "database",
        "put a backup in its place",
        &["wal", "scheduler", "intake", "tenants"],
    );

    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    for name in ["colibri.sqlite-wal", "colibri.sqlite-shm"] {
        std::fs::remove_file(home.path("data").join(name)).unwrap();
    }
    std::fs::write(home.database(), backup).unwrap();
    let _second = home.start(&[]);
    mended(&home);
    assert_eq!(home.client().status().unwrap().tasks.total(), 50);
}

/// Has the file hold everything, so that nothing is read from the log.
fn checkpoint(database: &Path) {
    let other = Connection::open(database).unwrap();
    wait("the checkpoint", LONG, || {
        let busy: i64 = other
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .unwrap();
        (busy == 0).then_some(())
    });
}

#[test]
fn a_full_disk_is_told_and_room_mends_it() {
    let Some(disk) = OwnDisk::tmpfs() else {
        return;
    };
    mended(&disk.home);
    let filler = disk.seen_by_daemon("data/filler");
    let mut file = File::create(&filler).unwrap();
    let mut step = 1024 * 1024;
    while step > 0 {
        if file.write_all(&vec![b'x'; step]).is_err() {
            step /= 2;
        }
    }
    // Its log has some room of its own; changes use it up.
    let end = Instant::now() + LONG;
    let big = || CreateTask {
        description: Some("x".repeat(50_000)),
        ..CreateTask::titled("big")
    };
    while disk.home.client().create_task(big()).is_ok() {
        assert!(Instant::now() < end, "the disk does not get full");
    }
    tells(
        &check(&disk.home),
        "disk",
        "free some space there",
        &["database"],
    );

    drop(file);
    std::fs::remove_file(filler).unwrap();
    mended(&disk.home);
    disk.home.client().create_task(big()).unwrap();
}

#[test]
fn a_read_only_mount_over_the_data_is_told_and_taken_away_again() {
    let Some(disk) = OwnDisk::tmpfs() else {
        return;
    };
    mended(&disk.home);
    // What is open already stays writable, as the kernel has it; new files are refused.
    disk.inside(r#"mount --bind "$DATA" "$DATA" && mount -o remount,bind,ro "$DATA""#);
    tells(
        &check(&disk.home),
        "disk",
        "is on a read-only file system",
        &[],
    );
    disk.inside(r#"umount -l "$DATA""#);
    mended(&disk.home);
}

#[test]
fn a_file_system_that_the_kernel_has_made_read_only_is_told() {
    let Some(disk) = OwnDisk::ext4() else {
        return;
    };
    mended(&disk.home);
    // As a disk that breaks does it. The kernel does not take it back, so nothing is mended here.
    let Some(trigger) = disk.fault_switch() else {
        return;
    };
    if let Err(error) = std::fs::write(&trigger, "1") {
        println!("NOT CHECKED: {} takes no fault: {error}", trigger.display());
        return;
    }
    // Which of them suffer depends on the kernel: some still read what is in memory.
    tells(
        &check(&disk.home),
        "disk",
        "`dmesg` may say",
        &["database", "wal", "writer", "scheduler", "intake"],
    );
}

/// A daemon whose data lie on a file system of their own, which is mounted for it alone.
struct OwnDisk {
    // First, so that the daemon ends before its place goes.
    daemon: Daemon,
    home: Home,
}

impl OwnDisk {
    /// In memory. Says so when this machine does not allow it.
    fn tmpfs() -> Option<Self> {
        Self::mounted(&format!("mount -t tmpfs -o size={SMALL} tmpfs \"$DATA\""))
    }

    /// In a file, which takes root. Says so when this machine does not allow it.
    fn ext4() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            println!("NOT CHECKED: only root can mount a file");
            return None;
        }
        // One file each time: the kernel lets go of an earlier one when it likes.
        Self::mounted(&format!(
            "image=\"$DATA.$$\" && truncate -s {SMALL} \"$image\" && mkfs.ext4 -q -F \"$image\" \
             && mount -o loop,errors=remount-ro \"$image\" \"$DATA\""
        ))
    }

    fn mounted(mount: &str) -> Option<Self> {
        let home = Home::new();
        std::fs::create_dir(home.path("data")).unwrap();
        let tried = apart(&home, mount).arg("true").output();
        match tried {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let words = String::from_utf8_lossy(&output.stderr);
                println!("NOT CHECKED: this machine allows no such mount: {words}");
                return None;
            }
            Err(error) => {
                println!("NOT CHECKED: unshare(1) does not run here: {error}");
                return None;
            }
        }
        let plain = home.command(&[]);
        let log = File::options().append(true).open(home.path("log")).unwrap();
        let mut command = apart(&home, mount);
        command
            .arg(plain.get_program())
            .args(plain.get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let daemon = home.start_command(&mut command);
        Some(Self { daemon, home })
    }

    /// A file of this place, by a path that leads through the daemon's own mounts.
    fn seen_by_daemon(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.daemon.pid()));
        root.join(self.home.path(name).strip_prefix("/").unwrap())
    }

    /// Runs a script among the daemon's own mounts.
    fn inside(&self, script: &str) {
        let pid = self.daemon.pid().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &pid, "--mount"]);
        if !nix::unistd::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        let output = command
            .args(["sh", "-c", script])
            .env("DATA", self.home.path("data"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// The file of the kernel that makes a fault in our ext4. Says so when there is none.
    fn fault_switch(&self) -> Option<PathBuf> {
        let mounts = std::fs::read_to_string(format!("/proc/{}/mounts", self.daemon.pid()));
        let data = self.home.path("data");
        let device = mounts.unwrap().lines().find_map(|line| {
            let (device, rest) = line.split_once(' ')?;
            let is_ours = rest.starts_with(&format!("{} ext4 ", data.display()));
            is_ours.then(|| device.trim_start_matches("/dev/").to_owned())
        });
        let device = device.unwrap();
        let switch = PathBuf::from(format!("/sys/fs/ext4/{device}/trigger_fs_error"));
        if switch.exists() {
            return Some(switch);
        }
        println!("NOT CHECKED: there is no {}", switch.display());
        None
    }
}

/// What runs its arguments where `mount` has been done, for them alone.
fn apart(home: &Home, mount: &str) -> Command {
    let is_root = nix::unistd::geteuid().is_root();
    let script = format!("{mount} && exec \"$@\"");
    let mut command = Command::new("unshare");
    command
        .arg(if is_root { "-m" } else { "-Urm" })
        .args(["sh", "-c", &script, "sh"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("DATA", home.path("data"));
    command
}
