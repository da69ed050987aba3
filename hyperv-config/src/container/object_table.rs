//! The object tables, which locate the key tables and the file objects. Each one names the next one.
//!
//! ```text
//! header, 8 bytes:                          entry, 18 bytes:
//!   0 signature            (4)                0 type       (1)
//!   4 number of entries    (4)                1 checksum   (4)
//!                                             5 offset     (8)
//!                                            13 size       (4)
//!                                            17 flags      (1)
//! ```

use std::collections::BTreeSet;

use nom::Parser;
use nom::bytes::complete::tag;
use nom::number::complete::{le_u8, le_u32, le_u64};

use super::bytes::{Parsed, checksum_matches, read_up_to};
use super::replayed::Replayed;
use crate::error::{Damage, Error, Limit, Result};
use crate::limits::{MAX_KEY_TABLE_OBJECTS, MAX_OBJECTS};
use crate::warning::{Problem, Warnings};

/// The offset of the first table.
pub(crate) const FIRST: u64 = 8192;
/// The first bytes of a table.
pub(crate) const SIGNATURE: &[u8; 4] = b"\x01\x00\x11\x01";

const HEADER_SIZE: u32 = 8;
const ENTRY_SIZE: u8 = 18;
/// The size of the first table in all known files. No structure says it.
const FIRST_SIZE: u32 = 4096;
/// The number of entries that are read at a time.
const AT_A_TIME: u64 = 4096;

const EMPTY: u8 = 0;
const OBJECT_TABLE: u8 = 1;
const KEY_TABLE: u8 = 2;
const FILE_OBJECT: u8 = 3;
/// Free space, the header, the replay log, and a buffer of the change tracking.
const WITHOUT_KEYS: std::ops::RangeInclusive<u8> = 4..=7;

/// The place of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) size: u32,
}

/// The objects of a file.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// In the order of the object tables.
    pub(super) key_tables: Vec<Place>,
    /// Sorted by offset.
    pub(super) file_objects: Vec<Place>,
}

fn header(input: &[u8]) -> Parsed<'_, u32> {
    let (input, (_, count)) = (tag(SIGNATURE.as_slice()), le_u32).parse(input)?;
    Ok((input, count))
}

fn entry(input: &[u8]) -> Parsed<'_, (u8, Place)> {
    let (input, (object_type, _, offset, size, _)) = (le_u8, le_u32, le_u64, le_u32, le_u8).parse(input)?;
    Ok((input, (object_type, Place { offset, size })))
}

/// Reads all object tables.
pub(super) fn read(file: &Replayed, warnings: &mut Warnings) -> Result<Objects> {
    let mut objects = Objects::default();
    let (mut seen, mut left) = (BTreeSet::new(), MAX_OBJECTS);
    let mut next = Some(Place { offset: FIRST, size: FIRST_SIZE });
    while let Some(Place { offset: table, size }) = next {
        if !seen.insert(table) {
            return Err(Error::corrupt(table, Damage::ObjectTableCycle));
        }
        let damaged = || Error::corrupt(table, Damage::ObjectTable);
        let (_, count) = header(&read_up_to(file, table, HEADER_SIZE.into())?).map_err(|_| damaged())?;
        left = left.checked_sub(count.into()).ok_or_else(|| Error::too_large(Limit::Objects, table))?;
        // An empty entry has a checksum, too, so every table is full of entries.
        let fit = size.checked_sub(HEADER_SIZE).and_then(|rest| rest.checked_div(ENTRY_SIZE.into()));
        if let Some(expected) = fit.filter(|fit| count < *fit) {
            warnings.add(table, Problem::ObjectTableCount { count, expected });
        }
        next = read_table(file, table, count, &mut objects, warnings)?;
    }
    objects.file_objects.sort_unstable();
    Ok(objects)
}

/// Reads the entries of one table. Returns the place of the next table, which the last entry names.
fn read_table(
    file: &Replayed,
    table: u64,
    count: u32,
    objects: &mut Objects,
    warnings: &mut Warnings,
) -> Result<Option<Place>> {
    let damaged = || Error::corrupt(table, Damage::ObjectTable);
    let entry_size = u64::from(ENTRY_SIZE);
    let mut at = table.checked_add(HEADER_SIZE.into()).ok_or_else(damaged)?;
    let mut left = u64::from(count);
    while left > 0 {
        let size = left.min(AT_A_TIME).checked_mul(entry_size).ok_or_else(damaged)?;
        let bytes = read_up_to(file, at, size)?;
        if u64::try_from(bytes.len()) != Ok(size) {
            return Err(damaged());
        }
        for bytes in bytes.chunks_exact(ENTRY_SIZE.into()) {
            left = left.checked_sub(1).ok_or_else(damaged)?;
            let is_last = left == 0;
            let (_, (object_type, place)) = entry(bytes).map_err(|_| damaged())?;
            if !checksum_matches(bytes, 1) {
                if is_last {
                    return Err(Error::corrupt(at, Damage::ObjectTableChain));
                }
                warnings.add(at, Problem::ObjectEntry);
            } else if is_last && object_type == OBJECT_TABLE {
                return Ok(Some(place));
            } else {
                objects.add(object_type, place, at, warnings)?;
            }
            at = at.checked_add(entry_size).ok_or_else(damaged)?;
        }
    }
    Ok(None)
}

impl Objects {
    fn add(&mut self, object_type: u8, place: Place, at: u64, warnings: &mut Warnings) -> Result<()> {
        match object_type {
            EMPTY => {}
            KEY_TABLE if self.key_tables.len() >= MAX_KEY_TABLE_OBJECTS => {
                return Err(Error::too_large(Limit::KeyTables, at));
            }
            KEY_TABLE => self.key_tables.push(place),
            FILE_OBJECT => self.file_objects.push(place),
            // Only the last entry leads to another table.
            OBJECT_TABLE => warnings.add(at, Problem::ObjectType(object_type)),
            other if WITHOUT_KEYS.contains(&other) => {}
            other => warnings.add(at, Problem::ObjectType(other)),
        }
        Ok(())
    }

    /// Returns whether one file object contains a range.
    pub(super) fn describe(&self, offset: u64, len: u32) -> bool {
        let after = self.file_objects.partition_point(|place| place.offset <= offset);
        let before = after.checked_sub(1).and_then(|last| self.file_objects.get(last));
        before.is_some_and(|place| {
            let end = place.offset.checked_add(place.size.into());
            end.zip(offset.checked_add(len.into())).is_some_and(|(end, wanted)| wanted <= end)
        })
    }
}
