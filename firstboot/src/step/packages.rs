//! Packages that came with the image: what the base lacks, installed without network.

use std::path::Path;

use super::{Context, Step, StepError, Wanted};
use crate::host::Setting;

pub(super) struct Packages;

impl Step for Packages {
    fn name(&self) -> &'static str {
        "packages"
    }

    fn title(&self) -> &'static str {
        "Packages of the image"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        // The image's builder wrote it beside the packages; an image without packages has none.
        let list = Path::new(cx.host.paths().packages).join("install");
        let text = cx.host.read(&list)?.unwrap_or_default();
        let names: Vec<String> = String::from_utf8_lossy(&text)
            .lines()
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        Ok(if names.is_empty() {
            Wanted::Nothing("the image brings no packages".into())
        } else {
            Wanted::Settings(vec![Setting::Packages { names }])
        })
    }
}
