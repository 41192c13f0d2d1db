//! Bitwarden's encryption, as far as a vault is made with it.

#![allow(clippy::unwrap_used, reason = "only tests call this")]

use std::num::NonZeroU32;

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt as _, KeyIvInit as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hkdf, hmac, pbkdf2};

/// What `bw` takes at the least.
pub(crate) const ITERATIONS: u32 = 5000;

/// An encryption and an authentication key.
#[derive(Clone)]
pub(crate) struct Key {
    encryption: [u8; 32],
    authentication: [u8; 32],
}

impl Key {
    /// Both halves in one.
    pub(crate) fn from_bytes(bytes: &[u8; 64]) -> Self {
        let (encryption, authentication) = bytes.split_at(32);
        Self {
            encryption: encryption.try_into().unwrap(),
            authentication: authentication.try_into().unwrap(),
        }
    }

    /// The one that a master password makes.
    pub(crate) fn of_password(password: &str, email: &str) -> Self {
        let mut master = [0; 32];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            NonZeroU32::new(ITERATIONS).unwrap(),
            email.trim().to_lowercase().as_bytes(),
            password.as_bytes(),
            &mut master,
        );
        let stretched = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &master);
        let expand = |what: &[u8]| {
            let mut key = [0; 32];
            let what = [what];
            let okm = stretched.expand(&what, hkdf::HKDF_SHA256).unwrap();
            okm.fill(&mut key).unwrap();
            key
        };
        Self {
            encryption: expand(b"enc"),
            authentication: expand(b"mac"),
        }
    }

    /// `2.IV|CIPHERTEXT|MAC`: AES-256 in CBC mode with HMAC-SHA256 over both.
    pub(crate) fn seal(&self, plain: &[u8]) -> String {
        let mut iv = [0; 16];
        SystemRandom::new().fill(&mut iv).unwrap();
        let sealed = cbc::Encryptor::<Aes256>::new(&self.encryption.into(), &iv.into())
            .encrypt_padded_vec::<Pkcs7>(plain);
        let mut mac = hmac::Context::with_key(&hmac::Key::new(
            hmac::HMAC_SHA256,
            &self.authentication,
        ));
        mac.update(&iv);
        mac.update(&sealed);
        format!(
            "2.{}|{}|{}",
            STANDARD.encode(iv),
            STANDARD.encode(&sealed),
            STANDARD.encode(mac.sign())
        )
    }
}

/// `4.CIPHERTEXT`: RSA with OAEP and SHA-1, made before.
pub(crate) fn sealed_with_rsa(sealed: &[u8]) -> String {
    format!("4.{}", STANDARD.encode(sealed))
}

/// A UUID that is always the same for the same words.
pub(crate) fn uuid(words: &str) -> String {
    let digest = digest::digest(&digest::SHA256, words.as_bytes());
    let mut hex = String::new();
    for byte in &digest.as_ref()[..16] {
        hex.push_str(&format!("{byte:02x}"));
    }
    // Version 4, the variant of RFC 9562.
    hex.replace_range(12..13, "4");
    hex.replace_range(16..17, "8");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
