//! Counts the space that the batches of a merge take in the target's file.

use std::ops::Range;

use crate::error::{Bounded, Result};
use crate::file::Place;
use crate::storage::Holes;
use crate::units::FileOffset;

/// How many bytes of the blocks' new places are not written to.
///
/// They stay holes where files can have holes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unwritten {
    /// In the part by which the file grows.
    pub(super) grown: u64,
    /// In holes that the file has already.
    pub(super) in_holes: u64,
}

/// What the batches take besides the part by which the file grows.
pub(super) struct SpaceCount<'a> {
    /// The holes of the target's file.
    holes: Holes<'a>,
    /// How many bytes in existing holes of the file may be written to.
    pub(super) overwritten: u64,
    pub(super) unwritten: Unwritten,
}

impl<'a> SpaceCount<'a> {
    pub(super) fn new(holes: Holes<'a>) -> Self {
        Self { holes, overwritten: 0, unwritten: Unwritten::default() }
    }

    /// Counts a new place of `len` bytes, of which at most `written` bytes are written.
    pub(super) fn fill(&mut self, place: &Place, len: u64, written: u64) -> Result<()> {
        let unwritten = len - written.min(len);
        if place.is_fresh {
            self.unwritten.grown = self.unwritten.grown.plus(unwritten)?;
            return Ok(());
        }
        let in_holes = self.holes.bytes_in(place.offset..place.offset.plus(len)?)?;
        self.overwritten = self.overwritten.plus(in_holes)?;
        self.unwritten.in_holes = self.unwritten.in_holes.plus(unwritten.min(in_holes))?;
        Ok(())
    }

    /// Counts ranges that are written to and may lie in holes of the file.
    pub(super) fn overwrite(
        &mut self,
        ranges: impl Iterator<Item = Result<Range<FileOffset>>>,
    ) -> Result<()> {
        for range in ranges {
            self.overwritten = self.overwritten.plus(self.holes.bytes_in(range?)?)?;
        }
        Ok(())
    }
}
