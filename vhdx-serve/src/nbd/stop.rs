//! Defines [`Stop`]: the handle that ends a server.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A handle that ends [`Server::run`](crate::Server::run) from another thread. Clones end the same server.
///
/// It is not for use within a signal handler, because it takes a lock. A thread that waits for signals may use it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Returns a handle that has not been used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells the server to end. Running requests are finished first.
    pub fn stop(&self) {
        *self.lock() = true;
        self.0.changed.notify_all();
    }

    /// Returns whether [`stop`](Self::stop) was called.
    pub fn is_stopped(&self) -> bool {
        *self.lock()
    }

    /// Waits until [`stop`](Self::stop) was called or `has_ended` returns true.
    pub(super) fn wait_or(&self, has_ended: impl Fn() -> bool) {
        let goes_on = |stopped: &mut bool| !*stopped && !has_ended();
        drop(self.0.changed.wait_while(self.lock(), goes_on).unwrap_or_else(PoisonError::into_inner));
    }

    /// Makes [`wait_or`](Self::wait_or) call its condition again.
    pub(super) fn look_again(&self) {
        // With the lock, so that this is not between the call and the wait.
        drop(self.lock());
        self.0.changed.notify_all();
    }

    /// Nothing panics while it holds the lock, and the flag is valid in any case.
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.is_stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
