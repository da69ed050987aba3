//! Reads partition tables: GPT, MBR, Apple Partition Map and BSD disklabel.
//!
//! Each number of a table is untrusted. A partition that is not on the disk is left out, and one that ends past the disk
//! is shortened. Both are findings.
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
pub use partition::{DiskId, Partition, PartitionTable, TableKind, TypeId};

use mbr::{BootSector, Entry};

/// The sector sizes of disks, in bytes.
const SECTOR_SIZES: [u32; 2] = [512, 4096];
/// The first descriptor of ISO 9660, and the name in it.
const ISO: (usize, &[u8]) = (0x8001, b"CD001");

/// A partition table with its partitions.
pub(crate) struct Table {
    pub(crate) table: PartitionTable,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) findings: Vec<TableFinding>,
    /// Whether the whole disk may have content, too: an empty table may be the rest of an older use of the disk, and an
    /// image of a CD can have a partition table.
    pub(crate) may_have_content: bool,
}

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
    let of_mbr_with = |boot: &BootSector, finding| of_mbr(mbr::read(ends, boot, mbr_sector_size), finding);
    // Old backups remain at the end of many disks, so only a primary copy counts as a GPT that is ignored.
    let ignored = || gpt::has_primary(ends, sizes).then_some(TableFinding::IgnoredGpt);
    match boot {
        Some(boot) if boot.has_protective() => match gpt::find(ends, sizes) {
            Ok(gpt) => of_gpt(gpt, others_in(&boot)),
            Err(fault) => of_mbr_with(&boot, Some(TableFinding::NoGpt { why: fault.to_string() })),
        },
        Some(boot) if boot.is_empty() => match gpt::find(ends, sizes) {
            Ok(gpt) => of_gpt(gpt, Some(TableFinding::NoProtectiveMbr)),
            Err(_) => of_mbr_with(&boot, None),
        },
        Some(boot) => of_mbr_with(&boot, ignored()),
        None if is_file_system => Table { findings: ignored().into_iter().collect(), ..without_table(ends) },
        None => match gpt::find(ends, sizes) {
            Ok(gpt) => of_gpt(gpt, Some(TableFinding::NoProtectiveMbr)),
            Err(_) => other(ends).unwrap_or_else(|| without_table(ends)),
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

fn of_gpt(gpt: gpt::Gpt, finding: Option<TableFinding>) -> Table {
    let gpt::Gpt { table, partitions, mut findings } = gpt;
    findings.extend(finding);
    Table { table, partitions, findings, may_have_content: false }
}

fn of_mbr(mbr: mbr::Mbr, finding: Option<TableFinding>) -> Table {
    let mbr::Mbr { table, partitions, mut findings } = mbr;
    findings.extend(finding);
    Table { may_have_content: partitions.is_empty(), table, partitions, findings }
}

fn other(ends: &Ends<'_>) -> Option<Table> {
    if let Some(apple::Map { table, partitions, findings }) = apple::find(ends) {
        return Some(Table { table, partitions, findings, may_have_content: false });
    }
    let (table, partitions) = bsd::find(ends)?;
    Some(Table { table, partitions, findings: Vec::new(), may_have_content: false })
}

fn without_table(ends: &Ends<'_>) -> Table {
    Table {
        table: PartitionTable { kind: TableKind::None, sector_size: ends.sector_size(), id: None },
        partitions: Vec::new(),
        findings: Vec::new(),
        may_have_content: true,
    }
}
