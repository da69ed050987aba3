//! Defines a violation of a format rule, and the list to which validators report violations.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use crate::metadata_id;
use crate::rules::{Rule, Severity};
use crate::units::{BatIndex, BlockIndex, ChunkIndex, FileOffset};

/// A structure of the file, named as in the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Structure {
    /// The file type identifier ([MS-VHDX] 2.2.1).
    FileTypeIdentifier,
    /// A header, 1 or 2 ([MS-VHDX] 2.2.2).
    Header(u8),
    /// A region table, 1 or 2 ([MS-VHDX] 2.2.3).
    RegionTable(u8),
    /// An entry of a region table, by its index ([MS-VHDX] 2.2.3.2).
    RegionTableEntry(u32),
    /// The log as a whole ([MS-VHDX] 2.3).
    Log,
    /// A log entry ([MS-VHDX] 2.3.1).
    LogEntry,
    /// A descriptor of a log entry, by its index ([MS-VHDX] 2.3.1.2).
    LogDescriptor(u32),
    /// The block allocation table as a whole ([MS-VHDX] 2.5).
    Bat,
    /// An entry of the block allocation table ([MS-VHDX] 2.5.1).
    BatEntry(BatIndex),
    /// A payload block ([MS-VHDX] 2.4).
    PayloadBlock(BlockIndex),
    /// A sector bitmap block ([MS-VHDX] 2.4).
    SectorBitmapBlock(ChunkIndex),
    /// The metadata table ([MS-VHDX] 2.6.1).
    MetadataTable,
    /// An entry of the metadata table, by its index ([MS-VHDX] 2.6.1.2).
    MetadataTableEntry(u16),
    /// A metadata item, by its id ([MS-VHDX] 2.6.2).
    MetadataItem(Uuid),
    /// The parent locator ([MS-VHDX] 2.6.2.6).
    ParentLocator,
    /// An entry of the parent locator, by its index ([MS-VHDX] 2.6.2.6.2).
    ParentLocatorEntry(u16),
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Structure::FileTypeIdentifier => f.write_str("file type identifier"),
            Structure::Header(n) => write!(f, "header {n}"),
            Structure::RegionTable(n) => write!(f, "region table {n}"),
            Structure::RegionTableEntry(n) => write!(f, "region table entry {n}"),
            Structure::Log => f.write_str("log"),
            Structure::LogEntry => f.write_str("log entry"),
            Structure::LogDescriptor(n) => write!(f, "log descriptor {n}"),
            Structure::Bat => f.write_str("BAT"),
            Structure::BatEntry(n) => write!(f, "BAT entry {n}"),
            Structure::PayloadBlock(n) => write!(f, "payload block {n}"),
            Structure::SectorBitmapBlock(n) => write!(f, "sector bitmap block {n}"),
            Structure::MetadataTable => f.write_str("metadata table"),
            Structure::MetadataTableEntry(n) => write!(f, "metadata table entry {n}"),
            Structure::MetadataItem(id) => {
                write!(f, "metadata item {}", metadata_id::name_of(*id))
            }
            Structure::ParentLocator => f.write_str("parent locator"),
            Structure::ParentLocatorEntry(n) => write!(f, "parent locator entry {n}"),
        }
    }
}

/// The value in the file that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Found {
    /// No value: the rule says everything.
    Nothing,
    /// A number.
    Number(u64),
    /// The length of the file in bytes.
    FileLength(u64),
    /// The offset of a block.
    Place(FileOffset),
    /// A GUID.
    Guid(Uuid),
    /// A text.
    Text(String),
    /// Another structure that conflicts with this one.
    Other(Structure),
}

/// A rule that a file breaks, and the place in the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Violation {
    pub(crate) structure: Structure,
    pub(crate) offset: FileOffset,
    pub(crate) rule: Rule,
    pub(crate) found: Found,
}

impl Violation {
    /// Creates a violation without a value.
    pub const fn new(structure: Structure, offset: FileOffset, rule: Rule) -> Self {
        Self { structure, offset, rule, found: Found::Nothing }
    }

    /// Adds the number that was found.
    pub fn number(self, number: impl Into<u64>) -> Self {
        Self { found: Found::Number(number.into()), ..self }
    }

    /// Adds the length of the file.
    pub fn file_length(self, bytes: u64) -> Self {
        Self { found: Found::FileLength(bytes), ..self }
    }

    /// Adds the offset of the block.
    pub fn place(self, offset: FileOffset) -> Self {
        Self { found: Found::Place(offset), ..self }
    }

    /// Adds the GUID that was found.
    pub fn guid(self, guid: Uuid) -> Self {
        Self { found: Found::Guid(guid), ..self }
    }

    /// Adds the text that was found.
    pub fn text(self, text: impl Into<String>) -> Self {
        Self { found: Found::Text(text.into()), ..self }
    }

    /// Adds the structure that conflicts with this one.
    pub fn other(self, other: Structure) -> Self {
        Self { found: Found::Other(other), ..self }
    }

    /// Returns the structure that breaks the rule.
    pub const fn structure(&self) -> Structure {
        self.structure
    }

    /// Returns the offset of that structure in the file.
    pub const fn offset(&self) -> FileOffset {
        self.offset
    }

    /// Returns the broken rule.
    pub const fn rule(&self) -> Rule {
        self.rule
    }

    /// Returns the value that was found there.
    pub const fn found(&self) -> &Found {
        &self.found
    }

    /// Returns the severity of the broken rule.
    pub const fn severity(&self) -> Severity {
        self.rule.severity()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.structure, self.offset, self.rule.message())?;
        match &self.found {
            Found::Nothing => {}
            Found::Number(number) => write!(f, " (found {number})")?,
            Found::FileLength(0) => f.write_str(" (the file is empty)")?,
            Found::FileLength(bytes) => write!(f, " (the file has {bytes} bytes)")?,
            Found::Place(offset) => write!(f, " (the block begins at {offset})")?,
            Found::Guid(guid) => write!(f, " (found {guid})")?,
            Found::Text(text) => write!(f, " (found {text:?})")?,
            Found::Other(structure) => write!(f, " (with {structure})")?,
        }
        write!(f, " ([MS-VHDX] {})", self.rule.section())
    }
}

/// A list to which validators report violations.
///
/// Opening a file stops at the first violation that is not tolerated; a check reports all of them.
///
/// A hostile file can break a rule in each of millions of BAT entries. So only the first [`LIMIT`](Self::LIMIT)
/// violations are kept, and then as many again that are not tolerated. [`dropped`](Self::dropped) counts the others.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Violations {
    list: Vec<Violation>,
    /// The number of violations of each rule, including those that were not kept.
    counts: BTreeMap<Rule, u64>,
    dropped: u64,
    /// The first violation that is not tolerated. It is kept even when the list is full.
    #[cfg_attr(feature = "serde", serde(skip))]
    first: Option<Violation>,
}

impl Violations {
    /// The number of violations of any severity that are kept.
    pub const LIMIT: usize = 10_000;

    /// Creates an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a violation.
    pub fn report(&mut self, violation: Violation) {
        let count = self.counts.entry(violation.rule).or_default();
        *count += 1; // no file has 2^64 violations
        self.keep(violation);
    }

    fn keep(&mut self, violation: Violation) {
        if self.first.is_none() && violation.severity() > Severity::Tolerated {
            self.first = Some(violation.clone());
        }
        let limit = if violation.severity() > Severity::Tolerated { 2 * Self::LIMIT } else { Self::LIMIT };
        if self.list.len() < limit {
            self.list.push(violation);
        } else {
            self.dropped += 1;
        }
    }

    /// Adds all violations and counts of another list.
    pub fn append(&mut self, other: Self) {
        let Self { list, counts, dropped, first } = other;
        list.into_iter().for_each(|violation| self.keep(violation));
        for (rule, more) in counts {
            let count = self.counts.entry(rule).or_default();
            *count += more;
        }
        self.dropped += dropped;
        self.first = self.first.take().or(first);
    }

    /// Returns the kept violations, in the order in which they were reported.
    pub fn as_slice(&self) -> &[Violation] {
        &self.list
    }

    /// Returns each broken rule with its number of violations, including those that were not kept.
    pub fn counts(&self) -> impl Iterator<Item = (Rule, u64)> {
        self.counts.iter().map(|(&rule, &count)| (rule, count))
    }

    /// Returns whether no further violation would be kept. A check then stops early.
    pub fn is_full(&self) -> bool {
        self.list.len() >= 2 * Self::LIMIT
    }

    /// Returns the number of violations that were not kept.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns the first violation that is not tolerated, as an error.
    ///
    /// # Errors
    /// The violation, if there is one. It converts into [`Error::Corrupt`](crate::Error::Corrupt) or
    /// [`Error::Unsupported`](crate::Error::Unsupported).
    pub fn ensure_none_fatal(&self) -> Result<(), Violation> {
        self.first.as_ref().map_or(Ok(()), |violation| Err(violation.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fatal_violation_is_listed_even_if_tolerated_ones_fill_the_list() {
        let mut violations = Violations::new();
        let violation = |rule| Violation::new(Structure::Bat, FileOffset::new(0), rule);
        for _ in 0..Violations::LIMIT + 5 {
            violations.report(violation(Rule::BatZeroOffset));
        }
        assert!(violations.ensure_none_fatal().is_ok());
        violations.report(violation(Rule::BatStateReserved));
        assert!(violations.ensure_none_fatal().is_err());
        assert_eq!((violations.as_slice().len(), violations.dropped()), (Violations::LIMIT + 1, 5));

        let mut all = Violations::new();
        all.report(violation(Rule::BatStateReserved));
        all.append(violations);
        let counts = [(Rule::BatZeroOffset, Violations::LIMIT as u64 + 5), (Rule::BatStateReserved, 2)];
        let mut found: Vec<_> = all.counts().collect();
        found.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        assert_eq!(found, counts);
    }
}
