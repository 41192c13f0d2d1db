//! The seed was found and read before the first step; here it is accounted for.

use super::{Context, Step, StepError, Wanted};

pub(super) struct ReadSeed;

impl Step for ReadSeed {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn title(&self) -> &'static str {
        "Read the seed"
    }

    fn needs(&self) -> &'static [&'static str] {
        &[]
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        cx.intake
            .seed_text()
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
