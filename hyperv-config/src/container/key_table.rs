//! The key tables, which hold the keys.
//!
//! ```text
//! header, 10 bytes:
//!   0 signature           (2)
//!   2 index, from 1       (2)
//!   4 sequence number     (2)
//!   6 checksum            (4)
//! ```

use std::cmp::Ordering;
use std::collections::BTreeSet;

use nom::Parser;
use nom::bytes::complete::tag;
use nom::number::complete::{le_u16, le_u32};

use super::bytes::{Parsed, checksum_matches, read_up_to};
use super::header::compare_sequences;
use super::key::{self, FoundKey, MIN_SIZE};
use super::object_table::Place;
use super::replayed::Replayed;
use crate::error::{Damage, Error, Limit, Result};
use crate::limits::{MAX_KEY_TABLES, MAX_KEYS};
use crate::warning::{Problem, Warnings};

const SIGNATURE: &[u8; 2] = b"\x02\x00";
const HEADER_SIZE: u8 = 10;

/// The index, the sequence number and the place of a key table.
#[derive(Clone, Copy, Debug)]
struct Table {
    index: u16,
    sequence: u16,
    place: Place,
}

fn header(input: &[u8]) -> Parsed<'_, (u16, u16)> {
    let (input, (_, index, sequence, _)) =
        (tag(SIGNATURE.as_slice()), le_u16, le_u16, le_u32).parse(input)?;
    Ok((input, (index, sequence)))
}

/// Reads all keys of the current key tables, in the order of their offsets.
pub(super) fn read(file: &Replayed, places: &[Place], warnings: &mut Warnings) -> Result<Vec<FoundKey>> {
    let mut tables = current(file, places, warnings)?;
    tables.sort_unstable_by_key(|table| table.place);
    let (mut keys, mut total, mut end) = (Vec::new(), 0u64, 0);
    for table in &tables {
        let Place { offset, size } = table.place;
        if offset < end {
            return Err(Error::corrupt(offset, Damage::OverlappingKeyTables));
        }
        let too_large = || Error::too_large(Limit::KeyTables, offset);
        total =
            total.checked_add(size.into()).filter(|total| *total <= MAX_KEY_TABLES).ok_or_else(too_large)?;
        end = offset.checked_add(size.into()).ok_or_else(too_large)?;
        let bytes = read_up_to(file, offset, size.into())?;
        if u64::try_from(bytes.len()) != Ok(size.into()) {
            warnings.add(offset, Problem::KeyTableCut);
        }
        read_keys(table, &bytes, &mut keys, warnings)?;
    }
    Ok(keys)
}

/// Returns the current table of each index: the newest one. Reports tables that may be old.
fn current(file: &Replayed, places: &[Place], warnings: &mut Warnings) -> Result<Vec<Table>> {
    let (mut tables, mut damaged_indices) = (Vec::new(), BTreeSet::new());
    // Several entries can name one table.
    for place in places.iter().collect::<BTreeSet<_>>() {
        let bytes = read_up_to(file, place.offset, HEADER_SIZE.into())?;
        let found = header(&bytes).ok().map(|(_, header)| header);
        match found.filter(|(index, _)| *index > 0 && checksum_matches(&bytes, 6)) {
            Some((index, sequence)) => tables.push(Table { index, sequence, place: *place }),
            None => {
                warnings.add(place.offset, Problem::KeyTable);
                damaged_indices.extend(stored_index(&bytes));
            }
        }
    }
    // Which one is newest is decided when all of them are known: a third one can be newer than two that are equal.
    tables.sort_unstable_by_key(|table| (table.index, table.sequence));
    let mut current = Vec::new();
    for of_one_index in tables.chunk_by(|a, b| a.index == b.index) {
        let Some((last, others)) = of_one_index.split_last() else { continue };
        ensure_newer(last, others)?;
        if damaged_indices.contains(&last.index) {
            warnings.add(last.place.offset, Problem::OldKeys(last.index));
        }
        current.push(*last);
    }
    Ok(current)
}

/// Returns the index in a header that may be damaged.
fn stored_index(header: &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(*header.get(2..4)?.first_chunk()?))
}

/// Ensures that the sequence number of a table tells that it is newer than each of the others, which have its index.
fn ensure_newer(table: &Table, others: &[Table]) -> Result<()> {
    for other in others {
        let sequences = [other.sequence, table.sequence];
        if compare_sequences(table.sequence, other.sequence) != Some(Ordering::Greater) {
            let damage = Damage::AmbiguousKeyTables { index: table.index, sequences };
            return Err(Error::corrupt(table.place.offset, damage));
        }
    }
    Ok(())
}

/// Reads the keys of one table. A key with an impossible size ends the table, because the next one cannot be found.
fn read_keys(table: &Table, bytes: &[u8], keys: &mut Vec<FoundKey>, warnings: &mut Warnings) -> Result<()> {
    let mut at = usize::from(HEADER_SIZE);
    let too_large = || Error::too_large(Limit::KeyTables, table.place.offset);
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= MIN_SIZE) {
        let in_table = u32::try_from(at).map_err(|_| too_large())?;
        let offset = table.place.offset.checked_add(in_table.into()).ok_or_else(too_large)?;
        let size = key::size(rest);
        // Zeros fill the rest of a table.
        if size == Some(0) && rest.iter().all(|byte| *byte == 0) {
            break;
        }
        let Some((size, entry)) =
            size.filter(|size| *size >= MIN_SIZE).and_then(|size| Some((size, rest.get(..size)?)))
        else {
            warnings.add(offset, Problem::KeySize);
            break;
        };
        if keys.len() >= MAX_KEYS {
            return Err(Error::too_large(Limit::Keys, offset));
        }
        match key::parse(entry, key::Position { table: table.index, at: in_table }, offset, warnings) {
            Ok(Some(key)) => keys.push(key),
            Ok(None) => {}
            Err(problem) => warnings.add(offset, problem),
        }
        at = at.checked_add(size).ok_or_else(too_large)?;
    }
    Ok(())
}
