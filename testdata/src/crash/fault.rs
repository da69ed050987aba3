//! Calls that fail.

use std::fmt::Display;
use std::io;

use super::world::{CrashWorld, Images};

/// Which calls are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Those that ask: read and measure.
    Reads,
    /// Those that change something: write, zero, punch, set the length, sync, remove.
    Writes,
    /// All of them.
    Any,
}

/// A call that fails.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which calls are counted.
    pub calls: Calls,
    /// Which of them fails, from 0 on.
    pub number: usize,
    /// Whether all that follow fail too, or this one only.
    pub forever: bool,
    /// Whether a write that fails first writes half of its bytes, up to the end of a sector. Calls after it write
    /// nothing.
    pub partial: bool,
    /// Whether a sync that fails loses the writes that it was to make durable, although they can still be read: hosts
    /// forget that they could not write them.
    pub loses: bool,
    /// The reason that is given.
    pub reason: io::ErrorKind,
}

impl Fault {
    /// From this changing call on, the disk is full: half of the sectors of the first write still fit.
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

    /// This call fails, and no other.
    pub fn once(calls: Calls, number: usize) -> Self {
        Self { calls, number, forever: false, partial: false, loses: false, reason: io::ErrorKind::Other }
    }

    /// From this call on, the device is gone.
    pub fn forever(calls: Calls, number: usize) -> Self {
        Self { forever: true, ..Self::once(calls, number) }
    }

    /// From this changing call on, the device is gone; if that is a sync, what it was to make durable is lost, and can
    /// still be read.
    pub fn losing(number: usize) -> Self {
        Self { loses: true, ..Self::forever(Calls::Writes, number) }
    }

    /// Whether call `number` of its kind fails.
    pub(super) fn hits(&self, number: usize) -> bool {
        number == self.number || self.forever && number > self.number
    }
}

/// Lets call 0 fail, then call 1 in a new world, and so on, until `attempt` gets by without the fault. Gives the number
/// of calls that there were.
///
/// `attempt` does the work, and looks at what is left of the files: [`CrashWorld::images`].
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

/// LayerCoverage where it happened if a test panics.
pub(super) struct Context<T: Display>(pub(super) T);

impl<T: Display> Drop for Context<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}
