//! Bounds the requests of a session, and ends those that wait for a server that no longer answers.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::Failure;

/// The most requests of a session at the same time.
pub(crate) const PERMITS: usize = 64;
/// A longer request takes several permits. So all answers that are in memory take at most 16 MiB.
const BYTES_OF_PERMIT: u64 = 256 << 10;

/// The permits of a session. A clone shares them.
#[derive(Clone)]
pub(crate) struct Permits {
    free: Arc<Semaphore>,
    /// The last request that failed after all its repetitions because of the server, and when that was.
    given_up: Arc<Mutex<Option<(Instant, Failure)>>>,
}

impl Permits {
    pub(crate) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(PERMITS)), given_up: Arc::default() }
    }

    /// Waits for the permits of a request for so many bytes.
    pub(crate) async fn wait(&self, len: u64) -> io::Result<OwnedSemaphorePermit> {
        let permits = len.div_ceil(BYTES_OF_PERMIT).clamp(1, PERMITS as u64) as u32;
        let permit = Arc::clone(&self.free).acquire_many_owned(permits).await;
        permit.map_err(|_| io::Error::other("no more requests are possible"))
    }

    /// As [`wait`](Self::wait), but fails if another request was given up meanwhile.
    ///
    /// Otherwise thousands of waiting requests would be sent in turn, each with all its repetitions, before the
    /// operation that needs them fails.
    pub(crate) async fn wait_while_answered(&self, len: u64) -> io::Result<OwnedSemaphorePermit> {
        let start = Instant::now();
        let permit = self.wait(len).await?;
        match &*self.given_up.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((at, failure)) if *at >= start => Err(failure.clone().into()),
            _ => Ok(permit),
        }
    }

    /// Records the failure of a request, after all its repetitions.
    pub(crate) fn give_up(&self, failure: &Failure) {
        if failure.may_pass() {
            let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
            *given_up = Some((Instant::now(), failure.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::wait;

    #[test]
    fn a_request_that_waits_fails_with_the_one_that_was_given_up() {
        let failed = |failure: Failure| {
            wait(async move {
                let permits = Permits::new();
                let all = permits.wait(u64::MAX).await?;
                let (bulk, single) = (permits.clone(), permits.clone());
                let mut bulk = Box::pin(bulk.wait_while_answered(1));
                let mut single = Box::pin(single.wait(1));
                // Both wait now.
                assert!(futures_util::poll!(&mut bulk).is_pending());
                assert!(futures_util::poll!(&mut single).is_pending());
                permits.give_up(&failure);
                drop(all);
                let (bulk, single) = (bulk.await.err(), single.await.err());
                let later = permits.wait_while_answered(1).await.err();
                Ok([bulk, single, later].map(|error| error.map(|error| error.kind())))
            })
        };
        assert_eq!(failed(Failure::TimedOut).unwrap(), [Some(io::ErrorKind::TimedOut), None, None]);
        assert_eq!(failed(Failure::NotFound).unwrap(), [None; 3]);
    }
}
