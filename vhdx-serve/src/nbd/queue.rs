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
    jobs: HashMap<u64, VecDeque<Job<J>>>,
    /// The owners that have jobs, in the order of their turns.
    turns: VecDeque<u64>,
    /// The long jobs that run, and the most that may.
    long: usize,
    most_long: usize,
    has_ended: bool,
}

/// A job, and whether it may take long.
#[derive(Debug)]
pub(super) struct Job<W> {
    pub(super) work: W,
    pub(super) is_long: bool,
}

impl<J> FairQueue<J> {
    pub(super) fn new() -> Self {
        let state =
            State { jobs: HashMap::new(), turns: VecDeque::new(), long: 0, most_long: 1, has_ended: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds a job. The caller limits the number of jobs of an owner.
    pub(super) fn push(&self, owner: u64, job: Job<J>) {
        let mut state = self.lock();
        let jobs = state.jobs.entry(owner).or_default();
        jobs.push_back(job);
        if jobs.len() == 1 {
            state.turns.push_back(owner);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Sets the number of workers. Half of them may run long jobs at the same time; the others are for short ones.
    pub(super) fn set_workers(&self, workers: usize) {
        self.lock().most_long = (workers / 2).max(1);
    }

    /// Says that a job has ended.
    pub(super) fn finish(&self, is_long: bool) {
        if is_long {
            self.lock().long -= 1;
            self.changed.notify_all();
        }
    }

    /// Waits for a job, which the caller [finishes](Self::finish). Returns `None` after [`end`](Self::end), once no job is left.
    pub(super) fn pop(&self) -> Option<Job<J>> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.take() {
                return Some(job);
            }
            if state.has_ended && state.turns.is_empty() {
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
    fn take(&mut self) -> Option<Job<J>> {
        let may_be_long = self.long < self.most_long;
        let may_run = |owner: &u64| {
            self.jobs.get(owner).and_then(VecDeque::front).is_some_and(|job| may_be_long || !job.is_long)
        };
        let place = self.turns.iter().position(may_run)?;
        let owner = self.turns.remove(place)?;
        let jobs = self.jobs.get_mut(&owner)?;
        let job = jobs.pop_front();
        self.long += usize::from(job.as_ref().is_some_and(|job| job.is_long));
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

    fn short<W>(work: W) -> Job<W> {
        Job { work, is_long: false }
    }

    #[test]
    fn long_jobs_leave_workers_for_short_ones() {
        let queue = FairQueue::new();
        queue.set_workers(4);
        for work in 0..3 {
            queue.push(1, Job { work, is_long: true });
        }
        queue.push(2, short(9));
        queue.end();
        let works: Vec<_> = (0..3).map(|_| queue.pop().unwrap().work).collect();
        assert_eq!(works, [0, 9, 1]);
        // The third one waits for the end of another.
        std::thread::scope(|scope| {
            let last = scope.spawn(|| queue.pop().unwrap().work);
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!last.is_finished());
            queue.finish(true);
            assert_eq!(last.join().unwrap(), 2);
        });
        assert!(queue.pop().is_none());
    }

    #[test]
    fn owners_take_turns_and_their_jobs_keep_their_order() {
        let queue = FairQueue::new();
        for job in 0..4 {
            queue.push(1, short((1, job)));
        }
        queue.push(2, short((2, 0)));
        queue.push(2, short((2, 1)));
        queue.end();
        let jobs: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|job| job.work).collect();
        assert_eq!(jobs, [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (1, 3)]);
    }
}
