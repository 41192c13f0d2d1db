//! Any bytes as `setup.txt` and as `authorized_keys`: the check never panics, says something about
//! whatever it refuses, and keeps its carets inside their lines.
#![no_main]

use clawdie_firstboot::setup::{self, Input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let verdict = setup::check(Input {
        name: "setup.txt",
        setup: bytes,
        authorized_keys: Some(bytes),
    });
    assert!(verdict.setup.is_some() || verdict.errors().next().is_some());
    for problem in &verdict.problems {
        if let Some(line) = &problem.source_line {
            assert!(problem.caret.end <= line.chars().count() + 1, "{problem}");
            assert!(!line.contains(char::is_control), "{problem:?}");
        }
    }
    let _ = (verdict.report(), setup::show(bytes));
});
