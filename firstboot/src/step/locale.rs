//! The locale.

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;
use crate::setup::Key;

/// Every system has it built in, and it knows all letters.
const DEFAULT: &str = "C.UTF-8";

pub(super) struct Locale;

impl Step for Locale {
    fn name(&self) -> &'static str {
        "locale"
    }

    fn title(&self) -> &'static str {
        "Locale"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let locale = cx.setup()?.locale().unwrap_or(DEFAULT).to_owned();
        cx.unless_kept(Key::Locale, Setting::Locale(locale))
    }
}
