//! What was begun and what was finished, line by line, on disk before it counts.
//!
//! Versioned JSON lines. A power cut can tear only the last line, and a torn line is as if it had never been begun: its
//! step is looked at again, which every step allows.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failpoint;
use crate::host::{Host, HostError};

/// The version that this program writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// Only root may read: the marks of seeds are hashes over text with secrets.
const MODE: u32 = 0o600;

/// Beyond this the old lines are dropped: a host with a bad seed adds some at every boot.
const LIMIT: usize = 512 * 1024;

/// The two halves of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before networking and sshd.
    Early,
    /// After networking.
    Late,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Early => "early",
            Self::Late => "late",
        })
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "detail", rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done in this run.
    Done(String),
    /// It was so before.
    Already(String),
    /// The seed does not ask for it.
    NotWanted(String),
    /// It failed; the text says why and what to do.
    Failed(String),
    /// It was not tried, because a step that it needs failed.
    Skipped(String),
}

impl Outcome {
    /// Whether a step that needs this one may go on.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Already(_) | Self::NotWanted(_))
    }

    /// One word for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Already(_) => "already so",
            Self::NotWanted(_) => "not asked for",
            Self::Failed(_) => "FAILED",
            Self::Skipped(_) => "skipped",
        }
    }

    /// The words that go with it.
    pub fn detail(&self) -> &str {
        match self {
            Self::Done(text)
            | Self::Already(text)
            | Self::NotWanted(text)
            | Self::Failed(text)
            | Self::Skipped(text) => text,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Every step is done.
    Complete,
    /// The seed was good and something else failed; the next boot tries again.
    Incomplete,
    /// There is no seed, or a bad one: nothing was provisioned.
    Refused,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The first line of the file.
    Journal {
        /// Version of the format.
        version: u32,
    },
    /// A run begins.
    RunStart {
        /// Which half.
        phase: Phase,
        /// The boot it belongs to.
        boot: String,
        /// Version of the agent.
        agent: String,
        /// Mark of the seed, when there is one.
        seed: Option<String>,
    },
    /// A step is about to change something.
    StepStart {
        /// Its name.
        step: String,
    },
    /// A step ended.
    StepEnd {
        /// Its name.
        step: String,
        /// How.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// A run ended.
    RunEnd {
        /// Which half.
        phase: Phase,
        /// Mark of the seed, when there is one.
        seed: Option<String>,
        /// How.
        ending: Ending,
    },
}

#[derive(Serialize, Deserialize)]
struct Line {
    at: Timestamp,
    #[serde(flatten)]
    event: Event,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A newer agent wrote it; what it means is not ours to guess.
    #[error(
        "{path} was written by a newer clawdie-firstboot (format {found}, this one knows {VERSION}). Install that \
         version again; nothing was changed"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        found: u32,
    },
    /// It could not be read or written.
    #[error("the journal: {0}")]
    Host(#[from] HostError),
}

/// One run as the journal tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Which half.
    pub phase: Phase,
    /// When it began.
    pub started: Timestamp,
    /// The boot it belongs to.
    pub boot: String,
    /// Version of the agent.
    pub agent: String,
    /// Mark of the seed. Not shown: a hash over secrets.
    #[serde(skip)]
    pub seed: Option<String>,
    /// Ended steps in their order.
    pub steps: Vec<(String, Outcome)>,
    /// The step that was begun last and never ended.
    pub cut_in: Option<String>,
    /// How it ended; `None` when the power went or it is still running.
    pub ending: Option<Ending>,
}

/// What a journal holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Runs, oldest first.
    pub runs: Vec<Run>,
    /// Lines that are no journal lines, the torn last one left out.
    pub damaged: usize,
    /// Whether the last line was torn by a cut.
    pub torn: bool,
}

impl History {
    /// The last run of a phase.
    pub fn last(&self, phase: Phase) -> Option<&Run> {
        self.runs.iter().rev().find(|run| run.phase == phase)
    }

    /// Whether the last run of a phase did everything for the seed with this mark.
    pub fn is_complete(&self, phase: Phase, seed: &str) -> bool {
        self.last(phase).is_some_and(|run| {
            run.seed.as_deref() == Some(seed) && run.ending == Some(Ending::Complete)
        })
    }

    /// Whether some seed has once been applied in full.
    pub fn was_set_up(&self) -> bool {
        let complete = |phase| {
            self.runs
                .iter()
                .any(|run| run.phase == phase && run.ending == Some(Ending::Complete))
        };
        complete(Phase::Early) && complete(Phase::Late)
    }

    /// Reads the text of a journal.
    ///
    /// # Errors
    /// Only a newer version is an error; it comes back as its number.
    pub fn parse(text: &[u8]) -> Result<Self, u32> {
        let mut history = Self::default();
        let mut lines = text.split_inclusive(|byte| *byte == b'\n').peekable();
        while let Some(bytes) = lines.next() {
            let is_torn = lines.peek().is_none() && !bytes.ends_with(b"\n");
            if let Some(version) = header_version(bytes)
                && version > VERSION
            {
                return Err(version);
            }
            match serde_json::from_slice::<Line>(bytes) {
                Ok(line) if !is_torn => history.take(line),
                _ if is_torn => history.torn = true,
                _ => history.damaged += 1,
            }
        }
        Ok(history)
    }

    fn take(&mut self, Line { at, event }: Line) {
        match event {
            Event::Journal { .. } => {}
            Event::RunStart {
                phase,
                boot,
                agent,
                seed,
            } => self.runs.push(Run {
                phase,
                started: at,
                boot,
                agent,
                seed,
                steps: Vec::new(),
                cut_in: None,
                ending: None,
            }),
            Event::StepStart { step } => {
                if let Some(run) = self.runs.last_mut() {
                    run.cut_in = Some(step);
                }
            }
            Event::StepEnd { step, outcome } => {
                if let Some(run) = self.runs.last_mut() {
                    run.cut_in = None;
                    run.steps.push((step, outcome));
                }
            }
            // The run that it names, or none: where damage swallowed a run's start, its end must not count for another.
            Event::RunEnd {
                phase,
                seed,
                ending,
            } => {
                if let Some(run) = self.runs.last_mut()
                    && (run.phase, &run.seed) == (phase, &seed)
                {
                    run.ending = Some(ending);
                }
            }
        }
    }
}

/// The version in a header line, read apart from the rest so that a newer format is recognised whatever else it holds.
fn header_version(line: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Header {
        event: String,
        version: u32,
    }
    let header = serde_json::from_slice::<Header>(line).ok()?;
    (header.event == "journal").then_some(header.version)
}

/// The journal, open for writing.
pub struct Journal<'a> {
    host: &'a dyn Host,
    /// What it held when it was opened.
    pub history: History,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// Takes no lines.
    Closed,
    /// Read, and nothing written yet.
    Opened,
    /// Ready for whole lines.
    Begun,
}

impl<'a> Journal<'a> {
    /// Reads the history without changing anything.
    ///
    /// # Errors
    /// [`JournalError::Newer`], or the file cannot be read.
    pub fn read(host: &dyn Host) -> Result<History, JournalError> {
        let path = host.paths().journal;
        let text = host.read(Path::new(path))?.unwrap_or_default();
        History::parse(&text).map_err(|found| JournalError::Newer {
            path: path.into(),
            found,
        })
    }

    /// Reads the history and gets ready to add to it. Nothing is written before the first event.
    ///
    /// # Errors
    /// As [`Journal::read`].
    pub fn open(host: &'a dyn Host) -> Result<Self, JournalError> {
        Ok(Self {
            host,
            history: Self::read(host)?,
            state: State::Opened,
        })
    }

    /// A journal whose past is unknown and that takes no lines: a newer agent's is not ours to touch.
    pub fn unusable(host: &'a dyn Host) -> Self {
        Self {
            host,
            history: History::default(),
            state: State::Closed,
        }
    }

    /// Adds an event. With `sync` it is on disk when this returns.
    ///
    /// # Errors
    /// The file cannot be written; what was to be done can go on without, and the next boot repeats it.
    pub fn add(&mut self, event: Event, sync: bool) -> Result<(), HostError> {
        let path = Path::new(self.host.paths().journal);
        match self.state {
            State::Closed => return Ok(()),
            State::Opened => self.begin(path)?,
            State::Begun => {}
        }
        self.state = State::Begun;
        let name = point(&event);
        self.host.append(path, &self.line(event)?, MODE, sync)?;
        failpoint::reached(&name);
        Ok(())
    }

    /// Makes the file ready to take whole lines: a header in a new one, a torn line and the oldest part of a
    /// long one dropped.
    fn begin(&mut self, path: &Path) -> Result<(), HostError> {
        let text = self.host.read(path)?.unwrap_or_default();
        let header = self.line(Event::Journal { version: VERSION })?;
        if text.is_empty() {
            self.host.write(path, &header, MODE)?;
        } else if text.len() > LIMIT {
            let newest = &text[text.len() - LIMIT / 4..];
            let whole = newest
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(newest.len(), |at| at + 1);
            let mut kept = header;
            kept.extend_from_slice(&newest[whole..]);
            if !kept.ends_with(b"\n") {
                kept.push(b'\n');
            }
            self.host.write(path, &kept, MODE)?;
        } else if !text.ends_with(b"\n") {
            let whole = text
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            let kept = if whole == 0 { &header } else { &text[..whole] };
            self.host.write(path, kept, MODE)?;
        }
        Ok(())
    }

    fn line(&self, event: Event) -> Result<Vec<u8>, HostError> {
        let line = Line {
            at: self.host.now(),
            event,
        };
        let mut text = serde_json::to_vec(&line).map_err(|error| HostError::Unexpected {
            what: "a journal line".into(),
            detail: error.to_string(),
        })?;
        text.push(b'\n');
        Ok(text)
    }
}

/// The name of the point right after an event, for failpoints: `early:run-start`, `host-name:start`, `host-name:end`.
fn point(event: &Event) -> String {
    match event {
        Event::Journal { .. } => "journal".into(),
        Event::RunStart { phase, .. } => format!("{phase}:run-start"),
        Event::StepStart { step } => format!("{step}:start"),
        Event::StepEnd { step, .. } => format!("{step}:end"),
        Event::RunEnd { phase, .. } => format!("{phase}:run-end"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::recording::Recording;

    /// Written by version 0.1.0; must be readable for ever.
    const V1: &str = include_str!("../tests/journal/v1.jsonl");

    #[test]
    fn version_1_is_read_to_the_last_detail() {
        let history = History::parse(V1.as_bytes()).expect("version 1");
        assert_eq!(
            (history.damaged, history.torn, history.runs.len()),
            (0, false, 3)
        );
        let early = history.last(Phase::Early).expect("an early run");
        assert_eq!(early.seed.as_deref(), Some("sha256:00ff"));
        assert_eq!(early.ending, Some(Ending::Incomplete));
        let outcomes: Vec<(&str, &str)> = early
            .steps
            .iter()
            .map(|(name, outcome)| (name.as_str(), outcome.word()))
            .collect();
        assert_eq!(
            outcomes,
            [
                ("root-lock", "already so"),
                ("host-name", "done"),
                ("operator-account", "FAILED"),
                ("ssh-keys", "skipped"),
                ("password", "not asked for"),
            ]
        );
        let late = history.last(Phase::Late).expect("a late run");
        assert_eq!(
            (late.cut_in.as_deref(), late.ending),
            (Some("daemon"), None)
        );
        assert!(!history.is_complete(Phase::Early, "sha256:00ff"));
        assert!(!history.was_set_up());
    }

    #[test]
    fn what_is_written_today_is_version_1() {
        let mut written = String::new();
        for line in V1.lines() {
            let line: Line = serde_json::from_str(line).expect("a line");
            written.push_str(&serde_json::to_string(&line).expect("serialised"));
            written.push('\n');
        }
        assert_eq!(written, V1);
    }

    #[test]
    fn a_torn_last_line_counts_as_not_begun_wherever_it_is_torn() {
        let whole = History::parse(V1.as_bytes()).expect("version 1");
        let start_of_last = V1.trim_end().rfind('\n').expect("lines") + 1;
        let before = History::parse(&V1.as_bytes()[..start_of_last]).expect("version 1");
        for end in start_of_last + 1..V1.len() {
            let torn = History::parse(&V1.as_bytes()[..end]).expect("version 1");
            assert_eq!(
                torn,
                History {
                    torn: true,
                    ..before.clone()
                },
                "torn at {end}"
            );
        }
        assert_ne!(whole, before);
    }

    #[test]
    fn damage_in_the_middle_costs_that_line_only() {
        let damaged = V1.replacen("{\"at\":\"2026-11-21T15:00:02Z\"", "\0\0\0\u{fffd}", 1);
        assert_ne!(damaged, V1);
        let history = History::parse(damaged.as_bytes()).expect("version 1");
        assert_eq!((history.damaged, history.runs.len()), (1, 2));
        // The lost line began a run: what ended it may not end the one before.
        assert_eq!(history.runs[0].ending, Some(Ending::Refused));
    }

    #[test]
    fn a_newer_version_is_refused_whatever_else_it_holds() {
        let newer = "{\"event\":\"journal\",\"version\":7,\"shape\":[1]}\n{\"who\":\"knows\"}\n";
        assert_eq!(History::parse(newer.as_bytes()), Err(7));
    }

    #[test]
    fn a_long_journal_keeps_its_newest_runs() {
        let host = Recording::fresh(None);
        let path = Path::new(host.paths().journal);
        let mut long = String::from(V1.lines().next().expect("a header")) + "\n";
        while long.len() <= LIMIT {
            long.extend(V1.lines().skip(1).flat_map(|line| [line, "\n"]));
        }
        host.write(path, long.as_bytes(), MODE).expect("written");
        let mut journal = Journal::open(&host).expect("opened");
        journal
            .add(
                Event::StepEnd {
                    step: "daemon".into(),
                    outcome: Outcome::Done("up".into()),
                },
                true,
            )
            .expect("added");
        let text = host.journal();
        assert!(text.len() < LIMIT / 3);
        let history = History::parse(&text).expect("version 1");
        assert_eq!(history.damaged, 0);
        let late = history.last(Phase::Late).expect("a late run");
        assert_eq!(
            late.steps.last(),
            Some(&("daemon".into(), Outcome::Done("up".into())))
        );
    }
}
