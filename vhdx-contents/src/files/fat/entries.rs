//! Entries of folders in FAT: short names, and long names in entries before them.

use super::oem;
use crate::error::Result;
use crate::files::fields::Fields;
use crate::files::{names, times};
use std::time::SystemTime;

pub(super) const LEN: usize = 32;

const LONG_NAME: u8 = 0x0f;
const LABEL: u8 = 0x08;
const FOLDER: u8 = 0x10;
const DELETED: u8 = 0xe5;

/// The part of a short entry that describes the file.
pub(super) struct File {
    pub(super) is_folder: bool,
    pub(super) first_cluster: u32,
    pub(super) size: u64,
    pub(super) modified: Option<SystemTime>,
}

impl File {
    /// Parses a short entry. `has_high`: the upper half of the cluster number is stored (FAT32).
    pub(super) fn parse(entry: &[u8], has_high: bool) -> Result<Self> {
        let fields = Fields::new(entry, "an entry of a folder");
        let high = if has_high { u32::from(fields.u16(20)?) } else { 0 };
        let is_folder = fields.u8(11)? & FOLDER != 0;
        Ok(Self {
            is_folder,
            first_cluster: (high << 16) | u32::from(fields.u16(26)?),
            size: if is_folder { 0 } else { fields.u32(28)?.into() },
            modified: times::from_dos(fields.u16(24)?, fields.u16(22)?, 0, 0),
        })
    }
}

/// Collects the entries of one name.
#[derive(Default)]
pub(super) struct Names {
    /// The UTF-16 units of a long name, last part first; with the checksum of its short name.
    parts: Vec<[u16; 13]>,
    checksum: u8,
    /// The number that the next part must have; 0 if the long name is complete.
    expected: u8,
}

/// What an entry is.
pub(super) enum Found {
    /// No file, or a part of a long name.
    Nothing,
    /// A file with this name.
    File(Vec<u8>),
    /// The folder has no more entries.
    End,
}

impl Names {
    /// Takes the next entry of a folder.
    pub(super) fn next(&mut self, entry: &[u8]) -> Result<Found> {
        let fields = Fields::new(entry, "an entry of a folder");
        let (first, attributes) = (fields.u8(0)?, fields.u8(11)?);
        if first == 0 {
            return Ok(Found::End);
        }
        if first == DELETED {
            *self = Self::default();
            return Ok(Found::Nothing);
        }
        if attributes & 0x3f == LONG_NAME {
            self.add(first, fields)?;
            return Ok(Found::Nothing);
        }
        let long = std::mem::take(self);
        let short = fields.bytes(0, 11)?;
        // The folder itself and its parent, which are not listed.
        if attributes & LABEL != 0 || first == b'.' {
            return Ok(Found::Nothing);
        }
        let name = long.name(short).unwrap_or_else(|| oem::name(short, entry.get(12).copied()));
        Ok(Found::File(name))
    }

    fn add(&mut self, first: u8, fields: Fields<'_>) -> Result<()> {
        const IS_LAST: u8 = 0x40;
        let (number, checksum) = (first & 0x3f, fields.u8(13)?);
        if first & IS_LAST != 0 {
            *self = Self { parts: Vec::new(), checksum, expected: number };
        }
        if number == 0 || number > 20 || number != self.expected || checksum != self.checksum {
            *self = Self::default();
            return Ok(());
        }
        let units = [fields.units(1, 5)?, fields.units(14, 6)?, fields.units(28, 2)?].concat();
        let mut part = [0; 13];
        part.iter_mut().zip(units).for_each(|(place, unit)| *place = unit);
        self.parts.push(part);
        self.expected = number - 1;
        Ok(())
    }

    /// Returns the long name, if it is complete and belongs to this short one.
    fn name(self, short: &[u8]) -> Option<Vec<u8>> {
        let checksum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        if self.parts.is_empty() || self.expected != 0 || checksum != self.checksum {
            return None;
        }
        let units: Vec<u16> =
            self.parts.iter().rev().flatten().copied().take_while(|unit| *unit != 0).collect();
        (!units.is_empty()).then(|| names::to_utf8(&units))
    }
}
