//! The catalogue of a repository: an archive with one text that lists all packages, and signatures of
//! that text. Nothing of the text is believed, or even parsed, before a signature was found right.

use std::collections::BTreeMap;
use std::io::{self, Read};

use clawdie_tree::Sha256;
use liblzma::read::XzDecoder;
use ruzstd::decoding::StreamingDecoder;
use serde::Deserialize;
use sha2::Digest;

use super::fingerprint::{Signature, Trust};
use crate::error::{ErrorKind, Result, ResultExt};

/// No catalogue is longer: FreeBSD's, with 36 thousand packages, has about 10 MB, and 80 MB unpacked.
pub(super) const MOST: u64 = 128 << 20;
const LIMITS: Limits = Limits {
    text: 512 << 20,
    unpacked: 768 << 20,
};
/// As many signatures and keys, and as long, as `pkg` itself puts up with.
const MOST_SIGNATURES: usize = 8;
const MOST_SIGNATURE: u64 = 1 << 20;

/// What an archive may unpack to: a few kilobytes can stand for all the memory of a machine.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Bytes of the list.
    text: u64,
    /// Bytes of everything.
    unpacked: u64,
}

/// A form that catalogues have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object with all packages.
    Data,
    /// A JSON object for each package, one a line.
    Lines,
}

impl Form {
    /// In the order in which `pkg` asks for them.
    pub(super) const ALL: [Self; 2] = [Self::Data, Self::Lines];

    /// Its file in the repository.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Data => "data.pkg",
            Self::Lines => "packagesite.pkg",
        }
    }

    /// The text in that archive.
    fn member(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Lines => "packagesite.yaml",
        }
    }
}

/// What a catalogue says of one package, as far as we need it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) origin: String,
    #[serde(default)]
    pub(super) abi: Option<String>,
    #[serde(default)]
    arch: Option<String>,
    /// Checksum of its file.
    pub(super) sum: String,
    /// Path of its file in the repository.
    repopath: String,
    /// Length of its file.
    pub(super) pkgsize: u64,
    #[serde(default)]
    pub(super) deps: BTreeMap<String, Dependency>,
    #[serde(default)]
    pub(super) shlibs_required: Vec<String>,
    #[serde(default)]
    pub(super) shlibs_provided: Vec<String>,
    #[serde(default)]
    pub(super) requires: Vec<String>,
    #[serde(default)]
    pub(super) provides: Vec<String>,
}

/// What a package needs.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Dependency {
    pub(super) origin: String,
    #[serde(default)]
    pub(super) version: Option<String>,
}

impl Entry {
    /// The system that it is made for.
    pub(super) fn system(&self) -> &str {
        self.abi
            .as_deref()
            .or(self.arch.as_deref())
            .unwrap_or_default()
    }

    pub(super) fn path(&self) -> &str {
        &self.repopath
    }
}

/// A catalogue that somebody trusted has signed.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) entries: Vec<Entry>,
}

impl Catalogue {
    /// Opens an archive, checks who signed it, and reads it.
    ///
    /// # Errors
    /// `BadInput` when it is damaged, unsigned, wrongly signed, or says what makes no sense.
    pub(super) fn open(archive: &[u8], form: Form, trust: &Trust) -> Result<Self> {
        let what = format!("the catalogue `{}`", form.file());
        let (text, signatures) = unpack(archive, form, LIMITS)
            .or_error(ErrorKind::BadInput, || format!("{what} cannot be read"))?;
        let sha256: Sha256 = sha2::Sha256::digest(&text).into();
        let by = trust.check(&what, &signatures, &sha256)?;
        tracing::debug!("{what} is signed by `{by}`");
        Ok(Self {
            entries: parse(&text, form, &what)?,
        })
    }
}

fn parse(text: &[u8], form: Form, what: &str) -> Result<Vec<Entry>> {
    #[derive(Deserialize)]
    struct Data {
        packages: Vec<Entry>,
    }
    match form {
        Form::Data => serde_json::from_slice::<Data>(text)
            .map(|data| data.packages)
            .or_error(ErrorKind::BadInput, || format!("{what} makes no sense")),
        Form::Lines => (1..)
            .zip(text.split(|byte| *byte == b'\n'))
            .filter(|(_, line)| !line.is_empty())
            .map(|(number, line)| {
                serde_json::from_slice(line).or_error(ErrorKind::BadInput, || {
                    format!("line {number} of {what} makes no sense")
                })
            })
            .collect(),
    }
}

/// The text of an archive, and what it has of signatures.
fn unpack(archive: &[u8], form: Form, limits: Limits) -> io::Result<(Vec<u8>, Vec<Signature>)> {
    let mut text = None;
    let mut signatures: BTreeMap<Vec<u8>, (Signature, [bool; 2])> = BTreeMap::new();
    let mut tar = tar::Archive::new(Bounded {
        inner: decoder(archive)?,
        left: limits.unpacked,
    });
    for entry in tar.entries()? {
        let mut entry = entry?;
        let name = entry.path_bytes().into_owned();
        if name == form.member().as_bytes() {
            if text.is_some() {
                return fault(format!("`{}` is in it twice", form.member()));
            }
            text = Some(read(&mut entry, limits.text, form.member())?);
            continue;
        }
        let Some((stem, which)) = split(&name) else {
            continue;
        };
        let shown = String::from_utf8_lossy(&name).into_owned();
        let bytes = read(&mut entry, MOST_SIGNATURE, &shown)?;
        let (signature, seen) = signatures.entry(stem.to_vec()).or_default();
        if std::mem::replace(&mut seen[which], true) {
            return fault(format!("`{shown}` is in it twice"));
        }
        match which {
            0 => signature.signature(&bytes),
            _ => signature.key(&bytes),
        }
        if signatures.len() > MOST_SIGNATURES {
            return fault(format!("it has more than {MOST_SIGNATURES} signatures"));
        }
    }
    let Some(text) = text else {
        return fault(format!("`{}` is not in it", form.member()));
    };
    let whole = signatures
        .into_values()
        .filter(|(_, seen)| *seen == [true, true])
        .map(|(signature, _)| signature)
        .collect();
    Ok((text, whole))
}

/// `NAME.sig` and `NAME.pub` belong together.
fn split(name: &[u8]) -> Option<(&[u8], usize)> {
    name.strip_suffix(b".sig")
        .map(|stem| (stem, 0))
        .or_else(|| name.strip_suffix(b".pub").map(|stem| (stem, 1)))
}

fn read(entry: &mut impl Read, most: u64, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more, to tell the longest from a longer one: what an archive claims is not believed.
    entry.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return fault(format!("`{name}` has more than {most} bytes"));
    }
    Ok(bytes)
}

fn decoder(archive: &[u8]) -> io::Result<Box<dyn Read + '_>> {
    const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
    const XZ: [u8; 6] = [0xFD, b'7', b'z', b'X', b'Z', 0];
    if archive.starts_with(&ZSTD) {
        let decoder = StreamingDecoder::new(archive).map_err(io::Error::other)?;
        Ok(Box::new(decoder))
    } else if archive.starts_with(&XZ) {
        Ok(Box::new(XzDecoder::new(archive)))
    } else {
        fault("it is compressed neither with zstd nor with xz".into())
    }
}

fn fault<T>(what: String) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// Ends with an error where an archive would unpack to more than any honest one.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buf)?;
        match self.left.checked_sub(got as u64) {
            Some(left) => self.left = left,
            None => return fault("it unpacks to more than any catalogue".into()),
        }
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    /// A compressed archive of members with what their headers claim to hold.
    fn archive(members: &[(&str, u64, &[u8])]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, claim, bytes) in members {
            let mut header = tar::Header::new_ustar();
            header.set_path(name).unwrap();
            header.set_size(*claim);
            header.set_mode(0o644);
            header.set_cksum();
            tar.extend_from_slice(header.as_bytes());
            tar.extend_from_slice(bytes);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.extend_from_slice(&[0; 1024]);
        compress_to_vec(tar.as_slice(), CompressionLevel::Fastest)
    }

    fn told(archive: &[u8], limits: Limits) -> String {
        match unpack(archive, Form::Data, limits) {
            Ok((text, signatures)) => panic!("{} bytes, {signatures:?}", text.len()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_archive_that_grows_without_end_is_put_down() {
        let zeros = vec![0; 4 << 20];
        let whole = archive(&[("data", 4 << 20, &zeros)]);
        assert!(whole.len() < 64 << 10, "{}", whole.len());
        assert_eq!(unpack(&whole, Form::Data, LIMITS).unwrap().0, zeros);
        let limits = |text, unpacked| Limits { text, unpacked };
        let text = told(&whole, limits(1 << 20, 8 << 20));
        assert_eq!(text, "`data` has more than 1048576 bytes");
        let text = told(&whole, limits(8 << 20, 1 << 20));
        assert!(text.contains("unpacks to more than"), "{text}");
        // What is passed over counts as well.
        let beside = archive(&[("other", 4 << 20, &zeros), ("data", 1, b"x")]);
        let text = told(&beside, limits(8 << 20, 1 << 20));
        assert!(text.contains("unpacks to more than"), "{text}");
        let signature = archive(&[("a.sig", 2 << 20, &zeros[..2 << 20]), ("data", 1, b"x")]);
        let text = told(&signature, LIMITS);
        assert_eq!(text, "`a.sig` has more than 1048576 bytes");
    }

    #[test]
    fn what_a_header_claims_is_not_believed() {
        let text = told(&archive(&[("data", 1 << 40, b"short")]), LIMITS);
        assert!(!text.is_empty());
        let whole = archive(&[("data", 9000, &[7; 9000])]);
        let cut = &whole[..whole.len() / 2];
        assert!(!told(cut, LIMITS).is_empty());
    }

    #[test]
    fn members_are_there_once_and_not_too_often() {
        let twice = archive(&[("data", 1, b"x"), ("data", 1, b"y")]);
        assert_eq!(told(&twice, LIMITS), "`data` is in it twice");
        let twice = archive(&[("a.pub", 1, b"x"), ("a.pub", 1, b"y")]);
        assert_eq!(told(&twice, LIMITS), "`a.pub` is in it twice");
        assert_eq!(
            told(&archive(&[("x", 1, b"x")]), LIMITS),
            "`data` is not in it"
        );
        let names: Vec<_> = (0..9).map(|number| format!("{number}.sig")).collect();
        let many: Vec<_> = names.iter().map(|name| (&**name, 1, &b"x"[..])).collect();
        assert!(told(&archive(&many), LIMITS).contains("more than 8 signatures"));
        assert!(told(b"plain", LIMITS).contains("neither with zstd nor with xz"));
    }

    #[test]
    fn half_a_signature_is_none() {
        let half = archive(&[("data", 1, b"x"), ("a.sig", 1, b"x"), ("b.pub", 1, b"x")]);
        let (_, signatures) = unpack(&half, Form::Data, LIMITS).unwrap();
        assert!(signatures.is_empty());
    }
}
