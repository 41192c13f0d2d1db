//! Rules that a tree must keep before it is called an image.
//!
//! Each is a row of [`LINTS`]: a name, one line on why, and a function. The outer `Result` of that
//! function means "could not run", what it returns means "found a fault".

mod accounts;
mod files;
mod identity;
mod scripts;
mod secrets;
mod sshd;

use std::fmt;

use clawdie_tree::{Tree, TreePath};

use crate::error::Result;
use crate::layer::Layer;
use crate::recipe::Flavour;

/// What a lint may look at.
pub struct Subject<'a> {
    /// Which flavour it is.
    pub flavour: Flavour,
    /// The whole root.
    pub tree: &'a Tree,
    /// The base under our files, when it is at hand (not when an image is verified).
    pub base: Option<&'a Tree>,
    /// Our own files, when they are at hand.
    pub layer: Option<&'a Layer>,
}

/// A rule.
pub struct Lint {
    /// Its name, stable.
    pub name: &'static str,
    /// Why it is a rule.
    pub why: &'static str,
    check: fn(&Subject<'_>) -> Result<Vec<Fault>>,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub path: TreePath,
    /// What is wrong.
    pub what: String,
}

/// A broken rule with the rule's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Name of the lint.
    pub lint: &'static str,
    /// What it found.
    pub fault: Fault,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: `{}` {}",
            self.lint, self.fault.path, self.fault.what
        )
    }
}

/// Every rule.
pub const LINTS: &[Lint] = &[
    Lint {
        name: "locked-passwords",
        why: "an image with a password is an image with a default password",
        check: accounts::locked_passwords,
    },
    Lint {
        name: "world-writable",
        why: "any account could change what others run",
        check: files::world_writable,
    },
    Lint {
        name: "new-setuid",
        why: "we add no way to become root that the base does not have",
        check: files::new_setuid,
    },
    Lint {
        name: "host-identity",
        why: "two hosts from one image must not share keys or ids",
        check: identity::none,
    },
    Lint {
        name: "sshd-keys-only",
        why: "nobody logs in with a password, and nobody as root",
        check: sshd::keys_only,
    },
    Lint {
        name: "service-scripts",
        why: "a script with a syntax error is found here, not at boot",
        check: scripts::parse,
    },
    Lint {
        name: "no-secrets",
        why: "an image is public",
        check: secrets::none,
    },
];

/// Runs every rule.
///
/// # Errors
/// When a rule could not be checked.
pub fn run(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for lint in LINTS {
        for fault in (lint.check)(subject)? {
            findings.push(Finding {
                lint: lint.name,
                fault,
            });
        }
    }
    Ok(findings)
}

fn fault(path: &TreePath, what: impl Into<String>) -> Fault {
    Fault {
        path: path.clone(),
        what: what.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clawdie_tree::{Content, Meta, Node};

    /// A small root that breaks no rule; `change` breaks one.
    fn findings(change: impl FnOnce(&mut Tree)) -> Vec<String> {
        let mut base = Tree::new(Meta::root(0o755, 0));
        let dir = Meta::root(0o755, 0);
        for (path, text) in [
            ("etc/shadow", "root:!*:1::::::\ndaemon:*:1::::::\n"),
            ("etc/machine-id", ""),
            (
                "etc/ssh/sshd_config",
                "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n",
            ),
            (
                "etc/ssh/sshd_config.d/10-clawdie.conf",
                "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin no\n",
            ),
        ] {
            let path = TreePath::new(path).unwrap();
            base.ensure_dirs(&path.parent().unwrap(), &dir).unwrap();
            base.insert(path, Node::file(Content::bytes(text), Meta::root(0o644, 0)))
                .unwrap();
        }
        let mut tree = base.clone();
        change(&mut tree);
        let subject = Subject {
            flavour: Flavour::Debian,
            tree: &tree,
            base: Some(&base),
            layer: None,
        };
        run(&subject)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn put(tree: &mut Tree, path: &str, text: &str, mode: u16) {
        let path = TreePath::new(path).unwrap();
        tree.ensure_dirs(&path.parent().unwrap(), &Meta::root(0o755, 0))
            .unwrap();
        tree.insert(path, Node::file(Content::bytes(text), Meta::root(mode, 0)))
            .unwrap();
    }

    #[test]
    fn a_sound_root_has_no_findings() {
        assert_eq!(findings(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_its_fault() {
        let hash = "root:$y$j9T$abc$def:1::::::\n";
        for (path, text, mode, expected) in [
            (
                "etc/shadow",
                hash,
                0o640,
                "locked-passwords: `/etc/shadow` gives `root` a password",
            ),
            (
                "etc/shadow",
                "root::1::::::\n",
                0o640,
                "locked-passwords: `/etc/shadow` lets `root` in without a password",
            ),
            (
                "etc/x",
                "",
                0o666,
                "world-writable: `/etc/x` can be changed by anybody (mode 0666)",
            ),
            (
                "usr/bin/x",
                "",
                0o4755,
                "new-setuid: `/usr/bin/x` is setuid or setgid (mode 4755), and the base has no such file",
            ),
            (
                "etc/machine-id",
                "0123\n",
                0o444,
                "host-identity: `/etc/machine-id` is not empty",
            ),
            (
                "etc/ssh/ssh_host_rsa_key",
                "k",
                0o600,
                "host-identity: `/etc/ssh/ssh_host_rsa_key` is a host key",
            ),
            (
                "etc/ssh/sshd_config.d/00-early.conf",
                "PasswordAuthentication yes\n",
                0o644,
                "sshd-keys-only: `/etc/ssh/sshd_config.d/00-early.conf` sets `PasswordAuthentication yes`; it must be `no`",
            ),
            (
                "usr/local/etc/rc.d/x",
                "#!/bin/sh\nif then\n",
                0o755,
                "service-scripts: `/usr/local/etc/rc.d/x` ",
            ),
        ] {
            let found = findings(|tree| put(tree, path, text, mode));
            assert!(
                found.iter().any(|line| line.starts_with(expected)),
                "{expected}: {found:?}"
            );
        }
    }

    #[test]
    fn sshd_must_say_each_rule() {
        let found = findings(|tree| {
            put(
                tree,
                "etc/ssh/sshd_config.d/10-clawdie.conf",
                "PermitRootLogin no\n",
                0o644,
            );
        });
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("`PasswordAuthentication` is nowhere set"),
            "{found:?}"
        );
    }

    #[test]
    fn secret_shapes_are_found() {
        let telegram = format!("{}:{}", "123456789", "A".repeat(35));
        let found = findings(|tree| {
            put(tree, "etc/colibri/x.env", &format!("T={telegram}\n"), 0o600);
        });
        assert_eq!(
            found,
            ["no-secrets: `/etc/colibri/x.env` holds what looks like a Telegram bot token"]
        );
    }
}
