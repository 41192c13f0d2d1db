//! `clawdie-firstboot status`: what the journal knows, for people and programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::host::Host;
use crate::journal::{Ending, Journal, JournalError, Outcome, Phase, Run};
use crate::run;
use crate::step;

/// Between two looks at the journal.
const PAUSE: Duration = Duration::from_millis(500);

/// The state of first boot on this host. Serialised, it is the stable face for programs (`schema` counts its versions).
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Version of this form.
    pub schema: u32,
    /// `ready`, `incomplete`, `refused`, `interrupted` or `never-run`.
    pub state: State,
    /// The last run of each phase, early first.
    pub runs: Vec<RunStatus>,
    /// Damaged journal lines.
    pub damaged_lines: usize,
}

/// What it comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Both phases did everything.
    Ready,
    /// Some step failed; the next boot tries again.
    Incomplete,
    /// The seed is missing or bad.
    Refused,
    /// A run began and has not ended: it is going on, or the power went.
    Interrupted,
    /// There is no journal.
    NeverRun,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct RunStatus {
    /// Which half.
    pub phase: Phase,
    /// When it began (UTC).
    pub started: jiff::Timestamp,
    /// Version of the agent.
    pub agent: String,
    /// How it ended, if it did.
    pub ending: Option<Ending>,
    /// The step that began and never ended.
    pub unfinished_step: Option<String>,
    /// Steps in their order.
    pub steps: Vec<StepStatus>,
}

/// One step.
#[derive(Debug, Clone, Serialize)]
pub struct StepStatus {
    /// Journal name.
    pub name: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Waits until this boot's run has ended, and says how; `None` when `limit` has passed before.
///
/// # Errors
/// The journal cannot be read, or a newer agent wrote it.
pub fn wait(host: &dyn Host, limit: Duration) -> Result<Option<Ending>, JournalError> {
    let mut waited = Duration::ZERO;
    loop {
        let ending = run::ending_of_this_boot(host)?;
        if ending.is_some() || waited >= limit {
            return Ok(ending);
        }
        host.sleep(PAUSE);
        waited += PAUSE;
    }
}

impl From<&Run> for RunStatus {
    fn from(run: &Run) -> Self {
        Self {
            phase: run.phase,
            started: run.started,
            agent: run.agent.clone(),
            ending: run.ending,
            unfinished_step: run.cut_in.clone(),
            steps: run
                .steps
                .iter()
                .map(|(name, outcome)| StepStatus {
                    name: name.clone(),
                    outcome: outcome.clone(),
                })
                .collect(),
        }
    }
}

impl Status {
    /// Reads it from the journal.
    ///
    /// # Errors
    /// The journal cannot be read, or a newer agent wrote it.
    pub fn read(host: &dyn Host) -> Result<Self, JournalError> {
        let history = Journal::read(host)?;
        let runs: Vec<RunStatus> = [Phase::Early, Phase::Late]
            .into_iter()
            .filter_map(|phase| history.last(phase))
            .map(Into::into)
            .collect();
        let ending = |phase| {
            runs.iter()
                .find(|run: &&RunStatus| run.phase == phase)
                .map(|run| run.ending)
        };
        let state = match (ending(Phase::Early), ending(Phase::Late)) {
            (None, None) => State::NeverRun,
            (Some(None), _) | (_, Some(None) | None) | (None, _) => State::Interrupted,
            (Some(Some(early)), Some(Some(late))) => match (early, late) {
                (Ending::Refused, _) | (_, Ending::Refused) => State::Refused,
                (Ending::Complete, Ending::Complete) => State::Ready,
                _ => State::Incomplete,
            },
        };
        Ok(Self {
            schema: 1,
            state,
            runs,
            damaged_lines: history.damaged,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::from(match self.state {
            State::Ready => "Ready: everything in setup.txt is applied.\n",
            State::Incomplete => {
                "Incomplete: some steps failed, the next start tries them again.\n"
            }
            State::Refused => {
                "Not set up: the seed is missing or has faults; see RESULT.txt on the stick.\n"
            }
            State::Interrupted => "Under way, or cut short: a run has begun and not ended.\n",
            State::NeverRun => "First boot has never run on this host.\n",
        });
        for run in &self.runs {
            let ending = match run.ending {
                Some(Ending::Complete) => "complete",
                Some(Ending::Incomplete) => "incomplete",
                Some(Ending::Refused) => "refused",
                None => "not ended",
            };
            let _ = writeln!(
                text,
                "\n{} phase, {:.0}, version {}: {ending}",
                run.phase, run.started, run.agent
            );
            for StepStatus { name, outcome } in &run.steps {
                let _ = writeln!(
                    text,
                    "  {:<22} {:<14} {}",
                    step::title(name),
                    outcome.word(),
                    outcome.detail()
                );
            }
            if let Some(name) = &run.unfinished_step {
                let _ = writeln!(text, "  {:<22} {:<14}", step::title(name), "not ended");
            }
        }
        text
    }
}
