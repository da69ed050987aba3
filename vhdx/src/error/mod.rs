//! The one error type. Every error says what was attempted and at which offset, or which file is meant.

mod chain;

use std::io;
use std::path::{Path, PathBuf};

use crate::rules::Severity;
use crate::units::{DiskOffset, FileOffset};
use crate::violation::Violation;

pub(crate) use chain::Bare;
pub use chain::{ChainError, Undetermined, UnfinishedMerge};

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused or failed a call.
    #[error("cannot {operation}{}: {source}", .offset.map(|at| format!(" at {at}")).unwrap_or_default())]
    Io {
        /// What was attempted, as a verb: `read`, `write`, `open`.
        operation: &'static str,
        /// Where in the file, if at one place.
        offset: Option<FileOffset>,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file system has less free space than an operation may take. Nothing was written.
    #[error("too little space: up to {needed} bytes are needed, {free} bytes are free")]
    NoSpace {
        /// The most bytes that the operation takes there.
        needed: u64,
        /// How many bytes are free there.
        free: u64,
    },
    /// The file breaks a rule, and what it says cannot be decided.
    #[error("{0}")]
    Corrupt(Violation),
    /// The file may be sound, but needs something that this library does not know.
    #[error("not supported: {0}")]
    Unsupported(Violation),
    /// The files of a chain do not fit together.
    #[error("{0}")]
    Chain(Box<ChainError>),
    /// A file changed while it was read.
    #[error("the file changed while it was read, so what was read is not reliable: {0}")]
    Changed(FileChange),
    /// The caller asked for something that makes no sense.
    #[error("{0}")]
    InvalidArgument(InvalidArgument),
    /// [`Progress::is_cancelled`](crate::Progress::is_cancelled) said so.
    #[error("cancelled")]
    Cancelled,
    /// Another error, and the file in which it happened.
    #[error("{}: {error}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What happened there.
        #[source]
        error: Box<Error>,
    },
}

/// How a file changed while it was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileChange {
    /// The file became longer or shorter.
    #[error("its length was {before} bytes and is {after} bytes")]
    Length {
        /// The length in bytes when the file was opened.
        before: u64,
        /// The length in bytes now.
        after: u64,
    },
    /// A program opened the file and wrote to it ([MS-VHDX] 2.2.2).
    #[error("its FileWriteGuid was {before} and is {after}")]
    FileWriteGuid {
        /// The FileWriteGuid when the file was opened.
        before: uuid::Uuid,
        /// The FileWriteGuid now.
        after: uuid::Uuid,
    },
    /// The current header is another one, with the same FileWriteGuid ([MS-VHDX] 2.2.2).
    #[error("its current header had the sequence number {before} and has {after}")]
    Header {
        /// The sequence number when the file was opened.
        before: u64,
        /// The sequence number now.
        after: u64,
    },
    /// The host tells a later time of the last change.
    #[error("the time of its last change is another one")]
    Modified,
}

/// What is wrong with the arguments of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidArgument {
    /// A range that does not lie on the disk.
    #[error("{len} bytes at {start} do not lie within the disk of {virtual_size} bytes")]
    PastEndOfDisk {
        /// Where the range starts.
        start: DiskOffset,
        /// Its length in bytes.
        len: u64,
        /// The size of the disk in bytes.
        virtual_size: u64,
    },
    /// A block size that is not a power of two from 1 MiB to 256 MiB ([MS-VHDX] 2.6.2.1).
    #[error("a block size of {0} bytes is not a power of two from 1 MiB to 256 MiB")]
    BlockSize(u64),
    /// A logical sector size other than 512 and 4096 ([MS-VHDX] 2.6.2.4).
    #[error("a logical sector size of {0} bytes is neither 512 nor 4096")]
    SectorSize(u64),
    /// A virtual size that is zero, above 64 TiB or not a multiple of the logical sector size ([MS-VHDX] 2.6.2.2).
    #[error("a disk of {0} bytes {why}", why = wrong_size(*.0))]
    VirtualSize(u64),
    /// The destination exists, and overwriting it was not asked for.
    #[error("the destination exists")]
    DestinationExists,
    /// The destination is one of the files that would be read.
    #[error("the destination is one of the sources")]
    DestinationIsSource,
    /// Only regular files are opened.
    #[error("this is not a regular file")]
    NotARegularFile,
    /// Only regular files, and on Linux block devices, are overwritten.
    #[error("this is neither a regular file nor a block device of Linux")]
    NotARawTarget,
    /// What is to be overwritten with a disk ends before the disk does.
    #[error("{len} bytes are too few for a disk of {virtual_size} bytes")]
    TargetTooSmall {
        /// The length of the file or device in bytes.
        len: u64,
        /// The size of the disk in bytes.
        virtual_size: u64,
    },
    /// A chain has at least one file.
    #[error("a chain of no files")]
    NoLayers,
    /// A new disk that is smaller than what is to be copied to it.
    #[error("a disk of {0} bytes is too small for the content")]
    VirtualSizeTooSmall(u64),
    /// A new file that is to be differencing, but is given no parent.
    #[error("a new differencing disk needs a parent")]
    ParentNeeded,
    /// A new file that is given a parent, but is not to be differencing.
    #[error("only a differencing disk has a parent")]
    ParentUnexpected,
    /// Content for a new differencing disk, which has none before it is complete.
    #[error("a new differencing disk is complete before it is given content")]
    ContentOfChild,
    /// A path from a child to its parent that no parent locator can hold, because Windows has no such names, or because
    /// it is too long ([MS-VHDX] 2.6.2.6.3).
    #[error("the way to {0:?} cannot be stored as a Windows path")]
    ParentPath(PathBuf),
    /// A parent locator that names no parent, or that is more than a file can hold ([MS-VHDX] 2.6.2.6).
    #[error("the parent locator names no parent, or is more than a file can hold")]
    ParentLocator,
    /// A parent with a zero DataWriteGuid, which no child can name ([MS-VHDX] 2.6.2.6.3).
    #[error("the DataWriteGuid of the parent is zero, which no child can name")]
    ParentWithoutGuid,
    /// A disk for which a path is needed, but that was opened by none.
    #[error("this disk was not opened by a path")]
    PathNeeded,
    /// A disk without a parent, for which another parent was to be named.
    #[error("this disk is not differencing: it has no parent")]
    NotDifferencing,
    /// A new file is written in the order of its disk.
    #[error("the block at {0} comes before one that was written already")]
    OutOfOrder(DiskOffset),
    /// A metadata item that is longer than 1 MiB, given twice, or not for the caller to give ([MS-VHDX] 2.6.1.2).
    #[error("the metadata item {0} is longer than 1 MiB, given twice, or made from other fields")]
    MetadataItem(uuid::Uuid),
    /// Metadata items that are more, or longer, than a file can hold ([MS-VHDX] 2.6.1).
    #[error("the metadata items are more, or longer, than a file can hold")]
    TooMuchMetadata,
    /// A log that cannot be written to: empty, or too long to be replayed ([MS-VHDX] 2.2.2).
    #[error("a log of {0} bytes is empty, not a whole number of MiB, or longer than 1 GiB")]
    LogLength(u64),
    /// A log entry that is too long for the log, or that writes where no replay would ([MS-VHDX] 2.3.1).
    #[error("the log entry is too long for the log, or writes where no log may")]
    LogEntry,
    /// A range that does not consist of whole logical sectors.
    #[error("{len} bytes at {start} are not whole sectors of {sector_size} bytes")]
    NotWholeSectors {
        /// Where the range starts.
        start: DiskOffset,
        /// Its length in bytes.
        len: u64,
        /// The logical sector size in bytes.
        sector_size: u64,
    },
    /// A change to a file for which an earlier change has failed.
    #[error("an earlier change has failed, and the file must be opened again")]
    FailedBefore,
    /// A disk is merged into one of its parents: a layer below the leaf.
    #[error("a chain of {layers} files has no layer {target} below its leaf")]
    MergeTarget {
        /// The layer that was asked for; 0 is the leaf.
        target: usize,
        /// How many layers there are.
        layers: usize,
    },
    /// A plan that was made for other files, or before the files changed.
    #[error("the files are not those, or not in the state, that the plan was made for")]
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

impl Error {
    pub(crate) fn io(
        operation: &'static str,
        offset: impl Into<Option<FileOffset>>,
        source: io::Error,
    ) -> Self {
        Error::Io { operation, offset: offset.into(), source }
    }

    /// The same error, with the file in which it happened. The innermost file is kept.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        match self {
            Error::InFile { .. } | Error::Chain(_) | Error::Cancelled => self,
            error => Error::InFile { path: path.to_owned(), error: Box::new(error) },
        }
    }

    /// The class of the error.
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

    /// The file in which it happened, if it is known.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Error::InFile { path, .. } => Some(path),
            Error::Chain(error) => Some(error.path()),
            _ => None,
        }
    }

    /// Where in the file it happened, if at one place.
    pub fn offset(&self) -> Option<FileOffset> {
        match self {
            Error::Io { offset, .. } => *offset,
            Error::Corrupt(violation) | Error::Unsupported(violation) => Some(violation.offset),
            Error::InFile { error, .. } => error.offset(),
            _ => None,
        }
    }

    /// The broken rule, if it is one.
    pub fn violation(&self) -> Option<&Violation> {
        match self {
            Error::Corrupt(violation) | Error::Unsupported(violation) => Some(violation),
            Error::InFile { error, .. } => error.violation(),
            _ => None,
        }
    }
}

/// Why no disk can have this size.
fn wrong_size(bytes: u64) -> &'static str {
    match bytes {
        0 => "is empty",
        bytes if bytes > 64 << 40 => "is above 64 TiB",
        _ => "is not a whole number of logical sectors, which have 512 or 4096 bytes",
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
