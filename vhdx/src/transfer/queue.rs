//! Hands out numbered items to several threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::progress::Progress;

/// Items in the order of the disk. None is handed out after the queue was stopped.
pub(super) struct Queue<'a, I> {
    items: Mutex<Items<I>>,
    is_stopped: AtomicBool,
    progress: &'a dyn Progress,
}

struct Items<I> {
    rest: I,
    /// How many items were handed out.
    taken: u64,
}

impl<'a, I> Queue<'a, I> {
    pub(super) fn new(items: I, progress: &'a dyn Progress) -> Self {
        Self {
            items: Mutex::new(Items { rest: items, taken: 0 }),
            is_stopped: AtomicBool::new(false),
            progress,
        }
    }

    /// Ends the queue, because of a failure or because nobody needs more items.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Stops the queue when the returned value is dropped while its thread panics.
    ///
    /// Otherwise the other threads would complete all the work before the panic reaches the caller.
    pub(super) fn stop_on_panic(&self) -> StopOnPanic<'_, 'a, I> {
        StopOnPanic(self)
    }
}

impl<W, I: Iterator<Item = Result<W>>> Queue<'_, I> {
    /// Returns the next item and its number. An error is an item, and the last one.
    pub(super) fn take(&self) -> Option<(u64, Result<W>)> {
        let mut items = lock(&self.items);
        if self.is_stopped.load(Ordering::Relaxed) {
            return None;
        }
        let item = if self.progress.is_cancelled() { Err(Error::Cancelled) } else { items.rest.next()? };
        if item.is_err() {
            self.stop();
        }
        let number = items.taken;
        items.taken += 1;
        Some((number, item))
    }
}

pub(super) struct StopOnPanic<'q, 'a, I>(&'q Queue<'a, I>);

impl<I> Drop for StopOnPanic<'_, '_, I> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

/// Locks a mutex. If another thread has panicked with the lock, its panic reaches the caller of the operation anyway.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
