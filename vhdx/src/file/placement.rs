//! Where a block may lie in the file: clear of the log and of every region, and inside the file. That it does not lie
//! in the header section is a rule about the BAT entry alone, and comes first.

use super::Vhdx;
use crate::format::bat_entry::BatEntry;
use crate::format::region_table::{BAT_REGION, METADATA_REGION, Region};
use crate::rules::Rule;
use crate::units::{BatIndex, BlockIndex, FileOffset};
use crate::violation::{Structure, Violation, Violations};

/// What a block must keep clear of.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The log's place and its length in bytes.
    pub(crate) log: (FileOffset, u64),
    /// The regions, by ascending offset.
    pub(crate) regions: Vec<Region>,
    /// The length of the file in bytes.
    pub(crate) file_len: u64,
}

impl Layout {
    /// References the block at `place` which `structure`, at offset `at` of the file, points to. The block is `whole`
    /// bytes long, and the disk has a use for its first `needed` bytes: none of a place that is only kept reserved. Such a
    /// place may lie past the end of the file: see [`Vhdx::validate_place_without_data`].
    ///
    /// Whether it can be used: everything that is broken is reported, but what is tolerated does not stand in the way.
    pub(crate) fn validate_place(
        &self,
        structure: Structure,
        at: FileOffset,
        place: FileOffset,
        needed: u64,
        whole: u64,
        violations: &mut Violations,
    ) -> bool {
        let broken = |rule| Violation::new(structure, at, rule).number(place.get());
        let mut usable = true;
        let mut fatal = |violation| {
            violations.report(violation);
            usable = false;
        };

        let end = place.saturating_add(whole);
        if overlaps(place, end, self.log) {
            fatal(broken(Rule::BlockOverlapsLog));
        }
        let next = self.regions.partition_point(|region| region_end(region) <= place);
        if let Some(region) = self.regions.get(next).filter(|region| region.offset < end) {
            fatal(with_region(broken(Rule::BlockOverlapsRegion), region));
        }
        if needed != 0 && place.checked_add(needed).is_none_or(|end| end.get() > self.file_len) {
            fatal(broken(Rule::BlockPastEnd));
        } else if needed != 0 && end.get() > self.file_len {
            violations.report(broken(Rule::BlockTailPastEnd));
        }
        usable
    }
}

impl Vhdx {
    /// The place of the log and its length in bytes, if the file has a log that lies inside it.
    pub(crate) fn place_of_log(&self) -> Option<(FileOffset, u64)> {
        let (place, len) = self.layout.log;
        let is_inside = place.saturating_add(len).get() <= self.layout.file_len;
        (len != 0 && is_inside).then_some((place, len))
    }

    /// Validates the offset that the entry of a block without data holds, if any, against the length of the file.
    pub(super) fn validate_place_without_data(
        &self,
        index: BatIndex,
        entry: BatEntry,
        violations: &mut Violations,
    ) {
        let place = entry.file_offset();
        if place.get() != 0 && place.saturating_add(self.block_size()).get() > self.layout.file_len {
            let at = self.bat_entry_place(index);
            let violation = Violation::new(Structure::BatEntry(index), at, Rule::BlockPlacePastEnd);
            violations.report(violation.number(place.get()));
        }
    }

    /// References the place that a block without data keeps reserved, which nobody reads.
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

fn overlaps(start: FileOffset, end: FileOffset, (other, len): (FileOffset, u64)) -> bool {
    len != 0 && start < other.saturating_add(len) && other < end
}

fn region_end(region: &Region) -> FileOffset {
    region.offset.saturating_add(region.length)
}

fn with_region(violation: Violation, region: &Region) -> Violation {
    match region.id {
        BAT_REGION => violation.other(Structure::Bat),
        METADATA_REGION => violation.other(Structure::MetadataTable),
        id => violation.guid(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::MIB;
    use uuid::Uuid;

    fn mib(n: u64) -> FileOffset {
        FileOffset::new(n * MIB)
    }

    fn region(id: Uuid, start: u64, len: u64) -> Region {
        Region { id, offset: mib(start), length: len * MIB, required: true }
    }

    /// Log at 1, metadata at 2, BAT at 5 and 6; the file is 12 MiB long.
    fn validate(place: FileOffset, needed: u64, whole: u64) -> (bool, Vec<Rule>) {
        let layout = Layout {
            log: (mib(1), MIB),
            regions: vec![region(METADATA_REGION, 2, 1), region(BAT_REGION, 5, 2)],
            file_len: 12 * MIB,
        };
        let mut violations = Violations::new();
        let structure = Structure::BatEntry(BatIndex::new(7));
        let usable =
            layout.validate_place(structure, FileOffset::new(56), place, needed, whole, &mut violations);
        (usable, violations.as_slice().iter().map(|violation| violation.rule).collect())
    }

    #[test]
    fn a_block_between_the_regions_or_at_the_end_is_in_order() {
        assert_eq!(validate(mib(3), 2 * MIB, 2 * MIB), (true, vec![]));
        assert_eq!(validate(mib(7), 5 * MIB, 5 * MIB), (true, vec![]));
    }

    #[test]
    fn every_place_that_a_block_must_not_touch_is_named() {
        assert_eq!(validate(mib(1), MIB, MIB), (false, vec![Rule::BlockOverlapsLog]));
        assert_eq!(validate(mib(2), MIB, MIB), (false, vec![Rule::BlockOverlapsRegion]));
        assert_eq!(validate(mib(6), MIB, MIB), (false, vec![Rule::BlockOverlapsRegion]));
        assert_eq!(validate(mib(4), MIB, 8 * MIB), (false, vec![Rule::BlockOverlapsRegion]));
        assert_eq!(validate(mib(12), MIB, MIB), (false, vec![Rule::BlockPastEnd]));
        let both = vec![Rule::BlockOverlapsLog, Rule::BlockOverlapsRegion];
        assert_eq!(validate(mib(1), MIB, 8 * MIB), (false, both));
    }

    #[test]
    fn a_tail_without_data_may_lie_past_the_end() {
        assert_eq!(validate(mib(11), MIB, 2 * MIB), (true, vec![Rule::BlockTailPastEnd]));
        assert_eq!(validate(mib(11), MIB + 1, 2 * MIB), (false, vec![Rule::BlockPastEnd]));
        assert_eq!(validate(mib(20), 0, 2 * MIB), (true, vec![]));
    }

    #[test]
    fn a_place_near_the_end_of_the_number_range_does_not_wrap() {
        let place = FileOffset::new(u64::MAX - MIB + 1);
        assert_eq!(validate(place, 256 * MIB, 256 * MIB), (false, vec![Rule::BlockPastEnd]));
    }
}
