//! Defines [`Budget`]: the bytes that all connections together may have in memory.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A number of bytes, of which threads take parts in the order in which they asked.
#[derive(Debug)]
pub(super) struct Budget {
    total: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    free: u64,
    /// The next number that a thread gets.
    next: u64,
    /// The number whose turn it is.
    turn: u64,
}

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(total: u64) -> Arc<Self> {
        let state = State { free: total, next: 0, turn: 0 };
        Arc::new(Self { total, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Waits until `bytes` are free, and takes them. More than the whole budget is the whole budget.
    pub(super) fn take(self: &Arc<Self>, bytes: u64) -> Permit {
        let bytes = bytes.min(self.total);
        let mut state = self.lock();
        let number = state.next;
        state.next += 1; // never 2^64
        while state.turn != number || state.free < bytes {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.turn += 1;
        state.free -= bytes;
        if state.turn != state.next {
            self.changed.notify_all();
        }
        Permit { budget: Arc::clone(self), bytes }
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.free += self.bytes;
        if state.turn != state.next {
            self.budget.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_great_request_is_not_overtaken_for_ever() {
        let budget = Budget::new(10);
        let first = budget.take(4);
        let (sender, taken) = mpsc::channel();
        let mut threads = Vec::new();
        for (name, bytes) in [("great", 10), ("small", 1)] {
            let (of_thread, sender) = (Arc::clone(&budget), sender.clone());
            threads.push(thread::spawn(move || {
                let permit = of_thread.take(bytes);
                sender.send(name).unwrap();
                drop(permit);
            }));
            // Until the thread has its number.
            while budget.lock().next < threads.len() as u64 + 1 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        assert!(taken.recv_timeout(Duration::from_millis(20)).is_err(), "the small one waits for its turn");
        drop(first);
        assert_eq!([taken.recv().unwrap(), taken.recv().unwrap()], ["great", "small"]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(budget.lock().free, 10);
    }

    #[test]
    fn more_than_everything_is_everything() {
        let budget = Budget::new(10);
        drop(budget.take(u64::MAX));
        assert_eq!(budget.lock().free, 10);
    }
}
