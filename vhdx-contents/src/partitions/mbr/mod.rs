//! Reads a Master Boot Record with its primary and logical partitions.

mod add;
mod extended;
mod sector;

use super::ends::Ends;
use super::partition::{DiskId, Table, TableKind};
use add::add;
pub(super) use sector::{BootSector, Entry, is_file_system};

/// Returns the partitions of an MBR whose sectors have this size.
pub(super) fn read(ends: &Ends<'_>, boot: &BootSector, sector_size: u32) -> Table {
    let id = Some(boot.signature).filter(|signature| *signature != 0).map(DiskId::Signature);
    let mut mbr = Table::new(TableKind::Mbr, sector_size, id);
    for (number, entry) in (1..).zip(&boot.entries) {
        if let Some(entry) = entry {
            add(&mut mbr, number, entry, 0, ends.len());
        }
    }
    let extended = boot.entries.iter().flatten().filter(|entry| entry.is_extended());
    let mut next_number = 5;
    for entry in extended {
        extended::read(ends, entry, &mut next_number, &mut mbr);
    }
    mbr.may_have_content = mbr.partitions.is_empty();
    mbr
}
