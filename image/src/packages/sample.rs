//! A made-up repository's signatures and archives, for tests. Its keys sign nothing else.

use std::io::Read as _;

use clawdie_tree::hex;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use sha2::{Digest as _, Sha256};

/// A key pair of `testdata`.
#[derive(Debug, Clone, Copy)]
pub struct Signer {
    /// DER, PKCS #1.
    pub(super) private: &'static [u8],
    /// PEM.
    pub public: &'static [u8],
}

/// Whom [made-up dist sets](crate::base::sets::sample) trust.
pub const SIGNER: Signer = Signer {
    private: include_bytes!("testdata/signer.der"),
    public: include_bytes!("testdata/signer.pub"),
};

impl Signer {
    /// Signs the hexadecimal digest of a file, as FreeBSD's signing servers do.
    pub fn sign(self, file: &[u8]) -> Vec<u8> {
        let pair = RsaKeyPair::from_der(self.private).expect("a key pair of testdata");
        let mut signature = vec![0; pair.public().modulus_len()];
        let text = hex(Sha256::digest(file));
        pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            text.as_bytes(),
            &mut signature,
        )
        .expect("a signature as long as the key");
        signature
    }

    /// `pkg.pkg.sig`: what lies beside the package manager, for those who do not have it yet.
    pub fn detached(self, file: &[u8]) -> Vec<u8> {
        [
            b"SIGNATURE\n",
            self.sign(file).as_slice(),
            b"\nCERT\n",
            self.public,
            b"END\n",
        ]
        .concat()
    }
}

/// A catalogue's archive, not compressed yet: its members by name, in this order.
pub fn archive<N: AsRef<str>>(members: &[(N, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name.as_ref(), *bytes)
            .expect("written to memory");
    }
    tar.into_inner().expect("written to memory")
}

/// Compresses an archive as older repositories do.
pub fn xz(archive: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    liblzma::read::XzEncoder::new(archive, 0)
        .read_to_end(&mut packed)
        .expect("read from memory");
    packed
}
