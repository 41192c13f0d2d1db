//! The checksum of a package in a catalogue: SHA-256 in older ones, BLAKE2b since `pkg` 2.

use std::io::{self, Read};

use blake2::Blake2b512;
use clawdie_tree::Sha256;
use sha2::Digest;

use crate::recipe::digest;

/// A checksum as catalogues write it: hexadecimal, or a number for the kind, `$`, and the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sum {
    Sha256(Sha256),
    /// In `pkg`'s own writing of 32 letters.
    Blake2b(String),
}

/// Letters of that writing, each for five bits, the lowest first.
const LETTERS: [u8; 32] = *b"ybndrfg8ejkmcpqxot1uwisza345h769";

/// As many of them as 512 bits need.
const BLAKE2B_LETTERS: usize = 103;

impl Sum {
    /// Reads one; none when it is of a kind that is not known here.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.split_once('$') {
            None => digest(text).map(Self::Sha256),
            Some(("1", text)) => digest(text).map(Self::Sha256),
            Some(("2", text)) => (text.len() == BLAKE2B_LETTERS
                && text.bytes().all(|letter| LETTERS.contains(&letter)))
            .then(|| Self::Blake2b(text.to_owned())),
            Some(_) => None,
        }
    }

    /// Whether a file has this checksum.
    pub(super) fn is_of(&self, reader: &mut impl Read) -> io::Result<bool> {
        Ok(match self {
            Self::Sha256(sum) => *sum == <Sha256>::from(hash::<sha2::Sha256>(reader)?),
            Self::Blake2b(sum) => *sum == written(&hash::<Blake2b512>(reader)?),
        })
    }
}

fn hash<D: Digest>(reader: &mut impl Read) -> io::Result<sha2::digest::Output<D>> {
    let mut hasher = D::new();
    let mut buf = vec![0; 128 << 10];
    loop {
        match reader.read(&mut buf) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(got) => hasher.update(&buf[..got]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn written(bytes: &[u8]) -> String {
    let (mut waiting, mut bits) = (0u32, 0);
    let mut text = String::new();
    let letter = |value: u32| char::from(LETTERS[(value & 0x1F) as usize]);
    for byte in bytes {
        waiting |= u32::from(*byte) << bits;
        bits += 8;
        while bits >= 5 {
            text.push(letter(waiting));
            waiting >>= 5;
            bits -= 5;
        }
    }
    if bits > 0 {
        text.push(letter(waiting));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_is_read() {
        let hex = clawdie_tree::hex(sha2::Sha256::digest(b"pkg\n"));
        // Of another implementation, which agrees with what `pkg repo` writes.
        let blake = "nu63wxgy4qiafpquj94u4k5awicimdjo3s5t15ity1adyp7uxupbaabe5g8x\
                     r65goc5bzztd6sdj4ykgsq71gkma7mp19kuhir3uhrd";
        for text in [hex.clone(), format!("1${hex}"), format!("2${blake}")] {
            let sum = Sum::parse(&text).unwrap();
            assert!(sum.is_of(&mut b"pkg\n".as_slice()).unwrap(), "{text}");
            assert!(!sum.is_of(&mut b"pkg".as_slice()).unwrap(), "{text}");
        }
        for text in [
            "",
            "2$",
            "abc",
            &format!("0${hex}"),
            &format!("2${hex}"),
            &format!("7${hex}"),
            &format!("2${}", &blake[1..]),
            &format!("2$L{}", &blake[1..]),
        ] {
            assert_eq!(Sum::parse(text), None, "{text}");
        }
    }
}
