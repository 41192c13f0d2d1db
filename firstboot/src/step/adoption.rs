//! A host that has an identity keeps it: a seed for another one is stopped before anything is touched.

use super::{Context, Step, StepError, Wanted};

pub(super) struct Adoption;

impl Step for Adoption {
    fn name(&self) -> &'static str {
        "adoption"
    }

    fn title(&self) -> &'static str {
        "Fits this host"
    }

    fn needs(&self) -> &'static [&'static str] {
        &["validate"]
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let text = cx.intake.adoption_text().map_err(StepError::Seed)?;
        for difference in cx.intake.differences() {
            cx.warn(difference.clone());
        }
        Ok(Wanted::Work(text))
    }

    fn check(&self, _cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        // It was judged for this very run, so it is never "already so".
        Ok(false)
    }

    fn verify(&self, _cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        Ok(true)
    }
}
