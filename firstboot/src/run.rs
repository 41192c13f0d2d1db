//! A run of one phase, from looking for the seed to the report.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::{Host, HostError, Setting};
use crate::intake::Intake;
use crate::journal::{Ending, Event, History, Journal, JournalError, Outcome, Phase};
use crate::report::{self, Report};
use crate::step::{self, Context, Finished};
use crate::wizard::place;

/// How long a stick may take to appear at a first boot.
const STICK: Duration = Duration::from_secs(20);

/// How long the late phase waits for the network to give an address, for the report's sake only.
const ADDRESS: Duration = Duration::from_secs(20);

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Result {
    /// The seed is unchanged, or unplugged after it was applied: nothing was changed.
    NothingToDo,
    /// The steps were taken.
    Ended(Ending),
}

/// What the early phase tells the late phase of the same boot, so that an unchanged seed is read once a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Handover {
    boot: String,
    /// Mark of the seed; `None` when it is unplugged or could not be read.
    seed: Option<String>,
    /// Whether the early phase had nothing to do.
    unchanged: bool,
}

impl Handover {
    /// Whether the late phase has nothing to do either.
    fn leaves_nothing(&self, history: &History) -> bool {
        self.unchanged
            && match &self.seed {
                Some(seed) => history.is_complete(Phase::Late, seed),
                None => history.was_set_up(),
            }
    }
}

/// How this boot's run ended; `None` while it is under way or still to come.
///
/// # Errors
/// The journal or the boot's name cannot be read.
pub fn ending_of_this_boot(host: &dyn Host) -> std::result::Result<Option<Ending>, JournalError> {
    let boot = host.boot_id()?;
    let history = Journal::read(host)?;
    if let Some(late) = history.last(Phase::Late).filter(|run| run.boot == boot) {
        return Ok(late.ending);
    }
    let is_done = read_handover(host, &boot).is_some_and(|word| word.leaves_nothing(&history));
    Ok(is_done.then_some(Ending::Complete))
}

/// Runs a phase. Every failure is in the report; nothing here stops a boot.
pub fn run(host: &dyn Host, phase: Phase, agent: &str) -> Result {
    // Before anything that could go wrong: whatever the seed holds, root is locked.
    let root_was_open = !host.holds(&Setting::RootLocked).unwrap_or(false);
    if root_was_open && let Err(error) = host.apply(&Setting::RootLocked) {
        tracing::error!("root could not be locked: {error}");
    }

    let clock_showed = step::clock::mend(host).unwrap_or_else(|error| {
        tracing::error!("the clock could not be set: {error}");
        None
    });

    let boot = host.boot_id().unwrap_or_default();
    let journal = Journal::open(host);
    let handover = read_handover(host, &boot).filter(|_| phase == Phase::Late);
    if let (Ok(journal), Some(handover)) = (&journal, &handover)
        && handover.leaves_nothing(&journal.history)
    {
        return Result::NothingToDo;
    }

    let was_set_up = journal
        .as_ref()
        .is_ok_and(|journal| journal.history.was_set_up());
    let patience = if was_set_up { Duration::ZERO } else { STICK };
    let mut intake = Intake::take_in(host, agent, patience);
    let (mut journal, refused) = match journal {
        Ok(journal) => (journal, None),
        Err(error) => (Journal::unusable(host), Some(error)),
    };
    if let Some(error @ JournalError::Newer { .. }) = &refused {
        intake.block(error.to_string());
    } else {
        let is_complete = |phase| {
            intake
                .mark()
                .is_some_and(|mark| journal.history.is_complete(phase, mark))
                && !intake.is_restored()
        };
        let nothing_to_do = match phase {
            Phase::Early => is_complete(Phase::Early),
            // When the early phase did something in this boot, the last report is out of date. And by hand the late
            // phase may run alone.
            Phase::Late => {
                handover.is_none() && is_complete(Phase::Early) && is_complete(Phase::Late)
            }
        };
        if nothing_to_do || (intake.is_absent() && was_set_up) {
            let seed = intake.mark().map(str::to_owned);
            write_handover(
                host,
                phase,
                &Handover {
                    boot,
                    seed,
                    unchanged: true,
                },
            );
            return Result::NothingToDo;
        }
    }
    intake.judge(host);

    let is_early_done = intake
        .mark()
        .is_some_and(|mark| journal.history.is_complete(Phase::Early, mark));
    let cx = Context {
        root_was_open,
        clock_showed,
        was_set_up,
        all_good: Cell::new(phase == Phase::Early || is_early_done),
        ..Context::new(host, &intake)
    };
    if let Some(error @ JournalError::Host(_)) = &refused {
        cx.warn(format!("{error}; the steps are all checked again"));
    }
    for note in &intake.notes {
        cx.warn(note.clone());
    }
    if journal.history.damaged > 0 {
        cx.warn(format!(
            "{} line(s) of the journal are damaged; what they said is checked anew",
            journal.history.damaged
        ));
    }
    let seed = intake.mark().map(str::to_owned);
    let start = Event::RunStart {
        phase,
        boot: boot.clone(),
        agent: agent.into(),
        seed: seed.clone(),
    };
    step::note(&cx, &mut journal, start, true);
    let finished = step::take(&step::steps(phase), &cx, &mut journal, |step, outcome| {
        if !matches!(outcome, Outcome::NotWanted(_)) {
            host.console(&format!("clawdie: {}: {}\n", step.title(), outcome.word()));
        }
    });
    let ending = ending(&intake, &finished);
    if phase == Phase::Late && ending == Ending::Complete {
        remember(&cx, &journal, seed.as_deref());
    }
    let earlier = earlier_steps(&journal, phase, seed.as_deref(), &boot);
    report(&cx, phase, ending, earlier, &finished);
    // Last of all: only a run whose report is out counts as complete.
    step::note(
        &cx,
        &mut journal,
        Event::RunEnd {
            phase,
            seed: seed.clone(),
            ending,
        },
        true,
    );
    write_handover(
        host,
        phase,
        &Handover {
            boot,
            seed,
            unchanged: false,
        },
    );
    // A host that was set up once belongs to somebody: whoever stands at its console is not asked how it should be.
    // And a journal that only a newer version understands is no fault of setup.txt.
    let is_newer = matches!(refused, Some(JournalError::Newer { .. }));
    let wanted = ending == Ending::Refused && !was_set_up && !is_newer;
    if let Err(error) = place::want(host, wanted) {
        tracing::warn!("the console will not offer to correct setup.txt: {error}");
    }
    Result::Ended(ending)
}

/// Writes down what this host is, once both phases have done everything.
fn remember(cx: &Context, journal: &Journal, seed: Option<&str>) {
    let is_all = seed.is_some_and(|seed| journal.history.is_complete(Phase::Early, seed));
    let (true, Some(adoption), Ok(profiles)) = (is_all, cx.intake.adoption(), cx.intake.profiles())
    else {
        return;
    };
    if let Err(error) = adoption.remember(cx.host, profiles) {
        cx.warn(format!(
            "what this host is could not be written down, so a later seed could set it up anew: {error}"
        ));
    }
}

fn ending(intake: &Intake, finished: &[Finished]) -> Ending {
    if intake.setup().is_none() {
        Ending::Refused
    } else if finished.iter().all(|step| step.outcome.is_good()) {
        Ending::Complete
    } else {
        Ending::Incomplete
    }
}

/// The steps of the early phase for the late phase's report: of this boot, or else of the boot that applied this seed.
fn earlier_steps(journal: &Journal, phase: Phase, seed: Option<&str>, boot: &str) -> Vec<Finished> {
    if phase == Phase::Early {
        return Vec::new();
    }
    let fits = |run: &&crate::journal::Run| {
        run.boot == boot || (seed.is_some() && run.seed.as_deref() == seed)
    };
    let run = journal.history.last(Phase::Early).filter(fits);
    run.map_or_else(Vec::new, |run| {
        run.steps
            .iter()
            .map(|(name, outcome)| Finished {
                name: name.clone(),
                outcome: outcome.clone(),
            })
            .collect()
    })
}

/// Tells the operator: at the end of the late phase everywhere, at the end of the early phase only what went wrong,
/// because the machine may never get further.
fn report(
    cx: &Context,
    phase: Phase,
    ending: Ending,
    earlier: Vec<Finished>,
    finished: &[Finished],
) {
    if phase == Phase::Early && ending == Ending::Complete {
        return;
    }
    if phase == Phase::Late {
        wait_for_address(cx);
    }
    let mut report = Report::gather(cx, phase, earlier, finished);
    if let Err(error) = report::write_on_seed(cx.host, cx.intake.volume.as_ref(), &report) {
        report.warnings.push(format!(
            "RESULT.txt could not be written on the seed: {error}"
        ));
        tracing::warn!("RESULT.txt could not be written on the seed: {error}");
    }
    if let Err(error) = report::write_motd(cx.host, &report) {
        tracing::warn!("the message of the day could not be written: {error}");
    }
    cx.host.console(&format!("\n{}\n", report.for_console()));
    tracing::info!("report:\n{}", report.text());
}

fn wait_for_address(cx: &Context) {
    let pause = Duration::from_millis(500);
    let mut waited = Duration::ZERO;
    while waited < ADDRESS && cx.host.addresses().is_ok_and(|found| found.is_empty()) {
        cx.host.sleep(pause);
        waited += pause;
    }
}

fn read_handover(host: &dyn Host, boot: &str) -> Option<Handover> {
    let bytes = host.read(Path::new(host.paths().handover)).ok()??;
    let handover: Handover = serde_json::from_slice(&bytes).ok()?;
    (handover.boot == boot).then_some(handover)
}

fn write_handover(host: &dyn Host, phase: Phase, handover: &Handover) {
    if phase == Phase::Late {
        return;
    }
    let write = || -> std::result::Result<(), HostError> {
        let text = serde_json::to_vec(handover).map_err(|error| HostError::Unexpected {
            what: "the handover".into(),
            detail: error.to_string(),
        })?;
        host.write(Path::new(host.paths().handover), &text, 0o600)
    };
    // Without it the late phase reads the seed itself, which only takes longer.
    if let Err(error) = write() {
        tracing::warn!("the early phase could not leave word for the late one: {error}");
    }
}

#[cfg(test)]
mod tests;
