//! Parses and validates the header of a GPT (UEFI specification, section 5.3.2).

use vhdx::Guid;

use super::fault::Fault;
use crate::partitions::bytes::{array, guid, le32, le64};

const SIGNATURE: &[u8; 8] = b"EFI PART";
/// The length of the fields. A header may be longer; the rest is reserved.
const LEN: u32 = 92;
/// The position of the header's own checksum.
const CHECKSUM: std::ops::Range<usize> = 16..20;
/// The most entries that are read. Windows and Linux make 128.
const MAX_ENTRIES: u32 = 1024;
/// The longest entry that is accepted. All programs make entries of 128 bytes.
const MAX_ENTRY_LEN: u32 = 4096;

/// A valid header.
pub(super) struct Header {
    /// The sector of the other copy.
    pub(super) alternate: u64,
    /// The sectors that partitions may use.
    pub(super) usable: (u64, u64),
    pub(super) disk_guid: Guid,
    /// The first sector of the entries.
    pub(super) entries_lba: u64,
    /// The number of entries as stored.
    pub(super) entry_count: u32,
    /// The length of an entry in bytes: from 128 to 4096.
    pub(super) entry_len: u32,
    pub(super) entries_checksum: u32,
}

impl Header {
    /// Parses the header in a sector, whose number is `lba`.
    pub(super) fn parse(sector: &[u8], lba: u64) -> Result<Self, Fault> {
        if !sector.starts_with(SIGNATURE) {
            return Err(Fault::Absent);
        }
        let short = Fault::Field("header size");
        let (len, stored) = le32(sector, 12).zip(le32(sector, 16)).ok_or(short.clone())?;
        let covered = usize::try_from(len).ok().filter(|_| len >= LEN).and_then(|len| sector.get(..len));
        let mut covered = covered.ok_or(short.clone())?.to_vec();
        covered.get_mut(CHECKSUM).ok_or(short.clone())?.fill(0);
        if crc32fast::hash(&covered) != stored {
            return Err(Fault::HeaderChecksum);
        }
        Self::fields(&covered, lba).ok_or(short)?
    }

    fn fields(bytes: &[u8], lba: u64) -> Option<Result<Self, Fault>> {
        let header = Self {
            alternate: le64(bytes, 32)?,
            usable: (le64(bytes, 40)?, le64(bytes, 48)?),
            disk_guid: guid(bytes, 56)?,
            entries_lba: le64(bytes, 72)?,
            entry_count: le32(bytes, 80)?,
            entry_len: le32(bytes, 84)?,
            entries_checksum: le32(bytes, 88)?,
        };
        let is_legal =
            header.entry_len.is_power_of_two() && (128..=MAX_ENTRY_LEN).contains(&header.entry_len);
        let fault = match () {
            () if array::<4>(bytes, 8)? != [0, 0, 1, 0] => Fault::Field("revision"),
            () if le64(bytes, 24)? != lba => Fault::Field("position of the header"),
            () if !is_legal => Fault::Field("size of an entry"),
            () => return Some(Ok(header)),
        };
        Some(Err(fault))
    }

    /// Returns the number of entries to read.
    pub(super) fn read_entries(&self) -> u32 {
        self.entry_count.min(MAX_ENTRIES)
    }
}
