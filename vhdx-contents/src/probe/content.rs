//! Defines what a partition holds, as its superblocks say.

use std::fmt;

use super::kind::ContentKind;

/// A file system or another use of a partition, as its superblocks say.
///
/// The superblocks are untrusted: labels may contain control characters, and sizes may be larger than the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Content {
    /// What it is.
    pub kind: ContentKind,
    /// The version of the format, such as `3.1` for NTFS or `1.2` for Linux RAID, if it stores one.
    pub version: Option<String>,
    /// The label of a file system, or the name of the volume group, pool or array that the partition belongs to.
    pub label: Option<String>,
    /// The UUID or serial number, spelled as `blkid` does.
    pub uuid: Option<String>,
    /// The size in bytes that the superblock stores.
    pub size: Option<u64>,
    /// The bytes in use, if the superblock stores them or the number of free blocks.
    pub used: Option<u64>,
    /// The unit of allocation in bytes.
    pub block_size: Option<u32>,
    /// Whether it was unmounted cleanly, if the superblock says so.
    pub clean: Option<bool>,
    /// What is wrong or doubtful.
    pub findings: Vec<Finding>,
}

impl Content {
    /// Returns the content of a kind of which nothing else is known.
    pub(super) fn new(kind: ContentKind) -> Self {
        Self {
            kind,
            version: None,
            label: None,
            uuid: None,
            size: None,
            used: None,
            block_size: None,
            clean: None,
            findings: Vec::new(),
        }
    }
}

/// A fact about a superblock that is wrong or doubtful.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The checksum of a structure is wrong.
    BadChecksum {
        /// The structure, such as `superblock`.
        structure: &'static str,
    },
    /// The checksum of a structure was not verified.
    Unverified {
        /// The structure, such as `superblock`.
        structure: &'static str,
        /// Why it was not verified.
        why: &'static str,
    },
    /// A structure is missing, or its fields contradict each other.
    Invalid {
        /// The structure, such as `backup boot sector`.
        structure: &'static str,
        /// How it is invalid.
        why: String,
    },
    /// The superblock describes more bytes than the partition has.
    LargerThanPartition {
        /// The size in bytes that the superblock stores.
        size: u64,
        /// The size of the partition in bytes.
        partition: u64,
    },
    /// The partition also holds a valid superblock of another kind.
    AlsoFound(ContentKind),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::BadChecksum { structure } => write!(f, "the checksum of the {structure} is wrong"),
            Finding::Unverified { structure, why } => {
                write!(f, "the checksum of the {structure} was not verified: {why}")
            }
            Finding::Invalid { structure, why } => write!(f, "the {structure} is invalid: {why}"),
            Finding::LargerThanPartition { size, partition } => {
                write!(f, "its size is {size} bytes, but the partition has only {partition} bytes")
            }
            Finding::AlsoFound(kind) => write!(f, "there is also a valid superblock of {}", kind.name()),
        }
    }
}
