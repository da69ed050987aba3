//! Reads and validates one log entry as a whole.

use uuid::Uuid;

use super::ring::{Ring, SECTOR, Sector};
use crate::error::{Bounded, Result, Times};
use crate::format::bytes::{stored_checksum, unsealed_checksum};
use crate::format::log_entry::{
    DESCRIPTOR_SIZE, DataSector, Descriptor, HEADER_SIZE, LogEntryHeader, descriptor_place,
    descriptor_sectors,
};
use crate::rules::Rule;
use crate::units::{FileOffset, at_most};
use crate::violation::{Structure, Violation};

/// A valid entry: its checksum matches, and all its descriptors and data sectors have its sequence number.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The position in the ring where the entry begins.
    pub(super) at: u64,
    pub(super) header: LogEntryHeader,
    pub(super) reserved_is_zero: bool,
}

impl Entry {
    /// Reads the entry that begins at `at`. Returns a violation if no valid entry begins there.
    ///
    /// All other sectors of an entry must have different signatures from the first one, and validation stops at the
    /// first invalid sector. So no sector inside a valid entry can begin another entry. Even in a hostile log, trying
    /// every position reads each sector only about twice.
    pub(super) fn read(ring: &Ring<'_>, at: u64, log_guid: Uuid) -> Result<Result<Self, Violation>> {
        let place = ring.file_offset(at);
        let violation = |rule| Violation::new(Structure::LogEntry, place, rule);
        let first = ring.sector(at)?;
        let Some(header) = LogEntryHeader::parse(first.as_slice()) else {
            return Ok(Err(violation(Rule::LogEntrySignature)));
        };
        if let Err(rule) = validate_header(&header, ring, log_guid) {
            return Ok(Err(violation(rule)));
        }
        let reserved_is_zero = LogEntryHeader::reserved_is_zero(first.as_slice());
        let stored = stored_checksum(first.as_slice());
        let mut checksum = unsealed_checksum(first.as_slice());
        let mut sectors = Sectors::new(&header);
        let mut sector = first;
        loop {
            if let Err(rule) = sectors.validate(&sector) {
                return Ok(Err(violation(rule)));
            }
            if sectors.is_complete() {
                break;
            }
            sector = ring.sector(ring.advance(at, sectors.position()?)?)?;
            checksum = checksum.map(|before| crc32c::crc32c_append(before, sector.as_slice()));
        }
        if checksum.is_none() || checksum != stored {
            return Ok(Err(violation(Rule::LogEntryChecksum)));
        }
        Ok(Ok(Self { at, header, reserved_is_zero }))
    }

    /// Calls `visit` with every descriptor of the entry, in order.
    pub(super) fn for_each_descriptor(
        &self,
        ring: &Ring<'_>,
        mut visit: impl FnMut(Described<'_>) -> Result<()>,
    ) -> Result<()> {
        let descriptor_sectors = descriptor_sectors(self.header.descriptor_count);
        let mut data_at = ring.advance(self.at, descriptor_sectors.times(SECTOR)?)?;
        let mut number = 0_u32;
        for sector_number in 0..descriptor_sectors {
            let sector = ring.sector(ring.advance(self.at, sector_number.times(SECTOR)?)?)?;
            for bytes in descriptors(&sector, sector_number, self.header.descriptor_count) {
                let at = ring.file_offset(ring.advance(self.at, descriptor_place(number))?);
                // The entry was valid. So the file has changed since, or the device returns other bytes each time.
                let descriptor = Descriptor::parse(bytes).ok_or_else(|| {
                    Violation::new(Structure::LogDescriptor(number), at, Rule::LogDescriptor)
                })?;
                let data_sector = ring.file_offset(data_at);
                if matches!(descriptor, Descriptor::Data { .. }) {
                    data_at = ring.advance(data_at, SECTOR)?;
                }
                visit(Described { number, at, bytes, descriptor, data_sector })?;
                number = number.plus(1)?;
            }
        }
        Ok(())
    }
}

/// A descriptor and its place.
pub(super) struct Described<'a> {
    pub(super) number: u32,
    pub(super) at: FileOffset,
    pub(super) bytes: &'a [u8],
    pub(super) descriptor: Descriptor,
    /// The offset in the file of the data sector, for a data descriptor.
    pub(super) data_sector: FileOffset,
}

fn validate_header(header: &LogEntryHeader, ring: &Ring<'_>, log_guid: Uuid) -> Result<(), Rule> {
    let whole_sectors = |n: u32| u64::from(n).is_multiple_of(SECTOR);
    if header.log_guid != log_guid {
        return Err(Rule::LogEntryGuid);
    }
    let length = u64::from(header.entry_length);
    if length == 0 || !whole_sectors(header.entry_length) || length > ring.len() {
        return Err(Rule::LogEntryLength);
    }
    if !whole_sectors(header.tail) || u64::from(header.tail) >= ring.len() {
        return Err(Rule::LogEntryTail);
    }
    if header.sequence_number == 0 {
        return Err(Rule::LogEntrySequence);
    }
    Ok(())
}

/// Returns the bytes of the descriptors in sector `number` of an entry.
fn descriptors(sector: &Sector, number: u64, count: u32) -> impl Iterator<Item = &[u8]> {
    // The header takes the space of two descriptors.
    const IN_HEADER: usize = HEADER_SIZE / DESCRIPTOR_SIZE;
    const IN_SECTOR: u64 = 128;
    let all = descriptor_place(count) / (SECTOR / IN_SECTOR);
    let before = number.checked_mul(IN_SECTOR);
    // Nothing is left in a sector after the last descriptor.
    let left =
        before.and_then(|before| all.checked_sub(before)).map_or(0, |left| at_most(left, sector.len()));
    let skipped = if number == 0 { IN_HEADER } else { 0 };
    sector.chunks_exact(DESCRIPTOR_SIZE).take(left).skip(skipped)
}

/// Validates the sectors of an entry one after the other.
struct Sectors {
    sequence_number: u64,
    entry_sectors: u64,
    descriptor_count: u32,
    descriptor_sectors: u64,
    data_sectors: u64,
    done: u64,
}

impl Sectors {
    fn new(header: &LogEntryHeader) -> Self {
        Self {
            sequence_number: header.sequence_number,
            entry_sectors: u64::from(header.entry_length) / SECTOR,
            descriptor_count: header.descriptor_count,
            descriptor_sectors: descriptor_sectors(header.descriptor_count),
            data_sectors: 0,
            done: 0,
        }
    }

    fn is_complete(&self) -> bool {
        self.done == self.entry_sectors
    }

    /// Returns the offset of the next sector from the start of the entry in bytes.
    fn position(&self) -> Result<u64> {
        self.done.times(SECTOR)
    }

    fn validate(&mut self, sector: &Sector) -> Result<(), Rule> {
        if self.done < self.descriptor_sectors {
            for descriptor in descriptors(sector, self.done, self.descriptor_count) {
                self.validate_descriptor(&Descriptor::parse(descriptor).ok_or(Rule::LogDescriptor)?)?;
            }
        } else {
            let data = DataSector::parse(sector.as_slice()).ok_or(Rule::LogDataSector)?;
            if data.sequence_number != self.sequence_number {
                return Err(Rule::LogDataSector);
            }
        }
        self.done = self.done.checked_add(1).ok_or(Rule::LogEntryLength)?;
        let all = self.descriptor_sectors.checked_add(self.data_sectors).ok_or(Rule::LogEntryLength)?;
        let all_known = self.done >= self.descriptor_sectors;
        if self.descriptor_sectors > self.entry_sectors || all_known && all != self.entry_sectors {
            return Err(Rule::LogEntryLength);
        }
        Ok(())
    }

    fn validate_descriptor(&mut self, descriptor: &Descriptor) -> Result<(), Rule> {
        let (offset, length, sequence_number) = match descriptor {
            Descriptor::Zero { file_offset, length, sequence_number } => {
                (file_offset, *length, *sequence_number)
            }
            Descriptor::Data { file_offset, sequence_number, .. } => {
                self.data_sectors = self.data_sectors.checked_add(1).ok_or(Rule::LogEntryLength)?;
                (file_offset, SECTOR, *sequence_number)
            }
        };
        if sequence_number != self.sequence_number {
            return Err(Rule::LogDescriptor);
        }
        if !offset.get().is_multiple_of(SECTOR) || !length.is_multiple_of(SECTOR) {
            return Err(Rule::LogDescriptorOffset);
        }
        Ok(())
    }
}
