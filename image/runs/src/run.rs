//! Where a file's content lies.

/// Bytes of the unit that runs are counted in.
pub const UNIT: u64 = 4096;

/// Neighbouring units; or a hole, which starts at 0, where no content can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First unit.
    pub start: u64,
    /// How many; never 0.
    pub len: u64,
}

impl Run {
    /// Whether nothing is stored for it.
    pub fn is_hole(&self) -> bool {
        self.start == 0
    }
}

/// Adds a run to those of a file, joined to the last one where it goes on.
pub fn push(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        _ if run.len == 0 => {}
        Some(last)
            if last.is_hole() == run.is_hole()
                && (run.is_hole() || last.start + last.len == run.start) =>
        {
            last.len += run.len;
        }
        _ => runs.push(run),
    }
}
