//! Reads and writes log entries: changes that are written to the log before the file itself ([MS-VHDX] 2.3.1).
//!
//! An entry consists of sectors of 4 KiB. The first ones contain the header, immediately followed by the descriptors.
//! Then there is one data sector for each data descriptor, in the same order. The checksum covers all sectors.
//!
//! ```text
//!       0       1       2       3       4       5       6       7
//!   0 | signature "loge"              | checksum                      | entry header
//!   8 | entry length                  | tail                          |
//!  16 | sequence number                                               |
//!  24 | descriptor count              | reserved                      |
//!  32 | LogGuid                                                       |
//!     |                                                               |
//!  48 | flushed file offset                                           |
//!  56 | last file offset                                              |
//!
//!   0 | signature "zero"              | reserved                      | zero descriptor
//!   8 | length in bytes                                               |
//!  16 | file offset                                                   |
//!  24 | sequence number                                               |
//!
//!   0 | signature "desc"              | trailing bytes                | data descriptor
//!   8 | leading bytes                                                 |
//!  16 | file offset                                                   |
//!  24 | sequence number                                               |
//!
//!   0 | signature "data"              | sequence number, high half    | data sector
//!   8 | 4084 bytes of data                                            |
//!4092 | sequence number, low half     |
//! ```

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::number::complete::{le_u32, le_u64};
use uuid::Uuid;

use super::bytes::{self, Encoder, Parsed, array, entry_offset};
use crate::error::{Bounded, Guaranteed, Result, Times, in_memory};
use crate::units::FileOffset;

/// The size of a log sector and of the page that a data descriptor writes, in bytes.
pub const SECTOR_SIZE: usize = 4096;
/// The size of an entry header in bytes.
pub const HEADER_SIZE: usize = 64;
/// The size of a descriptor in bytes.
pub const DESCRIPTOR_SIZE: usize = 32;
/// The number of bytes of a page in its data sector: all but the first 8 and the last 4.
pub const DATA_SIZE: usize = SECTOR_SIZE - LEADING_SIZE - TRAILING_SIZE;

const LEADING_SIZE: usize = 8;
const TRAILING_SIZE: usize = 4;

/// The header of a log entry ([MS-VHDX] 2.3.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntryHeader {
    /// The size of the entry in bytes, a multiple of 4 KiB.
    pub entry_length: u32,
    /// The oldest entry that must be replayed together with this one: its offset from the start of the log in bytes.
    pub tail: u32,
    /// The sequence number: one more than that of the previous entry.
    pub sequence_number: u64,
    /// The number of descriptors.
    pub descriptor_count: u32,
    /// The LogGuid that the header had when the entry was written.
    pub log_guid: Uuid,
    /// A file size in bytes that was durable when the entry was written. A file that is shorter was truncated.
    pub flushed_file_offset: u64,
    /// A file size in bytes that covers everything that was allocated when the entry was written.
    pub last_file_offset: u64,
}

impl LogEntryHeader {
    /// Parses the fields; `None` if the signature or the length is wrong.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        header(bytes).ok().map(|(_, header)| header)
    }

    /// Returns whether the reserved bytes of an encoded header are zero, as required.
    pub fn reserved_is_zero(bytes: &[u8]) -> bool {
        bytes.get(28..32).is_some_and(bytes::is_zero)
    }

    /// Returns the [`HEADER_SIZE`] bytes. The checksum is zero: it covers the whole entry, see [`encode_entry`].
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.put(b"loge").u32(0).u32(self.entry_length).u32(self.tail).u64(self.sequence_number);
        encoder.u32(self.descriptor_count).u32(0).guid(self.log_guid);
        encoder.u64(self.flushed_file_offset).u64(self.last_file_offset);
        encoder.into_vec()
    }
}

/// A descriptor: one write of a log entry ([MS-VHDX] 2.3.1.2 and 2.3.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Descriptor {
    /// A range of zeros.
    Zero {
        /// The offset in the file.
        file_offset: FileOffset,
        /// The number of bytes, a multiple of 4 KiB.
        length: u64,
        /// The sequence number of the entry.
        sequence_number: u64,
    },
    /// A page of 4 KiB, most of which is in the data sector.
    Data {
        /// The offset in the file.
        file_offset: FileOffset,
        /// The first bytes of the page.
        leading: [u8; 8],
        /// The last bytes of the page.
        trailing: [u8; 4],
        /// The sequence number of the entry.
        sequence_number: u64,
    },
}

impl Descriptor {
    /// Parses the fields; `None` if the signature or the length is wrong.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        alt((zero_descriptor, data_descriptor)).parse(bytes).ok().map(|(_, descriptor)| descriptor)
    }

    /// Returns whether the reserved bytes of an encoded descriptor are zero, as required. A data descriptor has none.
    pub fn reserved_is_zero(bytes: &[u8]) -> bool {
        !bytes.starts_with(b"zero") || bytes.get(4..8).is_some_and(bytes::is_zero)
    }

    /// Returns the [`DESCRIPTOR_SIZE`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        match self {
            Descriptor::Zero { file_offset, length, sequence_number } => {
                encoder.put(b"zero").u32(0).u64(*length).u64(file_offset.get()).u64(*sequence_number)
            }
            Descriptor::Data { file_offset, leading, trailing, sequence_number } => {
                encoder.put(b"desc").put(trailing).put(leading).u64(file_offset.get()).u64(*sequence_number)
            }
        };
        encoder.into_vec()
    }

    /// Returns the offset in the file to which it writes.
    pub fn file_offset(&self) -> FileOffset {
        match self {
            Descriptor::Zero { file_offset, .. } | Descriptor::Data { file_offset, .. } => *file_offset,
        }
    }

    /// Returns the sequence number, which must be that of the entry.
    pub fn sequence_number(&self) -> u64 {
        match self {
            Descriptor::Zero { sequence_number, .. } | Descriptor::Data { sequence_number, .. } => {
                *sequence_number
            }
        }
    }

    /// Returns the page that a data descriptor and its sector write; `None` for a zero descriptor, which has no sector.
    pub fn apply(&self, sector: &DataSector) -> Option<[u8; SECTOR_SIZE]> {
        let Descriptor::Data { leading, trailing, .. } = self else { return None };
        [leading.as_slice(), &sector.data, trailing].concat().try_into().ok()
    }
}

/// A data sector: the middle of a page that a log entry writes ([MS-VHDX] 2.3.1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSector {
    /// The sequence number of the entry.
    pub sequence_number: u64,
    /// The page without its first 8 and its last 4 bytes.
    pub data: [u8; DATA_SIZE],
}

impl DataSector {
    /// Parses the fields; `None` if the signature or the length is wrong.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        data_sector(bytes).ok().map(|(_, sector)| sector)
    }

    /// Returns the [`SECTOR_SIZE`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        let [a, b, c, d, e, f, g, h] = self.sequence_number.to_le_bytes();
        let mut encoder = Encoder::new();
        encoder.put(b"data").put(&[e, f, g, h]).put(&self.data).put(&[a, b, c, d]);
        encoder.into_vec()
    }
}

/// Returns the number of sectors that the header and `descriptor_count` descriptors take.
///
/// The first sector has room for 126 descriptors, each other one for 128.
pub fn descriptor_sectors(descriptor_count: u32) -> u64 {
    descriptor_place(descriptor_count).div_ceil(4096)
}

/// Returns the offset of a descriptor from the start of its entry in bytes. No descriptor crosses a sector boundary.
pub fn descriptor_place(number: u32) -> u64 {
    entry_offset(64, 32, number)
}

/// A write for a log entry to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogWrite {
    /// A page of 4 KiB.
    Data {
        /// The offset in the file, a multiple of 4 KiB.
        offset: FileOffset,
        /// The new content.
        page: Box<[u8; SECTOR_SIZE]>,
    },
    /// A range of zeros.
    Zero {
        /// The offset in the file, a multiple of 4 KiB.
        offset: FileOffset,
        /// The number of bytes, a multiple of 4 KiB.
        len: u64,
    },
}

/// Returns a whole log entry that makes these writes, with its checksum.
///
/// The entry length and the descriptor count of `header` are ignored and computed from the writes.
///
/// # Errors
/// [`Error::Internal`](crate::Error::Internal) if the entry would be longer than 4 GiB. No log is that long.
pub fn encode_entry(header: &LogEntryHeader, writes: &[LogWrite]) -> Result<Vec<u8>> {
    const FITS: &str = "a log entry is shorter than 4 GiB";
    let sequence_number = header.sequence_number;
    let descriptor_count = u32::try_from(writes.len()).guaranteed(FITS)?;
    let mut descriptors = Encoder::new();
    let mut sectors = Encoder::new();
    for write in writes {
        let descriptor = match write {
            LogWrite::Zero { offset, len } => {
                Descriptor::Zero { file_offset: *offset, length: *len, sequence_number }
            }
            LogWrite::Data { offset, page } => {
                let (descriptor, sector) = split_page(*offset, page, sequence_number);
                sectors.put(&sector.encode());
                descriptor
            }
        };
        descriptors.put(&descriptor.encode());
    }
    let sectors = sectors.into_vec();
    let first_part = in_memory(descriptor_sectors(descriptor_count))?.times(SECTOR_SIZE)?;
    let entry_length = u32::try_from(first_part.plus(sectors.len())?).guaranteed(FITS)?;

    let mut entry = Encoder::new();
    entry.put(&LogEntryHeader { entry_length, descriptor_count, ..header.clone() }.encode());
    entry.put(&descriptors.into_vec()).pad_to(first_part).put(&sectors);
    let mut bytes = entry.into_vec();
    bytes::seal(&mut bytes);
    Ok(bytes)
}

fn split_page(
    file_offset: FileOffset,
    page: &[u8; SECTOR_SIZE],
    sequence_number: u64,
) -> (Descriptor, DataSector) {
    let mut leading = [0; LEADING_SIZE];
    let mut data = [0; DATA_SIZE];
    let mut trailing = [0; TRAILING_SIZE];
    let parts = leading.iter_mut().chain(&mut data).chain(&mut trailing);
    parts.zip(page).for_each(|(part, byte)| *part = *byte);
    let descriptor = Descriptor::Data { file_offset, leading, trailing, sequence_number };
    (descriptor, DataSector { sequence_number, data })
}

fn header(input: &[u8]) -> Parsed<'_, LogEntryHeader> {
    let (input, (_, _, entry_length, tail, sequence_number)) =
        (tag(b"loge".as_slice()), le_u32, le_u32, le_u32, le_u64).parse(input)?;
    let (input, (descriptor_count, _, log_guid, flushed_file_offset, last_file_offset)) =
        (le_u32, le_u32, bytes::guid, le_u64, le_u64).parse(input)?;
    let header = LogEntryHeader {
        entry_length,
        tail,
        sequence_number,
        descriptor_count,
        log_guid,
        flushed_file_offset,
        last_file_offset,
    };
    Ok((input, header))
}

fn zero_descriptor(input: &[u8]) -> Parsed<'_, Descriptor> {
    let (input, (_, _, length, file_offset, sequence_number)) =
        (tag(b"zero".as_slice()), le_u32, le_u64, le_u64, le_u64).parse(input)?;
    let file_offset = FileOffset::new(file_offset);
    Ok((input, Descriptor::Zero { file_offset, length, sequence_number }))
}

fn data_descriptor(input: &[u8]) -> Parsed<'_, Descriptor> {
    let (input, (_, trailing, leading, file_offset, sequence_number)) =
        (tag(b"desc".as_slice()), array, array, le_u64, le_u64).parse(input)?;
    let file_offset = FileOffset::new(file_offset);
    Ok((input, Descriptor::Data { file_offset, leading, trailing, sequence_number }))
}

fn data_sector(input: &[u8]) -> Parsed<'_, DataSector> {
    let (input, (_, high, data, low)) = (tag(b"data".as_slice()), le_u32, array, le_u32).parse(input)?;
    let sequence_number = u64::from(high) << 32 | u64::from(low);
    Ok((input, DataSector { sequence_number, data }))
}

#[cfg(test)]
mod tests;
