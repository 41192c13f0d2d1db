//! `SEED_SECRETS=blank`: once everything is set up, the stick need not hold secrets any more.
//!
//! First blanks are written over the secrets where they lie, so that no sector of the file holds them; then a file
//! without anything behind the `=` takes its place. In the other order a cut would leave the old sectors, which no file
//! owns any more, with the secrets for ever.
//!
//! The same is done to every other stick with this very seed, and to what the wizard kept of an earlier one.
//!
//! What this cannot reach: copies that an editor made elsewhere on the stick, and worn-out flash cells that the stick's
//! own controller has put aside.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;

use super::{Context, Step, StepError, Wanted};
use crate::emptied::Record;
use crate::host::{Access, Host, HostError, Volume};
use crate::seed::{self, Files, OLD_SETUP};
use crate::setup::{self, Blanked, Key};

pub(super) struct BlankSeed;

/// Its name in the journal, by which the report knows whether the stick is empty of secrets.
pub const NAME: &str = "blank-seed";

impl Step for BlankSeed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "Empty the seed"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        if cx.setup()?.get(Key::SeedSecrets) != Some("blank") {
            return Ok(Wanted::Nothing("no `SEED_SECRETS=blank`".into()));
        }
        // A step that failed needs the secrets once more.
        if !cx.all_good.get() {
            return Err(StepError::Waits(
                "waits until every step has gone well".into(),
            ));
        }
        let name = &files(cx)?.setup_name;
        Ok(Wanted::Work(format!(
            "the secret lines of {name} on the stick are empty"
        )))
    }

    fn check(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        let files = files(cx)?;
        let is_finished = Record::read(cx.host)?.is_none_or(|record| record.is_finished());
        Ok(is_finished && is_clean(files)?)
    }

    fn act(&self, cx: &Context, _wanted: &Wanted) -> Result<(), StepError> {
        let (files, volume) = (files(cx)?, volume(cx)?);
        let mark = cx.intake.mark().ok_or(StepError::NoSetup)?;
        let blanked = blanked(files)?;
        let record = match Record::read(cx.host)? {
            // Begun, and cut.
            Some(last) if last.is_begun_for(mark) => last,
            last => {
                let record = Record::of(files, &blanked, mark, cx.intake.agent(), last.as_ref());
                record.write(cx.host)?;
                record
            }
        };
        // Copies first: after a cut the seed itself is still there to be taken up again.
        for volume in cx.intake.copies.iter().chain([volume]) {
            let left = seed::with_volume(cx.host, volume, Access::ReadWrite, |folder| {
                let names = cx.host.list(folder)?;
                let left = empty_old(cx.host, folder, &names)?;
                exchange(cx.host, folder, &names, files, &blanked)?;
                Ok(left)
            })?;
            warn_of_left(cx, &format!("{OLD_SETUP} on {volume}"), &left);
        }
        record.finished().write(cx.host)?;
        warn_of_left(cx, &files.setup_name, &blanked.left);
        Ok(())
    }

    fn verify(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        for volume in cx.intake.copies.iter().chain([volume(cx)?]) {
            let is_emptied = seed::with_volume(cx.host, volume, Access::ReadOnly, |folder| {
                let now = lying_there(cx.host, folder, &cx.host.list(folder)?)?;
                Ok(now.is_some_and(|(_, now)| {
                    setup::blank(&now).is_some_and(|blanked| blanked.clean == now)
                }))
            })?;
            if !is_emptied {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn warn_of_left(cx: &Context, file: &str, left: &[usize]) {
    if !left.is_empty() {
        let lines: Vec<String> = left.iter().map(ToString::to_string).collect();
        cx.warn(format!(
            "line(s) {} of {file} still hold what looks like a secret, in a remark or behind a name that is not used: \
             remove them by hand",
            lines.join(", "),
        ));
    }
}

fn files<'a>(cx: &Context<'a>) -> Result<&'a Files, StepError> {
    cx.intake.files().ok_or(StepError::NoSetup)
}

fn volume<'a>(cx: &Context<'a>) -> Result<&'a Volume, StepError> {
    cx.intake.volume.as_ref().ok_or(StepError::NoSetup)
}

fn blanked(files: &Files) -> Result<Blanked, StepError> {
    // It has been read and judged, so it is a text.
    setup::blank(files.setup.expose_secret()).ok_or(StepError::NoSetup)
}

fn is_clean(files: &Files) -> Result<bool, StepError> {
    Ok(blanked(files)?.clean == files.setup.expose_secret())
}

/// Empties what the wizard kept of an earlier `setup.txt`, and gives the lines that may still hold a secret. What is
/// no text at all holds no setting.
fn empty_old(host: &dyn Host, folder: &Path, names: &[String]) -> Result<Vec<usize>, HostError> {
    let name = names
        .iter()
        .find(|name| name.eq_ignore_ascii_case(OLD_SETUP));
    let Some(path) = name.map(|name| folder.join(name)) else {
        return Ok(Vec::new());
    };
    let old = host.read(&path)?.unwrap_or_default();
    let Some(blanked) = setup::blank(&old) else {
        return Ok(Vec::new());
    };
    if blanked.clean != old {
        put(host, &path, &blanked)?;
    }
    Ok(blanked.left)
}

/// `setup.txt` as it lies in the mounted seed now, under whichever of its names: its path and its bytes.
fn lying_there(
    host: &dyn Host,
    folder: &Path,
    names: &[String],
) -> Result<Option<(PathBuf, Vec<u8>)>, HostError> {
    let Some(name) = seed::setup_names(names).into_iter().next() else {
        return Ok(None);
    };
    let path = folder.join(name);
    Ok(host.read(&path)?.map(|now| (path, now)))
}

/// Exchanges `setup.txt`, unless it has become another one since it was read.
fn exchange(
    host: &dyn Host,
    folder: &Path,
    names: &[String],
    files: &Files,
    wanted: &Blanked,
) -> Result<(), HostError> {
    let changed = || {
        HostError::Refused(format!(
            "{} has been changed while this machine started; nothing of it was emptied, and the next start reads it \
             again",
            files.setup_name
        ))
    };
    let (path, now) = lying_there(host, folder, names)?.ok_or_else(changed)?;
    if now == wanted.clean {
        return Ok(());
    }
    let read = files.setup.expose_secret();
    // Where a cut left it half overwritten, it was read as if it were overwritten whole.
    let ours = setup::blank(&now).filter(|blanked| now == read || blanked.overlaid == read);
    put(host, &path, &ours.ok_or_else(changed)?)
}

/// Blanks over the secrets where they lie, then the file without them.
fn put(host: &dyn Host, path: &Path, blanked: &Blanked) -> Result<(), HostError> {
    host.overwrite(path, &blanked.overlaid)?;
    // As for RESULT.txt: FAT knows no modes but the mount's.
    host.write(path, &blanked.clean, 0o700)
}
