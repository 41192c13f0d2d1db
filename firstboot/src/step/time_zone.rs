//! The time zone.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;

pub(super) struct TimeZone;

impl Step for TimeZone {
    fn name(&self) -> &'static str {
        "time-zone"
    }

    fn title(&self) -> &'static str {
        "Time zone"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        Ok(Wanted::Settings(vec![Setting::TimeZone(
            cx.setup()?.timezone().to_owned(),
        )]))
    }
}
