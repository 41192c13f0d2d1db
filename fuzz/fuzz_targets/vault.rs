//! Any text as an `.env`, and any bytes as what `bw` says: neither panics, and what is read as an `.env` is written and
//! read the same again.
#![no_main]

use std::collections::BTreeMap;

use colibri_vault::{Bucket, env, reply};
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret as _;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(secrets) = env::read(text)
    {
        let exposed = |secrets: &[(env::SecretName, secrecy::SecretString)]| -> BTreeMap<_, _> {
            secrets
                .iter()
                .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
                .collect()
        };
        let written = env::write(secrets.iter().map(|(name, value)| (name.as_str(), value)));
        // A value that is all quotes is twice as long when it is written.
        if written.expose_secret().len() <= env::MAX_FILE {
            let again = env::read(written.expose_secret()).expect("what is written is read");
            assert_eq!(exposed(&again), exposed(&secrets));
        }
    }
    let _ = reply::status(bytes);
    let _ = reply::list::<reply::Collection>("list collections", bytes);
    if let Ok(Ok(items)) = reply::list("list items", bytes) {
        let _ = Bucket::of_items("main", "c", items, None);
    }
});
