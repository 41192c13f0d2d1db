//! How people of each flavour do things by hand: the words that our texts use for it.

/// Commands to name in reports and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
    /// In front of a command that only root may run.
    pub become_root: &'static str,
    /// Shows the machine's addresses.
    pub show_addresses: &'static str,
    /// Shows the log of Colibri's daemon.
    pub show_daemon_log: &'static str,
}

impl Habits {
    /// Debian 13.
    pub const DEBIAN: Self = Self {
        become_root: "sudo",
        show_addresses: "ip address",
        show_daemon_log: "journalctl -u colibri-daemon",
    };

    /// FreeBSD 15.
    pub const FREEBSD: Self = Self {
        become_root: "mdo",
        show_addresses: "ifconfig",
        show_daemon_log: "tail /var/log/colibri-daemon.log",
    };
}
