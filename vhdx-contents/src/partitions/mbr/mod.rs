//! Reads a Master Boot Record with its primary and logical partitions.

mod extended;
mod sector;

use super::ends::Ends;
use super::finding::TableFinding;
use super::partition::{DiskId, Partition, PartitionTable, Place, TableKind};
pub(super) use sector::{BootSector, Entry, is_file_system};

/// The partitions of an MBR, and what is wrong with it.
pub(super) struct Mbr {
    pub(super) table: PartitionTable,
    pub(super) partitions: Vec<Partition>,
    pub(super) findings: Vec<TableFinding>,
}

/// Returns the partitions of an MBR whose sectors have this size.
pub(super) fn read(ends: &Ends<'_>, boot: &BootSector, sector_size: u32) -> Mbr {
    let id = Some(boot.signature).filter(|signature| *signature != 0).map(DiskId::Signature);
    let table = PartitionTable { kind: TableKind::Mbr, sector_size, id };
    let mut mbr = Mbr { table, partitions: Vec::new(), findings: Vec::new() };
    for (number, entry) in (1..).zip(&boot.entries) {
        if let Some(entry) = entry {
            mbr.add(number, entry, 0, ends.len());
        }
    }
    let extended = boot.entries.iter().flatten().filter(|entry| entry.is_extended());
    let mut next_number = 5;
    for entry in extended {
        extended::read(ends, entry, &mut next_number, &mut mbr);
    }
    mbr
}

impl Mbr {
    /// Adds the partition of an entry, which counts from the sector `base` on. Returns `None` if it is not on the disk.
    fn add(&mut self, number: u32, entry: &Entry, base: u64, disk_len: u64) -> Option<&mut Partition> {
        let first = base.saturating_add(entry.first.into());
        let Some(place) = Place::of(first, entry.sectors.into(), self.table.sector_size, disk_len) else {
            self.findings.push(TableFinding::StartsPastEnd { number });
            return None;
        };
        let mut partition = Partition::of_mbr(number, place, entry.type_byte);
        partition.is_bootable = entry.is_active;
        partition.is_extended = entry.is_extended();
        self.partitions.push(partition);
        self.partitions.last_mut()
    }
}
