//! Replaces metadata items in one transaction ([MS-VHDX] 2.6).
//!
//! New content is written into a gap of the metadata region, where nothing points yet. Then the logged metadata table
//! points there. A replaced item stays unchanged until that commit. If no gap is large enough, the region moves.

use std::ops::Range;

use uuid::Uuid;

use super::VhdxMut;
use crate::error::{Bounded, ChainFault, Error, InvalidArgument, Result};
use crate::file::create_layout::{MAX_METADATA_REGION, MAX_SYSTEM_ITEMS, MAX_USER_ITEMS};
use crate::file::{NewItem, Vhdx};
use crate::format::metadata_item;
use crate::format::metadata_table::{self, MetadataEntry, MetadataTable};
use crate::format::parent_locator::ParentLocator;
use crate::format::region_table::{self, METADATA_REGION, Region, RegionTable};
use crate::units::{FileOffset, MIB};

/// Items begin at multiples of this, as those that Windows writes do.
const ALIGNMENT: u64 = 8;
const TABLE: u64 = metadata_table::SIZE as u64;

impl VhdxMut {
    /// Replaces the parent locator in one transaction. When this returns, the change is durable.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), [`InvalidArgument::TooMuchMetadata`].
    pub(crate) fn set_parent_locator(&mut self, locator: &ParentLocator) -> Result<()> {
        self.replace_items(is_locator, vec![locator_item(locator)])
    }

    /// Replaces the items for which `is_replaced` holds with `items`, in one transaction.
    ///
    /// When this returns, the change is durable.
    ///
    /// # Errors
    /// As [`set_parent_locator`](Self::set_parent_locator).
    pub(crate) fn replace_items(
        &mut self,
        is_replaced: impl Fn(&MetadataEntry) -> bool,
        items: Vec<NewItem>,
    ) -> Result<()> {
        self.change(|this| {
            let new: Vec<MetadataEntry> = items.iter().map(entry_of).collect();
            let places = this.vhdx.place_items(is_replaced, &new)?;
            this.begin()?;
            this.commit()?;
            match places {
                ItemPlaces::Gaps(table) => this.write_into_gaps(table, &items)?,
                ItemPlaces::NewRegion { kept, table, len } => {
                    this.move_metadata(&kept, table, len, &items)?;
                }
            }
            this.commit()?;
            this.sync_and_reload()
        })
    }

    fn write_into_gaps(&mut self, table: Vec<MetadataEntry>, items: &[NewItem]) -> Result<()> {
        let region = self.vhdx.regions.metadata.offset;
        for (entry, item) in table.iter().rev().zip(items.iter().rev()) {
            self.put(&item.content, region.plus(entry.offset.into())?)?;
        }
        self.staged.stage(&MetadataTable { entries: table }.encode()?, region)
    }

    /// Writes all items into a new metadata region.
    ///
    /// The region tables point to it from the next commit on.
    fn move_metadata(
        &mut self,
        kept: &[MetadataEntry],
        table: Vec<MetadataEntry>,
        len: u64,
        items: &[NewItem],
    ) -> Result<()> {
        let region = self.allocate_zeros(len)?;
        let place = |entry: &MetadataEntry| region.plus(entry.offset.into());
        let (of_kept, of_items) = table.split_at(kept.len());
        for (before, entry) in kept.iter().zip(of_kept) {
            self.put(&self.vhdx.read_metadata_item(before)?, place(entry)?)?;
        }
        for (entry, item) in of_items.iter().zip(items) {
            self.put(&item.content, place(entry)?)?;
        }
        self.put(&MetadataTable { entries: table }.encode()?, region)?;
        self.stage_region(METADATA_REGION, region, len)
    }

    /// Stages region tables that point to the new place of a region.
    ///
    /// The new region has been written already.
    ///
    /// The old place stays taken until the session ends: until then a log entry could be replayed over new data there.
    pub(super) fn stage_region(&mut self, id: Uuid, offset: FileOffset, length: u64) -> Result<()> {
        let mut regions = self.vhdx.regions.all.clone();
        for region in regions.iter_mut().filter(|region| region.id == id) {
            self.retired.push((region.offset, region.length));
            *region = Region { offset, length, ..*region };
        }
        let table = RegionTable { regions }.encode()?;
        for place in region_table::OFFSETS {
            self.staged.stage(&table, place)?;
        }
        Ok(())
    }

    /// Makes committed tables durable in their places, and reads them again.
    pub(super) fn sync_and_reload(&mut self) -> Result<()> {
        self.sync()?;
        self.vhdx.reload()
    }
}

/// The places of a file's metadata items after a change.
///
/// The table lists the kept items first, then the new ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ItemPlaces {
    /// Kept items stay where they are, and new ones lie in gaps between them.
    Gaps(Vec<MetadataEntry>),
    /// All items move to a new region of `len` bytes; `kept` has the old places of the kept items.
    NewRegion { kept: Vec<MetadataEntry>, table: Vec<MetadataEntry>, len: u64 },
}

impl Vhdx {
    /// Chooses places for the `new` items, which replace those for which `is_replaced` holds.
    ///
    /// Ignores the offsets in `new`.
    ///
    /// # Errors
    /// [`InvalidArgument::TooMuchMetadata`].
    pub(crate) fn place_items(
        &self,
        is_replaced: impl Fn(&MetadataEntry) -> bool,
        new: &[MetadataEntry],
    ) -> Result<ItemPlaces, InvalidArgument> {
        let (replaced, kept): (Vec<_>, Vec<_>) =
            self.metadata.entries.iter().partition(|entry| is_replaced(entry));
        ensure_counts(&kept, new)?;
        if let Some(table) = place_in_gaps(&replaced, &kept, new, self.regions.metadata.length) {
            return Ok(ItemPlaces::Gaps(table));
        }
        let all: Vec<MetadataEntry> = kept.iter().chain(new).copied().collect();
        let len = new_region(all.iter().map(|entry| entry.length.into()));
        let len = len.filter(|&len| len <= MAX_METADATA_REGION).ok_or(InvalidArgument::TooMuchMetadata)?;
        let table = place_in_gaps(&[], &[], &all, len).ok_or(InvalidArgument::TooMuchMetadata)?;
        Ok(ItemPlaces::NewRegion { kept, table, len })
    }

    /// Ensures that the file has room for this parent locator.
    ///
    /// # Errors
    /// [`NoRoomForMetadata`](crate::ChainErrorKind::NoRoomForMetadata).
    pub(crate) fn ensure_locator_fits(&self, locator: &ParentLocator) -> Result<()> {
        let placed = self.place_items(is_locator, &[entry_of(&locator_item(locator))]);
        placed.map(drop).map_err(|error| self.no_room_or(error.into()))
    }

    /// Returns the error about this file if `error` says that metadata does not fit; any other error with the path.
    pub(crate) fn no_room_or(&self, error: Error) -> Error {
        match error {
            Error::InvalidArgument(InvalidArgument::ParentLocator | InvalidArgument::TooMuchMetadata) => {
                ChainFault::NoRoomForMetadata { path: self.shown_path() }.into()
            }
            error => self.in_file(error),
        }
    }
}

/// Returns the length in bytes of a new region for items of these lengths.
///
/// The region has room for a later change of the parent locator. Returns `None` if its length exceeds 64 bits.
pub(super) fn new_region(mut items: impl Iterator<Item = u64>) -> Option<u64> {
    let add = |sum: u64, len: u64| sum.checked_add(len.checked_next_multiple_of(ALIGNMENT)?);
    items.try_fold(2 * TABLE, add)?.checked_next_multiple_of(MIB)
}

fn is_locator(entry: &MetadataEntry) -> bool {
    entry.is_system(metadata_item::PARENT_LOCATOR)
}

fn locator_item(locator: &ParentLocator) -> NewItem {
    let (id, content) = (metadata_item::PARENT_LOCATOR, locator.encode());
    NewItem { id, is_user: false, is_virtual_disk: false, is_required: true, content }
}

/// Returns the table entry of an item that has no place yet.
fn entry_of(item: &NewItem) -> MetadataEntry {
    let NewItem { id, is_user, is_virtual_disk, is_required, ref content } = *item;
    // An item of more than 1 MiB is refused, however long it is.
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    MetadataEntry { id, offset: 0, length, is_user, is_virtual_disk, is_required }
}

fn ensure_counts(kept: &[MetadataEntry], new: &[MetadataEntry]) -> Result<(), InvalidArgument> {
    let user_items = kept.iter().chain(new).filter(|entry| entry.is_user).count();
    let all = kept.iter().chain(new).count();
    let is_too_many = user_items > MAX_USER_ITEMS || all - user_items > MAX_SYSTEM_ITEMS;
    if is_too_many || new.iter().any(|entry| u64::from(entry.length) > MIB) {
        return Err(InvalidArgument::TooMuchMetadata);
    }
    Ok(())
}

/// Returns a table with the kept entries and then the new ones.
///
/// Returns `None` if a region of `len` bytes has no room for them.
///
/// New items overlap nothing to which the table in force points, so a replaced item stays whole until the commit.
fn place_in_gaps(
    replaced: &[MetadataEntry],
    kept: &[MetadataEntry],
    new: &[MetadataEntry],
    len: u64,
) -> Option<Vec<MetadataEntry>> {
    // Offsets and lengths have 32 bits in the table, so no sum of them exceeds 64 bits.
    let span = |entry: &MetadataEntry| u64::from(entry.offset)..entry.end();
    let mut taken: Vec<Range<u64>> = replaced.iter().chain(kept).map(span).collect();
    taken.push(0..TABLE);
    let mut table = kept.to_vec();
    for entry in new {
        let length = u64::from(entry.length);
        let offset = if length == 0 { 0 } else { gap(&mut taken, length) };
        if offset + length > len {
            return None;
        }
        taken.push(offset..offset + length);
        table.push(MetadataEntry { offset: u32::try_from(offset).ok()?, ..*entry });
    }
    Some(table)
}

/// Returns the start of the first gap of `len` bytes between the taken ranges.
fn gap(taken: &mut [Range<u64>], len: u64) -> u64 {
    taken.sort_by_key(|range| range.start);
    let mut at = 0_u64;
    for range in taken {
        if range.start >= at + len {
            break;
        }
        at = range.end.next_multiple_of(ALIGNMENT).max(at);
    }
    at
}
