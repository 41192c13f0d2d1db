//! Root has no password and none opens it, whatever the seed holds.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;

pub(super) struct RootLock;

impl Step for RootLock {
    fn name(&self) -> &'static str {
        "root-lock"
    }

    fn title(&self) -> &'static str {
        "Lock root"
    }

    fn needs(&self) -> &'static [&'static str] {
        &[]
    }

    fn wanted(&self, _cx: &Context) -> Result<Wanted, StepError> {
        Ok(Wanted::Settings(vec![Setting::RootLocked]))
    }

    fn check(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        // The run locked root before it even looked for the seed; the account of it still says that it was this run.
        Ok(!cx.root_was_open && cx.host.holds(&Setting::RootLocked)?)
    }

    fn verify(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        Ok(cx.host.holds(&Setting::RootLocked)?)
    }
}
