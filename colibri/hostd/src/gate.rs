//! Who may ask. The kernel says who is at the other end; we decide.

use std::os::unix::net::UnixStream;

use colibri_host::{ErrorKind, HostError};
use colibri_service::accounts;

/// The account at the other end, as the kernel vouches for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    /// Its process, where the kernel tells (Linux), for the log only.
    pub(crate) pid: i32,
}

impl Peer {
    /// Who connected.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn of(stream: &UnixStream) -> nix::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
            let peer = getsockopt(stream, PeerCredentials)?;
            Ok(Self {
                uid: peer.uid(),
                pid: peer.pid(),
            })
        }
        #[cfg(not(target_os = "linux"))]
        {
            let (uid, _) = nix::unistd::getpeereid(stream)?;
            Ok(Self {
                uid: uid.as_raw(),
                pid: 0,
            })
        }
    }

    pub(crate) fn is_root(self) -> bool {
        self.uid == 0
    }
}

/// Root, and one account.
#[derive(Debug)]
pub(crate) struct Gate {
    account: String,
}

impl Gate {
    pub(crate) fn of(account: String) -> Self {
        Self { account }
    }

    /// Whether this peer may ask. The file of accounts is read each time, so that an account made a minute ago
    /// gets in.
    ///
    /// # Errors
    /// `forbidden`; also when the file cannot be read.
    pub(crate) fn admit(&self, peer: Peer) -> Result<(), HostError> {
        if peer.is_root() {
            return Ok(());
        }
        match accounts::uid_of(&self.account) {
            Ok(Some(uid)) if uid == peer.uid => Ok(()),
            Ok(_) => Err(HostError::new(
                ErrorKind::Forbidden,
                format!(
                    "uid {} is neither root nor the account `{}`, which alone are answered here",
                    peer.uid, self.account
                ),
            )
            .with_remedy("ask the daemon, with `colibri`")),
            Err(error) => {
                tracing::error!("cannot tell who may ask: {error}");
                Err(HostError::new(
                    ErrorKind::Forbidden,
                    "the root helper could not read its list of accounts; its log has the reason",
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_account_and_nobody_else() {
        let daemon = accounts::uid_of("daemon").unwrap().unwrap();
        let gate = Gate::of("daemon".to_owned());
        let admit = |uid| gate.admit(Peer { uid, pid: 1 });
        assert!(admit(0).is_ok() && admit(daemon).is_ok());
        for other in [daemon + 1, 65_534, u32::MAX] {
            assert_eq!(admit(other).unwrap_err().kind, ErrorKind::Forbidden);
        }
        let gate = Gate::of("no-such-account".to_owned());
        assert!(gate.admit(Peer { uid: 820, pid: 1 }).is_err());
    }
}
