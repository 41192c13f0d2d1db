//! The layout of the console's keyboard.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;
use crate::setup::Key;

pub(super) struct Keyboard;

impl Step for Keyboard {
    fn name(&self) -> &'static str {
        "keyboard"
    }

    fn title(&self) -> &'static str {
        "Console keyboard"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let keymap = cx.setup()?.keymap().to_owned();
        cx.unless_kept(Key::Keymap, Setting::Keymap(keymap))
    }
}
