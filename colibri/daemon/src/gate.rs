//! Who may use the socket. The kernel says who the peer is; we decide.

use std::path::Path;

use colibri_protocol::{ErrorKind, ReplyError, place};

use crate::accounts;

/// The account at the other end, as the kernel vouches for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Peer {
    /// How the peer is named in the record of events.
    pub(crate) fn actor(self) -> String {
        format!("uid:{}", self.uid)
    }
}

/// Decides by account and group.
#[derive(Debug)]
pub(crate) struct Gate {
    own_uid: u32,
    group: String,
}

impl Gate {
    pub(crate) fn new(group: &str) -> Self {
        Self {
            own_uid: nix::unistd::geteuid().as_raw(),
            group: group.to_owned(),
        }
    }

    /// Whether root, our own account, or a member of the group asks. The
    /// files are read each time, so that a member added a minute ago gets in
    /// and one removed stays out, without a restart.
    ///
    /// # Errors
    /// `forbidden` with what to do; also when the files cannot be read.
    pub(crate) fn admit(&self, peer: Peer) -> Result<(), ReplyError> {
        if peer.uid == 0 || peer.uid == self.own_uid {
            return Ok(());
        }
        let files = accounts::read(Path::new("/etc/passwd"))
            .and_then(|passwd| Ok((passwd, accounts::read(Path::new("/etc/group"))?)));
        let refusal = match files {
            Ok((passwd, groups)) => {
                if accounts::is_member(&passwd, &groups, &self.group, peer.uid, peer.gid) {
                    return Ok(());
                }
                format!(
                    "this account (uid {}) is neither root nor in the group `{}`; \
                     add it with `{}`",
                    peer.uid,
                    self.group,
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
}
