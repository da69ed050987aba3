//! Checks the places of blocks: inside the file, and clear of the log and all regions.
//!
//! The rule that a block must not lie in the header section concerns the BAT entry alone and is checked before.

use super::Vhdx;
use crate::format::bat_entry::BatEntry;
use crate::rules::Rule;
use crate::units::{BatIndex, BlockIndex, FileOffset};
use crate::violation::{Structure, Violation, Violations};

impl Vhdx {
    /// Returns the offset and the length in bytes of the log, if it lies inside the file.
    pub(crate) fn place_of_log(&self) -> Option<(FileOffset, u64)> {
        let (place, len) = self.layout.log;
        let is_inside = place.checked_add(len).is_some_and(|end| end.get() <= self.layout.file_len);
        (len != 0 && is_inside).then_some((place, len))
    }

    /// Checks that the place of a block without data, if it has one, ends inside the file.
    pub(super) fn validate_place_without_data(
        &self,
        index: BatIndex,
        entry: BatEntry,
        violations: &mut Violations,
    ) {
        let place = entry.file_offset();
        let end = place.checked_add(self.block_size());
        if place.get() != 0 && end.is_none_or(|end| end.get() > self.layout.file_len) {
            let at = self.bat_entry_place(index);
            let violation = Violation::new(Structure::BatEntry(index), at, Rule::BlockPlacePastEnd);
            violations.report(violation.number(place.get()));
        }
    }

    /// Checks that the place that a block without data reserves is clear of the log and all regions.
    pub(crate) fn validate_reserved_place(
        &self,
        block: BlockIndex,
        entry: BatEntry,
        violations: &mut Violations,
    ) {
        let index = self.geometry.payload_bat_index(block);
        let at = self.bat_entry_place(index);
        let structure = Structure::BatEntry(index);
        self.layout.validate_place(structure, at, entry.file_offset(), 0, self.block_size(), violations);
    }
}
