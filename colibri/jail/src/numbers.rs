//! What is made from a tenant's number: addresses, accounts, the name of its network link.

use std::net::Ipv4Addr;

use colibri_protocol::TenantNumber;

/// All jails' addresses lie in this.
pub(crate) const NETWORK: &str = "10.213.0.0/16";

/// The host's address on FreeBSD's bridge: no tenant has number 0.
pub(crate) const BRIDGE: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);

/// The user and group `agent` in every jail.
pub(crate) const AGENT: u32 = 1000;

/// How many accounts a jail has on Debian.
pub(crate) const IDS: u32 = 65_536;

/// A jail's address. On Debian it shares a network of four addresses with the host alone.
pub(crate) fn address(number: TenantNumber) -> Ipv4Addr {
    in_network(number, 2)
}

/// The host's end of a jail's link on Debian.
pub(crate) fn gateway(number: TenantNumber) -> Ipv4Addr {
    in_network(number, 1)
}

fn in_network(number: TenantNumber, host: u8) -> Ipv4Addr {
    let [high, low] = number.get().to_be_bytes();
    let [third, fourth] = (u16::from_be_bytes([high, low]) * 4).to_be_bytes();
    Ipv4Addr::new(10, 213, third, fourth + host)
}

/// The host's number of a jail's root on Debian: the first that systemd sets aside for containers, and so on.
pub(crate) fn first_id(number: TenantNumber) -> u32 {
    524_288 + (u32::from(number.get()) - 1) * IDS
}

/// The host's end of a jail's link: made from the number, because 15 characters are all that a link's name may have.
pub(crate) fn link(number: TenantNumber) -> String {
    format!("ct{number}")
}

/// Whether it is the name of a jail's link.
pub(crate) fn is_link(name: &str) -> bool {
    name.strip_prefix("ct").is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_tenants_share_anything_and_none_has_the_hosts() {
        let mut seen = BTreeSet::from([BRIDGE]);
        let mut nets = BTreeSet::new();
        let mut last = 0;
        for raw in 1..=TenantNumber::MAX {
            let number = TenantNumber::try_from(raw).unwrap();
            let (host, jail) = (gateway(number), address(number));
            assert!(seen.insert(host) && seen.insert(jail), "{raw}");
            let n = u32::from(raw);
            let expected =
                [10, 213, n / 64, n % 64 * 4 + 2].map(|part| u8::try_from(part).unwrap());
            assert_eq!(jail.octets(), expected);
            // Both in one /30, which nobody else has, and neither its first nor its last address.
            assert_eq!(jail.to_bits() & !3, host.to_bits() & !3);
            assert!(nets.insert(jail.to_bits() & !3));
            assert!((1..3).contains(&(host.to_bits() & 3)) && jail.to_bits() & 3 == 2);
            let first = first_id(number);
            assert!(first >= 524_288 && first > last, "{raw}");
            last = first + IDS - 1;
            // Where systemd's range for containers ends.
            assert!(last <= 1_879_048_191);
            assert!(link(number).len() < 16 && is_link(&link(number)));
        }
        assert!(!is_link("ct") && !is_link("ct1a") && !is_link("eth0"));
    }
}
