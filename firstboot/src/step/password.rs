//! A password for the console, for those who asked for one.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;
use crate::setup::{Key, Setup};

pub(super) struct Password;

impl Step for Password {
    fn name(&self) -> &'static str {
        "password"
    }

    fn title(&self) -> &'static str {
        "Console password"
    }

    fn needs(&self) -> &'static [&'static str] {
        &["adoption", "operator-account"]
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let setup = cx.setup()?;
        let login = setup.operator_user().to_owned();
        Ok(match setup.secret(Key::ClawdieUserPassword) {
            Some(password) => Wanted::Settings(vec![Setting::Password {
                login,
                password: password.clone(),
            }]),
            None if setup.is_kept(Key::ClawdieUserPassword) => {
                Wanted::Nothing("emptied on the stick; the account keeps what it has".into())
            }
            None => Wanted::Nothing("no `CLAWDIE_USER_PASSWORD`".into()),
        })
    }

    // Whether an account's password is this one only its owner could tell, and it may have been changed since: an
    // edited seed must not undo that. So any password counts, and the report says so.
    fn result(&self, cx: &Context, _wanted: &Wanted) -> String {
        let login = cx.setup().map_or("the operator", Setup::operator_user);
        format!("`{login}` has a password; `CLAWDIE_USER_PASSWORD` counts only while there is none")
    }
}
