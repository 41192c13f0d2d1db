//! What a run knows before its first step: the seed, the verdict on it, the profiles.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use crate::adoption::{self, Adoption};
use crate::emptied::Record;
use crate::host::{Host, Volume};
use crate::profile::Profiles;
use crate::seed::{self, Files, SeedError};
use crate::setup::{self, Input, Key, Problem, Setup, Verdict};

/// Everything that steps decide by.
#[derive(Debug)]
pub struct Intake {
    /// Where the report goes.
    pub volume: Option<Volume>,
    /// Further volumes with the same seed.
    pub copies: Vec<Volume>,
    /// What the operator should know about the seed besides its content.
    pub notes: Vec<String>,
    files: Result<Files, SeedError>,
    verdict: Option<Verdict>,
    adoption: Option<Result<Adoption, String>>,
    profiles: Result<Profiles, String>,
    agent: String,
    mark: Option<String>,
    emptied: Option<Record>,
    is_restored: bool,
    blocked: Option<String>,
}

impl Intake {
    /// Finds and reads the seed; what is in it is judged by [`Intake::judge`].
    pub fn take_in(host: &dyn Host, agent: &str, patience: Duration) -> Self {
        let mut found = seed::find(host, patience);
        let emptied = Record::read(host).unwrap_or_else(|error| {
            found.notes.push(format!(
                "what this host knows of an emptied seed is lost: {error}"
            ));
            None
        });
        let files = found.files.as_ref().ok();
        let mut mark = files.map(|files| files.mark(agent));
        let mut is_restored = false;
        if let (Some(files), Some(emptied)) = (files, &emptied)
            && let Some(recognised) = emptied.recognise(files, agent)
        {
            mark = Some(recognised.mark);
            is_restored = recognised.is_restored;
            if let Some(instead) = recognised.instead {
                found.files = Ok(instead);
            }
        }
        Self {
            volume: found.volume,
            copies: found.copies,
            notes: found.notes,
            files: found.files,
            verdict: None,
            adoption: None,
            profiles: Err("the profiles have not been read".into()),
            agent: agent.to_owned(),
            mark,
            emptied,
            is_restored,
            blocked: None,
        }
    }

    /// The files of the seed, if there are any.
    pub fn files(&self) -> Option<&Files> {
        self.files.as_ref().ok()
    }

    /// Version of the agent that reads it.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// Whether this host had emptied the seed of secrets and finds it filled as before.
    pub fn is_restored(&self) -> bool {
        self.is_restored
    }

    /// Refuses to use the seed for a reason that lies outside of it.
    pub fn block(&mut self, why: String) {
        self.blocked = Some(why);
        self.mark = None;
    }

    /// Validates `setup.txt`, holds it against this host and reads the profiles.
    pub fn judge(&mut self, host: &dyn Host) {
        if let Ok(files) = &self.files {
            let kept = self.emptied.as_ref().map(|record| record.kept(host));
            let input = Input {
                name: &files.setup_name,
                setup: files.setup.expose_secret(),
                authorized_keys: files.authorized_keys.as_deref(),
            };
            self.verdict = Some(setup::check_emptied(input, &kept.unwrap_or_default()));
        }
        self.adoption = self
            .verdict
            .as_ref()
            .and_then(|verdict| verdict.setup.as_ref())
            .map(|setup| {
                let emptied = self.emptied.iter().flat_map(Record::emptied);
                adoption::judge(host, setup, emptied)
            });
        let path = host.paths().profiles;
        self.profiles = match host.read(Path::new(path)) {
            Ok(Some(bytes)) => {
                Profiles::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| error.to_string())
            }
            Ok(None) => Err(format!("{path} is missing from this image; build it again")),
            Err(error) => Err(error.to_string()),
        };
    }

    /// Names the seed as this agent reads it; `None` when there is none to read.
    pub fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// Whether no seed is plugged in at all (a bad or unreadable one is another matter).
    pub fn is_absent(&self) -> bool {
        self.blocked.is_none()
            && matches!(self.files, Err(SeedError::NoVolume | SeedError::NoFile(_)))
    }

    /// The valid settings as this host takes them.
    pub fn setup(&self) -> Option<&Setup> {
        self.adoption().map(|adoption| &adoption.setup)
    }

    /// Whether the seed itself has a line for this setting.
    pub fn has_line(&self, key: Key) -> bool {
        let setup = self
            .verdict
            .as_ref()
            .and_then(|verdict| verdict.setup.as_ref());
        setup.is_some_and(|setup| setup.has(key))
    }

    /// How valid settings go together with this host, if they do.
    pub fn adoption(&self) -> Option<&Adoption> {
        if self.blocked.is_some() {
            return None;
        }
        self.adoption.as_ref()?.as_ref().ok()
    }

    /// Why the settings are not for this host, or how they go together with it.
    pub fn adoption_text(&self) -> Result<String, String> {
        match &self.adoption {
            Some(Ok(adoption)) => Ok(adoption.text()),
            Some(Err(why)) => Err(why.clone()),
            None => Err("there are no valid settings".into()),
        }
    }

    /// What the seed says otherwise than this host, which stays as it is.
    pub fn differences(&self) -> &[String] {
        self.adoption()
            .map_or(&[], |adoption| &adoption.differences)
    }

    /// Whether this was somebody's host before, whose system is not ours to change.
    pub fn is_adopted(&self) -> bool {
        self.adoption().is_some_and(Adoption::is_adopted)
    }

    /// Everything that is to be said about `setup.txt`.
    pub fn problems(&self) -> &[Problem] {
        self.verdict
            .as_ref()
            .map_or(&[], |verdict| &verdict.problems)
    }

    /// The profiles, or why there are none.
    pub fn profiles(&self) -> Result<&Profiles, String> {
        self.profiles.as_ref().map_err(Clone::clone)
    }

    /// Which files were read, or why none were.
    pub fn seed_text(&self) -> Result<String, String> {
        if let Some(why) = &self.blocked {
            return Err(why.clone());
        }
        let files = self.files.as_ref().map_err(ToString::to_string)?;
        let place = self
            .volume
            .as_ref()
            .map_or_else(|| "the seed".into(), ToString::to_string);
        let keys = if files.authorized_keys.is_some() {
            " and authorized_keys"
        } else {
            ""
        };
        Ok(format!("{}{keys} on {place}", files.setup_name))
    }

    /// What the check of `setup.txt` came to.
    pub fn verdict_text(&self) -> Result<String, String> {
        let Some(verdict) = &self.verdict else {
            return Err("there is nothing to check".into());
        };
        match (
            &verdict.setup,
            verdict.errors().count(),
            verdict.warnings().count(),
        ) {
            (Some(_), _, 0) => Ok("no faults".into()),
            (Some(_), _, warnings) => Ok(format!("no faults, {warnings} warning(s)")),
            (None, errors, _) => Err(format!(
                "{errors} fault(s) in setup.txt, listed in this report. Correct them on the stick and start again; \
                 nothing of it was used"
            )),
        }
    }
}
