//! Everything that is known about one pane, task, agent, job or tenant, as lines.

use colibri_protocol::{Agent, Job, PaneSnapshot, Task, TaskEvent, Tenant, TimeSpan, Usage};
use jiff::Timestamp;

use crate::model::{Model, View};
use crate::text::{age, ahead, line, tame, tokens, wrap};

/// Columns of a name in front of its value.
const NAMES: usize = 13;

/// A title and lines of at most so many columns about the line that is selected.
pub(super) fn of_selected(model: &Model, columns: usize) -> (String, Vec<String>) {
    let mut page = Page {
        model,
        columns,
        lines: Vec::new(),
    };
    let title = match model.view() {
        View::Panes => model.pane().map(|pane| page.pane(pane)),
        View::Tasks => model.task().map(|task| {
            let details = model.task_details();
            let task = details.map_or(task, |details| &details.task);
            page.task(task, details.map(|details| details.events.as_slice()))
        }),
        View::Agents => model.agent().map(|agent| page.agent(agent)),
        View::Jobs => model.job().map(|job| page.job(job)),
        View::Tenants => model.tenant().map(|tenant| page.tenant(tenant)),
        View::Cost => None,
    };
    // What was looked at may be gone.
    (title.unwrap_or_default(), page.lines)
}

struct Page<'a> {
    model: &'a Model,
    columns: usize,
    lines: Vec<String>,
}

impl Page<'_> {
    /// A name and its value, which may go on below itself.
    fn field(&mut self, name: &str, value: impl AsRef<str>) {
        let room = self.columns.saturating_sub(NAMES);
        for (at, part) in wrap(&line(value.as_ref()), room).into_iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            self.lines.push(format!("{name:<NAMES$}{part}"));
        }
    }

    fn optional(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value.filter(|value| !value.as_ref().is_empty()) {
            self.field(name, value);
        }
    }

    /// A text of several lines with a heading.
    fn text(&mut self, heading: &str, text: Option<&str>) {
        let text = tame(text.unwrap_or_default());
        if !text.trim().is_empty() {
            self.lines.extend([String::new(), format!("{heading}:")]);
            self.lines.extend(wrap(text.trim_end(), self.columns));
        }
    }

    fn clock(&self, at: Timestamp) -> String {
        let clock = at.to_zoned(self.model.zone().clone());
        clock.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// When something was.
    fn at(&self, at: Timestamp) -> String {
        format!("{} ({} ago)", self.clock(at), age(at, self.model.now()))
    }

    /// When something will be.
    fn due(&self, at: Timestamp) -> String {
        format!("{} ({})", self.clock(at), ahead(at, self.model.now()))
    }

    fn usage(&mut self, usage: Usage) {
        let text = format!(
            "{}: {} in, {} out, {} from and {} into the cache",
            usage.cost_usd,
            tokens(usage.input),
            tokens(usage.output),
            tokens(usage.cache_read),
            tokens(usage.cache_write)
        );
        self.field("Used", text);
    }

    fn pane(&mut self, pane: &PaneSnapshot) -> String {
        let stalled = if pane.stalled {
            ", stalled: nothing was heard of it for long"
        } else {
            ""
        };
        self.field("State", format!("{}{stalled}", pane.state));
        match &pane.question {
            Some(question) => {
                self.optional("Asks", pane.told_reason());
                self.field("Question", format!("{question}; r answers it"));
            }
            None => self.optional("Why", pane.reason.as_deref()),
        }
        self.field("Since", self.at(pane.since));
        let last = pane.last_event_at.map(|at| self.at(at));
        self.optional("Last event", last);
        self.optional("Tool", pane.tool.as_deref());
        self.field("Runtime", pane.runtime.as_str());
        self.optional("Process", pane.pid.map(|pid| pid.to_string()));
        match pane.session {
            Some(session) => self.field(
                "Session",
                format!(
                    "{}, {}, {} turns, {} bytes",
                    session.session,
                    session.cost_mode.as_str(),
                    session.turns,
                    session.log_bytes
                ),
            ),
            None => self.field("Session", &pane.id),
        }
        self.optional("Its gaps", pane.session_problem.as_deref());
        self.field("Turns", pane.turns.to_string());
        self.usage(pane.usage);
        let skipped = match pane.malformed {
            0 => String::new(),
            count => format!("; {count} lines were none and were skipped"),
        };
        self.field("Events", format!("{}{skipped}", pane.events));
        self.text("The end of what it said", Some(&pane.text));
        format!("Pane {}", line(&pane.agent))
    }

    fn task(&mut self, task: &Task, events: Option<&[TaskEvent]>) -> String {
        self.field("Status", task.status.as_str());
        match task.not_before {
            Some(at) => self.field("Next try", format!("{}; r has it tried now", self.due(at))),
            None => self.optional("Waits", task.parked.as_deref()),
        }
        let holder = task.agent_id.map(|id| self.model.agent_name(id));
        self.optional("Agent", holder);
        let lease = task.lease_until.filter(|_| task.status.is_held());
        let lease = lease.map(|at| at.to_zoned(self.model.zone().clone()));
        let lease = lease.map(|at| at.strftime("until %H:%M:%S, if nothing is heard of it"));
        self.optional("Lease", lease.map(|text| text.to_string()));
        let needs: Vec<_> = task.capabilities.iter().map(|need| need.as_str()).collect();
        self.optional("Needs", Some(needs.join(" ")));
        self.field("Id", task.id.to_string());
        let made = format!("{} by {}", self.at(task.created_at), task.created_by);
        self.field("Made", made);
        self.field("Changed", self.at(task.updated_at));
        let attempts = format!("{} of {}", task.attempts, task.max_attempts);
        self.field("Attempts", attempts);
        self.usage(task.usage);
        self.text("To do", Some(&task.description));
        self.text("What came of it", task.result.as_deref());
        self.text("What went wrong", task.error.as_deref());
        for (at, event) in events.unwrap_or_default().iter().enumerate() {
            if at == 0 {
                self.lines.extend([String::new(), "History:".to_owned()]);
            }
            let clock = event.at.to_zoned(self.model.zone().clone());
            let note = event.note.as_deref().map(|note| format!(": {note}"));
            let text = format!(
                "{} {} by {}{}",
                clock.strftime("%m-%d %H:%M:%S"),
                event.kind,
                event.actor,
                note.unwrap_or_default()
            );
            self.lines.extend(wrap(&line(&text), self.columns));
        }
        format!("Task: {}", line(&task.title))
    }

    fn agent(&mut self, agent: &Agent) -> String {
        self.field("Status", agent.status.to_string());
        self.field("Holds", format!("{} of {} tasks", agent.holds, agent.slots));
        let can: Vec<_> = agent.capabilities.iter().map(|can| can.as_str()).collect();
        self.optional("Can do", Some(can.join(" ")));
        self.field("Host", agent.host.as_str());
        self.field("Last seen", self.at(agent.last_seen));
        self.field("Registered", self.at(agent.registered_at));
        self.field("Id", agent.id.to_string());
        format!("Agent {}", agent.name)
    }

    fn job(&mut self, job: &Job) -> String {
        self.field("When", job.schedule.to_string());
        let next = job.next_at.map(|at| self.due(at));
        self.field("Next", next.as_deref().unwrap_or("never"));
        let last = job.last_at.map(|at| self.at(at));
        self.optional("Last", last);
        let newest = self.model.newest_of(job);
        self.optional("Result", newest.map(|task| task.status.as_str()));
        self.field("Runs", job.runs.to_string());
        self.field("When missed", job.missed.to_string());
        self.field("Task", &job.task.title);
        let needs = job.task.capabilities.iter();
        let needs: Vec<_> = needs.map(|need| need.as_str()).collect();
        self.optional("Needs", Some(needs.join(" ")));
        let made = format!("{} by {}", self.at(job.created_at), job.created_by);
        self.field("Made", made);
        self.text("To do", job.task.description.as_deref());
        self.text(
            "What came of it",
            newest.and_then(|task| task.result.as_deref()),
        );
        self.text(
            "What went wrong",
            newest.and_then(|task| task.error.as_deref()),
        );
        format!("Job {}", job.name)
    }

    fn tenant(&mut self, tenant: &Tenant) -> String {
        self.field("Status", tenant.status.as_str());
        self.optional("Why", tenant.reason.as_deref());
        let agents: Vec<_> = tenant.agents.iter().map(|name| name.as_str()).collect();
        self.optional("Agents", Some(agents.join(" ")));
        let limits = tenant.limits;
        let limits = format!(
            "{} MiB of memory, {} processes and threads, {} % of a processor",
            limits.memory_mib, limits.tasks, limits.cpu_percent
        );
        self.field("May use", limits);
        self.field("Number", tenant.number.to_string());
        self.optional("Jail", tenant.jail_root.as_deref());
        let none = "none: no secrets from a vault";
        self.field("Collection", tenant.collection.as_deref().unwrap_or(none));
        self.optional("Its id", tenant.collection_id.as_deref());
        let ends = tenant.expires_at.map(|at| self.due(at));
        self.field("Ends", ends.as_deref().unwrap_or("never"));
        let idle = tenant
            .idle_after
            .map(|span: TimeSpan| format!("after {span} without work"));
        self.field("Stops", idle.as_deref().unwrap_or("never by itself"));
        self.field("Last work", self.at(tenant.last_active));
        let parent = tenant.parent.as_ref();
        self.optional("Child of", parent.map(|parent| parent.as_str()));
        let made = format!("{} by {}", self.at(tenant.created_at), tenant.created_by);
        self.field("Made", made);
        format!("Tenant {}", tenant.tenant_id)
    }
}
