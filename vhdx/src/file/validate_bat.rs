//! Checks every rule about the BAT: about each entry, and about all entries together.

use std::ops::{ControlFlow, Range};

use super::bat::WINDOW;
use super::bat_window::BatWindow;
use super::occupancy::Occupancy;
use super::{Vhdx, headers};
use crate::error::{Bounded, Result};
use crate::format::bat_entry::{BatEntry, PayloadBlockState, SectorBitmapBlockState};
use crate::geometry::BatEntryKind;
use crate::rules::{Rule, Severity};
use crate::units::{BatIndex, BlockIndex, ChunkIndex, MIB};
use crate::violation::{Structure, Violation, Violations};

impl Vhdx {
    /// Validates every BAT entry, and the places of all payload and sector bitmap blocks.
    ///
    /// No two blocks may overlap, and none may lie in the header section, the log or a region ([MS-VHDX] 2.5.1). The
    /// two region tables must not contradict each other.
    ///
    /// Reads the BAT once, up to the first broken rule that is not tolerated, and a second time only to name the blocks
    /// that overlap. Takes about 16 MiB of memory at most, whatever the size of the disk.
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

/// The point at which the validation of a BAT ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// At the first violation that is not tolerated.
    Stopped,
    /// At the end of the BAT, or when the list of violations is full.
    End,
}

impl Until {
    fn after(self, violations: &Violations, is_contested: bool) -> ControlFlow<()> {
        let ends = match self {
            Until::Stopped => is_contested || violations.ensure_none_fatal().is_err(),
            Until::End => violations.is_full(),
        };
        if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Ensures that a file can be written to in all sessions of a merge.
///
/// # Errors
/// As [`ensure_writable`].
pub(crate) fn ensure_mergeable(vhdx: &Vhdx) -> Result<()> {
    ensure_writable(vhdx, headers::MERGE, |_| ())
}

/// Ensures that a file can be written to, and its headers changed `updates` times.
///
/// The BAT must break no rule that is not tolerated, and the region tables must not contradict each other. Calls `take`
/// with the MiBs that each block takes.
///
/// # Errors
/// [`Error::Corrupt`](crate::Error::Corrupt) and [`Error::Unsupported`](crate::Error::Unsupported) for the first
/// broken rule that is not tolerated, [`Error::Io`](crate::Error::Io); all with the path.
pub(super) fn ensure_writable(vhdx: &Vhdx, updates: u64, take: impl FnMut(Range<u64>)) -> Result<()> {
    let validate = || {
        let mut violations = Violations::new();
        validate_layout(vhdx, &mut violations, take)?;
        headers::ensure_sequence(vhdx.header(), vhdx.header_number, updates)
    };
    validate().map_err(|error| vhdx.in_file(error))
}

/// Checks the region tables against each other, and the BAT against every rule.
///
/// Ends at the first violation that is not tolerated, so that a large BAT full of garbage takes no longer than a small
/// one. Calls `take` with the MiBs that each block takes.
fn validate_layout(vhdx: &Vhdx, violations: &mut Violations, take: impl FnMut(Range<u64>)) -> Result<()> {
    vhdx.validate_region_tables(violations)?;
    violations.ensure_none_fatal()?;
    let mut of_entries = Violations::new();
    validate_entries(vhdx, Until::Stopped, &mut of_entries, take)?;
    let is_tolerated = |(rule, _): &(Rule, u64)| rule.severity() == Severity::Tolerated;
    let tolerated = of_entries.counts().filter(is_tolerated).collect();
    violations.append(of_entries);
    violations.ensure_none_fatal()?;
    vhdx.tolerated_bat_rules.get_or_init(|| tolerated);
    Ok(())
}

/// Checks every BAT entry of a file.
///
/// Takes about 16 MiB of memory at most: one bit for each MiB in which a block may lie.
///
/// # Errors
/// [`Error::Io`] if the BAT cannot be read. Violations are only reported.
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

/// Checks the entry of a payload block, and returns whether it needs a sector bitmap block.
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

/// Returns whether the entry has no data but reserves a place in the file.
fn is_reserved_place(entry: BatEntry) -> bool {
    let state = entry.payload_state();
    let keeps_place = matches!(state, Some(PayloadBlockState::Undefined | PayloadBlockState::Unmapped));
    keeps_place && entry.file_offset().get() != 0
}

/// Returns the MiBs of the file that an entry takes for its block; `None` if it takes none.
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
    let first = entry.file_offset().get() / MIB; // less than 2^44
    len.map(|len| first..first + len / MIB)
}

/// Visits the BAT entries in order until `visit` breaks, except zero payload entries.
///
/// Large disks have millions of these, and they break no rule and take no space.
pub(super) fn for_each_entry(
    vhdx: &Vhdx,
    mut visit: impl FnMut(BatIndex, BatEntry) -> ControlFlow<()>,
) -> Result<()> {
    let count = vhdx.geometry().bat_entry_count();
    let mut window = BatWindow::default();
    let mut index = BatIndex::new(0);
    while index.get() < count {
        window.read(vhdx, index, WINDOW.min(count - index.get()))?;
        loop {
            index = index.plus(window.zeros(index..next_bitmap(vhdx, index)))?;
            let Some(entry) = window.get(index) else { break };
            if visit(index, entry).is_break() {
                return Ok(());
            }
            index = index.plus(1)?;
        }
    }
    Ok(())
}

/// Returns the first entry of a sector bitmap block at or after `index`.
fn next_bitmap(vhdx: &Vhdx, index: BatIndex) -> BatIndex {
    match vhdx.geometry().entry_kind(index) {
        BatEntryKind::Payload(block) => vhdx.geometry().bitmap_bat_index(vhdx.geometry().chunk_of(block)),
        BatEntryKind::SectorBitmap(_) => index,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{NewDisk, OpenOptions, VhdxWriter};
    use crate::storage::{Memory, ReadAt, Storage};
    use crate::units::FileOffset;

    /// The disk has four chunks, and more entries than a window holds.
    #[test]
    fn all_but_zero_payload_entries_are_visited_once_in_order() {
        let storage = Memory::default();
        let disk = NewDisk { block_size: 1 << 20, ..NewDisk::new(15 << 30) };
        VhdxWriter::new(&storage, &disk).unwrap().finish().unwrap();
        let mut bytes = vec![0; usize::try_from(ReadAt::size(&storage).unwrap()).unwrap()];
        storage.read_exact_at(&mut bytes, FileOffset::new(0)).unwrap();
        let vhdx = Vhdx::open_with(bytes.clone(), &OpenOptions::default()).unwrap();
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
            let vhdx = Vhdx::open_with(storage, &OpenOptions::default()).unwrap();
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
