//! What the tar decoder reads from: it may not take in more between two contents than headers need.
//!
//! The `tar` crate reads long names and extended headers into memory, as long as they claim to be. A
//! small compressed file can claim gigabytes.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// One header with its extensions: names and attributes of a real entry take a few kilobytes.
const HEADER: u64 = 1 << 20;

/// A reader that counts, shared with its [`Gauge`].
pub(super) struct Stream<R> {
    inner: R,
    gauge: Gauge,
}

/// Says what is being read, and whether reading has failed.
#[derive(Debug, Clone)]
pub(super) struct Gauge {
    left: Rc<Cell<u64>>,
    broken: Rc<Cell<bool>>,
}

impl<R: Read> Stream<R> {
    pub(super) fn new(inner: R) -> Self {
        let gauge = Gauge {
            left: Rc::new(Cell::new(HEADER)),
            broken: Rc::default(),
        };
        Self { inner, gauge }
    }

    pub(super) fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }
}

impl Gauge {
    /// From here on come headers, or what fills up the end of the archive.
    pub(super) fn expect_header(&self) {
        self.left.set(HEADER);
    }

    /// From here on comes the content of an entry, which is written away as it comes.
    pub(super) fn expect_content(&self) {
        self.left.set(u64::MAX);
    }

    /// Whether the source itself failed, rather than whoever takes the bytes.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get()
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self
            .inner
            .read(buf)
            .inspect_err(|_| self.gauge.broken.set(true))?;
        let left = self.gauge.left.get().checked_sub(got as u64);
        self.gauge.left.set(left.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "more than {} MiB come where headers should be",
                    HEADER >> 20
                ),
            )
        })?);
        Ok(got)
    }
}
