//! The parent locator: which disk is the parent, and the paths where it may be ([MS-VHDX] 2.6.2.6).
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
//! Keys and values are UTF-16LE without an end mark. Offsets are in bytes from the start of the item, lengths in bytes.

use nom::Parser;
use nom::multi::count;
use nom::number::complete::{le_u16, le_u32};
use uuid::{Uuid, uuid};

use super::bytes::{self, Encoder, Parsed};
use super::metadata_item;
use super::validator::Validator;
use crate::rules::Rule;
use crate::units::FileOffset;
use crate::violation::{Structure, Violation, Violations};
use crate::windows_path::StoredPath;

/// The type of the locators of VHDX parents ([MS-VHDX] 2.6.2.6.3).
pub const LOCATOR_TYPE: Uuid = uuid!("b04aefb7-d19e-4a81-b789-25b8e9445913");
/// The key of the parent's DataWriteGuid.
pub const PARENT_LINKAGE: &str = "parent_linkage";
/// The key of another DataWriteGuid that the parent may have.
pub const PARENT_LINKAGE2: &str = "parent_linkage2";
/// The key of the parent's path relative to the child.
pub const RELATIVE_PATH: &str = "relative_path";
/// The key of the parent's path below a volume GUID.
pub const VOLUME_PATH: &str = "volume_path";
/// The key of the parent's path below a drive letter or a share.
pub const ABSOLUTE_WIN32_PATH: &str = "absolute_win32_path";
/// How many entries are accepted.
pub const MAX_ENTRIES: usize = 256;

/// What a metadata item may be long.
const MAX_LENGTH: usize = 1 << 20;
const HEADER_SIZE: usize = 20;
const ENTRY_SIZE: usize = 12;
/// What absolute paths begin with, so that Windows takes them as they are.
const LITERAL_PATH_PREFIX: &str = r"\\?\";
const VOLUME_PREFIX: &str = r"\\?\Volume{";

/// The parent locator ([MS-VHDX] 2.6.2.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentLocator {
    /// Keys and values, in the order of the file.
    pub entries: Vec<(String, String)>,
}

impl ParentLocator {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    /// The DataWriteGuids of which the parent must have one: `parent_linkage`, then `parent_linkage2`, each only once
    /// and only if it is neither zero nor a [mark](is_mark).
    pub fn linkages(&self) -> Vec<Uuid> {
        let mut linkages = Vec::new();
        for guid in [self.parent_linkage(), self.parent_linkage2()].into_iter().flatten() {
            if !guid.is_nil() && !is_mark(guid) && !linkages.contains(&guid) {
                linkages.push(guid);
            }
        }
        linkages
    }

    /// The value of `parent_linkage`, also if it is zero.
    pub fn parent_linkage(&self) -> Option<Uuid> {
        linkage(self.get(PARENT_LINKAGE)?)
    }

    /// The value of `parent_linkage2`, also if it is zero.
    pub fn parent_linkage2(&self) -> Option<Uuid> {
        linkage(self.get(PARENT_LINKAGE2)?)
    }

    /// The stored paths as pairs (key, path), in the order in which to try them: relative, volume, absolute.
    pub fn paths(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [RELATIVE_PATH, VOLUME_PATH, ABSOLUTE_WIN32_PATH]
            .into_iter()
            .filter_map(|key| Some((key, self.get(key)?)))
    }

    /// Returns the stored paths in the order in which to try them.
    pub(crate) fn stored_paths(&self) -> Vec<StoredPath> {
        self.paths().map(|(key, path)| StoredPath { key, path: path.to_owned() }).collect()
    }

    /// Reads the entries, if every one of them is text inside the item.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (table, (_, _, entry_count)) = header(bytes).ok()?;
        let (_, entries) = entry_table(table, entry_count).ok()?;
        let entries =
            entries.iter().map(|entry| Some((text(entry.key(bytes)?)?, text(entry.value(bytes)?)?)));
        Some(Self { entries: entries.collect::<Option<_>>()? })
    }

    /// The whole item as Windows lays it out: the entries, then the keys and values in the same order.
    pub fn encode(&self) -> Vec<u8> {
        let mut table = Encoder::new();
        let mut texts = Encoder::new();
        let mut place = self.entries.len().saturating_mul(ENTRY_SIZE).saturating_add(HEADER_SIZE);
        let entry_count = u16::try_from(self.entries.len()).unwrap_or(u16::MAX);
        table.guid(LOCATOR_TYPE).u16(0).u16(entry_count);
        for (key, value) in &self.entries {
            let (key, value) = (utf16(key), utf16(value));
            let value_place = place.saturating_add(key.len());
            table.u32(u32::try_from(place).unwrap_or(u32::MAX));
            table.u32(u32::try_from(value_place).unwrap_or(u32::MAX));
            table.u16(u16::try_from(key.len()).unwrap_or(u16::MAX));
            table.u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
            texts.put(&key).put(&value);
            place = value_place.saturating_add(value.len());
        }
        table.put(&texts.into_vec());
        table.into_vec()
    }

    /// As [`encode`](Self::encode), if a file can hold the item and it reads back as what it is.
    pub(crate) fn encode_sound(&self) -> Option<Vec<u8>> {
        let bytes = self.encode();
        let read = Self::validate(&bytes, FileOffset::new(0), &mut Violations::new());
        (bytes.len() <= MAX_LENGTH && read.as_ref() == Some(self)).then_some(bytes)
    }

    /// Reads and validates the item, which starts at `at` in the file. Entries that are not valid are left out, and of
    /// several entries with one key the first one is kept, so what is written from the result is valid again.
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
        validator.verdict(locator)
    }

    /// Adds an entry, unless its key is there already or its value is no linkage where one is needed.
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

    /// The rules about keys that must be there. They are judged even where an entry was unreadable, for `check`.
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

/// With these bytes begins a linkage that is a mark.
pub(crate) const MARK: u128 = u128::from_be_bytes(*b"merg\0\0\0\0\0\0\0\0\0\0\0\0");

/// Whether a linkage names no file, but is the mark of a merge of several levels.
pub fn is_mark(linkage: Uuid) -> bool {
    linkage.as_u128() >> 96 == MARK >> 96
}

/// A linkage is a GUID with hyphens, with or without braces, in any case.
fn linkage(value: &str) -> Option<Uuid> {
    let bare = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(value);
    if bare.len() != uuid::fmt::Hyphenated::LENGTH {
        return None;
    }
    Uuid::try_parse(bare).ok()
}

/// Where an entry is: its position in the locator at `at`.
#[derive(Clone, Copy)]
struct Place {
    at: FileOffset,
    index: u16,
}

impl Place {
    fn broken(self, rule: Rule) -> Violation {
        let place = usize::from(self.index).saturating_mul(ENTRY_SIZE).saturating_add(HEADER_SIZE);
        let offset = self.at.saturating_add(u64::try_from(place).unwrap_or(u64::MAX));
        Violation::new(Structure::ParentLocatorEntry(self.index), offset, rule)
    }
}

/// Which entries were ignored that say more than where to look for the parent.
#[derive(Default)]
struct Ignored {
    /// An entry whose key could not be read.
    unknown: bool,
    /// An entry with the key `parent_linkage2`.
    linkage2: bool,
}

/// The key and the value, each if it is text inside the item.
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

/// An entry as it is stored: where its key and its value are.
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

/// The bytes of a key or a value, if they lie inside the item and can be text.
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

/// The locator type, the reserved number and the entry count.
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
