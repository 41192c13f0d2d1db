//! `clawdie-firstboot reset`: the next boot applies the seed as if it had never been seen.
//!
//! What was made stays: accounts, keys, passwords, Colibri's data, and the record of a seed that was emptied of secrets,
//! without which its empty lines would be faults. Put aside are the journal, and what the host is: without that a seed may
//! give it another name, and set again what it has.

use std::path::{Path, PathBuf};

use crate::host::{Host, HostError};

/// What a reset would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// The journal.
    pub journal: PathBuf,
    /// The name that it gets.
    pub aside: PathBuf,
    /// What this host is known to be, if it is, and the name that gets.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Reset {
    /// Looks what there is to do; `None` when there is no journal.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn plan(host: &dyn Host) -> Result<Option<Self>, HostError> {
        let journal = PathBuf::from(host.paths().journal);
        if host.read(&journal)?.is_none() {
            return Ok(None);
        }
        let time = host.now().strftime("%Y%m%dT%H%M%SZ");
        let aside = journal.with_file_name(format!("journal-{time}"));
        // Never over an older one, whatever the clock says.
        if host.read(&aside)?.is_some() {
            return Err(HostError::Refused(format!(
                "{} is there already; wait a second and try again",
                aside.display()
            )));
        }
        let identity = PathBuf::from(host.paths().identity);
        let identity = host.read(&identity)?.map(|_| {
            let aside = identity.with_file_name(format!("identity-{time}.json"));
            (identity, aside)
        });
        Ok(Some(Self {
            journal,
            aside,
            identity,
        }))
    }

    /// What will happen, for the one who decides.
    pub fn text(&self) -> String {
        format!(
            "The next start applies setup.txt on the stick, which must be plugged in, as if for the first time:\n\
             * {} is renamed to {}\n\
             * what this host is may change: its name, its assistant, the values in provider.env\n\
             * what is as setup.txt wants it stays untouched, the rest is set again\n\
             * accounts, home folders, passwords, host keys and Colibri's data are kept\n",
            self.journal.display(),
            self.aside.display()
        )
    }

    /// Does it, durably.
    ///
    /// # Errors
    /// The journal cannot be renamed; it stays as it was then.
    pub fn carry_out(&self, host: &dyn Host) -> Result<(), HostError> {
        // In this order: without its journal a host looks at every line again, and then must not hold on to what it was.
        if let Some((identity, aside)) = &self.identity {
            host.rename(identity, aside)?;
        }
        host.rename(Path::new(&self.journal), &self.aside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::recording::Recording;
    use crate::journal::{Ending, Phase};
    use crate::run::{Result as RunResult, run};

    const AGENT: &str = "0.1.0";

    fn boot(host: &Recording) -> (RunResult, RunResult) {
        (
            run(host, Phase::Early, AGENT),
            run(host, Phase::Late, AGENT),
        )
    }

    #[test]
    fn the_next_boot_applies_the_seed_anew_and_nothing_is_lost() {
        let seed = include_str!("../tests/setup/good/typical.txt").to_owned()
            + "\nCLAWDIE_USER_PASSWORD=CANARY horse\nSEED_SECRETS=blank\n";
        let host = Recording::fresh(Some(&seed));
        boot(&host);
        let old = host.journal();
        let settings = host.disk.borrow().settings.clone();
        let reset = Reset::plan(&host).expect("readable").expect("a journal");
        assert_eq!(host.journal(), old, "a plan changes nothing");
        let text = reset.text();
        assert!(
            text.contains("/var/lib/clawdie/journal is renamed to"),
            "{text}"
        );
        reset.carry_out(&host).expect("renamed");
        assert_eq!(host.text(&reset.aside).into_bytes(), old);
        assert_eq!(Reset::plan(&host).expect("readable"), None);

        host.reboot();
        let ended = RunResult::Ended(Ending::Complete);
        assert_eq!(boot(&host), (ended, ended));
        assert_eq!(host.disk.borrow().settings, settings);
        host.reboot();
        assert_eq!(
            boot(&host),
            (RunResult::NothingToDo, RunResult::NothingToDo)
        );
    }
}
