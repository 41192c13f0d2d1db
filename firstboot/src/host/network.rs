//! The network: how a machine is to reach it, and the addresses that it got.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use secrecy::SecretString;

use super::{Address, Host, HostError};

/// How the machine is to reach the network. Empty: DHCP on every wired card, as the image comes.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// A fixed address: of the Wi-Fi card where there is Wi-Fi, else of a wired one.
    pub fixed: Option<Fixed>,
    /// Name servers that go before all others.
    pub dns: Vec<IpAddr>,
    /// The Wi-Fi network to join.
    pub wifi: Option<Wifi>,
}

/// A fixed address and the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// The machine's own.
    pub address: IpAddr,
    /// How many bits of it name the network.
    pub prefix: u8,
    /// The router's.
    pub gateway: IpAddr,
}

/// A Wi-Fi network.
#[derive(Debug, Clone)]
pub struct Wifi {
    /// Its name, up to 32 bytes.
    pub ssid: String,
    /// A passphrase or a key of 64 hexadecimal digits; `None` for an open network.
    pub password: Option<SecretString>,
}

impl Network {
    /// Whether nothing is asked for.
    pub fn is_usual(&self) -> bool {
        self.fixed.is_none() && self.dns.is_empty() && self.wifi.is_none()
    }

    /// Those that are named; without, a fixed address asks the router, because nobody else tells it any.
    pub(super) fn name_servers(&self) -> Vec<IpAddr> {
        match self.fixed {
            Some(fixed) if self.dns.is_empty() => vec![fixed.gateway],
            _ => self.dns.clone(),
        }
    }

    /// Whether a wired card has to be chosen.
    pub(super) fn needs_wired(&self) -> bool {
        self.fixed.is_some() && self.wifi.is_none()
    }
}

/// Addresses behind one another, with a blank between two.
pub(super) fn list(addresses: &[IpAddr]) -> String {
    addresses
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.wifi {
            Some(wifi) if wifi.password.is_none() => write!(f, "open Wi-Fi `{}`", wifi.ssid)?,
            Some(wifi) => write!(f, "Wi-Fi `{}`", wifi.ssid)?,
            None => write!(f, "wired network")?,
        }
        match self.fixed {
            Some(fixed) => write!(
                f,
                ", {}/{} by {}",
                fixed.address, fixed.prefix, fixed.gateway
            )?,
            None => write!(f, ", DHCP")?,
        }
        if self.dns.is_empty() {
            Ok(())
        } else {
            write!(f, ", name servers {}", list(&self.dns))
        }
    }
}

/// Why a card cannot be given a setting.
pub(super) fn no_card(kind: &str, remedy: &str) -> HostError {
    HostError::Refused(format!(
        "this machine has no {kind} card that the system knows; {remedy}"
    ))
}

/// Why a fixed address cannot be given.
pub(super) fn no_wired_card() -> HostError {
    no_card(
        "wired network",
        "STATIC_IP needs one when there is no WIFI_SSID",
    )
}

/// How often, and how long apart, a cable is looked for: a card needs some seconds to find the other end.
pub(super) const LOOKS: u32 = 12;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// What has network cards.
pub(super) trait Cards: Host {
    /// Switches a card on: only then can it tell whether it has a cable.
    fn switch_on(&self, card: &str) -> Result<(), HostError>;
    /// Whether somebody is at the other end of its cable.
    fn has_carrier(&self, card: &str) -> bool;

    /// The wired card for a fixed address. One card needs no choice.
    fn choose_wired(&self, cards: &[String], looks: u32) -> Result<Option<String>, HostError> {
        let [_, _, ..] = cards else {
            return Ok(cards.first().cloned());
        };
        for card in cards {
            self.switch_on(card)?;
        }
        for _ in 0..looks {
            if cards.iter().any(|card| self.has_carrier(card)) {
                break;
            }
            self.sleep(BETWEEN_LOOKS);
        }
        Ok(choose(cards, |card| self.has_carrier(card)).map(str::to_owned))
    }
}

/// The card to give a fixed address to: the first with a cable in it, else the first by name.
fn choose(cards: &[String], has_carrier: impl Fn(&str) -> bool) -> Option<&str> {
    cards
        .iter()
        .find(|card| has_carrier(card))
        .or(cards.first())
        .map(String::as_str)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cable_decides_and_without_one_the_name() {
        let cards = ["em0", "em1"].map(str::to_owned);
        assert_eq!(choose(&cards, |card| card == "em1"), Some("em1"));
        assert_eq!(choose(&cards, |_| true), Some("em0"));
        assert_eq!(choose(&cards, |_| false), Some("em0"));
        assert_eq!(choose(&[], |_| true), None);
    }

    #[test]
    fn it_is_told_in_words_without_the_password() {
        let fixed = Fixed {
            address: [192, 168, 1, 50].into(),
            prefix: 24,
            gateway: [192, 168, 1, 1].into(),
        };
        let network = Network {
            fixed: Some(fixed),
            dns: vec![[9, 9, 9, 9].into()],
            wifi: Some(Wifi {
                ssid: "Home".into(),
                password: Some("canary-pass".into()),
            }),
        };
        assert_eq!(
            network.to_string(),
            "Wi-Fi `Home`, 192.168.1.50/24 by 192.168.1.1, name servers 9.9.9.9"
        );
        assert!(!format!("{network:?}").contains("canary"));
        assert_eq!(Network::default().to_string(), "wired network, DHCP");
    }

    #[test]
    fn a_fixed_address_asks_the_router_for_names_when_no_server_is_given() {
        let fixed = Fixed {
            address: [192, 168, 1, 50].into(),
            prefix: 24,
            gateway: [192, 168, 1, 1].into(),
        };
        let mut network = Network {
            fixed: Some(fixed),
            ..Network::default()
        };
        assert_eq!(network.name_servers(), [fixed.gateway]);
        network.dns = vec![[9, 9, 9, 9].into()];
        assert_eq!(network.name_servers(), network.dns);
        assert!(Network::default().name_servers().is_empty());
    }
}
