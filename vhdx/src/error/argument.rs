//! Defines the reasons why an argument of a call is not valid.

use std::path::PathBuf;

use crate::quoted::Quoted;
use crate::units::DiskOffset;

/// The reason why an argument of a call is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidArgument {
    /// A range that reaches past the end of the disk.
    #[error("{len} bytes at {start} reach past the end of the disk, which has {virtual_size} bytes")]
    PastEndOfDisk {
        /// The start of the range.
        start: DiskOffset,
        /// The length of the range in bytes.
        len: u64,
        /// The size of the disk in bytes.
        virtual_size: u64,
    },
    /// A range that ends before its start.
    #[error("the range ends at {end}, before its start at {start}")]
    RangeReversed {
        /// The start of the range.
        start: DiskOffset,
        /// The end of the range.
        end: DiskOffset,
    },
    /// A block size that is not a power of two from 1 MiB to 256 MiB ([MS-VHDX] 2.6.2.1).
    #[error("a block size of {0} bytes is not valid: it must be a power of two from 1 MiB to 256 MiB")]
    BlockSize(u64),
    /// A size of blocks to hash that is not a power of two from 4 KiB to 1 GiB.
    #[error(
        "a size of {0} bytes for blocks to hash is not valid: it must be a power of two from 4 KiB to 1 GiB"
    )]
    HashBlockSize(u64),
    /// A logical or physical sector size other than 512 and 4096 ([MS-VHDX] 2.6.2.4 and 2.6.2.5).
    #[error("a sector size of {0} bytes is not valid: it must be 512 or 4096")]
    SectorSize(u64),
    /// A virtual size that is zero, greater than 64 TiB or not a multiple of the sector size ([MS-VHDX] 2.6.2.2).
    #[error("a virtual disk size of {0} bytes is not valid: {why}", why = wrong_size(*.0))]
    VirtualSize(u64),
    /// The destination is one of the files to read.
    #[error("the destination is one of the sources")]
    DestinationIsSource,
    /// A path that is not a regular file. Only regular files are opened.
    #[error("this is not a regular file")]
    NotARegularFile,
    /// A path that is neither a regular file nor, on Linux, a block device. Nothing else is overwritten.
    #[error("this is neither a regular file nor a Linux block device")]
    NotARawTarget,
    /// A file or device to overwrite that is smaller than the disk.
    #[error("the target has {len} bytes, which are too few for a disk of {virtual_size} bytes")]
    TargetTooSmall {
        /// The length of the file or device in bytes.
        len: u64,
        /// The size of the disk in bytes.
        virtual_size: u64,
    },
    /// A disk that was not found in the searched folders.
    #[error("the disk was not found in the searched folders")]
    UnknownDisk,
    /// A name that no checkpoint of the disk's family has.
    #[error("no checkpoint of this disk has the name {name:?}; known: {known:?}")]
    UnknownCheckpoint {
        /// The name.
        name: String,
        /// The names of the checkpoints, or those of their files.
        known: Vec<String>,
    },
    /// A name that several checkpoints of the disk's family have.
    #[error(
        "several checkpoints of this disk have the name {name:?}: {paths:?}; name the file of one of them"
    )]
    SeveralCheckpoints {
        /// The name.
        name: String,
        /// The files of these checkpoints.
        paths: Vec<PathBuf>,
    },
    /// A disk that cannot be deleted, because another one depends on it.
    #[error("the disk cannot be deleted: {} depends on it", Quoted(by))]
    DiskIsNeeded {
        /// The disk that depends on it.
        by: PathBuf,
    },
    /// A pattern for names that is not valid.
    #[error("the pattern is not valid: {reason} at position {offset}")]
    NamePattern {
        /// What is wrong.
        reason: &'static str,
        /// The number of characters before it.
        offset: usize,
    },
    /// A chain without files.
    #[error("a chain needs at least one file")]
    NoLayers,
    /// A virtual size in bytes that is too small for the content, or smaller than the current one.
    #[error("a virtual disk size of {0} bytes is too small for the content")]
    VirtualSizeTooSmall(u64),
    /// A new differencing disk without a parent.
    #[error("a new differencing disk needs a parent")]
    ParentNeeded,
    /// A new disk with a parent that is not differencing.
    #[error("only a differencing disk can have a parent")]
    ParentUnexpected,
    /// Content for a new differencing disk. It must be written after the disk is complete.
    #[error("a new differencing disk is created without content; write to it after it is complete")]
    ContentOfChild,
    /// A parent whose path cannot be stored in the child: it is too long, or Windows does not permit such names
    /// ([MS-VHDX] 2.6.2.6.3).
    #[error(
        "the path to the parent {0:?} cannot be stored as a Windows path: it is too long, or has a name that Windows \
         does not allow"
    )]
    ParentPath(PathBuf),
    /// A parent locator without a parent, or one that is too large for a file ([MS-VHDX] 2.6.2.6).
    #[error("the parent locator names no parent, or is too large for a file")]
    ParentLocator,
    /// A parent with a zero DataWriteGuid. No child can name it ([MS-VHDX] 2.6.2.6.3).
    #[error("the DataWriteGuid of the parent is zero, so no child can name it")]
    ParentWithoutGuid,
    /// A disk that was not opened by a path, in an operation that needs one.
    #[error("the operation needs a path, but this disk was not opened by one")]
    PathNeeded,
    /// A disk without a parent, in an operation on its parent.
    #[error("this is not a differencing disk: it has no parent")]
    NotDifferencing,
    /// A block before one that was already written. A new file is written in the order of its disk.
    #[error("the block at {0} comes before a block that was already written")]
    OutOfOrder(DiskOffset),
    /// A metadata item that is longer than 1 MiB, occurs twice, or is reserved for this library ([MS-VHDX] 2.6.1.2).
    #[error("the metadata item {0} is longer than 1 MiB, occurs twice, or is reserved")]
    MetadataItem(uuid::Uuid),
    /// Metadata items that are too many or too long for a file ([MS-VHDX] 2.6.1).
    #[error("the metadata items are too many or too long for a file")]
    TooMuchMetadata,
    /// A log length in bytes that is zero, not a multiple of 1 MiB, or too long for a replay ([MS-VHDX] 2.2.2).
    #[error("a log length of {0} bytes is not valid: it must be a multiple of 1 MiB, from 1 MiB to 1 GiB")]
    LogLength(u64),
    /// A log entry that is too long for the log, or that writes to a forbidden place ([MS-VHDX] 2.3.1).
    #[error("the log entry is too long for the log, or writes to a place that a log must not change")]
    LogEntry,
    /// A range that does not consist of whole logical sectors.
    #[error("{len} bytes at {start} do not consist of whole sectors of {sector_size} bytes")]
    NotWholeSectors {
        /// The start of the range.
        start: DiskOffset,
        /// The length of the range in bytes.
        len: u64,
        /// The logical sector size in bytes.
        sector_size: u64,
    },
    /// A merge target that is not an ancestor of the leaf.
    #[error("layer {target} is not an ancestor of the leaf, which is layer 0: the chain has {layers} files")]
    MergeTarget {
        /// The requested layer; 0 is the leaf.
        target: usize,
        /// The number of layers.
        layers: usize,
    },
}

/// Returns why no disk can have this size.
fn wrong_size(bytes: u64) -> &'static str {
    match bytes {
        0 => "it must not be zero",
        bytes if bytes > 64 << 40 => "the maximum is 64 TiB",
        _ => "it must be a multiple of the logical sector size (512 or 4096 bytes)",
    }
}
