//! Addresses and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Outcome, RuleError};

/// An IP address.
///
/// # Errors
/// When the text is not one, or names no single host.
pub fn address(value: &str) -> Result<IpAddr, RuleError> {
    let address: IpAddr = value.parse().map_err(|_| {
        let error = RuleError::new("address", "is not an IP address");
        if value.contains('/') {
            error.remedy("Write the address alone, without the slash and what follows it.")
        } else {
            error
        }
    })?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(RuleError::new(
            "address",
            "is not the address of one machine",
        ));
    }
    Ok(address)
}

/// An IP address with a prefix length.
///
/// # Errors
/// When the text is not one, or the address is the network's own or its broadcast address.
pub fn address_with_prefix(value: &str) -> Result<(IpAddr, u8), RuleError> {
    let Some((host, prefix)) = value.split_once('/') else {
        return Err(match address(value) {
            Ok(IpAddr::V4(_)) => RuleError::new("prefix", "has no prefix length")
                .remedy(format!("In most home networks: STATIC_IP={value}/24")),
            Ok(IpAddr::V6(_)) => RuleError::new("prefix", "has no prefix length")
                .remedy(format!("In most networks: STATIC_IP={value}/64")),
            Err(error) => error,
        });
    };
    let address = address(host)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix.parse::<u8>() {
        Ok(bits) if (1..=most).contains(&bits) => bits,
        _ => {
            return Err(RuleError::new("prefix", "has a prefix length that is none")
                .at(host.len() + 1..value.len())
                .remedy(format!(
                    "The number behind the slash goes from 1 to {most}."
                )));
        }
    };
    if let IpAddr::V4(v4) = address
        && prefix < 31
    {
        let rest = v4.to_bits() & (u32::MAX >> prefix);
        if rest == 0 || rest == u32::MAX >> prefix {
            return Err(RuleError::new(
                "address",
                "is the network's own or its broadcast address, not a machine's",
            ));
        }
    }
    Ok((address, prefix))
}

/// Whether `other` lies in the network of `address`/`prefix`.
pub fn same_network(address: IpAddr, prefix: u8, other: IpAddr) -> bool {
    match (address, other) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            // Routers are commonly reached by their link-local address.
            a.to_bits() & mask == b.to_bits() & mask || b.is_unicast_link_local()
        }
        _ => false,
    }
}

/// The members of a list separated by commas or spaces.
pub fn split_list(value: &str) -> impl Iterator<Item = &str> {
    value
        .split([',', ' ', '\t', ';'])
        .filter(|part| !part.is_empty())
}

/// A list of name servers.
pub fn address_list(value: &str) -> Outcome {
    let mut count = 0;
    for part in split_list(value) {
        count += 1;
        if address(part).is_err() {
            let start = value.find(part).map_or(0, |at| value[..at].chars().count());
            return Err(
                RuleError::new("address", "has something in it that is not an IP address")
                    .at(start..start + part.chars().count()),
            );
        }
    }
    match count {
        1..=4 => Ok(()),
        0 => Err(RuleError::new("address", "has no address in it")),
        _ => Err(RuleError::new(
            "count",
            format!("has {count} addresses; at most 4 are used"),
        )),
    }
}

/// The address of a vault.
pub fn vault_url(value: &str) -> Outcome {
    let lower = value.to_ascii_lowercase();
    let (rest, secure) = match (
        lower.strip_prefix("https://"),
        lower.strip_prefix("http://"),
    ) {
        (Some(rest), _) => (rest, true),
        (_, Some(rest)) => (rest, false),
        _ => {
            return Err(RuleError::new("url", "does not start with https://")
                .remedy("Write the whole address, for example https://vault.example.org"));
        }
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(
            RuleError::new("url", "has a user name or password in it").remedy(
                "Write the server's address only; the account goes into the other vault lines.",
            ),
        );
    }
    let Some(host) = host_of(authority) else {
        return Err(RuleError::new("url", "has no proper server name in it"));
    };
    if rest.contains(char::is_whitespace) || rest.contains(['?', '#']) {
        return Err(RuleError::new("url", "has something behind the address")
            .remedy("Write the server's address only, without spaces, `?` or `#`."));
    }
    if !secure && !is_loopback(host) {
        return Err(RuleError::new(
            "insecure",
            "is an http:// address, which anyone can listen to",
        )
        .remedy("Use https:// (http:// is accepted only for 127.0.0.1, [::1] and localhost)."));
    }
    Ok(())
}

fn host_of(authority: &str) -> Option<&str> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(host);
    }
    let (host, port) = authority
        .split_once(':')
        .map_or((authority, None), |(h, p)| (h, Some(p)));
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (host.split('.').all(label) && port.is_none_or(is_port)).then_some(host)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port != 0)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
        || host
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The name of a Wi-Fi network: 1 to 32 bytes (IEEE 802.11).
pub fn wifi_ssid(value: &str) -> Outcome {
    match value.len() {
        1..=32 => Ok(()),
        length => Err(RuleError::new(
            "length",
            format!("is {length} bytes long; at most 32 fit"),
        )),
    }
}

/// A WPA passphrase (8 to 63 printable ASCII) or a 256-bit key in hexadecimal.
pub fn wifi_passphrase(value: &str) -> Outcome {
    let printable = value.bytes().all(|b| (0x20..0x7f).contains(&b));
    let hex = value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit());
    if hex || (printable && (8..=63).contains(&value.len())) {
        return Ok(());
    }
    if printable {
        return Err(RuleError::new(
            "length",
            "is too short or too long for a Wi-Fi password",
        ));
    }
    Err(RuleError::new(
        "characters",
        "has a character in it that no Wi-Fi password has",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert!(address("192.168.1.1").is_ok());
        assert!(address("fe80::1").is_ok());
        for bad in [
            "192.168.1",
            "192.168.1.300",
            "0.0.0.0",
            "224.0.0.1",
            "router",
            "10.0.0.1/8",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
        assert!(address_with_prefix("192.168.1.50/24").is_ok());
        assert!(address_with_prefix("2001:db8::5/64").is_ok());
        assert!(address_with_prefix("10.0.0.0/31").is_ok());
        for bad in [
            "192.168.1.50",
            "192.168.1.0/24",
            "192.168.1.255/24",
            "10.0.0.1/33",
            "10.0.0.1/0",
        ] {
            assert!(address_with_prefix(bad).is_err(), "{bad}");
        }
        assert!(address_list("9.9.9.9, 2620:fe::fe").is_ok());
        assert!(address_list("9.9.9.9 dns.example").is_err());
        assert!(address_list(", ,").is_err());
    }

    #[test]
    fn networks() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(same_network(ip("192.168.1.50"), 24, ip("192.168.1.1")));
        assert!(!same_network(ip("192.168.1.50"), 24, ip("192.168.2.1")));
        assert!(!same_network(ip("192.168.1.50"), 24, ip("fe80::1")));
        assert!(same_network(ip("2001:db8::5"), 64, ip("fe80::1")));
    }

    #[test]
    fn vault_addresses() {
        for good in [
            "https://vault.example.org",
            "https://vault.example.org:8443/base",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://localhost",
        ] {
            assert!(vault_url(good).is_ok(), "{good}");
        }
        for bad in [
            "vault.example.org",
            "http://vault.example.org",
            "https://",
            "https://me:pw@vault.example.org",
            "https://vault.example.org/?x=1",
            "http://localhost.example.org",
            "https://vault.example.org:99999",
        ] {
            assert!(vault_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wifi() {
        assert!(wifi_ssid("Café Zoë").is_ok());
        assert!(wifi_ssid(&"é".repeat(17)).is_err());
        assert!(wifi_passphrase("correct horse").is_ok());
        assert!(wifi_passphrase("short").is_err());
        assert!(wifi_passphrase(&"ab".repeat(32)).is_ok());
        assert!(wifi_passphrase(&"zz".repeat(32)).is_err());
    }
}
