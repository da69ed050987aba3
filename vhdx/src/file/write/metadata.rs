//! Metadata items as they change ([MS-VHDX] 2.6).
//!
//! New content goes into a gap of the metadata region, where nothing points yet; the table, which is logged, then points
//! there. An item that is replaced stays whole until it does. Where there is no gap, the region moves.

use std::ops::Range;

use uuid::Uuid;

use super::VhdxMut;
use crate::error::{InvalidArgument, Result};
use crate::file::NewItem;
use crate::file::create_layout::{MAX_METADATA_REGION, MAX_SYSTEM_ITEMS, MAX_USER_ITEMS};
use crate::format::metadata_item;
use crate::format::metadata_table::{self, MetadataEntry, MetadataTable};
use crate::format::parent_locator::ParentLocator;
use crate::format::region_table::{self, METADATA_REGION, Region, RegionTable};
use crate::units::{FileOffset, MIB};

/// Items begin at multiples of this, as those that Windows writes do.
const ALIGNMENT: u64 = 8;
const TABLE: u64 = metadata_table::SIZE as u64;

impl VhdxMut {
    /// Replaces the parent locator, in one transaction. When this returns, it is durable.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), [`InvalidArgument::TooMuchMetadata`].
    pub(crate) fn set_parent_locator(&mut self, locator: &ParentLocator) -> Result<()> {
        let id = metadata_item::PARENT_LOCATOR;
        let content = locator.encode();
        let item = NewItem { id, is_user: false, is_virtual_disk: false, is_required: true, content };
        self.replace_items(|entry| entry.is_system(id), vec![item])
    }

    /// Puts items in the place of those that `is_replaced` names, in one transaction. When this returns, it is durable.
    ///
    /// # Errors
    /// As [`set_parent_locator`](Self::set_parent_locator).
    pub(crate) fn replace_items(
        &mut self,
        is_replaced: impl Fn(&MetadataEntry) -> bool,
        items: Vec<NewItem>,
    ) -> Result<()> {
        self.change(|this| {
            this.begin()?;
            this.commit()?;
            let (replaced, kept) = this.vhdx.metadata.entries.iter().partition(|entry| is_replaced(entry));
            let kept: Vec<MetadataEntry> = kept;
            judge_counts(&kept, &items)?;
            match place_in_gaps(&replaced, &kept, &items, this.vhdx.regions.metadata.length) {
                Some(table) => this.write_into_gaps(table, &items)?,
                None => this.move_metadata(&kept, &items)?,
            }
            this.commit()?;
            this.sync_and_reload()
        })
    }

    fn write_into_gaps(&mut self, table: Vec<MetadataEntry>, items: &[NewItem]) -> Result<()> {
        let region = self.vhdx.regions.metadata.offset;
        for (entry, item) in table.iter().rev().zip(items.iter().rev()) {
            self.put(&item.content, region.saturating_add(entry.offset.into()))?;
        }
        self.staged.stage(&MetadataTable { entries: table }.encode(), region)
    }

    /// Writes all items into a new metadata region, which the region tables point to with the next commit.
    fn move_metadata(&mut self, kept: &[MetadataEntry], items: &[NewItem]) -> Result<()> {
        let mut all = Vec::new();
        for entry in kept {
            let content = self.vhdx.read_metadata_item(entry)?;
            let MetadataEntry { id, is_user, is_virtual_disk, is_required, .. } = *entry;
            all.push(NewItem { id, is_user, is_virtual_disk, is_required, content });
        }
        all.extend(items.iter().cloned());
        let needed = |item: &NewItem| (item.content.len() as u64).next_multiple_of(ALIGNMENT);
        let len = all.iter().map(needed).sum::<u64>().saturating_add(TABLE);
        // A change of the locator next time finds a gap again.
        let len = len.saturating_add(TABLE).next_multiple_of(MIB);
        let table = place_in_gaps(&[], &[], &all, len).filter(|_| len <= MAX_METADATA_REGION);
        let table = table.ok_or(InvalidArgument::TooMuchMetadata)?;
        let place = self.allocate_zeros(len)?;
        for (entry, item) in table.iter().zip(&all) {
            self.put(&item.content, place.saturating_add(entry.offset.into()))?;
        }
        self.put(&MetadataTable { entries: table }.encode(), place)?;
        self.stage_region(METADATA_REGION, place, len)
    }

    /// Moves a region to where it has been written. The old one stays as it is until no log entry can be replayed
    /// over what comes to lie there.
    pub(super) fn stage_region(&mut self, id: Uuid, offset: FileOffset, length: u64) -> Result<()> {
        let mut regions = self.vhdx.regions.all.clone();
        for region in regions.iter_mut().filter(|region| region.id == id) {
            self.retired.push((region.offset, region.length));
            *region = Region { offset, length, ..*region };
        }
        let table = RegionTable { regions }.encode();
        for place in region_table::OFFSETS {
            self.staged.stage(&table, place)?;
        }
        Ok(())
    }

    /// Makes the tables durable in their places and reads them anew.
    pub(super) fn sync_and_reload(&mut self) -> Result<()> {
        self.sync()?;
        self.vhdx.reload()
    }
}

fn judge_counts(kept: &[MetadataEntry], items: &[NewItem]) -> Result<(), InvalidArgument> {
    let user_items =
        kept.iter().map(|entry| entry.is_user).chain(items.iter().map(|item| item.is_user)).filter(|&is| is);
    let (user_items, all) = (user_items.count(), kept.len().saturating_add(items.len()));
    let is_too_many = user_items > MAX_USER_ITEMS || all - user_items > MAX_SYSTEM_ITEMS;
    if is_too_many || items.iter().any(|item| item.content.len() as u64 > MIB) {
        return Err(InvalidArgument::TooMuchMetadata);
    }
    Ok(())
}

/// The table with the kept entries and then one for each item, whose content lies clear of everything that the table in
/// force points to; `None` if a region of `len` bytes has no room for them.
fn place_in_gaps(
    replaced: &[MetadataEntry],
    kept: &[MetadataEntry],
    items: &[NewItem],
    len: u64,
) -> Option<Vec<MetadataEntry>> {
    let span = |entry: &MetadataEntry| {
        let start = u64::from(entry.offset);
        start..start.saturating_add(entry.length.into())
    };
    let mut taken: Vec<Range<u64>> = replaced.iter().chain(kept).map(span).collect();
    taken.push(0..TABLE);
    let mut table = kept.to_vec();
    for item in items {
        let NewItem { id, is_user, is_virtual_disk, is_required, ref content } = *item;
        let length = content.len() as u64;
        let offset = if length == 0 { 0 } else { gap(&mut taken, length) };
        if offset.saturating_add(length) > len {
            return None;
        }
        taken.push(offset..offset.saturating_add(length));
        let (offset, length) = (u32::try_from(offset).ok()?, u32::try_from(length).ok()?);
        table.push(MetadataEntry { id, offset, length, is_user, is_virtual_disk, is_required });
    }
    Some(table)
}

/// The first gap between the taken ranges that is long enough.
fn gap(taken: &mut [Range<u64>], len: u64) -> u64 {
    taken.sort_by_key(|range| range.start);
    let mut at = 0_u64;
    for range in taken {
        if range.start >= at.saturating_add(len) {
            break;
        }
        at = range.end.next_multiple_of(ALIGNMENT).max(at);
    }
    at
}
