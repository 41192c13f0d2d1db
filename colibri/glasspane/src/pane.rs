//! What an agent's events mean.

use std::time::Duration;

use colibri_protocol::{PaneSnapshot, PaneState, Runtime, Usage};
use jiff::{SignedDuration, Timestamp};

use crate::event::{self, Event, Next, Stop};
use crate::lines::{Line, Lines};
use crate::text::{Tail, short};

/// After how long without an event a working agent counts as stalled.
pub const DEFAULT_STALL_AFTER: Duration = Duration::from_secs(4 * 60 * 60);

/// How long an end that may not be the last is waited upon. Some agents try
/// again after a failure and say so only by beginning, which they do at once.
pub const SETTLES_AFTER: Duration = Duration::from_secs(5);

/// Most tools and most questions that are remembered at once.
const MOST: usize = 64;

/// Longest choices of a question together, in bytes.
const LONGEST_CHOICES: usize = 2048;

/// Longest name of a question or a tool's call, in bytes; those in use have 40.
const LONGEST_ID: usize = 1024;

/// Something that changed, in the order in which it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The state.
    State {
        /// The state before.
        from: PaneState,
        /// The state now.
        to: PaneState,
    },
    /// So much more was used up.
    Used(Usage),
    /// The agent said this, in whole, as it wrote it.
    Said(String),
    /// It calls a tool.
    Called {
        /// The tool's name.
        tool: String,
        /// With what, as the agent wrote it, which is usually JSON.
        arguments: String,
    },
    /// A tool that it called has answered.
    Returned {
        /// The tool's name.
        tool: String,
        /// What it answered.
        text: String,
    },
    /// The agent waits for an answer; see [`crate::Input::Answer`].
    Asked {
        /// Names the question in its answer.
        id: String,
        /// What it asks.
        question: String,
    },
    /// It works, and nothing was heard of it for long.
    Stalled,
    /// What it was asked to do is done.
    Finished,
    /// What it was asked to do has failed.
    Failed {
        /// Why, in the agent's words.
        why: String,
        /// The same may go well later: its model could not be reached or was not there for it, as
        /// far as the agent's events tell. Never so when the work itself went wrong.
        may_pass: bool,
    },
    /// What it was asked to do was called off.
    Aborted,
    /// It has compacted its log as it was told to in [`crate::Input::Compact`], or could not.
    Compacted,
    /// It did not take a prompt.
    Refused {
        /// The prompt's id, as it was given in [`crate::Input::Prompt`].
        id: Option<String>,
        /// Why, in the agent's words.
        why: String,
    },
}

/// How an agent's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was told to stop.
    Asked,
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal, which nobody here sent.
    Signal(i32),
}

/// Where the work on a prompt stands.
#[derive(Debug)]
enum Run {
    /// There is none.
    None,
    Going,
    /// It has ended, and may yet go on.
    Ending {
        /// When it ended; `None` while something else keeps it from settling.
        since: Option<Timestamp>,
    },
}

#[derive(Debug)]
struct Question {
    id: String,
    text: String,
    choices: Vec<String>,
    /// When it was asked, and how long the agent waits.
    asked: Timestamp,
    patience: Option<Duration>,
}

/// One agent, as its events show it.
#[derive(Debug)]
pub struct Pane {
    id: String,
    agent: String,
    runtime: Runtime,
    pid: Option<u32>,
    stall_after: Duration,

    lines: Lines,
    /// What it is when there is no work.
    rest: PaneState,
    run: Run,
    compacting: bool,
    /// How the work will have ended, should it end now.
    stop: Option<Stop>,
    /// Calls that run, with the tool's name, oldest first.
    tools: Vec<(String, String)>,
    questions: Vec<Question>,

    state: PaneState,
    since: Timestamp,
    last_event_at: Option<Timestamp>,
    /// [`Change::Stalled`] was given since the last event.
    told_stalled: bool,
    reason: Option<String>,
    text: Tail,
    turns: u64,
    usage: Usage,
    events: u64,
    malformed: u64,
}

impl Pane {
    /// An agent that has said nothing yet.
    pub fn new(
        id: impl Into<String>,
        agent: impl Into<String>,
        runtime: Runtime,
        now: Timestamp,
    ) -> Self {
        Self {
            id: id.into(),
            agent: agent.into(),
            runtime,
            pid: None,
            stall_after: DEFAULT_STALL_AFTER,
            lines: Lines::default(),
            rest: PaneState::Idle,
            run: Run::None,
            compacting: false,
            stop: None,
            tools: Vec::new(),
            questions: Vec::new(),
            state: PaneState::Idle,
            since: now,
            last_event_at: None,
            told_stalled: false,
            reason: None,
            text: Tail::default(),
            turns: 0,
            usage: Usage::default(),
            events: 0,
            malformed: 0,
        }
    }

    /// With another time than [`DEFAULT_STALL_AFTER`].
    #[must_use]
    pub fn with_stall_after(mut self, after: Duration) -> Self {
        self.stall_after = after;
        self
    }

    /// The process that is the agent.
    pub fn started_as(&mut self, pid: u32) {
        self.pid = Some(pid);
    }

    /// What the agent is doing.
    pub fn state(&self) -> PaneState {
        self.state
    }

    /// The dialect that it speaks.
    pub fn runtime(&self) -> Runtime {
        self.runtime
    }

    /// Takes what the agent has printed, in any pieces.
    pub fn feed(&mut self, bytes: &[u8], now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        // The lines are borrowed while the pane changes.
        let mut lines = std::mem::take(&mut self.lines);
        lines.feed(bytes, |line| self.line(&line, now, &mut changes));
        self.lines = lines;
        changes
    }

    /// Notices that time has passed; see [`Pane::wakes_at`].
    pub fn tick(&mut self, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        self.questions.retain(|question| {
            let over = |patience| has_passed(question.asked, patience, now);
            !question.patience.is_some_and(over)
        });
        if let Run::Ending { since: Some(since) } = self.run
            && has_passed(since, SETTLES_AFTER, now)
        {
            self.settle(&mut changes);
        }
        self.show(now, &mut changes);
        if self.is_stalled(now) && !std::mem::replace(&mut self.told_stalled, true) {
            changes.push(Change::Stalled);
        }
        changes
    }

    /// When [`Pane::tick`] is next of use; `None` while only the agent itself
    /// can change anything. After a tick at that time, it is another.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        let settles = match self.run {
            Run::Ending { since } => since.map(|since| (since, SETTLES_AFTER)),
            _ => None,
        };
        let stalls = match (self.state, self.last_event_at) {
            (PaneState::Working, Some(last)) if !self.told_stalled => {
                Some((last, self.stall_after))
            }
            _ => None,
        };
        let decides = self
            .questions
            .iter()
            .filter_map(|question| Some((question.asked, question.patience?)));
        settles
            .into_iter()
            .chain(stalls)
            .chain(decides)
            .filter_map(|(from, after)| {
                let after = SignedDuration::try_from(after).ok()?;
                from.checked_add(after).ok()
            })
            .min()
    }

    /// The question that is shown, by its id: the newest that waits for an answer.
    pub fn question(&self) -> Option<&str> {
        self.questions.last().map(|question| question.id.as_str())
    }

    /// Whether it waits for the answer to this question.
    pub fn asks(&self, question: &str) -> bool {
        self.questions.iter().any(|asked| asked.id == question)
    }

    /// A question was answered: [`crate::Input::Answer`] was written.
    pub fn answered(&mut self, question: &str, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        self.questions.retain(|asked| asked.id != question);
        self.show(now, &mut changes);
        changes
    }

    /// The agent's process is gone, and all that it printed was fed.
    pub fn ended(&mut self, end: End, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut lines = std::mem::take(&mut self.lines);
        lines.finish(|line| self.line(&line, now, &mut changes));
        self.lines = lines;

        self.pid = None;
        self.compacting = false;
        let how = match end {
            End::Asked => None,
            End::Code(0) => Some("the agent ended".to_owned()),
            End::Code(code) => Some(format!("the agent ended with exit code {code}")),
            End::Signal(signal) => Some(format!("the agent was ended by signal {signal}")),
        };
        match (&self.run, how) {
            // Nothing can follow any more.
            (Run::Ending { .. }, _) => self.settle(&mut changes),
            (Run::Going, how) => {
                self.stop = Some(how.map_or(Stop::Aborted, |how| {
                    Stop::Failed(format!("{how} in the middle of its work"))
                }));
                self.settle(&mut changes);
            }
            (Run::None, None) => {}
            (Run::None, Some(_)) if end == End::Code(0) => {}
            (Run::None, Some(how)) => {
                // Whoever gave it something to do has heard nothing of it.
                if self.rest == PaneState::Idle {
                    let why = how.clone();
                    let may_pass = false;
                    changes.push(Change::Failed { why, may_pass });
                }
                self.rest = PaneState::Error;
                self.reason = Some(how);
            }
        }
        self.tools.clear();
        self.questions.clear();
        self.show(now, &mut changes);
        changes
    }

    /// The agent should run, and is not started again.
    pub fn left_alone(&mut self, why: &str, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        self.rest = PaneState::Error;
        self.reason = Some(format!("left alone: {why}"));
        self.show(now, &mut changes);
        changes
    }

    /// The agent at this moment.
    pub fn snapshot(&self, now: Timestamp) -> PaneSnapshot {
        PaneSnapshot {
            id: self.id.clone(),
            agent: self.agent.clone(),
            runtime: self.runtime,
            state: self.state,
            stalled: self.is_stalled(now),
            since: self.since,
            last_event_at: self.last_event_at,
            tool: self.tools.last().map(|(_, name)| name.clone()),
            text: self.text.as_str().to_owned(),
            turns: self.turns,
            usage: self.usage,
            events: self.events,
            malformed: self.malformed,
            reason: match self.questions.last() {
                Some(question) => Some(question.text.clone()),
                None => self.reason.clone(),
            },
            question: self.question().map(str::to_owned),
            choices: match self.questions.last() {
                Some(question) => question.choices.clone(),
                None => Vec::new(),
            },
            pid: self.pid,
            // Whoever keeps the agent's session knows.
            session: None,
            session_problem: None,
        }
    }

    fn is_stalled(&self, now: Timestamp) -> bool {
        let silent = |last| has_passed(last, self.stall_after, now);
        self.state == PaneState::Working && self.last_event_at.is_some_and(silent)
    }

    fn line(&mut self, line: &Line<'_>, now: Timestamp, changes: &mut Vec<Change>) {
        let event = match line {
            // Some agents print empty lines between events.
            Line::Whole(line) if line.trim_ascii().is_empty() => return,
            Line::Whole(line) => match event::read(self.runtime, line) {
                Some(read) => {
                    self.malformed += u64::from(!read.whole);
                    read.event
                }
                None => {
                    self.malformed += 1;
                    return;
                }
            },
            Line::TooLong(head) => {
                self.malformed += 1;
                match event::read_head(self.runtime, head) {
                    Some(event) => event,
                    None => return,
                }
            }
        };
        self.events += 1;
        self.last_event_at = Some(now);
        self.told_stalled = false;
        self.apply(event, now, changes);
        self.show(now, changes);
    }

    fn apply(&mut self, event: Event, now: Timestamp, changes: &mut Vec<Change>) {
        match event {
            Event::Other => {}
            Event::RunStarted | Event::TurnStarted => {
                self.begin();
                self.tools.clear();
                self.questions.clear();
            }
            Event::TextBegins => self.text.begin(),
            Event::Text(piece) => {
                self.begin();
                self.text.push(&piece);
            }
            Event::Answered { text, usage, stop } => {
                if !text.is_empty() {
                    self.text.replace(&text);
                    changes.push(Change::Said(text));
                }
                self.used(usage, changes);
                self.stop = stop.or(self.stop.take());
                self.questions.clear();
            }
            Event::TurnEnded(stop) => {
                self.turns += 1;
                self.stop = stop.or(self.stop.take());
                self.questions.clear();
            }
            Event::ToolStarted {
                id,
                name,
                arguments,
            } => {
                self.begin();
                let tool = short(&name);
                if let Some(arguments) = arguments {
                    let tool = tool.clone();
                    changes.push(Change::Called { tool, arguments });
                }
                // Announced twice by some.
                if id.len() <= LONGEST_ID && !self.tools.iter().any(|(known, _)| *known == id) {
                    push(&mut self.tools, (id, tool));
                }
            }
            Event::ToolEnded { id, result: text } => {
                // One that was not seen to begin is none of this work's.
                if let Some(at) = self.tools.iter().position(|(known, _)| *known == id) {
                    let (_, tool) = self.tools.remove(at);
                    changes.push(Change::Returned { tool, text });
                }
            }
            Event::Used(usage) => self.used(usage, changes),
            Event::Trouble(why) => self.stop = Some(Stop::Failed(why)),
            Event::Retrying(why) => {
                // Until it begins again, or gives up.
                self.run = Run::Ending { since: None };
                self.reason = Some(format!("tries again: {}", short(&why)));
                self.stop = Some(Stop::Outage(why));
            }
            Event::GaveUp(why) => {
                // An agent that tries again by itself does so for what may pass.
                self.stop = Some(Stop::Outage(why));
                match self.run {
                    Run::None => {}
                    Run::Going => self.run = Run::Ending { since: Some(now) },
                    Run::Ending { .. } => self.settle(changes),
                }
            }
            Event::Compacting => {
                self.compacting = true;
                if let Run::Ending { since } = &mut self.run {
                    *since = None;
                }
            }
            Event::Compacted { usage, retries } => {
                self.compacting = false;
                self.used(usage, changes);
                if retries {
                    self.begin();
                } else if let Run::Ending { since } = &mut self.run {
                    *since = Some(now);
                }
            }
            Event::CompactedAsTold => changes.push(Change::Compacted),
            Event::RunEnded { stop, next } => {
                self.stop = stop.or(self.stop.take());
                self.tools.clear();
                self.questions.clear();
                let failed = matches!(self.stop, Some(Stop::Failed(_) | Stop::Outage(_)));
                match next {
                    Next::Retry => self.run = Run::Ending { since: None },
                    // The oldest pi tries again without a word of warning.
                    Next::Nothing if failed && self.runtime == Runtime::Pi => {
                        self.run = Run::Ending { since: Some(now) };
                    }
                    Next::Nothing => self.settle(changes),
                    Next::Unsure => self.run = Run::Ending { since: Some(now) },
                }
            }
            Event::Settled { aborted } => {
                if aborted {
                    self.stop = Some(Stop::Aborted);
                }
                if !matches!(self.run, Run::None) {
                    self.settle(changes);
                }
            }
            Event::Asked {
                id,
                question,
                choices,
                timeout,
            } => {
                if id.len() > LONGEST_ID {
                    // It could not be answered.
                    return;
                }
                let text = short(&question);
                let asked = Question {
                    id: id.clone(),
                    text: text.clone(),
                    choices: whole_or_none(choices),
                    asked: now,
                    patience: timeout.map(Duration::from_millis),
                };
                push(&mut self.questions, asked);
                changes.push(Change::Asked { id, question: text });
            }
            Event::Unblocked { id } => self.questions.retain(|asked| asked.id != id),
            Event::Refused { id, why } => {
                let why = short(&why);
                if matches!(self.run, Run::None) {
                    self.rest = PaneState::Error;
                    self.reason = Some(why.clone());
                }
                let id = id.filter(|id| id.len() <= LONGEST_ID);
                changes.push(Change::Refused { id, why });
            }
            Event::Handled => {
                if matches!(self.run, Run::None) {
                    self.stop = None;
                    self.settle(changes);
                }
            }
        }
    }

    /// There is work, whatever was before.
    fn begin(&mut self) {
        if !matches!(self.run, Run::Going) {
            self.run = Run::Going;
            self.stop = None;
            self.reason = None;
        }
    }

    /// The work is over for good.
    fn settle(&mut self, changes: &mut Vec<Change>) {
        self.run = Run::None;
        self.tools.clear();
        self.reason = None;
        let (why, may_pass) = match self.stop.take() {
            None | Some(Stop::Well) => {
                self.rest = PaneState::Done;
                changes.push(Change::Finished);
                return;
            }
            Some(Stop::Aborted) => {
                self.rest = PaneState::Idle;
                changes.push(Change::Aborted);
                return;
            }
            // Half an answer must not pass for a whole one.
            Some(Stop::CutOff) => {
                let why = "the model's answer was cut off at the longest it may give";
                (why.to_owned(), false)
            }
            Some(Stop::Failed(why)) => (short(&why), false),
            Some(Stop::Outage(why)) => (short(&why), true),
        };
        self.rest = PaneState::Error;
        self.reason = Some(why.clone());
        changes.push(Change::Failed { why, may_pass });
    }

    fn used(&mut self, usage: Usage, changes: &mut Vec<Change>) {
        if usage != Usage::default() {
            self.usage += usage;
            changes.push(Change::Used(usage));
        }
    }

    /// Brings the state that is shown in step with what is known.
    fn show(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        let to = if !self.questions.is_empty() {
            PaneState::Blocked
        } else if self.compacting || !matches!(self.run, Run::None) {
            PaneState::Working
        } else {
            self.rest
        };
        if to != self.state {
            let from = std::mem::replace(&mut self.state, to);
            self.since = now;
            changes.push(Change::State { from, to });
        }
    }
}

/// Forgets the oldest where there are too many.
fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() >= MOST {
        list.remove(0);
    }
    list.push(item);
}

/// A question's choices, if they are few and short enough to be kept. Half of them would pass for
/// all; where there are none, any of them can still be typed.
fn whole_or_none(choices: Vec<String>) -> Vec<String> {
    let bytes: usize = choices.iter().map(String::len).sum();
    if choices.len() <= MOST && bytes <= LONGEST_CHOICES {
        choices
    } else {
        Vec::new()
    }
}

/// Whether so much time has passed. A clock that was set back makes it longer.
fn has_passed(from: Timestamp, long: Duration, now: Timestamp) -> bool {
    SignedDuration::try_from(long).is_ok_and(|long| now.duration_since(from) >= long)
}

#[cfg(test)]
mod tests;
