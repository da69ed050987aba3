//! Knows which parts of a file no block may overlap.

use crate::format::region_table::{BAT_REGION, METADATA_REGION, Region};
use crate::rules::Rule;
use crate::units::FileOffset;
use crate::violation::{Structure, Violation, Violations};

/// The parts of a file that no block may overlap, and the length of the file.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The offset and the length of the log in bytes.
    pub(crate) log: (FileOffset, u64),
    /// The regions, by ascending offset.
    pub(crate) regions: Vec<Region>,
    /// The length of the file in bytes.
    pub(crate) file_len: u64,
}

impl Layout {
    /// Checks the block at `place`, to which `structure` at offset `at` of the file points.
    ///
    /// The block is `whole` bytes long, and its first `needed` bytes hold data: 0 for a place that is only reserved. A
    /// reserved place may lie past the end of the file: see
    /// [`Vhdx::validate_place_without_data`](super::Vhdx::validate_place_without_data).
    ///
    /// Reports every violation, and returns whether the block can be used. A tolerated violation does not prevent that.
    pub(crate) fn validate_place(
        &self,
        structure: Structure,
        at: FileOffset,
        place: FileOffset,
        needed: u64,
        whole: u64,
        violations: &mut Violations,
    ) -> bool {
        let broken = |rule| Violation::new(structure, at, rule).place(place);
        let mut usable = true;
        let mut fatal = |violation| {
            violations.report(violation);
            usable = false;
        };

        // A BAT entry can name a place at the end of 64 bits: that is past the end of the file, too.
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

/// Returns whether a log overlaps `start..end`. An empty log may lie past the end of the file, at any offset.
fn overlaps(start: FileOffset, end: FileOffset, (other, len): (FileOffset, u64)) -> bool {
    len != 0 && start < other.saturating_add(len) && other < end
}

/// Returns the end of a region. A region that is unknown and not required may lie at any offset.
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
    use crate::units::{BatIndex, MIB};
    use uuid::Uuid;

    fn mib(n: u64) -> FileOffset {
        FileOffset::new(n * MIB)
    }

    fn region(id: Uuid, start: u64, len: u64) -> Region {
        Region { id, offset: mib(start), length: len * MIB, required: true }
    }

    /// The log lies at 1 MiB, metadata at 2, the BAT at 5 and 6. The file is 12 MiB long.
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
    fn a_block_between_regions_or_at_the_end_is_valid() {
        assert_eq!(validate(mib(3), 2 * MIB, 2 * MIB), (true, vec![]));
        assert_eq!(validate(mib(7), 5 * MIB, 5 * MIB), (true, vec![]));
    }

    #[test]
    fn every_overlap_and_every_block_past_the_end_is_reported() {
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
