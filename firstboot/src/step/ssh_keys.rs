//! The keys that open the operator's account.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;

pub(super) struct SshKeys;

impl Step for SshKeys {
    fn name(&self) -> &'static str {
        "ssh-keys"
    }

    fn title(&self) -> &'static str {
        "SSH keys"
    }

    fn needs(&self) -> &'static [&'static str] {
        &["adoption", "operator-account"]
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let setup = cx.setup()?;
        if setup.ssh_keys().is_empty() {
            return Ok(Wanted::Nothing(
                "no `SSH_AUTHORIZED_KEY` and no authorized_keys file".into(),
            ));
        }
        Ok(Wanted::Settings(vec![Setting::AuthorizedKeys {
            login: setup.operator_user().to_owned(),
            keys: setup.ssh_keys().to_vec(),
        }]))
    }
}
