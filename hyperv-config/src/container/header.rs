//! The two headers, which locate the replay log.
//!
//! ```text
//!       0       1       2       3       4       5       6       7
//!   0 | signature                     | checksum                      |
//!   8 | sequence      | version                       | data version ..
//!  16 .. data version | flags                         | alignment    ..
//!  24 .. alignment    | offset of the replay log                     ..
//!  32 .. (offset)     | size of the replay log                       ..
//!  40 .. (size)       | header size of the log        |
//! ```

use std::cmp::Ordering;

use nom::Parser;
use nom::bytes::complete::tag;
use nom::number::complete::{le_u16, le_u32, le_u64};

use super::bytes::{Parsed, checksum_matches, read_up_to};
use super::replayed::Replayed;
use crate::error::{Damage, Error, Result};
use crate::limits::MAX_ALIGNMENT;
use crate::warning::{Problem, Warnings};

/// The first bytes of a header.
pub(crate) const SIGNATURE: &[u8; 4] = b"\x14\x20\x28\x01";
/// The offsets of the two headers.
pub(crate) const OFFSETS: [u64; 2] = [0, 4096];

const SIZE: u64 = 46;
/// The version that this crate reads: 4.0. Files of other versions were not available.
const VERSION: u32 = 0x400;

/// The fields of a header, without its sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    version: u32,
    data_version: u32,
    flags: u32,
    alignment: u32,
    /// The offset of the replay log in the file.
    pub(super) log_offset: u64,
    /// The size of the header of the replay log in bytes. The size of the whole log is not used: it may reach past the
    /// end of the file.
    pub(super) log_header_size: u32,
}

fn fields(input: &[u8]) -> Parsed<'_, (u16, Header)> {
    let (input, (_, _, sequence)) = (tag(SIGNATURE.as_slice()), le_u32, le_u16).parse(input)?;
    let (input, (version, data_version, flags, alignment)) = (le_u32, le_u32, le_u32, le_u32).parse(input)?;
    let (input, (log_offset, _, log_header_size)) = (le_u64, le_u64, le_u32).parse(input)?;
    Ok((input, (sequence, Header { version, data_version, flags, alignment, log_offset, log_header_size })))
}

fn read_copy(file: &Replayed, offset: u64) -> Result<Option<(u16, Header)>> {
    let bytes = read_up_to(file, offset, SIZE)?;
    Ok(fields(&bytes).ok().filter(|_| checksum_matches(&bytes, 4)).map(|(_, header)| header))
}

/// Compares the sequence numbers of two copies of a structure: the greater one is newer.
///
/// Returns `None` if they do not tell. The rule for a sequence that has wrapped around is unknown.
pub(super) fn compare_sequences(a: u16, b: u16) -> Option<Ordering> {
    // Exact: the two arguments are numbers from a file, and either one can be larger.
    (!matches!(a.abs_diff(b), 0 | u16::MAX)).then(|| a.cmp(&b))
}

/// Returns the current header: of the sound ones, the one with the higher sequence number.
pub(super) fn current(file: &Replayed, warnings: &mut Warnings) -> Result<Header> {
    let [first, second] = OFFSETS;
    let (offset, header) = match (read_copy(file, first)?, read_copy(file, second)?) {
        (None, None) => return Err(Error::corrupt(first, Damage::Headers)),
        (Some((_, header)), None) => {
            warnings.add(second, Problem::Header);
            (first, header)
        }
        (None, Some((_, header))) => {
            warnings.add(first, Problem::Header);
            (second, header)
        }
        (Some((_, header)), Some((_, other))) if header == other => (first, header),
        (Some((a, header)), Some((b, other))) => match compare_sequences(a, b) {
            Some(Ordering::Greater) => (first, header),
            Some(_) => (second, other),
            None => return Err(Error::corrupt(first, Damage::AmbiguousHeaders)),
        },
    };
    if header.version != VERSION {
        return Err(Error::Version(header.version));
    }
    if header.alignment == 0 || header.alignment > MAX_ALIGNMENT {
        return Err(Error::corrupt(offset, Damage::Alignment(header.alignment)));
    }
    if header.data_version != 0 || header.flags != 0 {
        warnings.add(offset, Problem::HeaderField);
    }
    Ok(header)
}
