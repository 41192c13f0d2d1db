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
        let path = cx.host.paths().facts;
        Ok(Wanted::Work(format!("{path} describes this machine")))
    }

    fn check(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        Ok(facts::read(cx.host)?.is_some_and(|stored| stored == Facts::from(cx.host.survey())))
    }

    fn act(&self, cx: &Context, _wanted: &Wanted) -> Result<(), StepError> {
        Ok(facts::write(cx.host, &cx.host.survey().into())?)
    }

    // A stick may be plugged in at this very moment, so that another look would find another machine.
    fn verify(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        Ok(facts::read(cx.host)?.is_some())
    }

    fn result(&self, cx: &Context, wanted: &Wanted) -> String {
        match facts::read(cx.host) {
            Ok(Some(facts)) => format!("{}, {}", wanted.describe(), facts.fingerprint),
            _ => wanted.describe(),
        }
    }
}
