//! Progress reporting and cancellation for long-running operations.

/// Receives the progress of an operation and can cancel it. Every method has a default.
///
/// Methods take `&self` and may be called from another thread than the one that started the operation.
pub trait Progress: Sync {
    /// Reports the total work in bytes. Called once, before the first [`advance`](Self::advance).
    fn start(&self, total: u64) {
        let _ = total;
    }

    /// Reports that `bytes` more bytes of the work are done.
    fn advance(&self, bytes: u64) {
        let _ = bytes;
    }

    /// Returns whether the operation should stop. Called often.
    ///
    /// A cancelled operation returns [`Error::Cancelled`](crate::Error::Cancelled). It removes its new file and leaves
    /// changed files valid; the same operation, run again, completes the work. Until then, the target of a merge may be
    /// a mix of old and new data, and that of [`overwrite_raw`](crate::ops::overwrite_raw) is unusable.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Ignores all progress and never cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {}
