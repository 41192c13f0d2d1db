//! Rules that a tree must keep before it is called an image.
//!
//! Each is a row of [`LINTS`]: a name, one line on why, and a function. The outer `Result` of that
//! function means "could not run", what it returns means "found a fault".

mod accounts;
mod files;
mod identity;
mod rc;
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
        name: "growfs-without-swap",
        why: "a swap partition behind the root would keep it from growing",
        check: rc::growfs_without_swap,
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

    const BASES_PASSWORDS: &str = "# $FreeBSD$\nroot::0:0::0:0:Charlie &:/root:/bin/sh\n\
        toor:*:0:0::0:0:Bourne-again Superuser:/root:\n";
    const SEED: &str = include_str!("../../../rc.d/clawdie_seed");
    const RC_CONF: &str = include_str!("../../../overlays/freebsd/etc/rc.conf");

    /// The same for FreeBSD: as much of its base as the rules ask for, with our own files over it.
    fn findings_on_freebsd(change: impl FnOnce(&mut Tree)) -> Vec<String> {
        let mut base = Tree::new(Meta::root(0o755, 0));
        put(&mut base, "etc/master.passwd", BASES_PASSWORDS, 0o600);
        put(&mut base, "etc/pwd.db", "database", 0o644);
        put(&mut base, "etc/spwd.db", "database", 0o600);
        put(&mut base, "usr/bin/su", "su", 0o4555);
        for (name, header) in [
            ("FILESYSTEMS", ""),
            ("netif", "# REQUIRE: FILESYSTEMS\n"),
            ("NETWORKING", "# REQUIRE: netif\n"),
            ("DAEMON", "# REQUIRE: NETWORKING\n"),
            ("LOGIN", "# REQUIRE: DAEMON\n"),
            ("sshd", "# REQUIRE: LOGIN FILESYSTEMS\n"),
        ] {
            let text = format!("#!/bin/sh\n\n# PROVIDE: {name}\n{header}");
            put(&mut base, &format!("etc/rc.d/{name}"), &text, 0o555);
        }
        let mut tree = base.clone();
        put(&mut tree, "etc/rc.d/clawdie_seed", SEED, 0o555);
        put(&mut tree, "etc/rc.conf", RC_CONF, 0o644);
        put(
            &mut tree,
            "etc/ssh/sshd_config",
            include_str!("../../../overlays/freebsd/etc/ssh/sshd_config"),
            0o644,
        );
        change(&mut tree);
        let subject = Subject {
            flavour: Flavour::Freebsd,
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

    #[test]
    fn freebsds_overlay_breaks_no_rule() {
        assert_eq!(findings_on_freebsd(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_its_fault_on_freebsd() {
        let no_switch = RC_CONF.replace("clawdie_seed_enable=\"YES\"\n", "");
        let swap = RC_CONF.replace("growfs_swap_size=\"0\"", "growfs_swap_size=\"\"");
        let no_swap_line = RC_CONF.replace("growfs_swap_size=\"0\"\n", "");
        let late = SEED.replace("# BEFORE: hostname netif NETWORKING\n", "");
        let once = SEED.replace("# KEYWORD: nojail\n", "# KEYWORD: nojail firstboot\n");
        let behind = SEED.replace("# PROVIDE: clawdie_seed\n", "# PROVIDE: clawdie_seed\n\n");
        let key = format!("OPENROUTER_API_KEY=sk-or-v1-{}\n", "0a".repeat(32));
        for text in [&no_switch, &swap, &no_swap_line] {
            assert_ne!(text, RC_CONF);
        }
        for text in [&late, &once, &behind] {
            assert_ne!(text, SEED);
        }
        let open = "locked-passwords: `/etc/master.passwd` lets `root` in without a password, as in \
                    the base, and ";
        let rc = "etc/rc.conf";
        let seed = "etc/rc.d/clawdie_seed";
        let sshd = "etc/ssh/sshd_config";
        let accounts = "etc/master.passwd";
        for (path, text, mode, expected) in [
            (
                accounts,
                "root:*:0:0::0:0::/root:/bin/sh\ntoor::0:0::0:0::/root:\n",
                0o600,
                "locked-passwords: `/etc/master.passwd` lets `toor` in without a password".into(),
            ),
            (
                accounts,
                "root:$6$salt$hash:0:0::0:0::/root:/bin/sh\n",
                0o600,
                "locked-passwords: `/etc/master.passwd` gives `root` a password".into(),
            ),
            (
                accounts,
                "root:*:0:0::0:0::/root:/bin/sh\n",
                0o600,
                "locked-passwords: `/etc/master.passwd` is not the base's".into(),
            ),
            (
                "etc/spwd.db",
                "another",
                0o600,
                "locked-passwords: `/etc/spwd.db` is not the base's".into(),
            ),
            (
                rc,
                &no_switch,
                0o644,
                format!("{open}`clawdie_seed_enable` is not YES in rc.conf"),
            ),
            (
                "etc/rc.conf.local",
                "clawdie_seed_enable=NO # later\n",
                0o644,
                format!("{open}`clawdie_seed_enable` is not YES in rc.conf"),
            ),
            (
                seed,
                SEED,
                0o444,
                format!("{open}`/etc/rc.d/clawdie_seed` cannot be executed"),
            ),
            (
                seed,
                &late,
                0o555,
                format!(
                    "{open}nothing in the headers puts `/etc/rc.d/clawdie_seed` before `LOGIN`"
                ),
            ),
            (
                seed,
                &behind,
                0o555,
                format!("{open}nothing in the headers puts"),
            ),
            (
                seed,
                &once,
                0o555,
                format!("{open}`/etc/rc.d/clawdie_seed` has the keyword `firstboot`"),
            ),
            (
                "etc/rc.d/sshd",
                "#!/bin/sh\n# PROVIDE: sshd\n# REQUIRE: FILESYSTEMS\n",
                0o555,
                format!("{open}nothing in the headers puts `/etc/rc.d/clawdie_seed` before `sshd`"),
            ),
            (
                rc,
                &swap,
                0o644,
                "growfs-without-swap: `/etc/rc.conf` sets `growfs_swap_size` to ``; it must be `0`"
                    .into(),
            ),
            (
                rc,
                &no_swap_line,
                0o644,
                "growfs-without-swap: `/etc/rc.conf` does not set".into(),
            ),
            (
                "usr/local/etc/colibri/provider.env",
                &key,
                0o600,
                "no-secrets: `/usr/local/etc/colibri/provider.env` holds what looks like an \
                 OpenRouter key"
                    .into(),
            ),
            (
                sshd,
                "#PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin no\n",
                0o644,
                "sshd-keys-only: `/etc/ssh/sshd_config` and what it includes: \
                 `PasswordAuthentication` is nowhere set to `no`"
                    .into(),
            ),
            (
                sshd,
                "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin no\n\
                 PermitEmptyPasswords yes\n",
                0o644,
                "sshd-keys-only: `/etc/ssh/sshd_config` sets `PermitEmptyPasswords yes`".into(),
            ),
            (
                "usr/bin/new",
                "",
                0o4555,
                "new-setuid: `/usr/bin/new` is setuid or setgid (mode 4555)".into(),
            ),
            (
                "usr/bin/su",
                "another",
                0o4555,
                "new-setuid: `/usr/bin/su` is setuid".into(),
            ),
            (
                "usr/local/etc/rc.d/x",
                "#!/bin/sh\n",
                0o644,
                "service-scripts: `/usr/local/etc/rc.d/x` cannot be executed".into(),
            ),
            (
                "usr/local/etc/rc.d/x",
                "#!/usr/bin/perl\n",
                0o755,
                "service-scripts: `/usr/local/etc/rc.d/x` is not a script of `/bin/sh`".into(),
            ),
        ] {
            let found = findings_on_freebsd(|tree| put(tree, path, text, mode));
            assert!(
                found.iter().any(|line| line.starts_with(&expected)),
                "{expected}: {found:?}"
            );
        }
        let gone = findings_on_freebsd(|tree| {
            tree.remove(&TreePath::new(seed).unwrap());
        });
        assert_eq!(gone, [format!("{open}`/etc/rc.d/clawdie_seed` is missing")]);
    }

    /// FreeBSD's own file includes nothing, and then a drop-in is a file like any other.
    #[test]
    fn a_drop_in_counts_where_the_main_file_includes_it() {
        let main = "etc/ssh/sshd_config";
        let drop_in = "etc/ssh/sshd_config.d/10-clawdie.conf";
        let keys_only =
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin no\n";
        let found = findings(|tree| put(tree, main, "UsePAM yes\n", 0o644));
        assert_eq!(found.len(), 3, "{found:?}");
        let include = "Include sshd_config.d/*.conf\n";
        let found = findings(|tree| put(tree, main, include, 0o644));
        assert_eq!(found, Vec::<String>::new());
        // The first value counts, and nothing behind `Match` is for everybody.
        let late = format!("PasswordAuthentication yes\n{include}");
        let found = findings(|tree| put(tree, main, &late, 0o644));
        assert_eq!(found.len(), 1, "{found:?}");
        let some = format!("Match User ada\n{include}");
        let found = findings(|tree| put(tree, main, &some, 0o644));
        assert_eq!(found.len(), 3, "{found:?}");
        let matched = format!("Match User ada\n{keys_only}");
        let found = findings(|tree| {
            put(tree, drop_in, &matched, 0o644);
            put(tree, main, &format!("{include}{keys_only}"), 0o644);
        });
        assert_eq!(found, Vec::<String>::new());
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
