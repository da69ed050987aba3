//! Adds the partition of an MBR entry to a table.

use super::sector::Entry;
use crate::partitions::finding::TableFinding;
use crate::partitions::partition::{Partition, Place, Table};

/// Adds the partition of an entry, which counts from the sector `base` on. Returns `None` if it is not on the disk.
pub(super) fn add<'a>(
    mbr: &'a mut Table,
    number: u32,
    entry: &Entry,
    base: u64,
    disk_len: u64,
) -> Option<&'a mut Partition> {
    let first = base.saturating_add(entry.first.into());
    let Some(place) = Place::of(first, entry.sectors.into(), mbr.table.sector_size, disk_len) else {
        mbr.findings.push(TableFinding::StartsPastEnd { number });
        return None;
    };
    let mut partition = Partition::of_mbr(number, place, entry.type_byte);
    partition.is_bootable = entry.is_active;
    partition.is_extended = entry.is_extended();
    mbr.partitions.push(partition);
    mbr.partitions.last_mut()
}
