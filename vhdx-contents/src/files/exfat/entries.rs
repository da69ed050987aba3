//! Sets of entries in folders of exFAT: a file, its content, and its name.

use std::time::SystemTime;

use crate::error::Result;
use crate::files::fields::Fields;
use crate::files::times;

pub(super) const LEN: usize = 32;

pub(super) const END: u8 = 0;
pub(super) const UPPER_CASE: u8 = 0x82;
pub(super) const FILE: u8 = 0x85;
const STREAM: u8 = 0xc0;
const NAME: u8 = 0xc1;
const FOLDER: u16 = 0x10;

/// A place of clusters, as entries store it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) first: u32,
    pub(super) size: u64,
    /// The clusters follow each other, and the table does not link them.
    pub(super) is_successive: bool,
}

/// A file, from its set of entries.
pub(super) struct File {
    pub(super) name: Vec<u16>,
    pub(super) is_folder: bool,
    pub(super) modified: Option<SystemTime>,
    pub(super) place: Place,
    /// Bytes from here on read as zeros.
    pub(super) initialized: u64,
}

/// Returns the number of entries of a set, from its first one: at most 256.
pub(super) fn len_of_set(first: &[u8]) -> Result<usize> {
    Ok(usize::from(Fields::new(first, "an entry of a folder").u8(1)?) + 1)
}

impl File {
    /// Parses a whole set.
    pub(super) fn parse(set: &[u8]) -> Result<Self> {
        let fields = Fields::new(set, "an entry of a folder");
        if fields.u16(2)? != checksum(set) {
            return Err(fields.damaged("its checksum is wrong"));
        }
        if fields.u8(LEN)? != STREAM {
            return Err(fields.damaged("it does not say where the content is"));
        }
        let len = usize::from(fields.u8(LEN + 3)?);
        let mut name = Vec::with_capacity(len);
        for part in set.chunks_exact(LEN).skip(2).filter(|part| part.first() == Some(&NAME)) {
            name.extend(Fields::new(part, "a name").units(2, 15)?);
        }
        if len == 0 || name.len() < len {
            return Err(fields.damaged("its name is incomplete"));
        }
        name.truncate(len);
        let (time, zone) = (fields.u32(12)?, fields.u8(23)?);
        // The lower and upper 16 bits.
        let modified = times::from_dos((time >> 16) as u16, time as u16, fields.u8(21)?, minutes_east(zone));
        let place = Place {
            first: fields.u32(LEN + 20)?,
            size: fields.u64(LEN + 24)?,
            is_successive: fields.u8(LEN + 1)? & 2 != 0,
        };
        let is_folder = fields.u16(4)? & FOLDER != 0;
        Ok(Self { name, is_folder, modified, place, initialized: fields.u64(LEN + 8)? })
    }
}

/// Returns the place of the table of upper-case letters.
pub(super) fn upper_case(entry: &[u8]) -> Result<Place> {
    let fields = Fields::new(entry, "the table of upper-case letters");
    Ok(Place { first: fields.u32(20)?, size: fields.u64(24)?, is_successive: false })
}

/// The checksum of a set leaves out the checksum itself.
pub(super) fn checksum(set: &[u8]) -> u16 {
    let bytes = set.iter().enumerate().filter(|(at, _)| !matches!(at, 2 | 3));
    bytes.fold(0_u16, |sum, (_, byte)| sum.rotate_right(1).wrapping_add(u16::from(*byte)))
}

/// Returns how far a time zone is ahead of UTC. It is stored in quarters of an hour, as a signed number of seven bits.
fn minutes_east(zone: u8) -> i64 {
    const IS_VALID: u8 = 0x80;
    if zone & IS_VALID == 0 {
        return 0;
    }
    let quarters = (zone << 1).cast_signed() >> 1;
    i64::from(quarters) * 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_zones() {
        assert_eq!([0x00, 0x80, 0x84, 0xfc, 0xd0].map(minutes_east), [0, 0, 60, -60, -720]);
    }
}
