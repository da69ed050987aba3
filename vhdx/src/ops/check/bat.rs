//! Every rule about the block allocation table: of each entry alone, and of all of them together.

use std::ops::Range;

use super::occupancy::Occupancy;
use crate::error::Result;
use crate::file::Vhdx;
use crate::format::bat_entry::{BatEntry, PayloadBlockState, SectorBitmapBlockState};
use crate::geometry::BatEntryKind;
use crate::rules::Rule;
use crate::units::{BatIndex, BlockIndex, ChunkIndex, MIB};
use crate::violation::{Structure, Violation, Violations};

/// How many entries are read at once.
const WINDOW: u64 = 32 << 10;

/// Judges every BAT entry of a file, in memory that depends on the length of the file alone: one bit for each MiB.
///
/// # Errors
/// [`Error::Io`] when the BAT cannot be read. Broken rules are no errors here.
pub(crate) fn judge_bat(vhdx: &Vhdx, violations: &mut Violations) -> Result<()> {
    let mut occupancy = Occupancy::new(vhdx.replayed_len());
    let mut chunk_is_partial = false;
    for_each_entry(vhdx, |index, entry| {
        match vhdx.geometry().entry_kind(index) {
            BatEntryKind::Payload(block) => {
                chunk_is_partial |= judge_block(vhdx, block, entry, violations);
            }
            BatEntryKind::SectorBitmap(chunk) => {
                judge_bitmap(vhdx, chunk, entry, chunk_is_partial, violations);
                chunk_is_partial = false;
            }
        }
        if let Some(place) = occupied(vhdx, index, entry) {
            occupancy.mark(place);
        }
    })?;
    if occupancy.is_exceeded() {
        violations.report(Violation::new(
            Structure::Bat,
            vhdx.bat_entry_place(BatIndex::new(0)),
            Rule::OverlapUnchecked,
        ));
    }
    let Some(mut owners) = occupancy.into_contested() else { return Ok(()) };
    for_each_entry(vhdx, |index, entry| {
        let Some(place) = occupied(vhdx, index, entry) else { return };
        for owner in owners.claim(index, place) {
            let at = vhdx.bat_entry_place(index);
            let violation = Violation::new(Structure::BatEntry(index), at, Rule::BlockOverlapsBlock);
            violations.report(violation.other(Structure::BatEntry(owner)));
        }
    })
}

/// Whether the block needs a sector bitmap block. Entries past the last block are not blocks.
fn judge_block(vhdx: &Vhdx, block: BlockIndex, entry: BatEntry, violations: &mut Violations) -> bool {
    if block.get() >= vhdx.geometry().block_count() {
        return false;
    }
    let state = vhdx.judge_payload(block, entry, violations);
    if is_reserved_place(entry) {
        vhdx.judge_reserved_place(block, entry, violations);
    }
    state == Some(PayloadBlockState::PartiallyPresent)
}

fn judge_bitmap(
    vhdx: &Vhdx,
    chunk: ChunkIndex,
    entry: BatEntry,
    is_needed: bool,
    violations: &mut Violations,
) {
    let is_absent = vhdx.judge_bitmap(chunk, entry, violations) == Some(None);
    if is_needed && is_absent {
        let index = vhdx.geometry().bitmap_bat_index(chunk);
        let at = vhdx.bat_entry_place(index);
        violations.report(Violation::new(Structure::BatEntry(index), at, Rule::BatBitmapMissing));
    }
}

/// Whether the block has no data, but keeps a place in the file for them.
fn is_reserved_place(entry: BatEntry) -> bool {
    let state = entry.payload_state();
    let keeps_place = matches!(state, Some(PayloadBlockState::Undefined | PayloadBlockState::Unmapped));
    keeps_place && entry.file_offset().get() != 0
}

/// The MiBs of the file that an entry takes for its block.
fn occupied(vhdx: &Vhdx, index: BatIndex, entry: BatEntry) -> Option<Range<u64>> {
    let geometry = vhdx.geometry();
    let len = match geometry.entry_kind(index) {
        BatEntryKind::Payload(block) => {
            let is_block = block.get() < geometry.block_count();
            let has_data = entry.payload_state().is_some_and(PayloadBlockState::is_present);
            (is_block && (has_data || is_reserved_place(entry))).then_some(geometry.block_size())
        }
        BatEntryKind::SectorBitmap(_) => {
            let is_present = entry.bitmap_state() == Some(SectorBitmapBlockState::Present);
            (is_present && geometry.has_parent()).then_some(MIB)
        }
    };
    let first = entry.file_offset().get() / MIB;
    len.map(|len| first..first.saturating_add(len / MIB))
}

fn for_each_entry(vhdx: &Vhdx, mut visit: impl FnMut(BatIndex, BatEntry)) -> Result<()> {
    let count = vhdx.geometry().bat_entry_count();
    let mut index = BatIndex::new(0);
    while index.get() < count {
        let len = WINDOW.min(count.saturating_sub(index.get()));
        for entry in vhdx.bat_entries(index, usize::try_from(len).unwrap_or(usize::MAX))? {
            visit(index, entry);
            index = index.saturating_add(1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{DiskType, NewDisk};
    use crate::ops::testing::{image, link, set_entry};
    use crate::ops::{FileReport, check_storage};
    use std::sync::Arc;

    const BAT: usize = 3 << 20;
    const FIRST_BLOCK: u64 = 4;

    /// A fixed disk of 4 blocks of 1 MiB, with BAT entries put in their places as `(entry, state, MiB)`.
    fn check(changes: &[(usize, u8, u64)]) -> FileReport {
        check_cut(changes, 0)
    }

    fn check_cut(changes: &[(usize, u8, u64)], missing: usize) -> FileReport {
        let mut file = image(&disk(), &[(0, &[1])]);
        changes.iter().for_each(|&(index, state, mib)| set_entry(&mut file, index, state, mib));
        file.truncate(file.len() - missing);
        check_storage(Arc::new(file)).files.remove(0)
    }

    fn disk() -> NewDisk {
        NewDisk { block_size: 1 << 20, disk_type: DiskType::Fixed, ..NewDisk::new(4 * MIB - 512) }
    }

    fn broken(report: &FileReport) -> Vec<(u64, Rule)> {
        assert!(report.error.is_none(), "{report:?}");
        let entry = |violation: &Violation| match violation.structure {
            Structure::BatEntry(index) => {
                assert_eq!(violation.offset.get(), BAT as u64 + 8 * index.get());
                index.get()
            }
            structure => panic!("{structure}"),
        };
        report.violations.as_slice().iter().map(|violation| (entry(violation), violation.rule)).collect()
    }

    #[test]
    fn a_sound_table_is_valid() {
        let report = check(&[]);
        assert!(report.is_valid() && report.violations.as_slice().is_empty(), "{report:?}");
    }

    #[test]
    fn every_broken_entry_is_listed() {
        let report = check(&[(0, 4, 4), (1, 7, 5), (2, 6, 1), (3, 6, 9)]);
        let rules = [
            (0, Rule::BatStateReserved),
            (1, Rule::BatPartialWithoutParent),
            (2, Rule::BlockOverlapsLog),
            (3, Rule::BlockPastEnd),
        ];
        assert_eq!(broken(&report), rules);
        assert!(!report.is_valid());
    }

    #[test]
    fn blocks_at_one_place_are_named_in_pairs() {
        let report = check(&[(2, 6, FIRST_BLOCK), (3, 6, FIRST_BLOCK)]);
        assert_eq!(broken(&report), [(2, Rule::BlockOverlapsBlock), (3, Rule::BlockOverlapsBlock)]);
        let others = report.violations.as_slice().iter().map(|violation| violation.found.clone());
        let first = crate::violation::Found::Other(Structure::BatEntry(BatIndex::new(0)));
        assert!(others.eq([first.clone(), first]));
    }

    #[test]
    fn a_reserved_place_is_taken_too() {
        for state in [PayloadBlockState::Undefined, PayloadBlockState::Unmapped] {
            let taken = check(&[(3, state.bits(), FIRST_BLOCK)]);
            assert_eq!(broken(&taken), [(3, Rule::BlockOverlapsBlock)]);
            let in_region = check(&[(3, state.bits(), 2)]);
            assert_eq!(broken(&in_region), [(3, Rule::BlockOverlapsRegion)]);
            assert!(check(&[(3, state.bits(), 0)]).is_valid());
            assert!(check(&[(3, state.bits(), FIRST_BLOCK + 3)]).is_valid());
        }
    }

    #[test]
    fn states_without_a_place_take_none() {
        assert_eq!(broken(&check(&[(3, 0, FIRST_BLOCK)])), []);
        let zero = check(&[(3, 2, FIRST_BLOCK)]);
        assert_eq!(broken(&zero), [(3, Rule::BatZeroOffset)]);
        assert!(zero.is_valid());
    }

    #[test]
    fn only_the_unused_tail_of_the_last_block_may_be_missing() {
        let tail = check_cut(&[], 512);
        assert_eq!(broken(&tail), [(3, Rule::BlockTailPastEnd)]);
        assert!(tail.is_valid());
        assert_eq!(broken(&check_cut(&[], 513)), [(3, Rule::BlockPastEnd)]);
    }

    /// A child of blocks that are all fully present, except the second one, which is partially present.
    fn check_child(bitmap: Option<u64>) -> FileReport {
        const BITMAP_ENTRY: usize = 4096; // the chunk ratio
        let parent = image(&disk(), &[]);
        let mut child = image(&disk(), &[]);
        link(&mut child, &parent, "parent.vhdx");
        set_entry(&mut child, 1, 7, FIRST_BLOCK + 1);
        if let Some(place) = bitmap {
            set_entry(&mut child, BITMAP_ENTRY, 6, place);
        }
        child.resize(child.len() + (1 << 20), 0);
        check_storage(Arc::new(child)).files.remove(0)
    }

    #[test]
    fn a_partial_block_needs_a_sector_bitmap_block() {
        assert_eq!(broken(&check_child(None)), [(4096, Rule::BatBitmapMissing)]);
        assert!(check_child(Some(FIRST_BLOCK + 4)).is_valid());
    }

    #[test]
    fn a_sector_bitmap_block_is_a_block_like_any_other() {
        assert_eq!(broken(&check_child(Some(FIRST_BLOCK))), [(4096, Rule::BlockOverlapsBlock)]);
        assert_eq!(broken(&check_child(Some(2))), [(4096, Rule::BlockOverlapsRegion)]);
        assert_eq!(broken(&check_child(Some(FIRST_BLOCK + 5))), [(4096, Rule::BlockPastEnd)]);
    }
}
