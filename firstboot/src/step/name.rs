//! The host's name.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;
use crate::setup::Key;

pub(super) struct HostName;

impl Step for HostName {
    fn name(&self) -> &'static str {
        "host-name"
    }

    fn title(&self) -> &'static str {
        "Host name"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let name = cx.setup()?.hostname();
        cx.unless_kept(Key::Hostname, Setting::HostName(name))
    }
}
