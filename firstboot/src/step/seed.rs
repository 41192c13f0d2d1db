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
}
