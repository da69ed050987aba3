//! Does the same work on several files, at the same time if they lie on a server.

use std::sync::Mutex;
use std::thread::{self, Builder};

use super::ReadAt;

/// Calls `work` for each item with its file. If a file answers many requests at the same time, up to `threads` threads
/// do it. More files are worked on in turn.
///
/// # Errors
/// The error of the first item that fails. Then `work` may not have been called for all items.
pub(crate) fn for_each_file<'a, T: Send, E: Send>(
    items: Vec<(&'a dyn ReadAt, T)>,
    threads: usize,
    work: impl Fn(&'a dyn ReadAt, T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let is_slow = items.iter().any(|(file, _)| file.hint().is_answering_many());
    if items.len() < 2 || threads < 2 || !is_slow {
        return items.into_iter().try_for_each(|(file, item)| work(file, item));
    }
    let helpers = items.len().min(threads) - 1;
    let waiting = Mutex::new(items.into_iter().enumerate());
    let failed = Mutex::new(None);
    let run = || {
        loop {
            // An item is taken while the lock is held, and worked on after it is released.
            let next = lock(&waiting).next();
            let Some((number, (file, item))) = next else { return };
            if let Err(error) = work(file, item) {
                let mut failed = lock(&failed);
                if failed.as_ref().is_none_or(|(first, _)| number < *first) {
                    *failed = Some((number, error));
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..helpers {
            // This thread does the work of those that cannot be started.
            let _ = Builder::new().spawn_scoped(scope, run);
        }
        run();
    });
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failed.map_or(Ok(()), |(_, error)| Err(error))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Barrier;

    use super::*;
    use crate::error::Error;
    use crate::storage::ReadHint;
    use crate::units::FileOffset;

    struct Empty(usize);

    impl ReadAt for Empty {
        fn size(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn read_exact_at(&self, _: &mut [u8], _: FileOffset) -> io::Result<()> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }

        fn hint(&self) -> ReadHint {
            ReadHint { parallelism: self.0, ..ReadHint::default() }
        }
    }

    fn items(file: &Empty, count: usize) -> Vec<(&dyn ReadAt, usize)> {
        (0..count).map(|number| (file as &dyn ReadAt, number)).collect()
    }

    #[test]
    fn files_of_a_server_are_worked_on_at_the_same_time() {
        let (slow, barrier) = (Empty(16), Barrier::new(16));
        for_each_file(items(&slow, 32), 16, |_, _| {
            barrier.wait();
            Ok::<(), Error>(())
        })
        .unwrap();
        let done = Mutex::new(Vec::new());
        for_each_file(items(&Empty(4), 20), 16, |_, number| {
            done.lock().unwrap().push(number);
            Ok::<(), Error>(())
        })
        .unwrap();
        assert!(done.into_inner().unwrap().into_iter().eq(0..20));
    }

    #[test]
    fn the_error_of_the_first_item_is_returned() {
        for parallelism in [4, 16] {
            let work = |_: &dyn ReadAt, number: usize| match number {
                3 => Err(Error::Cancelled),
                9 => Err(Error::internal("a later error")),
                _ => Ok(()),
            };
            let failed = for_each_file(items(&Empty(parallelism), 20), 16, work);
            assert!(matches!(failed, Err(Error::Cancelled)), "{failed:?}");
        }
    }
}
