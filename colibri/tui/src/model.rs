//! What the screen holds, and how a key, a message from the daemon or the clock changes it. No
//! terminal, no socket.

mod form;
mod press;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use colibri_protocol::{
    Agent, Change, Command, DismissPane, Job, ListTasks, LogLines, Name, OneTenant, PaneSnapshot,
    Removal, RemoveJob, RemoveTenant, RetryTask, Snapshot, Status, StopAgent, Task, TaskDetails,
    TaskPage, TaskStatus, Tenant, TenantId, Usage,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::layout::Rect;
use uuid::Uuid;

pub use form::{Field, Form, Purpose};
pub use press::Press;

/// Tasks that are asked for at first; `+` asks for more.
const TASKS: u32 = 100;

/// Seconds from one look at the panes to the next: what an agent says is no change that is told, and
/// yet somebody may be watching.
const LOOK_AGAIN: i64 = 2;

/// Seconds from one look at everything else to the next: what is used up is no change either.
const LOOK_ALL_AGAIN: i64 = 30;

/// What can be clicked on, as it was last drawn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Targets {
    /// Where the names of the views stand.
    pub(crate) tabs: [Rect; View::ALL.len()],
    /// Where the lines of the list stand.
    pub(crate) lines: Rect,
    /// The line that is drawn first there.
    pub(crate) first: usize,
}

/// A list of the daemon's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// What it says about itself.
    Status,
    /// All panes.
    Panes,
    /// All agents.
    Agents,
    /// All jobs.
    Jobs,
    /// All tenants.
    Tenants,
    /// These tasks.
    Tasks(ListTasks),
    /// One task with its history.
    Task(Uuid),
    /// The end of what an agent wrote to its standard error.
    Log(Name),
}

/// Something for the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Asks for a list.
    Load(Part),
    /// Tells it to do something.
    Do(Deed),
}

/// Something that the daemon is told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// What.
    pub command: Command,
    /// What to say when it is done.
    pub said: String,
    /// Comes back with the outcome.
    pub ticket: u64,
}

/// What the model wants of whoever runs it.
#[allow(
    clippy::large_enum_variant,
    reason = "there are few of them, and only for a moment"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// To ask the daemon.
    Ask(Ask),
    /// To end.
    Quit,
}

/// What came from the daemon's side.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Something changed, or the connection has just begun.
    Change(Change),
    /// There is no connection; another attempt follows after the pause.
    Lost {
        /// Why, for people.
        why: String,
        /// Until the next attempt.
        pause: Duration,
    },
    /// The daemon's word on itself.
    Status(Box<Status>),
    /// All panes.
    Panes(Snapshot),
    /// All agents.
    Agents(Vec<Agent>),
    /// All jobs.
    Jobs(Vec<Job>),
    /// All tenants.
    Tenants(Vec<Tenant>),
    /// Tasks.
    Tasks {
        /// Which were asked for.
        which: ListTasks,
        /// The first of them.
        page: TaskPage,
    },
    /// One task with its history.
    Task(Box<TaskDetails>),
    /// The end of what this agent wrote to its standard error.
    Log {
        /// Its name.
        agent: Name,
        /// What it wrote.
        log: LogLines,
    },
    /// A list could not be had.
    Failed {
        /// Which.
        part: Part,
        /// Why, for people.
        why: String,
    },
    /// Something was done, or why not.
    Done {
        /// What it was asked with.
        ticket: u64,
        /// What to say.
        outcome: Result<String, String>,
    },
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// What each agent that the daemon runs is doing.
    Panes,
    /// The board.
    Tasks,
    /// Who does the work.
    Agents,
    /// What comes back by the clock.
    Jobs,
    /// What is used up.
    Cost,
    /// Who has a jail, and how it stands.
    Tenants,
}

impl View {
    /// All of them, from left to right.
    pub const ALL: [Self; 6] = [
        Self::Panes,
        Self::Tasks,
        Self::Agents,
        Self::Jobs,
        Self::Cost,
        Self::Tenants,
    ];

    fn beside(self, by: usize) -> Self {
        Self::ALL[(self as usize + by) % Self::ALL.len()]
    }
}

/// The connection that hears of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Has not answered yet.
    Connecting,
    /// Tells every change.
    Live,
    /// Is gone.
    Lost {
        /// Why.
        why: String,
        /// When it is tried again.
        again: Timestamp,
    },
}

/// What lies over the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// Nothing.
    Nothing,
    /// All keys.
    Help,
    /// Everything about the selected line; that many lines from its top.
    Details(usize),
    /// A form.
    Form(Box<Form>),
    /// The end of an agent's log.
    Log {
        /// The agent's name.
        agent: Name,
        /// That many lines above the end; at 0 it stays at the end, whatever comes.
        up: usize,
    },
    /// Whether something is to be done.
    Question(Question),
    /// The text that tasks are filtered by is being typed.
    Search,
}

/// Something that cannot be undone, or that costs once more: it is asked about first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Is this agent to be stopped?
    Stop(Name),
    /// Is the pane of this agent, which has ended, to go?
    Dismiss(Name),
    /// Is this job to be removed?
    RemoveJob(Name),
    /// Is this tenant to be removed, and what it has written to be put away?
    RemoveTenant(TenantId),
    /// Is this task to be tried again?
    Retry {
        /// Which.
        task: Uuid,
        /// Its title.
        title: String,
        /// It will be anyway, but later.
        waits: bool,
    },
}

impl Question {
    /// What a yes does, and what to say when it is done.
    fn command(self) -> (Command, String) {
        match self {
            Self::Stop(agent) => {
                let said = format!("{agent} is stopped.");
                (Command::StopAgent(StopAgent { agent }), said)
            }
            Self::Dismiss(agent) => {
                let said = format!("The pane of {agent} is gone.");
                (Command::DismissPane(DismissPane { agent }), said)
            }
            Self::RemoveJob(name) => {
                let said = format!("The job {name} is removed.");
                (Command::RemoveJob(RemoveJob { name }), said)
            }
            Self::RemoveTenant(tenant_id) => {
                let said = format!("The tenant {tenant_id} is removed.");
                let remove = RemoveTenant {
                    tenant_id,
                    removal: Removal::Archive,
                    dry_run: false,
                };
                (Command::RemoveTenant(remove), said)
            }
            Self::Retry { task, .. } => {
                let retry = RetryTask { task_id: task };
                (
                    Command::RetryTask(retry),
                    "The task is in the queue.".to_owned(),
                )
            }
        }
    }
}

/// Which line of a list is selected. It stays with what it was, wherever that moves.
#[derive(Debug, Clone)]
struct Spot<K> {
    key: Option<K>,
    at: usize,
}

impl<K> Default for Spot<K> {
    fn default() -> Self {
        Self { key: None, at: 0 }
    }
}

impl<K: PartialEq + Clone> Spot<K> {
    /// Finds itself again in a list that may have changed.
    fn settle(&mut self, keys: &[K]) {
        let same = keys.iter().position(|key| Some(key) == self.key.as_ref());
        self.go(same.unwrap_or(self.at), keys);
    }

    fn go(&mut self, at: usize, keys: &[K]) {
        self.at = at.min(keys.len().saturating_sub(1));
        self.key = keys.get(self.at).cloned();
    }
}

/// What one agent has used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// The agent's name; its id where it is not known any more.
    pub agent: String,
    /// By its pane.
    pub pane: Usage,
    /// By the tasks that it holds or held last, of those that are shown.
    pub tasks: Usage,
}

/// The state of the screen.
#[derive(Debug)]
pub struct Model {
    zone: TimeZone,
    now: Timestamp,
    view: View,
    over: Over,
    link: Link,
    note: Option<String>,
    status: Option<Status>,
    panes: Option<Vec<PaneSnapshot>>,
    agents: Option<Vec<Agent>>,
    jobs: Option<Vec<Job>>,
    tenants: Option<Vec<Tenant>>,
    tasks: Option<Vec<Task>>,
    /// There are more than were asked for.
    has_more: bool,
    /// The history of the task that is looked at.
    details: Option<TaskDetails>,
    /// The log that is looked at.
    log: Option<(Name, LogLines)>,
    which: ListTasks,
    search: Field,
    only_attention: bool,
    pane_at: Spot<String>,
    task_at: Spot<Uuid>,
    agent_at: Spot<Uuid>,
    job_at: Spot<Uuid>,
    cost_at: Spot<String>,
    tenant_at: Spot<TenantId>,
    looked: Timestamp,
    looked_all: Timestamp,
    /// Of the next thing that the daemon is told to do.
    ticket: u64,
    /// How far details or a log can be moved: known only where they are drawn.
    furthest: Cell<usize>,
    targets: Cell<Targets>,
}

impl Model {
    /// A screen that knows nothing yet. Times of the day are shown in this zone.
    pub fn new(zone: TimeZone, now: Timestamp) -> Self {
        Self {
            zone,
            now,
            view: View::Panes,
            over: Over::Nothing,
            link: Link::Connecting,
            note: None,
            status: None,
            panes: None,
            agents: None,
            jobs: None,
            tenants: None,
            tasks: None,
            has_more: false,
            details: None,
            log: None,
            which: ListTasks {
                limit: Some(TASKS),
                ..ListTasks::default()
            },
            search: Field::alone(),
            only_attention: false,
            pane_at: Spot::default(),
            task_at: Spot::default(),
            agent_at: Spot::default(),
            job_at: Spot::default(),
            cost_at: Spot::default(),
            tenant_at: Spot::default(),
            looked: now,
            looked_all: now,
            ticket: 0,
            furthest: Cell::new(usize::MAX),
            targets: Cell::default(),
        }
    }

    /// The zone of times of the day.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// What ages are counted from.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What is looked at.
    pub fn view(&self) -> View {
        self.view
    }

    /// What lies over it.
    pub fn over(&self) -> &Over {
        &self.over
    }

    /// How the connection is.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// What was last said, if no press came since.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The daemon's word on itself, once it was heard.
    pub fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    /// Whether the view's list has been heard at all.
    pub fn is_loaded(&self) -> bool {
        match self.view {
            View::Panes | View::Cost => self.panes.is_some(),
            View::Tasks => self.tasks.is_some(),
            View::Agents => self.agents.is_some(),
            View::Jobs => self.jobs.is_some(),
            View::Tenants => self.tenants.is_some(),
        }
    }

    /// The panes to show.
    pub fn panes(&self) -> Vec<&PaneSnapshot> {
        let all = self.panes.iter().flatten();
        all.filter(|pane| !self.only_attention || pane.needs_attention())
            .collect()
    }

    /// How many panes there are, and how many of them somebody should look at.
    pub fn pane_counts(&self) -> (usize, usize) {
        let all = self.panes.iter().flatten();
        let attention = all.clone().filter(|pane| pane.needs_attention());
        (all.clone().count(), attention.count())
    }

    /// Whether only panes are shown that somebody should look at.
    pub fn shows_only_attention(&self) -> bool {
        self.only_attention
    }

    /// The tasks to show.
    pub fn tasks(&self) -> Vec<&Task> {
        let wanted = self.search.text().to_lowercase();
        let all = self.tasks.iter().flatten();
        all.filter(|task| self.matches(task, &wanted)).collect()
    }

    fn matches(&self, task: &Task, wanted: &str) -> bool {
        let holder = task.agent_id.map(|id| self.agent_name(id));
        let texts = [
            Some(task.title.as_str()),
            Some(task.description.as_str()),
            task.parked.as_deref(),
            task.error.as_deref(),
            holder.as_deref(),
        ];
        wanted.is_empty()
            || texts
                .into_iter()
                .flatten()
                .any(|text| text.to_lowercase().contains(wanted))
            || task.id.to_string().starts_with(wanted)
    }

    /// Whether the daemon has more tasks than were asked for.
    pub fn has_more_tasks(&self) -> bool {
        self.has_more
    }

    /// Where tasks must stand to be shown.
    pub fn task_status(&self) -> Option<TaskStatus> {
        self.which.status
    }

    /// What shown tasks must contain.
    pub fn search(&self) -> &Field {
        &self.search
    }

    /// All agents.
    pub fn agents(&self) -> &[Agent] {
        self.agents.as_deref().unwrap_or_default()
    }

    /// All jobs.
    pub fn jobs(&self) -> &[Job] {
        self.jobs.as_deref().unwrap_or_default()
    }

    /// All tenants.
    pub fn tenants(&self) -> &[Tenant] {
        self.tenants.as_deref().unwrap_or_default()
    }

    /// The newest task that a job has made, if it is known.
    pub fn newest_of(&self, job: &Job) -> Option<&Task> {
        // Of one status only, it need not be the newest of all.
        let all = self.tasks.as_ref().filter(|_| self.which.status.is_none());
        let mut newest_first = all.into_iter().flatten();
        newest_first.find(|task| task.job_id == Some(job.id))
    }

    /// The name of an agent; the start of its id where it is not known.
    pub fn agent_name(&self, id: Uuid) -> String {
        let known = self.agents().iter().find(|agent| agent.id == id);
        known.map_or_else(
            || id.to_string()[..8].to_owned(),
            |agent| agent.name.to_string(),
        )
    }

    /// What each agent has used up, by name.
    pub fn costs(&self) -> Vec<Cost> {
        let mut by_name: BTreeMap<String, (Usage, Usage)> = BTreeMap::new();
        for pane in self.panes.iter().flatten() {
            by_name.entry(pane.agent.clone()).or_default().0 += pane.usage;
        }
        for task in self.tasks.iter().flatten() {
            if let Some(id) = task.agent_id {
                by_name.entry(self.agent_name(id)).or_default().1 += task.usage;
            }
        }
        let costs = by_name.into_iter();
        costs
            .map(|(agent, (pane, tasks))| Cost { agent, pane, tasks })
            .collect()
    }

    /// The line of the view that is selected.
    pub fn selected(&self) -> usize {
        match self.view {
            View::Panes => self.pane_at.at,
            View::Tasks => self.task_at.at,
            View::Agents => self.agent_at.at,
            View::Jobs => self.job_at.at,
            View::Cost => self.cost_at.at,
            View::Tenants => self.tenant_at.at,
        }
    }

    /// The selected pane.
    pub fn pane(&self) -> Option<&PaneSnapshot> {
        self.panes().get(self.pane_at.at).copied()
    }

    /// The selected task.
    pub fn task(&self) -> Option<&Task> {
        self.tasks().get(self.task_at.at).copied()
    }

    /// The selected task, if an operator can have it tried again: it has failed, was called off, or
    /// waits for its next attempt.
    pub fn retriable(&self) -> Option<&Task> {
        self.task().filter(|task| match task.status {
            TaskStatus::Failed | TaskStatus::Cancelled => true,
            TaskStatus::Queued => task.not_before.is_some(),
            TaskStatus::Claimed | TaskStatus::Started | TaskStatus::Done => false,
        })
    }

    /// The selected task with its history, once that was heard.
    pub fn task_details(&self) -> Option<&TaskDetails> {
        let task = self.task()?;
        self.details
            .as_ref()
            .filter(|details| details.task.id == task.id)
    }

    /// The log that is looked at, once it was heard.
    pub fn log(&self) -> Option<&LogLines> {
        let (agent, log) = self.log.as_ref()?;
        let is_open = matches!(&self.over, Over::Log { agent: open, .. } if open == agent);
        Some(log).filter(|_| is_open)
    }

    /// The selected agent.
    pub fn agent(&self) -> Option<&Agent> {
        self.agents().get(self.agent_at.at)
    }

    /// The selected job.
    pub fn job(&self) -> Option<&Job> {
        self.jobs().get(self.job_at.at)
    }

    /// The selected tenant.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.tenants().get(self.tenant_at.at)
    }

    /// Remembers how far what is drawn can be moved.
    pub(crate) fn can_move_to(&self, furthest: usize) {
        self.furthest.set(furthest);
    }

    /// Remembers what can be clicked on.
    pub(crate) fn can_be_clicked(&self, targets: Targets) {
        self.targets.set(targets);
    }

    /// The clock: time passes, and what is not told as a change is asked for.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Wish> {
        self.now = now;
        if self.link != Link::Live {
            return Vec::new();
        }
        let since = |then: Timestamp| now.as_second().saturating_sub(then.as_second());
        // A clock that was set back must not make it wait for days.
        if !(0..LOOK_ALL_AGAIN).contains(&since(self.looked_all)) {
            return self.load_all();
        }
        if (0..LOOK_AGAIN).contains(&since(self.looked)) {
            return Vec::new();
        }
        self.looked = now;
        let shows_panes = matches!(self.view, View::Panes | View::Cost);
        let panes = shows_panes.then(|| load(Part::Panes));
        panes.into_iter().chain(self.load_log()).collect()
    }

    fn load_all(&mut self) -> Vec<Wish> {
        (self.looked, self.looked_all) = (self.now, self.now);
        let mut wishes = vec![load(Part::Status), load(Part::Panes), load(Part::Agents)];
        wishes.push(load(Part::Jobs));
        wishes.push(load(Part::Tenants));
        wishes.push(load(Part::Tasks(self.which.clone())));
        wishes.extend(self.load_details());
        wishes.extend(self.load_log());
        wishes
    }

    /// The log that is looked at. While somebody reads further up it stands still.
    fn load_log(&self) -> Option<Wish> {
        match &self.over {
            Over::Log { agent, up: 0 } => Some(load(Part::Log(agent.clone()))),
            _ => None,
        }
    }

    /// The history of the task that is looked at.
    fn load_details(&self) -> Option<Wish> {
        let is_open = self.view == View::Tasks && matches!(self.over, Over::Details(_));
        let task = self.task().filter(|_| is_open)?;
        Some(load(Part::Task(task.id)))
    }

    /// Takes what came from the daemon's side.
    pub fn hear(&mut self, heard: Heard) -> Vec<Wish> {
        match heard {
            Heard::Change(change) => return self.hear_change(&change),
            Heard::Lost { why, pause } => {
                let again = self.now.checked_add(pause).unwrap_or(self.now);
                self.link = Link::Lost { why, again };
            }
            Heard::Status(status) => self.status = Some(*status),
            Heard::Panes(snapshot) => self.panes = Some(snapshot.panes),
            Heard::Agents(agents) => self.agents = Some(agents),
            Heard::Jobs(jobs) => self.jobs = Some(jobs),
            Heard::Tenants(tenants) => self.tenants = Some(tenants),
            // What was asked for before the filter was another one is of no use any more.
            Heard::Tasks { which, page } if which == self.which => {
                self.has_more = page.next.is_some();
                self.tasks = Some(page.tasks);
            }
            Heard::Tasks { .. } => {}
            Heard::Task(details) => self.details = Some(*details),
            // What was asked for before somebody went up would move what is read.
            Heard::Log { .. } if matches!(self.over, Over::Log { up: 1.., .. }) => {}
            Heard::Log { agent, log } => self.log = Some((agent, log)),
            // The line about the connection says so already.
            Heard::Failed { .. } if self.link != Link::Live => {}
            Heard::Failed { why, .. } => self.note = Some(why),
            Heard::Done { ticket, outcome } => self.hear_outcome(ticket, outcome),
        }
        self.settle();
        Vec::new()
    }

    fn hear_change(&mut self, change: &Change) -> Vec<Wish> {
        let mut wishes = Vec::new();
        match change {
            Change::Subscribed | Change::Lagged { .. } => {
                self.link = Link::Live;
                return self.load_all();
            }
            Change::Task { task_id, .. } => {
                wishes.push(load(Part::Tasks(self.which.clone())));
                wishes.push(load(Part::Status));
                // Who holds what is part of the agents' list.
                wishes.push(load(Part::Agents));
                let is_shown = self.task().is_some_and(|task| task.id == *task_id);
                wishes.extend(self.load_details().filter(|_| is_shown));
            }
            Change::Agent { .. } => wishes.push(load(Part::Agents)),
            Change::Pane { .. } => {
                wishes.push(load(Part::Panes));
                // The last words of one that has ended, for example.
                wishes.extend(self.load_log());
            }
            Change::PaneDismissed { .. } | Change::Session { .. } => wishes.push(load(Part::Panes)),
            Change::CostMode { .. } => wishes.push(load(Part::Status)),
            Change::Job { .. } => wishes.push(load(Part::Jobs)),
            Change::Tenant { .. } => wishes.push(load(Part::Tenants)),
            // Nothing here shows them; what a newer daemon says is its own affair.
            Change::Skill { .. } | Change::Unknown => {}
        }
        wishes
    }

    /// A form stays until the daemon has taken it: nobody likes to type things twice.
    fn hear_outcome(&mut self, ticket: u64, outcome: Result<String, String>) {
        let is_its = matches!(&self.over, Over::Form(form) if form.sent == Some(ticket));
        match (&mut self.over, outcome) {
            (Over::Form(form), Err(why)) if is_its => form.blame(why),
            (over, Ok(said)) => {
                if is_its {
                    *over = Over::Nothing;
                }
                self.note = Some(said);
            }
            (_, Err(why)) => self.note = Some(format!("Not done: {why}")),
        }
    }

    /// Has the selected tenant provisioned: made, mended, started, or tried again.
    fn provision(&mut self) -> Option<Wish> {
        let tenant_id = self.tenant()?.tenant_id.clone();
        self.note = Some(format!(
            "{tenant_id} is being provisioned, which may take a minute."
        ));
        let said = format!("{tenant_id} is provisioned.");
        Some(self.tell(Command::ProvisionTenant(OneTenant { tenant_id }), said))
    }

    fn tell(&mut self, command: Command, said: String) -> Wish {
        self.ticket += 1;
        Wish::Ask(Ask::Do(Deed {
            command,
            said,
            ticket: self.ticket,
        }))
    }

    fn pane_keys(&self) -> Vec<String> {
        self.panes().iter().map(|pane| pane.id.clone()).collect()
    }

    fn task_keys(&self) -> Vec<Uuid> {
        self.tasks().iter().map(|task| task.id).collect()
    }

    fn agent_keys(&self) -> Vec<Uuid> {
        self.agents().iter().map(|agent| agent.id).collect()
    }

    fn job_keys(&self) -> Vec<Uuid> {
        self.jobs().iter().map(|job| job.id).collect()
    }

    fn tenant_keys(&self) -> Vec<TenantId> {
        let ids = self.tenants().iter().map(|tenant| tenant.tenant_id.clone());
        ids.collect()
    }

    fn cost_keys(&self) -> Vec<String> {
        self.costs().into_iter().map(|cost| cost.agent).collect()
    }

    /// Lists may have changed: each selection finds its line again.
    fn settle(&mut self) {
        let (panes, tasks) = (self.pane_keys(), self.task_keys());
        let (agents, jobs) = (self.agent_keys(), self.job_keys());
        let (costs, tenants) = (self.cost_keys(), self.tenant_keys());
        self.pane_at.settle(&panes);
        self.task_at.settle(&tasks);
        self.agent_at.settle(&agents);
        self.job_at.settle(&jobs);
        self.cost_at.settle(&costs);
        self.tenant_at.settle(&tenants);
    }
}

fn load(part: Part) -> Wish {
    Wish::Ask(Ask::Load(part))
}
