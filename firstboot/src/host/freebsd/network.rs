//! The network by rc.conf, Wi-Fi by wpa_supplicant, name servers by resolvconf(8).
//!
//! The image's `ifconfig_DEFAULT` gives DHCP to every card that has no line of its own. A list in our state folder
//! tells which lines of rc.conf are ours: only those are ever changed or removed.

use std::net::IpAddr;
use std::path::Path;

use super::{Command, Freebsd, HostError, Processes};
use crate::host::network::{Cards, Fixed, LOOKS, Network, no_card, no_wired_card};
use crate::host::own_file::OwnFile;
use crate::host::wifi::{self, Supplicant};
use crate::paths::Paths;

/// The knobs that we set, one name a line.
const OURS: &str = "network-knobs";
const SUPPLICANT: &str = "/etc/wpa_supplicant.conf";
/// resolvconf(8) puts its servers before those of DHCP.
const RESOLVCONF: &str = "/etc/resolvconf.conf";

/// The interface that Wi-Fi gets; a card itself carries no traffic.
const WLAN: &str = "wlan0";

/// Ethernet interfaces that are made and not plugged in.
const MADE: [&str; 9] = [
    "wlan", "bridge", "epair", "tap", "vlan", "lagg", "vether", "vmnet", "ipsec",
];

/// A knob and its value.
type Knob = (String, String);

/// The knobs for a card: a wired one, or `wlan0` of a Wi-Fi card.
fn knobs(network: &Network, card: &str) -> Vec<Knob> {
    let mut knobs = Vec::new();
    let mut set = |name: String, value: String| knobs.push((name, value));
    let (interface, start, dhcp) = if network.wifi.is_some() {
        set(format!("wlans_{card}"), WLAN.into());
        (WLAN, "WPA ", "SYNCDHCP")
    } else if network.needs_wired() {
        (card, "", "DHCP")
    } else {
        return knobs;
    };
    let (v4, v6) = match network.fixed {
        None => (dhcp.into(), "inet6 accept_rtadv".into()),
        // The other family goes on as it comes.
        Some(Fixed {
            address: IpAddr::V4(own),
            prefix,
            ..
        }) => (format!("inet {own}/{prefix}"), "inet6 accept_rtadv".into()),
        Some(Fixed {
            address: IpAddr::V6(own),
            prefix,
            ..
        }) => (dhcp.into(), format!("inet6 {own} prefixlen {prefix}")),
    };
    set(format!("ifconfig_{interface}"), format!("{start}{v4}"));
    set(format!("ifconfig_{interface}_ipv6"), v6);
    match network.fixed {
        Some(Fixed {
            gateway: IpAddr::V4(router),
            ..
        }) => {
            set("defaultrouter".into(), router.to_string());
        }
        Some(Fixed { gateway, .. }) => {
            set(
                "ipv6_defaultrouter".into(),
                on_interface(gateway, interface),
            );
        }
        None => {}
    }
    knobs
}

/// A link-local address means nothing without its interface.
fn on_interface(address: IpAddr, interface: &str) -> String {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => format!("{v6}%{interface}"),
        other => other.to_string(),
    }
}

/// Our files, as they should be.
fn files(network: &Network, card: &str) -> Vec<OwnFile> {
    let mut files = Vec::new();
    if let Some(wifi) = &network.wifi {
        let content = wifi::configuration(wifi, "/var/run", Supplicant::Wpa2);
        files.push(OwnFile::secret(SUPPLICANT, content));
    }
    let interface = if network.wifi.is_some() { WLAN } else { card };
    let servers: Vec<String> = network
        .name_servers()
        .into_iter()
        .map(|server| on_interface(server, interface))
        .collect();
    if !servers.is_empty() {
        let text = format!("name_servers=\"{}\"\n", servers.join(" "));
        files.push(OwnFile::open(RESOLVCONF, &text));
    }
    files
}

fn list_path() -> String {
    format!("{}/{OURS}", Paths::FREEBSD.state)
}

impl<P: Processes> Freebsd<P> {
    fn wired_cards(&self) -> Result<Vec<String>, HostError> {
        let output = self
            .machine
            .processes
            .demand(&Command::new(["ifconfig", "-l", "ether"]))?;
        let is_made = |name: &str| {
            let kind = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
            MADE.contains(&kind)
        };
        let mut cards: Vec<String> = output
            .stdout
            .split_whitespace()
            .filter(|name| !is_made(name))
            .map(str::to_owned)
            .collect();
        cards.sort();
        Ok(cards)
    }

    fn wifi_cards(&self) -> Result<Vec<String>, HostError> {
        // `-i`: a kernel without any has no such name.
        let shown = self.sysctl("-in", "net.wlan.devices")?;
        let mut cards: Vec<String> = shown.split_whitespace().map(str::to_owned).collect();
        cards.sort();
        Ok(cards)
    }

    /// The cards that the setting could be for.
    fn cards_for(&self, network: &Network) -> Result<Vec<String>, HostError> {
        if network.wifi.is_some() {
            self.wifi_cards()
        } else if network.needs_wired() {
            self.wired_cards()
        } else {
            Ok(Vec::new())
        }
    }

    fn own_knobs(&self) -> Result<Vec<String>, HostError> {
        let text = self.machine.text_at(&list_path())?.unwrap_or_default();
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn note_own_knobs<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), HostError> {
        let text: String = names.into_iter().map(|name| format!("{name}\n")).collect();
        let path = list_path();
        self.machine
            .write(Path::new(&path), text.as_bytes(), 0o600, &Paths::FREEBSD)
    }

    /// The card that our knobs are for, if it is among these.
    fn chosen_before(
        &self,
        network: &Network,
        cards: &[String],
    ) -> Result<Option<String>, HostError> {
        let start = if network.wifi.is_some() {
            "wlans_"
        } else {
            "ifconfig_"
        };
        let own = self.own_knobs()?;
        let mut named = own.iter().filter_map(|knob| knob.strip_prefix(start));
        Ok(named
            .find_map(|name| cards.iter().find(|card| *card == name))
            .cloned())
    }

    pub(super) fn is_network(&self, network: &Network) -> Result<bool, HostError> {
        let cards = self.cards_for(network)?;
        let needs_card = network.wifi.is_some() || network.needs_wired();
        let card = match self.chosen_before(network, &cards)? {
            None if needs_card => return Ok(false),
            card => card.unwrap_or_default(),
        };
        let wanted = knobs(network, &card);
        if !self
            .own_knobs()?
            .iter()
            .eq(wanted.iter().map(|(name, _)| name))
        {
            return Ok(false);
        }
        for (name, value) in &wanted {
            if self.knob(name)?.as_ref() != Some(value) {
                return Ok(false);
            }
        }
        let files = files(network, &card);
        for file in &files {
            if !self.machine.own_file_is(file)? {
                return Ok(false);
            }
        }
        for path in [SUPPLICANT, RESOLVCONF] {
            if !files.iter().any(|file| file.path == path) && self.machine.is_own_file(path)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// netif and routing, which start behind us in a boot, do what rc.conf says then.
    pub(super) fn set_network(&self, network: &Network) -> Result<(), HostError> {
        let cards = self.cards_for(network)?;
        let card = match self.chosen_before(network, &cards)? {
            Some(card) => card,
            None => self.choose_card(network, &cards)?,
        };
        let wanted = knobs(network, &card);
        let files = files(network, &card);
        let had_files = self.machine.is_own_file(RESOLVCONF)?;
        for file in &files {
            self.machine.write_own_file(file)?;
        }
        for path in [SUPPLICANT, RESOLVCONF] {
            if !files.iter().any(|file| file.path == path) {
                self.machine.remove_own_file(path)?;
            }
        }
        let before = self.own_knobs()?;
        let is_wanted = |name: &String| wanted.iter().any(|(wanted, _)| wanted == name);
        let stale: Vec<&String> = before.iter().filter(|name| !is_wanted(name)).collect();
        let names = || wanted.iter().map(|(name, _)| name.as_str());
        // Noted before they are set, so that a cut leaves none that nobody knows.
        self.note_own_knobs(names().chain(stale.iter().map(|name| name.as_str())))?;
        for (name, value) in &wanted {
            if self.knob(name)?.as_ref() != Some(value) {
                self.set_knob(name, value)?;
            }
        }
        for name in stale {
            self.unset_knob(name)?;
        }
        self.note_own_knobs(names())?;
        if had_files || files.iter().any(|file| file.path == RESOLVCONF) {
            self.machine
                .processes
                .demand(&Command::new(["resolvconf", "-u"]))?;
        }
        Ok(())
    }

    fn choose_card(&self, network: &Network, cards: &[String]) -> Result<String, HostError> {
        if network.wifi.is_some() {
            return cards.first().cloned().ok_or_else(|| {
                no_card(
                    "Wi-Fi",
                    "plug in a cable and take the WIFI_ lines out of setup.txt, or use another card: some need firmware \
                     that is not on this image (`fwget -n` names it)",
                )
            });
        }
        if !network.needs_wired() {
            return Ok(String::new());
        }
        self.choose_wired(cards, LOOKS)?.ok_or_else(no_wired_card)
    }
}

impl<P: Processes> Cards for Freebsd<P> {
    fn switch_on(&self, card: &str) -> Result<(), HostError> {
        self.machine
            .processes
            .demand(&Command::new(["ifconfig", card, "up"]))?;
        Ok(())
    }

    fn has_carrier(&self, card: &str) -> bool {
        self.machine
            .processes
            .demand(&Command::new(["ifconfig", card]))
            .is_ok_and(|output| output.stdout.contains("status: active"))
    }
}
