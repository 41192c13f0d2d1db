//! A repository of FreeBSD packages, made up, and signed with the key that made-up dist sets trust.
//! Nothing in it runs.

use std::collections::BTreeMap;
use std::path::Path;

use clawdie_image::packages::sample::{self, SIGNER};
use clawdie_tree::hex;
use serde_json::json;
use sha2::{Digest as _, Sha256};

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
            put("Latest/pkg.pkg.sig", &SIGNER.detached(&bytes));
        }
    }
    let text = json!({"packages": listed}).to_string().into_bytes();
    put("data.pkg", &catalogue(&text));
}

fn catalogue(text: &[u8]) -> Vec<u8> {
    let signature = SIGNER.sign(text);
    sample::xz(&sample::archive(&[
        ("key.sig", signature.as_slice()),
        ("key.pub", SIGNER.public),
        ("data", text),
    ]))
}
