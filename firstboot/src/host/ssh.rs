//! SSH host keys: the image ships none, each machine makes its own.

use super::machine::Machine;
use super::{Command, HostError, Processes, files};

/// The kinds that are made: every client since 2014 knows both. RSA would cost a small machine seconds.
const MADE: [&str; 2] = ["ecdsa", "ed25519"];

/// The kinds that sshd offers when they are there, as they are on a host that was set up before.
const KINDS: [&str; 3] = ["rsa", "ecdsa", "ed25519"];

fn private(kind: &str) -> String {
    format!("/etc/ssh/ssh_host_{kind}_key")
}

fn public(kind: &str) -> String {
    format!("/etc/ssh/ssh_host_{kind}_key.pub")
}

impl<P: Processes> Machine<P> {
    /// Whole, not merely present: a cut while the keys were made can leave empty files behind, with which sshd would
    /// not start.
    fn key_is_whole(&self, kind: &str) -> Result<bool, HostError> {
        let secret = self.text_at(&private(kind))?.unwrap_or_default();
        let shown = self.text_at(&public(kind))?.unwrap_or_default();
        Ok(secret.starts_with("-----BEGIN ")
            && secret.trim_end().ends_with("PRIVATE KEY-----")
            && secret.trim_end().lines().count() > 2
            && shown.split_whitespace().count() >= 2)
    }

    pub(super) fn has_ssh_host_keys(&self) -> Result<bool, HostError> {
        for kind in MADE {
            if !self.key_is_whole(kind)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn make_ssh_host_keys(&self) -> Result<(), HostError> {
        for kind in MADE {
            // A whole key is never touched.
            if self.key_is_whole(kind)? {
                continue;
            }
            // `ssh-keygen` asks before it replaces a file.
            for path in [private(kind), public(kind)] {
                files::remove(&self.at(&path))
                    .map_err(HostError::io(format!("removing the damaged {path}")))?;
            }
            self.processes.demand(&Command::new([
                "ssh-keygen",
                "-q",
                "-t",
                kind,
                "-N",
                "",
                "-f",
                &private(kind),
            ]))?;
        }
        Ok(())
    }

    pub(super) fn fingerprints(&self) -> Result<Vec<String>, HostError> {
        let mut found = Vec::new();
        for kind in KINDS {
            let path = public(kind);
            if files::read(&self.at(&path), 1).ok().flatten().is_none() {
                continue;
            }
            let output = self
                .processes
                .demand(&Command::new(["ssh-keygen", "-l", "-f", &path]))?;
            // `256 SHA256:abc comment (ED25519)`: the comment names the build or the host and helps nobody.
            let words: Vec<&str> = output.stdout.split_whitespace().collect();
            if let (Some(hash), Some(kind)) = (words.get(1), words.last()) {
                found.push(format!("{hash} {kind}"));
            }
        }
        // The short modern kind first: that is the one ssh shows when it asks.
        found.reverse();
        Ok(found)
    }
}
