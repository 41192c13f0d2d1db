//! An agent's standard output, as bytes or as lines.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::process::ChildStdout;

/// What an agent prints. Read it, or the agent waits with a full pipe.
///
/// Read bytes through [`AsyncRead`], or lines through [`Output::line`]; not both,
/// because lines are read ahead.
#[derive(Debug)]
pub struct Output {
    stdout: ChildStdout,
    lines: Lines,
}

/// A line of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Without its `\n` or `\r\n`. The last may have had none.
    Whole(Vec<u8>),
    /// It was longer than allowed, and is not kept.
    TooLong {
        /// How long it was, without its newline.
        bytes: u64,
    },
}

impl Output {
    /// `max_line` is the longest line in bytes that is kept.
    pub(crate) fn new(stdout: ChildStdout, max_line: usize) -> Self {
        Self {
            stdout,
            lines: Lines::new(max_line),
        }
    }

    /// Lets lines of up to `bytes` pass.
    pub fn set_max_line(&mut self, bytes: usize) {
        self.lines.max = bytes;
    }

    /// The next line; `None` when the agent has closed its output. Nothing is
    /// lost when the future is dropped.
    ///
    /// # Errors
    /// What the system said on reading.
    pub async fn line(&mut self) -> io::Result<Option<Line>> {
        let mut chunk = [0; 8192];
        loop {
            if let Some(line) = self.lines.next() {
                return Ok(Some(line));
            }
            match self.stdout.read(&mut chunk).await? {
                0 => return Ok(self.lines.last()),
                length => self.lines.push(&chunk[..length]),
            }
        }
    }
}

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(context, buffer)
    }
}

/// Lines out of bytes. Unlike the protocol's buffer it goes on after a line that
/// is too long: one bad line must not end an agent.
#[derive(Debug)]
struct Lines {
    max: usize,
    bytes: Vec<u8>,
    searched: usize,
    /// Bytes of the line at hand that were thrown away.
    dropped: u64,
}

impl Lines {
    fn new(max: usize) -> Self {
        Self {
            max,
            bytes: Vec::new(),
            searched: 0,
            dropped: 0,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<Line> {
        let Some(at) = self.bytes[self.searched..]
            .iter()
            .position(|&byte| byte == b'\n')
        else {
            // A line that may still fit is kept, with a possible `\r` behind it.
            if self.dropped > 0 || self.bytes.len() > self.max + 1 {
                // A last `\r` may be the newline's.
                let keep = usize::from(self.bytes.last() == Some(&b'\r'));
                let drop = self.bytes.len() - keep;
                self.bytes.drain(..drop);
                self.dropped += drop as u64;
            }
            self.searched = self.bytes.len();
            return None;
        };
        let rest = self.bytes.split_off(self.searched + at + 1);
        let mut line = std::mem::replace(&mut self.bytes, rest);
        self.searched = 0;
        line.pop();
        Some(self.whole(line))
    }

    /// What came after the last newline.
    fn last(&mut self) -> Option<Line> {
        let line = std::mem::take(&mut self.bytes);
        self.searched = 0;
        (self.dropped > 0 || !line.is_empty()).then(|| self.whole(line))
    }

    fn whole(&mut self, mut line: Vec<u8>) -> Line {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 || line.len() > self.max {
            return Line::TooLong {
                bytes: dropped + line.len() as u64,
            };
        }
        Line::Whole(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(chunks: &[&[u8]], max: usize) -> Vec<Line> {
        let mut lines = Lines::new(max);
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk);
            found.extend(std::iter::from_fn(|| lines.next()));
        }
        found.extend(lines.last());
        found
    }

    #[test]
    fn a_line_that_is_too_long_costs_only_itself() {
        let whole = |text: &str| Line::Whole(text.into());
        let long = "x".repeat(1000);
        let text = format!("one\r\n{long}\ntwo\n\nthree");
        let found = read(&[text.as_bytes()], 10);
        assert_eq!(
            found,
            [
                whole("one"),
                Line::TooLong { bytes: 1000 },
                whole("two"),
                whole(""),
                whole("three")
            ]
        );
    }

    #[test]
    fn a_carriage_return_may_come_late() {
        for chunks in [&[&b"xxxxx"[..], b"\r", b"\n"][..], &[b"xxxxx\r\n"]] {
            assert_eq!(read(chunks, 2), [Line::TooLong { bytes: 5 }]);
        }
    }

    proptest! {
        #[test]
        fn the_cuts_do_not_matter(
            text in proptest::collection::vec(
                prop_oneof![4 => Just(b'x'), 1 => Just(b'\n'), 1 => Just(b'\r')], 0..300),
            size in 1usize..20, max in 0usize..12,
        ) {
            let chunks: Vec<_> = text.chunks(size).collect();
            let pieces = read(&chunks, max);
            let whole = read(&[&text], max);
            prop_assert_eq!(pieces, whole);
        }

        #[test]
        fn memory_is_bounded(size in 1usize..5000) {
            let mut lines = Lines::new(100);
            for _ in 0..50 {
                lines.push(&vec![b'x'; size]);
                prop_assert_eq!(lines.next(), None);
                prop_assert!(lines.bytes.len() <= 101);
            }
        }
    }
}
