//! The text of `docs/protocol.md`, made from the types.

use std::fmt::Write as _;

use jiff::Timestamp;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Agent, AgentCounts, AgentLog, AgentPage, AgentStatus, Answer, AnswerAgent, BackedUp,
    CancelTask, Change, Check, ClaimTask, Command, CompactSession, Compacted, CostMode,
    CostModeInForce, CreateJob, CreateTask, DatabaseStatus, DismissPane, ErrorKind, Escalation,
    GetSession, GetTask, Heartbeat, IntakeTask, Job, JobPage, ListTasks, LogLines, MAX_LINE,
    Missed, Name, NoFields, OneTenant, Paging, PaneSnapshot, PaneState, RegisterAgent,
    RegisterSkill, RegisterTenant, Removal, RemoveJob, RemoveTenant, Reply, Request, RequestId,
    RequestTenant, Retention, RetryTask, Runtime, Schedule, SchedulerStatus, SendPrompt,
    ServiceCheck, SessionBrief, SessionSnapshot, SetCostMode, Skill, SkillFinding, SkillPage,
    Snapshot, SpawnAgent, Status, StopAgent, Task, TaskCounts, TaskDetails, TaskEvent, TaskPage,
    TaskStatus, Tenant, TenantCounts, TenantId, TenantLimits, TenantNumber, TenantPage,
    TenantRemoval, TenantRotation, TenantSecrets, TenantStatus, TransitionTask, Trigger, Usage,
    Usd, place,
};

/// The whole reference page as Markdown. A test keeps the file in step.
pub fn protocol_page() -> String {
    let mut page = String::new();
    page.push_str(&introduction());
    let mut types = SchemaSettings::draft2020_12().into_generator();
    for example in examples(&mut types) {
        example.write_to(&mut page);
    }
    page.push_str("## Types\n\nAs JSON schemas; `#/$defs/` means another type of this list.\n\n");
    for (name, schema) in types.take_definitions(true) {
        let _ = write!(
            page,
            "### `{name}`\n\n```json\n{:#}\n```\n\n",
            sorted(schema)
        );
    }
    page.push_str("## Error kinds\n\n| `kind` | when |\n|---|---|\n");
    for (kind, when) in described_variants::<ErrorKind>() {
        let _ = writeln!(page, "| `{kind}` | {when} |");
    }
    page.push_str("\nA client must expect kinds it does not know: later versions may add some.\n");
    page
}

fn introduction() -> String {
    let unknown = Request::parse(br#"{"cmd":"list-task","id":"a-1"}"#);
    let refusal = match unknown {
        Err(refused) => line(&Reply::new(refused.id, Err(refused.error))),
        Ok(request) => line(&request),
    };
    format!(
        "<!-- Made from colibri/protocol; do not edit. \
         Renew: COLIBRI_BLESS=1 cargo nextest run -p colibri-protocol -->\n\n\
         # The Colibri socket protocol\n\n\
         The daemon listens on a Unix stream socket: `/run/colibri/colibri.sock` on Linux,\n\
         `/var/run/colibri/colibri.sock` on FreeBSD, or wherever `{variable}` says. Each\n\
         request is one JSON object on one line; so is each reply. A line has at most\n\
         {MAX_LINE} bytes in either direction. Requests of one connection are answered in\n\
         their order; a client may send the next before it has read the reply to the last.\n\n\
         * `cmd` names the command. Its other fields stand beside it. A field that is not\n\
         \x20 known is refused, never ignored.\n\
         * `id` (a whole number, or a text of at most 128 characters) may be given and comes\n\
         \x20 back with the reply.\n\
         * A good reply is `{{\"ok\":true,\"data\":…}}`; a bad one\n\
         \x20 `{{\"ok\":false,\"error\":{{\"kind\":\"…\",\"message\":\"…\"}}}}`. `kind` is for programs,\n\
         \x20 `message` for people.\n\
         * Behind the reply to `backup` come bytes that are no line; no other has any.\n\
         * A line without its newline is no request: nothing is done before the newline came.\n\
         * Who may ask: root, the daemon's own account, and members of the group `{group}`.\n\
         \x20 The kernel vouches for the peer's account. Others get `forbidden`.\n\
         * An agent that the daemon runs finds in its environment, as `{variable}`,\n\
         \x20 a socket of its own. Over it, it may ask `list-tasks`, `get-task`, `claim-task`,\n\
         \x20 `transition-task`, `list-agents`, `heartbeat`, `snapshot`, `get-session`,\n\
         \x20 `compact-session` and `list-skills`. It sees itself and what is its own, and acts as\n\
         \x20 itself: `agent_id` may be left out where the types allow it. Another agent's id,\n\
         \x20 task or session, and every other command, gets `forbidden`. `list-agents` tells it\n\
         \x20 its own id.\n\
         * An agent in a tenant's jail finds its socket there, and may ask `request-tenant`, too.\n\
         * A connection that stays silent for long, does not finish a line, or does not read\n\
         \x20 its replies is closed.\n\n\
         ```json\n-> {{\"cmd\":\"list-task\",\"id\":\"a-1\"}}\n<- {refusal}\n```\n\n",
        variable = place::SOCKET_VARIABLE,
        group = place::GROUP,
    )
}

struct Example {
    command: Command,
    about: String,
    fields: String,
    reply: String,
    data: Value,
}

impl Example {
    fn new<Fields: JsonSchema, Data: JsonSchema + Serialize>(
        types: &mut SchemaGenerator,
        command: Command,
        data: &Data,
    ) -> Self {
        // Has their definitions written down, for the end of the page.
        types.subschema_for::<Fields>();
        types.subschema_for::<Data>();
        let name = command.name();
        let about = described_variants::<Command>()
            .into_iter()
            .find_map(|(known, about)| (known == name).then_some(about))
            .unwrap_or_default();
        Self {
            command,
            about,
            fields: Fields::schema_name().into_owned(),
            reply: Data::schema_name().into_owned(),
            data: sorted(json!(data)),
        }
    }

    fn write_to(self, page: &mut String) {
        let name = self.command.name();
        let request = Request {
            id: Some(RequestId::Number(1)),
            command: self.command,
        };
        let reply = Reply::new(request.id.clone(), Ok(self.data));
        let _ = write!(
            page,
            "## `{name}`\n\n{}\n\n```json\n-> {}\n<- {}\n```\n\n",
            self.about,
            line(&request),
            line(&reply),
        );
        let link = |name: &str| format!("[`{name}`](#{})", name.to_lowercase());
        let _ = write!(
            page,
            "Fields: {}; `data`: {}.\n\n",
            link(&self.fields),
            link(&self.reply)
        );
    }
}

/// A name that is written here and therefore right.
fn name(text: &str) -> Name {
    #[allow(clippy::expect_used, reason = "a test runs every example")]
    text.parse().expect("a name of the examples")
}

/// The same for a tenant, with its number.
fn tenant(id: &str, number: u16, at: Timestamp) -> Tenant {
    #[allow(clippy::expect_used, reason = "a test runs every example")]
    let (tenant_id, number): (TenantId, TenantNumber) = (
        id.parse().expect("a tenant of the examples"),
        number.try_into().expect("a number of the examples"),
    );
    let ttl = "7d".parse().ok();
    Tenant {
        jail: tenant_id.clone(),
        tenant_id,
        number,
        jail_root: None,
        collection: None,
        collection_id: None,
        limits: TenantLimits::default(),
        status: TenantStatus::Registered,
        reason: None,
        removal: None,
        parent: None,
        depth: 0,
        agents: Vec::new(),
        created_by: "uid:0".to_owned(),
        created_at: at,
        ttl,
        expires_at: ttl.map(|ttl: crate::TimeSpan| ttl.after(at)),
        idle_after: "2h".parse().ok(),
        last_active: at,
    }
}

fn examples(types: &mut SchemaGenerator) -> Vec<Example> {
    let at = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(1_780_000_000);
    let id = |number: u128| Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0000 + number);
    let (task_id, agent_id, job_id) = (id(1), id(2), id(3));
    let capabilities = || "freebsd".parse().into_iter().collect();
    let new = CreateTask {
        title: "Back up the vault".to_owned(),
        description: Some("To the second disk.".to_owned()),
        capabilities: capabilities(),
        max_attempts: None,
    };
    let queued = Task {
        id: task_id,
        title: new.title.clone(),
        description: "To the second disk.".to_owned(),
        status: TaskStatus::Queued,
        capabilities: capabilities(),
        attempts: 0,
        max_attempts: 3,
        agent_id: None,
        lease_until: None,
        not_before: None,
        parked: Some("no agent has `freebsd`".to_owned()),
        result: None,
        error: None,
        usage: Usage::default(),
        job_id: None,
        created_by: "uid:0".to_owned(),
        created_at: at,
        updated_at: at,
    };
    let claimed = Task {
        status: TaskStatus::Claimed,
        attempts: 1,
        agent_id: Some(agent_id),
        lease_until: Some(at + jiff::SignedDuration::from_secs(300)),
        parked: None,
        ..queued.clone()
    };
    let usage = Usage {
        input: 1200,
        output: 300,
        cost_usd: Usd::from_billionths(8_100_000),
        ..Usage::default()
    };
    let done = Task {
        status: TaskStatus::Done,
        lease_until: None,
        result: Some("412 files".to_owned()),
        usage,
        ..claimed.clone()
    };
    let cancelled = Task {
        status: TaskStatus::Cancelled,
        parked: None,
        error: Some("the disk is full".to_owned()),
        ..queued.clone()
    };
    let event = TaskEvent {
        at,
        actor: "scheduler".to_owned(),
        kind: "task-claimed".to_owned(),
        from: Some(TaskStatus::Queued),
        to: Some(TaskStatus::Claimed),
        note: Some("for atlas-pi".to_owned()),
    };
    let agent = Agent {
        id: agent_id,
        name: name("atlas-pi"),
        capabilities: capabilities(),
        host: name("atlas"),
        slots: 1,
        status: AgentStatus::Idle,
        holds: 0,
        registered_at: at,
        last_seen: at,
    };
    let skill = Skill {
        name: name("vault"),
        description: "Reads secrets from the vault.".to_owned(),
        path: Some("/usr/local/share/colibri/skills/vault/SKILL.md".to_owned()),
        registered_at: at,
        updated_at: at,
    };
    let job = Job {
        id: job_id,
        name: name("nightly"),
        schedule: Schedule::Cron {
            expression: "30 2 * * *".to_owned(),
            zone: "Europe/Ljubljana".to_owned(),
        },
        missed: Missed::Once,
        task: new.clone(),
        created_by: "uid:0".to_owned(),
        created_at: at,
        next_at: Some(at),
        last_at: None,
        runs: 0,
    };
    let status = Status {
        version: "0.1.0".to_owned(),
        host: "atlas".to_owned(),
        pid: 812,
        started_at: at,
        uptime_seconds: 61,
        data_dir: "/var/lib/colibri".into(),
        db_path: "/var/lib/colibri/colibri.sqlite".into(),
        socket: "/run/colibri/colibri.sock".into(),
        cost_mode: CostMode::Smart,
        thresholds: CostMode::Smart.thresholds(),
        stall_seconds: 14_400,
        scheduler: SchedulerStatus {
            tick_seconds: 30,
            last_tick: Some(at),
            lease_seconds: 300,
        },
        agents: AgentCounts {
            idle: 1,
            ..AgentCounts::default()
        },
        sessions: 1,
        jobs: 1,
        clients: 1,
        max_clients: 512,
        tasks: TaskCounts {
            queued: 1,
            ..TaskCounts::default()
        },
        retention: Retention {
            task_days: Some(90),
            session_days: Some(90),
            ..Retention::default()
        },
        tenants: TenantCounts {
            active: 1,
            ..TenantCounts::default()
        },
        tenant_problems: Vec::new(),
        database: DatabaseStatus {
            schema_version: 2,
            journal_mode: "wal".to_owned(),
            size_bytes: 4096,
            wal_bytes: 53_592,
        },
    };
    let seen = |name: &str, ok, unknown, detail: &str| Check {
        name: name.to_owned(),
        ok,
        unknown,
        detail: detail.to_owned(),
    };
    let check = ServiceCheck {
        healthy: false,
        checks: vec![
            seen("wal", true, false, "journal mode wal, log of 53592 bytes"),
            seen(
                "writer",
                false,
                true,
                "waits for the database's lock; see `database`",
            ),
        ],
    };
    let tasks = TaskPage {
        tasks: vec![queued.clone()],
        next: Some("1".to_owned()),
    };
    let session = SessionSnapshot {
        session: id(4),
        agent: agent.name.to_string(),
        created_at: at,
        updated_at: at + jiff::SignedDuration::from_secs(61),
        cost_mode: CostMode::Smart,
        limits: CostMode::Smart.thresholds(),
        prefix_bytes: 11,
        prefix_sha256: "c".repeat(64),
        log_bytes: 4096,
        log_entries: 9,
        turns: 3,
        compactions: 1,
        escalations: vec![Escalation {
            at,
            from: CostMode::Fast,
            to: CostMode::Smart,
            trigger: Trigger::CompactionInsufficient,
        }],
        usage,
        file_bytes: 52_480,
        findings: Vec::new(),
    };
    let pane = PaneSnapshot {
        id: "atlas-pi-1780000000000".to_owned(),
        agent: agent.name.to_string(),
        runtime: Runtime::Pi,
        state: PaneState::Working,
        stalled: false,
        since: at,
        last_event_at: Some(at),
        tool: Some("bash".to_owned()),
        text: "Looking at the disk first.".to_owned(),
        turns: 1,
        usage,
        events: 14,
        malformed: 0,
        reason: None,
        question: None,
        choices: Vec::new(),
        pid: Some(4711),
        session: Some(SessionBrief {
            session: session.session,
            cost_mode: session.cost_mode,
            turns: session.turns,
            log_bytes: session.log_bytes,
            compactions: session.compactions,
            escalations: 1,
        }),
        session_problem: None,
    };
    let spawn = SpawnAgent {
        name: agent.name.clone(),
        runtime: Runtime::Pi,
        program: "/usr/local/bin/pi".into(),
        args: None,
        cwd: None,
        prompt: Some("Say hello.".to_owned()),
        capabilities: capabilities(),
        restart: true,
        tenant: None,
    };
    let registered = tenant("mila", 2, at);
    let mila = &registered.tenant_id;
    let provisioned = Tenant {
        jail_root: Some("/var/lib/machines/mila".to_owned()),
        collection: Some("mila".to_owned()),
        collection_id: Some("0198a000-0000-7000-8000-000000000009".to_owned()),
        status: TenantStatus::Provisioned,
        ..registered.clone()
    };
    let born = Tenant {
        parent: Some(mila.clone()),
        depth: 1,
        status: TenantStatus::Provisioning,
        idle_after: None,
        created_by: "agent:mila".to_owned(),
        ..tenant("nika", 3, at)
    };
    let one_tenant = || OneTenant {
        tenant_id: mila.clone(),
    };
    vec![
        Example::new::<NoFields, _>(types, Command::Status(NoFields {}), &status),
        Example::new::<NoFields, _>(types, Command::ServiceCheck(NoFields {}), &check),
        Example::new::<NoFields, _>(
            types,
            Command::Subscribe(NoFields {}),
            &Change::Task {
                task_id,
                title: new.title.clone(),
                status: TaskStatus::Claimed,
                agent_id: Some(agent_id),
            },
        ),
        Example::new::<CreateTask, _>(types, Command::CreateTask(new.clone()), &queued),
        Example::new::<IntakeTask, _>(
            types,
            Command::IntakeTask(IntakeTask {
                title: new.title.clone(),
                description: new.description.clone(),
                capabilities: capabilities(),
            }),
            &queued,
        ),
        Example::new::<ListTasks, _>(
            types,
            Command::ListTasks(ListTasks {
                status: Some(TaskStatus::Queued),
                limit: Some(1),
                ..ListTasks::default()
            }),
            &tasks,
        ),
        Example::new::<GetTask, _>(
            types,
            Command::GetTask(GetTask { task_id }),
            &TaskDetails {
                task: claimed.clone(),
                events: vec![event],
            },
        ),
        Example::new::<ClaimTask, _>(
            types,
            Command::ClaimTask(ClaimTask { task_id, agent_id }),
            &claimed,
        ),
        Example::new::<TransitionTask, _>(
            types,
            Command::TransitionTask(TransitionTask {
                result: done.result.clone(),
                usage: Some(usage),
                ..TransitionTask::to(task_id, TaskStatus::Done, Some(agent_id))
            }),
            &done,
        ),
        Example::new::<CancelTask, _>(
            types,
            Command::CancelTask(CancelTask {
                task_id,
                reason: cancelled.error.clone(),
            }),
            &cancelled,
        ),
        Example::new::<RetryTask, _>(types, Command::RetryTask(RetryTask { task_id }), &queued),
        Example::new::<RegisterAgent, _>(
            types,
            Command::RegisterAgent(RegisterAgent {
                name: agent.name.clone(),
                capabilities: capabilities(),
                host: None,
                slots: None,
            }),
            &agent,
        ),
        Example::new::<Paging, _>(
            types,
            Command::ListAgents(Paging::default()),
            &AgentPage {
                agents: vec![agent.clone()],
                next: None,
            },
        ),
        Example::new::<Heartbeat, _>(
            types,
            Command::Heartbeat(Heartbeat {
                agent_id,
                host: None,
            }),
            &agent,
        ),
        Example::new::<NoFields, _>(
            types,
            Command::Snapshot(NoFields {}),
            &Snapshot {
                at,
                panes: vec![pane.clone()],
                attention: 0,
            },
        ),
        Example::new::<SpawnAgent, _>(types, Command::SpawnAgent(spawn), &pane),
        Example::new::<StopAgent, _>(
            types,
            Command::StopAgent(StopAgent {
                agent: agent.name.clone(),
            }),
            &PaneSnapshot {
                state: PaneState::Idle,
                tool: None,
                pid: None,
                ..pane.clone()
            },
        ),
        Example::new::<DismissPane, _>(
            types,
            Command::DismissPane(DismissPane {
                agent: agent.name.clone(),
            }),
            &PaneSnapshot {
                state: PaneState::Error,
                tool: None,
                reason: Some("the agent ended with exit code 1".to_owned()),
                pid: None,
                ..pane.clone()
            },
        ),
        Example::new::<SendPrompt, _>(
            types,
            Command::SendPrompt(SendPrompt {
                agent: agent.name.clone(),
                message: "Look at the logs.".to_owned(),
            }),
            &pane,
        ),
        Example::new::<AnswerAgent, _>(
            types,
            Command::AnswerAgent(AnswerAgent {
                agent: agent.name.clone(),
                question: None,
                answer: Answer::Confirmed(true),
            }),
            &pane,
        ),
        Example::new::<AgentLog, _>(
            types,
            Command::AgentLog(AgentLog {
                agent: agent.name.clone(),
                lines: Some(2),
                after: None,
            }),
            &LogLines {
                lines: vec![
                    "Error: 401 from the provider".to_owned(),
                    "    at request (/usr/local/lib/pi/client.js:12:5)".to_owned(),
                ],
                cut: true,
                next: "4026-5120".to_owned(),
            },
        ),
        Example::new::<GetSession, _>(
            types,
            Command::GetSession(GetSession {
                session: session.session,
            }),
            &session,
        ),
        Example::new::<CompactSession, _>(
            types,
            Command::CompactSession(CompactSession {
                session: session.session,
                summary: None,
            }),
            &Compacted {
                entries: 8,
                before: 40_960,
                after: 4096,
            },
        ),
        Example::new::<RegisterSkill, _>(
            types,
            Command::RegisterSkill(RegisterSkill {
                name: skill.name.clone(),
                description: skill.description.clone(),
                path: skill.path.clone(),
            }),
            &skill,
        ),
        Example::new::<Paging, _>(
            types,
            Command::ListSkills(Paging::default()),
            &SkillPage {
                skills: vec![skill.clone()],
                next: None,
                folder: Some("/var/lib/colibri/skills".into()),
                findings: vec![SkillFinding {
                    path: "/var/lib/colibri/skills/SKILL.md".to_owned(),
                    problem: "belongs into a folder of the skill's name: NAME/SKILL.md".to_owned(),
                }],
            },
        ),
        Example::new::<CreateJob, _>(
            types,
            Command::CreateJob(CreateJob {
                name: job.name.clone(),
                schedule: job.schedule.clone(),
                missed: job.missed,
                task: new,
            }),
            &job,
        ),
        Example::new::<Paging, _>(
            types,
            Command::ListJobs(Paging::default()),
            &JobPage {
                jobs: vec![job.clone()],
                next: None,
            },
        ),
        Example::new::<RemoveJob, _>(
            types,
            Command::RemoveJob(RemoveJob {
                name: job.name.clone(),
            }),
            &job,
        ),
        Example::new::<RegisterTenant, _>(
            types,
            Command::RegisterTenant(RegisterTenant {
                ttl: registered.ttl,
                idle_after: registered.idle_after,
                ..RegisterTenant::named(mila.clone())
            }),
            &registered,
        ),
        Example::new::<Paging, _>(
            types,
            Command::ListTenants(Paging::default()),
            &TenantPage {
                tenants: vec![provisioned.clone()],
                next: None,
            },
        ),
        Example::new::<OneTenant, _>(types, Command::ProvisionTenant(one_tenant()), &provisioned),
        Example::new::<OneTenant, _>(
            types,
            Command::RotateTenant(one_tenant()),
            &TenantRotation {
                tenant: provisioned.clone(),
                changed: false,
                restarted: Vec::new(),
            },
        ),
        Example::new::<OneTenant, _>(
            types,
            Command::ListSecrets(one_tenant()),
            &TenantSecrets {
                tenant_id: mila.clone(),
                names: vec!["OPENROUTER_API_KEY".to_owned()],
            },
        ),
        Example::new::<RemoveTenant, _>(
            types,
            Command::RemoveTenant(RemoveTenant {
                tenant_id: mila.clone(),
                removal: Removal::Archive,
                dry_run: false,
            }),
            &TenantRemoval {
                tenant: provisioned.clone(),
                removal: Removal::Archive,
                dry_run: false,
                archive: Some("/var/lib/machines/.archive/mila.tar.zst".to_owned()),
            },
        ),
        Example::new::<RequestTenant, _>(
            types,
            Command::RequestTenant(RequestTenant {
                tenant_id: born.tenant_id.clone(),
                ttl: born.ttl,
            }),
            &born,
        ),
        Example::new::<SetCostMode, _>(
            types,
            Command::SetCostMode(SetCostMode {
                mode: CostMode::Fast,
                persist: true,
            }),
            &CostModeInForce {
                mode: CostMode::Fast,
                persisted: true,
                thresholds: CostMode::Fast.thresholds(),
            },
        ),
        Example::new::<NoFields, _>(
            types,
            Command::Backup(NoFields {}),
            &BackedUp { size_bytes: 4096 },
        ),
    ]
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| error.to_string())
}

fn schema<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    sorted(generator.into_root_schema_for::<T>().to_value())
}

/// The same value with the keys of its objects in order: whether `serde_json`
/// keeps them in order by itself depends on what other crates are built along.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.into_iter().collect();
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            fields
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// The name on the wire and the doc comment of each variant of an enum.
fn described_variants<T: JsonSchema>() -> Vec<(String, String)> {
    let schema = schema::<T>();
    let variants = schema["oneOf"].as_array().cloned().unwrap_or_default();
    variants
        .iter()
        .filter_map(|variant| {
            let name = variant["const"]
                .as_str()
                .or_else(|| variant["properties"]["cmd"]["const"].as_str())?;
            let about = variant["description"].as_str()?.replace('\n', " ");
            Some((name.to_owned(), about))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_docs_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
        let made = protocol_page();
        if std::env::var_os("COLIBRI_BLESS").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == made,
            "docs/protocol.md is stale; renew it with \
             COLIBRI_BLESS=1 cargo nextest run -p colibri-protocol"
        );
    }

    #[test]
    fn every_command_is_shown_with_its_purpose() {
        let shown = examples(&mut SchemaSettings::draft2020_12().into_generator());
        let names: Vec<_> = shown.iter().map(|example| example.command.name()).collect();
        assert_eq!(names, Command::NAMES);
        for example in &shown {
            assert!(!example.about.is_empty(), "{}", example.command.name());
        }
        assert_eq!(described_variants::<ErrorKind>().len(), 12);
    }
}
