//! A repository of FreeBSD packages, made up, and signed with the key that made-up dist sets trust.
//! Nothing in it runs.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use clawdie_tree::hex;
use liblzma::read::XzEncoder;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::json;
use sha2::{Digest as _, Sha256};

const PRIVATE: &[u8] = include_bytes!("../../image/src/packages/testdata/signer.der");
const PUBLIC: &[u8] = include_bytes!("../../image/src/packages/testdata/signer.pub");

/// Writes a repository into `folder`: packages by name, each with the names of those that it needs.
/// One of them is `pkg`.
pub fn write(folder: &Path, packages: &[(&str, &[&str])]) {
    let put = |path: &str, bytes: &[u8]| {
        let path = folder.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    };
    let mut listed = Vec::new();
    for (name, needs) in packages {
        let bytes = format!("stand-in for the package {name}").into_bytes();
        let path = format!("All/{name}-1.0.pkg");
        let deps: BTreeMap<_, _> = needs
            .iter()
            .map(|need| (*need, json!({"origin": format!("misc/{need}")})))
            .collect();
        listed.push(json!({
            "name": name, "version": "1.0", "origin": format!("misc/{name}"), "abi": "FreeBSD:15:amd64",
            "sum": hex(Sha256::digest(&bytes)), "repopath": path, "pkgsize": bytes.len(), "deps": deps,
        }));
        put(&path, &bytes);
        if *name == "pkg" {
            put("Latest/pkg.pkg.sig", &beside(&bytes));
        }
    }
    let text = json!({"packages": listed}).to_string().into_bytes();
    put("data.pkg", &catalogue(&text));
}

/// A signature as FreeBSD's servers make it: of the text of a file's SHA-256.
fn sign(file: &[u8]) -> Vec<u8> {
    let pair = RsaKeyPair::from_der(PRIVATE).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    let text = hex(Sha256::digest(file));
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .unwrap();
    signature
}

/// What lies beside the package manager, for those who do not have it yet.
fn beside(package: &[u8]) -> Vec<u8> {
    let signature = sign(package);
    [
        b"SIGNATURE\n",
        signature.as_slice(),
        b"\nCERT\n",
        PUBLIC,
        b"END\n",
    ]
    .concat()
}

fn catalogue(text: &[u8]) -> Vec<u8> {
    let signature = sign(text);
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("key.sig", signature.as_slice()),
        ("key.pub", PUBLIC),
        ("data", text),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    let mut packed = Vec::new();
    XzEncoder::new(tar.as_slice(), 0)
        .read_to_end(&mut packed)
        .unwrap();
    packed
}
