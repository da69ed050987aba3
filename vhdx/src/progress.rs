//! How long operations report what they have done, and are asked to stop.

/// What an operation reports to. Every method has a default, so that a caller implements only what it shows.
///
/// Methods take `&self` and may be called from another thread than the one that started the operation.
pub trait Progress: Sync {
    /// The work is `total` bytes long. Called once, before the first [`advance`](Self::advance).
    fn start(&self, total: u64) {
        let _ = total;
    }

    /// `bytes` more of the work are done.
    fn advance(&self, bytes: u64) {
        let _ = bytes;
    }

    /// Whether the operation should stop. Asked often; it then ends with [`Error::Cancelled`](crate::Error::Cancelled)
    /// and leaves nothing that is broken: a new file is gone, files that are changed are sound, and the same operation goes
    /// on from there.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Reports to nobody and never cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {}
