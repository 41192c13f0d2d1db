//! The steps of first boot and the engine that takes them one after the other.
//!
//! A step says what should hold; the engine looks whether it is so already, makes it so, looks again, and writes each
//! move to the journal first. A failing step stops those that need it, and no others.

mod account;
mod adoption;
mod blank_seed;
pub(crate) mod clock;
mod daemon;
mod dashboard_operator;
mod facts;
mod grow_root;
mod keyboard;
mod locale;
mod name;
mod network;
mod packages;
mod password;
mod provider_env;
mod root_lock;
mod seed;
mod ssh_host_keys;
mod ssh_keys;
mod sudo;
mod time_zone;
mod validate;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use jiff::Timestamp;

use crate::host::{Host, HostError, Setting};
use crate::intake::Intake;
use crate::journal::{Event, Journal, Outcome, Phase};
use crate::operator::OperatorError;
use crate::profile::ProfileError;
use crate::setup::{Key, Setup};

pub use blank_seed::NAME as EMPTY_SEED;

/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The steps of a phase, in the order in which they are taken.
pub fn steps(phase: Phase) -> Vec<Box<dyn Step>> {
    match phase {
        Phase::Early => vec![
            // These need no seed: whatever the stick holds, root is locked and sshd can start.
            Box::new(root_lock::RootLock),
            Box::new(clock::Clock),
            Box::new(ssh_host_keys::SshHostKeys),
            Box::new(seed::ReadSeed),
            Box::new(validate::Validate),
            Box::new(adoption::Adoption),
            Box::new(name::HostName),
            Box::new(time_zone::TimeZone),
            Box::new(locale::Locale),
            Box::new(keyboard::Keyboard),
            Box::new(network::Network),
            Box::new(account::OperatorAccount),
            Box::new(ssh_keys::SshKeys),
            Box::new(password::Password),
            Box::new(sudo::Sudo),
            Box::new(grow_root::GrowRoot),
        ],
        Phase::Late => vec![
            Box::new(root_lock::RootLock),
            // Late, as only now every device is sure to be there.
            Box::new(facts::StoreFacts),
            Box::new(seed::ReadSeed),
            Box::new(validate::Validate),
            Box::new(adoption::Adoption),
            Box::new(packages::Packages),
            Box::new(provider_env::ProviderEnv),
            Box::new(daemon::StartDaemon),
            Box::new(daemon::DaemonAnswers),
            Box::new(dashboard_operator::DashboardOperator),
            // Last: what failed needs the secrets once more.
            Box::new(blank_seed::BlankSeed),
        ],
    }
}

/// What the steps of one run share.
pub struct Context<'a> {
    /// The machine.
    pub host: &'a dyn Host,
    /// The seed and what was found in it.
    pub intake: &'a Intake,
    /// Root was found open before the first step and locked at once.
    pub root_was_open: bool,
    /// What the clock showed when it was set forward before the first step.
    pub clock_showed: Option<Timestamp>,
    /// Some seed has once been applied in full.
    pub was_set_up: bool,
    /// Every step so far has gone well, those of the early phase included.
    pub all_good: Cell<bool>,
    /// Set when the daemon must read its environment anew.
    pub environment_changed: Cell<bool>,
    /// What the operator should know although nothing failed.
    pub warnings: RefCell<Vec<String>>,
}

impl<'a> Context<'a> {
    /// For one run over one seed.
    pub fn new(host: &'a dyn Host, intake: &'a Intake) -> Self {
        Self {
            host,
            intake,
            root_was_open: false,
            clock_showed: None,
            was_set_up: false,
            all_good: Cell::new(true),
            environment_changed: Cell::new(false),
            warnings: RefCell::new(Vec::new()),
        }
    }

    /// Keeps a warning for the report, once.
    pub fn warn(&self, text: impl Into<String>) {
        let text = text.into();
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&text) {
            tracing::warn!("{text}");
            warnings.push(text);
        }
    }

    /// The validated settings; the steps that ask for them need `adoption`.
    fn setup(&self) -> Result<&'a Setup, StepError> {
        self.intake.setup().ok_or(StepError::NoSetup)
    }

    /// A setting of the system itself, which a host that has its own keeps.
    fn unless_kept(&self, key: Key, setting: Setting) -> Result<Wanted, StepError> {
        if !self
            .intake
            .adoption()
            .is_some_and(|adoption| adoption.keeps(key))
        {
            return Ok(Wanted::Settings(vec![setting]));
        }
        if self.intake.has_line(key) && !self.host.holds(&setting)? {
            // Said as the step's own outcome, which the report of the late phase shows as well.
            return Ok(Wanted::Nothing(format!(
                "this host keeps its own; setup.txt asks for {setting}, which is not used"
            )));
        }
        Ok(Wanted::Nothing("this host keeps its own".into()))
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The machine said no.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The profile data does not fit the settings.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The seed is missing, bad or unreadable; the text says what to do.
    #[error("{0}")]
    Seed(String),
    /// A step wanted settings that were never validated.
    #[error("there are no valid settings")]
    NoSetup,
    /// There is no dashboard operator.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// It is not its turn; the text says what it waits for.
    #[error("{0}")]
    Waits(String),
    /// Everything went well and still it is not so.
    #[error("it was done without an error, but checking afterwards shows that it is not so")]
    NotHeld,
    /// The daemon is silent.
    #[error("colibri-daemon does not answer ({source}). See `{log}`")]
    Silent {
        /// What asking it brought.
        source: HostError,
        /// The command that shows its log.
        log: &'static str,
    },
}

impl StepError {
    /// Whether trying again may help, because time heals it. It never does for a wrong password or a missing tool.
    fn is_transient(&self) -> bool {
        match self {
            Self::Host(error) | Self::Silent { source: error, .. } => error.is_transient(),
            _ => false,
        }
    }
}

/// What a step has to do.
#[derive(Debug)]
pub enum Wanted {
    /// Nothing, and why.
    Nothing(String),
    /// Make these hold.
    Settings(Vec<Setting>),
    /// Something else, in words.
    Work(String),
}

impl Wanted {
    /// A phrase for plans and reports, without secrets.
    pub fn describe(&self) -> String {
        match self {
            Self::Nothing(text) | Self::Work(text) => text.clone(),
            Self::Settings(settings) => settings
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        }
    }

    fn settings(&self) -> &[Setting] {
        match self {
            Self::Settings(settings) => settings,
            _ => &[],
        }
    }
}

/// One step. The defaults serve every step that is a list of [`Setting`]s.
pub trait Step {
    /// Its name in the journal; never changes.
    fn name(&self) -> &'static str;
    /// Its name in reports.
    fn title(&self) -> &'static str;
    /// Names of the steps that must have gone well.
    fn needs(&self) -> &'static [&'static str] {
        &["adoption"]
    }
    /// How often to try while time alone may heal the failure: the pauses double from a quarter of a second.
    fn attempts(&self) -> u32 {
        4
    }
    /// What is to be done, as far as the settings tell.
    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError>;
    /// Whether it is so already. Changes nothing.
    fn check(&self, cx: &Context, wanted: &Wanted) -> Result<bool, StepError> {
        for setting in wanted.settings() {
            if !cx.host.holds(setting)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
    /// Makes it so; safe to repeat after a cut at any point.
    fn act(&self, cx: &Context, wanted: &Wanted) -> Result<(), StepError> {
        for setting in wanted.settings() {
            if !cx.host.holds(setting)? {
                cx.host.apply(setting)?;
            }
        }
        Ok(())
    }
    /// Whether it is so now.
    fn verify(&self, cx: &Context, wanted: &Wanted) -> Result<bool, StepError> {
        self.check(cx, wanted)
    }
    /// The words for the report when it is so; by default what was wanted.
    fn result(&self, _cx: &Context, wanted: &Wanted) -> String {
        wanted.describe()
    }
}

/// A step that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Journal name.
    pub name: String,
    /// How.
    pub outcome: Outcome,
}

/// The title that goes with a journal name; the name itself for a step that this version does not know.
pub fn title(name: &str) -> String {
    [Phase::Early, Phase::Late]
        .into_iter()
        .flat_map(steps)
        .find(|step| step.name() == name)
        .map_or_else(|| name.to_owned(), |step| step.title().to_owned())
}

/// Takes all steps. A journal that cannot be written is a warning: every step can be repeated, and the next boot will.
pub fn take(
    steps: &[Box<dyn Step>],
    cx: &Context,
    journal: &mut Journal,
    mut progress: impl FnMut(&dyn Step, &Outcome),
) -> Vec<Finished> {
    let mut finished: Vec<Finished> = Vec::new();
    for step in steps {
        let stopped_by = step.needs().iter().find(|need| {
            finished
                .iter()
                .any(|done| done.name == **need && !done.outcome.is_good())
        });
        let outcome = match stopped_by {
            Some(need) => Outcome::Skipped(format!("needs `{need}`")),
            None => take_one(step.as_ref(), cx, journal),
        };
        // What changed nothing need not wait for the disk: the next synced line carries it along.
        let sync = matches!(outcome, Outcome::Done(_) | Outcome::Failed(_));
        let end = Event::StepEnd {
            step: step.name().into(),
            outcome: outcome.clone(),
        };
        note(cx, journal, end, sync);
        match &outcome {
            Outcome::Failed(why) => tracing::error!(step = step.name(), "failed: {why}"),
            outcome => tracing::info!(
                step = step.name(),
                "{}: {}",
                outcome.word(),
                outcome.detail()
            ),
        }
        if !outcome.is_good() {
            cx.all_good.set(false);
        }
        progress(step.as_ref(), &outcome);
        finished.push(Finished {
            name: step.name().into(),
            outcome,
        });
    }
    finished
}

fn take_one(step: &dyn Step, cx: &Context, journal: &mut Journal) -> Outcome {
    let wanted = match step.wanted(cx) {
        Ok(Wanted::Nothing(why)) => return Outcome::NotWanted(why),
        Ok(wanted) => wanted,
        Err(StepError::Waits(why)) => return Outcome::Skipped(why),
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    match step.check(cx, &wanted) {
        Ok(true) => return Outcome::Already(step.result(cx, &wanted)),
        Ok(false) => {}
        Err(error) => return Outcome::Failed(error.to_string()),
    }
    note(
        cx,
        journal,
        Event::StepStart {
            step: step.name().into(),
        },
        true,
    );
    let mut pause = Duration::from_millis(250);
    let mut attempt = 1;
    loop {
        match act_and_verify(step, cx, &wanted) {
            Ok(()) => return Outcome::Done(step.result(cx, &wanted)),
            Err(error) if error.is_transient() && attempt < step.attempts() => {
                tracing::debug!(step = step.name(), attempt, %error, "once more");
                cx.host.sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
                attempt += 1;
            }
            Err(error) => return Outcome::Failed(error.to_string()),
        }
    }
}

fn act_and_verify(step: &dyn Step, cx: &Context, wanted: &Wanted) -> Result<(), StepError> {
    step.act(cx, wanted)?;
    crate::failpoint::reached(&format!("{}:acted", step.name()));
    if !step.verify(cx, wanted)? {
        return Err(StepError::NotHeld);
    }
    // The programs that a step runs seldom sync what they write, and the journal must never be ahead of the disk.
    cx.host.settle()?;
    Ok(())
}

/// Adds to the journal, or warns.
pub(crate) fn note(cx: &Context, journal: &mut Journal, event: Event, sync: bool) {
    if let Err(error) = journal.add(event, sync) {
        cx.warn(format!(
            "the journal cannot be written, so the next boot will repeat this run: {error}"
        ));
    }
}
