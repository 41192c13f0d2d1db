//! `/etc/rc.conf`, read and written by sysrc(8), which knows its quoting and its other files.

use std::fs;

use super::{Command, Freebsd, HostError, Processes};
use crate::host::files;

const RC_CONF: &str = "/etc/rc.conf";

/// How rc.subr's `checkyesno` spells yes.
pub(super) fn is_yes(value: &str) -> bool {
    ["yes", "true", "on", "1"].contains(&value.to_ascii_lowercase().as_str())
}

impl<P: Processes> Freebsd<P> {
    /// The value of a knob as services see it, defaults included; `None` when it is unknown or set to nothing.
    pub(super) fn knob(&self, name: &str) -> Result<Option<String>, HostError> {
        // `-i`: an unknown knob ends with exit 1 as every fault does, but without a word.
        let command = Command::new(["sysrc", "-i", "-n", name]);
        let output = self
            .machine
            .processes
            .run(&command)
            .map_err(HostError::io(format!("running `{}`", command.line())))?;
        let value = output.stdout.trim();
        match output.status {
            Some(0) => Ok(Some(value.to_owned()).filter(|value| !value.is_empty())),
            Some(1) if value.is_empty() && output.stderr.trim().is_empty() => Ok(None),
            status => Err(HostError::Command {
                command: command.line(),
                status: status.map_or("killed by a signal".into(), |code| format!("exit {code}")),
                output: output.stderr.trim().to_owned(),
            }),
        }
    }

    /// Sets a knob in rc.conf and leaves the rest of the file as it is.
    pub(super) fn set_knob(&self, name: &str, value: &str) -> Result<(), HostError> {
        self.edit_rc_conf(&[&format!("{name}={value}")])?;
        if self.knob(name)?.as_deref() != Some(value) {
            return Err(HostError::Refused(format!(
                "`{name}` is set to something else after {RC_CONF}, perhaps in /etc/rc.conf.local; remove it there"
            )));
        }
        Ok(())
    }

    /// Takes a knob out of rc.conf; one that is not in it is fine.
    pub(super) fn unset_knob(&self, name: &str) -> Result<(), HostError> {
        self.edit_rc_conf(&["-i", "-x", name])
    }

    /// sysrc moves its result from `/tmp`, unsynced and perhaps from another file system: a cut could leave half an
    /// rc.conf, and a machine without sshd. So it works on a copy, which then takes the file's place as a whole.
    fn edit_rc_conf(&self, change: &[&str]) -> Result<(), HostError> {
        let doing = || HostError::io(format!("writing {RC_CONF}"));
        let at = self.machine.at(RC_CONF);
        let text = self.machine.read_at(RC_CONF)?.unwrap_or_default();
        let copy = files::temporary_name(&at).map_err(doing())?;
        files::write_new(&copy, &text, 0o644, None).map_err(doing())?;
        let copy_name = copy.display().to_string();
        let words = ["sysrc", "-f", &copy_name];
        let edit = Command::new(words.iter().chain(change).copied());
        if let Err(error) = self.machine.processes.demand(&edit) {
            // Best effort: what stays behind is a name that nobody reads.
            let _ = fs::remove_file(&copy);
            return Err(error);
        }
        fs::File::open(&copy)
            .and_then(|copy| copy.sync_all())
            .and_then(|()| fs::rename(&copy, &at))
            .and_then(|()| files::sync_folder(&at))
            .map_err(doing())
    }
}
