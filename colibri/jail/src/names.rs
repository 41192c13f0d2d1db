//! What a jail knows of names, on both systems: its `/etc/hosts`, and whom it asks for others.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use crate::face::Jail;
use crate::files::read;
use crate::{JailError, Places, numbers};

/// Asked when this host knows no name server that a jail can reach.
const PUBLIC_RESOLVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(9, 9, 9, 9), Ipv4Addr::new(1, 1, 1, 1)];

/// The jail's `/etc/hosts`.
pub(crate) fn hosts(jail: &Jail) -> String {
    format!(
        "127.0.0.1 localhost\n{} {}\n",
        numbers::address(jail.number),
        jail.tenant
    )
}

/// The jail's `/etc/resolv.conf`: the name servers that this host asks, because those on the host itself
/// cannot be reached from a jail.
pub(crate) fn resolv_conf(places: &Places) -> Result<String, JailError> {
    let mut servers = Vec::new();
    for path in ["run/systemd/resolve/resolv.conf", "etc/resolv.conf"] {
        if servers.is_empty()
            && let Some(text) = read(&places.host(path))?
        {
            servers = resolvers(&String::from_utf8_lossy(&text));
        }
    }
    if servers.is_empty() {
        servers.extend(PUBLIC_RESOLVERS);
    }
    let mut text = "# Written by colibri-hostd, anew at each start of this jail.\n".to_owned();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    Ok(text)
}

/// The first three name servers that a jail can reach.
fn resolvers(text: &str) -> Vec<Ipv4Addr> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok())
        .filter_map(|address: IpAddr| match address {
            IpAddr::V4(address) => Some(address),
            // Jails have no IPv6.
            IpAddr::V6(_) => None,
        })
        .filter(|address| !address.is_loopback() && !address.is_unspecified())
        .take(3)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_on_the_host_itself_are_of_no_use() {
        let stub = "# stub\nnameserver 127.0.0.53\noptions edns0\nsearch lan\n";
        assert!(resolvers(stub).is_empty());
        let many = "nameserver ::1\nnameserver fe80::1%eth0\n nameserver 192.168.1.1 \nnameserver 10.0.0.1\nnameserver 8.8.8.8\nnameserver 8.8.4.4\nnameservers 1.2.3.4\n";
        let found: Vec<String> = resolvers(many).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.168.1.1", "10.0.0.1", "8.8.8.8"]);
        let folder = tempfile::tempdir().unwrap();
        let places = Places::within(folder.path());
        let text = resolv_conf(&places).unwrap();
        assert!(text.ends_with("nameserver 9.9.9.9\nnameserver 1.1.1.1\n"));
    }
}
