//! Wi-Fi, a fixed address, name servers; without any of these, DHCP on every wired card as the image has it.

use std::net::IpAddr;

use super::{Context, Step, StepError, Wanted};
use crate::host::{Fixed, Network as Wish, Setting, Wifi};
use crate::setup::rules::network;
use crate::setup::{Key, Setup};

pub(super) struct Network;

/// What the settings ask for; each has passed its rule.
fn wish(setup: &Setup) -> Wish {
    let address = |text: &str| text.parse::<IpAddr>().ok();
    let own = setup
        .get(Key::StaticIp)
        .and_then(|text| network::address_with_prefix(text).ok());
    let gateway = setup.get(Key::Gateway).and_then(address);
    Wish {
        fixed: own.zip(gateway).map(|((address, prefix), gateway)| Fixed {
            address,
            prefix,
            gateway,
        }),
        dns: setup
            .get(Key::Dns)
            .map(|text| network::split_list(text).filter_map(address).collect())
            .unwrap_or_default(),
        wifi: setup.get(Key::WifiSsid).map(|ssid| Wifi {
            ssid: ssid.to_owned(),
            password: setup.secret(Key::WifiPassword).cloned(),
        }),
    }
}

impl Step for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    fn title(&self) -> &'static str {
        "Network"
    }

    /// A card may still be waiting for its driver or its firmware.
    fn attempts(&self) -> u32 {
        4
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let setup = cx.setup()?;
        if setup.is_kept(Key::WifiPassword) {
            return Ok(Wanted::Nothing(
                "stays as it is: WIFI_PASSWORD was emptied. To change the network, write it again"
                    .into(),
            ));
        }
        let wish = wish(setup);
        if cx.intake.is_adopted() {
            return Ok(Wanted::Nothing(if wish.is_usual() {
                "this host keeps its own".into()
            } else {
                format!("this host keeps its own; setup.txt asks for {wish}, which is not used")
            }));
        }
        Ok(Wanted::Settings(vec![Setting::Network(wish)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::{Input, check};

    fn wish_of(lines: &str) -> String {
        let text = format!(
            "OPENROUTER_API_KEY=sk-or-v1-{}\nTELEGRAM=none\n{lines}",
            "a1".repeat(32)
        );
        let verdict = check(Input {
            name: "setup.txt",
            setup: text.as_bytes(),
            authorized_keys: None,
        });
        let setup = verdict
            .setup
            .unwrap_or_else(|| panic!("{:?}", verdict.problems));
        wish(&setup).to_string()
    }

    #[test]
    fn settings_become_a_wish() {
        assert_eq!(wish_of(""), "wired network, DHCP");
        assert_eq!(
            wish_of("STATIC_IP=192.168.1.50/24\nGATEWAY=192.168.1.1\nDNS=9.9.9.9, 2620:fe::fe"),
            "wired network, 192.168.1.50/24 by 192.168.1.1, name servers 9.9.9.9 2620:fe::fe"
        );
        assert_eq!(
            wish_of("WIFI_SSID=Caf\u{e9}\nSTATIC_IP=2001:db8::5/64\nGATEWAY=fe80::1"),
            "open Wi-Fi `Caf\u{e9}`, 2001:db8::5/64 by fe80::1"
        );
    }
}
