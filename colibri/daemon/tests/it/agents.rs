//! Agents that the daemon runs: real processes, tasks done by them, and nothing left behind.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use colibri_model_server::pi::Pi;
use colibri_model_server::{Script, Server};
use colibri_protocol::client::ClientError;
use colibri_protocol::{
    AgentLog, CancelTask, Command, CreateTask, DismissPane, ErrorKind, LogLines, NoFields,
    PaneSnapshot, PaneState, Runtime, SendPrompt, SessionBrief, Snapshot, SpawnAgent, StopAgent,
    Task, TaskDetails, TaskStatus, Usd,
};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::board::{details, needing};
use crate::harness::{Home, LONG, built, mode};

/// `colibri-test-agent`.
pub(crate) fn test_agent() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("colibri-test-agent"))
}

pub(crate) fn spawning(name: &str, args: &[&str]) -> SpawnAgent {
    SpawnAgent {
        name: name.parse().unwrap(),
        runtime: Runtime::Local,
        program: test_agent().into(),
        args: Some(args.iter().map(|&arg| arg.to_owned()).collect()),
        cwd: None,
        prompt: None,
        capabilities: ["code".parse().unwrap()].into(),
        restart: false,
        tenant: None,
    }
}

/// An agent that is a script of the shell, with these arguments from `$0` on.
pub(crate) fn shell(name: &str, script: &str, args: &[&str]) -> SpawnAgent {
    SpawnAgent {
        program: "/bin/sh".into(),
        ..spawning(name, &[&["-c", script], args].concat())
    }
}

pub(crate) fn spawn(home: &Home, spawn: SpawnAgent) -> Result<PaneSnapshot, ClientError> {
    home.client().ask(Command::SpawnAgent(spawn))
}

pub(crate) fn stop(home: &Home, name: &str) -> PaneSnapshot {
    let agent = name.parse().unwrap();
    let stop = Command::StopAgent(StopAgent { agent });
    home.client().ask(stop).unwrap()
}

pub(crate) fn prompt(home: &Home, name: &str, message: &str) -> Result<PaneSnapshot, ClientError> {
    let prompt = SendPrompt {
        agent: name.parse().unwrap(),
        message: message.to_owned(),
    };
    home.client().ask(Command::SendPrompt(prompt))
}

pub(crate) fn pane(home: &Home, name: &str) -> PaneSnapshot {
    let snapshot: Snapshot = home.client().ask(Command::Snapshot(NoFields {})).unwrap();
    let mut panes = snapshot.panes.into_iter();
    panes.find(|pane| pane.agent == name).unwrap()
}

pub(crate) fn wait<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn create(home: &Home, title: &str) -> Task {
    let new = needing(title, &["code"]);
    home.client().create_task(new).unwrap()
}

pub(crate) fn stands(
    home: &Home,
    task: &Task,
    status: TaskStatus,
    patience: Duration,
) -> TaskDetails {
    wait(&format!("{status} for {task:?}"), patience, || {
        Some(details(home, task.id)).filter(|found| found.task.status == status)
    })
}

pub(crate) fn cancel(home: &Home, task: &Task) {
    let cancel = CancelTask {
        task_id: task.id,
        reason: None,
    };
    let _: Task = home.client().ask(Command::CancelTask(cancel)).unwrap();
}

pub(crate) fn works(home: &Home, agent: &str) {
    wait("work", LONG, || {
        (pane(home, agent).state == PaneState::Working).then_some(())
    });
}

fn log(home: &Home, name: &str, after: Option<String>) -> Result<LogLines, ClientError> {
    home.client().ask(Command::AgentLog(AgentLog {
        agent: name.parse().unwrap(),
        lines: None,
        after,
    }))
}

pub(crate) fn refusal<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> (ErrorKind, String) {
    match outcome {
        Err(ClientError::Refused { error }) => (error.kind, error.message),
        other => panic!("must be refused, not {other:?}"),
    }
}

/// Processes that have this text in their environment.
pub(crate) fn processes_with(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let folder = entry.unwrap().path();
        let environment = std::fs::read(folder.join("environ")).unwrap_or_default();
        if environment
            .windows(mark.len())
            .any(|part| part == mark.as_bytes())
        {
            found.push(folder.display().to_string());
        }
    }
    found
}

#[test]
fn a_task_is_done_by_an_agent_that_the_daemon_runs_and_its_cost_is_kept() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let args = ["--rpc", "--step-ms", "5", "--emit-usage"];
    let started = spawn(&home, spawning("ada", &args)).unwrap();
    assert_eq!((started.state, started.turns), (PaneState::Idle, 0));
    assert!(started.pid.is_some());
    let first = create(&home, "Read the note");
    let done = stands(&home, &first, TaskStatus::Done, LONG);
    assert!(done.task.usage.input > 0 && done.task.usage.cost_usd > Usd::default());
    assert!(done.task.result.is_some_and(|text| !text.is_empty()));
    let seen: Vec<&str> = done
        .events
        .iter()
        .map(|event| event.actor.as_str())
        .collect();
    assert!(
        seen.contains(&"scheduler") && seen.contains(&"agent:ada"),
        "{seen:?}"
    );

    // One after the other, whatever waits.
    let more: Vec<Task> = (0..3)
        .map(|n| create(&home, &format!("Task {n}")))
        .collect();
    for task in &more {
        stands(&home, task, TaskStatus::Done, LONG);
    }
    let pane = pane(&home, "ada");
    assert_eq!(pane.state, PaneState::Done);
    assert!(pane.usage.cost_usd > done.task.usage.cost_usd);
    let stopped = stop(&home, "ada");
    assert_eq!(stopped.pid, None);
    // A name is free again once its agent has ended.
    spawn(&home, spawning("ada", &args)).unwrap();
}

#[test]
fn an_agent_that_fails_refuses_or_ends_leaves_its_task_where_it_belongs() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    for (name, fault, status, text) in [
        ("fails", "--fail", TaskStatus::Failed, ""),
        ("refuses", "--refuse", TaskStatus::Failed, ""),
    ] {
        spawn(&home, spawning(name, &["--rpc", "--step-ms", "1", fault])).unwrap();
        let task = create(&home, name);
        let failed = stands(&home, &task, status, LONG).task;
        assert!(failed.error.unwrap().contains(text));
        stop(&home, name);
    }
    // It crashes at each try, and two tries are what the task has, with a pause between them.
    let crashing = SpawnAgent {
        restart: true,
        ..spawning("crashes", &["--rpc", "--step-ms", "1", "--crash"])
    };
    spawn(&home, crashing).unwrap();
    let hopeless = CreateTask {
        max_attempts: Some(2),
        ..needing("hopeless", &["code"])
    };
    let task = home.client().create_task(hopeless).unwrap();
    let failed = stands(&home, &task, TaskStatus::Failed, LONG * 2).task;
    assert_eq!(failed.attempts, 2);
    let snapshot: Snapshot = home.client().ask(Command::Snapshot(NoFields {})).unwrap();
    assert!(snapshot.attention > 0, "{snapshot:?}");
}

#[test]
fn the_agent_of_the_environment_starts_with_the_daemon_and_again_when_it_ends() {
    let home = Home::new();
    let mut command = home.command(&[]);
    command
        .env("COLIBRI_AUTOSPAWN", "Yes")
        .env("COLIBRI_AUTOSPAWN_BINARY", test_agent())
        .env("COLIBRI_AUTOSPAWN_ARGS", "--rpc --step-ms 1");
    let _daemon = home.start_command(&mut command);
    let name = "colibri-test-agent";
    let first = wait("the agent", LONG, || {
        let snapshot: Snapshot = home.client().ask(Command::Snapshot(NoFields {})).unwrap();
        let pane = snapshot.panes.into_iter().next()?;
        assert_eq!(pane.agent, name);
        pane.pid
    });
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(first.cast_signed()),
        Signal::SIGKILL,
    )
    .unwrap();
    wait("the next one", LONG, || {
        pane(&home, name).pid.filter(|&pid| pid != first)
    });
    let task = create(&home, "Hello");
    stands(&home, &task, TaskStatus::Done, LONG);
}

#[test]
fn an_agent_of_the_environment_that_lacks_a_key_is_not_started_and_is_missed() {
    let home = Home::new();
    let program = home.path("pi");
    std::os::unix::fs::symlink(test_agent(), &program).unwrap();
    let start = |key: &str| {
        let mut command = home.command(&[]);
        command
            .env("COLIBRI_AUTOSPAWN", "yes")
            .env("COLIBRI_PI_BINARY", &program)
            .env("COLIBRI_AUTOSPAWN_ARGS", "--rpc --step-ms 1")
            .env("OPENAI_API_KEY", key);
        home.start_command(&mut command)
    };
    let part = || {
        let check = home.client().service_check().unwrap();
        let mut parts = check.checks.into_iter();
        parts.find(|part| part.name == "snapshot").unwrap()
    };
    let panes = || {
        let snapshot: Snapshot = home.client().ask(Command::Snapshot(NoFields {})).unwrap();
        snapshot.panes
    };

    let daemon = start("");
    let told = wait("that it is missed", LONG, || {
        Some(part()).filter(|part| !part.ok)
    });
    let words = "agent pi was not started with the daemon: no key of a model provider";
    assert!(told.detail.starts_with(words), "{told:?}");
    assert!(panes().is_empty());
    let log = home.log();
    assert_eq!(log.matches("no key of a model provider").count(), 1);
    assert!(
        log.contains("`COLIBRI_PI_BINARY` is called `COLIBRI_AUTOSPAWN_BINARY` now"),
        "{log}"
    );
    daemon.stop(Signal::SIGTERM);

    let _daemon = start("sk-1");
    wait("the agent", LONG, || (panes().len() == 1).then_some(()));
    assert!(part().ok, "{:?}", part());
}

#[test]
fn what_a_service_cannot_see_is_said_to_be_hidden() {
    let home = Home::new();
    let in_a_home = || SpawnAgent {
        program: "/home/nobody-of-this-name/pi".into(),
        ..spawning("ada", &[])
    };
    let daemon = home.start(&[]);
    let (_, text) = refusal(spawn(&home, in_a_home()));
    assert!(!text.contains("the service sees"), "{text}");
    daemon.stop(Signal::SIGTERM);

    let _told = std::os::unix::net::UnixDatagram::bind(home.path("notify")).unwrap();
    let mut service = home.command(&[]);
    service.env("NOTIFY_SOCKET", home.path("notify"));
    let _daemon = home.start_command(&mut service);
    let (kind, text) = refusal(spawn(&home, in_a_home()));
    assert_eq!(kind, ErrorKind::BadRequest);
    assert!(text.contains("the service sees nothing of /home"), "{text}");
}

#[test]
fn what_cannot_be_started_is_refused_with_the_reason() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let missing = SpawnAgent {
        program: "/nowhere/pi".into(),
        ..spawning("ada", &[])
    };
    let (kind, text) = refusal(spawn(&home, missing));
    assert_eq!(kind, ErrorKind::BadRequest);
    assert!(text.contains("/nowhere/pi does not exist"), "{text}");
    spawn(&home, spawning("ada", &["--rpc"])).unwrap();
    let (kind, text) = refusal(spawn(&home, spawning("ada", &["--rpc"])));
    assert_eq!(kind, ErrorKind::Conflict);
    assert!(text.contains("runs already"), "{text}");
    let (kind, text) = refusal(prompt(&home, "bob", "Hello"));
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(text.contains("`snapshot` shows"), "{text}");
}

#[test]
fn an_agent_that_keeps_failing_is_left_alone_and_its_pane_says_so() {
    let home = Home::new();
    let _daemon = home.start(&["--restart-seconds", "0.001"]);
    let failing = SpawnAgent {
        restart: true,
        ..spawning("ada", &["--no-such-flag"])
    };
    spawn(&home, failing).unwrap();
    let left = wait("its end", LONG * 2, || {
        let is_left = |why: &str| why.starts_with("left alone");
        Some(pane(&home, "ada")).filter(|pane| pane.reason.as_deref().is_some_and(is_left))
    });
    assert_eq!((left.state, left.pid), (PaneState::Error, None));
    let reason = left.reason.unwrap();
    assert!(
        reason.contains("10 times") && reason.contains("exit code 2"),
        "{reason}"
    );
    // One start, and ten more: the log has it from each.
    let complaints = log(&home, "ada", None).unwrap().lines;
    let complaints = complaints
        .iter()
        .filter(|line| line.contains("--no-such-flag"));
    assert!(complaints.count() >= 11);
}

#[test]
fn the_pane_of_an_agent_that_has_ended_can_be_dismissed_and_no_other() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let dismiss = |name: &str| -> Result<PaneSnapshot, ClientError> {
        let agent = name.parse().unwrap();
        let dismiss = Command::DismissPane(DismissPane { agent });
        home.client().ask(dismiss)
    };
    let snapshot = || -> Snapshot { home.client().ask(Command::Snapshot(NoFields {})).unwrap() };
    spawn(&home, spawning("fails", &["--no-such-flag"])).unwrap();
    spawn(&home, spawning("runs", &["--rpc"])).unwrap();
    wait("the end of one", LONG, || {
        (snapshot().attention == 1).then_some(())
    });
    let (kind, text) = refusal(dismiss("runs"));
    assert_eq!(kind, ErrorKind::Conflict);
    assert!(text.contains("stop it first"), "{text}");
    // Its keeper may need a moment more than its pane.
    let gone = wait("its dismissal", LONG, || dismiss("fails").ok());
    assert_eq!(
        (gone.agent.as_str(), gone.state),
        ("fails", PaneState::Error)
    );
    let left = snapshot();
    assert_eq!((left.panes.len(), left.attention), (1, 0));
    assert_eq!(refusal(dismiss("fails")).0, ErrorKind::NotFound);
    assert!(!log(&home, "fails", None).unwrap().lines.is_empty());
    // Right after a stop, and while one waits to be started again.
    stop(&home, "runs");
    dismiss("runs").unwrap();
    let waiting = SpawnAgent {
        restart: true,
        ..spawning("waits", &["--no-such-flag"])
    };
    spawn(&home, waiting).unwrap();
    wait("its first end", LONG, || {
        pane(&home, "waits").reason.is_some().then_some(())
    });
    assert_eq!(refusal(dismiss("waits")).0, ErrorKind::Conflict);
}

#[test]
fn why_an_agent_fails_is_read_in_its_log_without_keys_while_it_runs_and_later() {
    let home = Home::new();
    let mut command = home.command(&[]);
    command.env("OPENAI_API_KEY", "sk-the-key-of-the-test");
    let _daemon = home.start_command(&mut command);
    let script = "printf '\\033[31m401\\033[0m for %s\\n' \"$OPENAI_API_KEY\" >&2; \
                  read line; echo \"got $line\" >&2; exit 3";
    spawn(&home, shell("ada", script, &[])).unwrap();
    let first = wait("its complaint", LONG, || {
        Some(log(&home, "ada", None).unwrap()).filter(|log| !log.lines.is_empty())
    });
    assert_eq!(first.lines, ["401 for (secret)"]);
    assert!(!first.cut);
    let nothing = log(&home, "ada", Some(first.next.clone())).unwrap();
    assert_eq!((nothing.lines.len(), nothing.cut), (0, false));

    prompt(&home, "ada", "Hello").unwrap();
    let since = wait("its last words", LONG, || {
        let log = log(&home, "ada", Some(first.next.clone())).unwrap();
        Some(log.lines).filter(|lines| !lines.is_empty())
    });
    assert!(since[0].starts_with("got {"), "{since:?}");
    wait("its end", LONG, || {
        pane(&home, "ada").pid.is_none().then_some(())
    });
    let all = log(&home, "ada", None).unwrap();
    assert_eq!(all.lines.len(), 2, "{all:?}");
    // The file itself is nobody else's.
    assert_eq!(mode(&home.path("data/agents/ada/stderr.log")), 0o600);

    let (kind, text) = refusal(log(&home, "bob", None));
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(text.contains("no agent bob"), "{text}");
    let (kind, text) = refusal(log(&home, "ada", Some("x".repeat(900_000))));
    assert_eq!(kind, ErrorKind::BadRequest);
    assert!(text.starts_with("`after`:") && text.len() < 200, "{text}");
}

#[test]
fn nothing_is_left_of_agents_when_the_daemon_stops_and_when_it_is_killed() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let home = Home::new();
        let mut daemon = home.start(&[]);
        let mark = format!("HOME={}", home.path("data/agents/ada").display());
        let stubborn = ["--rpc", "--ignore-term", "--children", "3"];
        spawn(&home, spawning("ada", &stubborn)).unwrap();
        wait("its children", LONG, || {
            (processes_with(&mark).len() >= 4).then_some(())
        });
        daemon.signal(signal);
        daemon.ended();
        wait("the end of all processes", LONG, || {
            processes_with(&mark).is_empty().then_some(())
        });
        // The place is usable again, and so is the name.
        let _again = home.start(&[]);
        spawn(&home, spawning("ada", &["--rpc"])).unwrap();
    }
}

#[test]
fn a_task_goes_back_when_its_agent_is_stopped_and_is_called_off_when_the_operator_says_so() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    spawn(
        &home,
        spawning("ada", &["--rpc", "--step-ms", "1", "--hang"]),
    )
    .unwrap();
    let task = create(&home, "for ever");
    stands(&home, &task, TaskStatus::Started, LONG);
    stop(&home, "ada");
    let back = details(&home, task.id).task;
    assert_eq!(back.status, TaskStatus::Queued);
    assert_eq!(back.attempts, 1);

    spawn(&home, spawning("bob", &["--rpc", "--step-ms", "20000"])).unwrap();
    stands(&home, &task, TaskStatus::Started, LONG);
    works(&home, "bob");
    cancel(&home, &task);
    wait("its end", LONG, || {
        (pane(&home, "bob").state != PaneState::Working).then_some(())
    });
}

/// The whole way: the provider's key in the daemon's environment, the real `pi`, a model on
/// loopback, a task on the board.
#[test]
fn real_pi_does_a_task_of_the_board() {
    let pi = match Pi::install("node20", Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(pi) => pi,
        Err(why) => return println!("NOT CHECKED: {why}"),
    };
    let patience = Duration::from_secs(240);
    let key = "sk-or-v1-the-key-of-the-test";
    let script = Script {
        key: Some(key.to_owned()),
        ..Script::default()
    };
    let server = Server::start("127.0.0.1:0", script).unwrap();
    let home = Home::new();
    let its_home = home.path("data/agents/atlas");
    let settings = its_home.join(".pi/agent");
    std::fs::create_dir_all(&settings).unwrap();
    std::fs::create_dir_all(its_home.join("work")).unwrap();
    std::fs::write(its_home.join("work/note.txt"), "hello\n").unwrap();
    let models = json!({"providers": {"loopback": {
        "baseUrl": server.base_url(), "api": "openai-completions", "apiKey": "OPENROUTER_API_KEY",
        "models": [{
            "id": "test-model", "contextWindow": 128_000, "maxTokens": 4096,
            "cost": {"input": 2, "output": 10, "cacheRead": 0.5, "cacheWrite": 0},
        }],
    }}});
    std::fs::write(settings.join("models.json"), models.to_string()).unwrap();

    let mut command = home.command(&[]);
    command
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("OPENROUTER_API_KEY", key)
        .env("PI_PROVIDER", "loopback")
        .env("PI_MODEL", "test-model");
    let _daemon = home.start_command(&mut command);
    // Without arguments, as the image starts it.
    let atlas = SpawnAgent {
        name: "atlas".parse().unwrap(),
        runtime: Runtime::Pi,
        program: pi.program,
        args: None,
        ..spawning("atlas", &[])
    };
    let id = |session: SessionBrief| session.session;
    spawn(&home, atlas.clone()).unwrap();
    let task = create(&home, "What does note.txt say?");
    let done = stands(&home, &task, TaskStatus::Done, patience).task;
    assert_eq!(done.result.as_deref(), Some("The note is read."));
    assert!(done.usage.output > 0 && done.usage.cost_usd > Usd::default());
    assert_eq!(server.asked()[0].key.as_deref(), Some(key));
    let stopped = stop(&home, "atlas");
    assert_eq!((stopped.malformed, stopped.turns), (0, 2), "{stopped:?}");
    // Started again, it goes on with its session, and knows what it was asked before.
    spawn(&home, atlas).unwrap();
    assert_eq!(
        pane(&home, "atlas").session.map(id),
        stopped.session.map(id)
    );
    let next = create(&home, "And now?");
    stands(&home, &next, TaskStatus::Done, patience);
    let last = server.asked().last().unwrap().body["messages"].to_string();
    for asked in ["What does note.txt say?", "And now?"] {
        assert!(last.contains(asked), "{last}");
    }
    stop(&home, "atlas");
    // The key is in no list of processes, no log and not in the database.
    let kept = [
        home.database(),
        home.path("log"),
        its_home.join("stderr.log"),
    ];
    for file in kept {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let is_there = bytes.windows(key.len()).any(|part| part == key.as_bytes());
        assert!(!is_there, "the key is in {}", file.display());
    }
}
