//! Where things lie on each flavour; the one place that knows.

use std::ffi::OsString;
use std::path::PathBuf;

/// The socket the daemon listens on unless told otherwise.
pub const SOCKET: &str = if RUN_UNDER_VAR {
    "/var/run/colibri/colibri.sock"
} else {
    "/run/colibri/colibri.sock"
};

/// The directory of the daemon's data unless told otherwise.
pub const DATA_DIR: &str = if RUN_UNDER_VAR {
    "/var/db/colibri"
} else {
    "/var/lib/colibri"
};

/// The database's file name within the data directory.
pub const DATABASE: &str = "colibri.sqlite";

/// The folder of skills within the data directory: each skill is `NAME/SKILL.md` in it.
pub const SKILLS: &str = "skills";

/// The folder of agents within the data directory: each has one of its name in it, which is its home.
pub const AGENTS: &str = "agents";

/// The file that says whether, and how often, agents may ask for further tenants.
pub const REPLICATION_POLICY: &str = if RUN_UNDER_VAR {
    "/usr/local/etc/clawdie/replication.toml"
} else {
    "/etc/clawdie/replication.toml"
};

/// What the roots of all jails lie below, unless [`JAILS_VARIABLE`] names another folder.
pub const JAILS: &str = if RUN_UNDER_VAR {
    "/usr/local/bastille/jails"
} else {
    "/var/lib/machines"
};

/// Names another folder for the roots of jails.
pub const JAILS_VARIABLE: &str = "COLIBRI_JAIL_ROOT_BASE";

/// The agent's home below every jail's root.
pub const JAIL_HOME: &str = "home/agent";

/// The UNIX group whose members may use the socket.
pub const GROUP: &str = "colibri";

/// Names the daemon's socket for the daemon and for every client; in an agent's environment it is the
/// agent's own.
pub const SOCKET_VARIABLE: &str = "COLIBRI_DAEMON_SOCKET";

/// What starts the service by hand; used in messages.
pub const START_SERVICE: &str = if RUN_UNDER_VAR {
    "service colibri_daemon start"
} else {
    "systemctl start colibri-daemon"
};

/// What starts the service anew by hand; used in messages.
pub const RESTART_SERVICE: &str = if RUN_UNDER_VAR {
    "service colibri_daemon restart"
} else {
    "systemctl restart colibri-daemon"
};

/// What shows which programs hold which files locked, or open; used in messages.
pub const SHOW_HOLDERS: &str = if RUN_UNDER_VAR { "fstat" } else { "lslocks" };

/// What shows the service's log; used in messages.
pub const SHOW_LOG: &str = if RUN_UNDER_VAR {
    "tail /var/log/colibri-daemon.log"
} else {
    "journalctl -u colibri-daemon"
};

/// What puts an account into the group; used in messages.
pub const JOIN_GROUP: &str = if RUN_UNDER_VAR {
    "pw groupmod colibri -m NAME"
} else {
    "usermod -aG colibri NAME"
};

const RUN_UNDER_VAR: bool = cfg!(target_os = "freebsd");

/// The socket that a client talks to: its flag, else [`SOCKET_VARIABLE`] unless that is empty, else
/// [`SOCKET`]. One answer for all clients, so that none talks to another daemon than its neighbour.
pub fn socket(flag: Option<PathBuf>) -> PathBuf {
    chosen(flag, std::env::var_os(SOCKET_VARIABLE))
}

fn chosen(flag: Option<PathBuf>, variable: Option<OsString>) -> PathBuf {
    flag.or_else(|| {
        variable
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    })
    .unwrap_or_else(|| SOCKET.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_the_flag_then_the_variable_then_the_default() {
        let flag = || Some(PathBuf::from("/flag"));
        let variable = || Some(OsString::from("/variable"));
        assert_eq!(chosen(flag(), variable()), PathBuf::from("/flag"));
        assert_eq!(chosen(None, variable()), PathBuf::from("/variable"));
        assert_eq!(chosen(None, Some(OsString::new())), PathBuf::from(SOCKET));
        assert_eq!(chosen(None, None), PathBuf::from(SOCKET));
    }
}
