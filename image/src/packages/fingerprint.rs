//! Whom the base trusts with packages, and whether one of them signed something.
//!
//! FreeBSD's scheme (pkg.conf(5), `SIGNATURE_TYPE: FINGERPRINTS`): the signer's public key travels with
//! the signature, and counts when the SHA-256 of its bytes stands in a file below `trusted/` and in none
//! below `revoked/`. What is signed (RSA, PKCS #1 v1.5, SHA-256) is the *text* of the SHA-256 of the
//! file, in hexadecimal.

use std::collections::BTreeMap;

use clawdie_tree::{Sha256, Tree, TreePath, hex};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use sha2::Digest;
use spki::Document;
use spki::der::asn1::{AnyRef, BitStringRef};

use crate::error::{Error, Result};
use crate::recipe::digest;

/// What a signature or key begins with when it says of which kind it is.
const KIND: &[u8] = b"$PKGSIGN:";
/// The kind without such a beginning, and the one that we know.
const RSA: &str = "rsa";

/// The fingerprints of a base.
#[derive(Debug, Default)]
pub(super) struct Trust {
    trusted: BTreeMap<Sha256, String>,
    revoked: BTreeMap<Sha256, String>,
}

/// A signature, and the key that it says to be made with.
#[derive(Debug, Default)]
pub(super) struct Signature {
    kind: Option<String>,
    signature: Vec<u8>,
    key: Vec<u8>,
}

impl Signature {
    /// Takes in the bytes of the signature.
    pub(super) fn signature(&mut self, bytes: &[u8]) {
        self.signature = self.without_kind(bytes);
    }

    /// Takes in the bytes of the public key.
    pub(super) fn key(&mut self, bytes: &[u8]) {
        self.key = self.without_kind(bytes);
    }

    fn without_kind(&mut self, bytes: &[u8]) -> Vec<u8> {
        let marked = bytes.strip_prefix(KIND).and_then(|rest| {
            let end = rest.iter().position(|byte| *byte == b'$')?;
            Some((&rest[..end], &rest[end + 1..]))
        });
        let Some((kind, rest)) = marked else {
            return bytes.to_vec();
        };
        self.kind = Some(String::from_utf8_lossy(kind).into_owned());
        rest.to_vec()
    }

    /// Reads what lies beside a bootstrap package as `pkg.pkg.sig`: sections that begin with a line of
    /// their own. The signature is binary, and the line end behind it is not part of it.
    pub(super) fn detached(bytes: &[u8]) -> Option<Self> {
        let (mut signature, mut key, mut kind) = (Vec::new(), Vec::new(), Vec::new());
        let mut section = None;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line {
                b"SIGNATURE\n" => section = Some(&mut signature),
                b"TYPE\n" => section = Some(&mut kind),
                b"CERT\n" => section = Some(&mut key),
                b"END\n" => break,
                line => section.as_mut()?.extend_from_slice(line),
            }
        }
        signature.pop()?;
        let kind = String::from_utf8(kind).ok()?;
        (!key.is_empty()).then_some(Self {
            kind: Some(kind.trim_end().to_owned()).filter(|kind| !kind.is_empty()),
            signature,
            key,
        })
    }

    /// Whether the key made this signature under the digest of a file.
    fn holds(&self, sha256: &Sha256) -> bool {
        let Some(key) = rsa_key(&self.key) else {
            return false;
        };
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
            .verify(hex(sha256).as_bytes(), &self.signature)
            .is_ok()
    }
}

/// The RSA key inside a public key in PEM.
fn rsa_key(pem: &[u8]) -> Option<Vec<u8>> {
    let (_, document) = Document::from_pem(std::str::from_utf8(pem).ok()?).ok()?;
    let key: spki::SubjectPublicKeyInfo<AnyRef<'_>, BitStringRef<'_>> =
        document.decode_msg().ok()?;
    Some(key.subject_public_key.as_bytes()?.to_vec())
}

impl Trust {
    /// Reads the fingerprints of a base.
    ///
    /// # Errors
    /// When it has none, or a revocation cannot be read.
    pub(super) fn of(base: &Tree, folder: &TreePath) -> Result<Self> {
        let mut trust = Self::default();
        for (name, into) in [
            ("trusted", &mut trust.trusted),
            ("revoked", &mut trust.revoked),
        ] {
            let below = folder
                .join(name)
                .map_err(|error| Error::bad_input(error.to_string()))?;
            for (path, node) in base
                .iter()
                .filter(|(path, _)| path.parent().as_ref() == Some(&below))
            {
                let Some(content) = node.content() else {
                    continue;
                };
                let file = String::from_utf8_lossy(path.name()).into_owned();
                match fingerprint(&String::from_utf8_lossy(&content.read()?)) {
                    Some(found) => drop(into.insert(found, file)),
                    // One that is trusted without being understood is trusted less; the other way
                    // round would be dangerous.
                    None if name == "trusted" => tracing::warn!("`{path}` is not a fingerprint"),
                    None => {
                        return Err(Error::bad_input(format!(
                            "the base revokes a key in `{path}`, which cannot be read"
                        )));
                    }
                }
            }
        }
        if trust.trusted.is_empty() {
            return Err(Error::bad_input(format!(
                "the base trusts nobody with packages: `{folder}/trusted` has no fingerprint"
            ))
            .hint("`--packages none` builds without packages"));
        }
        Ok(trust)
    }

    /// Everything that makes a difference, for keys of the cache.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (mark, known) in [(b'+', &self.trusted), (b'-', &self.revoked)] {
            for sha256 in known.keys() {
                bytes.push(mark);
                bytes.extend_from_slice(sha256);
            }
        }
        bytes
    }

    /// Whether somebody trusted signed the file with this digest; names the key's file.
    ///
    /// # Errors
    /// When there is no signature, none is of a trusted key, one is of a revoked key, or none is right.
    pub(super) fn check(
        &self,
        what: &str,
        signatures: &[Signature],
        sha256: &Sha256,
    ) -> Result<&str> {
        if signatures.is_empty() {
            return Err(Error::bad_input(format!("{what} is not signed")).hint(
                "a repository of your own is signed with `pkg repo DIR signing_command: …`, and the \
                 base needs the fingerprint of its key",
            ));
        }
        let of = |signature: &Signature| -> Sha256 { sha2::Sha256::digest(&signature.key).into() };
        for signature in signatures {
            if let Some(name) = self.revoked.get(&of(signature)) {
                return Err(Error::bad_input(format!(
                    "{what} is signed with a key that the base revokes (`{name}`)"
                )));
            }
        }
        let known: Vec<_> = signatures
            .iter()
            .filter_map(|signature| Some((signature, self.trusted.get(&of(signature))?)))
            .collect();
        if known.is_empty() {
            let seen: Vec<_> = signatures.iter().map(|one| hex(of(one))).collect();
            return Err(Error::bad_input(format!(
                "{what} is signed by nobody whom the base trusts"
            ))
            .caused_by(format!(
                "fingerprint {}; trusted: {}",
                seen.join(", "),
                self.trusted
                    .values()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
        if let Some((_, name)) = known
            .iter()
            .find(|(one, _)| one.kind.as_deref().unwrap_or(RSA) == RSA && one.holds(sha256))
        {
            return Ok(name.as_str());
        }
        let kinds: Vec<_> = known
            .iter()
            .filter_map(|(one, _)| one.kind.as_deref())
            .filter(|kind| *kind != RSA)
            .collect();
        if kinds.len() == known.len() {
            return Err(Error::bad_input(format!(
                "{what} is signed with {}, and only RSA is known here",
                kinds.join(", ")
            )));
        }
        Err(Error::bad_input(format!(
            "the signature of {what} is wrong: it was changed after it was signed"
        )))
    }
}

/// The SHA-256 of a fingerprint's file: `function: "sha256"` and `fingerprint: "…"`.
fn fingerprint(text: &str) -> Option<Sha256> {
    let value = |key: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once([':', '='])?;
            let plain = |text: &str| {
                text.trim()
                    .trim_matches([';', '"', '\''])
                    .to_ascii_lowercase()
            };
            (plain(name) == key).then(|| plain(value))
        })
    };
    (value("function")? == "sha256")
        .then(|| digest(&value("fingerprint")?))
        .flatten()
}
