//! Reads partition tables: GPT, MBR, Apple Partition Map and BSD disklabel.
//!
//! Each number of a table is untrusted. A partition that is not on the disk is left out, and one that ends past the
//! disk is shortened. Both are findings.
#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used
    )
)]

mod apple;
mod bsd;
mod bytes;
mod ends;
mod finding;
mod gpt;
mod mbr;
mod overlaps;
mod partition;
#[cfg(test)]
mod tests;
mod types;

pub(crate) use ends::Ends;
pub use finding::TableFinding;
pub(crate) use partition::Table;
pub use partition::{DiskId, Partition, PartitionTable, TableKind, TypeId};

use mbr::{BootSector, Entry};

/// The sector sizes of disks, in bytes.
const SECTOR_SIZES: [u32; 2] = [512, 4096];
/// The first descriptor of ISO 9660, and the name in it.
const ISO: (usize, &[u8]) = (0x8001, b"CD001");

/// Returns the sector sizes of a partition table, that of the disk first.
pub(crate) fn sector_sizes(ends: &Ends<'_>) -> [u32; 2] {
    let [small, large] = SECTOR_SIZES;
    if ends.sector_size() == large { [large, small] } else { [small, large] }
}

/// Reads the partition table of a disk. An MBR does not tell its sector size, so the caller does.
pub(crate) fn read(ends: &Ends<'_>, mbr_sector_size: u32) -> Table {
    let mut table = find(ends, mbr_sector_size);
    overlaps::mark(&mut table.partitions);
    let (used, disk) = (table.table.sector_size, ends.sector_size());
    let counts_sectors = matches!(table.table.kind, TableKind::Gpt | TableKind::Mbr);
    if counts_sectors && used != disk && !table.partitions.is_empty() {
        table.findings.push(TableFinding::OtherSectorSize { table: used, disk });
    }
    let (at, name) = ISO;
    table.may_have_content |= ends.head().get(at..).is_some_and(|descriptor| descriptor.starts_with(name));
    table
}

fn find(ends: &Ends<'_>, mbr_sector_size: u32) -> Table {
    let is_file_system = mbr::is_file_system(ends.head());
    let boot = BootSector::parse(ends.head()).filter(|boot| !is_file_system || is_mbr_anyway(ends, boot));
    let sizes = sector_sizes(ends);
    let of_mbr = |boot: &BootSector| mbr::read(ends, boot, mbr_sector_size);
    // Old backups remain at the end of many disks, so only a primary copy counts as a GPT that is ignored.
    let ignored = || gpt::has_primary(ends, sizes).then_some(TableFinding::IgnoredGpt);
    match boot {
        Some(boot) if boot.has_protective() => match gpt::find(ends, sizes) {
            Ok(gpt) => gpt.with(others_in(&boot)),
            Err(fault) => of_mbr(&boot).with(Some(TableFinding::NoGpt { why: fault.to_string() })),
        },
        Some(boot) if boot.is_empty() => match gpt::find(ends, sizes) {
            Ok(gpt) => gpt.with(Some(TableFinding::NoProtectiveMbr)),
            Err(_) => of_mbr(&boot),
        },
        Some(boot) => of_mbr(&boot).with(ignored()),
        None if is_file_system => without_table(ends).with(ignored()),
        None => match gpt::find(ends, sizes) {
            Ok(gpt) => gpt.with(Some(TableFinding::NoProtectiveMbr)),
            Err(_) => apple::find(ends).or_else(|| bsd::find(ends)).unwrap_or_else(|| without_table(ends)),
        },
    }
}

/// Whether a sector with a valid FAT header is a partition table, too: some programs write such an MBR.
fn is_mbr_anyway(ends: &Ends<'_>, boot: &BootSector) -> bool {
    let sectors = ends.len().checked_div(ends.sector_size().into()).unwrap_or(0);
    !boot.is_empty() && boot.is_plausible(sectors)
}

/// Returns the finding about the other partitions in a protective MBR.
fn others_in(boot: &BootSector) -> Option<TableFinding> {
    let partitions = boot.entries.iter().flatten().filter(|entry: &&Entry| !entry.is_protective()).count();
    (partitions > 0).then_some(TableFinding::HybridMbr { partitions })
}

fn without_table(ends: &Ends<'_>) -> Table {
    Table { may_have_content: true, ..Table::new(TableKind::None, ends.sector_size(), None) }
}
