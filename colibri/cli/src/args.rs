//! The command line.

mod old;
mod tenant;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use colibri_protocol::client::Client;
use colibri_protocol::{
    AgentLog, Answer, AnswerAgent, CancelTask, Capability, ClaimTask, Command, CompactSession,
    CostMode, CreateJob, CreateTask, DismissPane, GetSession, GetTask, Heartbeat, IntakeTask,
    ListTasks, Missed, Name, NoFields, Paging, RegisterAgent, RegisterSkill, RemoveJob, ReplyError,
    RetryTask, Runtime, Schedule, SendPrompt, SetCostMode, SpawnAgent, StopAgent, TaskStatus,
    TenantId, TransitionTask, Usage, place,
};
use jiff::Timestamp;
use uuid::Uuid;

use self::old::{OldAgent, OldJail, OldSkill};
pub(crate) use self::tenant::Join;
use self::tenant::{NewTenant, OldTenant, WhichTenant, Wish};

const AFTER: &str = "\
Examples:
  colibri status
  colibri create-task --title 'Back up the vault' --capability freebsd
  colibri list-tasks --status queued
  colibri list-tasks --json --limit 500 | jq '.tasks[].title'
  colibri create-job --name nightly --cron '30 2 * * *' \
      --zone Europe/Ljubljana --title 'Back up the vault'
  colibri join mila --idle-after 30m
  colibri subscribe --json
  colibri service-check
  colibri completions bash > /usr/local/share/bash-completion/completions/colibri

Environment:
  COLIBRI_DAEMON_SOCKET  the socket, when --socket does not say
  NO_COLOR               no colours when set

Exit codes:
  0  done
  1  the daemon refused, or service-check found something
  2  the command line makes no sense
  3  the daemon cannot be reached or does not answer
  4  this account may not use the socket";

/// Asks the Colibri daemon of this host, or tells it what to do.
#[derive(Debug, Parser)]
#[command(name = "colibri", version, after_help = AFTER, max_term_width = 80)]
pub(crate) struct Args {
    /// The daemon's socket
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Print the answer as JSON, for programs; errors too, on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Seconds to wait for the answer [default: 10; 60 where an agent is started
    /// or stopped; 120 to 600 for tenants and a backup]
    #[arg(long, global = true, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: Option<u64>,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to ask. The names are those of the protocol; the last five that are shown are this program's
/// own.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Verb {
    /// Show what the daemon is, where its things lie, and what it holds
    Status,
    /// Look at every part of the service; exit code 0 when all is well, else 1
    ServiceCheck,
    /// Show changes as they happen, a line each, until the daemon or you end it
    #[command(after_help = "Example:\n  colibri subscribe --json | jq -c .")]
    Subscribe,
    /// Put a task on the board; it is on disk when this returns
    #[command(
        after_help = "Example:\n  colibri create-task --title 'Build the port' \\\n      \
        --capability freebsd --capability code --max-attempts 5"
    )]
    CreateTask(NewTask),
    /// Put work from outside on the board; it is on disk when this returns
    #[command(
        after_help = "Example:\n  colibri intake-task --title 'Build the port' \
        --capability freebsd"
    )]
    IntakeTask(Intake),
    /// Show tasks, newest first
    #[command(after_help = "Example:\n  colibri list-tasks --status started --limit 10")]
    ListTasks(Listing),
    /// Show all about a task: who has it, what it cost, what happened to it
    #[command(after_help = "Example:\n  colibri get-task 0198a000-0000-7000-8000-000000000001")]
    GetTask(OneTask),
    /// Take a queued task for an agent
    #[command(after_help = "Example:\n  colibri claim-task --task-id ID --agent-id ID")]
    ClaimTask(Claim),
    /// Move a task on: to started, done, failed or cancelled, or back to queued
    #[command(
        after_help = "Example:\n  colibri transition-task --task-id ID --agent-id ID \\\n      \
        --status done --result '412 files'"
    )]
    TransitionTask(Transition),
    /// Call a task off that has not ended
    #[command(after_help = "Example:\n  colibri cancel-task ID --reason 'the disk is full'")]
    CancelTask(Cancel),
    /// Put a task that failed or was called off back into the queue, or end its pause
    #[command(after_help = "Example:\n  colibri retry-task ID")]
    RetryTask(OneTask),
    /// Make an agent known, or update it
    #[command(after_help = "Example:\n  colibri register-agent --name atlas-pi \
        --capability code")]
    RegisterAgent(NewAgent),
    /// Show agents, by name
    #[command(after_help = "Example:\n  colibri list-agents --json | jq '.agents[].id'")]
    ListAgents(Pages),
    /// Give an agent's sign of life; extends the leases of its tasks
    #[command(after_help = "Example:\n  colibri heartbeat --agent-id ID")]
    Heartbeat(Beat),
    /// Show what each agent that the daemon runs is doing
    #[command(after_help = "Example:\n  colibri snapshot --json | jq '.panes[].state'")]
    Snapshot,
    /// Start an agent as a process of this host, and register it
    #[command(
        after_help = "Its arguments come after `--`; without any, those with which it listens\n\
        for prompts. As a service of Debian the daemon sees nothing of /home, /root and\n\
        /tmp: neither program nor folder may lie there.\n\n\
        Example:\n  colibri spawn-agent /usr/local/bin/pi --runtime pi --name atlas \\\n      \
        --capability code --prompt 'Say hello'"
    )]
    SpawnAgent(Spawn),
    /// Stop an agent with everything that it has started
    #[command(
        visible_alias = "kill-agent",
        after_help = "Example:\n  colibri stop-agent atlas"
    )]
    StopAgent(Stop),
    /// Take away the pane of an agent that has ended; its session and log stay
    #[command(after_help = "Example:\n  colibri dismiss-pane atlas")]
    DismissPane(Dismiss),
    /// Ask a running agent something
    #[command(after_help = "Example:\n  colibri send-prompt atlas 'Look at the logs'")]
    SendPrompt(Prompt),
    /// Answer what a blocked agent asks, so that it works on
    #[command(
        override_usage = "colibri answer-agent [OPTIONS] <NAME> \
        <TEXT|--confirm <YES|NO>|--cancel>",
        after_help = "Examples:\n  \
        colibri answer-agent atlas 'Only once'\n  \
        colibri answer-agent atlas --confirm yes"
    )]
    AnswerAgent(Answering),
    /// Show the end of what an agent wrote to its standard error
    #[command(after_help = "Works for agents that have ended, too.\n\n\
        Example:\n  colibri agent-log atlas --lines 20 --follow")]
    AgentLog(Written),
    /// Show how long an agent's session is, what it cost and what became of it
    #[command(
        after_help = "`colibri snapshot --json | jq '.panes[].session.session'` shows the ids\n\
        of the agents that run.\n\n\
        Example:\n  colibri get-session 0198a000-0000-7000-8000-000000000004"
    )]
    GetSession(OneSession),
    /// Summarise all but the newest turns of a session, needed or not
    #[command(
        after_help = "Example:\n  colibri compact-session ID --summary 'The vault is backed up'"
    )]
    CompactSession(Compact),
    /// Make a skill known, or update it
    #[command(
        after_help = "Example:\n  colibri register-skill --name vault \\\n      \
        --description 'Reads secrets' --path /srv/skills/vault/SKILL.md"
    )]
    RegisterSkill(NewSkill),
    /// Show skills, by name, and what is wrong in the daemon's folder of skills
    #[command(
        after_help = "The daemon finds skills by itself, each as NAME/SKILL.md in its folder\n\
        (Debian: /var/lib/colibri/skills, FreeBSD: /var/db/colibri/skills).\n\
        A SKILL.md begins with its front matter:\n\n  \
        ---\n  name: vault\n  description: Reads secrets\n  ---\n\n\
        Example:\n  colibri list-skills"
    )]
    ListSkills(Pages),
    /// Make a job, which makes a task each time that it is due
    #[command(
        override_usage = "colibri create-job --name <NAME> --title <TEXT> [OPTIONS]\n           \
        <--at <TIME>|--every <SECONDS>|--cron <FIELDS>>",
        after_help = "Examples:\n  \
        colibri create-job --name hourly --every 3600 --title 'Look at the logs'\n  \
        colibri create-job --name nightly --cron '30 2 * * *' \\\n      \
        --zone Europe/Ljubljana --missed skip --title 'Back up the vault'\n  \
        colibri create-job --name then --at 2027-01-01T08:00:00Z --title 'Wish well'"
    )]
    CreateJob(NewJob),
    /// Show jobs, by name
    #[command(after_help = "Example:\n  colibri list-jobs")]
    ListJobs(Pages),
    /// Remove a job; the tasks that it has made stay
    #[command(after_help = "Example:\n  colibri remove-job nightly")]
    RemoveJob(OneJob),
    /// Make a tenant known: a jail of its own, with its own secrets
    #[command(
        after_help = "Asked again with the same words, it changes nothing.\n\n\
        Examples:\n  colibri register-tenant mila --idle-after 30m\n  \
        colibri register-tenant trial --no-collection --ttl 2h --memory-mib 512"
    )]
    RegisterTenant(NewTenant),
    /// Show tenants, by their ids
    #[command(after_help = "Example:\n  colibri list-tenants --json | jq '.tenants[].status'")]
    ListTenants(Pages),
    /// Make a tenant's jail and fetch its secrets; also tries a failed one again
    #[command(after_help = "Example:\n  colibri provision-tenant mila")]
    ProvisionTenant(WhichTenant),
    /// Fetch a tenant's secrets anew; its agents start anew if they are others
    #[command(
        visible_alias = "rotate",
        after_help = "Example:\n  colibri rotate mila"
    )]
    RotateTenant(WhichTenant),
    /// Show the names of a tenant's secrets, never their values
    #[command(after_help = "Example:\n  colibri list-secrets mila")]
    ListSecrets(WhichTenant),
    /// Remove a tenant: its agents and its jail
    #[command(
        override_usage = "colibri remove-tenant [OPTIONS] <TENANT> <--archive|--destroy>",
        after_help = "Examples:\n  colibri remove-tenant mila --archive\n  \
        colibri remove-tenant mila --destroy --dry-run"
    )]
    RemoveTenant(OldTenant),
    /// Ask, as an agent in a jail, for another tenant with an agent like itself
    #[command(after_help = "Off unless the host's policy allows it.\n\n\
        Example:\n  colibri request-tenant nika --ttl 2h")]
    RequestTenant(Wish),
    /// Change how freely agents may spend: fast, smart or max
    #[command(after_help = "Example:\n  colibri set-cost-mode fast --persist")]
    SetCostMode(Mode),
    /// Copy the database into a new file, mode 0600, while everything goes on
    #[command(
        after_help = "The file is written by this command, in your name: anywhere you may write.\n\
        It has its name only when it is whole. In between the copy also lies in the\n\
        daemon's data directory, which needs the room.\n\n\
        Example:\n  colibri backup ~/before-the-update.sqlite"
    )]
    Backup(Target),
    /// Start an agent that speaks the dialect of colibri-test-agent
    #[command(after_help = "The same as `spawn-agent --runtime local`.\n\n\
        Example:\n  colibri spawn-local /usr/local/bin/colibri-test-agent -- --rpc")]
    SpawnLocal(Local),
    /// Join the hive: register and provision a tenant, and start its agent
    #[command(
        after_help = "Each part can be done again: joining again goes on where it ended.\n\n\
        Examples:\n  colibri join mila\n  \
        colibri join trial --no-collection --ttl 2h --runtime local -- --rpc"
    )]
    Join(Join),
    /// Do what an agent does first: who it is, its keys, registered, alive
    #[command(
        after_help = "Shows the names of its keys, never their values. Each step can be done again.\n\n\
        Example:\n  colibri mother --json | jq -r .agent.id"
    )]
    Mother(Rise),
    /// Print what a shell needs to complete this command's words
    #[command(after_help = "Example:\n  colibri completions zsh > ~/.zfunc/_colibri")]
    Completions {
        /// For this shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    #[command(after_help = "Example:\n  colibri man /usr/local/share/man/man1")]
    Man {
        /// The folder; must exist
        folder: PathBuf,
    },
    /// Old name of stop-agent
    #[command(name = "stop", alias = "kill", hide = true)]
    OldStop(Stop),
}

/// What a task consists of.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Intake {
    /// One line, at most 200 characters
    #[arg(long, value_name = "TEXT")]
    title: String,

    /// What is to be done, at most 64 KiB
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// What an agent must be able to do; may be given several times
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<Capability>,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NewTask {
    #[command(flatten)]
    what: Intake,

    /// How often it may be taken before losing it means failure, 1 to 100
    /// [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    max_attempts: Option<u32>,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Listing {
    /// Only these: queued, claimed, started, done, failed or cancelled
    #[arg(long, value_name = "STATUS")]
    status: Option<TaskStatus>,

    /// Only what this agent holds or held last
    #[arg(long = "agent", visible_alias = "agent-id", value_name = "ID")]
    agent_id: Option<Uuid>,

    #[command(flatten)]
    pages: Pages,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Pages {
    /// Most entries to show, 1 to 500 [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: Option<u32>,

    /// Continue after an earlier page, with the `next` it ended on
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OneTask {
    /// The task's id
    #[arg(value_name = "ID")]
    task_id: Uuid,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Claim {
    /// Which task
    #[arg(long, value_name = "ID")]
    task_id: Uuid,

    /// For which agent
    #[arg(long, value_name = "ID")]
    agent_id: Uuid,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Transition {
    /// Which task
    #[arg(long, value_name = "ID")]
    task_id: Uuid,

    /// Where it goes: started, done, failed, cancelled or queued
    #[arg(long, value_name = "STATUS")]
    status: TaskStatus,

    /// The agent that moves it, and must hold it; an operator leaves this out
    #[arg(long, value_name = "ID")]
    agent_id: Option<Uuid>,

    /// What came of it, at most 64 KiB
    #[arg(long, value_name = "TEXT")]
    result: Option<String>,

    /// What went wrong, at most 64 KiB
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,

    /// What was used up, as JSON such as
    /// '{"input":1200,"output":300,"cost_usd":0.0081}'
    #[arg(long, value_name = "JSON", value_parser = usage)]
    usage: Option<Usage>,
}

fn usage(text: &str) -> Result<Usage, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Cancel {
    /// The task's id
    #[arg(value_name = "ID")]
    task_id: Uuid,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NewAgent {
    /// Its name; a known name keeps its id and has the rest updated
    #[arg(long, value_name = "NAME", required = true)]
    name: Option<Name>,

    /// What it can do; may be given several times
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<Capability>,

    /// Where it runs [default: the daemon's host]
    #[arg(long, value_name = "NAME")]
    host: Option<Name>,

    /// Most tasks that the scheduler lets it hold at once, 0 to 64 [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=64))]
    slots: Option<u32>,

    #[command(flatten)]
    old: OldAgent,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Beat {
    /// Which agent
    #[arg(long, value_name = "ID")]
    agent_id: Uuid,

    /// Where it runs now
    #[arg(long, value_name = "NAME")]
    host: Option<Name>,
}

/// A program to run, and what it is called.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Local {
    /// The program
    #[arg(value_name = "PATH")]
    program: PathBuf,

    /// What the agent is called [default: the program's name]
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,

    /// What it can do; may be given several times
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<Capability>,

    /// What it is asked first, at most 64 KiB
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,

    /// The folder it starts in [default: one of its own]
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,

    /// Start it again whenever it ends by itself, with growing pauses
    #[arg(long)]
    restart: bool,

    /// Start it in this tenant's jail [default: on the host itself]
    #[arg(long, value_name = "TENANT", conflicts_with = "cwd")]
    tenant: Option<TenantId>,

    /// Its arguments
    #[arg(value_name = "ARGS", last = true)]
    args: Vec<String>,

    #[command(flatten)]
    old: OldJail,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Spawn {
    #[command(flatten)]
    what: Local,

    /// Which dialect it speaks: pi, zot or local
    #[arg(long, value_name = "RUNTIME")]
    runtime: Runtime,
}

impl Local {
    /// # Errors
    /// What the daemon would refuse.
    fn request(self, runtime: Runtime) -> Result<SpawnAgent, ReplyError> {
        let file = self.program.file_name().unwrap_or_default();
        let named = || {
            let name = file.to_string_lossy().into_owned();
            name.try_into().map_err(|problem: String| {
                let text = format!("{problem}; give it one with --name");
                ReplyError::new(colibri_protocol::ErrorKind::BadRequest, text)
            })
        };
        // The daemon's folder is another than ours.
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let spawn = SpawnAgent {
            name: self.name.map_or_else(named, Ok)?,
            runtime,
            program: absolute(self.program.clone()),
            args: Some(self.args).filter(|args| !args.is_empty()),
            cwd: self.cwd.map(absolute),
            prompt: self.prompt,
            capabilities: self.capabilities.into_iter().collect(),
            restart: self.restart,
            tenant: self.tenant,
        };
        spawn.check()?;
        Ok(spawn)
    }
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Stop {
    /// The agent's name
    #[arg(value_name = "NAME")]
    agent: Name,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Dismiss {
    /// Its agent's name
    #[arg(value_name = "NAME")]
    agent: Name,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Prompt {
    /// The agent's name
    #[arg(value_name = "NAME")]
    agent: Name,

    /// What it is asked, at most 64 KiB
    #[arg(value_name = "TEXT")]
    message: String,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Written {
    /// The agent's name
    #[arg(value_name = "NAME")]
    agent: Name,

    /// Most lines to show, the newest, 1 to 2000 [default: 100]
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(AgentLog::MAX_LINES)))]
    lines: Option<u32>,

    /// Go on and show what is written from now on, until the daemon or you end it
    #[arg(long)]
    follow: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Answering {
    /// The agent's name
    #[arg(value_name = "NAME")]
    agent: Name,

    #[command(flatten)]
    given: Given,

    /// Which question, by its id [default: the one that is shown]
    #[arg(long, value_name = "ID")]
    question: Option<String>,
}

/// What is answered: one of these.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Given {
    /// A text, or one of the choices
    #[arg(value_name = "TEXT")]
    text: Option<String>,

    /// Yes or no
    #[arg(long, value_name = "YES|NO", value_parser = colibri_protocol::switch)]
    confirm: Option<bool>,

    /// That no answer will come
    #[arg(long)]
    cancel: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OneSession {
    /// The session's id
    #[arg(value_name = "ID")]
    session: Uuid,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Compact {
    /// The session's id
    #[arg(value_name = "ID")]
    session: Uuid,

    /// The summary [default: a plain one, made without a model]
    #[arg(long, value_name = "TEXT")]
    summary: Option<String>,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NewSkill {
    /// Its name; a known name has the rest updated
    #[arg(long, value_name = "NAME", required = true)]
    name: Option<Name>,

    /// What it is good for, at most 1000 characters
    #[arg(long, value_name = "TEXT")]
    description: String,

    /// Where it is written
    #[arg(long, value_name = "FILE")]
    path: Option<String>,

    #[command(flatten)]
    old: OldSkill,
}

#[derive(Debug, Clone, clap::Args)]
#[group(id = "when", required = true, multiple = false, args = ["at", "every", "cron"])]
pub(crate) struct NewJob {
    /// No other job may have it
    #[arg(long, value_name = "NAME")]
    name: Name,

    /// Once, at this time, such as 2027-01-01T08:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,

    /// Again and again, with so many seconds between
    #[arg(long, value_name = "SECONDS")]
    every: Option<u32>,

    /// By the clock: minute, hour, day, month, weekday; seconds may stand in
    /// front
    #[arg(long, value_name = "FIELDS")]
    cron: Option<String>,

    /// The clock's time zone
    #[arg(long, value_name = "ZONE", requires = "cron", default_value = "UTC")]
    zone: String,

    /// What becomes of runs whose time passed while the daemon was not there:
    /// skip, once or all
    #[arg(long, value_name = "WHICH", default_value = "once")]
    missed: Missed,

    #[command(flatten)]
    task: NewTask,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Rise {
    /// What it registers as, unless the daemon runs it [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<Name>,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OneJob {
    /// The job's name
    #[arg(value_name = "NAME")]
    name: Name,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Mode {
    /// fast, smart or max
    #[arg(value_name = "MODE")]
    mode: CostMode,

    /// Also after a restart, whatever flag and environment say then
    #[arg(long)]
    persist: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Target {
    /// The file to make; must not exist
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

impl From<Intake> for IntakeTask {
    fn from(given: Intake) -> Self {
        Self {
            title: given.title,
            description: given.description,
            capabilities: given.capabilities.into_iter().collect(),
        }
    }
}

impl From<NewTask> for CreateTask {
    fn from(given: NewTask) -> Self {
        Self {
            max_attempts: given.max_attempts,
            ..IntakeTask::from(given.what).into()
        }
    }
}

impl From<Pages> for Paging {
    fn from(given: Pages) -> Self {
        Self {
            limit: given.limit,
            after: given.after,
        }
    }
}

impl Verb {
    /// Whether it goes on until somebody ends it, and prints as it goes.
    pub(crate) fn is_endless(&self) -> bool {
        match self {
            Self::Subscribe => true,
            Self::AgentLog(log) => log.follow,
            _ => false,
        }
    }

    /// The request, checked as far as it can be without the daemon; none for what this program
    /// does alone.
    ///
    /// # Errors
    /// What the daemon would refuse.
    pub(crate) fn command(&self) -> Result<Option<Command>, ReplyError> {
        Ok(Some(match self.clone() {
            Self::Status => Command::Status(NoFields {}),
            Self::ServiceCheck => Command::ServiceCheck(NoFields {}),
            Self::Subscribe => Command::Subscribe(NoFields {}),
            Self::CreateTask(new) => {
                let new = CreateTask::from(new);
                new.check()?;
                Command::CreateTask(new)
            }
            Self::IntakeTask(new) => {
                let new = IntakeTask::from(new);
                CreateTask::from(new.clone()).check()?;
                Command::IntakeTask(new)
            }
            Self::ListTasks(which) => Command::ListTasks(ListTasks {
                status: which.status,
                agent_id: which.agent_id,
                limit: which.pages.limit,
                after: which.pages.after,
            }),
            Self::GetTask(OneTask { task_id }) => Command::GetTask(GetTask { task_id }),
            Self::ClaimTask(Claim { task_id, agent_id }) => {
                Command::ClaimTask(ClaimTask { task_id, agent_id })
            }
            Self::TransitionTask(to) => {
                let to = TransitionTask {
                    task_id: to.task_id,
                    status: to.status,
                    agent_id: to.agent_id,
                    result: to.result,
                    error: to.error,
                    usage: to.usage,
                };
                to.check()?;
                Command::TransitionTask(to)
            }
            Self::CancelTask(Cancel { task_id, reason }) => {
                let cancel = CancelTask { task_id, reason };
                cancel.check()?;
                Command::CancelTask(cancel)
            }
            Self::RetryTask(OneTask { task_id }) => Command::RetryTask(RetryTask { task_id }),
            Self::RegisterAgent(new) => {
                let capabilities = new.capabilities.into_iter().chain(new.old.csv);
                let new = RegisterAgent {
                    name: new.old.bare.or(new.name)?,
                    capabilities: capabilities.collect(),
                    host: new.host,
                    slots: new.slots,
                };
                new.check()?;
                Command::RegisterAgent(new)
            }
            Self::ListAgents(pages) => Command::ListAgents(pages.into()),
            Self::Heartbeat(Beat { agent_id, host }) => {
                Command::Heartbeat(Heartbeat { agent_id, host })
            }
            Self::Snapshot => Command::Snapshot(NoFields {}),
            Self::SpawnAgent(spawn) => Command::SpawnAgent(spawn.what.request(spawn.runtime)?),
            Self::SpawnLocal(local) => Command::SpawnAgent(local.request(Runtime::Local)?),
            Self::StopAgent(Stop { agent }) | Self::OldStop(Stop { agent }) => {
                Command::StopAgent(StopAgent { agent })
            }
            Self::DismissPane(Dismiss { agent }) => Command::DismissPane(DismissPane { agent }),
            Self::SendPrompt(Prompt { agent, message }) => {
                let prompt = SendPrompt { agent, message };
                prompt.check()?;
                Command::SendPrompt(prompt)
            }
            Self::AnswerAgent(Answering {
                agent,
                given,
                question,
            }) => {
                let answer = match given {
                    Given {
                        text: Some(text), ..
                    } => Answer::Text(text),
                    Given { cancel: true, .. } => Answer::Cancelled,
                    // The command line has one of the three.
                    Given { confirm, .. } => Answer::Confirmed(confirm.unwrap_or_default()),
                };
                let answer = AnswerAgent {
                    agent,
                    question,
                    answer,
                };
                answer.check()?;
                Command::AnswerAgent(answer)
            }
            Self::AgentLog(Written { agent, lines, .. }) => Command::AgentLog(AgentLog {
                agent,
                lines,
                after: None,
            }),
            Self::GetSession(OneSession { session }) => Command::GetSession(GetSession { session }),
            Self::CompactSession(Compact { session, summary }) => {
                let compact = CompactSession { session, summary };
                compact.check()?;
                Command::CompactSession(compact)
            }
            Self::RegisterSkill(new) => {
                let new = RegisterSkill {
                    name: new.old.bare.or(new.name)?,
                    description: new.description,
                    path: new.path,
                };
                new.check()?;
                Command::RegisterSkill(new)
            }
            Self::ListSkills(pages) => Command::ListSkills(pages.into()),
            Self::CreateJob(new) => Command::CreateJob(job(new)?),
            Self::ListJobs(pages) => Command::ListJobs(pages.into()),
            Self::RemoveJob(OneJob { name }) => Command::RemoveJob(RemoveJob { name }),
            Self::RegisterTenant(new) => Command::RegisterTenant(new.request()?),
            Self::ListTenants(pages) => Command::ListTenants(pages.into()),
            Self::ProvisionTenant(which) => Command::ProvisionTenant(which.into()),
            Self::RotateTenant(which) => Command::RotateTenant(which.into()),
            Self::ListSecrets(which) => Command::ListSecrets(which.into()),
            Self::RemoveTenant(which) => Command::RemoveTenant(which.into()),
            Self::RequestTenant(wish) => Command::RequestTenant(wish.into()),
            Self::SetCostMode(Mode { mode, persist }) => {
                Command::SetCostMode(SetCostMode { mode, persist })
            }
            Self::Backup(_) => Command::Backup(NoFields {}),
            Self::Join(_) | Self::Mother(_) | Self::Completions { .. } | Self::Man { .. } => {
                return Ok(None);
            }
        }))
    }
}

fn job(new: NewJob) -> Result<CreateJob, ReplyError> {
    let schedule = match (new.at, new.every, new.cron) {
        (Some(at), ..) => Schedule::Once { at },
        (None, Some(seconds), _) => Schedule::Interval { seconds },
        // The command line has one of the three.
        (None, None, expression) => Schedule::Cron {
            expression: expression.unwrap_or_default(),
            zone: new.zone,
        },
    };
    let task = CreateTask::from(new.task);
    task.check()?;
    Ok(CreateJob {
        name: new.name,
        schedule,
        missed: new.missed,
        task,
    })
}

impl Args {
    /// Where to ask: the flag, then the environment, then the flavour's own place.
    pub(crate) fn client(&self) -> Client {
        let client = Client::new(place::socket(self.socket.clone()));
        match self.timeout {
            Some(seconds) => client.with_timeout(Duration::from_secs(seconds)),
            None => client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_help_fits_a_terminal_of_80_columns() {
        let mut top = Args::command();
        top.build();
        let mut seen = 0;
        for command in std::iter::once(&top).chain(top.get_subcommands()) {
            for help in [
                command.clone().render_help(),
                command.clone().render_long_help(),
            ] {
                for line in help.to_string().lines() {
                    assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
                    seen += 1;
                }
            }
        }
        assert!(seen > 100, "only {seen} lines of help");
        top.debug_assert();
    }

    #[test]
    fn verbs_are_the_commands_of_the_protocol() {
        let command = Args::command();
        let verbs: Vec<_> = command
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        let (own, asked): (Vec<_>, Vec<_>) = verbs.into_iter().partition(|verb| {
            ["spawn-local", "join", "mother", "completions", "man"].contains(verb)
        });
        assert_eq!(asked, Command::NAMES);
        assert_eq!(own.len(), 5);
    }

    #[test]
    fn an_answer_is_one_of_three() {
        let answer = |given: &[&str]| {
            let words = ["colibri", "answer-agent", "atlas"].iter().chain(given);
            let args = Args::try_parse_from(words).ok()?;
            match args.verb.command() {
                Ok(Some(Command::AnswerAgent(asked))) => Some(asked.answer),
                other => panic!("{other:?}"),
            }
        };
        let text = Answer::Text("Only once".to_owned());
        assert_eq!(answer(&["Only once", "--question", "q-1"]), Some(text));
        assert_eq!(answer(&["--confirm", "no"]), Some(Answer::Confirmed(false)));
        assert_eq!(answer(&["--cancel"]), Some(Answer::Cancelled));
        for wrong in [&["yes", "--cancel"][..], &[], &["--confirm", "perhaps"]] {
            assert_eq!(answer(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_wrong_status_lists_the_right_ones() {
        let error = Args::try_parse_from(["colibri", "list-tasks", "--status", "open"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("queued, claimed, started"), "{error}");
    }
}
