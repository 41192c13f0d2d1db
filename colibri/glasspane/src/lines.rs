//! Lines out of what an agent prints.

use colibri_protocol::MAX_LINE;

/// What is kept of a line that is too long: enough to read its kind.
const HEAD: usize = 256;

/// One line, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Whole(&'a [u8]),
    /// The beginning of one of more than [`MAX_LINE`] bytes.
    TooLong(&'a [u8]),
}

/// Cuts a stream into lines. Unlike the protocol's `LineBuffer` it goes on after
/// a line that is too long: an agent that reads a large file is no enemy.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The line that has begun; its beginning only once it is too long.
    held: Vec<u8>,
    /// Its length so far.
    len: usize,
}

impl Lines {
    /// Gives every line that `bytes` complete to `each`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(at) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = (&bytes[..at], &bytes[at + 1..]);
            bytes = rest;
            // Most lines come whole, and are not copied.
            if self.len == 0 && line.len() <= MAX_LINE {
                each(Line::Whole(line));
                continue;
            }
            self.hold(line);
            self.finish(&mut each);
        }
        self.hold(bytes);
    }

    /// The line that has begun, when no more will come.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(Line<'_>)) {
        if self.len > MAX_LINE {
            each(Line::TooLong(&self.held));
        } else {
            each(Line::Whole(&self.held));
        }
        self.held.clear();
        self.len = 0;
        // A long line is rare; its room need not stay for the agent's life.
        self.held.shrink_to(4 * HEAD);
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.len = self.len.saturating_add(bytes.len());
        if self.len <= MAX_LINE {
            self.held.extend_from_slice(bytes);
            return;
        }
        let room = HEAD.saturating_sub(self.held.len()).min(bytes.len());
        self.held.extend_from_slice(&bytes[..room]);
        self.held.truncate(HEAD);
        self.held.shrink_to(4 * HEAD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Length and first bytes of each line; `None` for one that is too long.
    fn lines<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut each = |line: Line<'_>| {
            found.push(match line {
                Line::Whole(line) => Some(line.to_vec()),
                Line::TooLong(head) => {
                    assert_eq!(head.len(), HEAD);
                    None
                }
            });
        };
        for chunk in chunks {
            lines.feed(chunk, &mut each);
        }
        lines.finish(&mut each);
        found
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_the_next_is_read() {
        let longest = vec![b'x'; MAX_LINE];
        let long = vec![b'y'; MAX_LINE + 1];
        let stream = [&longest[..], b"\n", &long, b"\nnext\n", &long].concat();
        let expected = [Some(longest), None, Some(b"next".to_vec()), None];
        assert_eq!(lines([&stream[..]]), expected);
        assert_eq!(lines(stream.chunks(4096)), expected);
        assert_eq!(lines(stream.chunks(MAX_LINE - 1)), expected);
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut lines = Lines::default();
        for _ in 0..64 {
            lines.feed(&[b'z'; 64 * 1024], |_| panic!("no line"));
            assert!(lines.held.capacity() <= 2 * MAX_LINE);
        }
        assert!(
            lines.held.capacity() <= 4 * HEAD,
            "{}",
            lines.held.capacity()
        );
    }

    proptest! {
        #[test]
        fn cutting_the_stream_elsewhere_changes_nothing(
            stream in proptest::collection::vec(
                prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')], 0..600),
            size in 1usize..40,
        ) {
            let expected: Vec<_> = stream
                .split(|&byte| byte == b'\n')
                .map(|line| Some(line.to_vec()))
                .collect();
            prop_assert_eq!(lines([&stream[..]]), expected.clone());
            prop_assert_eq!(lines(stream.chunks(size)), expected);
        }
    }
}
