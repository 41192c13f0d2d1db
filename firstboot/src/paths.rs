//! The fixed places of each flavour, in one table.
//!
//! Paths here are absolute and never carry a test's root prefix: the [`Host`](crate::host::Host) adds that where it
//! touches the file system, so that every text the operator reads names the real place.

use std::path::Path;

/// Where things live on one flavour (spec, "Fixed places").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paths {
    /// Configuration of the host side.
    pub config: &'static str,
    /// Colibri's configuration: `provider.env` and `vault.env`, 0600 root.
    pub colibri_config: &'static str,
    /// The environment file with the provider's key that the daemon's service reads.
    pub provider_env: &'static str,
    /// The agent's own state, 0700 root.
    pub state: &'static str,
    /// The journal inside [`Paths::state`].
    pub journal: &'static str,
    /// What this host is, once a seed has been applied in full.
    pub identity: &'static str,
    /// What is known of a seed that was emptied of secrets.
    pub emptied: &'static str,
    /// What is known of this machine.
    pub facts: &'static str,
    /// Who may open the dashboard, 0600 root.
    pub operator: &'static str,
    /// Colibri's database and sessions.
    pub colibri_data: &'static str,
    /// The daemon's run directory.
    pub colibri_run: &'static str,
    /// The daemon's socket.
    pub colibri_socket: &'static str,
    /// Parent of the tenants' roots.
    pub tenants: &'static str,
    /// The agent's log, 0600 root.
    pub log: &'static str,
    /// The agent's run directory, 0700 root, gone at power-off.
    pub run: &'static str,
    /// What the early phase tells the late phase of the same boot.
    pub handover: &'static str,
    /// Has something in it while the console should offer to correct `setup.txt`.
    pub wizard_wanted: &'static str,
    /// Where the seed is mounted while it is read or reported to.
    pub seed_mount: &'static str,
    /// Shown at every login.
    pub motd: &'static str,
    /// Model profiles, shipped with the image.
    pub profiles: &'static str,
    /// Packages, shipped with images of FreeBSD that have some.
    pub packages: &'static str,
}

impl Paths {
    /// Debian 13.
    pub const DEBIAN: Self = Self {
        config: "/etc/clawdie",
        colibri_config: "/etc/colibri",
        provider_env: "/etc/colibri/provider.env",
        state: "/var/lib/clawdie",
        journal: "/var/lib/clawdie/journal",
        identity: "/var/lib/clawdie/identity.json",
        emptied: "/var/lib/clawdie/emptied.json",
        facts: "/var/lib/clawdie/facts.json",
        operator: "/etc/colibri/operator.json",
        colibri_data: "/var/lib/colibri",
        colibri_run: "/run/colibri",
        colibri_socket: "/run/colibri/colibri.sock",
        tenants: "/var/lib/machines",
        log: "/var/log/clawdie-firstboot.log",
        run: "/run/clawdie",
        handover: "/run/clawdie/early.json",
        wizard_wanted: "/run/clawdie/wizard-wanted",
        seed_mount: "/run/clawdie/seed",
        motd: "/etc/motd",
        profiles: "/usr/local/share/clawdie-iso/profiles.toml",
        packages: "/usr/local/share/clawdie-iso/packages",
    };

    /// FreeBSD 15. `/etc/motd` is generated there, from the template named here.
    pub const FREEBSD: Self = Self {
        config: "/usr/local/etc/clawdie",
        colibri_config: "/usr/local/etc/colibri",
        provider_env: "/usr/local/etc/colibri/provider.env",
        state: "/var/db/clawdie",
        journal: "/var/db/clawdie/journal",
        identity: "/var/db/clawdie/identity.json",
        emptied: "/var/db/clawdie/emptied.json",
        facts: "/var/db/clawdie/facts.json",
        operator: "/usr/local/etc/colibri/operator.json",
        colibri_data: "/var/db/colibri",
        colibri_run: "/var/run/colibri",
        colibri_socket: "/var/run/colibri/colibri.sock",
        tenants: "/usr/local/bastille/jails",
        log: "/var/log/clawdie-firstboot.log",
        run: "/var/run/clawdie",
        handover: "/var/run/clawdie/early.json",
        wizard_wanted: "/var/run/clawdie/wizard-wanted",
        seed_mount: "/var/run/clawdie/seed",
        motd: "/etc/motd.template",
        profiles: "/usr/local/share/clawdie-iso/profiles.toml",
        packages: "/usr/local/share/clawdie-iso/packages",
    };

    /// Every path of the table, for checks over all of them.
    pub fn all(&self) -> [&'static Path; 21] {
        [
            self.config,
            self.colibri_config,
            self.provider_env,
            self.state,
            self.journal,
            self.identity,
            self.emptied,
            self.facts,
            self.operator,
            self.colibri_data,
            self.colibri_run,
            self.colibri_socket,
            self.tenants,
            self.log,
            self.run,
            self.handover,
            self.wizard_wanted,
            self.seed_mount,
            self.motd,
            self.profiles,
            self.packages,
        ]
        .map(Path::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_absolute_and_nested_places_agree() {
        for paths in [Paths::DEBIAN, Paths::FREEBSD] {
            for path in paths.all() {
                assert!(path.is_absolute(), "{}", path.display());
            }
            for (inner, outer) in [
                (paths.journal, paths.state),
                (paths.identity, paths.state),
                (paths.emptied, paths.state),
                (paths.facts, paths.state),
                (paths.provider_env, paths.colibri_config),
                (paths.operator, paths.colibri_config),
                (paths.colibri_socket, paths.colibri_run),
                (paths.handover, paths.run),
                (paths.wizard_wanted, paths.run),
                (paths.seed_mount, paths.run),
            ] {
                assert!(
                    Path::new(inner).starts_with(outer),
                    "{inner} is not below {outer}"
                );
            }
        }
    }

    #[test]
    fn the_table_is_the_specification_s() {
        assert_eq!(Paths::DEBIAN.state, "/var/lib/clawdie");
        assert_eq!(Paths::DEBIAN.provider_env, "/etc/colibri/provider.env");
        assert_eq!(Paths::FREEBSD.state, "/var/db/clawdie");
        assert_eq!(
            Paths::FREEBSD.provider_env,
            "/usr/local/etc/colibri/provider.env"
        );
    }
}
