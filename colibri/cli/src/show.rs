//! Answers as a person likes to read them.

use std::fmt::{Display, Write as _};

use colibri_protocol::{
    Agent, AgentPage, Capability, Change, Compacted, CostModeInForce, Job, JobPage, LogLines,
    PaneSnapshot, PaneState, Removal, Retention, ServiceCheck, SessionSnapshot, Skill, SkillPage,
    Snapshot, Status, Task, TaskDetails, TaskPage, TaskStatus, Tenant, TenantPage, TenantRemoval,
    TenantRotation, TenantSecrets, TenantStatus, Thresholds, TimeSpan, Usage,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use owo_colors::{OwoColorize, Style};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::Verb;
use crate::backup::Made;
use crate::join::Joined;
use crate::mother::Mother;

/// Characters of a title that a table shows.
const TITLE_WIDTH: usize = 60;

/// The whole answer as text, with colours that the caller may strip.
///
/// # Errors
/// When the data are not what this version expects.
pub(crate) fn answer(verb: &Verb, data: &Value) -> serde_json::Result<String> {
    Ok(match verb {
        Verb::Status => status(&read(data)?),
        Verb::ServiceCheck => checks(&read(data)?),
        Verb::CreateTask(_)
        | Verb::IntakeTask(_)
        | Verb::ClaimTask(_)
        | Verb::TransitionTask(_)
        | Verb::CancelTask(_)
        | Verb::RetryTask(_) => one_task(&read(data)?),
        Verb::ListTasks(_) => tasks(&read(data)?, &TimeZone::system()),
        Verb::GetTask(_) => details(&read(data)?, &TimeZone::system()),
        Verb::RegisterAgent(_) | Verb::Heartbeat(_) => {
            let agent: Agent = read(data)?;
            format!("{} {} {}\n", agent.id, agent.status, agent.name)
        }
        Verb::ListAgents(_) => agents(&read(data)?, &TimeZone::system()),
        Verb::Snapshot => panes(&read(data)?),
        Verb::SpawnAgent(_)
        | Verb::SpawnLocal(_)
        | Verb::StopAgent(_)
        | Verb::OldStop(_)
        | Verb::DismissPane(_)
        | Verb::SendPrompt(_)
        | Verb::AnswerAgent(_) => {
            let pane: PaneSnapshot = read(data)?;
            format!("{} {}\n", pane.agent, doing(&pane))
        }
        Verb::AgentLog(_) => log(&read(data)?, true),
        Verb::GetSession(_) => session(&read(data)?),
        Verb::CompactSession(_) => {
            let done: Compacted = read(data)?;
            match done.entries {
                0 => "nothing to summarise\n".to_owned(),
                entries => format!(
                    "{entries} entries summarised: {} bytes before, {} now\n",
                    done.before, done.after
                ),
            }
        }
        Verb::RegisterSkill(_) => format!("{}\n", read::<Skill>(data)?.name),
        Verb::ListSkills(_) => skills(&read(data)?),
        Verb::CreateJob(_) | Verb::RemoveJob(_) => {
            let job: Job = read(data)?;
            format!(
                "{} {} {}\n",
                job.id,
                job.name,
                tame(&job.schedule.to_string())
            )
        }
        Verb::ListJobs(_) => jobs(&read(data)?, &TimeZone::system()),
        Verb::RegisterTenant(_) | Verb::ProvisionTenant(_) | Verb::RequestTenant(_) => {
            one_tenant(&read(data)?)
        }
        Verb::ListTenants(_) => tenants(&read(data)?, Timestamp::now()),
        Verb::RotateTenant(_) => rotation(&read(data)?),
        Verb::ListSecrets(_) => secrets(&read(data)?),
        Verb::RemoveTenant(_) => removal(&read(data)?),
        Verb::Join(_) => {
            let Joined { tenant, pane } = read(data)?;
            let agent = format!("agent {} runs in its jail", tame(&pane.agent));
            format!("{} is {}: {agent}\n", tenant.tenant_id, tenant.status)
        }
        Verb::Mother(_) => mother(&read(data)?),
        Verb::SetCostMode(_) => {
            let set: CostModeInForce = read(data)?;
            let until = if set.persisted {
                "also after a restart"
            } else {
                "until the daemon restarts"
            };
            format!(
                "{}, {until}: {}\n",
                set.mode.as_str(),
                allowed(set.thresholds)
            )
        }
        Verb::Backup(_) => {
            let made: Made = read(data)?;
            format!(
                "{} ({} bytes)\n",
                tame(&made.file.to_string_lossy()),
                made.size_bytes
            )
        }
        // Printed as they come, or by nobody.
        Verb::Subscribe | Verb::Completions { .. } | Verb::Man { .. } => String::new(),
    })
}

/// A change in one line.
pub(crate) fn change(change: &Change) -> String {
    let text = match change {
        Change::Subscribed => return String::new(),
        Change::Task {
            task_id,
            title,
            status,
            agent_id,
        } => {
            let agent = agent_id.map_or(String::new(), |id| format!("  agent {id}"));
            format!(
                "task   {task_id}  {}  {}{agent}",
                painted(*status),
                tame(title)
            )
        }
        Change::Agent { agent_id, name } => format!("agent  {agent_id}  {name}"),
        Change::Pane { agent, state } => format!("pane   {agent}  {state}"),
        Change::PaneDismissed { agent } => format!("pane   {agent}  dismissed"),
        Change::Session {
            session,
            agent,
            mode,
            escalated,
        } => {
            let what = match escalated {
                Some(trigger) => format!("escalated to {}: {trigger}", mode.as_str()),
                None => "compacted".to_owned(),
            };
            format!("session {session}  {agent}  {what}")
        }
        Change::Skill { name } => format!("skill  {name}"),
        Change::Job { name } => format!("job    {name}"),
        Change::Tenant { tenant_id, status } => {
            let status = status.map_or("gone", TenantStatus::as_str);
            format!("tenant {tenant_id}  {status}")
        }
        Change::CostMode { mode } => format!("cost mode {}", mode.as_str()),
        Change::Lagged { missed } => {
            format!("{missed} changes were left out, for this reader was too slow")
        }
        Change::Unknown => "a change that this version does not know".to_owned(),
    };
    format!("{text}\n")
}

/// Lines of a log. That there are older ones goes without saying, that some are lost does not.
pub(crate) fn log(log: &LogLines, is_first: bool) -> String {
    let mut text = String::new();
    if log.cut && !is_first {
        text.push_str("[some lines are left out: too many came at once]\n");
    }
    for line in &log.lines {
        let _ = writeln!(text, "{}", tame(line));
    }
    text
}

fn read<T: DeserializeOwned>(data: &Value) -> serde_json::Result<T> {
    T::deserialize(data)
}

fn status(status: &Status) -> String {
    let tasks: Vec<String> = TaskStatus::ALL
        .into_iter()
        .map(|which| format!("{} {which}", status.tasks.of(which)))
        .collect();
    let database = &status.database;
    let (agents, scheduler) = (status.agents, &status.scheduler);
    let mut rows: Vec<(&str, String)> = vec![
        (
            "Version",
            format!("{} (pid {})", status.version, status.pid),
        ),
        ("Host", status.host.clone()),
        (
            "Up",
            format!(
                "{}, since {:.0}",
                span(status.uptime_seconds),
                status.started_at
            ),
        ),
        (
            "Cost mode",
            format!(
                "{}: {}",
                status.cost_mode.as_str(),
                allowed(status.thresholds)
            ),
        ),
        (
            "Scheduler",
            format!(
                "every {} s, last round {}; leases of {} s",
                scheduler.tick_seconds,
                scheduler
                    .last_tick
                    .map_or("not yet".to_owned(), |at| format!("{at:.0}")),
                scheduler.lease_seconds
            ),
        ),
        (
            "Agents",
            format!(
                "{} active, {} idle, {} offline",
                agents.active, agents.idle, agents.offline
            ),
        ),
        (
            "Sessions",
            format!(
                "{} open; an agent is stalled after {} of silence",
                status.sessions,
                span(status.stall_seconds)
            ),
        ),
        ("Jobs", status.jobs.to_string()),
        (
            "Clients",
            format!("{} of {}", status.clients, status.max_clients),
        ),
        ("Tasks", tasks.join(", ")),
        ("Kept", kept(&status.retention)),
        ("Tenants", tenant_counts(status)),
    ];
    let problems = status.tenant_problems.iter().map(|problem| {
        let (id, status, reason) = (&problem.tenant_id, problem.status, &problem.reason);
        ("", format!("{id} is {status}: {reason}"))
    });
    rows.extend(problems);
    rows.extend([
        ("Socket", status.socket.display().to_string()),
        ("Data", status.data_dir.display().to_string()),
        ("Database", status.db_path.display().to_string()),
        (
            "",
            format!(
                "schema {}, journal mode {}, {} bytes and a log of {} bytes",
                database.schema_version,
                database.journal_mode,
                database.size_bytes,
                database.wal_bytes
            ),
        ),
    ]);
    fields(rows)
}

/// How many tenants stand where, without those statuses that none has.
fn tenant_counts(status: &Status) -> String {
    let all = TenantStatus::ALL.into_iter();
    let there: Vec<_> = all
        .map(|which| (status.tenants.of(which), which))
        .filter(|(count, _)| *count > 0)
        .map(|(count, which)| format!("{count} {which}"))
        .collect();
    if there.is_empty() {
        return "none".to_owned();
    }
    there.join(", ")
}

fn mother(mother: &Mother) -> String {
    let agent = &mother.agent;
    let how = if mother.is_run_by_daemon {
        "the daemon runs it"
    } else {
        "registered by itself"
    };
    fields([
        ("Agent", format!("{} {}", agent.name, agent.id)),
        ("Host", format!("{}, {}", agent.host, mother.system)),
        ("Keys", mother.keys.join(", ")),
        ("Registered", format!("{how}; {}", agent.status)),
    ])
}

fn one_tenant(tenant: &Tenant) -> String {
    let reason = tenant.reason.as_deref();
    let reason = reason.map_or_else(String::new, |reason| format!(": {}", tame(reason)));
    format!(
        "{} {}, number {}{reason}\n",
        tenant.tenant_id, tenant.status, tenant.number
    )
}

fn tenants(page: &TenantPage, now: Timestamp) -> String {
    let rows = page.tenants.iter().map(|tenant| {
        let age = now.duration_since(tenant.created_at).as_secs();
        let left = tenant.expires_at.map(|at| at.duration_since(now).as_secs());
        let seconds = |seconds: i64| span(u64::try_from(seconds).unwrap_or(0));
        let agents: Vec<_> = tenant.agents.iter().map(ToString::to_string).collect();
        let limits = tenant.limits;
        [
            tenant.tenant_id.to_string(),
            tenant.number.to_string(),
            tenant.status.to_string(),
            seconds(age),
            left.map_or("never".to_owned(), seconds),
            tenant
                .idle_after
                .map_or("never".to_owned(), |span: TimeSpan| span.to_string()),
            format!(
                "{} MiB, {}, {} %",
                limits.memory_mib, limits.tasks, limits.cpu_percent
            ),
            tenant
                .collection
                .clone()
                .unwrap_or_else(|| "none".to_owned()),
            agents.join(" "),
            shortened(&tame(tenant.reason.as_deref().unwrap_or_default())),
        ]
    });
    let heads = [
        "TENANT",
        "NO",
        "STATUS",
        "AGE",
        "ENDS IN",
        "IDLE",
        "LIMITS",
        "COLLECTION",
        "AGENTS",
        "REASON",
    ];
    let none = "No tenants; `colibri join TENANT` makes one.";
    table(heads, rows, page.next.as_deref(), none)
}

fn rotation(done: &TenantRotation) -> String {
    let id = &done.tenant.tenant_id;
    let restarted: Vec<_> = done.restarted.iter().map(ToString::to_string).collect();
    match (done.changed, restarted.is_empty()) {
        (false, _) => format!("{id}: its secrets are as before\n"),
        (true, true) => format!("{id}: has other secrets now; none of its agents runs\n"),
        (true, false) => format!(
            "{id}: has other secrets now; started anew: {}\n",
            restarted.join(", ")
        ),
    }
}

fn secrets(secrets: &TenantSecrets) -> String {
    if secrets.names.is_empty() {
        return format!("{} has no secrets.\n", secrets.tenant_id);
    }
    secrets
        .names
        .iter()
        .map(|name| format!("{}\n", tame(name)))
        .collect()
}

fn removal(done: &TenantRemoval) -> String {
    let tenant = &done.tenant;
    let id = &tenant.tenant_id;
    let archive = done.archive.as_deref();
    let archived = archive.map_or_else(String::new, |path| format!("; archive: {}", tame(path)));
    if !done.dry_run {
        return format!("{id} is removed{archived}\n");
    }
    let agents: Vec<_> = tenant.agents.iter().map(ToString::to_string).collect();
    let written = match done.removal {
        Removal::Archive => "is put away, where root alone can read it",
        Removal::Destroy => "is destroyed",
    };
    let none = |text: String| {
        if text.is_empty() {
            "none".to_owned()
        } else {
            text
        }
    };
    let rows = [
        (
            "Tenant",
            format!("{id} ({}), number {}", tenant.status, tenant.number),
        ),
        ("Agents", none(agents.join(", "))),
        ("Jail", none(tenant.jail_root.clone().unwrap_or_default())),
        ("Written", format!("what it has written {written}")),
    ];
    format!("{}Nothing was removed.\n", fields(rows))
}

/// How long what has ended stays, and what is gone already.
fn kept(retention: &Retention) -> String {
    let days = |days: Option<u32>| match days {
        Some(1) => "1 day".to_owned(),
        Some(days) => format!("{days} days"),
        None => "for ever".to_owned(),
    };
    let mut text = format!(
        "tasks {} after their end, sessions {}",
        days(retention.task_days),
        days(retention.session_days)
    );
    let removed = retention.removed.total();
    if removed > 0 {
        let _ = write!(
            text,
            "; {removed} task(s) are gone, which cost {}",
            retention.removed_usage.cost_usd
        );
    }
    text
}

/// A name and its value on each line.
fn fields(rows: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut text = String::new();
    for (name, value) in rows {
        let name = format!("{name:<10}");
        let _ = writeln!(text, "{} {}", name.bold(), tame(&value));
    }
    text
}

fn one_task(task: &Task) -> String {
    format!("{} {} {}\n", task.id, task.status, tame(&task.title))
}

fn details(details: &TaskDetails, zone: &TimeZone) -> String {
    let task = &details.task;
    let needs: Vec<&str> = task.capabilities.iter().map(Capability::as_str).collect();
    let rows = [
        ("Id", Some(task.id.to_string())),
        ("Title", Some(task.title.clone())),
        ("Status", Some(task.status.to_string())),
        ("Parked", task.parked.clone()),
        (
            "Needs",
            Some(needs.join(", ")).filter(|needs| !needs.is_empty()),
        ),
        ("Agent", task.agent_id.map(|id| id.to_string())),
        ("Lease", task.lease_until.map(|at| format!("until {at:.0}"))),
        (
            "Attempts",
            Some(format!("{} of {}", task.attempts, task.max_attempts)),
        ),
        ("Cost", Some(cost(task.usage))),
        ("Job", task.job_id.map(|id| id.to_string())),
        ("By", Some(task.created_by.clone())),
        ("Result", task.result.clone()),
        ("Error", task.error.clone()),
    ];
    let known = rows.into_iter();
    let mut text = fields(known.filter_map(|(name, value)| Some((name, value?))));
    if !task.description.is_empty() {
        let _ = writeln!(text);
        for line in task.description.lines() {
            let _ = writeln!(text, "    {}", tame(line));
        }
    }
    let _ = writeln!(text);
    for event in &details.events {
        let note = event.note.as_deref().unwrap_or_default();
        let _ = writeln!(
            text,
            "{}  {:<15}  {:<18}  {}",
            local(event.at, zone),
            tame(&event.kind),
            tame(&event.actor),
            tame(note)
        );
    }
    text
}

/// What was used up.
fn cost(usage: Usage) -> String {
    format!(
        "{}, tokens: {} in, {} out, {} from cache, {} to cache",
        usage.cost_usd, usage.input, usage.output, usage.cache_read, usage.cache_write
    )
}

fn session(session: &SessionSnapshot) -> String {
    let mut rows = vec![
        ("Id", session.session.to_string()),
        ("Agent", session.agent.clone()),
        ("Began", format!("{:.0}", session.created_at)),
        ("Written", format!("{:.0}", session.updated_at)),
        (
            "Cost mode",
            format!(
                "{}: {}",
                session.cost_mode.as_str(),
                allowed(session.limits)
            ),
        ),
        (
            "Prefix",
            format!(
                "{} bytes, SHA-256 {}",
                session.prefix_bytes, session.prefix_sha256
            ),
        ),
        (
            "Log",
            format!(
                "{} turns in {} entries, {} bytes; compacted {} times",
                session.turns, session.log_entries, session.log_bytes, session.compactions
            ),
        ),
        ("File", format!("{} bytes", session.file_bytes)),
        ("Cost", cost(session.usage)),
    ];
    for step in &session.escalations {
        let (from, to) = (step.from.as_str(), step.to.as_str());
        let text = format!("{from} to {to} at {:.0}: {}", step.at, step.trigger);
        rows.push(("Escalated", text));
    }
    for finding in &session.findings {
        rows.push(("Found", finding.clone()));
    }
    fields(rows)
}

fn agents(page: &AgentPage, zone: &TimeZone) -> String {
    let rows = page.agents.iter().map(|agent| {
        let can: Vec<&str> = agent.capabilities.iter().map(Capability::as_str).collect();
        [
            agent.id.to_string(),
            agent.name.to_string(),
            agent.status.to_string(),
            format!("{}/{}", agent.holds, agent.slots),
            local(agent.last_seen, zone),
            can.join(" "),
        ]
    });
    let heads = ["ID", "NAME", "STATUS", "HOLDS", "SEEN", "CAPABILITIES"];
    table(heads, rows, page.next.as_deref(), "No agents.")
}

fn panes(snapshot: &Snapshot) -> String {
    let rows = snapshot.panes.iter().map(|pane| {
        let age = snapshot.at.duration_since(pane.since).as_secs();
        [
            pane.agent.clone(),
            pane.runtime.to_string(),
            doing(pane),
            span(u64::try_from(age).unwrap_or(0)),
            pane.turns.to_string(),
            pane.usage.cost_usd.to_string(),
            pane.session.map_or("none".to_owned(), |session| {
                format!("{} turns, {} kB", session.turns, session.log_bytes / 1000)
            }),
            shortened(&tame(&reason(pane))),
        ]
    });
    let heads = [
        "AGENT", "RUNTIME", "STATE", "FOR", "TURNS", "COST", "SESSION", "REASON",
    ];
    let mut text = table(heads, rows, None, "No agents run here.");
    if snapshot.attention > 0 {
        let _ = writeln!(text, "{} of them need attention.", snapshot.attention);
    }
    text
}

/// Why somebody should look; a session that has gaps is less than an agent that has failed.
fn reason(pane: &PaneSnapshot) -> String {
    let why = pane.told_reason();
    why.or_else(|| pane.session_problem.clone())
        .unwrap_or_default()
}

/// A pane's state, and that it is stalled or has no process.
fn doing(pane: &PaneSnapshot) -> String {
    let tool = pane
        .tool
        .as_deref()
        .filter(|_| pane.state == PaneState::Working);
    let note = match (pane.stalled, pane.pid, tool) {
        (true, ..) => ", stalled".to_owned(),
        (_, None, _) => ", ended".to_owned(),
        (.., Some(tool)) => format!(", {}", tame(tool)),
        _ => String::new(),
    };
    format!("{}{note}", pane.state)
}

fn skills(page: &SkillPage) -> String {
    let rows = page
        .skills
        .iter()
        .map(|skill| [skill.name.to_string(), shortened(&tame(&skill.description))]);
    let none = match &page.folder {
        Some(folder) => format!(
            "No skills; each belongs into {}/NAME/SKILL.md.",
            tame(&folder.to_string_lossy())
        ),
        None => "No skills.".to_owned(),
    };
    let mut text = table(["NAME", "DESCRIPTION"], rows, page.next.as_deref(), &none);
    for finding in &page.findings {
        let (path, problem) = (tame(&finding.path), tame(&finding.problem));
        let _ = writeln!(text, "Found  {path} {problem}");
    }
    text
}

fn jobs(page: &JobPage, zone: &TimeZone) -> String {
    let rows = page.jobs.iter().map(|job| {
        [
            job.name.to_string(),
            job.schedule.to_string(),
            job.missed.to_string(),
            job.next_at.map_or("never".to_owned(), |at| local(at, zone)),
            job.runs.to_string(),
            shortened(&tame(&job.task.title)),
        ]
    });
    let heads = ["NAME", "SCHEDULE", "MISSED", "NEXT", "RUNS", "TASK"];
    table(heads, rows, page.next.as_deref(), "No jobs.")
}

/// Columns as wide as what stands in them.
fn table<const N: usize>(
    heads: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    next: Option<&str>,
    none: &str,
) -> String {
    let rows: Vec<[String; N]> = rows.map(|row| row.map(|cell| tame(&cell))).collect();
    if rows.is_empty() {
        return format!("{none}\n");
    }
    let widths: [usize; N] = std::array::from_fn(|at| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([heads[at].len()]).max().unwrap_or(0)
    });
    let line = |cells: [&str; N]| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        line.trim_end().to_owned()
    };
    let mut text = format!("{}\n", line(heads).bold());
    for row in &rows {
        let _ = writeln!(text, "{}", line(row.each_ref().map(String::as_str)));
    }
    more(&mut text, next);
    text
}

fn more(text: &mut String, next: Option<&str>) {
    if let Some(next) = next {
        let _ = writeln!(
            text,
            "There are more: `--after {}` shows the next page.",
            tame(next)
        );
    }
}

/// What a cost mode allows.
fn allowed(of: Thresholds) -> String {
    let result = match of.tool_result_bytes {
        Some(bytes) => format!("tool results of {} kB", bytes / 1000),
        None => "tool results of any size".to_owned(),
    };
    format!(
        "sessions of {} kB, {} turns, {result}",
        of.session_bytes / 1000,
        of.turns
    )
}

fn tasks(page: &TaskPage, zone: &TimeZone) -> String {
    if page.tasks.is_empty() {
        return "No tasks.\n".to_owned();
    }
    let mut text = String::new();
    let heading = format!("{:<36}  {:<9}  {:<16}  TITLE", "ID", "STATUS", "CREATED");
    let _ = writeln!(text, "{}", heading.bold());
    for task in &page.tasks {
        let parked = task.parked.as_deref().map_or(String::new(), |reason| {
            format!("  ({})", shortened(&tame(reason)))
        });
        let _ = writeln!(
            text,
            "{}  {}  {}  {}{parked}",
            task.id,
            painted(task.status),
            local(task.created_at, zone),
            shortened(&tame(&task.title))
        );
    }
    more(&mut text, page.next.as_deref());
    text
}

fn checks(check: &ServiceCheck) -> String {
    let mut text = String::new();
    for check in &check.checks {
        let (word, style) = match (check.ok, check.unknown) {
            (true, _) => ("ok", Style::new().green()),
            (false, false) => ("FAIL", Style::new().red().bold()),
            (false, true) => ("?", Style::new().yellow()),
        };
        let word = format!("{word:<4}");
        let _ = writeln!(
            text,
            "{} {:<9} {}",
            word.style(style),
            tame(&check.name),
            tame(&check.detail)
        );
    }
    text
}

fn painted(status: TaskStatus) -> impl Display {
    let style = match status {
        TaskStatus::Queued | TaskStatus::Cancelled => Style::new(),
        TaskStatus::Claimed | TaskStatus::Started => Style::new().cyan(),
        TaskStatus::Done => Style::new().green(),
        TaskStatus::Failed => Style::new().red(),
    };
    format!("{status:<9}").style(style).to_string()
}

/// The clock on the wall, to the minute.
fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}

fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= TITLE_WIDTH {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(TITLE_WIDTH - 1).collect();
    short.push('…');
    short
}

/// Without control characters, which could repaint the terminal: what others
/// wrote on the board is not to be trusted with it.
fn tame(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() || is_bidi(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// Characters that make text read in another order than it is written.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use colibri_protocol::Check;
    use serde_json::json;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn page(titles: &[&str]) -> TaskPage {
        let tasks: Vec<Value> = titles
            .iter()
            .map(|title| {
                json!({"id": "0198a000-0000-7000-8000-000000000001", "title": title,
                    "description": "", "status": "queued", "created_by": "uid:0",
                    "created_at": "2026-11-21T15:00:00Z", "updated_at": "2026-11-21T15:00:00Z"})
            })
            .collect();
        serde_json::from_value(json!({"tasks": tasks, "next": "7"})).unwrap()
    }

    #[test]
    fn a_table_lines_up_and_says_that_there_is_more() {
        let text = plain(&tasks(&page(&["Back up", &"x".repeat(61)]), &TimeZone::UTC));
        let expected = format!(
            "{:<36}  STATUS     CREATED           TITLE\n\
             0198a000-0000-7000-8000-000000000001  queued     2026-11-21 15:00  Back up\n\
             0198a000-0000-7000-8000-000000000001  queued     2026-11-21 15:00  {}…\n\
             There are more: `--after 7` shows the next page.\n",
            "ID",
            "x".repeat(59)
        );
        assert_eq!(text, expected);
        let empty = TaskPage {
            tasks: Vec::new(),
            next: None,
        };
        assert_eq!(tasks(&empty, &TimeZone::UTC), "No tasks.\n");
    }

    #[test]
    fn what_others_wrote_cannot_repaint_the_terminal() {
        let text = tasks(&page(&["\u{1b}[2Jgone\u{202e}"]), &TimeZone::UTC);
        assert!(text.contains("\u{fffd}[2Jgone\u{fffd}"), "{text:?}");
    }

    #[test]
    fn a_check_is_one_line_each() {
        let check = |name: &str, ok, unknown| Check {
            name: name.into(),
            ok,
            unknown,
            detail: "a\nb".into(),
        };
        let all = ServiceCheck {
            healthy: false,
            checks: vec![
                check("wal", true, false),
                check("disk", false, false),
                check("writer", false, true),
            ],
        };
        assert_eq!(
            plain(&checks(&all)),
            "ok   wal       a\u{fffd}b\nFAIL disk      a\u{fffd}b\n?    writer    a\u{fffd}b\n"
        );
    }

    #[test]
    fn a_session_shows_its_steps_and_what_is_wrong_with_it() {
        let at = "2026-11-21T15:00:00Z";
        let data = json!({
            "session": "0198a000-0000-7000-8000-000000000004", "agent": "ada", "created_at": at,
            "updated_at": at, "cost_mode": "smart",
            "limits": {"session_bytes": 2_000_000, "turns": 20, "tool_result_bytes": 16_000},
            "prefix_bytes": 11, "prefix_sha256": "cafe", "log_bytes": 4096, "log_entries": 9,
            "turns": 3, "compactions": 1, "usage": {"cost_usd": 0.5}, "file_bytes": 52_480,
            "escalations": [
                {"at": at, "from": "fast", "to": "smart", "trigger": "budget-exceeded"},
            ],
            "findings": ["line 7 is missing"],
        });
        let text = plain(&session(&read(&data).unwrap()));
        for line in [
            "Agent      ada\n",
            "Log        3 turns in 9 entries, 4096 bytes; compacted 1 times\n",
            "Escalated  fast to smart at 2026-11-21T15:00:00Z: budget-exceeded\n",
            "Found      line 7 is missing\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn skills_show_what_is_wrong_in_their_folder() {
        let at = "2026-11-21T15:00:00Z";
        let mut data = json!({
            "skills": [{"name": "vault", "description": "Reads secrets", "registered_at": at,
                "updated_at": at}],
            "folder": "/data/skills",
            "findings": [{"path": "/data/skills/a\u{1b}", "problem": "has no SKILL.md"}],
        });
        assert_eq!(
            plain(&skills(&read(&data).unwrap())),
            "NAME   DESCRIPTION\nvault  Reads secrets\n\
             Found  /data/skills/a\u{fffd} has no SKILL.md\n"
        );
        data["skills"] = json!([]);
        data["findings"] = json!([]);
        assert_eq!(
            skills(&read(&data).unwrap()),
            "No skills; each belongs into /data/skills/NAME/SKILL.md.\n"
        );
    }

    #[test]
    fn a_log_is_plain_lines_and_says_what_is_missing_of_it() {
        let data = json!({"lines": ["one\u{1b}[2J", "two"], "cut": true, "next": "7-9"});
        let lines: LogLines = read(&data).unwrap();
        assert_eq!(log(&lines, true), "one\u{fffd}[2J\ntwo\n");
        assert!(log(&lines, false).starts_with("[some lines are left out"));
    }

    fn tenant(more: Value) -> Value {
        let at = "2026-11-21T15:00:00Z";
        let mut tenant = json!({
            "tenant_id": "mila", "number": 2, "jail": "mila", "limits": {}, "status": "active",
            "created_by": "uid:0", "created_at": at, "last_active": at, "agents": ["mila", "ada"],
        });
        for (name, value) in more.as_object().unwrap() {
            tenant[name] = value.clone();
        }
        tenant
    }

    #[test]
    fn tenants_show_where_they_stand_and_why() {
        let failed = json!({"status": "failed", "reason": "no\u{1b}collection", "agents": [],
            "collection": "Keys", "ttl": "2h", "expires_at": "2026-11-21T17:00:00Z"});
        let page = json!({"tenants": [tenant(json!({"idle_after": "30m"})), tenant(failed)]});
        let now = "2026-11-21T16:00:00Z".parse().unwrap();
        let text = plain(&tenants(&read(&page).unwrap(), now));
        let lines: Vec<_> = text.lines().collect();
        for (line, cells) in [
            (
                lines[1],
                ["active", "never", "30m", "2048 MiB, 512, 200 %", "mila ada"],
            ),
            (
                lines[2],
                [
                    "failed",
                    "1 h 0 min",
                    "Keys",
                    "never",
                    "no\u{fffd}collection",
                ],
            ),
        ] {
            for cell in cells {
                assert!(line.contains(cell), "{cell} in {line}");
            }
        }
        let none = tenants(&TenantPage::default(), now);
        assert!(none.contains("`colibri join TENANT`"), "{none}");
    }

    #[test]
    fn what_is_done_to_a_tenant_is_said_in_a_line() {
        let rotated = |changed, restarted| {
            let data =
                json!({"tenant": tenant(json!({})), "changed": changed, "restarted": restarted});
            rotation(&read(&data).unwrap())
        };
        assert_eq!(
            rotated(false, json!([])),
            "mila: its secrets are as before\n"
        );
        assert!(rotated(true, json!(["ada"])).ends_with("started anew: ada\n"));
        let data = json!({"tenant": tenant(json!({})), "removal": "destroy", "dry_run": true});
        let text = plain(&removal(&read(&data).unwrap()));
        assert!(text.contains("Agents     mila, ada\n"), "{text}");
        assert!(
            text.ends_with("is destroyed\nNothing was removed.\n"),
            "{text}"
        );
        let data = json!({"tenant": tenant(json!({})), "removal": "archive", "dry_run": false,
            "archive": "/a.tar"});
        assert_eq!(
            removal(&read(&data).unwrap()),
            "mila is removed; archive: /a.tar\n"
        );
        let none = json!({"tenant_id": "mila", "names": []});
        assert_eq!(secrets(&read(&none).unwrap()), "mila has no secrets.\n");
    }

    #[test]
    fn what_is_kept_is_told_in_days() {
        let mut retention = Retention {
            task_days: Some(1),
            ..Retention::default()
        };
        assert_eq!(
            kept(&retention),
            "tasks 1 day after their end, sessions for ever"
        );
        retention.removed.done = 3;
        assert!(kept(&retention).contains("; 3 task(s) are gone, which cost "));
    }

    #[test]
    fn spans_are_short() {
        let spans = [
            (5, "5 s"),
            (61, "1 min"),
            (3700, "1 h 1 min"),
            (90_000, "1 d 1 h"),
        ];
        for (seconds, text) in spans {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn an_answer_of_another_version_is_an_error_not_a_panic() {
        assert!(answer(&Verb::Status, &json!({"version": 1})).is_err());
    }
}
