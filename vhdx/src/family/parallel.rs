//! Reads many files at a time: most of the time of a search is spent waiting for each of them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::error::{Error, Result};
use crate::progress::Progress;

/// How many files are read at a time, at most. A cold or remote storage answers several requests at once.
const MAX_THREADS: usize = 8;
/// A thread is worth starting for this many files.
const FILES_PER_THREAD: usize = 16;

/// Returns what `read` returns for each path, in the order of the paths. It is called in several threads.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` asks for it.
pub(super) fn read_each<T: Send>(
    paths: &[PathBuf],
    progress: &dyn Progress,
    read: impl Fn(&PathBuf) -> T + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while !progress.is_cancelled() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = paths.get(at) else { break };
            done.push((at, read(path)));
        }
        done
    };
    let others = (paths.len() / FILES_PER_THREAD).min(MAX_THREADS - 1);
    let mut read = thread::scope(|scope| {
        let threads: Vec<_> = (0..others).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for thread in threads {
            match thread.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    if read.len() < paths.len() {
        return Err(Error::Cancelled);
    }
    read.sort_unstable_by_key(|(at, _)| *at);
    Ok(read.into_iter().map(|(_, result)| result).collect())
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
    fn results_are_in_the_order_of_the_paths() {
        for count in [0, 1, 15, 16, 1000] {
            let paths: Vec<PathBuf> = (0..count).map(|number| format!("{number}").into()).collect();
            assert_eq!(read_each(&paths, &NoProgress, PathBuf::clone).unwrap(), paths);
        }
        assert!(matches!(read_each(&["a".into()], &Cancelled, PathBuf::clone), Err(Error::Cancelled)));
    }
}
