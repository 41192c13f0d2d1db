//! What the wizard writes is read back as it was meant, whatever that is.

use std::path::{Path, PathBuf};

use clawdie_firstboot::setup::{self, Input, Key, Verdict, salvage};
use clawdie_firstboot::wizard::model::{Origin, Purpose, Wizard};
use proptest::prelude::*;
use secrecy::ExposeSecret as _;

fn check(bytes: &[u8], authorized_keys: Option<&[u8]>) -> Verdict {
    setup::check(Input {
        name: "setup.txt",
        setup: bytes,
        authorized_keys,
    })
}

/// What the wizard saves when nothing is changed in it.
fn saved(bytes: &[u8], authorized_keys: Option<&[u8]>) -> String {
    let origin = Origin {
        name: "setup.txt".into(),
        place: "setup.txt".into(),
        authorized_keys: authorized_keys.map(<[u8]>::to_vec),
        purpose: Purpose::File,
    };
    let text = Wizard::new(origin, Some(bytes)).text();
    text.expose_secret().to_owned()
}

fn good_fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setup/good");
    let entries = std::fs::read_dir(folder).expect("the fixtures");
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect()
}

#[test]
fn every_good_file_means_the_same_after_the_wizard() {
    let fixtures = good_fixtures();
    assert!(fixtures.len() > 10);
    for path in fixtures {
        let bytes = std::fs::read(&path).expect("a fixture");
        let keys = std::fs::read(path.with_extension("authorized_keys")).ok();
        let before = check(&bytes, keys.as_deref());
        // A slip in a name is taken for what it means, which is more than the check does.
        if before
            .problems
            .iter()
            .any(|problem| problem.code == "unknown-key")
        {
            continue;
        }
        let text = saved(&bytes, keys.as_deref());
        let mut after = text.clone();
        // Written always; saying it or not is one and the same.
        let version = before
            .setup
            .as_ref()
            .and_then(|setup| setup.get(Key::SetupSchemaVersion));
        if version.is_none() {
            after = after.replace("SETUP_SCHEMA_VERSION=1\r\n", "");
        }
        let after = check(after.as_bytes(), keys.as_deref());
        assert_eq!(before.setup, after.setup, "{}", path.display());
        // Saved once more it does not change, and has nothing that is not taken over.
        assert_eq!(saved(text.as_bytes(), keys.as_deref()), text);
        assert!(!salvage(text.as_bytes()).leftovers, "{}", path.display());
    }
}

/// Texts that make a reader of lines, quotes and remarks stumble.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,40}",
        "[ \t\"'#=<>]{0,6}[ -~]{8,20}[ \t\"'#=<>]{0,6}",
        "[\"']{1,3}[a-z]{8,12}[\"']{0,3}",
        "\\PC{1,30}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_settings_are_read_back_to_the_byte(
        password in any_text(),
        name in any_text(),
        network in any_text(),
        wifi in any_text(),
        vault in any_text(),
    ) {
        let values = [
            (Key::OpenrouterApiKey, "sk-or-v1-0123456789abcdef0123456789abcdef"),
            (Key::Telegram, "none"),
            (Key::AssistantName, name.as_str()),
            (Key::ClawdieUserPassword, password.as_str()),
            (Key::WifiSsid, network.as_str()),
            (Key::WifiPassword, wifi.as_str()),
            (Key::VaultServer, "https://vault.example.org"),
            (Key::BwClientid, "user.01234567-89ab-cdef-0123-456789abcdef"),
            (Key::BwClientsecret, "0123456789abcdefghijklmn"),
            (Key::BwPassword, vault.as_str()),
        ];
        let text = setup::filled(&values);
        let text = text.expose_secret();
        // Free text comes back to the byte, whether its rule likes it or not.
        let found = salvage(text.as_bytes());
        for (key, value) in values.iter().filter(|(key, _)| key.row().rule.is_free_text()) {
            let read = found.values.iter().find(|(held, _)| held == key);
            let is_template = read.is_none() && {
                let alone = check(format!("{}={value}\n", key.name()).as_bytes(), None);
                alone.problems.iter().any(|problem| problem.code == "placeholder")
            };
            let read = read.map(|(_, value)| value.expose_secret());
            prop_assert!(is_template || read == Some(*value), "{key:?}");
        }
        // And settings that are good stay the same through the wizard.
        let before = check(text.as_bytes(), None);
        if before.setup.is_some() {
            let after = check(saved(text.as_bytes(), None).as_bytes(), None);
            prop_assert_eq!(before.setup, after.setup);
        }
    }

    #[test]
    fn arbitrary_bytes_never_upset_the_wizard(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let text = saved(&bytes, Some(&bytes));
        prop_assert!(!salvage(text.as_bytes()).leftovers);
    }
}
