//! Defines [`FairQueue`]: the jobs of all connections, from which each connection gets its turn.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Jobs in one queue for each owner. Workers take one job of each owner in turn, so an owner with many jobs does not
/// delay those of the others.
#[derive(Debug)]
pub(super) struct FairQueue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<J> {
    /// The jobs of each owner that has some.
    jobs: HashMap<u64, VecDeque<J>>,
    /// The owners that have jobs, in the order of their turns.
    turns: VecDeque<u64>,
    has_ended: bool,
}

impl<J> FairQueue<J> {
    pub(super) fn new() -> Self {
        let state = State { jobs: HashMap::new(), turns: VecDeque::new(), has_ended: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds a job. The caller limits the number of jobs of an owner.
    pub(super) fn push(&self, owner: u64, job: J) {
        let mut state = self.lock();
        let jobs = state.jobs.entry(owner).or_default();
        jobs.push_back(job);
        if jobs.len() == 1 {
            state.turns.push_back(owner);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Waits for a job. Returns `None` after [`end`](Self::end), once no job is left.
    pub(super) fn pop(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.take() {
                return Some(job);
            }
            if state.has_ended {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes the workers end when no job is left.
    pub(super) fn end(&self) {
        self.lock().has_ended = true;
        self.changed.notify_all();
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> State<J> {
    fn take(&mut self) -> Option<J> {
        let owner = self.turns.pop_front()?;
        let jobs = self.jobs.get_mut(&owner)?;
        let job = jobs.pop_front();
        if jobs.is_empty() {
            self.jobs.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
        job
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_take_turns_and_their_jobs_keep_their_order() {
        let queue = FairQueue::new();
        for job in 0..4 {
            queue.push(1, (1, job));
        }
        queue.push(2, (2, 0));
        queue.push(2, (2, 1));
        queue.end();
        let jobs: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(jobs, [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (1, 3)]);
    }
}
