//! Reads and writes the parent locator: the parent's GUIDs and the paths where it may be ([MS-VHDX] 2.6.2.6).
//!
//! ```text
//!       0       1       2       3       4       5       6       7
//!   0 | locator type (a GUID)                                         |
//!     |                                                               |
//!  16 | reserved      | entry count   |
//!  20 | entries of 12 bytes
//!
//!   0 | key offset                    | value offset                  |
//!   8 | key length    | value length  |
//! ```
//!
//! Keys and values are UTF-16LE without a terminator. Offsets count from the start of the item. Offsets and lengths are
//! in bytes.

use nom::Parser;
use nom::multi::count;
use nom::number::complete::{le_u16, le_u32};
use uuid::{Uuid, uuid};

use super::bytes::{self, Encoder, Parsed, entry_offset};
use super::merge_guid::MergeId;
use super::metadata_item;
use super::validator::Validator;
use crate::rules::Rule;
use crate::units::FileOffset;
use crate::violation::{Structure, Violation, Violations};
use crate::windows_path::StoredPath;

/// The type of a locator for a VHDX parent ([MS-VHDX] 2.6.2.6.3).
pub const LOCATOR_TYPE: Uuid = uuid!("b04aefb7-d19e-4a81-b789-25b8e9445913");
/// The key of the parent's DataWriteGuid.
pub const PARENT_LINKAGE: &str = "parent_linkage";
/// The key of a second DataWriteGuid that the parent may have.
pub const PARENT_LINKAGE2: &str = "parent_linkage2";
/// The key of the parent's path relative to the child.
pub const RELATIVE_PATH: &str = "relative_path";
/// The key of the parent's path on a volume that is named by its GUID.
pub const VOLUME_PATH: &str = "volume_path";
/// The key of the parent's path on a drive or a share.
pub const ABSOLUTE_WIN32_PATH: &str = "absolute_win32_path";
/// The maximum number of entries that are accepted.
pub const MAX_ENTRIES: usize = 256;

/// The maximum length of a metadata item in bytes.
const MAX_LENGTH: usize = 1 << 20;
const HEADER_SIZE: u32 = 20;
const ENTRY_SIZE: u32 = 12;
/// The prefix of absolute paths that makes Windows use them unchanged.
const LITERAL_PATH_PREFIX: &str = r"\\?\";
const VOLUME_PREFIX: &str = r"\\?\Volume{";

/// The parent locator ([MS-VHDX] 2.6.2.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentLocator {
    /// Keys and values, in the order of the file.
    pub entries: Vec<(String, String)>,
}

impl ParentLocator {
    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    /// Returns the DataWriteGuids of which the parent must have one: `parent_linkage`, then `parent_linkage2`.
    ///
    /// Duplicates, zeros and [marks](Self::is_mark) are left out.
    pub fn linkages(&self) -> Vec<Uuid> {
        guids_of_parent([self.parent_linkage(), self.parent_linkage2()])
    }

    /// Returns the value of `parent_linkage`, even if it is zero.
    pub fn parent_linkage(&self) -> Option<Uuid> {
        linkage(self.get(PARENT_LINKAGE)?)
    }

    /// Returns the value of `parent_linkage2`, even if it is zero.
    pub fn parent_linkage2(&self) -> Option<Uuid> {
        linkage(self.get(PARENT_LINKAGE2)?)
    }

    /// Returns whether `parent_linkage` is the DataWriteGuid of a parent while a merge into it is incomplete.
    ///
    /// This file is or was then the layer of that merge whose parent is the merge target.
    pub fn names_incomplete_merge(&self) -> bool {
        self.parent_linkage().and_then(MergeId::from_guid).is_some()
    }

    /// Returns whether a linkage is the mark of a merge of several levels, which is the GUID of no file.
    pub fn is_mark(linkage: Uuid) -> bool {
        is_mark(linkage)
    }

    /// Returns the stored paths as pairs (key, path), in the order in which to try them: relative, volume, absolute.
    pub fn paths(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [RELATIVE_PATH, VOLUME_PATH, ABSOLUTE_WIN32_PATH]
            .into_iter()
            .filter_map(|key| Some((key, self.get(key)?)))
    }

    /// Returns the stored paths in the order in which to try them.
    pub(crate) fn stored_paths(&self) -> Vec<StoredPath> {
        self.paths().map(|(key, path)| StoredPath { key, path: path.to_owned() }).collect()
    }

    /// Parses the entries; `None` unless each of them is text inside the item.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (table, (_, _, entry_count)) = header(bytes).ok()?;
        let (_, entries) = entry_table(table, entry_count).ok()?;
        let entries =
            entries.iter().map(|entry| Some((text(entry.key(bytes)?)?, text(entry.value(bytes)?)?)));
        Some(Self { entries: entries.collect::<Option<_>>()? })
    }

    /// Returns the whole item in the layout of Windows: the entries, then the keys and values in the same order.
    ///
    /// A number that is too large for its field is replaced by the largest one. Such an item does not read back as the
    /// same locator, so nothing writes it into a file.
    pub fn encode(&self) -> Vec<u8> {
        let short_field = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        let mut table = Encoder::new();
        let mut texts = Encoder::new();
        let entry_count = short_field(self.entries.len());
        table.guid(LOCATOR_TYPE).u16(0).u16(entry_count);
        let first = entry_offset(HEADER_SIZE, ENTRY_SIZE, entry_count.into());
        let place = |texts: &Encoder| {
            let place = u64::try_from(texts.len()).ok().and_then(|len| first.checked_add(len));
            // Too large a number does not read back, so nothing writes such an item (`encode_sound`).
            place.and_then(|place| u32::try_from(place).ok()).unwrap_or(u32::MAX)
        };
        for (key, value) in &self.entries {
            let (key, value) = (utf16(key), utf16(value));
            table.u32(place(&texts));
            texts.put(&key);
            table.u32(place(&texts));
            texts.put(&value);
            table.u16(short_field(key.len())).u16(short_field(value.len()));
        }
        table.put(&texts.into_vec());
        table.into_vec()
    }

    /// Returns the encoded item; `None` if it is too long for a file or does not read back as the same locator.
    pub(crate) fn encode_sound(&self) -> Option<Vec<u8>> {
        let bytes = self.encode();
        let read = Self::validate(&bytes, FileOffset::new(0), &mut Violations::new());
        (bytes.len() <= MAX_LENGTH && read.as_ref() == Some(self)).then_some(bytes)
    }

    /// Parses and validates the item, which starts at `at` in the file.
    ///
    /// Invalid entries are left out. Of several entries with one key, the first is kept. So a locator that is written
    /// from the result is valid.
    pub fn validate(bytes: &[u8], at: FileOffset, violations: &mut Violations) -> Option<Self> {
        let broken = |rule| Violation::new(Structure::ParentLocator, at, rule);
        let mut validator = Validator::new(violations);
        let Ok((table, (locator_type, reserved, entry_count))) = header(bytes) else {
            let structure = Structure::MetadataItem(metadata_item::PARENT_LOCATOR);
            validator.report(Violation::new(structure, at, Rule::MetadataItemSize));
            return None;
        };
        if !validator
            .require(locator_type == LOCATOR_TYPE, broken(Rule::ParentLocatorType).guid(locator_type))
        {
            return None;
        }
        validator.require(reserved == 0, broken(Rule::ParentLocatorReserved).number(reserved));
        let Ok((_, entries)) = entry_table(table, entry_count) else {
            validator.report(broken(Rule::ParentLocatorCount).number(entry_count));
            return None;
        };
        let mut locator = Self::default();
        let mut ignored = Ignored::default();
        for (index, entry) in (0u16..).zip(&entries) {
            let place = Place { at, index };
            match validate_entry(entry, bytes, place, &mut validator) {
                (Some(key), Some(value)) => locator.add(key, value, place, &mut ignored, &mut validator),
                (Some(key), None) => ignored.linkage2 |= key == PARENT_LINKAGE2,
                (None, _) => ignored.unknown = true,
            }
        }
        let may_be_linkage2 = ignored.unknown && locator.get(PARENT_LINKAGE2).is_none();
        validator.require(!ignored.linkage2 && !may_be_linkage2, broken(Rule::ParentLinkageLost));
        locator.validate_keys(at, &mut validator);
        validator.finish(locator)
    }

    /// Adds an entry, unless its key exists already, or it is a `parent_linkage2` that is not a GUID.
    fn add(
        &mut self,
        key: String,
        value: String,
        place: Place,
        ignored: &mut Ignored,
        validator: &mut Validator<'_>,
    ) {
        let is_linkage2 = key == PARENT_LINKAGE2;
        if is_linkage2 && linkage(&value).is_none() {
            ignored.linkage2 = true;
            return;
        }
        let Some(first) = self.get(&key) else {
            self.entries.push((key, value));
            return;
        };
        let is_other = first != value && (linkage(first).is_none() || linkage(first) != linkage(&value));
        ignored.linkage2 |= is_linkage2 && is_other;
        let is_ambiguous = key == PARENT_LINKAGE && is_other;
        let rule = if is_ambiguous { Rule::ParentLinkageAmbiguous } else { Rule::ParentLocatorDuplicate };
        validator.report(place.broken(rule).text(key));
    }

    /// Validates the required keys. An unreadable entry does not prevent this, so that a check reports all violations.
    fn validate_keys(&self, at: FileOffset, validator: &mut Validator<'_>) {
        let broken = |rule| Violation::new(Structure::ParentLocator, at, rule);
        validator.require(self.get(PARENT_LINKAGE).is_some(), broken(Rule::ParentLinkageMissing));
        if let Some(value) = self.get(PARENT_LINKAGE) {
            validator.require(linkage(value).is_some(), broken(Rule::ParentLinkageMalformed).text(value));
        }
        validator.require(self.paths().next().is_some(), broken(Rule::ParentPathMissing));
        if let Some(path) = self.get(ABSOLUTE_WIN32_PATH) {
            validator
                .require(path.starts_with(LITERAL_PATH_PREFIX), broken(Rule::ParentPathPrefix).text(path));
        }
        if let Some(path) = self.get(VOLUME_PATH) {
            validator.require(path.starts_with(VOLUME_PREFIX), broken(Rule::ParentVolumePath).text(path));
        }
    }
}

/// The four bytes with which every mark begins, followed by zeros.
pub(crate) const MARK: u128 = u128::from_be_bytes(*b"merg\0\0\0\0\0\0\0\0\0\0\0\0");

/// Returns whether a linkage is the mark of a merge of several levels, which is the GUID of no file.
pub fn is_mark(linkage: Uuid) -> bool {
    linkage.as_u128() >> 96 == MARK >> 96
}

/// Returns the DataWriteGuids of which the parent must have one, for the linkages of a file.
///
/// Duplicates, zeros and [marks](is_mark) are left out.
pub(crate) fn guids_of_parent(linkages: [Option<Uuid>; 2]) -> Vec<Uuid> {
    let mut guids = Vec::new();
    for guid in linkages.into_iter().flatten() {
        if !guid.is_nil() && !is_mark(guid) && !guids.contains(&guid) {
            guids.push(guid);
        }
    }
    guids
}

/// Parses a linkage: a GUID with hyphens, with or without braces, in upper or lower case.
fn linkage(value: &str) -> Option<Uuid> {
    let bare = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(value); // braces are optional
    if bare.len() != uuid::fmt::Hyphenated::LENGTH {
        return None;
    }
    Uuid::try_parse(bare).ok()
}

/// The position of an entry: its index in the locator at `at`.
#[derive(Clone, Copy)]
struct Place {
    at: FileOffset,
    index: u16,
}

impl Place {
    fn broken(self, rule: Rule) -> Violation {
        // The item may lie at the end of 64 bits, because its place is not validated here.
        let offset = self.at.saturating_add(entry_offset(HEADER_SIZE, ENTRY_SIZE, self.index.into()));
        Violation::new(Structure::ParentLocatorEntry(self.index), offset, rule)
    }
}

/// Ignored entries that may have contained a linkage.
#[derive(Default)]
struct Ignored {
    /// Whether the key of an ignored entry could not be read.
    unknown: bool,
    /// Whether an entry with the key `parent_linkage2` was ignored.
    linkage2: bool,
}

/// Returns the key and the value of an entry, each `None` unless it is text inside the item.
fn validate_entry(
    entry: &Entry,
    item: &[u8],
    place: Place,
    validator: &mut Validator<'_>,
) -> (Option<String>, Option<String>) {
    let (key, value) = (entry.key(item), entry.value(item));
    let are_inside = key.is_some() && value.is_some();
    let (key, value) = (key.and_then(text), value.and_then(text));
    let are_text = key.is_some() && value.is_some();
    let rule = if are_inside { Rule::ParentLocatorText } else { Rule::ParentLocatorEntry };
    validator.require(are_text, place.broken(rule));
    (key, value)
}

/// An entry as stored: the places of its key and its value.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key_offset: u32,
    value_offset: u32,
    key_length: u16,
    value_length: u16,
}

impl Entry {
    fn key<'a>(&self, item: &'a [u8]) -> Option<&'a [u8]> {
        place_of_text(item, self.key_offset, self.key_length)
    }

    fn value<'a>(&self, item: &'a [u8]) -> Option<&'a [u8]> {
        place_of_text(item, self.value_offset, self.value_length)
    }
}

/// Returns the bytes of a key or a value, if they lie inside the item and can be text.
fn place_of_text(item: &[u8], offset: u32, length: u16) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::from(length))?;
    let is_sound = offset > 0 && length > 0 && length.is_multiple_of(2);
    item.get(start..end).filter(|_| is_sound)
}

fn text(bytes: &[u8]) -> Option<String> {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    String::from_utf16(&units).ok()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Parses the locator type, the reserved field and the entry count.
fn header(input: &[u8]) -> Parsed<'_, (Uuid, u16, u16)> {
    (bytes::guid, le_u16, le_u16).parse(input)
}

fn entry_table(input: &[u8], entry_count: u16) -> Parsed<'_, Vec<Entry>> {
    if usize::from(entry_count) > MAX_ENTRIES {
        return Err(nom::Err::Error(()));
    }
    count(entry, usize::from(entry_count)).parse(input)
}

fn entry(input: &[u8]) -> Parsed<'_, Entry> {
    let (input, (key_offset, value_offset, key_length, value_length)) =
        (le_u32, le_u32, le_u16, le_u16).parse(input)?;
    Ok((input, Entry { key_offset, value_offset, key_length, value_length }))
}

#[cfg(test)]
mod tests;
