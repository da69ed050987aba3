//! Defines what can be wrong or doubtful in a partition table.

use std::fmt;

/// A fact about a partition table or a partition that is wrong or doubtful.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableFinding {
    /// A part of the disk cannot be read.
    Unreadable {
        /// The part, such as `content`.
        part: &'static str,
        /// The error.
        error: String,
    },
    /// The table counts in sectors of another size than the disk has.
    OtherSectorSize {
        /// The sector size of the table in bytes.
        table: u32,
        /// The sector size of the disk in bytes.
        disk: u32,
    },
    /// Sector 0 has no protective MBR: most programs ignore the GPT.
    NoProtectiveMbr,
    /// The MBR has partitions beside the protective one.
    HybridMbr {
        /// The number of the other partitions.
        partitions: usize,
    },
    /// The primary copy of the GPT cannot be used.
    PrimaryDamaged {
        /// Why it cannot be used.
        why: String,
    },
    /// The backup copy of the GPT cannot be used.
    BackupDamaged {
        /// Why it cannot be used.
        why: String,
    },
    /// The entries of both copies are damaged. They are shown as they are.
    DamagedEntries {
        /// How they are damaged.
        why: String,
    },
    /// The backup copy of the GPT is not in the last sector.
    BackupElsewhere {
        /// The position of its header in bytes.
        at: u64,
        /// The position of the last sector in bytes.
        last: u64,
    },
    /// The two copies of the GPT differ.
    CopiesDiffer {
        /// The field that differs.
        field: &'static str,
    },
    /// The GPT has more entries than are read.
    TooManyEntries {
        /// The number of entries.
        entries: u32,
        /// The number of entries that are read.
        read: u32,
    },
    /// The MBR has a protective partition, but there is no usable GPT.
    NoGpt {
        /// Why the GPT cannot be used.
        why: String,
    },
    /// There is a GPT, but sector 0 does not lead to it.
    IgnoredGpt,
    /// A chain of logical partitions ends with an error.
    BrokenExtended {
        /// The position of the extended boot record in bytes.
        at: u64,
        /// Why it ends.
        why: String,
    },
    /// A partition ends before it begins.
    Reversed {
        /// The number of the partition, which is left out.
        number: u32,
    },
    /// A partition begins past the end of the disk.
    StartsPastEnd {
        /// The number of the partition, which is left out.
        number: u32,
    },
    /// The partition ends past the end of the disk. It is shortened.
    EndsPastEnd,
    /// The partition begins before the range, or ends after the range, that the GPT header allows.
    OutsideUsable,
    /// The logical partition is not within its extended partition.
    OutsideExtended,
    /// The partition overlaps another one.
    Overlaps {
        /// The number of the other partition.
        other: u32,
    },
}

impl fmt::Display for TableFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { part, error } => write!(f, "the {part} cannot be read: {error}"),
            Self::OtherSectorSize { table, disk } => write!(
                f,
                "the partition table counts in sectors of {table} bytes, but the disk has sectors of {disk} bytes: a \
                 virtual machine finds other partitions or none"
            ),
            Self::NoProtectiveMbr => write!(f, "there is no protective MBR: most systems ignore the GPT"),
            Self::HybridMbr { partitions: 1 } => write!(f, "hybrid MBR: it also lists 1 partition"),
            Self::HybridMbr { partitions } => write!(f, "hybrid MBR: it also lists {partitions} partitions"),
            Self::PrimaryDamaged { why } => {
                write!(f, "the primary GPT is damaged, so the backup is shown: {why}")
            }
            Self::BackupDamaged { why } => write!(f, "the backup GPT is damaged or missing: {why}"),
            Self::DamagedEntries { why } => {
                write!(f, "the entries of the GPT are damaged, and shown as they are: {why}")
            }
            Self::BackupElsewhere { at, last } => write!(
                f,
                "the backup GPT is at byte {at} and not in the last sector at byte {last}: the disk was resized"
            ),
            Self::CopiesDiffer { field } => {
                write!(f, "the primary GPT and its backup differ: {field}; the primary is shown")
            }
            Self::TooManyEntries { entries, read } => {
                write!(f, "the GPT has {entries} entries: only the first {read} are read")
            }
            Self::NoGpt { why } => {
                write!(f, "the MBR says that there is a GPT, but it cannot be used: {why}")
            }
            Self::IgnoredGpt => write!(
                f,
                "there is also a GPT, which is ignored: sector 0 has no protective partition for it"
            ),
            Self::BrokenExtended { at, why } => {
                write!(f, "the list of logical partitions ends at byte {at}: {why}")
            }
            Self::Reversed { number } => {
                write!(f, "partition {number} ends before it begins, and is left out")
            }
            Self::StartsPastEnd { number } => {
                write!(f, "partition {number} begins past the end of the disk, and is left out")
            }
            Self::EndsPastEnd => write!(f, "it ends past the end of the disk, and is shown shortened"),
            Self::OutsideUsable => write!(f, "it is not within the range that the GPT header allows"),
            Self::OutsideExtended => write!(f, "it is not within its extended partition"),
            Self::Overlaps { other } => write!(f, "it overlaps partition {other}"),
        }
    }
}
