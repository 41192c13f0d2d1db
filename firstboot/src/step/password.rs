//! A password for the console, for those who asked for one.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;
use crate::setup::Key;

pub(super) struct Password;

impl Step for Password {
    fn name(&self) -> &'static str {
        "password"
    }

    fn title(&self) -> &'static str {
        "Console password"
    }

    fn needs(&self) -> &'static [&'static str] {
        &["validate", "operator-account"]
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let setup = cx.setup()?;
        let login = setup.operator_user().to_owned();
        Ok(match setup.secret(Key::ClawdieUserPassword) {
            Some(password) => Wanted::Settings(vec![Setting::Password {
                login,
                password: password.clone(),
            }]),
            None => Wanted::Nothing("no `CLAWDIE_USER_PASSWORD`".into()),
        })
    }

    fn check(&self, cx: &Context, wanted: &Wanted) -> Result<bool, StepError> {
        for setting in wanted.settings() {
            if !cx.host.holds(setting)? {
                return Ok(false);
            }
            // Whether it is the same password only its owner could tell. It may have been changed since, and an edited
            // seed must not undo that.
            if let Setting::Password { login, .. } = setting {
                tracing::info!("`{login}` keeps the password that it has");
            }
        }
        Ok(true)
    }

    fn result(&self, cx: &Context, _wanted: &Wanted) -> String {
        let login = cx.setup().map_or("the operator", Setup::operator_user);
        format!("`{login}` has a password; `CLAWDIE_USER_PASSWORD` counts only while there is none")
    }
}

use crate::setup::Setup;
