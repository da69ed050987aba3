//! The blocks that the map of a file has named so far.

use std::collections::BTreeMap;

/// Blocks of the file system. Neighbours are kept as one range, so that a file in few pieces needs little memory.
#[derive(Debug, Default)]
pub(super) struct Used {
    /// From the first block of each range to its end. Ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
}

impl Used {
    /// Adds the blocks from `first` to `end`, which is larger. Returns `false` if one of them was added before.
    pub(super) fn add(&mut self, first: u64, end: u64) -> bool {
        let before = self.ranges.range(..end).next_back().map(|(start, end)| (*start, *end));
        if before.is_some_and(|(_, before)| before > first) {
            return false;
        }
        let start = match before {
            Some((start, before)) if before == first => start,
            _ => first,
        };
        let end = self.ranges.remove(&end).unwrap_or(end); // a range that begins there becomes a part of this one
        self.ranges.insert(start, end);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_added_once_and_neighbours_joined() {
        let mut used = Used::default();
        for (first, end, is_new) in [
            (10, 12, true),
            (20, 30, true),
            (12, 20, true),
            (9, 10, true),
            (29, 31, false),
            (0, 10, false),
            (0, 100, false),
            (15, 16, false),
            (40, 41, true),
            (35, 41, false),
        ] {
            assert_eq!(used.add(first, end), is_new, "{first} {end}");
        }
        assert_eq!(used.ranges, BTreeMap::from([(9, 30), (40, 41)]));
    }
}
