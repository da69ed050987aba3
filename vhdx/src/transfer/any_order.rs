//! Works on items in several threads, in any order.

use std::sync::{Mutex, PoisonError};
use std::thread;

use super::jobs::Workers;
use super::queue::{Queue, lock};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::storage::Buffer;

/// Calls `work` for each item, with a buffer of at least [`Workers::batch`] bytes for each disk.
///
/// With one thread, the calls are in order and in the caller's thread.
///
/// # Errors
/// The failure of the first item, in the order of the items, whose call failed; [`Error::Cancelled`].
pub(crate) fn in_any_order<W, I, E>(
    workers: Workers,
    items: I,
    progress: &dyn Progress,
    work: impl Fn(W, &mut [u8]) -> Result<(), E> + Sync,
) -> Result<(), E>
where
    I: Iterator<Item = Result<W>> + Send,
    E: From<Error> + Send,
{
    let queue = Queue::new(items, progress);
    let first_failure: Mutex<Option<(u64, E)>> = Mutex::new(None);
    let run = || {
        let _stop = queue.stop_on_panic();
        let mut buffer = Buffer::new(workers.buffer);
        while let Some((number, item)) = queue.take() {
            if let Err(failure) = item.map_err(E::from).and_then(|item| work(item, &mut buffer)) {
                queue.stop();
                let mut first = lock(&first_failure);
                if first.as_ref().is_none_or(|(before, _)| number < *before) {
                    *first = Some((number, failure));
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..workers.threads {
            // If a thread cannot be started, the other threads do its work.
            let _ = thread::Builder::new().spawn_scoped(scope, run);
        }
        run();
    });
    match first_failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, failure)) => Err(failure),
        None => Ok(()),
    }
}
