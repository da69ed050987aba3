//! Warnings: parts of a file that were skipped or could not be understood.

use std::fmt;

use crate::limits::MAX_WARNINGS;
use crate::value::ValueType;

/// Something in a file that was skipped or could not be understood. The rest of the file was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Warning {
    /// The offset in the file.
    pub offset: u64,
    /// What is wrong there.
    pub problem: Problem,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:#x}: {}", self.offset, self.problem)
    }
}

/// What is wrong at one place in a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Problem {
    /// One of the two headers is damaged. The other one was used.
    #[error("one of the two headers is damaged; the other one was used")]
    Header,
    /// A field of the header has a value that is unknown.
    #[error("the header has an unknown data version or unknown flags")]
    HeaderField,
    /// An object table has fewer entries than fit into it, so its number of entries may be damaged. Keys may be missing.
    #[error("an object table has only {count} entries instead of {expected}; keys may be missing or old")]
    ObjectTableCount {
        /// The number of entries that the table says.
        count: u32,
        /// The number of entries that fit into the table.
        expected: u32,
    },
    /// An entry of the object table has a wrong checksum. The keys of a key table may be missing, or those of an older
    /// version of it were read.
    #[error("an object table entry is damaged and was skipped; keys may be missing or old")]
    ObjectEntry,
    /// An entry of the object table has a type that is unknown, or does not belong there.
    #[error("an object table entry has the unexpected type {0} and was skipped")]
    ObjectType(u8),
    /// A key table has a wrong signature or checksum, or lies past the end of the file. Its keys are missing, or those of
    /// an older version of it were read.
    #[error("a key table is damaged and was skipped; keys are missing or may be old")]
    KeyTable,
    /// A key table was read, and a damaged one seems to have the same index. That one may have been newer.
    #[error(
        "the keys of the key table {0} may be old: a damaged table that was skipped seems to have the same index"
    )]
    OldKeys(u16),
    /// A key table is cut short by the end of the file. Keys may be missing.
    #[error("a key table is cut short by the end of the file; keys may be missing")]
    KeyTableCut,
    /// A key has an impossible size. The rest of its table was skipped.
    #[error("a key has an impossible size; it and the rest of its key table were skipped")]
    KeySize,
    /// A key has a wrong checksum or impossible lengths. It was skipped.
    #[error("a key is damaged and was skipped")]
    Key,
    /// A free entry has a checksum, which only keys have. It was skipped.
    #[error("an entry that is marked as free has a checksum; it may be a damaged key and was skipped")]
    FreeKey,
    /// A key has an unknown type. It was skipped.
    #[error("a key has the unknown type {0} and was skipped")]
    KeyType(u8),
    /// The name of a key is not UTF-8, or has no final NUL.
    #[error("the name of the key {0:?} is not UTF-8 or has no final NUL")]
    Name(String),
    /// The parent of a key is missing or is no node. The key was skipped.
    #[error("the parent of the key {0:?} is missing or is no node; the key was skipped")]
    Parent(String),
    /// A key is its own ancestor. It was skipped.
    #[error("the key {0:?} is its own ancestor; it was skipped")]
    Cycle(String),
    /// A key has too many ancestors. It was skipped.
    #[error("the key {0:?} has too many ancestors; it was skipped")]
    Depth(String),
    /// Keys below a key that was skipped were skipped, too. The offset is that of the first one.
    #[error("{0} more keys were skipped, because they belong to keys that were skipped")]
    Descendants(usize),
    /// A value that its type does not permit. It is a [`Value::Malformed`](crate::Value::Malformed).
    #[error("the value of the key {name:?} is no valid {value_type}")]
    Value {
        /// The name of the key.
        name: String,
        /// The type that the file says.
        value_type: ValueType,
    },
    /// An element of an XML file has an unknown type. Its value was read as text.
    #[error("the key {0:?} has an unknown type and was read as text")]
    XmlType(String),
    /// Text between the elements of an XML file. It was skipped.
    #[error("text in the node {0:?} was skipped")]
    XmlText(String),
    /// The value of a key lies outside of the file, or the file objects overlap. The value cannot be read.
    #[error("the value of the key {0:?} lies outside of the file, or overlaps the value of another key")]
    FileObject(String),
    /// The value of a key lies in a part of the file that no object table describes as a file object.
    #[error("no object table describes the value of the key {0:?}; it may be wrong")]
    FileObjectPlace(String),
    /// A key that a machine has once is there several times with different values. The first one was used.
    #[error("the key {0:?} is there several times with different values; the first one was used")]
    Repeated(String),
    /// A key of a machine has a type or a value that is not known for it. It was ignored.
    #[error("the key {0:?} has a type or a value that is not known; it was ignored")]
    Unexpected(String),
    /// The text of a key that a machine has, which is stored outside of the key tables, cannot be read.
    #[error("the text of the key {name:?} cannot be read: {why}")]
    Unreadable {
        /// The path of the key.
        name: String,
        /// The error.
        why: String,
    },
}

/// Warnings about one file, at most [`MAX_WARNINGS`](crate::MAX_WARNINGS).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Warnings {
    /// The warnings, in the order in which they were found.
    pub listed: Vec<Warning>,
    /// The number of further warnings, which are not listed.
    pub more: u64,
}

impl Warnings {
    /// Returns whether there are no warnings.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    pub(crate) fn add(&mut self, offset: u64, problem: Problem) {
        if self.listed.len() < MAX_WARNINGS {
            self.listed.push(Warning { offset, problem });
        } else {
            // Saturating: a count this large is not exact for anybody.
            self.more = self.more.saturating_add(1);
        }
    }
}
