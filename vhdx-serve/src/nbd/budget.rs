//! Defines [`Budget`]: the bytes that all connections together may have in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A number of bytes. Each connection has a part of its own, and the rest is a pool for all.
///
/// The own part makes small requests independent of all other connections. Threads take bytes of the pool in the order
/// in which they asked, so that great requests are not overtaken for ever.
#[derive(Debug)]
pub(super) struct Budget {
    /// The part of each connection.
    own: u64,
    pool: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The free bytes of the pool.
    free: u64,
    /// The numbers of the threads that wait for the pool, in their order.
    waiting: VecDeque<u64>,
    /// The next number that a thread gets.
    next: u64,
}

/// The bytes of one connection.
#[derive(Debug)]
pub(super) struct Account {
    budget: Arc<Budget>,
    /// The bytes that are taken of the own part, and those of the pool. They change under the lock of the budget only.
    of_own: AtomicU64,
    of_pool: AtomicU64,
}

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    account: Arc<Account>,
    bytes: u64,
    is_own: bool,
}

impl Budget {
    /// Returns a budget of `total` bytes for some `connections`. The pool has at least `largest` bytes, if `total` has.
    pub(super) fn new(total: u64, connections: usize, largest: u64) -> Arc<Self> {
        let connections = connections.max(1) as u64;
        let own = total.saturating_sub(largest).min(total / 2) / connections;
        let pool = total - own * connections;
        let state = State { free: pool, waiting: VecDeque::new(), next: 0 };
        Arc::new(Self { own, pool, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Returns an account for a connection.
    pub(super) fn account(self: &Arc<Self>) -> Arc<Account> {
        Arc::new(Account { budget: Arc::clone(self), of_own: AtomicU64::new(0), of_pool: AtomicU64::new(0) })
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Waits until `bytes` are free, and takes them. More than the whole pool is the whole pool.
    pub(super) fn take(self: &Arc<Self>, bytes: u64) -> Permit {
        let mut state = self.budget.lock();
        if let Some(permit) = self.take_own(bytes) {
            return permit;
        }
        let of_pool = bytes.min(self.budget.pool);
        let number = state.next;
        state.next += 1; // never 2^64
        state.waiting.push_back(number);
        let permit = loop {
            if state.waiting.front() == Some(&number) && state.free >= of_pool {
                state.free -= of_pool;
                self.of_pool.fetch_add(of_pool, Ordering::Relaxed);
                break Permit { account: Arc::clone(self), bytes: of_pool, is_own: false };
            }
            // An earlier request of this connection may have ended.
            if let Some(permit) = self.take_own(bytes) {
                break permit;
            }
            state = self.budget.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.waiting.retain(|&waiting| waiting != number);
        if !state.waiting.is_empty() {
            self.budget.changed.notify_all();
        }
        permit
    }

    /// Takes bytes of the own part. The caller has the lock of the budget.
    fn take_own(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        let taken = self.of_own.load(Ordering::Relaxed).saturating_add(bytes);
        (taken <= self.budget.own).then(|| {
            self.of_own.store(taken, Ordering::Relaxed);
            Permit { account: Arc::clone(self), bytes, is_own: true }
        })
    }

    /// Returns whether this has bytes of the pool, for which others wait.
    pub(super) fn is_in_the_way(&self) -> bool {
        self.of_pool.load(Ordering::Relaxed) > 0 && !self.budget.lock().waiting.is_empty()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let budget = &self.account.budget;
        let mut state = budget.lock();
        if self.is_own {
            self.account.of_own.fetch_sub(self.bytes, Ordering::Relaxed);
        } else {
            self.account.of_pool.fetch_sub(self.bytes, Ordering::Relaxed);
            state.free += self.bytes;
        }
        if !state.waiting.is_empty() {
            budget.changed.notify_all();
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
        let budget = Budget::new(10, 1, 10);
        let account = budget.account();
        let first = account.take(4);
        assert!(!account.is_in_the_way());
        let (sender, taken) = mpsc::channel();
        let mut threads = Vec::new();
        for (name, bytes) in [("great", 10), ("small", 1)] {
            let (account, sender) = (budget.account(), sender.clone());
            threads.push(thread::spawn(move || {
                let permit = account.take(bytes);
                sender.send(name).unwrap();
                drop(permit);
            }));
            // Until the thread has its number.
            while budget.lock().next < threads.len() as u64 + 1 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        assert!(taken.recv_timeout(Duration::from_millis(20)).is_err(), "the small one waits for its turn");
        assert!(account.is_in_the_way());
        drop(first);
        assert_eq!([taken.recv().unwrap(), taken.recv().unwrap()], ["great", "small"]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(budget.lock().free, 10);
    }

    #[test]
    fn more_than_everything_is_everything() {
        let budget = Budget::new(10, 1, 10);
        drop(budget.account().take(u64::MAX));
        assert_eq!(budget.lock().free, 10);
    }

    #[test]
    fn the_own_part_is_free_while_others_have_the_pool() {
        let budget = Budget::new(40, 10, 20);
        assert_eq!((budget.own, budget.pool), (2, 20));
        let (greedy, modest) = (budget.account(), budget.account());
        let all = greedy.take(20);
        let own = [greedy.take(1), modest.take(1), modest.take(1)];
        assert!(own.iter().all(|permit| permit.is_own) && !all.is_own);
        // A request waits for the pool or for the own part, whichever is free first.
        let thread = thread::spawn(move || modest.take(2).is_own);
        while budget.lock().waiting.is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(greedy.is_in_the_way());
        drop(own);
        assert!(thread.join().unwrap());
        assert!(!greedy.is_in_the_way());
        drop(all);
        assert_eq!(budget.lock().free, 20);
    }
}
