//! A host with a bit of everything, at a fixed time.

use std::time::Duration;

use colibri_protocol::{
    Agent, AgentPage, Change, JobPage, ListTasks, LogLines, PaneSnapshot, Snapshot, Status, Task,
    TaskDetails, TaskPage, Tenant,
};
use colibri_tui::model::{Ask, Heard, Model, Part, Press, Wish};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// The time at which everything is looked at.
pub(crate) fn now() -> Timestamp {
    "2026-11-27T10:00:00Z".parse().expect("a time")
}

fn id(number: u32) -> String {
    format!("0198a000-0000-7000-8000-{number:012}")
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a type of the protocol")
}

pub(crate) fn status() -> Status {
    read(json!({
        "version": "0.1.0", "host": "atlas", "pid": 811,
        "started_at": "2026-11-25T08:00:00Z", "uptime_seconds": 180_000,
        "data_dir": "/var/lib/colibri", "db_path": "/var/lib/colibri/colibri.sqlite",
        "socket": "/run/colibri/colibri.sock", "cost_mode": "smart",
        "thresholds": {"session_bytes": 2_000_000, "turns": 20, "tool_result_bytes": 16_000},
        "scheduler": {"tick_seconds": 30, "last_tick": "2026-11-27T09:59:40Z", "lease_seconds": 300},
        "agents": {"active": 2, "idle": 1, "offline": 1}, "jobs": 1,
        "clients": 3, "max_clients": 512,
        "tasks": {"queued": 3, "claimed": 1, "started": 1, "done": 1, "failed": 1, "cancelled": 1},
        "database": {"schema_version": 2, "journal_mode": "wal", "size_bytes": 81_920, "wal_bytes": 0},
    }))
}

fn pane(agent: &str, state: &str, more: Value) -> PaneSnapshot {
    let mut pane = json!({
        "id": format!("{agent}-1"), "agent": agent, "runtime": "pi", "state": state,
        "stalled": false, "since": "2026-11-27T09:55:00Z", "turns": 3, "events": 120,
        "malformed": 0, "pid": 4242, "last_event_at": "2026-11-27T09:59:58Z",
        "usage": {"input": 12_000, "output": 900, "cache_read": 48_000, "cache_write": 6_000,
            "cost_usd": 0.0815},
    });
    for (name, value) in more.as_object().expect("fields") {
        pane[name] = value.clone();
    }
    read(pane)
}

pub(crate) fn snapshot() -> Snapshot {
    let panes = vec![
        pane(
            "ada",
            "working",
            json!({"tool": "bash", "text": "The vault's backup is written.\nNow I compare it with \
                yesterday's: 1204 files, of which 3 are new.", "turns": 14}),
        ),
        pane(
            "anna",
            "error",
            json!({"reason": "401 from the provider: the key is not valid any more",
                "text": "I shall look at the certificates of all jails first.",
                "since": "2026-11-27T09:18:00Z", "malformed": 2, "pid": null}),
        ),
        pane(
            "berta",
            "blocked",
            json!({"reason": "May I remove /var/cache/pkg (1.2 GB)?",
                "question": "q-7", "choices": ["Once", "Always", "Never"], "tool": "ask",
                "text": "The disk of jail `web` is full."}),
        ),
        pane(
            "carl",
            "working",
            json!({"stalled": true, "tool": "http", "runtime": "zot",
                "since": "2026-11-27T05:40:00Z", "last_event_at": "2026-11-27T05:41:10Z"}),
        ),
        pane("dora", "done", json!({"runtime": "local", "text": "Done."})),
        pane(
            "emil",
            "idle",
            json!({"since": "2026-11-24T05:40:00Z", "turns": 0, "events": 0,
                "usage": {}, "last_event_at": null}),
        ),
    ];
    Snapshot {
        at: now(),
        attention: 3,
        panes,
    }
}

fn task(number: u32, title: &str, status: &str, more: Value) -> Task {
    let mut task = json!({
        "id": id(number), "title": title, "description": "", "status": status,
        "attempts": 1, "max_attempts": 3, "created_by": "uid:0",
        "created_at": "2026-11-27T09:00:00Z", "updated_at": "2026-11-27T09:56:00Z",
    });
    for (name, value) in more.as_object().expect("fields") {
        task[name] = value.clone();
    }
    read(task)
}

pub(crate) fn tasks() -> TaskPage {
    TaskPage {
        tasks: vec![
            task(
                17,
                "Draw the map of all jails",
                "queued",
                json!({"attempts": 0, "capabilities": ["gpu"],
                    "parked": "no agent has all of: gpu"}),
            ),
            task(16, "Answer Marko's mail", "queued", json!({"attempts": 0})),
            task(
                15,
                "Back up the vault",
                "started",
                json!({"agent_id": id(1), "lease_until": "2026-11-27T10:04:00Z",
                    "description": "Into /backup, and compare it with yesterday's.\nSay what is new.",
                    "capabilities": ["freebsd"],
                    "usage": {"input": 4_000, "output": 300, "cost_usd": 0.0211}}),
            ),
            task(
                14,
                "Renew the certificates",
                "claimed",
                json!({"agent_id": id(2)}),
            ),
            task(
                13,
                "Look why `web` is slow",
                "failed",
                json!({"agent_id": id(2), "attempts": 3, "job_id": id(32),
                    "error": "the agent was not heard of for 300 s, three times",
                    "updated_at": "2026-11-26T10:00:00Z"}),
            ),
            task(
                12,
                "Water the plants\u{1b}[2J",
                "cancelled",
                json!({"updated_at": "2026-11-20T10:00:00Z"}),
            ),
            task(
                11,
                "Weekly report",
                "done",
                json!({"agent_id": id(4), "result": "Sent to ada@example.org.", "job_id": id(33),
                    "usage": {"input": 90_000, "output": 4_000, "cost_usd": 1.25},
                    "updated_at": "2026-11-23T10:00:00Z"}),
            ),
            task(
                10,
                "Read what is new",
                "queued",
                json!({"not_before": "2026-11-27T10:00:40Z",
                    "parked": "an attempt failed; it is tried again at 2026-11-27T10:00:40Z",
                    "error": "attempt 1 of 3: 503 from the provider: overloaded",
                    "updated_at": "2026-11-27T10:00:00Z"}),
            ),
        ],
        next: Some("10".to_owned()),
    }
}

pub(crate) fn details() -> TaskDetails {
    let event = |at: &str, actor: &str, kind: &str, note: Option<&str>| json!({"at": at, "actor": actor, "kind": kind, "note": note});
    TaskDetails {
        task: tasks().tasks[2].clone(),
        events: read(json!([
            event("2026-11-27T09:00:00Z", "uid:0", "task-created", None),
            event(
                "2026-11-27T09:00:01Z",
                "scheduler",
                "task-claimed",
                Some("for ada")
            ),
            event("2026-11-27T09:00:04Z", "agent:ada", "task-started", None),
        ])),
    }
}

/// More than a small screen has room for, with a line that is longer than one.
pub(crate) fn log() -> LogLines {
    let mut lines: Vec<String> = (1..=30)
        .map(|attempt| format!("09:18:{attempt:02} attempt {attempt}: connecting to the provider"))
        .collect();
    lines.push(
        "Error: 401 Unauthorized: the key OPENROUTER_API_KEY is not valid any more; make a new one \
         and put it into provider.env\u{1b}[2J"
            .to_owned(),
    );
    lines.push("    at request (/usr/local/lib/pi/client.js:12:5)".to_owned());
    LogLines {
        lines,
        cut: true,
        next: "7-9".to_owned(),
    }
}

pub(crate) fn agents() -> AgentPage {
    let agent = |number: u32, name: &str, status: &str, can: Value, holds: u32, seen: &str| {
        json!({"id": id(number), "name": name, "capabilities": can, "host": "atlas", "slots": 1,
            "status": status, "holds": holds, "registered_at": "2026-11-20T08:00:00Z",
            "last_seen": seen})
    };
    AgentPage {
        agents: read(json!([
            agent(
                1,
                "ada",
                "active",
                json!(["freebsd", "shell"]),
                1,
                "2026-11-27T09:59:58Z"
            ),
            agent(
                2,
                "anna",
                "offline",
                json!(["freebsd"]),
                1,
                "2026-11-27T09:18:00Z"
            ),
            agent(3, "berta", "active", json!([]), 0, "2026-11-27T09:59:30Z"),
            agent(
                4,
                "dora",
                "idle",
                json!(["model:large", "shell"]),
                0,
                "2026-11-27T09:59:00Z"
            ),
        ])),
        next: None,
    }
}

pub(crate) fn jobs() -> JobPage {
    let job = |number: u32, name: &str, schedule: Value, next: Value, last: Value, runs: u32| {
        json!({"id": id(number), "name": name, "schedule": schedule, "missed": "once",
            "task": {"title": format!("The task of {name}"), "capabilities": ["freebsd"],
                "description": "Look at everything."},
            "created_by": "uid:0", "created_at": "2026-11-01T08:00:00Z",
            "next_at": next, "last_at": last, "runs": runs})
    };
    JobPage {
        jobs: read(json!([
            job(
                31,
                "new-year",
                json!({"kind": "once", "at": "2027-01-01T08:00:00Z"}),
                json!("2027-01-01T08:00:00Z"),
                json!(null),
                0
            ),
            job(
                32,
                "nightly",
                json!({"kind": "cron", "expression": "30 2 * * *", "zone": "Europe/Ljubljana"}),
                json!("2026-11-28T01:30:00Z"),
                json!("2026-11-27T01:30:00Z"),
                26
            ),
            job(
                33,
                "report",
                json!({"kind": "interval", "seconds": 604_800}),
                json!(null),
                json!("2026-11-23T09:58:00Z"),
                3
            ),
        ])),
        next: None,
    }
}

pub(crate) fn tenants() -> Vec<Tenant> {
    let tenant = |number: u32, id: &str, status: &str, more: Value| {
        let mut tenant = json!({"tenant_id": id, "number": number, "jail": id, "status": status,
            "limits": {}, "created_by": "uid:0", "created_at": "2026-11-20T08:00:00Z",
            "last_active": "2026-11-27T09:59:00Z"});
        for (name, value) in more.as_object().expect("fields") {
            tenant[name] = value.clone();
        }
        read::<Tenant>(tenant)
    };
    vec![
        tenant(
            1,
            "main",
            "active",
            json!({"agents": ["ada", "berta"], "jail_root": "/var/lib/machines/main",
                "collection": "main", "collection_id": id(41), "idle_after": "2h"}),
        ),
        tenant(
            3,
            "mila",
            "failed",
            json!({"reason": "cannot fetch its secrets: no collection is called `mila`; make it, or \
                register the tenant with another", "jail_root": "/var/lib/machines/mila",
                "collection": "mila"}),
        ),
        tenant(
            2,
            "trial",
            "stopped",
            json!({"agents": ["trial"], "ttl": "7d", "expires_at": "2026-11-27T12:00:00Z",
                "parent": "main", "depth": 1, "created_by": "agent:ada",
                "limits": {"memory_mib": 512, "tasks": 64, "cpu_percent": 50}}),
        ),
    ]
}

pub(crate) fn agent_list() -> Vec<Agent> {
    agents().agents
}

/// A screen that has just begun.
pub(crate) fn empty() -> Model {
    Model::new(TimeZone::UTC, now())
}

/// A screen that has heard everything.
pub(crate) fn full() -> Model {
    let mut model = empty();
    let wishes = model.hear(Heard::Change(Change::Subscribed));
    grant(&mut model, wishes);
    model
}

/// Hears what was wished for, from a daemon that knows one board.
pub(crate) fn grant(model: &mut Model, wishes: Vec<Wish>) {
    for wish in wishes {
        if let Wish::Ask(Ask::Load(part)) = wish {
            model.hear(answer(part));
        }
    }
}

fn answer(part: Part) -> Heard {
    match part {
        Part::Status => Heard::Status(Box::new(status())),
        Part::Panes => Heard::Panes(snapshot()),
        Part::Agents => Heard::Agents(agent_list()),
        Part::Jobs => Heard::Jobs(jobs().jobs),
        Part::Tenants => Heard::Tenants(tenants()),
        Part::Task(_) => Heard::Task(Box::new(details())),
        Part::Log(agent) => Heard::Log { agent, log: log() },
        Part::Tasks(which) => Heard::Tasks {
            page: page(&which),
            which,
        },
    }
}

pub(crate) fn page(which: &ListTasks) -> TaskPage {
    let mut page = tasks();
    page.tasks
        .retain(|task| which.status.is_none_or(|status| task.status == status));
    if which.status.is_some() {
        page.next = None;
    }
    page
}

/// Presses keys one after the other: letters as they are, others in angle brackets.
pub(crate) fn press(model: &mut Model, keys: &str) -> Vec<Wish> {
    let mut all = Vec::new();
    let mut rest = keys;
    while let Some(letter) = rest.chars().next() {
        let (press, taken) = match rest.split_once('>') {
            Some((name, _)) if letter == '<' => {
                let press = match &name[1..] {
                    "enter" => Press::Enter,
                    "esc" => Press::Escape,
                    "tab" => Press::Tab,
                    "backtab" => Press::BackTab,
                    "down" => Press::Down,
                    "right" => Press::Right,
                    "up" => Press::Up,
                    "left" => Press::Left,
                    "home" => Press::Home,
                    "end" => Press::End,
                    other => panic!("no key {other}"),
                };
                (press, name.len() + 1)
            }
            _ => (Press::Char(letter), letter.len_utf8()),
        };
        let wishes = model.press(press);
        grant(model, wishes.clone());
        all.extend(wishes);
        rest = &rest[taken..];
    }
    all
}

/// A lost connection.
pub(crate) fn lose(model: &mut Model) {
    let why = "nobody listens on /run/colibri/colibri.sock: the daemon has died; `journalctl -u \
               colibri-daemon` says why, `systemctl start colibri-daemon` starts it again";
    model.hear(Heard::Lost {
        why: why.to_owned(),
        pause: Duration::from_secs(8),
    });
}
