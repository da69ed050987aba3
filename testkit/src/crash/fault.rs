//! Makes chosen calls of a storage fail.

use std::fmt::Display;
use std::io;

use super::world::{CrashWorld, Images};

/// The storage calls that a fault counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Reads: read and get the length.
    Reads,
    /// Changes: write, zero, punch, set the length, sync, remove.
    Writes,
    /// All of them.
    Any,
}

/// A call that fails.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which calls are counted.
    pub calls: Calls,
    /// The number of the call that fails, counted from 0.
    pub number: usize,
    /// Whether all later calls fail too.
    pub forever: bool,
    /// Whether the failed call, if it is a write, still writes half of its bytes, cut at the end of a sector.
    ///
    /// Later failed calls write nothing.
    pub partial: bool,
    /// Whether the failed call, if it is a sync, loses the pending writes, although they can still be read.
    ///
    /// A host does so if it forgets that a write failed.
    pub loses: bool,
    /// The kind of the error.
    pub reason: io::ErrorKind,
}

impl Fault {
    /// The disk is full from this changing call on.
    ///
    /// If that is a write, half of its sectors still fit.
    pub fn full(number: usize) -> Self {
        Self {
            calls: Calls::Writes,
            number,
            forever: true,
            partial: true,
            loses: false,
            reason: io::ErrorKind::StorageFull,
        }
    }

    /// Only this call fails.
    pub fn once(calls: Calls, number: usize) -> Self {
        Self { calls, number, forever: false, partial: false, loses: false, reason: io::ErrorKind::Other }
    }

    /// The device is gone from this call on.
    pub fn forever(calls: Calls, number: usize) -> Self {
        Self { forever: true, ..Self::once(calls, number) }
    }

    /// The device is gone from this changing call on.
    ///
    /// If that is a sync, the pending writes are lost, but can still be read.
    pub fn losing(number: usize) -> Self {
        Self { loses: true, ..Self::forever(Calls::Writes, number) }
    }

    /// Returns whether call `number` of its kind fails.
    pub(super) fn hits(&self, number: usize) -> bool {
        number == self.number || self.forever && number > self.number
    }
}

/// Runs `attempt` in new worlds, in which each call fails in turn, until no call fails.
///
/// `attempt` does the work, and checks the files that remain ([`CrashWorld::images`]). Returns the number of calls;
/// each has failed in one run of `attempt`.
pub fn for_each_failure(
    files: &Images,
    fault: impl Fn(usize) -> Fault,
    mut attempt: impl FnMut(&CrashWorld),
) -> usize {
    let mut number = 0;
    loop {
        let world = CrashWorld::new(files.clone());
        let fault = fault(number);
        world.fail(fault);
        let context = Context(format!("with {fault:?}"));
        attempt(&world);
        drop(context);
        if !world.has_failed() {
            return number;
        }
        number += 1;
    }
}

/// Prints its value to stderr if a test panics while it exists.
pub(super) struct Context<T: Display>(pub(super) T);

impl<T: Display> Drop for Context<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}
