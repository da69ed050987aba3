//! The replay log: changes that were committed, but perhaps not yet written to their places.
//!
//! ```text
//! header, 34 bytes:                        entry, 28 bytes:
//!   0 signature            (4)               0 destination in the file     (8)
//!   4 checksum             (4)               8 length                      (4)
//!   8 entries to replay    (4)              12 place of the data, relative
//!  12 reserved             (1)                 to the start of the log     (8)
//!  13 maximum of entries   (4)              20 checksum of the entry       (4)
//!  17 change tracking     (17)              24 checksum of the data        (4)
//! ```

use nom::Parser;
use nom::bytes::complete::{tag, take};
use nom::number::complete::{le_u8, le_u32, le_u64};

use super::bytes::{Parsed, checksum_matches, read_up_to};
use super::header::Header;
use super::replayed::Replayed;
use crate::error::{Damage, Error, Limit, Result};
use crate::limits::{MAX_ALIGNMENT, MAX_REPLAYED};

const SIGNATURE: &[u8; 4] = b"\x03\x00\x11\x01";
const HEADER_SIZE: u8 = 34;
const ENTRY_SIZE: u8 = 28;

/// The header of the log: the number of entries to replay, and its maximum.
fn header(input: &[u8]) -> Parsed<'_, (u32, u32)> {
    let (input, (_, _, count, _, maximum, _)) =
        (tag(SIGNATURE.as_slice()), le_u32, le_u32, le_u8, le_u32, take(17usize)).parse(input)?;
    Ok((input, (count, maximum)))
}

struct LogEntry {
    destination: u64,
    len: u32,
    /// Relative to the start of the log.
    data: u64,
    data_checksum: u32,
}

fn entry(input: &[u8]) -> Parsed<'_, LogEntry> {
    let (input, (destination, len, data, _, data_checksum)) =
        (le_u64, le_u32, le_u64, le_u32, le_u32).parse(input)?;
    Ok((input, LogEntry { destination, len, data, data_checksum }))
}

/// The data of a valid entry.
struct Pending {
    number: u32,
    /// The offset of the entry in the file.
    entry: u64,
    destination: u64,
    data: Vec<u8>,
}

impl Pending {
    fn damaged(&self) -> Error {
        Error::corrupt(self.entry, Damage::ReplayEntry(self.number))
    }
}

/// Applies the log in memory. Returns the number of entries that were applied.
///
/// All checksums are validated before the first entry is applied. Entries past the number in the header are left over
/// from earlier commits.
pub(super) fn replay(file: &mut Replayed, of_file: &Header) -> Result<u32> {
    let start = of_file.log_offset;
    let damaged = || Error::corrupt(start, Damage::ReplayLog);
    let size = of_file.log_header_size;
    if size > MAX_ALIGNMENT {
        return Err(damaged());
    }
    let bytes = read_up_to(file, start, size.into())?;
    let (fixed, entries) = bytes.split_at_checked(HEADER_SIZE.into()).ok_or_else(damaged)?;
    let (_, (count, maximum)) = header(fixed).map_err(|_| damaged())?;
    if !checksum_matches(fixed, 4) || count > maximum {
        return Err(damaged());
    }
    let mut pending = Vec::new();
    let mut total = 0u64;
    let mut entries = entries.chunks_exact(ENTRY_SIZE.into());
    let mut at = start.checked_add(HEADER_SIZE.into()).ok_or_else(damaged)?;
    for number in 0..count {
        let bytes = entries.next().ok_or_else(damaged)?;
        pending.push(validated(file, start, (number, at), bytes, &mut total)?);
        at = at.checked_add(ENTRY_SIZE.into()).ok_or_else(damaged)?;
    }
    // A replay can make the file longer, but not by more than the data.
    let most = file.size().checked_add(total).ok_or_else(damaged)?;
    for entry in pending.iter().rev() {
        let len = u64::try_from(entry.data.len()).map_err(|_| entry.damaged())?;
        let end = entry.destination.checked_add(len).filter(|end| *end <= most);
        end.and_then(|_| file.add_older(entry.destination, &entry.data)).ok_or_else(|| entry.damaged())?;
    }
    Ok(count)
}

/// Returns the data of the entry at an offset if its checksums match, and adds their length to `total`.
fn validated(
    file: &Replayed,
    log: u64,
    (number, at): (u32, u64),
    bytes: &[u8],
    total: &mut u64,
) -> Result<Pending> {
    let damaged = || Error::corrupt(at, Damage::ReplayEntry(number));
    let (_, entry) = entry(bytes).map_err(|_| damaged())?;
    if !checksum_matches(bytes, 20) {
        return Err(damaged());
    }
    let data = log.checked_add(entry.data).ok_or_else(damaged)?;
    let len = u64::from(entry.len);
    let sum = total.checked_add(len).filter(|total| *total <= MAX_REPLAYED);
    *total = sum.ok_or_else(|| Error::too_large(Limit::ReplayLog, at))?;
    if data.checked_add(len).is_none_or(|end| end > file.size()) {
        return Err(damaged());
    }
    let data = read_up_to(file, data, len)?;
    if crc32fast::hash(&data) != entry.data_checksum {
        return Err(damaged());
    }
    Ok(Pending { number, entry: at, destination: entry.destination, data })
}
