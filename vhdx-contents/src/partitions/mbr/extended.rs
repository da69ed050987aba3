//! Follows the chain of extended boot records of an extended partition. Each lists one logical partition.

use std::collections::HashSet;

use super::add::add;
use super::sector::{BootSector, Entry};
use crate::partitions::ends::Ends;
use crate::partitions::finding::TableFinding;
use crate::partitions::partition::Table;

/// The most extended boot records that are read on a disk. Linux has no more minor numbers for partitions by default.
const MAX_RECORDS: usize = 128;
/// The length of a record in bytes, whatever the sector size is.
const RECORD: usize = 512;

/// Adds the logical partitions of an extended partition to `mbr`.
pub(super) fn read(ends: &Ends<'_>, extended: &Entry, next_number: &mut u32, mbr: &mut Table) {
    let base = u64::from(extended.first);
    let mut seen = HashSet::new();
    let mut next = Some(base);
    while let Some(lba) = next {
        let at = lba.saturating_mul(mbr.table.sector_size.into());
        let why = match seen.insert(lba) {
            false => Some("it continues with a record that was read before".to_owned()),
            true if seen.len() > MAX_RECORDS => Some(format!("it has more than {MAX_RECORDS} records")),
            true => None,
        };
        let record = why.map_or_else(|| record(ends, at), Err);
        let record = match record {
            Ok(record) => record,
            Err(why) => return mbr.findings.push(TableFinding::BrokenExtended { at, why }),
        };
        let mut links = record.entries.iter().flatten().filter(|entry| entry.is_extended());
        // The places of links count from the extended partition, those of logical partitions from their record.
        next = links.next().map(|link| base.saturating_add(link.first.into()));
        for entry in record.entries.iter().flatten().filter(|entry| !entry.is_extended()) {
            add_logical(ends, entry, lba, extended, *next_number, mbr);
            *next_number = next_number.saturating_add(1);
        }
    }
}

fn record(ends: &Ends<'_>, at: u64) -> Result<BootSector, String> {
    let sector = ends.read(at, RECORD).map_err(|error| error.to_string())?;
    BootSector::parse(&sector).ok_or_else(|| "there is no extended boot record".to_owned())
}

fn add_logical(ends: &Ends<'_>, entry: &Entry, record: u64, extended: &Entry, number: u32, mbr: &mut Table) {
    let first = record.saturating_add(entry.first.into());
    let end = first.saturating_add(entry.sectors.into());
    let extended_end = u64::from(extended.first).saturating_add(extended.sectors.into());
    if let Some(partition) = add(mbr, number, entry, record, ends.len())
        && (first < extended.first.into() || end > extended_end)
    {
        partition.findings.push(TableFinding::OutsideExtended);
    }
}
