//! Reads and writes the metadata table, which locates items in the metadata region ([MS-VHDX] 2.6.1).
//!
//! ```text
//!       0       1       2       3       4       5       6       7
//!   0 | signature "metadata"                                          |
//!   8 | reserved      | entry count   | reserved                      |
//!  16 | reserved                                                      |
//!     |                                                               |
//!  32 | entries of 32 bytes, at most 2047, up to 65536                |
//!
//!   0 | item GUID                                                     |
//!     |                                                               |
//!  16 | offset in the region          | length                        |
//!  24 | bits: user, virtual disk, required | reserved                 |
//! ```

use std::collections::HashSet;

use nom::Parser;
use nom::bytes::complete::tag;
use nom::combinator::verify;
use nom::multi::count;
use nom::number::complete::{le_u16, le_u32};
use uuid::Uuid;

use super::bytes::{self, Encoder, Parsed, array, entry_offset};
use super::metadata_item::{self, INCOMPLETE_FILE};
use super::overlap::{Span, overlaps};
use super::region_table::Region;
use super::validator::Validator;
use crate::error::{Guaranteed, Result};
use crate::rules::Rule;
use crate::units::MIB;
use crate::violation::{Structure, Violation, Violations};

/// The size of the metadata table in bytes. Items lie after it.
pub const SIZE: usize = 64 << 10;
/// The maximum number of entries.
pub const MAX_ENTRIES: usize = 2047;

const SIGNATURE: &[u8; 8] = b"metadata";
const HEADER_SIZE: u32 = 32;
const ENTRY_SIZE: u32 = 32;
const ITEMS_START: u32 = 64 << 10;
const MAX_ITEM_LENGTH: u64 = MIB;
const MAX_USER_ENTRIES: usize = 1024;
const MAX_SYSTEM_ENTRIES: usize = 1023;

const IS_USER: u32 = 1;
const IS_VIRTUAL_DISK: u32 = 2;
const IS_REQUIRED: u32 = 4;

/// An entry of the metadata table ([MS-VHDX] 2.6.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataEntry {
    /// The GUID of the item; unique together with `is_user`.
    pub id: Uuid,
    /// The offset of the item from the start of the metadata region in bytes.
    pub offset: u32,
    /// The size of the item in bytes. An empty item has length 0 and offset 0.
    pub length: u32,
    /// Whether the item is user metadata, not part of the format.
    pub is_user: bool,
    /// Whether the item describes the virtual disk, not the file. Such items are copied to children.
    pub is_virtual_disk: bool,
    /// Whether a reader that does not know the item must not open the file.
    pub is_required: bool,
}

impl MetadataEntry {
    /// Returns whether this is the system item with this GUID. A user item never is.
    pub fn is_system(&self, id: Uuid) -> bool {
        self.id == id && !self.is_user
    }

    /// Returns the end of the item in bytes, from the start of the metadata region.
    // A sum of numbers of 32 bits never exceeds 64 bits.
    #[allow(clippy::arithmetic_side_effects)]
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.length)
    }

    fn flags(&self) -> u32 {
        let bit = |set, bit| if set { bit } else { 0 };
        bit(self.is_user, IS_USER)
            | bit(self.is_virtual_disk, IS_VIRTUAL_DISK)
            | bit(self.is_required, IS_REQUIRED)
    }
}

/// The metadata table ([MS-VHDX] 2.6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataTable {
    /// The entries, in the order of the table.
    pub entries: Vec<MetadataEntry>,
}

impl MetadataTable {
    /// Parses the entries; `None` if the signature, the length or the count is wrong.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (_, fields) = fields(bytes).ok()?;
        Some(Self { entries: fields.entries.into_iter().map(|(entry, _)| entry).collect() })
    }

    /// Returns the [`SIZE`] bytes.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) if there are more than [`MAX_ENTRIES`] entries.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut encoder = Encoder::new();
        let entry_count = u16::try_from(self.entries.len()).ok();
        let entry_count = entry_count.filter(|_| self.entries.len() <= MAX_ENTRIES);
        let entry_count = entry_count.guaranteed("a metadata table has at most 2047 entries")?;
        encoder.put(SIGNATURE).u16(0).u16(entry_count);
        encoder.put(&[0; 20]);
        for entry in &self.entries {
            encoder.guid(entry.id).u32(entry.offset).u32(entry.length).u32(entry.flags()).u32(0);
        }
        encoder.pad_to(SIZE);
        Ok(encoder.into_vec())
    }

    /// Returns the system item with this GUID.
    pub fn system_item(&self, id: Uuid) -> Option<&MetadataEntry> {
        self.entries.iter().find(|entry| entry.is_system(id))
    }

    /// Parses and validates the table from the first [`SIZE`] bytes of `region` (fewer if the file ends there).
    pub fn validate(bytes: &[u8], region: &Region, violations: &mut Violations) -> Option<Self> {
        let mut validator = Validator::new(violations);
        let at = |rule| Violation::new(Structure::MetadataTable, region.offset, rule);
        let Some(bytes) = bytes.get(..SIZE) else {
            validator.report(at(Rule::Truncated));
            return None;
        };
        if !validator.require(bytes.starts_with(SIGNATURE), at(Rule::MetadataSignature)) {
            return None;
        }
        // The signature and the size are correct, so only the count can be wrong.
        let Ok((_, fields)) = fields(bytes) else {
            validator.report(at(Rule::MetadataCount));
            return None;
        };
        validator.require(!fields.reserved, at(Rule::MetadataReserved));
        let mut entries = Vec::with_capacity(fields.entries.len());
        for (index, (entry, reserved)) in (0u16..).zip(fields.entries) {
            validator.require(!reserved, broken(region, index, Rule::MetadataReserved));
            entries.push(entry);
        }
        let user_count = entries.iter().filter(|entry| entry.is_user).count();
        let system_count = entries.iter().filter(|entry| !entry.is_user).count();
        validator.require(user_count <= MAX_USER_ENTRIES, at(Rule::MetadataUserCount));
        validator.require(system_count <= MAX_SYSTEM_ENTRIES, at(Rule::MetadataSystemCount));

        let table = Self { entries };
        table.validate_entries(region, &mut validator);
        table.validate_overlaps(region, &mut validator);
        validator.finish(table)
    }

    fn validate_entries(&self, region: &Region, validator: &mut Validator<'_>) {
        // This rule comes first, because an unfinished creation can be the reason for all other violations.
        for (index, entry) in (0u16..).zip(&self.entries) {
            let incomplete = entry.is_system(INCOMPLETE_FILE);
            validator.require(!incomplete, broken(region, index, Rule::CreationIncomplete));
        }
        let mut ids = HashSet::new();
        for (index, entry) in (0u16..).zip(&self.entries) {
            let at = |rule| broken(region, index, rule);
            validator
                .require(ids.insert((entry.id, entry.is_user)), at(Rule::MetadataDuplicate).guid(entry.id));
            validate_place(entry, region, at, validator);
            validate_flags(entry, at, validator);
        }
    }

    fn validate_overlaps(&self, region: &Region, validator: &mut Validator<'_>) {
        let spans = (0u16..).zip(&self.entries).map(|(index, entry)| Span {
            start: u64::from(entry.offset),
            end: entry.end(),
            what: index,
        });
        for (before, index) in overlaps(spans.collect()) {
            let other = Structure::MetadataTableEntry(before);
            validator.report(broken(region, index, Rule::MetadataItemOverlap).other(other));
        }
    }
}

fn validate_place(
    entry: &MetadataEntry,
    region: &Region,
    at: impl Fn(Rule) -> Violation,
    validator: &mut Validator<'_>,
) {
    let (offset, length) = (u64::from(entry.offset), u64::from(entry.length));
    if length == 0 {
        validator.require(offset == 0, at(Rule::MetadataItemEmpty).number(offset));
        return;
    }
    validator.require(length <= MAX_ITEM_LENGTH, at(Rule::MetadataItemLength).number(length));
    let is_inside = entry.offset >= ITEMS_START && entry.end() <= region.length;
    validator.require(is_inside, at(Rule::MetadataItemPlace).number(offset));
}

fn validate_flags(entry: &MetadataEntry, at: impl Fn(Rule) -> Violation, validator: &mut Validator<'_>) {
    if entry.is_system(INCOMPLETE_FILE) {
        return;
    }
    if entry.is_user || !metadata_item::is_known(entry.id) {
        validator.require(!entry.is_required, at(Rule::MetadataItemUnknown).guid(entry.id));
    } else if let Some(is_virtual_disk) = metadata_item::is_virtual_disk(entry.id) {
        let right = entry.is_required && entry.is_virtual_disk == is_virtual_disk;
        validator.require(right, at(Rule::MetadataItemFlags).number(entry.flags()));
    }
}

fn broken(region: &Region, index: u16, rule: Rule) -> Violation {
    let place = entry_offset(HEADER_SIZE, ENTRY_SIZE, index.into());
    // The region may lie at the end of 64 bits, because its place is not validated here.
    Violation::new(Structure::MetadataTableEntry(index), region.offset.saturating_add(place), rule)
}

/// The entries of a table, and whether any reserved bits of the table and of each entry are set.
struct Fields {
    reserved: bool,
    entries: Vec<(MetadataEntry, bool)>,
}

fn fields(input: &[u8]) -> Parsed<'_, Fields> {
    let bounded = |entry_count: &u16| usize::from(*entry_count) <= MAX_ENTRIES;
    let (input, (_, before, entry_count, after)) =
        (tag(SIGNATURE.as_slice()), le_u16, verify(le_u16, bounded), array::<20>).parse(input)?;
    let (input, entries) = count(entry, usize::from(entry_count)).parse(input)?;
    Ok((input, Fields { reserved: before != 0 || !bytes::is_zero(&after), entries }))
}

fn entry(input: &[u8]) -> Parsed<'_, (MetadataEntry, bool)> {
    let (input, (id, offset, length, flags, reserved)) =
        (bytes::guid, le_u32, le_u32, le_u32, le_u32).parse(input)?;
    let entry = MetadataEntry {
        id,
        offset,
        length,
        is_user: flags & IS_USER != 0,
        is_virtual_disk: flags & IS_VIRTUAL_DISK != 0,
        is_required: flags & IS_REQUIRED != 0,
    };
    let known_bits = IS_USER | IS_VIRTUAL_DISK | IS_REQUIRED;
    Ok((input, (entry, flags & !known_bits != 0 || reserved != 0)))
}

#[cfg(test)]
mod tests;
