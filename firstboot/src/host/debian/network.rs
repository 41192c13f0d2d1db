//! The network by systemd-networkd, and Wi-Fi by wpa_supplicant.
//!
//! The image's `80-wired.network` gives DHCP to every wired card. Our files sort before it, and networkd takes the first
//! that fits a card; without them the image's holds again.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::{Command, Debian, HostError, Processes};
use crate::host::network::{Cards, Fixed, LOOKS, Network, list, no_card, no_wired_card};
use crate::host::own_file::OwnFile;
use crate::host::wifi::{self, Supplicant};

const WIRED: &str = "/etc/systemd/network/10-clawdie-wired.network";
const WIFI: &str = "/etc/systemd/network/10-clawdie-wifi.network";
const SUPPLICANT: &str = "/etc/wpa_supplicant";
const CARDS: &str = "/sys/class/net";
const STARTED_AT_BOOT: &str = "/etc/systemd/system/multi-user.target.wants";

/// ARPHRD_ETHER, which Wi-Fi cards have as well.
const ETHERNET: &str = "1";

/// The cards of a machine, each sort by name.
#[derive(Debug, Default)]
struct Inventory {
    wired: Vec<String>,
    wifi: Vec<String>,
}

/// The cards that a setting is for.
#[derive(Debug, Default)]
struct Chosen {
    wired: Option<String>,
    wifi: Option<String>,
}

impl Chosen {
    /// Whether each card is there that the setting needs.
    fn serves(&self, network: &Network, cards: &Inventory) -> bool {
        let is_there = |name: &Option<String>, cards: &[String]| {
            name.as_ref().is_some_and(|name| cards.contains(name))
        };
        (!network.needs_wired() || is_there(&self.wired, &cards.wired))
            && (network.wifi.is_none() || is_there(&self.wifi, &cards.wifi))
    }

    /// Our files, as they should be.
    fn files(&self, network: &Network) -> Vec<OwnFile> {
        let mut files = Vec::new();
        let on_wire = match &self.wired {
            Some(card) => Some(link(&format!("Name={card}"), network.fixed, network, None)),
            // All of them, as the image's own file has it.
            None if !network.dns.is_empty() && !network.needs_wired() => {
                Some(link("Type=ether\nName=en* eth*", None, network, None))
            }
            None => None,
        };
        files.extend(on_wire.map(|text| OwnFile::open(WIRED, &text)));
        if let (Some(wifi), Some(card)) = (&network.wifi, &self.wifi) {
            // A cable is faster, so the way through the air costs more.
            let text = link(&format!("Name={card}"), network.fixed, network, Some(600));
            files.push(OwnFile::open(WIFI, &text));
            let content = wifi::configuration(wifi, "/run", Supplicant::Wpa3);
            files.push(OwnFile::secret(supplicant_file(card), content));
        }
        files
    }
}

/// A file of networkd for the cards that `fits` describes.
fn link(fits: &str, fixed: Option<Fixed>, network: &Network, metric: Option<u32>) -> String {
    let mut text = format!("[Match]\n{fits}\n\n[Network]\n");
    match fixed.map(|fixed| fixed.address) {
        None => text.push_str("DHCP=yes\n"),
        // The other family goes on as it comes; IPv6 needs no DHCP to find a router.
        Some(IpAddr::V4(_)) => text.push_str("DHCP=no\n"),
        Some(IpAddr::V6(_)) => text.push_str("DHCP=ipv4\n"),
    }
    if let Some(fixed) = fixed {
        text.push_str(&format!("Address={}/{}\n", fixed.address, fixed.prefix));
    }
    let servers = network.name_servers();
    if !servers.is_empty() {
        text.push_str(&format!("DNS={}\n", list(&servers)));
    }
    if let Some(fixed) = fixed {
        text.push_str(&format!("\n[Route]\nGateway={}\n", fixed.gateway));
        text.push_str(
            &metric
                .map(|metric| format!("Metric={metric}\n"))
                .unwrap_or_default(),
        );
    }
    let metric = metric
        .map(|metric| format!("RouteMetric={metric}\n"))
        .unwrap_or_default();
    // Servers that were typed in are meant to be asked, and not only among others.
    let dns = if network.dns.is_empty() {
        ""
    } else {
        "UseDNS=no\n"
    };
    text.push_str(&format!("\n[DHCPv4]\nUseDomains=yes\n{metric}{dns}"));
    if !dns.is_empty() {
        text.push_str(&format!("\n[DHCPv6]\n{dns}"));
    }
    if !metric.is_empty() || !dns.is_empty() {
        text.push_str(&format!("\n[IPv6AcceptRA]\n{metric}{dns}"));
    }
    text.push_str("\n[Link]\nRequiredForOnline=no\n");
    text
}

fn supplicant_file(card: &str) -> String {
    format!("{SUPPLICANT}/wpa_supplicant-{card}.conf")
}

fn supplicant_unit(card: &str) -> String {
    format!("wpa_supplicant@{card}.service")
}

/// The card that a file of ours is for; `None` when it is for all.
fn card_of(text: &str) -> Option<String> {
    let name = text.lines().find_map(|line| line.strip_prefix("Name="))?;
    (!name.contains('*')).then(|| name.to_owned())
}

impl<P: Processes> Debian<P> {
    /// The cards of flesh and blood: a bridge or the end of a tenant's cable has no device.
    fn cards(&self) -> Result<Inventory, HostError> {
        let mut cards = Inventory::default();
        for name in self.machine.list(Path::new(CARDS))? {
            let has = |what: &str| self.machine.at(format!("{CARDS}/{name}/{what}")).exists();
            let kind = self.machine.text_at(&format!("{CARDS}/{name}/type"))?;
            if !has("device") || kind.unwrap_or_default().trim() != ETHERNET {
                continue;
            }
            if has("wireless") || has("phy80211") {
                cards.wifi.push(name);
            } else {
                cards.wired.push(name);
            }
        }
        Ok(cards)
    }

    /// The cards that our files on the disk are for.
    fn chosen_before(&self) -> Result<Chosen, HostError> {
        let card = |path| -> Result<Option<String>, HostError> {
            Ok(self.machine.text_at(path)?.as_deref().and_then(card_of))
        };
        Ok(Chosen {
            wired: card(WIRED)?,
            wifi: card(WIFI)?,
        })
    }

    /// The cards that have a Wi-Fi configuration of ours.
    fn joined_by(&self) -> Result<Vec<String>, HostError> {
        let mut cards = Vec::new();
        for name in self.machine.list(Path::new(SUPPLICANT))? {
            let card = name
                .strip_prefix("wpa_supplicant-")
                .and_then(|name| name.strip_suffix(".conf"));
            if let Some(card) = card
                && self.machine.is_own_file(&supplicant_file(card))?
            {
                cards.push(card.to_owned());
            }
        }
        Ok(cards)
    }

    fn starts_at_boot(&self, card: &str) -> bool {
        let link = format!("{STARTED_AT_BOOT}/{}", supplicant_unit(card));
        fs::symlink_metadata(self.machine.at(link)).is_ok()
    }

    pub(super) fn is_network(&self, network: &Network) -> Result<bool, HostError> {
        let mut chosen = self.chosen_before()?;
        if !network.needs_wired() {
            chosen.wired = None;
        }
        if !network.is_usual() && !chosen.serves(network, &self.cards()?) {
            return Ok(false);
        }
        let files = chosen.files(network);
        for file in &files {
            if !self.machine.own_file_is(file)? {
                return Ok(false);
            }
        }
        let is_wanted = |path: &str| files.iter().any(|file| file.path == path);
        for path in [WIRED, WIFI] {
            if !is_wanted(path) && self.machine.is_own_file(path)? {
                return Ok(false);
            }
        }
        let joined = self.joined_by()?;
        Ok(joined
            .iter()
            .all(|card| is_wanted(&supplicant_file(card)) && self.starts_at_boot(card)))
    }

    pub(super) fn set_network(&self, network: &Network) -> Result<(), HostError> {
        let mut chosen = self.chosen_before()?;
        if !network.needs_wired() {
            chosen.wired = None;
        }
        if network.needs_wired() || network.wifi.is_some() {
            let cards = self.cards_for(network)?;
            if !chosen.serves(network, &cards) {
                chosen = self.choose_cards(network, &cards)?;
            }
        }
        let files = chosen.files(network);
        let is_wanted = |path: &str| files.iter().any(|file| file.path == path);
        for card in self.joined_by()? {
            if !is_wanted(&supplicant_file(&card)) {
                self.systemctl(&["disable", "--quiet", "--no-reload"], &card)?;
                self.systemctl(&["--no-block", "stop"], &card)?;
                self.machine.remove_own_file(&supplicant_file(&card))?;
            }
        }
        for path in [WIRED, WIFI] {
            if !is_wanted(path) {
                self.machine.remove_own_file(path)?;
            }
        }
        for file in &files {
            self.machine.write_own_file(file)?;
        }
        if let (Some(_), Some(card)) = (&network.wifi, &chosen.wifi) {
            self.systemctl(&["enable", "--quiet", "--no-reload"], card)?;
            // Not known to this boot's plan yet, or running with an older file. We are part of that plan ourselves, so
            // nobody waits for it here.
            self.systemctl(&["--no-block", "restart"], card)?;
        }
        // Before the network there is nobody to tell; by hand, or from the wizard, there is.
        let networkd = "systemd-networkd.service";
        if self.machine.says_yes(&Command::new([
            "systemctl",
            "is-active",
            "--quiet",
            networkd,
        ]))? {
            self.machine
                .processes
                .demand(&Command::new(["networkctl", "reload"]))?;
        }
        Ok(())
    }

    fn systemctl(&self, verb: &[&str], card: &str) -> Result<(), HostError> {
        let unit = supplicant_unit(card);
        let words = ["systemctl"].into_iter().chain(verb.iter().copied());
        self.machine
            .processes
            .demand(&Command::new(words.chain([unit.as_str()])))?;
        Ok(())
    }

    /// The cards, as soon as one of the wanted kind is among them: this early drivers are still being loaded, and udev
    /// gives cards their last names.
    fn cards_for(&self, network: &Network) -> Result<Inventory, HostError> {
        // It names the cards inside before anything else (systemd-udev-trigger.service.d).
        let start = ["systemctl", "start", "systemd-udev-trigger.service"];
        self.machine.says_yes(&Command::new(start))?;
        let cards = self.cards()?;
        let is_there = match network.wifi {
            Some(_) => !cards.wifi.is_empty(),
            None => !cards.wired.is_empty(),
        };
        if is_there {
            return Ok(cards);
        }
        // What hangs on USB comes with all the rest.
        let settle = ["udevadm", "settle", "--timeout=20"];
        self.machine.says_yes(&Command::new(settle))?;
        self.cards()
    }

    fn choose_cards(&self, network: &Network, cards: &Inventory) -> Result<Chosen, HostError> {
        let mut chosen = Chosen::default();
        if network.wifi.is_some() {
            let card = cards.wifi.first().ok_or_else(|| {
                no_card(
                    "Wi-Fi",
                    "plug in a cable and take the WIFI_ lines out of setup.txt, or use another card: most need firmware \
                     that is not free and not on this image (`dmesg` names it)",
                )
            })?;
            chosen.wifi = Some(card.clone());
        } else if network.needs_wired() {
            let card = self.choose_wired(&cards.wired, LOOKS)?;
            chosen.wired = Some(card.ok_or_else(no_wired_card)?);
        }
        Ok(chosen)
    }
}

impl<P: Processes> Cards for Debian<P> {
    fn switch_on(&self, card: &str) -> Result<(), HostError> {
        self.machine
            .processes
            .demand(&Command::new(["ip", "link", "set", "dev", card, "up"]))?;
        Ok(())
    }

    fn has_carrier(&self, card: &str) -> bool {
        // Reading it of a card that is down is an error.
        let carrier = self.machine.text_at(&format!("{CARDS}/{card}/carrier"));
        matches!(carrier, Ok(Some(text)) if text.trim() == "1")
    }
}
