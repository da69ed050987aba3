//! Skips a part of the disk without resolving it.

use super::{Extent, Extents};
use crate::error::Result;
use crate::units::DiskOffset;

impl Extents<'_> {
    /// Returns the extent that contains `at`, without the part before `at`. It may be joinable with the one after it.
    ///
    /// Returns the next extent if that begins later, and `None` at the end of the range. What lies between the extent
    /// that was returned last and `at` is not read.
    ///
    /// # Errors
    /// Those of the iterator.
    pub(crate) fn extent_from(&mut self, at: DiskOffset) -> Result<Option<Extent>> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if at > self.range.start {
            self.range.start = at.min(self.range.end);
            let sector = DiskOffset::new(at.get() / self.sector_size * self.sector_size);
            self.next = self.next.max(sector.min(self.end));
        }
        // An extent that was found already is clipped, as all those in the queue are.
        match self.joined.take().and_then(|found| found.clip(&self.range)) {
            Some(found) => Ok(Some(found)),
            None => self.next_raw(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::file::{Extent, NewDisk, OpenOptions, Vhdx, VhdxWriter};
    use crate::storage::Memory;
    use crate::units::{DiskOffset, MIB};

    /// A disk with a run of data in each block, so that the extents alternate.
    fn disk() -> Vhdx {
        let file = Memory::default();
        let new = NewDisk { block_size: 1 << 20, ..NewDisk::new(9 * MIB + 512) };
        let mut writer = VhdxWriter::new(&file, &new).unwrap();
        for block in [0, 2, 3, 6, 9] {
            writer.write(DiskOffset::new(block * MIB), &[1; 512]).unwrap();
        }
        writer.finish().unwrap();
        Vhdx::open_with(file, &OpenOptions::default()).unwrap()
    }

    #[test]
    fn the_extents_after_a_skip_are_those_of_the_rest() {
        let disk = disk();
        let end = DiskOffset::new(disk.virtual_size());
        for taken in 0..4 {
            for at in [0, 1, 512, MIB, MIB + 7, 2 * MIB, 5 * MIB, 9 * MIB, 9 * MIB + 512, 10 * MIB] {
                let mut extents = disk.extents(DiskOffset::new(0)..end);
                let before: Vec<Extent> =
                    extents.by_ref().take(taken).map(|extent| extent.unwrap()).collect();
                let reached = before.last().map_or(DiskOffset::new(0), Extent::end);
                let mut found: Vec<Extent> = Vec::new();
                let mut from = DiskOffset::new(at);
                while let Some(extent) = extents.extent_from(from).unwrap() {
                    from = extent.end();
                    if !found.last_mut().is_some_and(|last| last.try_join(&extent)) {
                        found.push(extent);
                    }
                }
                let rest = DiskOffset::new(at).max(reached).min(end)..end;
                let expected: Vec<Extent> = disk.extents(rest).map(|extent| extent.unwrap()).collect();
                assert_eq!(found, expected, "{taken} taken, then {at}");
            }
        }
    }
}
