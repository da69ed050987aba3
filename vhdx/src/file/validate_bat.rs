//! Every rule about the block allocation table: of each entry alone, and of all of them together.

use std::ops::{ControlFlow, Range};

use super::bat::WINDOW;
use super::bat_window::BatWindow;
use super::occupancy::Occupancy;
use super::{Vhdx, headers};
use crate::error::Result;
use crate::format::bat_entry::{BatEntry, PayloadBlockState, SectorBitmapBlockState};
use crate::geometry::BatEntryKind;
use crate::rules::{Rule, Severity};
use crate::units::{BatIndex, BlockIndex, ChunkIndex, MIB};
use crate::violation::{Structure, Violation, Violations};

impl Vhdx {
    /// Validates every BAT entry of the file and the places of all its blocks: no two blocks, sector bitmap blocks
    /// included, may lie in one place, and none in the header section, the log or a region ([MS-VHDX] 2.5.1).
    ///
    /// Reads the BAT once up to the first broken rule, and a second time only to name the blocks that overlap. Takes at
    /// most 16 MiB of memory, whatever the size of the disk.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) and [`Error::Unsupported`](crate::Error::Unsupported) for the first
    /// broken rule that is not tolerated, [`Error::Io`](crate::Error::Io); all with the path. If blocks overlap, the
    /// [`Violation`] names the BAT entries of both.
    pub fn validate_placement(&self) -> Result<()> {
        let mut violations = Violations::new();
        let validated = validate_layout(self, &mut violations, |_| ());
        validated.map_err(|error| self.in_file(error))
    }
}

/// How far a BAT is validated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Up to the first violation that is not tolerated.
    Stopped,
    /// All of it, unless so much is broken that nothing more is listed.
    End,
}

impl Until {
    fn after(self, violations: &Violations, is_contested: bool) -> ControlFlow<()> {
        let ends = match self {
            Until::Stopped => is_contested || violations.stop_at_first().is_err(),
            Until::End => violations.is_full(),
        };
        if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Refuses a file that is to be written to in several sessions and cannot be: with a broken rule about its BAT, or with
/// headers that have been changed too often.
///
/// # Errors
/// As [`ensure_writable`].
pub(crate) fn ensure_mergeable(vhdx: &Vhdx) -> Result<()> {
    ensure_writable(vhdx, headers::MERGE, |_| ())
}

/// Refuses a file with a broken rule about its BAT, with region tables that contradict each other, or whose headers
/// cannot be changed `updates` times more. `take` is given the MiBs that each block takes.
///
/// # Errors
/// [`Error::Corrupt`](crate::Error::Corrupt) and [`Error::Unsupported`](crate::Error::Unsupported) for the first rule
/// that is not tolerated, [`Error::Io`](crate::Error::Io); all with the path.
pub(super) fn ensure_writable(vhdx: &Vhdx, updates: u64, take: impl FnMut(Range<u64>)) -> Result<()> {
    let validate = || {
        let mut violations = Violations::new();
        validate_layout(vhdx, &mut violations, take)?;
        headers::ensure_sequence(vhdx.header(), vhdx.header_number, updates)
    };
    validate().map_err(|error| vhdx.in_file(error))
}

/// Validates that the file has one layout: region tables that do not contradict each other, and a BAT that breaks no rule.
/// Ends with the first violation that is not tolerated, so that a large BAT full of garbage takes no longer than a small
/// one. `take` is given the MiBs that each block takes.
fn validate_layout(vhdx: &Vhdx, violations: &mut Violations, take: impl FnMut(Range<u64>)) -> Result<()> {
    vhdx.validate_region_tables(violations)?;
    violations.stop_at_first()?;
    let mut of_entries = Violations::new();
    validate_entries(vhdx, Until::Stopped, &mut of_entries, take)?;
    let is_tolerated = |(rule, _): &(Rule, u64)| rule.severity() == Severity::Tolerated;
    let tolerated = of_entries.counts().filter(is_tolerated).collect();
    violations.append(of_entries);
    violations.stop_at_first()?;
    vhdx.tolerated_entries.get_or_init(|| tolerated);
    Ok(())
}

/// References every BAT entry of a file, in at most 16 MiB of memory: one bit for each MiB in which a block may lie.
///
/// # Errors
/// [`Error::Io`] when the BAT cannot be read. Broken rules are no errors here.
pub(crate) fn validate_bat(vhdx: &Vhdx, violations: &mut Violations) -> Result<()> {
    validate_entries(vhdx, Until::End, violations, |_| ())
}

fn validate_entries(
    vhdx: &Vhdx,
    until: Until,
    violations: &mut Violations,
    mut take: impl FnMut(Range<u64>),
) -> Result<()> {
    let mut occupancy = Occupancy::new(vhdx.replayed_len());
    let mut chunk_is_partial = false;
    for_each_entry(vhdx, |index, entry| {
        match vhdx.geometry().entry_kind(index) {
            BatEntryKind::Payload(block) => {
                chunk_is_partial |= validate_block(vhdx, block, entry, violations);
            }
            BatEntryKind::SectorBitmap(chunk) => {
                validate_bitmap(vhdx, chunk, entry, chunk_is_partial, violations);
                chunk_is_partial = false;
            }
        }
        if let Some(place) = occupied(vhdx, index, entry) {
            occupancy.mark(place.clone());
            take(place);
        }
        until.after(violations, occupancy.is_contested())
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
        let owners = occupied(vhdx, index, entry).map(|place| owners.claim(index, place));
        for owner in owners.into_iter().flatten() {
            let at = vhdx.bat_entry_place(index);
            let violation = Violation::new(Structure::BatEntry(index), at, Rule::BlockOverlapsBlock);
            violations.report(violation.other(Structure::BatEntry(owner)));
        }
        until.after(violations, false)
    })
}

/// Whether the block needs a sector bitmap block. No block uses an entry past the last one.
fn validate_block(vhdx: &Vhdx, block: BlockIndex, entry: BatEntry, violations: &mut Violations) -> bool {
    if block.get() >= vhdx.geometry().block_count() {
        let index = vhdx.geometry().payload_bat_index(block);
        let at = vhdx.bat_entry_place(index);
        violations.report(Violation::new(Structure::BatEntry(index), at, Rule::BatEntryUnused));
        return false;
    }
    let state = vhdx.validate_payload(block, entry, violations);
    if is_reserved_place(entry) {
        vhdx.validate_reserved_place(block, entry, violations);
    }
    state == Some(PayloadBlockState::PartiallyPresent)
}

fn validate_bitmap(
    vhdx: &Vhdx,
    chunk: ChunkIndex,
    entry: BatEntry,
    is_needed: bool,
    violations: &mut Violations,
) {
    let is_absent = vhdx.validate_bitmap(chunk, entry, violations) == Some(None);
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
pub(super) fn occupied(vhdx: &Vhdx, index: BatIndex, entry: BatEntry) -> Option<Range<u64>> {
    if entry.raw() == 0 {
        return None;
    }
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

/// Visits the entries in order until `visit` breaks off, except those of payload blocks that are zero: large disks have
/// millions of them, and they neither say anything nor break a rule.
pub(super) fn for_each_entry(
    vhdx: &Vhdx,
    mut visit: impl FnMut(BatIndex, BatEntry) -> ControlFlow<()>,
) -> Result<()> {
    let count = vhdx.geometry().bat_entry_count();
    let mut window = BatWindow::default();
    let mut index = BatIndex::new(0);
    while index.get() < count {
        window.read(vhdx, index, WINDOW.min(count.saturating_sub(index.get())))?;
        loop {
            index = index.saturating_add(window.zeros(index..next_bitmap(vhdx, index)));
            let Some(entry) = window.get(index) else { break };
            if visit(index, entry).is_break() {
                return Ok(());
            }
            index = index.saturating_add(1);
        }
    }
    Ok(())
}

/// The next entry of a sector bitmap block, which may be this one.
fn next_bitmap(vhdx: &Vhdx, index: BatIndex) -> BatIndex {
    match vhdx.geometry().entry_kind(index) {
        BatEntryKind::Payload(block) => vhdx.geometry().bitmap_bat_index(vhdx.geometry().chunk_of(block)),
        BatEntryKind::SectorBitmap(_) => index,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::create::{NewDisk, VhdxWriter};
    use crate::storage::{Memory, ReadAt, Storage};
    use crate::units::FileOffset;

    /// Four chunks, more entries than a window holds.
    #[test]
    fn every_entry_that_may_matter_is_visited_once_and_in_order() {
        let storage = Memory::default();
        let disk = NewDisk { block_size: 1 << 20, ..NewDisk::new(15 << 30) };
        VhdxWriter::new(&storage, &disk).unwrap().finish().unwrap();
        let mut bytes = vec![0; usize::try_from(ReadAt::len(&storage).unwrap()).unwrap()];
        storage.read_exact_at(&mut bytes, FileOffset::new(0)).unwrap();
        let vhdx = Vhdx::from_storage(bytes.clone()).unwrap();
        let count = vhdx.geometry().bat_entry_count();
        assert_eq!(count, 15 * 1024 + 3);

        let edges = [1, 4095, 4096, 4097, WINDOW - 1, WINDOW, WINDOW + 1, count - 1];
        for set in [&edges[..], &[0], &[]] {
            let storage = Memory::new(bytes.clone());
            for &index in set {
                let entry = BatEntry::from_le_bytes((index << 20 | 1 << 5).to_le_bytes());
                storage
                    .write_all_at(&entry.to_le_bytes(), vhdx.bat_entry_place(BatIndex::new(index)))
                    .unwrap();
            }
            let vhdx = Vhdx::from_storage(storage).unwrap();
            let all = vhdx.bat_entries(BatIndex::new(0), usize::try_from(count).unwrap()).unwrap();
            let expected = (0..).map(BatIndex::new).zip(all).filter(|(index, entry)| {
                entry.raw() != 0
                    || matches!(vhdx.geometry().entry_kind(*index), BatEntryKind::SectorBitmap(_))
            });
            let mut visited = Vec::new();
            for_each_entry(&vhdx, |index, entry| {
                visited.push((index, entry));
                ControlFlow::Continue(())
            })
            .unwrap();
            assert_eq!(visited, expected.collect::<Vec<_>>());
        }
    }
}
