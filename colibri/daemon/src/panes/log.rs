//! What of an agent's log its readers see: plain lines without keys.

use anstream::adapter::strip_bytes;
use colibri_protocol::LogLines;
use colibri_service::blank::Keys;
use colibri_spawner::LogTail;

/// Bytes of a log that are read for one reply. Even where each becomes several, they fit into a line
/// of the protocol.
pub(super) const MOST_BYTES: u64 = 192 * 1024;

/// The newest lines, at most so many.
pub(super) fn lines(tail: &LogTail, most: usize, keys: &Keys) -> LogLines {
    let mut lines: Vec<&[u8]> = tail.bytes.split_inclusive(|&byte| byte == b'\n').collect();
    // It begins in the middle of a line, as a rule; that line is one of those left out.
    if tail.is_cut && lines.len() > 1 {
        lines.remove(0);
    }
    let first = lines.len().saturating_sub(most);
    LogLines {
        lines: lines[first..]
            .iter()
            .map(|line| keys.blanked(&plain(line)))
            .collect(),
        cut: tail.is_cut || first > 0,
        next: tail.end.to_string(),
    }
}

/// A line as it may stand on any terminal, and as one would have shown it in the end.
fn plain(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // What stands before a carriage return was painted over, as progress bars do.
    let last = line.rsplit(|&byte| byte == b'\r').next().unwrap_or(line);
    let stripped = strip_bytes(last).into_vec();
    String::from_utf8_lossy(&stripped)
        .replace('\t', "    ")
        .chars()
        .filter(|letter| !letter.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn tail(text: &[u8], is_cut: bool) -> LogTail {
        LogTail {
            bytes: text.to_vec(),
            is_cut,
            ..LogTail::default()
        }
    }

    #[test]
    fn lines_are_harmless_and_readable() {
        let text =
            b"\x1b[31mError:\x1b[0m no key\r\n\x1b]0;owned\x07 10%\r100%\n\ta\x00b\xc2\x9bc\xc3\x1b[2J\n";
        let shown = lines(&tail(text, false), 10, &Keys::new([]));
        assert_eq!(
            shown.lines,
            ["Error: no key", "100%", "    abc\u{fffd}[2J"],
            "{shown:?}"
        );
        assert!(!shown.cut);
    }

    #[test]
    fn the_newest_are_shown_and_half_a_line_only_where_there_is_no_whole_one() {
        let of = |text: &[u8], is_cut, most| {
            let shown = lines(&tail(text, is_cut), most, &Keys::new([]));
            (shown.lines, shown.cut)
        };
        let text = b"one\ntwo\nthree";
        assert_eq!(of(text, false, 9).0, ["one", "two", "three"]);
        assert_eq!(
            of(text, true, 9),
            (vec!["two".into(), "three".into()], true)
        );
        assert_eq!(of(text, false, 1), (vec!["three".into()], true));
        assert_eq!(of(b"half", true, 9).0, ["half"]);
        assert_eq!(of(b"", false, 9), (Vec::new(), false));
        assert_eq!(of(b"\n\n", false, 9).0, ["", ""]);
    }

    #[test]
    fn no_key_is_shown() {
        let keys = Keys::new([SecretString::from("sk-or-v1-abcdef")]);
        let shown = lines(&tail(b"401 for sk-or-v1-abcdef, sk-or\n", false), 9, &keys);
        assert_eq!(shown.lines, ["401 for (secret), sk-or"]);
    }
}
