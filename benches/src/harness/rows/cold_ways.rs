//! The ways of the limits for files that are not in the page cache.

use crate::harness::plain::{Direct, Way};

/// The gap that is worth reading over: about as long as the device takes for another request.
const GAP: u64 = 64 << 10;

/// Reads of the extents of a chain.
pub(super) fn reads() -> Vec<Way> {
    let file_order = |threads| Way::threads(threads).file_order();
    vec![
        file_order(16),
        file_order(4),
        Way::threads(1),
        Way::threads(4),
        Way::threads(16),
        file_order(4).gaps(GAP),
        file_order(16).gaps(GAP),
        Way::threads(16).direct(Direct::Reads),
        file_order(16).direct(Direct::Reads),
        file_order(16).gaps(GAP).direct(Direct::Reads),
        Way::uring(32).file_order(),
        Way::uring(256).file_order().direct(Direct::Reads),
        Way::threads(1).ahead(256),
        Way::threads(4).file_order().ahead(1024),
    ]
}

/// Copies of a file with holes.
pub(super) fn copies() -> Vec<Way> {
    let early = |threads| Way::threads(threads).early();
    vec![
        early(4),
        early(16),
        early(1),
        Way::threads(4),
        early(4).direct(Direct::Reads),
        Way::threads(4).direct(Direct::Both),
        Way::threads(16).direct(Direct::Both),
        early(1).ahead(32),
        early(4).in_kernel(),
    ]
}

/// Copies of the extents of a merge.
pub(super) fn merges() -> Vec<Way> {
    let early = |threads| Way::threads(threads).early();
    vec![
        early(16).file_order(),
        early(4).file_order(),
        early(1),
        early(4),
        early(16),
        Way::threads(16).file_order(),
        early(16).file_order().gaps(GAP),
        early(16).file_order().direct(Direct::Reads),
        Way::threads(16).file_order().direct(Direct::Both),
        early(4).file_order().ahead(256),
    ]
}

/// Scattered reads, for the experiment.
pub(super) fn scattered_reads() -> Vec<Way> {
    let both = |way: Way| [way.clone(), way.file_order()];
    let direct = |way: Way| way.direct(Direct::Reads);
    let mut ways: Vec<Way> = [1, 4, 16].into_iter().flat_map(|threads| both(Way::threads(threads))).collect();
    ways.extend(both(direct(Way::threads(16))));
    ways.extend([32, 256].into_iter().flat_map(|depth| both(Way::uring(depth))));
    ways.extend([32, 256].map(|depth| direct(Way::uring(depth))));
    ways.extend([256, 1024].into_iter().flat_map(|reads| both(Way::threads(1).ahead(reads))));
    ways.extend([256, 1024].map(|reads| Way::threads(4).ahead(reads)));
    ways
}
