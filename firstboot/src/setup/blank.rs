//! A `setup.txt` without its secrets: what `SEED_SECRETS=blank` leaves on the stick.
//!
//! Works on the units of the file as it lies on the stick (bytes, or UTF-16's pairs of them), so that encoding, line
//! ends, remarks and every other byte stay. A secret is everything behind the `=` of its line.
//!
//! A power cut may leave any part of a secret overwritten. Hence both results depend on nothing that is overwritten:
//! [`blank`] makes the same of a file, of one that is overwritten in part, and of one that is overwritten whole.

use std::ops::Range;

use super::lines::{BLANKS, strip_export};
use super::redact::{self, commented_out};
use super::schema::{Applied, Key};
use super::{decode, placeholder};

/// What [`blank`] makes of a file. Other text of it may be secret too, so it has no `Debug`.
pub struct Blanked {
    /// The file with nothing behind the `=` of its secrets.
    pub clean: Vec<u8>,
    /// The file, as long as it was, with blanks behind the `=` of its secrets.
    pub overlaid: Vec<u8>,
    /// The settings that had a value which is gone now, commented-out ones left out.
    pub keys: Vec<Key>,
    /// How many lines had a value which is gone now.
    pub lines: usize,
    /// Numbers of the lines that still hold what looks like a secret: in a remark, behind an unknown name, or of a
    /// setting that this version does not use and so may not lose.
    pub left: Vec<usize>,
    /// Whether some secret begins or ends with blanks, as one does that was overwritten in part.
    pub is_frayed: bool,
}

/// Empties the secrets of a `setup.txt`; `None` when the bytes are no text.
pub fn blank(bytes: &[u8]) -> Option<Blanked> {
    decode::decode(bytes).ok()?;
    let mut text = Units::read(bytes);
    let mut found = Blanked {
        clean: Vec::new(),
        overlaid: Vec::new(),
        keys: Vec::new(),
        lines: 0,
        left: Vec::new(),
        is_frayed: false,
    };
    let mut secrets: Vec<Range<usize>> = Vec::new();
    let mut placeholders = Vec::new();
    for (index, line) in text.lines().into_iter().enumerate() {
        let words = text.words(line.clone());
        let Some((key, value, is_comment)) = secret_line(&words) else {
            continue;
        };
        let Some(equals) = text.units[line.clone()]
            .iter()
            .position(|unit| *unit == EQUALS)
        else {
            continue;
        };
        let trimmed = value.trim_matches(BLANKS);
        if placeholder(key, trimmed).is_some() {
            placeholders.push(index + 1);
            continue;
        }
        secrets.push(line.start + equals + 1..line.end);
        found.is_frayed |= trimmed.len() < value.len();
        if !trimmed.is_empty() {
            found.lines += 1;
            if !is_comment && !found.keys.contains(&key) {
                found.keys.push(key);
            }
        }
    }
    for secret in &secrets {
        text.units[secret.clone()].fill(BLANK);
    }
    found.overlaid = text.write();
    for secret in secrets.into_iter().rev() {
        text.units.drain(secret);
    }
    found.clean = text.write();
    found.left = redact::show(&found.clean)
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains("hidden]"))
        .map(|(index, _)| index + 1)
        .filter(|number| !placeholders.contains(number))
        .collect();
    Some(found)
}

const EQUALS: u16 = b'=' as u16;
const BLANK: u16 = b' ' as u16;

/// The setting of a line whose value is to go, its value, and whether the line is commented out.
fn secret_line(line: &str) -> Option<(Key, &str, bool)> {
    let (key, value, is_comment) = if let Some((key, value)) = commented_out(line) {
        (key, value, true)
    } else {
        let (name, value) = line.split_once('=')?;
        (Key::from_name(strip_export(name).1)?, value, false)
    };
    // What this version does not use stands nowhere but here.
    let goes = key.is_secret() && key.row().applied != Applied::NotYet;
    goes.then_some((key, value, is_comment))
}

/// A text by its smallest units: bytes, or two of them in UTF-16.
struct Units {
    /// The byte order mark, as it stands there.
    mark: Vec<u8>,
    width: Width,
    units: Vec<u16>,
    /// A last byte that is no whole unit.
    odd: Option<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    Byte,
    LittleEndian,
    BigEndian,
}

impl Units {
    fn read(bytes: &[u8]) -> Self {
        let (mark, width) = match bytes {
            [0xff, 0xfe, ..] => (2, Width::LittleEndian),
            [0xfe, 0xff, ..] => (2, Width::BigEndian),
            [0xef, 0xbb, 0xbf, ..] => (3, Width::Byte),
            _ => (0, Width::Byte),
        };
        let (mark, rest) = bytes.split_at(mark);
        let mut odd = None;
        let units = match width {
            Width::Byte => rest.iter().copied().map(u16::from).collect(),
            Width::LittleEndian | Width::BigEndian => {
                let (pairs, left) = rest.as_chunks::<2>();
                odd = left.first().copied();
                let read = match width {
                    Width::BigEndian => u16::from_be_bytes,
                    _ => u16::from_le_bytes,
                };
                pairs.iter().map(|pair| read(*pair)).collect()
            }
        };
        Self {
            mark: mark.to_vec(),
            width,
            units,
            odd,
        }
    }

    fn write(&self) -> Vec<u8> {
        let mut bytes = self.mark.clone();
        for unit in &self.units {
            match self.width {
                // Read from a byte, or a blank.
                Width::Byte => bytes.push(unit.to_le_bytes()[0]),
                Width::LittleEndian => bytes.extend(unit.to_le_bytes()),
                Width::BigEndian => bytes.extend(unit.to_be_bytes()),
            }
        }
        bytes.extend(self.odd);
        bytes
    }

    /// Where the lines are, without their ends; as [`decode::lines`] cuts them.
    fn lines(&self) -> Vec<Range<usize>> {
        let mut lines = Vec::new();
        let mut start = 0;
        let is = |at: usize, byte: u8| self.units.get(at) == Some(&u16::from(byte));
        while start < self.units.len() {
            let end = (start..self.units.len())
                .find(|at| is(*at, b'\n') || is(*at, b'\r'))
                .unwrap_or(self.units.len());
            lines.push(start..end);
            let ending = if is(end, b'\r') && is(end + 1, b'\n') {
                2
            } else {
                1
            };
            start = end + ending;
        }
        lines
    }

    /// A line as text. Only its name and whether there is a value count, so broken letters do no harm.
    fn words(&self, line: Range<usize>) -> String {
        let units = &self.units[line];
        match self.width {
            Width::Byte => {
                let bytes: Vec<u8> = units.iter().map(|unit| unit.to_le_bytes()[0]).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Width::LittleEndian | Width::BigEndian => String::from_utf16_lossy(units),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-or-v1-CANARY0123456789abcdef0123456789abcdef0123456789abcdef0123456789";

    fn text() -> String {
        format!(
            "# My machine\r\n\r\nexport OPENROUTER_API_KEY = \"{KEY}\" \r\n#OPENAI_API_KEY=sk-proj-CANARYrealkeyrealkey\r\n\
             #ANTHROPIC_API_KEY=sk-ant-...\r\nTELEGRAM=none\nCLAWDIE_USER_PASSWORD=CANARY žaba = 1\rASSISTANT_NAME=Zoë\n\n\
             GEMINI_API_KEY=\r\nSEED_SECRETS=blank"
        )
    }

    const CLEAN: &str = "# My machine\r\n\r\nexport OPENROUTER_API_KEY =\r\n#OPENAI_API_KEY=\r\n\
             #ANTHROPIC_API_KEY=sk-ant-...\r\nTELEGRAM=none\nCLAWDIE_USER_PASSWORD=\rASSISTANT_NAME=Zoë\n\n\
             GEMINI_API_KEY=\r\nSEED_SECRETS=blank";

    fn encoded(text: &str) -> Vec<(&'static str, Vec<u8>)> {
        let wide = |mark: [u8; 2], to: fn(u16) -> [u8; 2]| {
            mark.into_iter()
                .chain(text.encode_utf16().flat_map(to))
                .collect()
        };
        vec![
            ("UTF-8", text.as_bytes().to_vec()),
            (
                "UTF-8 with a mark",
                ["\u{feff}", text].concat().into_bytes(),
            ),
            ("UTF-16LE", wide([0xff, 0xfe], u16::to_le_bytes)),
            ("UTF-16BE", wide([0xfe, 0xff], u16::to_be_bytes)),
        ]
    }

    #[test]
    fn only_the_values_of_secrets_go_in_every_encoding() {
        for ((name, bytes), (_, clean)) in encoded(&text()).into_iter().zip(encoded(CLEAN)) {
            let blanked = blank(&bytes).expect("a text");
            assert_eq!(blanked.clean, clean, "{name}");
            assert_eq!(blanked.overlaid.len(), bytes.len(), "{name}");
            assert_eq!(
                blanked.keys,
                [Key::OpenrouterApiKey, Key::ClawdieUserPassword],
                "{name}"
            );
            assert_eq!((blanked.lines, &*blanked.left), (3, &[][..]), "{name}");
        }
    }

    /// Any sectors may have reached the stick when the power went: here every pair of borders.
    #[test]
    fn a_file_that_is_overwritten_in_part_comes_to_the_same() {
        for (name, bytes) in encoded(&text()) {
            let whole = blank(&bytes).expect("a text");
            for from in (0..bytes.len()).step_by(2) {
                for to in (from..bytes.len()).step_by(14) {
                    let mut torn = bytes.clone();
                    torn[from..to].copy_from_slice(&whole.overlaid[from..to]);
                    let again = blank(&torn).expect("a text");
                    assert!(again.clean == whole.clean, "{name}: {from}..{to}");
                    assert!(again.overlaid == whole.overlaid, "{name}: {from}..{to}");
                    assert!(again.is_frayed || torn == bytes, "{name}: {from}..{to}");
                }
            }
            let again = blank(&whole.clean).expect("a text");
            assert!(again.clean == whole.clean && again.lines == 0, "{name}");
        }
    }

    #[test]
    fn what_must_stay_is_named_by_its_line() {
        let text = format!(
            "# the old one was {KEY}\nOPENROUTER_KEY={KEY}\nBW_PASSWORD=CANARY phrase\nDEEPSEEK_API_KEY=<paste your key here>\n\
             OPENROUTER_API_KEY={KEY}\nHOSTNAME=ada\n"
        );
        let blanked = blank(text.as_bytes()).expect("a text");
        assert_eq!(blanked.left, [1, 2, 3]);
        let clean = String::from_utf8(blanked.clean).expect("text");
        assert!(clean.contains("OPENROUTER_API_KEY=\n") && clean.contains("CANARY phrase"));
        assert!(blank(&[0xff, 0xfe, 0, 0]).is_none(), "no text");
    }
}
