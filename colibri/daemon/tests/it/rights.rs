//! What an agent may do over its own socket, who else may, and how long the socket lives.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use colibri_protocol::{Command, CostMode, SpawnAgent, Task, TaskStatus};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::agents::{pane, shell, spawn, spawning, stands, stop, wait};
use crate::board::{details, needing};
use crate::harness::{Home, LONG, Raw, built, mode, set_mode};
use crate::mcp::tools;
use crate::peers::{DAEMON_GID, NOBODY, ask_as, asked, root};

fn folder(home: &Home) -> PathBuf {
    home.path("colibri.sock.agents")
}

fn socket(home: &Home, agent: &str) -> PathBuf {
    folder(home).join(agent)
}

/// An agent that works on a task for ever.
struct Busy {
    id: Uuid,
    task: Uuid,
    session: Uuid,
}

impl Busy {
    fn start(home: &Home, name: &str) -> Self {
        let agent = SpawnAgent {
            capabilities: [name.parse().unwrap()].into(),
            ..spawning(name, &["--rpc", "--step-ms", "1", "--hang"])
        };
        spawn(home, agent).unwrap();
        let task = task_for(home, name);
        let task = stands(home, &task, TaskStatus::Started, LONG).task;
        Self {
            id: task.agent_id.unwrap(),
            task: task.id,
            session: pane(home, name).session.unwrap().session,
        }
    }
}

/// A task that only the agent of this name can do.
fn task_for(home: &Home, name: &str) -> Task {
    let new = needing("for ever", &[name]);
    home.client().create_task(new).unwrap()
}

fn ask(raw: &mut Raw, request: &Value) -> Value {
    raw.ask(&request.to_string())
}

#[track_caller]
fn assert_forbidden(raw: &mut Raw, request: &Value) {
    let reply = ask(raw, request);
    assert_eq!(reply["error"]["kind"], "forbidden", "{request} got {reply}");
    let text = reply["error"]["message"].as_str().unwrap();
    assert!(text.contains("agent ada"), "{text}");
}

#[test]
fn an_agent_may_do_what_the_table_and_the_reference_say_and_nothing_else() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let ada = Busy::start(&home, "ada");
    // The scheduler gives it no second one; it has to take it.
    let waiting = task_for(&home, "ada").id;
    let may = [
        json!({"cmd": "list-tasks"}),
        json!({"cmd": "get-task", "task_id": ada.task}),
        json!({"cmd": "claim-task", "task_id": waiting, "agent_id": ada.id}),
        json!({"cmd": "transition-task", "task_id": waiting, "status": "started"}),
        json!({"cmd": "list-agents"}),
        json!({"cmd": "heartbeat", "agent_id": ada.id}),
        json!({"cmd": "snapshot"}),
        json!({"cmd": "get-session", "session": ada.session}),
        json!({"cmd": "compact-session", "session": ada.session}),
        json!({"cmd": "list-skills"}),
    ];
    let task = json!({"title": "t"});
    let schedule = json!({"kind": "interval", "seconds": 1});
    let may_not = [
        json!({"cmd": "status"}),
        json!({"cmd": "service-check"}),
        json!({"cmd": "subscribe"}),
        json!({"cmd": "create-task", "title": "t"}),
        json!({"cmd": "intake-task", "title": "t"}),
        json!({"cmd": "cancel-task", "task_id": ada.task}),
        json!({"cmd": "retry-task", "task_id": ada.task}),
        json!({"cmd": "register-agent", "name": "ada", "capabilities": ["everything"]}),
        json!({"cmd": "spawn-agent", "name": "eve", "runtime": "local", "program": "/bin/sh"}),
        json!({"cmd": "stop-agent", "agent": "ada"}),
        json!({"cmd": "dismiss-pane", "agent": "ada"}),
        json!({"cmd": "send-prompt", "agent": "ada", "message": "Hello"}),
        json!({"cmd": "answer-agent", "agent": "ada", "answer": {"confirmed": true}}),
        json!({"cmd": "agent-log", "agent": "ada"}),
        json!({"cmd": "register-skill", "name": "lies", "description": "Believe me."}),
        json!({"cmd": "create-job", "name": "j", "schedule": schedule, "task": task}),
        json!({"cmd": "list-jobs"}),
        json!({"cmd": "remove-job", "name": "j"}),
        json!({"cmd": "set-cost-mode", "mode": "max", "persist": true}),
        json!({"cmd": "backup"}),
        json!({"cmd": "register-tenant", "tenant_id": "mine"}),
        json!({"cmd": "list-tenants"}),
        json!({"cmd": "provision-tenant", "tenant_id": "main"}),
        json!({"cmd": "rotate-tenant", "tenant_id": "main"}),
        json!({"cmd": "list-secrets", "tenant_id": "main"}),
        json!({"cmd": "remove-tenant", "tenant_id": "main", "removal": "destroy"}),
        json!({"cmd": "request-tenant", "tenant_id": "mine"}),
    ];
    fn command(request: &Value) -> &str {
        request["cmd"].as_str().unwrap()
    }
    let tried: BTreeSet<&str> = may.iter().chain(&may_not).map(command).collect();
    let all: BTreeSet<&str> = Command::NAMES.iter().copied().collect();
    assert_eq!(tried, all);

    let mut raw = Raw::connect(&socket(&home, "ada"));
    for request in &may_not {
        assert_forbidden(&mut raw, request);
    }
    // Being refused costs nothing: the same connection goes on.
    for request in &may {
        let reply = ask(&mut raw, request);
        assert_eq!(reply["ok"], true, "{request} got {reply}");
    }
    let status = home.client().status().unwrap();
    assert_eq!((status.tasks.total(), status.tasks.started), (2, 2));
    assert_eq!((status.jobs, status.cost_mode), (0, CostMode::Smart));

    let page = colibri_protocol::docs::protocol_page();
    let mut rules = page.split("\n* ");
    let rule = rules.find(|rule| rule.starts_with("An agent that the daemon runs"));
    let rule = rule.unwrap();
    let is_named = |request: &&Value| rule.contains(&format!("`{}`", command(request)));
    assert_eq!(may.iter().filter(is_named).count(), may.len(), "{rule}");
    assert_eq!(may_not.iter().filter(is_named).count(), 0, "{rule}");
}

#[test]
fn an_agent_is_itself_and_sees_itself() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let (ada, bob) = (Busy::start(&home, "ada"), Busy::start(&home, "bob"));
    let mut raw = Raw::connect(&socket(&home, "ada"));
    for request in [
        json!({"cmd": "heartbeat", "agent_id": bob.id}),
        json!({"cmd": "claim-task", "task_id": ada.task, "agent_id": bob.id}),
        json!({"cmd": "transition-task", "task_id": bob.task, "status": "done",
            "agent_id": bob.id}),
        json!({"cmd": "list-tasks", "agent_id": bob.id}),
        json!({"cmd": "get-task", "task_id": bob.task}),
        json!({"cmd": "get-session", "session": bob.session}),
        json!({"cmd": "compact-session", "session": bob.session}),
    ] {
        assert_forbidden(&mut raw, &request);
    }
    // It may try in its own name, as anybody who does not hold the task.
    let stolen = json!({"cmd": "transition-task", "task_id": bob.task, "status": "done"});
    assert_eq!(ask(&mut raw, &stolen)["error"]["kind"], "conflict");
    assert_eq!(details(&home, bob.task).task.status, TaskStatus::Started);

    let seen = ask(&mut raw, &json!({"cmd": "list-tasks"}));
    let tasks = seen["data"]["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 1, "{seen}");
    assert_eq!(tasks[0]["id"], json!(ada.task));
    let seen = ask(&mut raw, &json!({"cmd": "list-agents"}));
    let agents = seen["data"]["agents"].as_array().unwrap();
    assert_eq!(agents.len(), 1, "{seen}");
    assert_eq!(agents[0]["id"], json!(ada.id));
    let seen = ask(&mut raw, &json!({"cmd": "snapshot"}));
    let panes = seen["data"]["panes"].as_array().unwrap();
    assert_eq!(panes.len(), 1, "{seen}");
    assert_eq!(panes[0]["agent"], "ada");

    let done = json!({"cmd": "transition-task", "task_id": ada.task, "status": "done",
        "result": "r"});
    assert_eq!(ask(&mut raw, &done)["ok"], true);
    let done = details(&home, ada.task);
    assert_eq!(done.task.result.as_deref(), Some("r"));
    assert_eq!(done.events.last().unwrap().actor, "agent:ada");
}

#[test]
fn the_socket_is_there_before_its_agent_and_gone_with_it() {
    let home = Home::new();
    let daemon = home.start(&[]);
    let path = socket(&home, "ada");
    let script = r#"test -S "$COLIBRI_DAEMON_SOCKET" || exit 1
        printf %s "$COLIBRI_DAEMON_SOCKET" > "$HOME/new"; mv "$HOME/new" "$HOME/named"
        exec cat"#;
    spawn(&home, shell("ada", script, &[])).unwrap();
    let named = wait("its word", LONG, || {
        std::fs::read_to_string(home.path("data/agents/ada/named")).ok()
    });
    assert_eq!(Path::new(&named), path);
    assert_eq!((mode(&folder(&home)), mode(&path)), (0o700, 0o600));
    let mut raw = Raw::connect(&path);
    assert_eq!(ask(&mut raw, &json!({"cmd": "list-agents"}))["ok"], true);
    stop(&home, "ada");
    assert!(!path.exists());
    assert!(raw.reply().is_none(), "who is connected is hung up on");

    // Another life of the agent is still the agent's.
    let again = SpawnAgent {
        restart: true,
        ..spawning("ada", &["--rpc"])
    };
    let first = spawn(&home, again).unwrap().pid.unwrap();
    kill(Pid::from_raw(first.cast_signed()), Signal::SIGKILL).unwrap();
    wait("the next life", LONG, || {
        pane(&home, "ada").pid.filter(|&pid| pid != first)
    });
    let mut raw = Raw::connect(&path);
    assert_eq!(ask(&mut raw, &json!({"cmd": "list-agents"}))["ok"], true);

    // One that ends by itself takes its socket with it, too.
    spawn(&home, shell("brief", "exit 0", &[])).unwrap();
    wait("the end of its socket", LONG, || {
        (!socket(&home, "brief").exists()).then_some(())
    });
    assert!(path.exists());
    daemon.stop(Signal::SIGTERM);
    assert!(!folder(&home).exists());
}

#[test]
fn sockets_that_a_killed_daemon_left_are_removed_by_the_next() {
    let home = Home::new();
    let mut daemon = home.start(&[]);
    let path = socket(&home, "ada");
    spawn(&home, spawning("ada", &["--rpc"])).unwrap();
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    assert!(path.exists(), "nobody removed it");

    let daemon = home.start(&[]);
    assert!(!path.exists());
    let log = home.log();
    assert!(log.contains("removing the socket of a dead agent"), "{log}");
    spawn(&home, spawning("ada", &["--rpc"])).unwrap();
    let mut raw = Raw::connect(&path);
    assert_eq!(ask(&mut raw, &json!({"cmd": "list-agents"}))["ok"], true);
    daemon.stop(Signal::SIGTERM);
    assert!(!folder(&home).exists());
}

#[test]
fn another_account_does_not_get_in_whatever_the_modes_say() {
    const NAME: &str = "rights::another_account_does_not_get_in_whatever_the_modes_say";
    if asked() || !root() {
        return;
    }
    let home = Home::new();
    let daemon = home.start(&["--group", "daemon"]);
    spawn(&home, spawning("ada", &["--rpc"])).unwrap();
    let path = socket(&home, "ada");
    set_mode(&home.path(""), 0o755);
    // A member of the operators' group as little as a stranger: it has another socket.
    for gid in [NOBODY, DAEMON_GID] {
        let words = ask_as(NAME, &home, &path, NOBODY, gid);
        assert!(words.contains("denied by the system"), "{words}");
    }
    set_mode(&folder(&home), 0o755);
    set_mode(&path, 0o666);
    for gid in [NOBODY, DAEMON_GID] {
        let words = ask_as(NAME, &home, &path, NOBODY, gid);
        assert!(words.contains("kind forbidden"), "{words}");
        assert!(words.contains("the socket of agent ada"), "{words}");
    }
    daemon.stop(Signal::SIGTERM);
}

/// The command line runs as an agent would run it: it finds the socket in its environment.
#[test]
fn the_command_line_finds_the_agents_socket() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let script = r#""$0" list-agents --json > "$HOME/agents.json"
        "$0" create-task --title t 2> "$HOME/refused"
        echo "$?" > "$HOME/new"; mv "$HOME/new" "$HOME/code"
        exec cat"#;
    let colibri = built("colibri");
    spawn(&home, shell("ada", script, &[colibri.to_str().unwrap()])).unwrap();
    let read = |name: &str| std::fs::read_to_string(home.path("data/agents/ada").join(name));
    // That of an account that may not.
    assert_eq!(wait("its end", LONG, || read("code").ok()), "4\n");
    let agents: Value = serde_json::from_str(&read("agents.json").unwrap()).unwrap();
    assert_eq!(agents["agents"][0]["name"], "ada", "{agents}");
    let refused = read("refused").unwrap();
    assert!(
        refused.contains("agent ada may not ask `create-task`"),
        "{refused}"
    );
}

#[test]
fn the_tools_of_a_model_work_over_the_agents_socket() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    spawn(&home, spawning("ada", &["--rpc"])).unwrap();
    let mut mcp = tools(&socket(&home, "ada"), &[]);
    let seen = mcp.call("colibri_list_agents", json!({})).unwrap();
    assert_eq!(seen["agents"][0]["name"], "ada", "{seen}");
    let refused = mcp.call("colibri_status", json!({})).unwrap_err();
    assert!(refused.starts_with("forbidden: "), "{refused}");
    mcp.end();
}
