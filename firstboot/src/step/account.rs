//! The operator's own login.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;

pub(super) struct OperatorAccount;

impl Step for OperatorAccount {
    fn name(&self) -> &'static str {
        "operator-account"
    }

    fn title(&self) -> &'static str {
        "Operator account"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        Ok(Wanted::Settings(vec![Setting::Account {
            login: cx.setup()?.operator_user().to_owned(),
        }]))
    }
}
