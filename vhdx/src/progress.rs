//! Progress reporting and cancellation for long-running operations.

/// Receives the progress of an operation and can cancel it. Every method has a default.
///
/// Methods take `&self` and may be called from another thread than the one that started the operation.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
/// use vhdx::Progress;
///
/// #[derive(Default)]
/// struct Percent {
///     total: AtomicU64,
///     done: AtomicU64,
///     stop: AtomicBool, // set by a signal handler, for example
/// }
///
/// impl Progress for Percent {
///     fn start(&self, total: u64) {
///         self.total.store(total, Ordering::Relaxed);
///     }
///
///     fn advance(&self, bytes: u64) {
///         let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
///         let total = self.total.load(Ordering::Relaxed).max(1);
///         eprint!("\r{} %", u128::from(done) * 100 / u128::from(total));
///     }
///
///     fn is_cancelled(&self) -> bool {
///         self.stop.load(Ordering::Relaxed)
///     }
/// }
/// ```
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
