//! Bytes to text: what editors do to a file before anyone looks at its words.

use encoding_rs::{UTF_16BE, UTF_16LE};
use thiserror::Error;

/// The largest file accepted, in bytes.
pub const FILE_LIMIT: usize = 64 * 1024;

/// Why bytes are not a text we can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum DecodeError {
    /// More than [`FILE_LIMIT`].
    #[error("is larger than {} KiB", FILE_LIMIT / 1024)]
    TooLarge,
    /// A document of a word processor or the like, recognised by its first bytes.
    #[error("is not a plain text file but {0}")]
    Document(&'static str),
    /// UTF-16 without the mark that says so.
    #[error("is saved as UTF-16 without a byte order mark, which cannot be read for certain")]
    Utf16WithoutMark,
    /// Something else that no editor makes of text.
    #[error("is not a text file")]
    Binary,
}

impl DecodeError {
    /// A short stable name.
    pub(super) fn code(self) -> &'static str {
        match self {
            DecodeError::TooLarge => "too-large",
            DecodeError::Document(_) => "document",
            DecodeError::Utf16WithoutMark => "utf16-without-mark",
            DecodeError::Binary => "binary",
        }
    }
}

const DOCUMENTS: &[(&[u8], &str)] = &[
    (b"{\\rtf", "a rich text (RTF) document"),
    (b"PK\x03\x04", "a Word or ZIP document"),
    (b"\xd0\xcf\x11\xe0", "an old Word document"),
    (b"%PDF", "a PDF document"),
    (b"bplist", "a Mac web archive"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
];

/// Reads UTF-8 (with or without byte order mark) and UTF-16 with one.
///
/// A byte that is not UTF-8 becomes U+FFFD, so that the line it stands in can be named later.
///
/// # Errors
/// When the bytes cannot be a text.
pub(super) fn decode(bytes: &[u8]) -> Result<String, DecodeError> {
    if bytes.len() > FILE_LIMIT {
        return Err(DecodeError::TooLarge);
    }
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => UTF_16LE.decode_without_bom_handling(rest).0,
        [0xfe, 0xff, rest @ ..] => UTF_16BE.decode_without_bom_handling(rest).0,
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        _ => {
            let starts = |magic: &[u8]| {
                bytes
                    .get(..magic.len())
                    .is_some_and(|head| head.eq_ignore_ascii_case(magic))
            };
            if let Some((_, what)) = DOCUMENTS.iter().find(|(magic, _)| starts(magic)) {
                return Err(DecodeError::Document(what));
            }
            if looks_like_utf16(bytes) {
                return Err(DecodeError::Utf16WithoutMark);
            }
            String::from_utf8_lossy(bytes)
        }
    };
    if is_binary(&text) {
        return Err(DecodeError::Binary);
    }
    Ok(text.into_owned())
}

/// Latin text in UTF-16 has a zero in every other byte.
fn looks_like_utf16(bytes: &[u8]) -> bool {
    let zeros = |parity: usize| {
        bytes
            .iter()
            .enumerate()
            .filter(|(at, byte)| at % 2 == parity && **byte == 0)
            .count()
    };
    let half = bytes.len() / 2;
    half >= 2 && {
        let (even, odd) = (zeros(0), zeros(1));
        (even * 10 > half * 7 && odd * 10 < half) || (odd * 10 > half * 7 && even * 10 < half)
    }
}

/// A zero byte, or many characters that no text has.
fn is_binary(text: &str) -> bool {
    let odd = |c: &char| (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || *c == '\u{fffd}';
    let count = text.chars().filter(odd).count();
    text.contains('\0') || count * 20 > text.chars().count().max(40)
}

/// The lines of a text, whatever ends them: LF, CRLF or CR.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return (!text.is_empty()).then_some(text);
        };
        let ending = if text[end..].starts_with("\r\n") {
            2
        } else {
            1
        };
        rest = Some(&text[end + ending..]);
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_ending_gives_the_same_lines() {
        for text in [
            "a\nb\n\nc",
            "a\r\nb\r\n\r\nc\r\n",
            "a\rb\r\rc\r",
            "a\r\nb\n\rc",
        ] {
            assert_eq!(
                lines(text).collect::<Vec<_>>(),
                ["a", "b", "", "c"],
                "{text:?}"
            );
        }
        assert_eq!(lines("").count(), 0);
    }

    #[test]
    fn encodings_with_a_mark_are_read() {
        let text = "ASSISTANT_NAME=Zoë\r\n";
        let utf16 = |to: fn(u16) -> [u8; 2], mark: [u8; 2]| {
            let units = text.encode_utf16().flat_map(to);
            mark.into_iter().chain(units).collect::<Vec<u8>>()
        };
        let bom = ["\u{feff}", text].concat();
        assert_eq!(decode(bom.as_bytes()).as_deref(), Ok(text));
        assert_eq!(
            decode(&utf16(u16::to_le_bytes, [0xff, 0xfe])).as_deref(),
            Ok(text)
        );
        assert_eq!(
            decode(&utf16(u16::to_be_bytes, [0xfe, 0xff])).as_deref(),
            Ok(text)
        );
        assert_eq!(
            decode(&utf16(u16::to_le_bytes, [0xff, 0xfe])[2..]),
            Err(DecodeError::Utf16WithoutMark)
        );
    }

    #[test]
    fn what_is_no_text_is_named() {
        assert_eq!(
            decode(&vec![b'a'; FILE_LIMIT + 1]),
            Err(DecodeError::TooLarge)
        );
        assert_eq!(
            decode(b"{\\rtf1 hello"),
            Err(DecodeError::Document("a rich text (RTF) document"))
        );
        assert_eq!(
            decode(&[0x7f, b'E', b'L', b'F', 0, 1, 2, 0]),
            Err(DecodeError::Binary)
        );
        assert_eq!(decode(b"").as_deref(), Ok(""));
        assert_eq!(
            decode(b"Zo\xeb, and much more text after it").as_deref(),
            Ok("Zo\u{fffd}, and much more text after it")
        );
    }
}
