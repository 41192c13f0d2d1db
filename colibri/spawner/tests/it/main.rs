//! Agents that behave badly, as real processes: whatever they do, they end, and
//! nothing is left of them.
//!
//! Who belongs to a test is told by a mark in the environment, which everything
//! that an agent starts inherits.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use colibri_spawner::{
    Agent, Ending, Environment, InputError, Leash, Line, Log, Output, Program, SpawnError, Spawned,
    Spawner, State,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid, getsid};

const SHORT: Option<Duration> = Some(Duration::from_millis(200));

/// Tells the test's copy of itself that it is a daemon to be killed.
const HELPER: &str = "COLIBRI_SPAWNER_HELPER";

struct Bench {
    dir: tempfile::TempDir,
    spawner: Spawner,
    mark: String,
}

impl Bench {
    fn new(name: &str) -> Self {
        let leash = Leash {
            program: env!("CARGO_BIN_EXE_colibri-leash").into(),
            args: vec![],
        };
        Self {
            dir: tempfile::tempdir().unwrap(),
            spawner: Spawner::new(leash).unwrap(),
            mark: format!("{name}-{}", std::process::id()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn shell(&self, script: &str) -> Program {
        shell(script, &self.mark, self.path("agent.log"))
    }

    async fn spawn(&self, script: &str) -> Spawned {
        self.spawner.spawn(&self.shell(script)).await.unwrap()
    }

    /// Started, and past the line `ready`.
    async fn ready(&self, script: &str) -> Spawned {
        let mut spawned = self.spawn(script).await;
        assert_eq!(line(&mut spawned.output).await, "ready");
        spawned
    }

    fn nothing_is_left(&self) {
        assert_eq!(marked(&self.mark), Vec::<i32>::new());
        assert_eq!(self.spawner.running(), 0);
    }
}

fn shell(script: &str, mark: &str, log: PathBuf) -> Program {
    let mut environment = Environment::inherit(std::env::vars_os());
    environment.set("MARK", mark).unwrap();
    let mut program = Program::new("/bin/sh", environment, Log::new(log));
    program.args = vec!["-c".into(), script.into()];
    program
}

async fn line(output: &mut Output) -> String {
    match output.line().await.unwrap() {
        Some(Line::Whole(line)) => String::from_utf8(line).unwrap(),
        other => panic!("no line: {other:?}"),
    }
}

/// Living processes with the mark in their environment.
fn marked(mark: &str) -> Vec<i32> {
    let wanted = format!("MARK={mark}");
    if cfg!(target_os = "linux") {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let path = entry.path();
            let Ok(environment) = std::fs::read(path.join("environ")) else {
                continue;
            };
            // That of a zombie reads as nothing.
            if environment
                .split(|&byte| byte == 0)
                .any(|variable| variable == wanted.as_bytes())
            {
                found.push(entry.file_name().to_str().unwrap().parse().unwrap());
            }
        }
        return found;
    }
    let ps = Command::new("ps")
        .args(["axeww", "-o", "pid=,command="])
        .output()
        .unwrap();
    String::from_utf8_lossy(&ps.stdout)
        .lines()
        .filter(|line| line.contains(&wanted))
        .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
        .collect()
}

/// What becomes true soon must, within a time that a busy machine needs.
async fn soon(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn leash_of(agent: &Agent) -> Pid {
    // An agent's session is its leash's, which began it.
    let pid = agent.state().pid().unwrap();
    getsid(Some(Pid::from_raw(pid))).unwrap()
}

#[tokio::test]
async fn an_agent_finds_a_clean_world() {
    let bench = Bench::new("clean");
    // What a careless starter of the daemon might leave open.
    let left_open = std::fs::File::open("/etc/passwd").unwrap();
    nix::fcntl::fcntl(
        &left_open,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .unwrap();
    let mut program = bench.shell("umask; pwd; cut -d= -f1 <<.\n$(env)\n.\necho ready; read x");
    program.directory = bench.path("");
    program
        .environment
        .set_secret("SOME_API_KEY", "sk-secret".into())
        .unwrap();
    let mut spawned = bench.spawner.spawn(&program).await.unwrap();
    assert_eq!(line(&mut spawned.output).await, "0077");
    let directory = line(&mut spawned.output).await;
    assert_eq!(
        std::fs::canonicalize(directory).unwrap(),
        std::fs::canonicalize(bench.dir.path()).unwrap()
    );
    let mut names = Vec::new();
    loop {
        let name = line(&mut spawned.output).await;
        if name == "ready" {
            break;
        }
        names.push(name);
    }
    let expected = [
        "HOME",
        "LANG",
        "LC_ALL",
        "MARK",
        "PATH",
        "SOME_API_KEY",
        "TERM",
        "TZ",
        // The shell's own.
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    ];
    for name in &names {
        assert!(expected.contains(&name.as_str()), "{name}");
    }
    assert!(names.iter().any(|name| name == "SOME_API_KEY"));

    let agent = Pid::from_raw(spawned.agent.state().pid().unwrap());
    assert_eq!(getpgid(Some(agent)), Ok(agent));
    assert_ne!(getsid(Some(agent)), getsid(None));
    if cfg!(target_os = "linux") {
        let leash = leash_of(&spawned.agent);
        for pid in [agent, leash] {
            let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            assert!(!String::from_utf8_lossy(&arguments).contains("sk-secret"));
            for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
                let to = std::fs::read_link(entry.unwrap().path()).unwrap();
                assert_ne!(to, PathBuf::from("/etc/passwd"));
            }
        }
        let open = std::fs::read_dir(format!("/proc/{agent}/fd")).unwrap();
        assert_eq!(open.count(), 3);
    }
    assert!(!format!("{program:?}").contains("sk-secret"));
    spawned.input.send_line("go on").unwrap();
    let exit = spawned.agent.ended().await;
    assert_eq!(exit.how, Ending::Code(0));
    bench.nothing_is_left();
}

#[tokio::test]
async fn ends_are_recorded_as_they_were() {
    let bench = Bench::new("ends");
    for (script, how) in [
        ("exit 0", Ending::Code(0)),
        ("exit 3", Ending::Code(3)),
        ("kill -9 $$", Ending::Signal(9)),
        ("kill -40 $$", Ending::Signal(40)),
        ("echo said >&2; exit 1", Ending::Code(1)),
    ] {
        let spawned = bench.spawn(script).await;
        let exit = spawned.agent.ended().await;
        assert_eq!(exit.how, how, "{script}");
        assert!(exit.left.is_empty());
        assert_eq!(spawned.agent.state(), State::Exited(exit.clone()));
        // To stop what is gone is no error.
        assert_eq!(spawned.agent.stop(None).await, exit);
    }
    let log = std::fs::read_to_string(bench.path("agent.log")).unwrap();
    assert_eq!(log, "said\n");
    bench.nothing_is_left();
}

#[tokio::test]
async fn who_listens_to_term_ends_in_its_own_way_and_at_once() {
    let bench = Bench::new("gentle");
    let spawned = bench
        .ready("trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done")
        .await;
    let began = Instant::now();
    let exit = spawned.agent.stop(Some(Duration::from_secs(60))).await;
    assert_eq!(exit.how, Ending::Code(7));
    assert!(began.elapsed() < Duration::from_secs(30));
    bench.nothing_is_left();
}

#[tokio::test]
async fn who_ignores_term_is_killed_after_the_grace() {
    let bench = Bench::new("deaf");
    let spawned = bench
        .ready("trap '' TERM INT HUP; echo ready; while :; do sleep 1; done")
        .await;
    let began = Instant::now();
    let stopped = spawned.agent.clone();
    spawned.agent.ask_to_stop(Some(Duration::from_millis(600)));
    soon("stopping is seen", || {
        !matches!(stopped.state(), State::Running { .. })
    })
    .await;
    assert_eq!(spawned.agent.ended().await.how, Ending::Signal(9));
    assert!(began.elapsed() >= Duration::from_millis(500));
    bench.nothing_is_left();
}

#[tokio::test]
async fn a_second_stop_may_be_less_patient() {
    let bench = Bench::new("impatient");
    let spawned = bench
        .ready("trap '' TERM; echo ready; while :; do sleep 1; done")
        .await;
    spawned.agent.ask_to_stop(Some(Duration::from_secs(3600)));
    let exit = spawned.agent.stop(SHORT).await;
    assert_eq!(exit.how, Ending::Signal(9));
    bench.nothing_is_left();
}

/// Children that leave the group and the session, ignore signals, fork twice.
const RUNAWAYS: &str = "
    setsid sleep 1000 &
    ( ( setsid sh -c \"trap '' TERM HUP; sleep 1001 & sleep 1002 & wait\" & ) & )
    ( trap '' TERM; sleep 1003 ) &
    sleep 0.3
    echo ready
";

#[tokio::test]
async fn those_who_left_the_group_are_found() {
    let bench = Bench::new("runaways");
    let spawned = bench.ready(&format!("{RUNAWAYS} wait")).await;
    // Leash, shell, and the sleeps.
    soon("they run", || marked(&bench.mark).len() >= 6).await;
    let exit = spawned.agent.stop(SHORT).await;
    assert_eq!(exit.how, Ending::Signal(15));
    assert!(exit.left.is_empty());
    bench.nothing_is_left();
}

#[tokio::test]
async fn what_an_agent_leaves_behind_ends_with_it() {
    let bench = Bench::new("heirs");
    let mut program = bench.shell(&format!("{RUNAWAYS} exit 5"));
    program.grace = Duration::from_millis(200);
    let spawned = bench.spawner.spawn(&program).await.unwrap();
    assert_eq!(spawned.agent.ended().await.how, Ending::Code(5));
    bench.nothing_is_left();
}

#[tokio::test]
async fn a_fork_storm_ends() {
    let bench = Bench::new("storm");
    let spawned = bench
        .ready("trap '' TERM; echo ready; while :; do (trap '' TERM; setsid sleep 1000) & sleep 0.01; done")
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(spawned.agent.stop(SHORT).await.how, Ending::Signal(9));
    bench.nothing_is_left();
}

#[tokio::test]
async fn a_flood_of_complaints_is_bounded_and_blocks_nobody() {
    let bench = Bench::new("flood");
    let mut program =
        bench.shell("head -c 5000000 /dev/zero | tr '\\0' e >&2; echo last >&2; echo ready");
    program.log.max_bytes = 100_000;
    program.log.keep = 2;
    let mut spawned = bench.spawner.spawn(&program).await.unwrap();
    assert_eq!(line(&mut spawned.output).await, "ready");
    assert_eq!(spawned.agent.ended().await.how, Ending::Code(0));
    let mut total = 0;
    for name in ["agent.log", "agent.log.1", "agent.log.2"] {
        let meta = std::fs::metadata(bench.path(name)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        total += meta.len();
    }
    assert!((100_000..=300_000).contains(&total), "{total}");
    assert!(!bench.path("agent.log.3").exists());
    let log = std::fs::read_to_string(bench.path("agent.log")).unwrap();
    assert!(log.ends_with("last\n"));
    bench.nothing_is_left();
}

#[tokio::test]
async fn a_flood_of_output_waits_for_its_reader() {
    let bench = Bench::new("yes");
    let mut spawned = bench.spawn("exec yes 0123456789").await;
    for _ in 0..100_000 {
        assert_eq!(line(&mut spawned.output).await, "0123456789");
    }
    // Nobody reads any more: it is ended all the same.
    assert_eq!(spawned.agent.stop(SHORT).await.how, Ending::Signal(15));
    bench.nothing_is_left();
}

#[tokio::test]
async fn who_does_not_read_blocks_nobody() {
    let bench = Bench::new("unread");
    let spawned = bench.ready("echo ready; exec sleep 1000").await;
    let chunk = vec![b'x'; 64 * 1024];
    let mut taken = 0;
    let full = loop {
        match spawned.input.send(chunk.clone()) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 1000);
        tokio::task::yield_now().await;
    };
    assert!(matches!(full, InputError::Full { .. }), "{full}");
    assert!(matches!(
        spawned.input.send(vec![0; 10_000_000]),
        Err(InputError::TooLong { .. })
    ));
    assert_eq!(spawned.agent.stop(SHORT).await.how, Ending::Signal(15));
    soon("the input is closed", || {
        spawned.input.send_line("x") == Err(InputError::Closed)
    })
    .await;
    bench.nothing_is_left();
}

#[tokio::test]
async fn lines_go_both_ways_and_the_end_of_input_is_seen() {
    let bench = Bench::new("cat");
    let Spawned {
        agent,
        input,
        mut output,
    } = bench.spawn("exec cat").await;
    for number in 0..1000 {
        input.send_line(&format!("{{\"id\":{number}}}")).unwrap();
    }
    for number in 0..1000 {
        assert_eq!(line(&mut output).await, format!("{{\"id\":{number}}}"));
    }
    drop(input);
    assert_eq!(output.line().await.unwrap(), None);
    assert_eq!(agent.ended().await.how, Ending::Code(0));
    bench.nothing_is_left();
}

#[tokio::test]
async fn a_closed_output_is_no_end() {
    let bench = Bench::new("closed");
    let mut spawned = bench
        .ready("echo ready; exec >&- <&-; exec sleep 1000")
        .await;
    assert_eq!(spawned.output.line().await.unwrap(), None);
    assert!(matches!(spawned.agent.state(), State::Running { .. }));
    spawned.agent.stop(SHORT).await;
    bench.nothing_is_left();
}

#[tokio::test]
async fn what_cannot_run_says_why_and_leaves_nothing() {
    let bench = Bench::new("refused");
    let file = |name: &str, text: &str| {
        let path = bench.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    };
    let mut program = bench.shell("exit 0");
    program.path = "sh".into();
    let error = bench.spawner.spawn(&program).await.unwrap_err();
    assert!(matches!(error, SpawnError::Program(_)), "{error}");
    for (path, word) in [
        (file("no-interpreter", "#!/nowhere/sh\n"), "No such file"),
        (file("garbage", "\x01\x02"), "format"),
    ] {
        program.path = path;
        let error = bench.spawner.spawn(&program).await.unwrap_err().to_string();
        assert!(
            error.contains("was not started") && error.contains(word),
            "{error}"
        );
    }
    program = bench.shell("exit 0");
    program.log = Log::new(bench.path("missing/agent.log"));
    let error = bench.spawner.spawn(&program).await.unwrap_err().to_string();
    assert!(error.contains("cannot open the log"), "{error}");
    soon("nothing is left", || bench.spawner.running() == 0).await;
    bench.nothing_is_left();
    let leash = Leash {
        program: "/nowhere/leash".into(),
        args: vec![],
    };
    assert!(matches!(Spawner::new(leash), Err(SpawnError::Leash(_))));
    let leash = Leash {
        program: "/bin/false".into(),
        args: vec![],
    };
    let error = Spawner::new(leash).unwrap().spawn(&bench.shell("x")).await;
    assert!(matches!(error, Err(SpawnError::Silent { .. })));
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_is_undone() {
    let bench = Bench::new("dropped");
    for pause in [0, 1, 5, 20] {
        let program = bench.shell("exec sleep 1000");
        let spawn = bench.spawner.spawn(&program);
        let _ = tokio::time::timeout(Duration::from_millis(pause), spawn).await;
        bench.spawner.stop_all(SHORT).await;
        bench.nothing_is_left();
    }
}

#[tokio::test]
async fn a_killed_leash_is_swept_up_after_and_others_are_spared() {
    let bench = Bench::new("leashless");
    let mut bystander = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    let other = bench.ready("echo ready; exec sleep 1000").await;
    let spawned = bench.ready(&format!("{RUNAWAYS} wait")).await;
    kill(leash_of(&spawned.agent), Signal::SIGKILL).unwrap();
    let exit = spawned.agent.ended().await;
    assert_eq!(exit.how, Ending::Unknown);
    assert!(exit.left.is_empty());
    assert!(matches!(other.agent.state(), State::Running { .. }));
    assert!(bystander.try_wait().unwrap().is_none());
    assert_eq!(marked(&bench.mark).len(), 2);
    assert_eq!(other.agent.stop(SHORT).await.how, Ending::Signal(15));
    bench.nothing_is_left();
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    assert!(children().is_empty());
}

#[tokio::test]
async fn a_leash_that_is_told_to_end_takes_the_agent_with_it() {
    let bench = Bench::new("leash-term");
    let spawned = bench.ready(&format!("{RUNAWAYS} wait")).await;
    // Found once: the first signal may have ended both before the second is sent.
    let leash = leash_of(&spawned.agent);
    kill(leash, Signal::SIGTERM).unwrap();
    kill(leash, Signal::SIGHUP).ok();
    spawned.agent.ask_to_stop(SHORT);
    let exit = spawned.agent.ended().await;
    assert_eq!(exit.how, Ending::Signal(15));
    bench.nothing_is_left();
}

#[tokio::test]
async fn a_killed_daemon_leaves_nothing() {
    let mark = format!("orphans-{}", std::process::id());
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_daemon_that_is_killed", "--nocapture"])
        .env(HELPER, &mark)
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(daemon.stdout.take().unwrap());
    assert!(
        output
            .lines()
            .any(|line| line.unwrap().ends_with("all run"))
    );
    assert!(marked(&mark).len() >= 12);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    soon("nothing is left", || marked(&mark).is_empty()).await;
}

/// Not a test but for the one above, which kills it.
#[test]
fn the_daemon_that_is_killed() {
    let Ok(mark) = std::env::var(HELPER) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let bench = Bench::new("helper");
        let mut running = Vec::new();
        for number in 0..2 {
            let log = std::env::current_dir()
                .unwrap()
                .join(format!("{number}.log"));
            let program = shell(&format!("trap '' TERM; {RUNAWAYS} wait"), &mark, log);
            let mut spawned = bench.spawner.spawn(&program).await.unwrap();
            assert_eq!(line(&mut spawned.output).await, "ready");
            running.push(spawned);
        }
        println!("all run");
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn all_stop_together() {
    let bench = Bench::new("together");
    let mut agents = Vec::new();
    for _ in 0..5 {
        agents.push(
            bench
                .ready("trap '' TERM; echo ready; while :; do sleep 1; done")
                .await,
        );
    }
    assert_eq!(bench.spawner.running(), 5);
    bench.spawner.stop_all(SHORT).await;
    bench.nothing_is_left();
}

#[tokio::test]
async fn fifty_starts_and_stops_leave_no_descriptor_and_no_zombie() {
    let bench = Bench::new("fifty");
    let one = async |bench: &Bench| {
        let spawned = bench.ready("echo ready; exec sleep 1000").await;
        assert_eq!(spawned.agent.stop(None).await.how, Ending::Signal(15));
    };
    one(&bench).await;
    let before = descriptors();
    for _ in 0..50 {
        one(&bench).await;
    }
    bench.nothing_is_left();
    assert!(children().is_empty());
    // The input's task lets go of its pipe a moment after the agent is gone.
    for _ in 0..100 {
        if descriptors() <= before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{before} descriptors were open, now {}", descriptors());
}

fn descriptors() -> usize {
    std::fs::read_dir("/dev/fd").unwrap().count()
}

/// Every child of this process, zombies included.
fn children() -> Vec<String> {
    let me = std::process::id().to_string();
    let ps = Command::new("ps")
        .args(["-A", "-o", "ppid=,pid=,stat=,comm="])
        .output()
        .unwrap();
    String::from_utf8_lossy(&ps.stdout)
        .lines()
        .filter(|line| {
            let mut fields = line.split_whitespace();
            fields.next() == Some(&me) && fields.nth(2) != Some("ps")
        })
        .map(str::to_owned)
        .collect()
}
