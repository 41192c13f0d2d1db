//! What the root helper, `colibri-hostd`, is asked and answers.
//!
//! Over a Unix socket that only root and the account of the daemon may open, one JSON object to a
//! line in each direction. Nothing in a request is a path, a command line or a piece of configuration: tenants
//! have names that are checked where they are read, programs are those of a list, and the rest are numbers.
//!
//! ```text
//! -> {"cmd":"create-jail","tenant":"main","number":1,"limits":{…}}
//! <- {"ok":true,"reply":"jail","tenant":"main","running":false,…}
//! <- {"ok":false,"kind":"vault-not-configured","message":"…","remedy":"…"}
//! ```

mod client;
mod frame;
pub mod passing;
mod reply;
mod request;

pub use client::{Client, ClientError, Running};
pub use frame::{Answer, answer_from_line, answer_to_line, too_long};
pub use reply::{
    AgentExit, ErrorKind, HostError, HostFacts, JailInfo, Provisioned, Reply, SecretNames,
};
pub use request::{
    AgentProgram, ExecJail, JailRequest, Limits, NoFields, Provision, Request, TenantRequest,
};

/// The socket of the helper.
pub const SOCKET: &str = if cfg!(target_os = "freebsd") {
    "/var/run/colibri-hostd/hostd.sock"
} else {
    "/run/colibri-hostd/hostd.sock"
};

/// Names the helper's socket for the daemon, in tests say.
pub const SOCKET_VARIABLE: &str = "COLIBRI_HOSTD_SOCKET";

/// The account that besides root may ask: the daemon's.
pub const ACCOUNT: &str = "colibri";

/// What starts the helper by hand; used in messages.
pub const START_SERVICE: &str = if cfg!(target_os = "freebsd") {
    "service colibri_hostd onestart"
} else {
    "systemctl start colibri-hostd"
};

/// What shows the helper's log; used in messages.
pub const SHOW_LOG: &str = if cfg!(target_os = "freebsd") {
    "tail /var/log/colibri-hostd.log"
} else {
    "journalctl -u colibri-hostd"
};

/// Below it, every tenant has a folder of its name, which belongs to the daemon's account: the sockets of its
/// agents lie in it, and its jail sees it as [`DOORS_IN_JAIL`].
pub const DOORS: &str = if cfg!(target_os = "freebsd") {
    "/var/run/colibri-hostd/tenants"
} else {
    "/run/colibri-hostd/tenants"
};

/// Where a jail sees the sockets of its agents.
pub const DOORS_IN_JAIL: &str = if cfg!(target_os = "freebsd") {
    "/var/run/colibri"
} else {
    "/run/colibri"
};

/// Longest line, in bytes.
pub const MAX_LINE: usize = 256 * 1024;
