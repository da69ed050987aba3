//! Defines what a partition table says: the table itself and its partitions.

use std::fmt;

use vhdx::Guid;

use super::finding::TableFinding;
use super::types;
use crate::probe::{Content, TypeHint};

/// The kind of a partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TableKind {
    /// A GUID Partition Table.
    Gpt,
    /// A Master Boot Record.
    Mbr,
    /// An Apple Partition Map.
    Apple,
    /// A BSD disklabel.
    Bsd,
    /// There is no partition table.
    None,
}

impl TableKind {
    /// Returns the name in reports: `gpt`, `mbr`, `apple`, `bsd` or `none`.
    pub const fn name(self) -> &'static str {
        match self {
            TableKind::Gpt => "gpt",
            TableKind::Mbr => "mbr",
            TableKind::Apple => "apple",
            TableKind::Bsd => "bsd",
            TableKind::None => "none",
        }
    }
}

/// What identifies a disk in its partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskId {
    /// The GUID of a GPT.
    Guid(Guid),
    /// The signature of an MBR.
    Signature(u32),
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskId::Guid(guid) => guid.fmt(f),
            DiskId::Signature(signature) => write!(f, "0x{signature:08x}"),
        }
    }
}

/// The partition table of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionTable {
    /// The kind.
    pub kind: TableKind,
    /// The size in bytes of the sectors in which the table counts.
    pub sector_size: u32,
    /// What identifies the disk, if the table has such a field and it is not zero.
    pub id: Option<DiskId>,
}

/// A partition table with its partitions.
pub(crate) struct Table {
    pub(crate) table: PartitionTable,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) findings: Vec<TableFinding>,
    /// Whether the whole disk may have content, too: an empty table may be the rest of an older use of the disk, and an
    /// image of a CD can have a partition table.
    pub(crate) may_have_content: bool,
}

impl Table {
    /// Returns a table without partitions.
    pub(super) fn new(kind: TableKind, sector_size: u32, id: Option<DiskId>) -> Self {
        let table = PartitionTable { kind, sector_size, id };
        Self { table, partitions: Vec::new(), findings: Vec::new(), may_have_content: false }
    }

    /// Adds a finding, if there is one.
    pub(super) fn with(mut self, finding: Option<TableFinding>) -> Self {
        self.findings.extend(finding);
        self
    }
}

/// The type of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeId {
    /// The type of a GPT entry.
    Guid(Guid),
    /// The type of an MBR entry or of a BSD partition.
    Byte(u8),
    /// The type in an Apple Partition Map. It is untrusted text.
    Text(String),
}

impl fmt::Display for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypeId::Guid(guid) => guid.fmt(f),
            TypeId::Byte(byte) => write!(f, "0x{byte:02x}"),
            TypeId::Text(text) => f.write_str(text),
        }
    }
}

/// A partition. It is within the disk, and it is not empty.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Partition {
    /// The number that Linux gives the partition: from 1 on; 5 is the first logical partition of an MBR.
    pub number: u32,
    /// The position on the disk in bytes.
    pub start: u64,
    /// The length in bytes. It is at least 1.
    pub len: u64,
    /// The type.
    pub type_id: TypeId,
    /// The name of the type, if it is a common one.
    pub type_name: Option<&'static str>,
    /// The name that the table gives the partition; only GPT and Apple have names. It is untrusted text.
    pub name: Option<String>,
    /// The unique GUID of a GPT partition.
    pub guid: Option<Guid>,
    /// The attributes of a GPT partition: a set of bits.
    pub attributes: u64,
    /// Whether the partition is marked as the one to boot from: the active flag of an MBR, the legacy flag of a GPT.
    pub is_bootable: bool,
    /// Whether this is the extended partition of an MBR, which contains the logical ones.
    pub is_extended: bool,
    /// What was recognized in the partition.
    pub content: Option<Content>,
    /// What is wrong or doubtful.
    pub findings: Vec<TableFinding>,
}

impl Partition {
    pub(super) fn new(number: u32, place: Place, type_id: TypeId, type_name: Option<&'static str>) -> Self {
        Self {
            number,
            start: place.start,
            len: place.len,
            type_id,
            type_name,
            name: None,
            guid: None,
            attributes: 0,
            is_bootable: false,
            is_extended: false,
            content: None,
            findings: if place.is_shortened { vec![TableFinding::EndsPastEnd] } else { Vec::new() },
        }
    }

    pub(super) fn of_mbr(number: u32, place: Place, type_byte: u8) -> Self {
        Self::new(number, place, TypeId::Byte(type_byte), types::of_mbr(type_byte))
    }

    /// Returns the position of the first byte after the partition.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }

    pub(crate) fn hint(&self, kind: TableKind) -> TypeHint {
        match (&self.type_id, kind) {
            (TypeId::Guid(guid), _) => TypeHint::Gpt(guid.to_bytes_le()),
            (TypeId::Byte(byte), TableKind::Mbr) => TypeHint::Mbr(*byte),
            _ => TypeHint::None,
        }
    }
}

/// A range of the disk in bytes that is not empty.
#[derive(Clone, Copy)]
pub(super) struct Place {
    start: u64,
    len: u64,
    is_shortened: bool,
}

impl Place {
    /// Returns the part of a range of sectors that is on a disk of `disk_len` bytes; `None` if there is none.
    pub(super) fn of(first: u64, sectors: u64, sector_size: u32, disk_len: u64) -> Option<Self> {
        let start = first.checked_mul(sector_size.into()).filter(|start| *start < disk_len)?;
        let wanted = sectors.saturating_mul(sector_size.into());
        let len = wanted.min(disk_len.saturating_sub(start));
        (len > 0).then_some(Self { start, len, is_shortened: len < wanted })
    }
}
