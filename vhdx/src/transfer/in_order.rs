//! Works on items in several threads, and consumes the results in order.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use super::jobs::Workers;
use super::queue::{Queue, lock};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::storage::Buffer;

/// Calls `work` for each item, and then `consume` with its result and buffer, in the order of the items.
///
/// `work` is called in several threads, `consume` in the caller's. With one thread, both are called in turn in the
/// caller's thread. A buffer has at least [`Workers::batch`] bytes for each disk.
///
/// # Errors
/// The first error, in the order of the items; [`Error::Cancelled`](crate::Error::Cancelled).
pub(crate) fn in_order<W, I, T: Send>(
    workers: Workers,
    items: I,
    progress: &dyn Progress,
    work: impl Fn(W, &mut [u8]) -> Result<T> + Sync,
    mut consume: impl FnMut(T, &[u8]) -> Result<()>,
) -> Result<()>
where
    I: Iterator<Item = Result<W>> + Send,
{
    let queue = Queue::new(items, progress);
    let hand_over = HandOver::new(workers);
    let run = || {
        let _leaving = hand_over.leave_at_end();
        let _stop = queue.stop_on_panic();
        while let Some(mut buffer) = hand_over.take_buffer() {
            let Some((number, item)) = queue.take() else { return };
            let result = item.and_then(|item| work(item, &mut buffer));
            if result.is_err() {
                queue.stop();
            }
            hand_over.put(number, Done { result, buffer });
        }
    };
    thread::scope(|scope| {
        let _stop = hand_over.stop_at_end();
        // If a thread cannot be started, the other threads do its work.
        let threads = if workers.threads == 1 { 0 } else { workers.threads };
        let started = (0..threads).filter(|_| {
            hand_over.enter();
            let has_started = thread::Builder::new().spawn_scoped(scope, run).is_ok();
            if !has_started {
                hand_over.leave();
            }
            has_started
        });
        if started.count() == 0 {
            let mut buffer = Buffer::new(workers.buffer);
            while let Some((_, item)) = queue.take() {
                let result = work(item?, &mut buffer)?;
                consume(result, &buffer)?;
            }
            return Ok(());
        }
        while let Some(Done { result, buffer }) = hand_over.next() {
            // Many items may have been handed over already.
            if progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            consume(result?, &buffer)?;
            hand_over.give_back(buffer);
        }
        Ok(())
    })
}

/// The result of an item, and the buffer that was used for it.
struct Done<T> {
    result: Result<T>,
    buffer: Buffer,
}

/// Buffers on their way from the consumer to the workers and back.
struct HandOver<T> {
    state: Mutex<State<T>>,
    /// Something to consume, or the last worker left.
    ready: Condvar,
    /// A free buffer, or the end.
    free: Condvar,
    workers: Workers,
}

struct State<T> {
    done: BTreeMap<u64, Done<T>>,
    /// The number of the item that is consumed next.
    next: u64,
    free: Vec<Buffer>,
    /// How many buffers exist.
    buffers: usize,
    /// How many workers may still hand over something.
    running: usize,
    is_stopped: bool,
}

impl<T> HandOver<T> {
    fn new(workers: Workers) -> Self {
        let state = State {
            done: BTreeMap::new(),
            next: 0,
            free: Vec::new(),
            buffers: 0,
            running: 0,
            is_stopped: false,
        };
        Self { state: Mutex::new(state), ready: Condvar::new(), free: Condvar::new(), workers }
    }

    /// Waits for a free buffer. Returns `None` once nobody consumes any more.
    fn take_buffer(&self) -> Option<Buffer> {
        let mut state = lock(&self.state);
        loop {
            if state.is_stopped {
                return None;
            }
            if let Some(buffer) = state.free.pop() {
                return Some(buffer);
            }
            if state.buffers < self.workers.buffers {
                state.buffers += 1;
                drop(state);
                return Some(Buffer::new(self.workers.buffer));
            }
            state = self.free.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, buffer: Buffer) {
        lock(&self.state).free.push(buffer);
        self.free.notify_one();
    }

    fn put(&self, number: u64, done: Done<T>) {
        let mut state = lock(&self.state);
        let is_next = number == state.next;
        state.done.insert(number, done);
        drop(state);
        if is_next {
            self.ready.notify_one();
        }
    }

    /// Waits for the result of the next item. Returns `None` if there is none: all workers have left, or one panicked.
    fn next(&self) -> Option<Done<T>> {
        let mut state = lock(&self.state);
        loop {
            let next = state.next;
            if let Some(done) = state.done.remove(&next) {
                state.next += 1;
                return Some(done);
            }
            if state.running == 0 {
                return None;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn enter(&self) {
        lock(&self.state).running += 1;
    }

    fn leave(&self) {
        let mut state = lock(&self.state);
        state.running -= 1;
        // The item of a worker that panics is never handed over, so nobody gives back the buffers of later items.
        state.is_stopped |= thread::panicking();
        let is_stopped = state.is_stopped;
        drop(state);
        self.ready.notify_one();
        if is_stopped {
            self.free.notify_all();
        }
    }

    /// Leaves when the returned value is dropped, even by a panic: the consumer must not wait for this worker then.
    fn leave_at_end(&self) -> impl Drop + '_ {
        AtEnd(|| self.leave())
    }

    /// Stops the workers when the returned value is dropped, even by a panic: they must not wait for a buffer then.
    fn stop_at_end(&self) -> impl Drop + '_ {
        AtEnd(|| {
            lock(&self.state).is_stopped = true;
            self.free.notify_all();
        })
    }
}

/// Calls a function when it is dropped.
struct AtEnd<F: Fn()>(F);

impl<F: Fn()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
