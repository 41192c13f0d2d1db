//! The machine's addresses.

use super::{Address, HostError};

/// Addresses of this machine that others can use.
pub(super) fn addresses() -> Result<Vec<Address>, HostError> {
    let interfaces = nix::ifaddrs::getifaddrs()
        .map_err(|errno| HostError::io("listing the network interfaces")(errno.into()))?;
    let mut found = Vec::new();
    for interface in interfaces {
        let Some(storage) = interface.address else {
            continue;
        };
        let address = if let Some(v4) = storage.as_sockaddr_in() {
            let ip = v4.ip();
            if ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() {
                continue;
            }
            ip.to_string()
        } else if let Some(v6) = storage.as_sockaddr_in6() {
            let ip = v6.ip();
            if ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() {
                continue;
            }
            ip.to_string()
        } else {
            continue;
        };
        found.push(Address {
            interface: interface.interface_name,
            address,
        });
    }
    // IPv4 first: that is what people type.
    found.sort_by_key(|address| (address.address.contains(':'), address.interface.clone()));
    found.dedup();
    Ok(found)
}
