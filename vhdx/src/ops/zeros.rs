//! Finds the parts of a buffer that are worth writing.

use std::ops::Range;

pub(super) use crate::format::bytes::is_zero;
use crate::units::DiskOffset;

/// The granularity at which zeros are left out, in bytes: the page and cluster size of most file systems.
const PAGE: usize = 4096;
/// Returns the longest runs of pages of `bytes` that are not all zero.
///
/// Pages are those of the disk, on which `bytes` start at `start`. The first and the last page may be partial.
pub(super) fn nonzero_runs(bytes: &[u8], start: DiskOffset) -> impl Iterator<Item = Range<usize>> {
    let lead = (start.get() % PAGE as u64) as usize;
    // No slice is so long that a page more could overflow.
    let pages = move |from: usize| (from + PAGE - (from + lead) % PAGE).min(bytes.len());
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && is_zero(&bytes[at..pages(at)]) {
            at = pages(at);
        }
        let run = at;
        while at < bytes.len() && !is_zero(&bytes[at..pages(at)]) {
            at = pages(at);
        }
        (run < at).then_some(run..at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_joined_and_follow_the_pages_of_the_disk() {
        let mut bytes = vec![0; 5 * PAGE];
        for at in [0, PAGE, 3 * PAGE + 7] {
            bytes[at] = 1;
        }
        let runs = |start| nonzero_runs(&bytes, DiskOffset::new(start)).collect::<Vec<_>>();
        assert_eq!(runs(1 << 20), [0..2 * PAGE, 3 * PAGE..4 * PAGE]);
        let lead = 512;
        let page = |n: usize| n * PAGE - lead;
        assert_eq!(runs(lead as u64), [0..page(2), page(3)..page(4)]);
        assert_eq!(nonzero_runs(&[], DiskOffset::new(0)).count(), 0);
        assert_eq!(nonzero_runs(&[0; 9], DiskOffset::new(0)).count(), 0);
    }
}
