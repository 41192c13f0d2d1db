//! Root is locked, so the operator's account is the only way to become root.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;
use crate::setup::Key;

pub(super) struct Sudo;

impl Step for Sudo {
    fn name(&self) -> &'static str {
        "sudo"
    }

    fn title(&self) -> &'static str {
        "Right to become root"
    }

    fn needs(&self) -> &'static [&'static str] {
        &["adoption", "operator-account"]
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let setup = cx.setup()?;
        let login = setup.operator_user().to_owned();
        // Asked for only where there is one to type; without, the SSH key is the proof and nobody could ever answer.
        // A plan is made before there is an account, and shows what will be.
        let will_have = setup.secret(Key::ClawdieUserPassword).is_some()
            && !cx.host.holds(&Setting::Account {
                login: login.clone(),
            })?;
        let ask_password = will_have || cx.host.has_password(&login)?;
        Ok(Wanted::Settings(vec![Setting::Administrator {
            login,
            by: cx.host.become_root(ask_password),
        }]))
    }
}
