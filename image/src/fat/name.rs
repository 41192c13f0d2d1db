//! Long names, and the 8.3 names that stand beside them.

use std::collections::{HashMap, HashSet};

/// A name as it stands in a directory entry: 8 characters and 3, padded with spaces.
pub(super) type Short = [u8; 11];

/// The upper half of code page 437, which short names made elsewhere are read with.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// Text of a short name or label.
pub(super) fn oem(bytes: &[u8]) -> String {
    let upper = |byte: u8| {
        CP437
            .chars()
            .nth(usize::from(byte - 0x80))
            .unwrap_or('\u{fffd}')
    };
    bytes
        .iter()
        .map(|&byte| {
            if byte < 0x80 {
                byte as char
            } else {
                upper(byte)
            }
        })
        .collect()
}

/// Checks a long name and gives its UTF-16; on failure, why Windows could not open such a file.
pub(super) fn long(name: &[u8]) -> Result<Vec<u16>, &'static str> {
    let Ok(name) = std::str::from_utf8(name) else {
        return Err("is not UTF-8");
    };
    if name.is_empty() {
        return Err("is empty");
    }
    if name
        .chars()
        .any(|c| (c as u32) < 0x20 || "\"*/:<>?\\|".contains(c))
    {
        return Err("holds a character that FAT forbids");
    }
    if name.ends_with(['.', ' ']) {
        return Err("ends in a dot or a space, which Windows drops");
    }
    let units: Vec<u16> = name.encode_utf16().collect();
    if units.len() > 255 {
        return Err("is longer than 255 characters");
    }
    Ok(units)
}

/// What two names must not share: FAT does not tell upper from lower case.
pub(super) fn folded(name: &str) -> String {
    name.to_uppercase()
}

fn allowed(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"$%'-_@~`!(){}^#&".contains(&byte)
}

/// Splits a name into its base and its extension.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or((name, ""))
}

/// The short name that says the same as `name` apart from case, if there is one.
fn lossless(name: &str) -> Option<Short> {
    let (base, extension) = split(name);
    let fits = (1..=8).contains(&base.len())
        && extension.len() <= 3
        && !name.ends_with('.')
        && name
            .to_ascii_uppercase()
            .bytes()
            .filter(|&byte| byte != b'.')
            .all(allowed)
        && !base.contains('.');
    fits.then(|| padded(&base.to_ascii_uppercase(), &extension.to_ascii_uppercase()))
}

fn padded(base: &str, extension: &str) -> Short {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base.as_bytes());
    short[8..8 + extension.len()].copy_from_slice(extension.as_bytes());
    short
}

/// The short names of one directory.
#[derive(Default)]
pub(super) struct ShortNames {
    taken: HashSet<Short>,
    next: HashMap<(String, String), u32>,
}

impl ShortNames {
    /// Marks a short name as taken.
    pub(super) fn take(&mut self, short: Short) {
        self.taken.insert(short);
    }

    /// Short names for all `names` of a directory, and whether each needs its long name beside it.
    /// Names that fit get theirs first, so that no made-up one stands in their way.
    pub(super) fn assign(names: &[&str]) -> Vec<(Short, bool)> {
        let mut shorts = Self::default();
        let fitting: Vec<_> = names.iter().map(|name| lossless(name)).collect();
        fitting
            .iter()
            .flatten()
            .for_each(|&short| shorts.take(short));
        names
            .iter()
            .zip(fitting)
            .map(|(name, fits)| {
                let short = fits.unwrap_or_else(|| shorts.make_up(name));
                (short, needs_long(name, &short))
            })
            .collect()
    }

    /// A short name for `name` in a directory that has others already.
    pub(super) fn add(&mut self, name: &str) -> (Short, bool) {
        let short = lossless(name)
            .filter(|short| !self.taken.contains(short))
            .unwrap_or_else(|| self.make_up(name));
        self.take(short);
        (short, needs_long(name, &short))
    }

    /// `LONGNA~1.TXT` and so on.
    fn make_up(&mut self, name: &str) -> Short {
        let clean = |part: &str, len: usize| -> String {
            part.chars()
                .filter(|&c| c != ' ' && c != '.')
                .map(|c| c.to_ascii_uppercase())
                .map(|c| {
                    if c.is_ascii() && allowed(c as u8) {
                        c
                    } else {
                        '_'
                    }
                })
                .take(len)
                .collect()
        };
        let (base, extension) = split(name.trim_start_matches('.'));
        let (base, extension) = (clean(base, 6), clean(extension, 3));
        let next = self
            .next
            .entry((base.clone(), extension.clone()))
            .or_insert(1);
        loop {
            let tail = format!("~{next}");
            *next += 1;
            let keep = base.len().min(8 - tail.len());
            let short = padded(&format!("{}{tail}", &base[..keep]), &extension);
            if self.taken.insert(short) {
                return short;
            }
        }
    }
}

/// Whether a short name alone would not give `name` back. The two bits with which Windows NT marks
/// lower-case short names would save a few entries, but not every firmware knows them.
fn needs_long(name: &str, short: &Short) -> bool {
    display(short, 0) != name
}

/// A short name as text; `case` are the bits of Windows NT: 8 for a lower-case base, 16 extension.
pub(super) fn display(short: &Short, case: u8) -> String {
    let mut short = *short;
    if short[0] == 0x05 {
        short[0] = 0xE5; // which itself would mean a deleted entry
    }
    let part = |bytes: &[u8], lower: bool| {
        let text = oem(bytes);
        let text = text.trim_end_matches(' ');
        if lower {
            text.to_lowercase()
        } else {
            text.to_owned()
        }
    };
    let base = part(&short[..8], case & 8 != 0);
    match part(&short[8..], case & 16 != 0) {
        extension if extension.is_empty() => base,
        extension => format!("{base}.{extension}"),
    }
}

/// The sum of a short name that its long entries carry.
pub(super) fn checksum(short: &Short) -> u8 {
    short
        .iter()
        .fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shorts(names: &[&str]) -> Vec<String> {
        ShortNames::assign(names)
            .iter()
            .map(|(short, long)| format!("{}{}", display(short, 0), if *long { " +" } else { "" }))
            .collect()
    }

    #[test]
    fn short_names_are_those_that_windows_would_give() {
        assert_eq!(
            shorts(&[
                "BOOTX64.EFI",
                "setup.txt",
                "README.txt",
                "grub.cfg.signed",
                "grub.cfg.other",
                ".fseventsd",
                "a b.txt",
                "ä.txt",
                "LONGNA~1.TXT",
                "Longname1.txt",
                "no_ext_here",
            ]),
            [
                "BOOTX64.EFI",
                "SETUP.TXT +",
                "README.TXT +",
                "GRUBCF~1.SIG +",
                "GRUBCF~1.OTH +",
                "FSEVEN~1 +",
                "AB~1.TXT +",
                "_~1.TXT +",
                "LONGNA~1.TXT",
                "LONGNA~2.TXT +",
                "NO_EXT~1 +",
            ]
        );
    }

    #[test]
    fn code_page_has_every_byte() {
        assert_eq!(CP437.chars().count(), 128);
        assert_eq!(oem(&[0x80, 0xE1, 0xFF]), "Çß\u{a0}");
    }

    #[test]
    fn names_that_windows_cannot_open_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "a.",
            "a ",
            "a:b",
            "a/b",
            "a\\b",
            "a?",
            "\u{1}",
            &"x".repeat(256),
        ] {
            assert!(long(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(long(b"\xff").is_err());
        assert_eq!(long("ü".as_bytes()), Ok(vec![0xFC]));
    }

    proptest! {
        #[test]
        fn short_names_are_valid_and_differ(names in proptest::collection::hash_set("[a-zäA-C.+ ~1]{1,14}", 1..80)) {
            let mut seen = HashSet::new();
            let names: Vec<_> = names
                .iter()
                .map(String::as_str)
                .filter(|name| long(name.as_bytes()).is_ok() && seen.insert(folded(name)))
                .collect();
            let shorts = ShortNames::assign(&names);
            let unique: HashSet<_> = shorts.iter().map(|(short, _)| short).collect();
            prop_assert_eq!(unique.len(), names.len());
            for (short, _) in &shorts {
                prop_assert!(short.iter().all(|&byte| byte == b' ' || allowed(byte)), "{:?}", short);
                prop_assert_ne!(short[0], b' ');
            }
        }
    }
}
