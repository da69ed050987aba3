//! Walks the extents of two disks side by side.

use super::batch::Segment;
use crate::disk::Disk;
use crate::error::{Bounded, Guaranteed, Result};
use crate::file::{Extent, Source};
use crate::units::DiskOffset;

/// Returns the segments of two disks, each as long as both have one source. A shorter disk is unallocated past its end.
pub(crate) fn paired<'a>(
    a: &'a dyn Disk,
    b: &'a dyn Disk,
) -> impl Iterator<Item = Result<Segment<2>>> + Send + use<'a> {
    let end = DiskOffset::new(a.virtual_size().max(b.virtual_size()));
    let mut at = DiskOffset::new(0);
    let mut sides = [Side::of(a), Side::of(b)];
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let segment = next(&mut sides, at..end);
        // An error is the last item.
        at = segment.as_ref().ok().and_then(|segment| segment.end().ok()).unwrap_or(end);
        Some(segment)
    })
}

/// One of the two disks.
struct Side<'a> {
    extents: Box<dyn Iterator<Item = Result<Extent>> + Send + 'a>,
    size: u64,
    current: Option<Extent>,
}

impl<'a> Side<'a> {
    fn of(disk: &'a dyn Disk) -> Self {
        let size = disk.virtual_size();
        Self { extents: disk.extents(DiskOffset::new(0)..DiskOffset::new(size)), size, current: None }
    }

    /// Returns the extent from `at` on, within `range`.
    fn extent(&mut self, range: &std::ops::Range<DiskOffset>) -> Result<Extent> {
        if range.start.get() >= self.size {
            let len = range.end.minus(range.start)?;
            return Ok(Extent { start: range.start, len, source: Source::Unallocated });
        }
        loop {
            if let Some(here) = self.current.and_then(|extent| extent.clip(range)) {
                return (here.start == range.start).then_some(here).guaranteed("extents have no gaps");
            }
            let next = self.extents.next().guaranteed("extents cover the disk")?;
            self.current = Some(next?);
        }
    }
}

fn next(sides: &mut [Side<'_>; 2], range: std::ops::Range<DiskOffset>) -> Result<Segment<2>> {
    let [a, b] = sides;
    let (a, b) = (a.extent(&range)?, b.extent(&range)?);
    Ok(Segment { start: range.start, len: a.len.min(b.len), sources: [a.source, b.source] })
}
