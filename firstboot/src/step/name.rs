//! The host's name.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;

pub(super) struct HostName;

impl Step for HostName {
    fn name(&self) -> &'static str {
        "host-name"
    }

    fn title(&self) -> &'static str {
        "Host name"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        Ok(Wanted::Settings(vec![Setting::HostName(
            cx.setup()?.hostname(),
        )]))
    }
}
