//! The image ships no SSH host keys; without them sshd does not start.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;

pub(super) struct SshHostKeys;

impl Step for SshHostKeys {
    fn name(&self) -> &'static str {
        "ssh-host-keys"
    }

    fn title(&self) -> &'static str {
        "SSH host keys"
    }

    fn needs(&self) -> &'static [&'static str] {
        &[]
    }

    fn wanted(&self, _cx: &Context) -> Result<Wanted, StepError> {
        Ok(Wanted::Settings(vec![Setting::SshHostKeys]))
    }
}
