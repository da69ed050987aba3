//! Defines [`Pace`]: how fast the requests of a connection are executed.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Up to this average delay, a request is executed by the thread that reads requests. Passing it on costs about as much.
const FAST_NANOS: u32 = 40_000;
/// A longer time counts as this one, so that one pause of the system is soon forgotten.
const LONGEST_NANOS: u32 = 1_000_000;
/// The bytes that are copied in a nanosecond, from one slow kind of memory to another.
const BYTES_PER_NANO: u32 = 2;
/// The weight of one time is 1 / 2^WEIGHT.
const WEIGHT: u32 = 3;

/// The average delay of the last requests: the time that they took beyond that of a copy of their content.
///
/// If the content is in the memory of the host, the delay is some microseconds. Then the thread that reads requests does
/// best to execute them, because the content is still in the cache of its processor when it is sent. If the content is on
/// a device, several threads must read at the same time.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// In nanoseconds. Several threads may change it at the same time, and lose a time then.
    average: AtomicU32,
}

impl Pace {
    pub(super) fn is_fast(&self) -> bool {
        self.average.load(Ordering::Relaxed) <= FAST_NANOS
    }

    /// Takes the time of a request with some bytes of content, which began at `start` and ends now.
    pub(super) fn add(&self, start: Instant, bytes: u32) {
        let nanos = start.elapsed().as_nanos().saturating_sub((bytes / BYTES_PER_NANO).into());
        let nanos = u32::try_from(nanos).unwrap_or(u32::MAX).min(LONGEST_NANOS);
        let average = self.average.load(Ordering::Relaxed);
        self.average.store(average - (average >> WEIGHT) + (nanos >> WEIGHT), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn slow_requests_make_it_slow_and_fast_ones_fast_again() {
        let pace = Pace::default();
        assert!(pace.is_fast());
        (0..3).for_each(|_| pace.add(Instant::now() - Duration::from_secs(10), 4096));
        assert!(!pace.is_fast());
        (0..40).for_each(|_| pace.add(Instant::now(), 4096));
        assert!(pace.is_fast());
        // The time of a copy is no delay.
        (0..40).for_each(|_| pace.add(Instant::now() - Duration::from_micros(200), 1 << 20));
        assert!(pace.is_fast());
    }
}
