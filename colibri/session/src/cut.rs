//! Tool results that are too long.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What was left out of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// How long it was, in bytes.
    pub bytes: u64,
    /// How many bytes of it are missing.
    pub dropped: u64,
}

/// Shortens a text to `limit` bytes, its note included: two thirds of what stays
/// are its beginning, the rest is its end, where programs say how it went. When
/// not even the note fits, as much of the beginning as does.
pub fn cut(text: &str, limit: Option<u64>) -> (Cow<'_, str>, Option<Cut>) {
    let bytes = text.len() as u64;
    let Some(limit) = limit.filter(|&limit| bytes > limit) else {
        return (Cow::Borrowed(text), None);
    };
    // Smaller than a length in memory, so it fits.
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let note = |dropped: usize| format!("\n[… {dropped} of {bytes} bytes left out …]\n");
    let longest = note(text.len()).len();
    let Some(room) = limit.checked_sub(longest) else {
        let head = text.floor_char_boundary(limit);
        let cut = Cut {
            bytes,
            dropped: bytes - head as u64,
        };
        return (Cow::Borrowed(&text[..head]), Some(cut));
    };
    let head = text.floor_char_boundary(room / 3 * 2);
    let tail = text.ceil_char_boundary(text.len() - room / 3);
    let dropped = tail - head;
    let short = [&text[..head], &note(dropped), &text[tail..]].concat();
    let cut = Cut {
        bytes,
        dropped: dropped as u64,
    };
    (Cow::Owned(short), Some(cut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_fits_is_not_touched_and_what_does_not_says_so() {
        assert_eq!(cut("äöü", Some(6)), (Cow::Borrowed("äöü"), None));
        assert_eq!(cut("x", None).1, None);
        let long = "ä".repeat(3000);
        let (short, note) = cut(&long, Some(4000));
        let note = note.unwrap();
        assert_eq!(note.bytes, 6000);
        assert!(short.contains(&format!("[… {} of 6000 bytes left out …]", note.dropped)));
        assert!(short.len() > 3900);
        assert_eq!(cut("äöü", Some(3)).0, "ä");
    }

    proptest! {
        #[test]
        fn never_longer_than_the_limit_and_both_ends_are_kept(
            text in ".{0,400}", limit in 0u64..300,
        ) {
            let (short, note) = cut(&text, Some(limit));
            prop_assert!(short.len() as u64 <= limit);
            match note {
                None => prop_assert_eq!(&short, &text),
                Some(note) => {
                    prop_assert!(text.len() as u64 > limit);
                    prop_assert_eq!(note.bytes, text.len() as u64);
                    if let Some((head, rest)) = short.split_once("\n[… ") {
                        prop_assert!(text.starts_with(head));
                        let tail = rest.split_once(" …]\n").unwrap().1;
                        prop_assert!(text.ends_with(tail));
                        let kept = (head.len() + tail.len()) as u64;
                        prop_assert_eq!(kept + note.dropped, note.bytes);
                    } else {
                        prop_assert!(text.starts_with(&*short));
                    }
                }
            }
        }
    }
}
