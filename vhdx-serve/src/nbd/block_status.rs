//! Block status: which parts of a range hold data, as lists of descriptors.

use vhdx::{Extent, Source};

use super::context::Context;

/// The most descriptors of a context in one reply: 64 KiB.
const MOST_DESCRIPTORS: usize = 8192;
/// The most extents that are looked at for one reply. It bounds the time for a disk that is very fragmented.
const MOST_EXTENTS: usize = 1 << 18;

/// Returns the most bytes of memory for the lists of a range of `len` bytes and for the reply that has them.
pub(super) fn most_bytes(len: u32, contexts: usize) -> usize {
    // The shortest extent is a sector. A vector that grows may be twice as long as its content.
    let descriptors = (len as usize / 512 + 2).min(MOST_DESCRIPTORS);
    contexts * descriptors * size_of::<(u32, u32)>() * 4
}

/// The descriptors of one context, which follow each other from the start of the request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statuses {
    pub(super) context: Context,
    /// Lengths in bytes and statuses. Neighbours have different statuses.
    pub(super) descriptors: Vec<(u32, u32)>,
    /// Whether the list ends before the range does.
    is_full: bool,
}

impl Statuses {
    fn new(context: Context) -> Self {
        Self { context, descriptors: Vec::new(), is_full: false }
    }

    /// Adds the status of the next range, unless a list of `most` descriptors is full.
    fn add(&mut self, len: u32, status: u32, most: usize) {
        if self.is_full {
            return;
        }
        let has_room = self.descriptors.len() < most;
        match self.descriptors.last_mut() {
            // The sum is at most the length of the request, which has 32 bits.
            Some((last_len, last)) if *last == status => *last_len = last_len.saturating_add(len),
            _ if has_room => self.descriptors.push((len, status)),
            _ => self.is_full = true,
        }
    }
}

/// Returns the statuses of consecutive extents, for each context. `layers` is the number of files of the disk.
///
/// The lists may end before the extents do, but have at least one descriptor if there is an extent.
///
/// # Errors
/// The error of the first extent. A later error ends the lists.
pub(super) fn statuses<E>(
    extents: impl Iterator<Item = Result<Extent, E>>,
    contexts: &[Context],
    layers: u32,
    is_one: bool,
) -> Result<Vec<Statuses>, E> {
    let most = if is_one { 1 } else { MOST_DESCRIPTORS };
    let mut lists: Vec<Statuses> = contexts.iter().map(|&context| Statuses::new(context)).collect();
    for extent in extents.take(MOST_EXTENTS) {
        let Extent { len, source, .. } = match extent {
            Ok(extent) => extent,
            // The client gets what is known, and the error when it asks for the rest.
            Err(_) if lists.iter().all(|list| !list.descriptors.is_empty()) => break,
            Err(error) => return Err(error),
        };
        // An extent is a part of a range of 32 bits.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        for list in &mut lists {
            list.add(len, list.context.status(source, layers), most);
        }
        if lists.iter().all(|list| list.is_full) {
            break;
        }
    }
    Ok(lists)
}

/// Returns whether the bytes of a source are zeros without being read.
pub(super) fn is_zero(source: Source) -> bool {
    match source {
        Source::Data { .. } => false,
        Source::Zero { .. } | Source::Unallocated => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use vhdx::{DiskOffset, FileOffset};

    fn extents(layers: &[usize]) -> impl Iterator<Item = Result<Extent, Infallible>> {
        layers.iter().enumerate().map(|(number, &layer)| {
            let source = Source::Data { layer, offset: FileOffset::new(0) };
            Ok(Extent { start: DiskOffset::new(number as u64 * 512), len: 512, source })
        })
    }

    fn lists(layers: &[usize], is_one: bool) -> Vec<Vec<(u32, u32)>> {
        let Ok(lists) = statuses(extents(layers), &[Context::Allocation, Context::Depth], 3, is_one);
        lists.into_iter().map(|list| list.descriptors).collect()
    }

    #[test]
    fn equal_neighbours_are_one_descriptor() {
        assert_eq!(
            lists(&[0, 0, 1, 2, 2], false),
            [vec![(5 * 512, 0)], vec![(1024, 1), (512, 2), (1024, 3)]]
        );
    }

    #[test]
    fn one_descriptor_is_as_long_as_possible() {
        assert_eq!(lists(&[0, 0, 1, 0], true), [vec![(4 * 512, 0)], vec![(1024, 1)]]);
    }

    #[test]
    fn an_error_ends_the_lists_and_fails_only_at_the_start() {
        let of = |good: &[usize]| {
            let extents = extents(good).map(|extent| extent.map_err(|never| match never {}));
            statuses(extents.chain([Err("bad")]), &[Context::Depth], 3, false)
        };
        assert_eq!(of(&[]).unwrap_err(), "bad");
        assert_eq!(of(&[0, 1]).unwrap()[0].descriptors, [(512, 1), (512, 2)]);
    }

    #[test]
    fn the_number_of_descriptors_is_limited() {
        let layers: Vec<usize> = (0..20_000).map(|number| number % 2).collect();
        let lists = lists(&layers, false);
        assert_eq!(lists[0], [(20_000 * 512, 0)]);
        assert_eq!(lists[1].len(), MOST_DESCRIPTORS);
        let covered: u32 = lists[1].iter().map(|(len, _)| len).sum();
        assert_eq!(covered as usize, MOST_DESCRIPTORS * 512);
    }
}
