//! Finds the ranges that may differ between two points in time of one disk, from metadata alone.
//!
//! Both chains end in the files that they share. Only the files before these decide what changed, so no BAT entry or
//! bit of a shared file is read to find a changed range. A range is unchanged if neither disk has it in a file of its
//! own, or if both read as zeros there.

use std::ops::Range;

use super::joined::Joined;
use super::range::ChangedRange;
use super::relation::shared_layers;
use crate::disk::Chain;
use crate::error::{Bounded, Guaranteed, Result};
use crate::file::{Extent, Extents, Source, Vhdx};
use crate::units::DiskOffset;

/// Returns the ranges in which `new` may read differently from `old`, in ascending order.
///
/// Both disks must be points in time of one disk: the same disk, an ancestor and its descendant, or two descendants of
/// a common ancestor. No byte that differs is missing; bytes that are equal may be included. Touching ranges of the
/// same kind are joined.
///
/// A shorter disk counts as zeros past its end. If `new` is larger, everything past the end of `old` is included. If
/// `new` is smaller, a range past its end is included, as zeros, unless `old` is known to read as zeros there.
///
/// Only BAT entries and sector bitmaps are read, and only those of files that the disks do not share. Shared files are
/// read in one case: if only `old` has a range in a file of its own, they say whether `new` reads as zeros there. The
/// memory that is needed does not depend on the size of the disks.
///
/// The iterator ends after an error. It does not validate the places of all blocks ([`Chain::validate_placement`]), and
/// does not check whether the files change ([`Chain::ensure_unchanged`]).
///
/// # Errors
/// - [`Unrelated`](crate::ChainErrorKind::Unrelated) if the disks share no file
/// - [`Reversed`](crate::ChainErrorKind::Reversed) if `new` is an ancestor of `old`
/// - [`HalfMerged`](crate::ChainErrorKind::HalfMerged) if a merge into one of the disks is incomplete
/// - [`Conflict::StalePlan`](crate::Conflict::StalePlan) if a shared file has changed between the times at which the
///   chains were opened
///
/// # Examples
/// ```no_run
/// use vhdx::ops::changed_ranges;
/// use vhdx::{Chain, FolderResolver};
///
/// # fn main() -> vhdx::Result<()> {
/// let old = Chain::open("monday.avhdx", &FolderResolver::default())?;
/// let new = Chain::open("tuesday.avhdx", &FolderResolver::default())?;
/// for range in changed_ranges(&old, &new)? {
///     let range = range?;
///     println!("{} bytes at {}", range.len, range.start);
/// }
/// # Ok(())
/// # }
/// ```
pub fn changed_ranges<'a>(old: &'a Chain, new: &'a Chain) -> Result<ChangedRanges<'a>> {
    Ok(ChangedRanges(Joined::new(ChangedExtents::new(old, new)?)))
}

/// An iterator over the ranges that may differ between two disks. See [`changed_ranges`].
pub struct ChangedRanges<'a>(Joined<ChangedExtents<'a>>);

impl Iterator for ChangedRanges<'_> {
    type Item = Result<ChangedRange>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// An iterator over the places of what changed, on the newer disk, up to the end of the larger disk.
///
/// It walks over both disks in lock step. Touching extents are not joined.
pub(in crate::ops) struct ChangedExtents<'a> {
    old: Side<'a>,
    new: Side<'a>,
    shared: Shared<'a>,
    at: DiskOffset,
    /// The end of the larger disk.
    end: DiskOffset,
}

impl<'a> ChangedExtents<'a> {
    pub(in crate::ops) fn new(old: &'a Chain, new: &'a Chain) -> Result<Self> {
        let shared = shared_layers(old, new)?;
        let split = |chain: &'a Chain| {
            let own = chain.layers().len().minus(shared)?;
            chain.layers().split_at_checked(own).guaranteed("the shared files are layers of the chain")
        };
        let ((of_old, _), (of_new, common)) = (split(old)?, split(new)?);
        let common_size = common.first().guaranteed("the disks share a file")?.virtual_size();
        let end = DiskOffset::new(old.virtual_size().max(new.virtual_size()));
        Ok(Self {
            old: Side::new(of_old, old.virtual_size(), common_size),
            new: Side::new(of_new, new.virtual_size(), common_size),
            shared: Shared::new(common, common_size, of_new.len()),
            at: DiskOffset::new(0),
            end,
        })
    }

    fn find(&mut self) -> Result<Option<Extent>> {
        while self.at < self.end {
            let (old, new) = (self.old.part_at(self.at)?, self.new.part_at(self.at)?);
            let here = self.at..old.end.min(new.end).min(self.end);
            let zeros = Extent {
                start: here.start,
                len: here.end.minus(here.start)?,
                source: Source::Zero { layer: 0 },
            };
            let changed = match (old.content, new.content) {
                (Content::Shared, Content::Shared) | (Content::Zero, Content::Zero) => None,
                (Content::Zero | Content::Absent, Content::Absent) => None,
                (_, Content::Zero | Content::Absent) => Some(zeros),
                (_, Content::Data(data)) => {
                    Some(data.clip(&here).guaranteed("the extent contains the part")?)
                }
                (_, Content::Shared) => Some(self.shared.extent_at(&here)?),
            };
            self.at = changed.map_or(here.end, |changed| changed.end());
            if changed.is_some() {
                return Ok(changed);
            }
        }
        Ok(None)
    }
}

impl Iterator for ChangedExtents<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        self.find().transpose()
    }
}

/// The content of a disk in a range, relative to the files that both disks share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// The content of the shared files.
    Shared,
    /// Zeros.
    Zero,
    /// Data of a file that is not shared, at this place.
    Data(Extent),
    /// Nothing: the disk ends before. Counts as zeros.
    Absent,
}

/// A range of a disk up to `end` with one content.
#[derive(Clone, Copy, Debug)]
struct Part {
    end: DiskOffset,
    content: Content,
}

/// One of the two disks.
struct Side<'a> {
    /// The extents in the files that are not shared; `None` if there are no such files.
    extents: Option<Extents<'a>>,
    size: DiskOffset,
    /// The size of the nearest shared disk, which reads as zeros past its end.
    shared_size: DiskOffset,
    current: Option<Part>,
}

impl<'a> Side<'a> {
    fn new(own: &'a [Vhdx], size: u64, shared_size: u64) -> Self {
        let (size, shared_size) = (DiskOffset::new(size), DiskOffset::new(shared_size));
        let extents = (!own.is_empty()).then(|| Extents::new(own, DiskOffset::new(0)..size));
        Self { extents, size, shared_size, current: None }
    }

    /// Returns the part that contains `at`. The offsets of the calls must not descend.
    fn part_at(&mut self, at: DiskOffset) -> Result<Part> {
        let part = match self.current.filter(|part| at < part.end) {
            Some(part) => part,
            None => {
                let next = self.next_part(at)?;
                *self.current.insert(next)
            }
        };
        match part.content {
            Content::Shared if at < self.shared_size => {
                Ok(Part { end: part.end.min(self.shared_size), ..part })
            }
            Content::Shared => Ok(Part { content: Content::Zero, ..part }),
            _ => Ok(part),
        }
    }

    fn next_part(&mut self, at: DiskOffset) -> Result<Part> {
        if at >= self.size {
            return Ok(Part { end: DiskOffset::new(u64::MAX), content: Content::Absent });
        }
        let Some(extents) = &mut self.extents else {
            return Ok(Part { end: self.size, content: Content::Shared });
        };
        let extent = extents.next().guaranteed("the extents of a disk cover it")??;
        let content = match extent.source {
            Source::Data { .. } => Content::Data(extent),
            Source::Zero { .. } => Content::Zero,
            Source::Unallocated => Content::Shared,
        };
        Ok(Part { end: extent.end(), content })
    }
}

/// The files that both disks share.
struct Shared<'a> {
    extents: Extents<'a>,
    current: Option<Extent>,
    /// The number of files of the newer disk before them.
    before: usize,
}

impl<'a> Shared<'a> {
    fn new(layers: &'a [Vhdx], size: u64, before: usize) -> Self {
        let all = DiskOffset::new(0)..DiskOffset::new(size);
        Self { extents: Extents::new(layers, all), current: None, before }
    }

    /// Returns the extent of the newer disk at the start of a range, which lies on the shared disk.
    ///
    /// The ranges of the calls must ascend.
    fn extent_at(&mut self, range: &Range<DiskOffset>) -> Result<Extent> {
        let current = match self.current.filter(|extent| range.start < extent.end()) {
            Some(extent) => extent,
            None => {
                let next = self.extents.extent_from(range.start)?;
                *self.current.insert(next.guaranteed("the extents of a disk cover it")?)
            }
        };
        let found = current.clip(range).guaranteed("the extents of a disk cover it")?;
        let source = match found.source {
            Source::Data { layer, offset } => Source::Data { layer: layer.plus(self.before)?, offset },
            // No file holds the range, or one says that it is zeros.
            Source::Zero { .. } | Source::Unallocated => Source::Zero { layer: 0 },
        };
        Ok(Extent { source, ..found })
    }
}

/// Cuts extents off at the end of a disk of `size` bytes.
pub(in crate::ops) fn within(
    extents: impl Iterator<Item = Result<Extent>>,
    size: u64,
) -> impl Iterator<Item = Result<Extent>> {
    let disk = DiskOffset::new(0)..DiskOffset::new(size);
    extents.filter_map(move |extent| match extent {
        Ok(extent) => extent.clip(&disk).map(Ok),
        error => Some(error),
    })
}
