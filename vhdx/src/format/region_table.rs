//! Reads and writes the two region tables, which locate the BAT and the metadata ([MS-VHDX] 2.2.3).
//!
//! ```text
//!       0       1       2       3       4       5       6       7
//!   0 | signature "regi"              | checksum                      |
//!   8 | entry count                   | reserved                      |
//!  16 | entries of 32 bytes, at most 2047, up to 65536                |
//!
//!   0 | GUID                                                          |
//!     |                                                               |
//!  16 | file offset                                                   |
//!  24 | length                        | bit 0: required               |
//! ```

use std::collections::{BTreeSet, HashSet};

use nom::Parser;
use nom::bytes::complete::tag;
use nom::combinator::map_opt;
use nom::multi::count;
use nom::number::complete::{le_u32, le_u64};
use uuid::{Uuid, uuid};

use super::bytes::{self, Encoder, Parsed, entry_offset};
use super::overlap::{Span, overlaps};
use super::validator::Validator;
use crate::error::{Guaranteed, Result};
use crate::rules::Rule;
use crate::units::{FileOffset, KIB, MIB};
use crate::violation::{Structure, Violation, Violations};

/// The size of a region table in bytes.
pub const SIZE: usize = 64 << 10;
/// The offsets of region table 1 and region table 2 in the file.
pub const OFFSETS: [FileOffset; 2] = [FileOffset::new(192 * KIB), FileOffset::new(256 * KIB)];
/// The maximum number of entries.
pub const MAX_ENTRIES: usize = 2047;
/// The GUID of the region that contains the block allocation table.
pub const BAT_REGION: Uuid = uuid!("2dc27766-f623-4200-9d64-115e9bfd4a08");
/// The GUID of the region that contains the metadata table and the metadata items.
pub const METADATA_REGION: Uuid = uuid!("8b7ca206-4790-4b9a-b8fe-575f050f886e");

const SIGNATURE: &[u8; 4] = b"regi";
const HEADER_SIZE: u32 = 16;
const ENTRY_SIZE: u32 = 32;
const MAX_METADATA_LENGTH: u64 = 128 * MIB;

/// A part of the file that a region table entry describes ([MS-VHDX] 2.2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The GUID that tells what the region contains.
    pub id: Uuid,
    /// The offset of the region in the file.
    pub offset: FileOffset,
    /// The size of the region in bytes. The file stores it in 32 bits.
    pub length: u64,
    /// Whether a reader that does not know the region must not open the file.
    pub required: bool,
}

/// A region table ([MS-VHDX] 2.2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionTable {
    /// The regions, in the order of the table.
    pub regions: Vec<Region>,
}

/// The regions of a valid table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regions {
    /// The region of the block allocation table.
    pub bat: Region,
    /// The region of the metadata table and items.
    pub metadata: Region,
    /// All regions, including unknown ones, in the order of the table.
    pub all: Vec<Region>,
}

impl RegionTable {
    /// Parses the entries; `None` if the signature, the length or the count is wrong.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (_, (_, entries)) = fields(bytes).ok()?;
        Some(Self { regions: entries.into_iter().map(|(region, _)| region).collect() })
    }

    /// Returns the [`SIZE`] bytes, with their checksum.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) if there are more than [`MAX_ENTRIES`] regions, or one whose length
    /// exceeds 32 bits.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut encoder = Encoder::new();
        let entry_count = u32::try_from(self.regions.len()).ok();
        let entry_count = entry_count.filter(|_| self.regions.len() <= MAX_ENTRIES);
        let entry_count = entry_count.guaranteed("a region table has at most 2047 entries")?;
        encoder.put(SIGNATURE).u32(0).u32(entry_count).u32(0);
        for region in &self.regions {
            let length = u32::try_from(region.length).guaranteed("the length of a region fits 32 bits")?;
            encoder.guid(region.id).u64(region.offset.get()).u32(length).u32(u32::from(region.required));
        }
        encoder.pad_to(SIZE);
        let mut bytes = encoder.into_vec();
        bytes::seal(&mut bytes);
        Ok(bytes)
    }

    /// Returns the regions that the content of the disk depends on: the BAT, the metadata and all required regions.
    fn essential(&self) -> BTreeSet<(Uuid, FileOffset, u64)> {
        let is_essential =
            |region: &&Region| region.required || [BAT_REGION, METADATA_REGION].contains(&region.id);
        let essential = self.regions.iter().filter(is_essential);
        essential.map(|region| (region.id, region.offset, region.length)).collect()
    }

    /// Validates the entries of table `table_number`, which is 1 or 2.
    ///
    /// `log` is the offset and the length of the log in bytes. `file_len` is the size of the file in bytes, after the
    /// replay of a dirty log.
    pub fn validate(
        &self,
        table_number: u8,
        log: (FileOffset, u64),
        file_len: u64,
        violations: &mut Violations,
    ) -> Option<Regions> {
        let mut validator = Validator::new(violations);
        let mut ids = HashSet::new();
        for (index, region) in (0u32..).zip(&self.regions) {
            let entry = Entry { table_number, index };
            validator.require(ids.insert(region.id), entry.broken(Rule::RegionDuplicate).guid(region.id));
            validate_region(region, entry, file_len, &mut validator);
        }
        self.validate_overlaps(table_number, log, &mut validator);

        let find = |id| self.regions.iter().find(|region| region.id == id).copied();
        let (bat, metadata) = (find(BAT_REGION), find(METADATA_REGION));
        validator.require(bat.is_some(), broken(table_number, Rule::BatRegionMissing));
        validator.require(metadata.is_some(), broken(table_number, Rule::MetadataRegionMissing));
        validator.finish(Regions { bat: bat?, metadata: metadata?, all: self.regions.clone() })
    }

    fn validate_overlaps(&self, table_number: u8, log: (FileOffset, u64), validator: &mut Validator<'_>) {
        let span = |offset: FileOffset, length, what| Span {
            start: offset.get(),
            // A region may reach past 64 bits. Then it overlaps whatever lies between its start and there.
            end: offset.saturating_add(length).get(),
            what,
        };
        let mut spans = vec![span(log.0, log.1, None)];
        spans.extend(
            (0u32..).zip(&self.regions).map(|(index, region)| {
                span(region.offset, region.length, Some(Entry { table_number, index }))
            }),
        );
        for pair in overlaps(spans) {
            let (entry, other) = match pair {
                (Some(before), Some(entry)) => (entry, Structure::RegionTableEntry(before.index)),
                (Some(entry), None) | (None, Some(entry)) => (entry, Structure::Log),
                (None, None) => continue,
            };
            validator.report(entry.broken(Rule::RegionOverlap).other(other));
        }
    }
}

fn validate_region(region: &Region, entry: Entry, file_len: u64, validator: &mut Validator<'_>) {
    let offset = region.offset.get();
    validator.require(
        offset >= MIB && offset.is_multiple_of(MIB),
        entry.broken(Rule::RegionOffset).number(offset),
    );
    validator.require(
        region.length > 0 && region.length.is_multiple_of(MIB),
        entry.broken(Rule::RegionLength).number(region.length),
    );
    if region.id != BAT_REGION && region.id != METADATA_REGION {
        validator.require(!region.required, entry.broken(Rule::RegionUnknown).guid(region.id));
        return;
    }
    validator.require(region.required, entry.broken(Rule::RegionNotRequired));
    let end = region.offset.checked_add(region.length);
    validator.require(end.is_some_and(|end| end.get() <= file_len), entry.broken(Rule::RegionPastEnd));
    validator.require(
        region.id != METADATA_REGION || region.length <= MAX_METADATA_LENGTH,
        entry.broken(Rule::MetadataRegionTooLarge).number(region.length),
    );
}

/// The position of an entry in one of the two tables.
#[derive(Clone, Copy)]
struct Entry {
    table_number: u8,
    index: u32,
}

impl Entry {
    fn broken(self, rule: Rule) -> Violation {
        let place = entry_offset(HEADER_SIZE, ENTRY_SIZE, self.index);
        let offset = table_offset(self.table_number).saturating_add(place); // less than 2^40
        Violation::new(Structure::RegionTableEntry(self.index), offset, rule)
    }
}

/// The reserved field of the table, and each region with its field of required and reserved bits.
type Fields = (u32, Vec<(Region, u32)>);

fn fields(input: &[u8]) -> Parsed<'_, Fields> {
    let bounded = |entry_count| usize::try_from(entry_count).ok().filter(|&count| count <= MAX_ENTRIES);
    let (input, (_, _, entry_count, reserved)) =
        (tag(SIGNATURE.as_slice()), le_u32, map_opt(le_u32, bounded), le_u32).parse(input)?;
    let (input, entries) = count(entry, entry_count).parse(input)?;
    Ok((input, (reserved, entries)))
}

fn entry(input: &[u8]) -> Parsed<'_, (Region, u32)> {
    let (input, (id, offset, length, flags)) = (bytes::guid, le_u64, le_u32, le_u32).parse(input)?;
    let offset = FileOffset::new(offset);
    let region = Region { id, offset, length: u64::from(length), required: flags & 1 == 1 };
    Ok((input, (region, flags)))
}

fn table_offset(table_number: u8) -> FileOffset {
    let [first, second] = OFFSETS;
    if table_number == 2 { second } else { first }
}

fn broken(table_number: u8, rule: Rule) -> Violation {
    Violation::new(Structure::RegionTable(table_number), table_offset(table_number), rule)
}

/// Parses one region table from its [`SIZE`] bytes (fewer if the file ends there). `number` is 1 or 2.
///
/// A damaged table is reported and returned as `None`. [`choose`] decides whether the other one is enough.
pub fn validate_copy(bytes: &[u8], number: u8, violations: &mut Violations) -> Option<RegionTable> {
    let Some(bytes) = bytes.get(..SIZE) else {
        violations.report(broken(number, Rule::Truncated));
        return None;
    };
    if !bytes.starts_with(SIGNATURE) {
        violations.report(broken(number, Rule::RegionTableSignature));
        return None;
    }
    if !bytes::checksum_matches(bytes) {
        violations.report(broken(number, Rule::RegionTableChecksum));
        return None;
    }
    // The signature and the size are correct, so only the count can be wrong.
    let Ok((_, (reserved, entries))) = fields(bytes) else {
        violations.report(broken(number, Rule::RegionCount));
        return None;
    };
    if reserved != 0 {
        violations.report(broken(number, Rule::RegionTableReserved).number(reserved));
    }
    let mut regions = Vec::with_capacity(entries.len());
    for (index, (region, flags)) in (0u32..).zip(entries) {
        if flags > 1 {
            let entry = Entry { table_number: number, index };
            violations.report(entry.broken(Rule::RegionTableReserved).number(flags));
        }
        regions.push(region);
    }
    Some(RegionTable { regions })
}

/// Returns the region table to use and its number: the first valid one.
///
/// Two valid tables must have the same BAT, metadata and other required regions.
pub fn choose(
    first: Option<RegionTable>,
    second: Option<RegionTable>,
    violations: &mut Violations,
) -> Option<(u8, RegionTable)> {
    match (first, second) {
        (Some(first), Some(second)) => {
            let mut validator = Validator::new(violations);
            let different = |rule| broken(2, rule).other(Structure::RegionTable(1));
            if validator.require(first.essential() == second.essential(), different(Rule::RegionTablesDiffer))
            {
                validator.require(first == second, different(Rule::RegionTablesUnequal));
            }
            validator.finish((1, first))
        }
        (Some(first), None) => Some((1, first)),
        (None, Some(second)) => Some((2, second)),
        (None, None) => {
            violations.report(broken(1, Rule::NoRegionTable));
            None
        }
    }
}

#[cfg(test)]
mod tests;
