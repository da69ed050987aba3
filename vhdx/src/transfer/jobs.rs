//! How many threads an operation uses.

use std::num::NonZero;

use crate::storage::ReadHint;
use crate::units::MIB;

/// The threads for a disk whose files are on this host.
const DEFAULT: usize = 4;
/// The most threads that are used without a request of the caller.
const MOST_BY_DEFAULT: usize = 16;
/// The most memory that the buffers of an operation take together, in bytes. With what else the threads need, it stays
/// below 64 MiB.
const MEMORY: u64 = 48 * MIB;
/// The most bytes of a buffer. Most of a longer one would not fit into a processor's cache.
const LONGEST_BUFFER: u64 = 4 * MIB;

/// How many threads read and copy at the same time.
///
/// A thread waits while a device or server answers, so more threads than processors are useful. The default is 4. If a
/// storage of the disk answers more requests at the same time ([`ReadHint::parallelism`]), it is their number, at most
/// 16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jobs(Option<NonZero<usize>>);

impl Jobs {
    /// As many as suit the storage. This is the default.
    pub const AUTO: Self = Self(None);
    /// The greatest number of threads.
    pub const MAX: usize = 64;

    /// Returns this number of threads, or [`MAX`](Self::MAX) if it is greater.
    pub fn new(threads: NonZero<usize>) -> Self {
        Self(NonZero::new(threads.get().min(Self::MAX)))
    }
}

/// The threads and buffers of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workers {
    pub(super) threads: usize,
    /// The bytes of a batch.
    pub(crate) batch: usize,
    /// The bytes of a buffer, which holds one batch of each disk that is read.
    pub(super) buffer: usize,
    pub(super) buffers: usize,
}

impl Workers {
    /// Returns the workers for an operation that reads `disks` disks at the same time.
    pub(crate) fn new(jobs: Jobs, hint: &ReadHint, disks: usize) -> Self {
        let threads = match jobs.0 {
            Some(threads) => threads.get(),
            None => hint.parallelism.clamp(DEFAULT, MOST_BY_DEFAULT),
        };
        let of_disk = LONGEST_BUFFER.min(MEMORY / (disks * threads) as u64);
        // Between 1 byte and LONGEST_BUFFER, and a power of two, so that batches end at multiples of it.
        let batch = hint.request.clamp(MIB, LONGEST_BUFFER).min(of_disk);
        let batch = 1_usize << (u64::BITS - 1 - batch.max(1).leading_zeros());
        let buffer = batch * disks;
        let buffers = (MEMORY as usize / buffer).clamp(threads, 2 * threads + 2);
        Self { threads, batch, buffer, buffers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffers_stay_within_their_memory() {
        let jobs = |threads| Jobs::new(NonZero::new(threads).unwrap());
        for request in [0, 1, MIB, 3 * MIB, 8 * MIB, u64::MAX] {
            for parallelism in [0, 1, 32, usize::MAX] {
                let hint = ReadHint { request, parallelism, ..ReadHint::default() };
                for (jobs, disks) in [(Jobs::default(), 1), (jobs(1), 2), (jobs(7), 1), (jobs(10_000), 2)] {
                    let workers = Workers::new(jobs, &hint, disks);
                    assert!(workers.buffers * workers.buffer <= 48 << 20, "{workers:?}");
                    assert!(workers.threads >= 1 && workers.buffers >= workers.threads, "{workers:?}");
                    assert!(workers.batch.is_power_of_two() && workers.batch >= 1 << 18, "{workers:?}");
                }
            }
        }
    }

    #[test]
    fn a_storage_may_ask_for_more_threads() {
        let hint = |parallelism| ReadHint { parallelism, ..ReadHint::default() };
        assert_eq!(Workers::new(Jobs::default(), &ReadHint::default(), 1).threads, 4);
        assert_eq!(Workers::new(Jobs::default(), &hint(10), 1).threads, 10);
        assert_eq!(Workers::new(Jobs::new(NonZero::<usize>::MIN), &hint(10), 1).threads, 1);
    }
}
