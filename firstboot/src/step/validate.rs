//! `setup.txt` is either good as a whole or nothing of it is used.

use super::{Context, Step, StepError, Wanted};

pub(super) struct Validate;

impl Step for Validate {
    fn name(&self) -> &'static str {
        "validate"
    }

    fn title(&self) -> &'static str {
        "Check setup.txt"
    }

    fn needs(&self) -> &'static [&'static str] {
        &["seed"]
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        cx.intake
            .verdict_text()
            .map(Wanted::Work)
            .map_err(StepError::Seed)
    }

    fn check(&self, _cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        // It was done for this very run, so it is never "already so".
        Ok(false)
    }

    fn verify(&self, _cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        Ok(true)
    }
}
