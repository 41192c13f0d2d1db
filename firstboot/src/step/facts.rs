//! What this machine is, for those who help; whatever the seed holds.

use super::{Context, Step, StepError, Wanted};
use crate::facts::{self, Facts};

pub(super) struct StoreFacts;

impl Step for StoreFacts {
    fn name(&self) -> &'static str {
        "facts"
    }

    fn title(&self) -> &'static str {
        "Facts of the machine"
    }

    fn needs(&self) -> &'static [&'static str] {
        &[]
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        Ok(Wanted::Work(format!(
            "{} describes this machine, {}",
            cx.host.paths().facts,
            Facts::from(cx.host.survey()).fingerprint
        )))
    }

    fn check(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        Ok(facts::read(cx.host)?.is_some_and(|stored| stored == Facts::from(cx.host.survey())))
    }

    fn act(&self, cx: &Context, _wanted: &Wanted) -> Result<(), StepError> {
        Ok(facts::write(cx.host, &cx.host.survey().into())?)
    }

    // Free memory and the like are not among them, yet a stick may be plugged in at this very moment.
    fn verify(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        Ok(facts::read(cx.host)?.is_some())
    }
}
