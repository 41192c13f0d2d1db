//! Where things lie on each flavour; the one place that knows.

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

/// The UNIX group whose members may use the socket.
pub const GROUP: &str = "colibri";

/// Names the daemon's socket for the daemon and for every client.
pub const SOCKET_VARIABLE: &str = "COLIBRI_DAEMON_SOCKET";

/// What starts the service by hand; used in messages.
pub const START_SERVICE: &str = if RUN_UNDER_VAR {
    "service colibri_daemon start"
} else {
    "systemctl start colibri-daemon"
};

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
