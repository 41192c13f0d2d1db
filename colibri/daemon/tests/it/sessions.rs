//! What agents say and do, kept in their sessions: across compactions, modes and restarts.

use colibri_protocol::client::ClientError;
use colibri_protocol::{
    Command, CompactSession, Compacted, CostMode, CostModeInForce, ErrorKind, GetSession,
    PaneState, Runtime, SessionSnapshot, SetCostMode, SpawnAgent, Status, TaskStatus, Trigger,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::agents::{create, pane, prompt, refusal, shell, spawn, spawning, stands, stop, wait};
use crate::board::details;
use crate::harness::{Home, LONG, Raw};

/// What the agent is asked first, and so the prefix of its session but for the newline.
const FIRST: &str = "Be kind to the žolna.";

/// An agent that is asked something first, and has answered.
fn begin(home: &Home, more: &[&str]) -> Uuid {
    let mut args = vec!["--rpc", "--step-ms", "1", "--emit-usage"];
    args.extend(more);
    let ada = SpawnAgent {
        prompt: Some(FIRST.to_owned()),
        ..spawning("ada", &args)
    };
    spawn(home, ada).unwrap();
    wait("the first answer", LONG, || {
        let pane = pane(home, "ada");
        let session = pane.session.filter(|_| pane.state == PaneState::Done);
        session.map(|session| session.session)
    })
}

fn do_tasks(home: &Home, count: usize) {
    for number in 0..count {
        let task = create(home, &format!("Task {number}"));
        stands(home, &task, TaskStatus::Done, LONG);
    }
}

fn session(home: &Home, session: Uuid) -> SessionSnapshot {
    let get = Command::GetSession(GetSession { session });
    home.client().ask(get).unwrap()
}

fn compact(home: &Home, session: Uuid) -> Result<Compacted, ClientError> {
    let summary = None;
    let compact = Command::CompactSession(CompactSession { session, summary });
    home.client().ask(compact)
}

/// The lines of a session's file.
fn lines(home: &Home, session: Uuid) -> Vec<String> {
    let path = home.path(&format!("data/agents/ada/sessions/{session}.jsonl"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn read(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn a_session_grows_with_its_turns_and_is_compacted_as_its_mode_says() {
    let home = Home::new();
    let _daemon = home.start(&["--cost-mode", "fast"]);
    let id = begin(&home, &["--result-bytes", "6000"]);
    let status: Status = home.client().status().unwrap();
    assert_eq!(status.sessions, 1);

    do_tasks(&home, 4);
    let grown = session(&home, id);
    assert_eq!((grown.turns, grown.compactions), (4, 0));
    assert_eq!(
        (grown.agent.as_str(), grown.cost_mode),
        ("ada", CostMode::Fast)
    );
    // The first answer and four more, each of a hundred tokens.
    assert_eq!(grown.usage.input, 500);
    let kinds: Vec<Value> = lines(&home, id)
        .iter()
        .map(|line| read(line)["kind"].clone())
        .collect();
    assert_eq!(
        kinds[..8],
        [
            Value::Null,
            json!("tool-call"),
            json!("tool-result"),
            json!("assistant"),
            json!("user"),
            json!("tool-call"),
            json!("tool-result"),
            json!("assistant"),
        ]
    );
    // Of six thousand bytes of a tool, `fast` keeps four.
    let result = read(&lines(&home, id)[2]);
    assert_eq!(result["cut"]["bytes"], 6000);
    assert!(result["text"].as_str().unwrap().len() <= 4000);

    // By hand, needed or not; what is left is the half that `fast` keeps.
    let done = compact(&home, id).unwrap();
    assert!(done.entries > 0 && done.after < done.before, "{done:?}");
    assert_eq!(compact(&home, id).unwrap().entries, 0);
    let shown = pane(&home, "ada").session.unwrap();
    assert_eq!((shown.session, shown.turns, shown.compactions), (id, 2, 1));

    // And by itself, with the sixth turn.
    do_tasks(&home, 3);
    assert_eq!(session(&home, id).compactions, 1);
    do_tasks(&home, 1);
    let compacted = session(&home, id);
    assert_eq!((compacted.turns, compacted.compactions), (2, 2));
    assert_eq!(compacted.cost_mode, CostMode::Fast);
    assert!(home.log().contains("compacted "), "{}", home.log());
}

#[test]
fn a_turn_that_is_too_long_for_its_mode_escalates_and_is_told() {
    let home = Home::new();
    let daemon = home.start(&["--cost-mode", "fast"]);
    let id = begin(&home, &[]);
    // Of the session's first mode, before anything was long.
    assert_eq!(session(&home, id).cost_mode, CostMode::Fast);
    stop(&home, "ada");

    let mut listener = Raw::connect(&home.socket());
    listener.send(b"{\"cmd\":\"subscribe\"}\n");
    let again = begin(&home, &["--say-bytes", "600000"]);
    assert_eq!(again, id);
    let told = loop {
        let data = listener.reply().unwrap()["data"].clone();
        if data["change"] == "session" && !data["escalated"].is_null() {
            break data;
        }
    };
    // What was before that turn was summarised first, and did not help.
    assert_eq!(told["escalated"], "compaction-insufficient");
    assert_eq!(
        (&told["mode"], &told["agent"]),
        (&json!("smart"), &json!("ada"))
    );

    let risen = session(&home, id);
    assert_eq!(risen.cost_mode, CostMode::Smart);
    let [step] = risen.escalations[..] else {
        panic!("{risen:?}");
    };
    assert_eq!((step.from, step.to), (CostMode::Fast, CostMode::Smart));
    assert_eq!(step.trigger, Trigger::CompactionInsufficient);
    let log = home.log();
    assert!(
        log.contains("escalated from fast to smart: compaction-insufficient"),
        "{log}"
    );

    // From now on it has room for two of those, and is judged by that.
    do_tasks(&home, 1);
    let roomy = session(&home, id);
    assert_eq!((roomy.turns, roomy.compactions), (2, 1));
    assert_eq!(roomy.escalations.len(), 1);

    let set = SetCostMode {
        mode: CostMode::Max,
        persist: false,
    };
    let _: CostModeInForce = home.client().ask(Command::SetCostMode(set)).unwrap();
    assert_eq!(session(&home, id).cost_mode, CostMode::Max);

    // That was not for good: after a restart it is judged by what the flag says.
    daemon.stop(Signal::SIGTERM);
    let _daemon = home.start(&["--cost-mode", "fast"]);
    assert_eq!(begin(&home, &[]), id);
    let cheap = session(&home, id);
    assert_eq!((cheap.cost_mode, cheap.turns), (CostMode::Fast, 1));
}

#[test]
fn a_session_goes_on_after_a_restart_with_the_same_prefix_to_the_byte() {
    let home = Home::new();
    let daemon = home.start(&[]);
    let id = begin(&home, &[]);
    do_tasks(&home, 2);
    let before = session(&home, id);
    assert_eq!(before.prefix_bytes, FIRST.len() as u64 + 1);
    let header = lines(&home, id)[0].clone();
    assert_eq!(read(&header)["prefix"], format!("{FIRST}\n"));
    daemon.stop(Signal::SIGTERM);

    let _daemon = home.start(&[]);
    // Its agent does not run, and yet it can be looked at.
    assert_eq!(session(&home, id), before);
    assert_eq!(begin(&home, &[]), id);
    do_tasks(&home, 1);
    let after = session(&home, id);
    assert_eq!(lines(&home, id)[0], header);
    assert_eq!(after.prefix_sha256, before.prefix_sha256);
    // The first prompt began a turn this time: the session had been begun already.
    assert_eq!((after.turns, after.created_at), (4, before.created_at));
    assert!(after.findings.is_empty(), "{after:?}");

    // Another first prompt is another prefix, and that another session.
    stop(&home, "ada");
    spawn(&home, spawning("ada", &["--rpc"])).unwrap();
    let other = wait("another session", LONG, || pane(&home, "ada").session);
    assert_ne!(other.session, id);
}

#[test]
fn a_program_that_cannot_run_begins_no_session() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let id = begin(&home, &[]);
    stop(&home, "ada");
    let mistyped = SpawnAgent {
        program: "/usr/local/bin/no-such-agent".into(),
        prompt: Some("Be brief.".to_owned()),
        ..spawning("ada", &["--rpc"])
    };
    let (kind, text) = refusal(spawn(&home, mistyped));
    assert_eq!(kind, ErrorKind::BadRequest);
    assert!(text.contains("does not exist"), "{text}");
    let kept = std::fs::read_dir(home.path("data/agents/ada/sessions"));
    assert_eq!(kept.unwrap().count(), 1);
    assert_eq!(begin(&home, &[]), id, "it goes on with what it had");
}

/// What was asked, and that it was answered, as the session's file has it.
fn spoken(home: &Home, session: Uuid) -> Vec<String> {
    let entries = lines(home, session).into_iter().map(|line| read(&line));
    entries
        .filter_map(|entry| match entry["kind"].as_str() {
            Some("user") => entry["text"].as_str().map(str::to_owned),
            Some("assistant") => Some("answer".to_owned()),
            _ => None,
        })
        .collect()
}

#[test]
fn an_agent_is_asked_one_thing_after_the_other_and_each_end_is_of_the_last() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    // It waits already, so the agent is given it while it works on its first prompt.
    let task = create(&home, "Task 1");
    let ada = SpawnAgent {
        prompt: Some(FIRST.to_owned()),
        ..spawning("ada", &["--rpc", "--step-ms", "30"])
    };
    spawn(&home, ada).unwrap();
    stands(&home, &task, TaskStatus::Done, LONG);
    let id = pane(&home, "ada").session.unwrap().session;
    assert_eq!(spoken(&home, id), ["answer", "Task 1", "answer"]);

    // What is asked in the middle of a task comes before the next one.
    let task = create(&home, "Task 2");
    wait("its start", LONG, || {
        let status = details(&home, task.id).task.status;
        matches!(status, TaskStatus::Started | TaskStatus::Done).then_some(())
    });
    for message in ["And what else?", "Is that all?"] {
        prompt(&home, "ada", message).unwrap();
    }
    let next = create(&home, "Task 3");
    stands(&home, &next, TaskStatus::Done, LONG);
    let asked = ["Task 2", "And what else?", "Is that all?", "Task 3"];
    let expected: Vec<&str> = asked.iter().flat_map(|&asked| [asked, "answer"]).collect();
    assert_eq!(spoken(&home, id)[3..], expected);
}

#[test]
fn the_pane_of_an_agent_that_has_ended_shows_what_becomes_of_its_session() {
    let home = Home::new();
    let _daemon = home.start(&["--cost-mode", "fast"]);
    let id = begin(&home, &["--result-bytes", "6000"]);
    do_tasks(&home, 4);
    let ended = stop(&home, "ada").session.unwrap();
    assert_eq!(
        (ended.session, ended.turns, ended.compactions),
        (id, 4, 0),
        "as it was left"
    );
    assert!(compact(&home, id).unwrap().entries > 0);
    let shown = pane(&home, "ada").session.unwrap();
    assert_eq!((shown.session, shown.turns, shown.compactions), (id, 2, 1));
    assert!(shown.log_bytes < ended.log_bytes, "{shown:?}");
}

#[test]
fn compacting_an_older_session_leaves_alone_what_its_agent_remembers_of_the_present_one() {
    // Does at once what it is asked, says so as the newest `pi` does, and notes what it was told.
    const PI: &str = r#"
        while read -r line; do
            printf '%s\n' "$line" >> "$HOME/told"
            case $line in
            *'"type":"compact"'*)
                echo '{"type":"response","command":"compact","success":true}' ;;
            *'"type":"prompt"'*)
                echo '{"type":"agent_start"}'
                echo '{"type":"message_end","message":{"role":"assistant","content":"Done.","stopReason":"stop"}}'
                echo '{"type":"agent_end","willRetry":false}'
                echo '{"type":"agent_settled"}' ;;
            esac
        done"#;
    let home = Home::new();
    let _daemon = home.start(&["--cost-mode", "fast"]);
    let begin = |first: Option<&str>| {
        let ada = SpawnAgent {
            runtime: Runtime::Pi,
            prompt: first.map(str::to_owned),
            ..shell("ada", PI, &["pi", "--mode", "rpc"])
        };
        spawn(&home, ada).unwrap();
        do_tasks(&home, 4);
        pane(&home, "ada").session.unwrap().session
    };
    let older = begin(None);
    stop(&home, "ada");
    let present = begin(Some(FIRST));
    assert_ne!(older, present);
    let compactions = || {
        let told = std::fs::read_to_string(home.path("data/agents/ada/told")).unwrap();
        let compactions = told
            .lines()
            .filter(|line| line.contains(r#""type":"compact""#));
        compactions.count()
    };
    assert!(compact(&home, older).unwrap().entries > 0);
    // It would have been told before its next task.
    do_tasks(&home, 1);
    assert_eq!(compactions(), 0);

    assert!(compact(&home, present).unwrap().entries > 0);
    do_tasks(&home, 1);
    assert_eq!(compactions(), 1);
}

#[test]
fn what_was_done_before_the_daemon_was_killed_is_there_once() {
    let home = Home::new();
    let daemon = home.start(&[]);
    let id = begin(&home, &[]);
    do_tasks(&home, 3);
    let before = session(&home, id);
    assert_eq!(before.turns, 3);
    // By SIGKILL.
    drop(daemon);

    let _daemon = home.start(&[]);
    assert_eq!(session(&home, id), before);
    assert_eq!(begin(&home, &[]), id);
    do_tasks(&home, 1);
    let lines: Vec<Value> = lines(&home, id).iter().map(|line| read(line)).collect();
    let of_kind = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
    // Four tasks, and the first prompt twice; the first time it is the prefix, not in the log.
    assert_eq!((of_kind("user"), of_kind("assistant")), (5, 6));
    // No line was lost on the way, and none came twice; the header has no number.
    let numbers: Vec<_> = lines[1..]
        .iter()
        .map(|line| line["line"].as_u64())
        .collect();
    let expected: Vec<_> = (2..=lines.len() as u64).map(Some).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn a_key_that_an_agent_prints_is_in_no_session_no_result_and_no_pane() {
    const KEY: &str = "sk-or-v1-the-key-of-the-test";
    // An agent that shows its environment, as a tool and in its own words.
    const AGENT: &str = r#"
        say() { printf '{"type":"%s",%s}\n' "$1" "$2"; }
        while read -r prompt; do
            say agent_start '"id":"1"'
            say tool_execution_start '"id":"1","tool":"env"'
            say tool_execution_end '"id":"1","result":"KEY='"$OPENROUTER_API_KEY"'"'
            say message_end '"text":"It is '"$OPENROUTER_API_KEY"'."'
            say agent_end '"id":"1"'
        done"#;
    let home = Home::new();
    let _daemon = home.start_command(home.command(&[]).env("OPENROUTER_API_KEY", KEY));
    spawn(&home, shell("ada", AGENT, &[])).unwrap();
    let task = create(&home, "Show your environment");
    let done = stands(&home, &task, TaskStatus::Done, LONG).task;
    assert_eq!(done.result.as_deref(), Some("It is (secret)."));
    let pane = pane(&home, "ada");
    assert_eq!(pane.text, "It is (secret).");
    let said = lines(&home, pane.session.unwrap().session).concat();
    assert!(
        said.contains("KEY=(secret)") && !said.contains(KEY),
        "{said}"
    );
}

#[test]
fn a_session_that_nobody_has_is_not_found() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let session = Uuid::nil();
    let get = Command::GetSession(GetSession { session });
    for (kind, text) in [
        refusal::<SessionSnapshot>(home.client().ask(get)),
        refusal(compact(&home, session)),
    ] {
        assert_eq!(kind, ErrorKind::NotFound);
        assert!(text.contains("`snapshot` shows"), "{text}");
    }
}

#[test]
fn an_agent_works_though_its_session_cannot_be_written() {
    let home = Home::new();
    let its_home = home.path("data/agents/ada");
    std::fs::create_dir_all(&its_home).unwrap();
    std::fs::write(its_home.join("sessions"), "in the way").unwrap();
    let _daemon = home.start(&[]);
    spawn(&home, spawning("ada", &["--rpc", "--step-ms", "1"])).unwrap();
    do_tasks(&home, 1);
    let pane = pane(&home, "ada");
    assert_eq!(pane.session, None);
    let problem = pane.session_problem.unwrap();
    assert!(
        problem.contains("there is no session: cannot make"),
        "{problem}"
    );
    assert!(home.log().contains("it has no session"), "{}", home.log());
}
