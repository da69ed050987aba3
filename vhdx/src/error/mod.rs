//! Defines the error type of this crate. Each error names the attempted operation and its offset, or the file.

mod chain;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::rules::Severity;
use crate::units::{DiskOffset, FileOffset};
use crate::violation::Violation;

pub(crate) use chain::Bare;
pub use chain::{ChainError, Undetermined, UnfinishedMerge};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why an operation failed.
///
/// [`Display`](fmt::Display) prints the whole reason in one sentence: the file, the operation, and the error of the
/// operating system. [`source`](std::error::Error::source) returns only what that sentence does not contain: the source
/// of an [`io::Error`] that a caller's own storage returned, otherwise `None`. So `{}` is complete, and a program that
/// prints all sources prints nothing twice. All error types of this crate follow this rule. The parts of an error have
/// accessors: [`io_error`](Error::io_error), [`violation`](Error::violation), [`path`](Error::path).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A call of the operating system failed.
    Io {
        /// The operation, as a verb: `read`, `write`, `open`.
        operation: &'static str,
        /// The offset in the file, if the operation has one.
        offset: Option<FileOffset>,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file system has less free space than an operation may need. Nothing was written.
    NoSpace {
        /// The maximum number of bytes that the operation needs there.
        needed: u64,
        /// The number of bytes that are free there.
        free: u64,
    },
    /// The file breaks a rule, and its content cannot be determined with certainty.
    Corrupt(Violation),
    /// The file may be valid, but it needs something that this library does not support.
    Unsupported(Violation),
    /// The files of a chain do not fit together, or must not be merged.
    Chain(Box<ChainError>),
    /// A file changed while it was read.
    Changed(FileChange),
    /// An argument of the call is not valid.
    InvalidArgument(InvalidArgument),
    /// [`Progress::is_cancelled`](crate::Progress::is_cancelled) returned `true`.
    Cancelled,
    /// Another error, with the file in which it occurred.
    InFile {
        /// The file.
        path: PathBuf,
        /// The error.
        error: Box<Error>,
    },
}

/// How a file changed while it was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileChange {
    /// The file became longer or shorter.
    #[error("its length was {before} bytes and is now {after} bytes")]
    Length {
        /// The length in bytes when the file was opened.
        before: u64,
        /// The length in bytes now.
        after: u64,
    },
    /// A program opened the file and wrote to it ([MS-VHDX] 2.2.2).
    #[error("its FileWriteGuid was {before} and is now {after}")]
    FileWriteGuid {
        /// The FileWriteGuid when the file was opened.
        before: uuid::Uuid,
        /// The FileWriteGuid now.
        after: uuid::Uuid,
    },
    /// The current header is another one, with the same FileWriteGuid ([MS-VHDX] 2.2.2).
    #[error("the sequence number of its current header was {before} and is now {after}")]
    Header {
        /// The sequence number when the file was opened.
        before: u64,
        /// The sequence number now.
        after: u64,
    },
    /// The modification time of the file is different.
    #[error("its modification time changed")]
    Modified,
}

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
    /// A block size that is not a power of two from 1 MiB to 256 MiB ([MS-VHDX] 2.6.2.1).
    #[error("a block size of {0} bytes is not valid: it must be a power of two from 1 MiB to 256 MiB")]
    BlockSize(u64),
    /// A logical or physical sector size other than 512 and 4096 ([MS-VHDX] 2.6.2.4 and 2.6.2.5).
    #[error("a sector size of {0} bytes is not valid: it must be 512 or 4096")]
    SectorSize(u64),
    /// A virtual size that is zero, greater than 64 TiB or not a multiple of the sector size ([MS-VHDX] 2.6.2.2).
    #[error("a virtual disk size of {0} bytes is not valid: {why}", why = wrong_size(*.0))]
    VirtualSize(u64),
    /// The destination already exists, and overwriting it was not requested.
    #[error("the destination already exists")]
    DestinationExists,
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
    #[error("the path to the parent {0:?} cannot be stored as a Windows path")]
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
    /// A change to a file after an earlier change failed.
    #[error("an earlier change to the file failed; open the file again")]
    FailedBefore,
    /// A merge target that is not an ancestor of the leaf.
    #[error("layer {target} is not an ancestor of the leaf, which is layer 0: the chain has {layers} files")]
    MergeTarget {
        /// The requested layer; 0 is the leaf.
        target: usize,
        /// The number of layers.
        layers: usize,
    },
    /// A plan that was made for other files, or before the files changed.
    #[error("the files changed after the plan was made; run the operation again")]
    StalePlan,
}

/// The class of an error, for callers that branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// See [`Error::Io`], [`Error::NoSpace`] and [`Error::Changed`].
    Io,
    /// See [`Error::Corrupt`].
    Corrupt,
    /// See [`Error::Unsupported`].
    Unsupported,
    /// See [`Error::Chain`].
    Chain,
    /// See [`Error::InvalidArgument`].
    InvalidArgument,
    /// See [`Error::Cancelled`].
    Cancelled,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { operation, offset: Some(at), source } => {
                write!(f, "cannot {operation} at {at}: {source}")
            }
            Error::Io { operation, offset: None, source } => write!(f, "cannot {operation}: {source}"),
            Error::NoSpace { needed, free } => {
                write!(f, "too little space: up to {needed} bytes are needed, {free} bytes are free")
            }
            Error::Corrupt(violation) => violation.fmt(f),
            Error::Unsupported(violation) => write!(f, "not supported: {violation}"),
            Error::Chain(error) => error.fmt(f),
            Error::Changed(change) => {
                write!(f, "the file changed while it was read, so the result is not reliable: {change}")
            }
            Error::InvalidArgument(argument) => argument.fmt(f),
            Error::Cancelled => f.write_str("cancelled"),
            Error::InFile { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // The text of `source` is part of the text of this error.
            Error::Io { source, .. } => source.source(),
            Error::InFile { error, .. } => error.source(),
            _ => None,
        }
    }
}

impl Error {
    pub(crate) fn io(
        operation: &'static str,
        offset: impl Into<Option<FileOffset>>,
        source: io::Error,
    ) -> Self {
        Error::Io { operation, offset: offset.into(), source }
    }

    /// Adds the file in which the error occurred. An error that already names one, and a cancellation, stay unchanged.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        match self {
            Error::InFile { .. } | Error::Chain(_) | Error::Cancelled => self,
            error => Error::InFile { path: path.to_owned(), error: Box::new(error) },
        }
    }

    /// Returns the class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Io { .. } | Error::NoSpace { .. } | Error::Changed(_) => ErrorKind::Io,
            Error::Corrupt(_) => ErrorKind::Corrupt,
            Error::Unsupported(_) => ErrorKind::Unsupported,
            Error::Chain(_) => ErrorKind::Chain,
            Error::InvalidArgument(_) => ErrorKind::InvalidArgument,
            Error::Cancelled => ErrorKind::Cancelled,
            Error::InFile { error, .. } => error.kind(),
        }
    }

    /// Returns the file in which the error occurred, if it is known.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Error::InFile { path, .. } => Some(path),
            Error::Chain(error) => Some(error.path()),
            _ => None,
        }
    }

    /// Returns the offset in the file where the error occurred, if it has one.
    pub fn offset(&self) -> Option<FileOffset> {
        match self {
            Error::Io { offset, .. } => *offset,
            Error::Corrupt(violation) | Error::Unsupported(violation) => Some(violation.offset),
            Error::InFile { error, .. } => error.offset(),
            _ => None,
        }
    }

    /// Returns the error of the operating system or of the storage, if the error is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::InFile { error, .. } => error.io_error(),
            _ => None,
        }
    }

    /// Returns the violation, if the error is one.
    pub fn violation(&self) -> Option<&Violation> {
        match self {
            Error::Corrupt(violation) | Error::Unsupported(violation) => Some(violation),
            Error::InFile { error, .. } => error.violation(),
            _ => None,
        }
    }
}

/// Returns why no disk can have this size.
fn wrong_size(bytes: u64) -> &'static str {
    match bytes {
        0 => "it must not be zero",
        bytes if bytes > 64 << 40 => "the maximum is 64 TiB",
        _ => "it must be a multiple of the logical sector size (512 or 4096 bytes)",
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        match violation.severity() {
            Severity::Unsupported => Error::Unsupported(violation),
            _ => Error::Corrupt(violation),
        }
    }
}

impl From<ChainError> for Error {
    fn from(error: ChainError) -> Self {
        Error::Chain(Box::new(error))
    }
}

impl From<FileChange> for Error {
    fn from(change: FileChange) -> Self {
        Error::Changed(change)
    }
}

impl From<InvalidArgument> for Error {
    fn from(argument: InvalidArgument) -> Self {
        Error::InvalidArgument(argument)
    }
}

#[cfg(test)]
mod tests;
