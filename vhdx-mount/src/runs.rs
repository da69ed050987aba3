//! Finds which parts of a range have data, and which are holes.
//!
//! A hole reads as zeros. A part whose place cannot be found, because of damage, counts as data: the read of that part
//! then returns the error, and no program takes it for zeros.

use std::ops::Range;

use vhdx::{Disk, DiskOffset, Extent, MIB, Source};

/// The part that counts as data where the place of a byte cannot be found. Blocks are not smaller.
const DAMAGED: u64 = MIB;
/// The most such parts one after the other. After them, everything else counts as data.
const MAX_DAMAGED: u32 = 1024;

/// A part of a disk that has data, or is a hole. Neighbours may be of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) range: Range<u64>,
    pub(crate) is_hole: bool,
}

/// An iterator over the runs of a range of a disk. They are sorted and have no gaps.
pub(crate) struct Runs<'a> {
    disk: &'a dyn Disk,
    rest: Range<u64>,
    extents: Box<dyn Iterator<Item = vhdx::Result<Extent>> + Send + 'a>,
    /// How many damaged parts precede the rest.
    damaged: u32,
}

impl<'a> Runs<'a> {
    /// Returns the runs of a range in bytes, which must be within the disk.
    pub(crate) fn new(disk: &'a dyn Disk, range: Range<u64>) -> Self {
        Self { disk, extents: extents(disk, &range), rest: range, damaged: 0 }
    }

    /// Returns the part that counts as data because its place is not known, and goes on behind it.
    fn skip_damaged(&mut self) -> Run {
        let start = self.rest.start;
        self.damaged = self.damaged.saturating_add(1);
        let next_part = start.saturating_add(1).checked_next_multiple_of(DAMAGED);
        let end = match next_part.filter(|_| self.damaged <= MAX_DAMAGED) {
            Some(end) => end.min(self.rest.end),
            None => self.rest.end,
        };
        self.rest.start = end;
        self.extents = extents(self.disk, &self.rest);
        Run { range: start..end, is_hole: false }
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        if self.rest.is_empty() {
            return None;
        }
        let start = self.rest.start;
        let extent = self.extents.next().and_then(Result::ok);
        let end = extent.map(|extent| extent.end().get().min(self.rest.end)).filter(|end| *end > start);
        let (Some(extent), Some(end)) = (extent, end) else { return Some(self.skip_damaged()) };
        self.rest.start = end;
        self.damaged = 0;
        Some(Run { range: start..end, is_hole: !matches!(extent.source, Source::Data { .. }) })
    }
}

fn extents<'a>(
    disk: &'a dyn Disk,
    range: &Range<u64>,
) -> Box<dyn Iterator<Item = vhdx::Result<Extent>> + Send + 'a> {
    disk.extents(DiskOffset::new(range.start)..DiskOffset::new(range.end))
}
