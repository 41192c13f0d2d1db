//! Any bytes as what an agent prints, in any pieces: a pane never panics, keeps little, and says the same
//! however the bytes were cut.
//!
//! Of the input, the first byte names the dialect, the second is the size of the pieces, the rest is printed.
#![no_main]

use colibri_glasspane::{End, Pane};
use colibri_protocol::Runtime;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [dialect, size, printed @ ..] = bytes else {
        return;
    };
    let runtime = Runtime::ALL[usize::from(*dialect) % 3];
    let now = Timestamp::UNIX_EPOCH;
    let mut whole = Pane::new("s-1", "anna", runtime, now);
    let expected = whole.feed(printed, now);
    let mut cut = Pane::new("s-1", "anna", runtime, now);
    let mut changes = Vec::new();
    for piece in printed.chunks(usize::from(*size).max(1)) {
        changes.extend(cut.feed(piece, now));
    }
    assert_eq!(changes, expected);
    assert_eq!(cut.snapshot(now), whole.snapshot(now));
    assert!(whole.snapshot(now).text.len() <= 4096);

    let mut wakes = 0;
    while let Some(next) = whole.wakes_at() {
        whole.tick(next);
        wakes += 1;
        assert!(wakes < 100, "it never rests");
    }
    whole.ended(End::Code(1), now);
    assert_eq!(whole.wakes_at(), None);
});
