//! Works on many files at a time: most of the time of a search is spent waiting for each of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::error::{Error, Result};
use crate::progress::Progress;

/// How many files are used at a time, at most. A cold or remote storage answers several requests at once.
const MAX_THREADS: usize = 8;
/// A thread is worth starting for this many items.
const ITEMS_PER_THREAD: usize = 16;

/// Returns what `work` returns for each item, in the order of the items. It is called in several threads.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` asks for it.
pub(crate) fn each<'a, I: Sync, T: Send>(
    items: &'a [I],
    progress: &dyn Progress,
    work: impl Fn(&'a I) -> T + Sync,
) -> Result<Vec<T>> {
    let (next, is_cancelled) = (AtomicUsize::new(0), AtomicBool::new(false));
    let many = || {
        let mut done = Vec::new();
        while !is_cancelled.load(Ordering::Relaxed) {
            if progress.is_cancelled() {
                is_cancelled.store(true, Ordering::Relaxed);
                break;
            }
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            done.push((at, work(item)));
        }
        done
    };
    let others = (items.len() / ITEMS_PER_THREAD).min(MAX_THREADS - 1);
    let mut done = thread::scope(|scope| {
        // If a thread cannot be started, the other threads do its work.
        let start = |_| thread::Builder::new().spawn_scoped(scope, many).ok();
        let threads: Vec<_> = (0..others).filter_map(start).collect();
        let mut done = many();
        for thread in threads {
            match thread.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    if is_cancelled.into_inner() {
        return Err(Error::Cancelled);
    }
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// Drops values that own open files, several at a time.
///
/// A deleted file frees its space when it is closed, and some file systems wait for the device then.
pub(crate) fn close<T: Send>(mut files: Vec<T>) {
    let share = files.len().div_ceil(MAX_THREADS);
    thread::scope(|scope| {
        while files.len() > share {
            let some = files.split_off(files.len() - share);
            // If the thread cannot be started, the files are dropped here.
            let _ = thread::Builder::new().spawn_scoped(scope, move || drop(some));
        }
        drop(files);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::NoProgress;

    struct Cancelled;

    impl Progress for Cancelled {
        fn is_cancelled(&self) -> bool {
            true
        }
    }

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for count in [0, 1, 15, 16, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled = each(&items, &NoProgress, |item| item * 2).unwrap();
            assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
        assert!(matches!(each(&[1], &Cancelled, |item| *item), Err(Error::Cancelled)));
    }

    #[test]
    fn each_file_is_closed_once() {
        struct File<'a>(&'a AtomicUsize);
        impl Drop for File<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        for count in [0, 1, 7, 8, 9, 100] {
            let closed = AtomicUsize::new(0);
            close((0..count).map(|_| File(&closed)).collect());
            assert_eq!(closed.into_inner(), count);
        }
    }
}
