//! The ways of the limits. The limit of a row is the best of its ways.

use crate::harness::Context;
use crate::harness::measure::Step;
use crate::harness::plain::{Direct, Way, can_be_direct, has_uring};

/// Returns the name and the process of each way that this machine offers.
///
/// With `--check`, only the first way is measured: the best of several varies more.
pub(super) fn limits(
    context: &Context,
    all: &[Way],
    work: &str,
    step: impl Fn(&Way) -> Step,
) -> Vec<(String, Step)> {
    let most = if context.check { 1 } else { all.len() };
    let ways = all.iter().take(most).filter(|way| is_available(context, way));
    ways.map(|way| (format!("{work}: {}", way.name()), step(way))).collect()
}

/// Returns the goal of work that should take as long as the best way. A check in a few short rounds needs some room.
pub(super) fn close(context: &Context) -> f64 {
    if context.check { 1.3 } else { 1.05 }
}

/// Prints a message and returns false if this machine does not offer a way.
fn is_available(context: &Context, way: &Way) -> bool {
    let missing = if way.is_uring() && !has_uring() {
        "the kernel does not permit io_uring"
    } else if way.is_direct() && !can_be_direct(&context.folder) {
        "the file system has no direct access"
    } else {
        return true;
    };
    println!("**NOT AVAILABLE: {}: {missing}.**\n", way.name());
    false
}

/// Reads of cached files.
pub(super) fn cached_reads() -> Vec<Way> {
    vec![Way::threads(1), Way::threads(4), Way::threads(16), Way::uring(32)]
}

/// Copies of a cached file with holes.
pub(super) fn sparse_copies() -> Vec<Way> {
    let early = |threads| Way::threads(threads).early();
    vec![
        Way::threads(1),
        early(1),
        early(4),
        Way::threads(4),
        early(16),
        Way::threads(4).direct(Direct::Writes),
        early(4).in_kernel(),
    ]
}

/// Copies of scattered pieces of cached files.
pub(super) fn cached_copies() -> Vec<Way> {
    let early = |threads| Way::threads(threads).early();
    vec![
        Way::threads(1),
        early(1),
        early(4),
        early(4).file_order(),
        early(16).file_order(),
        Way::threads(16).file_order().direct(Direct::Writes),
        early(4).in_kernel(),
    ]
}

/// Reads from a server.
pub(super) fn remote_reads() -> Vec<Way> {
    let file_order = |threads| Way::threads(threads).file_order();
    vec![
        file_order(16).gaps(256 << 10),
        file_order(16).gaps(64 << 10),
        file_order(64).gaps(64 << 10),
        file_order(64).gaps(256 << 10),
    ]
}
