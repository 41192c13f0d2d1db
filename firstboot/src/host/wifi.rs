//! The file that wpa_supplicant joins a Wi-Fi network by, on every flavour.

use std::fmt::Write as _;

use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;

use super::network::Wifi;
use super::own_file::MARK;

/// What the flavour's wpa_supplicant is built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supplicant {
    /// WPA2 and WPA3.
    Wpa3,
    /// WPA2 alone; it refuses a whole file that names a newer method.
    Wpa2,
}

/// The configuration for one network.
///
/// Name and password are written as hexadecimal digits, which no sign in them can spoil: between quotes wpa_supplicant
/// takes a number sign behind a second quote for a remark. WPA2 wants the key that is made of the passphrase, WPA3 the
/// passphrase itself.
pub(super) fn configuration(wifi: &Wifi, run: &str, can: Supplicant) -> SecretString {
    let mut text = format!("{MARK}ctrl_interface={run}/wpa_supplicant\n\nnetwork={{\n");
    let ssid = wifi.ssid.as_bytes();
    // `scan_ssid`: also a network that does not tell its name.
    let _ = write!(text, "\tssid={}\n\tscan_ssid=1\n", digits(ssid));
    match wifi.password.as_ref().map(ExposeSecret::expose_secret) {
        None => text.push_str("\tkey_mgmt=NONE\n"),
        // The setting's rule lets 64 characters through only when they are the digits of a key, and WPA3 cannot start
        // from one.
        Some(key) if key.len() == 64 => {
            let _ = write!(text, "\tkey_mgmt=WPA-PSK\n\tpsk={key}\n");
        }
        Some(passphrase) => {
            let (methods, of_wpa3) = match can {
                Supplicant::Wpa2 => ("WPA-PSK", String::new()),
                Supplicant::Wpa3 => (
                    "WPA-PSK WPA-PSK-SHA256 SAE",
                    format!(
                        "\tsae_password={}\n\tieee80211w=1\n",
                        digits(passphrase.as_bytes())
                    ),
                ),
            };
            let key = digits(&key_of(passphrase, ssid));
            let _ = write!(text, "\tkey_mgmt={methods}\n\tpsk={key}\n{of_wpa3}");
        }
    }
    text.push_str("}\n");
    text.into()
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The key of a WPA2 network (IEEE 802.11, annex J.4: PBKDF2 with HMAC-SHA1, 4096 rounds).
fn key_of(passphrase: &str, ssid: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha1>(passphrase.as_bytes(), ssid, 4096, &mut key);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wifi(ssid: &str, password: Option<&str>) -> Wifi {
        Wifi {
            ssid: ssid.into(),
            password: password.map(Into::into),
        }
    }

    /// The value of a line of the network's block.
    fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))
    }

    fn bytes(digits: &str) -> Vec<u8> {
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits"))
            .collect()
    }

    #[test]
    fn the_standard_s_own_examples_give_its_keys() {
        for (passphrase, ssid, key) in [
            (
                "password",
                "IEEE",
                "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e",
            ),
            (
                "ThisIsAPassword",
                "ThisIsASSID",
                "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af",
            ),
        ] {
            assert_eq!(digits(&key_of(passphrase, ssid.as_bytes())), key);
        }
    }

    #[test]
    fn methods_go_with_the_kind_of_network() {
        let key = "0123456789abcdef".repeat(4);
        let wpa3 = "WPA-PSK WPA-PSK-SHA256 SAE";
        for (password, can, methods) in [
            (None, Supplicant::Wpa3, "NONE"),
            (Some("correct horse"), Supplicant::Wpa3, wpa3),
            (Some("correct horse"), Supplicant::Wpa2, "WPA-PSK"),
            (Some(key.as_str()), Supplicant::Wpa3, "WPA-PSK"),
        ] {
            let text = configuration(&wifi("Home", password), "/run", can);
            let text = text.expose_secret();
            assert_eq!(value(text, "key_mgmt"), Some(methods));
            assert_eq!(value(text, "sae_password").is_some(), methods == wpa3);
            assert_eq!(value(text, "psk").is_some(), password.is_some());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_name_and_every_password_can_be_read_back_to_the_byte(
            ssid in "\\PC{1,8}",
            password in prop_oneof!["[ -~]{8,63}", "[\"#\\\\' {}=]{8,63}"],
            key in "[0-9a-fA-F]{64}",
        ) {
            let text = configuration(&wifi(&ssid, Some(&password)), "/run", Supplicant::Wpa3);
            let text = text.expose_secret();
            prop_assert_eq!(bytes(value(text, "ssid").expect("there")), ssid.as_bytes());
            prop_assert_eq!(bytes(value(text, "sae_password").expect("there")), password.as_bytes());
            prop_assert_eq!(bytes(value(text, "psk").expect("there")), key_of(&password, ssid.as_bytes()));
            prop_assert!(!text[MARK.len()..].contains(['"', '#']));
            let text = configuration(&wifi(&ssid, Some(&key)), "/run", Supplicant::Wpa3);
            prop_assert_eq!(value(text.expose_secret(), "psk"), Some(&*key));
        }
    }

    /// The real program reads what we write, where it is installed.
    #[test]
    fn wpa_supplicant_itself_takes_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("wpa_supplicant.conf");
        let key = "0123456789abcdef".repeat(4);
        let places = std::env::var("PATH").unwrap_or_default() + ":/usr/local/sbin:/usr/sbin:/sbin";
        for (ssid, password) in [
            ("Home", Some("correct horse")),
            ("Caf\u{e9} \"Zo\u{eb}\" #1", Some("a\"b#c\\d' {e}=")),
            (" lead", Some(key.as_str())),
            ("Open", None),
        ] {
            let run = folder.path().display().to_string();
            let text = configuration(&wifi(ssid, password), &run, Supplicant::Wpa3);
            std::fs::write(&path, text.expose_secret()).expect("written");
            // It reads its file, says what it read, finds no such card and ends.
            let said = std::process::Command::new("wpa_supplicant")
                .args(["-dd", "-Dwired", "-ino-such-card", "-c"])
                .arg(&path)
                .env("PATH", &places)
                .output();
            let said = match said {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    eprintln!(
                        "NOT CHECKED: there is no wpa_supplicant here (package wpasupplicant)"
                    );
                    return;
                }
                said => String::from_utf8_lossy(&said.expect("run").stdout).into_owned(),
            };
            let read = format!("ssid - hexdump_ascii(len={})", ssid.len());
            assert!(said.contains(&read), "{said}");
            assert!(
                !said.contains("Failed to read") && !said.contains("Invalid"),
                "{said}"
            );
        }
    }
}
