//! `clawdie-firstboot plan`: what a run would do, without doing it.

use std::fmt::Write as _;
use std::time::Duration;

use crate::host::Host;
use crate::intake::Intake;
use crate::journal::Phase;
use crate::step::{self, Context, Wanted};

/// What each step would do, one line each; changes nothing but mounting the seed for a moment.
pub fn plan(host: &dyn Host, agent: &str) -> String {
    let mut intake = Intake::take_in(host, agent, Duration::ZERO);
    intake.judge(host);
    let cx = Context::new(host, &intake);
    let mut text = String::new();
    for problem in intake.problems() {
        let _ = writeln!(text, "{problem}\n");
    }
    for note in &intake.notes {
        let _ = writeln!(text, "* {note}");
    }
    for phase in [Phase::Early, Phase::Late] {
        let _ = writeln!(text, "{phase} phase");
        let mut blocked: Vec<&'static str> = Vec::new();
        for step in step::steps(phase) {
            let line = if let Some(need) = step.needs().iter().find(|need| blocked.contains(need)) {
                blocked.push(step.name());
                ("skipped", format!("needs `{need}`"))
            } else {
                match step.wanted(&cx) {
                    Ok(Wanted::Nothing(why)) => ("not asked for", why),
                    Ok(wanted) => match step.check(&cx, &wanted) {
                        Ok(true) => ("already so", wanted.describe()),
                        Ok(false) => ("would do", wanted.describe()),
                        // A check may need what an earlier step would make first.
                        Err(error) => ("would try", format!("{} ({error})", wanted.describe())),
                    },
                    Err(error) => {
                        blocked.push(step.name());
                        ("would fail", error.to_string())
                    }
                }
            };
            let _ = writeln!(text, "  {:<22} {:<14} {}", step.title(), line.0, line.1);
        }
    }
    text
}
