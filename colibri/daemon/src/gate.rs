//! Who may use a socket, and with what rights. The kernel says who the peer is; we decide.

use std::path::Path;

use colibri_protocol::{ErrorKind, ReplyError, place};
use colibri_service::accounts;
use nix::unistd::geteuid;

use crate::rights::{AgentIdentity, Rights};

/// The account at the other end, as the kernel vouches for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Peer {
    /// Whether it is root or our own account, which nothing could be kept from.
    fn is_root_or_us(self) -> bool {
        self.uid == 0 || self.uid == geteuid().as_raw()
    }
}

/// Decides for one socket.
#[derive(Debug)]
pub(crate) enum Gate {
    /// The daemon's own socket.
    Operators {
        /// Its members may use it, too.
        group: String,
    },
    /// An agent's socket. Its account is ours; or it runs in a jail, and whoever reaches its socket there
    /// is of that jail.
    Agent(AgentIdentity),
}

impl Gate {
    /// The rights of this peer.
    ///
    /// # Errors
    /// `forbidden` with what to do.
    pub(crate) fn admit(&self, peer: Peer) -> Result<Rights, ReplyError> {
        match self {
            Self::Operators { group } => {
                admit_operator(peer, group)?;
                Ok(Rights::Operator { uid: peer.uid })
            }
            Self::Agent(agent) if agent.tenant.is_some() || peer.is_root_or_us() => {
                Ok(Rights::Agent(agent.clone()))
            }
            Self::Agent(agent) => Err(ReplyError::new(
                ErrorKind::Forbidden,
                format!(
                    "this is the socket of agent {}, and this account (uid {}) is not the agent's; \
                     operators use the daemon's own socket",
                    agent.name, peer.uid
                ),
            )),
        }
    }
}

/// Whether root, our own account, or a member of the group asks. The files are read each time, so
/// that a member added a minute ago gets in and one removed stays out, without a restart.
///
/// # Errors
/// `forbidden` with what to do; also when the files cannot be read.
fn admit_operator(peer: Peer, group: &str) -> Result<(), ReplyError> {
    if peer.is_root_or_us() {
        return Ok(());
    }
    let files = accounts::read(Path::new("/etc/passwd"))
        .and_then(|passwd| Ok((passwd, accounts::read(Path::new("/etc/group"))?)));
    let refusal = match files {
        Ok((passwd, groups)) => {
            if accounts::is_member(&passwd, &groups, group, peer.uid, peer.gid) {
                return Ok(());
            }
            format!(
                "this account (uid {}) is neither root nor in the group `{group}`; add it with \
                 `{}`",
                peer.uid,
                place::JOIN_GROUP
            )
        }
        Err(error) => {
            tracing::error!("cannot tell who may use the socket: {error}");
            "the daemon could not read its list of accounts; its log has the reason".to_owned()
        }
    };
    Err(ReplyError::new(ErrorKind::Forbidden, refusal))
}
