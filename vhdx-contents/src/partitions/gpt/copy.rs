//! Reads one copy of a GPT: a header and its entries.

use super::fault::Fault;
use super::header::Header;
use crate::partitions::ends::Ends;
use crate::partitions::finding::TableFinding;

/// The sector of the primary header.
pub(super) const PRIMARY: u64 = 1;

/// A copy of a GPT with a valid header.
pub(super) struct Copy {
    /// The sector of the header.
    pub(super) lba: u64,
    pub(super) header: Header,
    /// The entries that could be read, one after the other.
    pub(super) entries: Vec<u8>,
    /// What is wrong with the entries.
    pub(super) entries_fault: Option<Fault>,
}

impl Copy {
    /// Reads the copy whose header is in sector `lba`.
    pub(super) fn read(ends: &Ends<'_>, sector_size: u32, lba: u64) -> Result<Self, Fault> {
        let unreadable = |error: crate::Error| Fault::Unreadable(error.to_string());
        let position = |lba: u64| lba.checked_mul(sector_size.into());
        let at = position(lba).filter(|at| *at < ends.len()).ok_or(Fault::Absent)?;
        let sector_len = usize::try_from(sector_size).map_err(|_| Fault::Absent)?;
        let header = Header::parse(&ends.read(at, sector_len).map_err(unreadable)?, lba)?;
        // Both factors are bounded, so the product is at most 4 MiB.
        let entries_len = u64::from(header.read_entries()).saturating_mul(header.entry_len.into());
        let place = position(header.entries_lba).zip(usize::try_from(entries_len).ok());
        let entries = match place {
            Some((at, len)) => ends.read(at, len).map_err(unreadable),
            None => Err(Fault::Field("position of the entries")),
        };
        let (entries, entries_fault) = match entries {
            Ok(entries) if header.read_entries() < header.entry_count => (entries, None),
            Ok(entries) if crc32fast::hash(&entries) == header.entries_checksum => (entries, None),
            Ok(entries) => (entries, Some(Fault::EntriesChecksum)),
            Err(fault) => (Vec::new(), Some(fault)),
        };
        Ok(Self { lba, header, entries, entries_fault })
    }

    /// Returns the fields in which a backup differs.
    pub(super) fn differences(&self, backup: &Self) -> Vec<&'static str> {
        let (one, other) = (&self.header, &backup.header);
        let fields = [
            ("disk GUID", one.disk_guid != other.disk_guid),
            ("usable range", one.usable != other.usable),
            ("number or size of the entries", {
                (one.entry_count, one.entry_len) != (other.entry_count, other.entry_len)
            }),
            ("entries", self.entries != backup.entries),
        ];
        fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
    }

    /// Returns the finding about entries that are not read.
    pub(super) fn unread_entries(&self) -> Option<TableFinding> {
        let (entries, read) = (self.header.entry_count, self.header.read_entries());
        (read < entries).then_some(TableFinding::TooManyEntries { entries, read })
    }
}

/// Returns the number of the last sector of the disk, where the backup header belongs.
pub(super) fn last_sector(ends: &Ends<'_>, sector_size: u32) -> u64 {
    ends.len().checked_div(sector_size.into()).map_or(0, |sectors| sectors.saturating_sub(1))
}
