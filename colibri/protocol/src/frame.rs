//! Lines out of a stream of bytes, without any input or output of its own.

/// Longest line in bytes, its newline not counted, that either side accepts.
pub const MAX_LINE: usize = 1024 * 1024;

/// A line grew past [`MAX_LINE`] before its newline came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {MAX_LINE} bytes")]
pub struct LineTooLong;

/// Room that is kept for the next line, and most bytes of lines given back that are still in the way.
const KEPT: usize = 64 * 1024;

/// Collects bytes as they arrive and gives back whole lines.
///
/// Both the daemon (which reads asynchronously) and the client (which blocks)
/// feed it; the result does not depend on how the bytes were cut on the way.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// How many of them were given back as lines. They are cleared away many at a time, not once a line:
    /// whoever sends nothing but newlines would have the rest moved for each of them.
    taken: usize,
    /// How far the newline was already looked for, so that a line arriving in
    /// a thousand pieces is not searched from its start a thousand times.
    searched: usize,
}

impl LineBuffer {
    /// Adds bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.clear_away();
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line, without its `\n` or `\r\n`; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`LineTooLong`] as soon as a line cannot fit any more. The stream cannot
    /// be trusted after that: the caller answers and closes.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, LineTooLong> {
        let Some(at) = self.bytes[self.searched..]
            .iter()
            .position(|&byte| byte == b'\n')
        else {
            self.searched = self.bytes.len();
            return if self.bytes.len() - self.taken > MAX_LINE {
                Err(LineTooLong)
            } else {
                Ok(None)
            };
        };
        let end = self.searched + at;
        if end - self.taken > MAX_LINE {
            return Err(LineTooLong);
        }
        let mut line = self.bytes[self.taken..end].to_vec();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        self.taken = end + 1;
        self.searched = self.taken;
        if self.taken > KEPT || !self.is_mid_line() {
            self.clear_away();
        }
        Ok(Some(line))
    }

    /// What was given back goes, and the room with it: a long line does not keep its own for as long as
    /// the client stays.
    fn clear_away(&mut self) {
        self.bytes.drain(..self.taken);
        self.bytes.shrink_to(KEPT);
        self.searched -= self.taken;
        self.taken = 0;
    }

    /// How many bytes it keeps: those that are no line yet, and at most 64 KiB that are one no more.
    pub fn kept(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that came behind the lines which were taken.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.taken)
    }

    /// Whether a line has begun and its newline has not come yet.
    pub fn is_mid_line(&self) -> bool {
        self.taken < self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[Vec<u8>]) -> (Vec<Vec<u8>>, bool) {
        let mut buffer = LineBuffer::default();
        let mut found = Vec::new();
        for chunk in chunks {
            buffer.push(chunk);
            while let Some(line) = buffer.next_line().unwrap() {
                found.push(line);
            }
        }
        (found, buffer.is_mid_line())
    }

    #[test]
    fn what_comes_behind_a_line_is_not_lost() {
        let mut buffer = LineBuffer::default();
        buffer.push(b"one\ntwo\nrest\n");
        assert_eq!(buffer.next_line(), Ok(Some(b"one".to_vec())));
        assert_eq!(buffer.into_rest(), b"two\nrest\n");
        let mut buffer = LineBuffer::default();
        buffer.push(b"one\n");
        assert_eq!(buffer.next_line(), Ok(Some(b"one".to_vec())));
        assert!(buffer.into_rest().is_empty());
    }

    #[test]
    fn a_line_of_exactly_the_limit_passes_and_one_more_byte_does_not() {
        let mut buffer = LineBuffer::default();
        buffer.push(&vec![b'x'; MAX_LINE]);
        assert_eq!(buffer.next_line(), Ok(None));
        buffer.push(b"\nrest");
        assert_eq!(buffer.next_line().unwrap().unwrap().len(), MAX_LINE);
        assert!(buffer.is_mid_line());

        let mut buffer = LineBuffer::default();
        buffer.push(&vec![b'x'; MAX_LINE + 1]);
        assert_eq!(buffer.next_line(), Err(LineTooLong));
        let mut buffer = LineBuffer::default();
        buffer.push(&vec![b'x'; MAX_LINE + 1]);
        buffer.push(b"\n");
        assert_eq!(buffer.next_line(), Err(LineTooLong));
    }

    #[test]
    fn carriage_returns_before_the_newline_go_and_others_stay() {
        let (found, open) = lines(&[b"a\r\nb\rc\n\r\n".to_vec()]);
        assert_eq!(found, vec![b"a".to_vec(), b"b\rc".to_vec(), Vec::new()]);
        assert!(!open);
    }

    #[test]
    fn a_long_line_leaves_no_room_behind() {
        for rest in ["", "rest"] {
            let mut buffer = LineBuffer::default();
            buffer.push(&vec![b'x'; MAX_LINE]);
            buffer.push(format!("\n{rest}").as_bytes());
            assert_eq!(buffer.next_line().unwrap().unwrap().len(), MAX_LINE);
            assert_eq!(buffer.kept(), rest.len());
            assert!(buffer.bytes.capacity() <= KEPT);
        }
    }

    #[test]
    fn a_flood_of_newlines_moves_the_rest_seldom() {
        let mut buffer = LineBuffer::default();
        buffer.push(&vec![b'\n'; 4 * KEPT]);
        let (mut lines, mut moves, mut taken) = (0, 0, 0);
        while buffer.next_line().unwrap().is_some() {
            lines += 1;
            moves += usize::from(buffer.taken <= taken);
            taken = buffer.taken;
        }
        assert_eq!(lines, 4 * KEPT);
        assert!(moves <= 4, "{moves}");
    }

    proptest! {
        #[test]
        fn cutting_the_stream_elsewhere_changes_nothing(
            stream in proptest::collection::vec(
                prop_oneof![3 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(b'\r')], 0..600),
            cuts in proptest::collection::vec(1usize..40, 0..60),
        ) {
            let whole = lines(std::slice::from_ref(&stream));
            let mut chunks = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts {
                let (chunk, tail) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk.to_vec());
                rest = tail;
            }
            chunks.push(rest.to_vec());
            prop_assert_eq!(&lines(&chunks), &whole);
            let newlines = stream.iter().filter(|&&byte| byte == b'\n').count();
            prop_assert_eq!(whole.0.len(), newlines);
        }
    }
}
