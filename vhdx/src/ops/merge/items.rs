//! Decides which metadata items of the target are replaced by those of the merged disk ([MS-VHDX] 2.6.1.2).

use uuid::Uuid;

use crate::disk::locator::with_linkages;
use crate::error::{Guaranteed, Result};
use crate::file::{Vhdx, disk_metadata};
use crate::format::metadata_item::{
    LOGICAL_SECTOR_SIZE, PHYSICAL_SECTOR_SIZE, VIRTUAL_DISK_ID, VIRTUAL_DISK_SIZE,
};
use crate::format::metadata_table::MetadataEntry;

/// The changes that make the metadata items of the target describe the merged disk.
///
/// Only items that describe the disk and not the file are concerned, and only if they differ: those of the merged disk
/// replace those of the target ([MS-VHDX] 2.6.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ItemChanges {
    /// The items that the target gets from the merged disk, in place of its own if it has them.
    pub(super) taken: Vec<MetadataItemId>,
    /// The items that the target loses.
    pub(super) lost: Vec<MetadataItemId>,
}

/// Identifies a metadata item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MetadataItemId {
    /// The item's GUID.
    pub id: Uuid,
    /// Whether it is user metadata.
    pub is_user: bool,
}

impl ItemChanges {
    /// Returns whether no metadata item changes.
    pub(super) const fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.lost.is_empty()
    }

    /// Whether the target loses the item, or gets another one in its place.
    pub(super) fn replaces(&self, entry: &MetadataEntry) -> bool {
        self.takes(entry) || self.lost.contains(&MetadataItemId::of(entry))
    }

    fn takes(&self, entry: &MetadataEntry) -> bool {
        self.taken.contains(&MetadataItemId::of(entry))
    }

    /// Returns the items of the merged disk that the target gets, as they will be there.
    ///
    /// Only their offsets are those in `merged`.
    pub(super) fn taken_from(&self, merged: &Vhdx) -> impl Iterator<Item = MetadataEntry> {
        let taken = merged.metadata_entries().iter().filter(|entry| self.takes(entry));
        taken.map(|entry| MetadataEntry { is_virtual_disk: true, ..*entry })
    }

    /// Returns the changes that make `target` describe the disk of `merged`.
    ///
    /// # Errors
    /// [`NoRoomForMetadata`](crate::ChainErrorKind::NoRoomForMetadata) if the target cannot hold the
    /// changes; those of reading the items.
    pub(super) fn new(merged: &Vhdx, target: &Vhdx) -> Result<Self> {
        let mut changes = Self::default();
        for entry in of_disk(merged) {
            let same = find(target, entry).filter(|own| is_alike(own, entry));
            let is_same = match same {
                Some(own) => target.read_metadata_item(own)? == merged.read_metadata_item(entry)?,
                None => false,
            };
            if !is_same {
                changes.taken.push(MetadataItemId::of(entry));
            }
        }
        let is_lost = |entry: &&MetadataEntry| find(merged, entry).is_none_or(|other| !is_of_disk(other));
        // The items that every file has are not lost. A merged disk without a VirtualDiskId, which is only tolerated,
        // does not take away that of the target.
        let lost = of_disk(target).filter(|entry| !disk_metadata::is_own(entry)).filter(is_lost);
        changes.lost.extend(lost.map(MetadataItemId::of));
        if !changes.is_empty() {
            let new: Vec<MetadataEntry> = changes.taken_from(merged).collect();
            let placed = target.place_items(|entry| changes.replaces(entry), &new);
            placed.map_err(|error| target.no_room_or(error.into()))?;
        }
        Ok(changes)
    }
}

/// Checks that the parent locator of a layer has room for two linkages.
///
/// # Errors
/// [`NoRoomForMetadata`](crate::ChainErrorKind::NoRoomForMetadata).
pub(super) fn ensure_linkages(layer: &Vhdx) -> Result<()> {
    let old = layer.parent_locator().guaranteed("a file with a parent has a parent locator")?;
    let new = with_linkages(old, Uuid::nil(), Uuid::nil()).map_err(|error| layer.no_room_or(error))?;
    layer.ensure_locator_fits(&new)
}

impl MetadataItemId {
    fn of(entry: &MetadataEntry) -> Self {
        Self { id: entry.id, is_user: entry.is_user }
    }
}

fn of_disk(vhdx: &Vhdx) -> impl Iterator<Item = &MetadataEntry> {
    vhdx.metadata_entries().iter().filter(|entry| is_of_disk(entry))
}

/// Whether the item describes the disk.
///
/// Wrong flags of items that every file has are tolerated, so these flags decide nothing.
fn is_of_disk(entry: &MetadataEntry) -> bool {
    let always = [VIRTUAL_DISK_SIZE, VIRTUAL_DISK_ID, LOGICAL_SECTOR_SIZE, PHYSICAL_SECTOR_SIZE];
    disk_metadata::is_disk_metadata(entry) || always.into_iter().any(|id| entry.is_system(id))
}

fn find<'a>(vhdx: &'a Vhdx, entry: &MetadataEntry) -> Option<&'a MetadataEntry> {
    vhdx.metadata_entries().iter().find(|other| other.id == entry.id && other.is_user == entry.is_user)
}

fn is_alike(one: &MetadataEntry, other: &MetadataEntry) -> bool {
    one.length == other.length
        && (disk_metadata::is_own(one)
            || (one.is_virtual_disk, one.is_required) == (other.is_virtual_disk, other.is_required))
}

#[cfg(test)]
mod tests;
