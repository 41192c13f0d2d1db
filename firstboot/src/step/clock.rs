//! A machine without a battery wakes up years ago, where no certificate is valid yet. The image's own age is a floor.

use jiff::Timestamp;

use super::{Context, Step, StepError, Wanted};
use crate::host::{Host, HostError, Setting};

/// Sets a clock that shows a time before this program existed; what it had shown, if so.
pub(crate) fn mend(host: &dyn Host) -> Result<Option<Timestamp>, HostError> {
    let Some(floor) = host.installed_at()? else {
        return Ok(None);
    };
    let setting = Setting::ClockNotBefore(floor);
    let showed = host.now();
    if host.holds(&setting)? {
        return Ok(None);
    }
    host.apply(&setting)?;
    Ok(Some(showed))
}

pub(super) struct Clock;

impl Step for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn title(&self) -> &'static str {
        "Clock"
    }

    fn needs(&self) -> &'static [&'static str] {
        &[]
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        Ok(match cx.host.installed_at()? {
            Some(floor) => Wanted::Settings(vec![Setting::ClockNotBefore(floor)]),
            None => Wanted::Nothing("the age of this system is not known".into()),
        })
    }

    // The run mended it before it wrote its first line; the account of it still says that it was this run.
    fn check(&self, cx: &Context, wanted: &Wanted) -> Result<bool, StepError> {
        Ok(cx.clock_showed.is_none() && self.verify(cx, wanted)?)
    }

    fn verify(&self, cx: &Context, wanted: &Wanted) -> Result<bool, StepError> {
        for setting in wanted.settings() {
            if !cx.host.holds(setting)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn result(&self, cx: &Context, _wanted: &Wanted) -> String {
        match cx.clock_showed {
            Some(showed) => format!(
                "it showed {showed:.0}, before this system was built, and was set forward; NTP sets it right once \
                 there is a network"
            ),
            None => format!("shows {:.0}", cx.host.now()),
        }
    }
}
