//! Reads a GUID Partition Table: the primary copy, the backup, and the differences between them.

mod copy;
mod entries;
mod fault;
mod header;

use super::ends::Ends;
use super::finding::TableFinding;
use super::partition::{DiskId, Table, TableKind};
use copy::Copy;
use fault::Fault;

/// Finds the GPT of a disk. The sectors can have each of these sizes; the first one is tried first.
///
/// # Errors
/// Why there is no usable GPT.
pub(super) fn find(ends: &Ends<'_>, sector_sizes: [u32; 2]) -> Result<Table, Fault> {
    for size in sector_sizes {
        if let Ok(primary) = Copy::read(ends, size, copy::PRIMARY) {
            return Ok(from_primary(ends, size, primary));
        }
    }
    for size in sector_sizes {
        if let Ok(backup) = Copy::read(ends, size, copy::last_sector(ends, size)) {
            let fault = Copy::read(ends, size, copy::PRIMARY).err().unwrap_or(Fault::Absent);
            return Ok(from_backup(ends, size, backup, fault));
        }
    }
    // The fault of a header that is there says more than the absence of another one.
    let faults = sector_sizes.map(|size| Copy::read(ends, size, copy::PRIMARY).err());
    Err(faults.into_iter().flatten().find(|fault| *fault != Fault::Absent).unwrap_or(Fault::Absent))
}

/// Whether a disk has a valid primary header, with sectors of one of these sizes.
pub(super) fn has_primary(ends: &Ends<'_>, sector_sizes: [u32; 2]) -> bool {
    sector_sizes.into_iter().any(|size| Copy::read(ends, size, copy::PRIMARY).is_ok())
}

fn from_primary(ends: &Ends<'_>, size: u32, primary: Copy) -> Table {
    let last = copy::last_sector(ends, size);
    let mut findings = Vec::new();
    let named = match primary.header.alternate {
        copy::PRIMARY => Err(Fault::Field("position of the backup")),
        alternate => Copy::read(ends, size, alternate),
    };
    let backup = match named {
        Ok(backup) => {
            if backup.lba != last {
                let [at, last] = [backup.lba, last].map(|lba| lba.saturating_mul(size.into()));
                findings.push(TableFinding::BackupElsewhere { at, last });
            }
            Ok(backup)
        }
        Err(fault) => Copy::read(ends, size, last)
            .inspect(|_| findings.push(TableFinding::CopiesDiffer { field: "position of the backup" }))
            .map_err(|_| fault),
    };
    match backup {
        Ok(backup) if primary.entries_fault.is_some() && backup.entries_fault.is_none() => {
            let fault = primary.entries_fault.unwrap_or(Fault::Absent);
            findings.push(TableFinding::PrimaryDamaged { why: fault.to_string() });
            gpt(ends, size, &backup, findings)
        }
        Ok(backup) => {
            if let Some(fault) = &backup.entries_fault {
                findings.push(TableFinding::BackupDamaged { why: fault.to_string() });
            } else {
                let differ = |field| TableFinding::CopiesDiffer { field };
                findings.extend(primary.differences(&backup).into_iter().map(differ));
            }
            gpt(ends, size, &primary, findings)
        }
        Err(fault) => {
            findings.push(TableFinding::BackupDamaged { why: fault.to_string() });
            gpt(ends, size, &primary, findings)
        }
    }
}

fn from_backup(ends: &Ends<'_>, size: u32, backup: Copy, primary: Fault) -> Table {
    gpt(ends, size, &backup, vec![TableFinding::PrimaryDamaged { why: primary.to_string() }])
}

fn gpt(ends: &Ends<'_>, size: u32, copy: &Copy, findings: Vec<TableFinding>) -> Table {
    let id = Some(copy.header.disk_guid).filter(|guid| !guid.is_nil()).map(DiskId::Guid);
    let mut table = Table { findings, ..Table::new(TableKind::Gpt, size, id) };
    let damaged = |fault: &Fault| TableFinding::DamagedEntries { why: fault.to_string() };
    table.findings.extend(copy.entries_fault.as_ref().map(damaged));
    table.findings.extend(copy.unread_entries());
    table.partitions = entries::partitions(copy, size, ends.len(), &mut table.findings);
    table
}
