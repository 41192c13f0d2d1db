//! How long work tells the outside how far it is, without knowing whether anybody looks.

/// Receives the stages of a build; `xtask` draws bars from them, tests ignore them.
pub trait Progress: Sync {
    /// A stage begins; it ends when the returned task is dropped. `total` counts bytes where it is
    /// known.
    fn begin(&self, stage: &str, total: Option<u64>) -> Box<dyn Task>;
}

/// A stage under way.
pub trait Task: Send + Sync {
    /// So many bytes more are done.
    fn advance(&self, bytes: u64);
    /// What is being done right now.
    fn note(&self, what: &str);
}

/// Nobody looks.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: &str, _total: Option<u64>) -> Box<dyn Task> {
        Box::new(Self)
    }
}

impl Task for Silent {
    fn advance(&self, _bytes: u64) {}
    fn note(&self, _what: &str) {}
}
