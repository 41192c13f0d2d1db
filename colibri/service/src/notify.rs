//! Tells systemd how far we are: one datagram to `$NOTIFY_SOCKET`, see
//! sd_notify(3). Elsewhere the variable is not set and nothing happens.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The socket answers.
pub fn ready() {
    tell("READY=1\nSTATUS=Answering");
}

/// The end has begun.
pub fn stopping() {
    tell("STOPPING=1\nSTATUS=Stopping");
}

/// Whether systemd has started us, as its unit says.
pub fn is_service() -> bool {
    name().is_some()
}

fn name() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())
}

fn tell(what: &str) {
    let Some(name) = name() else {
        return;
    };
    let sent = address(name.as_bytes())
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(what.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!("cannot tell the service manager `{what}`: {error}");
    }
}

/// A path, or a name in Linux's abstract space, which is written with `@`.
fn address(name: &[u8]) -> std::io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(abstract_name) = name.strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(abstract_name);
    }
    SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))
}
