use std::collections::BTreeSet;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{NoProgress, Progress};
use crate::storage::ReadHint;
use crate::units::FileOffset;

const COUNTS: [u64; 5] = [0, 1, 2, 7, 1000];

fn workers(threads: usize) -> Workers {
    Workers::new(Jobs::new(NonZero::new(threads).unwrap()), &ReadHint::default(), 1)
}

fn numbers(count: u64) -> impl Iterator<Item = Result<u64>> + Send {
    (0..count).map(Ok)
}

/// Some items take long, so that later ones overtake them.
fn dawdle(number: u64) {
    if number.is_multiple_of(97) {
        thread::sleep(Duration::from_micros(500));
    }
}

/// Writes a number all over a buffer, and returns it.
fn stamp(number: u64, buffer: &mut [u8]) -> Result<u64> {
    dawdle(number);
    for piece in buffer.chunks_exact_mut(1 << 18) {
        piece[..8].copy_from_slice(&number.to_le_bytes());
    }
    Ok(number)
}

fn failed(number: u64) -> Error {
    Error::io("read", FileOffset::new(number), std::io::ErrorKind::Other.into())
}

fn number_of(error: &Error) -> Option<u64> {
    match error {
        Error::Io { offset, .. } => offset.map(FileOffset::get),
        _ => None,
    }
}

#[test]
fn results_are_consumed_in_order_with_their_buffers() {
    for threads in [1, 2, 4, 16, 64] {
        for count in COUNTS {
            let mut consumed = 0;
            in_order(workers(threads), numbers(count), &NoProgress, stamp, |number, buffer| {
                assert_eq!(number, consumed);
                for piece in buffer.chunks_exact(1 << 18) {
                    assert_eq!(piece[..8], number.to_le_bytes(), "another item's bytes");
                }
                consumed += 1;
                Ok(())
            })
            .unwrap();
            assert_eq!(consumed, count);
        }
    }
}

#[test]
fn every_item_is_worked_on_once() {
    for threads in [1, 2, 4, 16, 64] {
        for count in COUNTS {
            let seen = Mutex::new(BTreeSet::new());
            in_any_order(workers(threads), numbers(count), &NoProgress, |number, buffer| {
                stamp(number, buffer)?;
                assert!(seen.lock().unwrap().insert(number), "{number} twice");
                Ok::<(), Error>(())
            })
            .unwrap();
            assert_eq!(seen.into_inner().unwrap().len() as u64, count);
        }
    }
}

/// Many items fail, the first of them late.
#[test]
fn the_first_failure_is_returned_and_what_comes_before_it_is_consumed() {
    let work = |number: u64, _: &mut [u8]| {
        if number == 50 {
            thread::sleep(Duration::from_millis(5));
        }
        if number >= 50 { Err(failed(number)) } else { Ok(number) }
    };
    for threads in [1, 2, 4, 16] {
        let mut consumed = 0;
        let error = in_order(workers(threads), numbers(1000), &NoProgress, work, |_, _| {
            consumed += 1;
            Ok(())
        });
        assert_eq!((number_of(&error.unwrap_err()), consumed), (Some(50), 50));
        let error = in_any_order(workers(threads), numbers(1000), &NoProgress, |number, buffer| {
            work(number, buffer).map(drop)
        });
        assert_eq!(number_of(&error.unwrap_err()), Some(50));
    }
}

#[test]
fn an_error_among_the_items_ends_them() {
    let items = || (0..20).map(|number| if number < 10 { Ok(number) } else { Err(failed(number)) });
    for threads in [1, 4] {
        let mut consumed = 0;
        let error = in_order(workers(threads), items(), &NoProgress, stamp, |_, _| {
            consumed += 1;
            Ok(())
        });
        assert_eq!((number_of(&error.unwrap_err()), consumed), (Some(10), 10));
        let work = |number, buffer: &mut [u8]| stamp(number, buffer).map(drop);
        let error = in_any_order(workers(threads), items(), &NoProgress, work);
        assert_eq!(number_of(&error.unwrap_err()), Some(10));
    }
}

#[test]
fn a_consumer_that_fails_ends_the_work() {
    for threads in [1, 4] {
        let worked = AtomicUsize::new(0);
        let work = |number, buffer: &mut [u8]| {
            worked.fetch_add(1, Ordering::Relaxed);
            stamp(number, buffer)
        };
        let consume = |number, _: &[u8]| if number == 3 { Err(failed(3)) } else { Ok(()) };
        let error = in_order(workers(threads), numbers(1000), &NoProgress, work, consume).unwrap_err();
        assert_eq!(number_of(&error), Some(3));
        let most = 4 + workers(threads).buffers + threads;
        assert!(worked.into_inner() <= most, "the workers went on");
    }
}

#[test]
fn a_cancelled_operation_takes_no_more_items() {
    /// Asks to stop once so much is done.
    struct After(AtomicUsize, usize);
    impl Progress for After {
        fn advance(&self, _: u64) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn is_cancelled(&self) -> bool {
            self.0.load(Ordering::Relaxed) >= self.1
        }
    }
    for threads in [1, 4] {
        // The last item is asked for when all have been handed over.
        for (count, stop) in [(1000, 20), (3, 2), (3, 1)] {
            let (mut consumed, after) = (0, After(0.into(), stop));
            let cancelled = in_order(workers(threads), numbers(count), &after, stamp, |_, _| {
                thread::sleep(Duration::from_millis(1));
                after.advance(1);
                consumed += 1;
                Ok(())
            });
            assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
            assert_eq!(consumed, stop);
        }
        let after = After(0.into(), 20);
        let work = |number, buffer: &mut [u8]| {
            after.advance(1);
            stamp(number, buffer).map(drop)
        };
        let cancelled = in_any_order(workers(threads), numbers(1000), &after, work);
        assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}

/// A panic is a bug, but it must not become a program that waits for ever.
#[test]
fn a_panic_reaches_the_caller() {
    let panics_at = |at: u64| {
        move |number: u64, _: &mut [u8]| {
            if number == at {
                thread::sleep(Duration::from_millis(20)); // the others fill all buffers meanwhile
                panic!("a bug");
            }
            Ok(number)
        }
    };
    for threads in [1, 2, 4] {
        for at in [0, 5, 999] {
            let run = || in_order(workers(threads), numbers(1000), &NoProgress, panics_at(at), |_, _| Ok(()));
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
            let work = |number, buffer: &mut [u8]| panics_at(at)(number, buffer).map(drop);
            let run = || in_any_order::<_, _, Error>(workers(threads), numbers(1000), &NoProgress, work);
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
        let consume = |number, _: &[u8]| {
            assert!(number != 7, "a bug");
            Ok(())
        };
        let run = || in_order(workers(threads), numbers(1000), &NoProgress, stamp, consume);
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        let items = || numbers(1000).inspect(|number| assert!(!matches!(number, Ok(9)), "a bug"));
        let run = || in_order(workers(threads), items(), &NoProgress, stamp, |_, _| Ok(()));
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    }
}
