//! A session in use: the file, and what of it matters now in memory.

use std::path::Path;

use colibri_protocol::{
    Compacted, CostMode, Escalation, SessionBrief, SessionSnapshot, Thresholds, Trigger, Usage,
};
use jiff::Timestamp;
use uuid::Uuid;

use crate::compact::{self, Need, Size};
use crate::cut::cut;
use crate::entry::{Body, Entry, Header, SCHEMA};
use crate::escalate;
use crate::file::{Finding, SessionError, SessionFile, digest};
use crate::limits::Limits;
use crate::prompt::{self, OverBudget, Piece, Prompt};

/// A summary takes at most this part of a mode's budget.
const SUMMARY_PART: u64 = 10;

/// What a session begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Its id.
    pub session: Uuid,
    /// The agent's name.
    pub agent: String,
    /// Its cost mode.
    pub cost_mode: CostMode,
    /// The immutable prefix of its prompts.
    pub prefix: String,
}

/// What [`Session::keep_within`] did; written in the session already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Older turns were summarised.
    Compacted(Compacted),
    /// The session has a dearer mode now.
    Escalated(Escalation),
    /// It is over the limits of `max`; prompts will be trimmed.
    AtCeiling(Need),
}

/// A session that is open for writing; nobody else can have it open meanwhile.
///
/// What was answered, asked, summarised or decided is on disk when the method
/// returns. Calls and results of tools are on disk with the next of those, or
/// after [`Session::sync`]: what a crash takes is at most the work of the answer
/// that was not there yet.
#[derive(Debug)]
pub struct Session {
    file: SessionFile,
    header: Header,
    live: Live,
    findings: Vec<Finding>,
}

/// What the entries add up to.
#[derive(Debug)]
struct Live {
    mode: CostMode,
    /// The mode that somebody set last; `mode` is dearer once the session escalated.
    wanted: CostMode,
    /// The last summary, if any, and what came after the lines it stands for.
    log: Vec<Entry>,
    /// The pieces of a prompt, one for each of `log`.
    rendered: Vec<String>,
    updated_at: Timestamp,
    compactions: u32,
    escalations: Vec<Escalation>,
    usage: Usage,
}

impl Live {
    fn new(header: &Header) -> Self {
        Self {
            mode: header.cost_mode,
            wanted: header.cost_mode,
            log: Vec::new(),
            rendered: Vec::new(),
            updated_at: header.created_at,
            compactions: 0,
            escalations: Vec::new(),
            usage: Usage::default(),
        }
    }

    /// Takes an entry in, from the file or newly written: one way for both, so a
    /// session that is opened again is the one that was closed.
    fn take(&mut self, entry: Entry) {
        self.updated_at = entry.at;
        match &entry.body {
            Body::Escalated { from, to, trigger } => {
                self.mode = *to;
                self.escalations.push(Escalation {
                    at: entry.at,
                    from: *from,
                    to: *to,
                    trigger: *trigger,
                });
            }
            Body::ModeSet { to, .. } => (self.mode, self.wanted) = (*to, *to),
            Body::Summary { through, .. } => {
                self.compactions = self.compactions.saturating_add(1);
                let through = *through;
                // Those before it, and the summary that it replaces.
                let kept = |entry: &Entry| {
                    entry.line > through && !matches!(entry.body, Body::Summary { .. })
                };
                let keep: Vec<bool> = self.log.iter().map(kept).collect();
                let mut flags = keep.iter();
                self.rendered.retain(|_| flags.next() == Some(&true));
                self.log.retain(kept);
                self.rendered.insert(0, entry.body.render());
                self.log.insert(0, entry);
                return;
            }
            Body::Assistant { usage, .. } => self.usage += usage.unwrap_or_default(),
            Body::User { .. } | Body::ToolCall { .. } | Body::ToolResult { .. } => {}
        }
        if entry.body.is_said() {
            self.rendered.push(entry.body.render());
            self.log.push(entry);
        }
    }

    fn log_bytes(&self) -> u64 {
        self.rendered.iter().map(|text| text.len() as u64).sum()
    }

    fn turns(&self) -> u32 {
        let turns = self.log.iter().filter(|entry| entry.body.begins_turn());
        u32::try_from(turns.count()).unwrap_or(u32::MAX)
    }
}

impl Session {
    /// Begins a session in a new file, mode 0600.
    ///
    /// # Errors
    /// When the file is there already, or the system refuses.
    pub fn create(path: &Path, new: NewSession) -> Result<Self, SessionError> {
        let header = Header {
            schema: SCHEMA.to_owned(),
            session: new.session,
            agent: new.agent,
            created_at: Timestamp::now(),
            cost_mode: new.cost_mode,
            prefix_sha256: digest(&new.prefix),
            prefix: new.prefix,
        };
        Ok(Self {
            file: SessionFile::create(path, &header)?,
            live: Live::new(&header),
            header,
            findings: Vec::new(),
        })
    }

    /// Opens a session and heals what a crash has left of its last line. What was
    /// found wrong is in [`findings`](Self::findings): read them, and tell.
    ///
    /// # Errors
    /// [`SessionError`] when it is none, is in use, or its prefix was changed.
    pub fn open(path: &Path) -> Result<Self, SessionError> {
        // The header is known only after the entries were read.
        let mut entries = Vec::new();
        let (file, header, findings) = SessionFile::open(path, |entry| {
            if let Body::Summary { through, .. } = entry.body {
                // What it stands for need not wait in memory; usage and events must.
                entries.retain(|old: &Entry| {
                    old.line > through
                        || !old.body.is_said()
                        || matches!(
                            old.body,
                            Body::Assistant { usage: Some(_), .. } | Body::Summary { .. }
                        )
                });
            }
            entries.push(entry);
        })?;
        let mut live = Live::new(&header);
        for entry in entries {
            live.take(entry);
        }
        Ok(Self {
            file,
            header,
            live,
            findings,
        })
    }

    /// What was wrong with the file when it was opened.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The immutable prefix.
    pub fn prefix(&self) -> &str {
        &self.header.prefix
    }

    /// The session's id.
    pub fn id(&self) -> Uuid {
        self.header.session
    }

    /// The name of the agent whose it is.
    pub fn agent(&self) -> &str {
        &self.header.agent
    }

    /// The cost mode it has now.
    pub fn mode(&self) -> CostMode {
        self.live.mode
    }

    /// The cost mode that somebody set last; a session that has escalated since has a dearer one.
    pub fn wanted(&self) -> CostMode {
        self.live.wanted
    }

    /// The log as it stands: the last summary, and what came after it.
    pub fn log(&self) -> &[Entry] {
        &self.live.log
    }

    /// Somebody asks; a turn begins.
    ///
    /// # Errors
    /// When it cannot be written; then the session is as it was.
    pub fn ask(&mut self, text: impl Into<String>) -> Result<(), SessionError> {
        self.append(Body::User { text: text.into() })
    }

    /// The agent answers.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn answer(
        &mut self,
        text: impl Into<String>,
        usage: Option<Usage>,
    ) -> Result<(), SessionError> {
        self.append(Body::Assistant {
            text: text.into(),
            usage,
        })
    }

    /// The agent uses a tool.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn call_tool(
        &mut self,
        name: impl Into<String>,
        arguments: impl Into<String>,
    ) -> Result<(), SessionError> {
        self.append(Body::ToolCall {
            name: name.into(),
            arguments: arguments.into(),
        })
    }

    /// The tool answers; what is over the mode's limit is left out, and that is noted.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn tool_result(
        &mut self,
        name: impl Into<String>,
        text: &str,
        limits: &Limits,
    ) -> Result<(), SessionError> {
        let (text, cut) = cut(text, limits.of(self.mode()).tool_result_bytes);
        self.append(Body::ToolResult {
            name: name.into(),
            text: text.into_owned(),
            cut,
        })
    }

    /// Somebody sets the mode, to a dearer or a cheaper one.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn set_mode(&mut self, to: CostMode) -> Result<(), SessionError> {
        let from = self.mode();
        if from == to && self.wanted() == to {
            return Ok(());
        }
        self.append(Body::ModeSet { from, to })
    }

    /// A prompt within the budget of the mode. Scratch is trimmed first, then the
    /// oldest of the log, and never the prefix.
    ///
    /// # Errors
    /// [`OverBudget`] when the prefix alone does not fit.
    pub fn prompt(&self, scratch: &[&str], limits: &Limits) -> Result<Prompt, OverBudget> {
        let pieces: Vec<_> = self
            .live
            .log
            .iter()
            .zip(&self.live.rendered)
            .map(|(entry, text)| Piece {
                text,
                needs_previous: matches!(entry.body, Body::ToolResult { .. }),
            })
            .collect();
        let budget = limits.of(self.mode()).session_bytes;
        prompt::render(self.prefix(), &pieces, scratch, budget)
    }

    /// Compacts and escalates until the session is within its limits, or nothing
    /// more helps; call it after each turn. Says what it did.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_within(&mut self, limits: &Limits) -> Result<Vec<Action>, SessionError> {
        let mut actions = Vec::new();
        loop {
            let of_mode = *limits.of(self.mode());
            let Some(mut need) = compact::need(self.size(), &of_mode) else {
                return Ok(actions);
            };
            let compacted = self.compact_for(&of_mode, None)?;
            if compacted.entries > 0 {
                actions.push(Action::Compacted(compacted));
                match compact::need(self.size(), &of_mode) {
                    None => return Ok(actions),
                    Some(still) => need = still,
                }
            }
            let trigger = if compacted.entries > 0 {
                Trigger::CompactionInsufficient
            } else {
                Trigger::BudgetExceeded
            };
            let from = self.mode();
            let Some(to) = escalate::next(from) else {
                actions.push(Action::AtCeiling(need));
                return Ok(actions);
            };
            self.append(Body::Escalated { from, to, trigger })?;
            actions.push(Action::Escalated(Escalation {
                at: self.live.updated_at,
                from,
                to,
                trigger,
            }));
        }
    }

    /// Summarises all but the newest turns, needed or not, in the agent's words or
    /// in plain ones.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn compact(
        &mut self,
        limits: &Limits,
        summary: Option<String>,
    ) -> Result<Compacted, SessionError> {
        let of_mode = *limits.of(self.mode());
        self.compact_for(&of_mode, summary)
    }

    fn compact_for(
        &mut self,
        limits: &Thresholds,
        summary: Option<String>,
    ) -> Result<Compacted, SessionError> {
        let before = self.live.log_bytes();
        let mut done = Compacted {
            entries: 0,
            before,
            after: before,
        };
        let prefix = self.header.prefix.len() as u64;
        if let Some(plan) = compact::plan(&self.live.log, prefix, limits) {
            let old = &self.live.log[..plan.entries];
            let most = usize::try_from(limits.session_bytes / SUMMARY_PART).unwrap_or(usize::MAX);
            let text = match summary {
                Some(text) => cut(&text, Some(limits.session_bytes / SUMMARY_PART))
                    .0
                    .into_owned(),
                None => compact::summarise(old, most),
            };
            self.append(Body::Summary {
                text,
                through: plan.through,
            })?;
            done.entries = plan.entries as u64;
            done.after = self.live.log_bytes();
        }
        Ok(done)
    }

    /// Prefix, log and turns, as [`compact::need`] weighs them.
    pub fn size(&self) -> Size {
        Size {
            prefix: self.header.prefix.len() as u64,
            log: self.live.log_bytes(),
            turns: self.live.turns(),
        }
    }

    /// Puts on disk what is not there yet.
    ///
    /// # Errors
    /// What the system said.
    pub fn sync(&self) -> Result<(), SessionError> {
        self.file.sync()
    }

    /// The session as clients see it.
    pub fn snapshot(&self, limits: &Limits) -> SessionSnapshot {
        let size = self.size();
        SessionSnapshot {
            session: self.header.session,
            agent: self.header.agent.clone(),
            created_at: self.header.created_at,
            updated_at: self.live.updated_at,
            cost_mode: self.mode(),
            limits: *limits.of(self.mode()),
            prefix_bytes: size.prefix,
            prefix_sha256: self.header.prefix_sha256.clone(),
            log_bytes: size.log,
            log_entries: self.live.log.len() as u64,
            turns: size.turns,
            compactions: self.live.compactions,
            escalations: self.live.escalations.clone(),
            usage: self.live.usage,
            file_bytes: self.file.length(),
            findings: self.findings.iter().map(Finding::to_string).collect(),
        }
    }

    /// The session in short.
    pub fn brief(&self) -> SessionBrief {
        SessionBrief {
            session: self.id(),
            cost_mode: self.mode(),
            turns: self.live.turns(),
            log_bytes: self.live.log_bytes(),
            compactions: self.live.compactions,
            escalations: u32::try_from(self.live.escalations.len()).unwrap_or(u32::MAX),
        }
    }

    fn append(&mut self, body: Body) -> Result<(), SessionError> {
        let entry = Entry {
            line: self.file.next_line(),
            at: Timestamp::now(),
            body,
        };
        self.file.append(&entry)?;
        self.live.take(entry);
        Ok(())
    }
}
