//! The layout of the console's keyboard.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;

pub(super) struct Keyboard;

impl Step for Keyboard {
    fn name(&self) -> &'static str {
        "keyboard"
    }

    fn title(&self) -> &'static str {
        "Console keyboard"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        Ok(Wanted::Settings(vec![Setting::Keymap(
            cx.setup()?.keymap().to_owned(),
        )]))
    }
}
