//! The time zone.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;
use crate::setup::Key;

pub(super) struct TimeZone;

impl Step for TimeZone {
    fn name(&self) -> &'static str {
        "time-zone"
    }

    fn title(&self) -> &'static str {
        "Time zone"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let zone = cx.setup()?.timezone().to_owned();
        cx.unless_kept(Key::Timezone, Setting::TimeZone(zone))
    }
}
