//! Finding what is worth writing in a buffer.

use std::ops::Range;

use crate::units::DiskOffset;

/// The granularity at which zeros are left out, in bytes: the page and cluster size of most file systems.
const PAGE: usize = 4096;
/// How many bytes are looked at before the first of them decides: few enough to stop early, and a whole number of the
/// widest registers.
const STRIDE: usize = 128;

/// Whether every byte is zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(STRIDE).all(|stride| stride.iter().fold(0, |sum, byte| sum | byte) == 0)
}

/// The longest runs of pages of `bytes` that are not all zero. Pages are those of the disk, on which `bytes` start at
/// `start`; the first and the last one may be partial.
pub(super) fn nonzero_runs(bytes: &[u8], start: DiskOffset) -> impl Iterator<Item = Range<usize>> {
    let lead = usize::try_from(start.get() % PAGE as u64).unwrap_or_default();
    let pages =
        move |from: usize| from.saturating_add(PAGE - (from.saturating_add(lead)) % PAGE).min(bytes.len());
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
    fn a_single_byte_anywhere_is_seen() {
        for len in [1, 127, 128, 129, 4096] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            for at in 0..len {
                bytes[at] = 0x80;
                assert!(!is_zero(&bytes), "{at} of {len}");
                bytes[at] = 0;
            }
        }
    }

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
