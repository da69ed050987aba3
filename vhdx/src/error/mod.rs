//! Defines the error type of this crate. Each error names the attempted operation and its offset, or the file.

mod argument;
mod chain;
mod conflict;
mod internal;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::rules::Severity;
use crate::units::FileOffset;
use crate::violation::Violation;

pub use argument::InvalidArgument;
pub use chain::{ChainError, Undetermined, UnfinishedMerge};
pub use conflict::{Conflict, FileChange, InvalidState};
pub(crate) use internal::{Guaranteed, in_memory};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why an operation failed.
///
/// [`Display`](fmt::Display) prints the whole reason in one sentence: the file, the operation, and the error of the
/// operating system. [`source`](std::error::Error::source) returns only what that sentence does not contain: the source
/// of an [`io::Error`] that a caller's own storage returned, otherwise `None`. So `{}` is complete, and a program that
/// prints all sources prints nothing twice. All error types of this crate follow this rule. The parts of an error have
/// accessors: [`io_error`](Error::io_error), [`violation`](Error::violation), [`chain_error`](Error::chain_error),
/// [`conflict`](Error::conflict), [`path`](Error::path) and [`offset`](Error::offset).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A call of the operating system failed. [`Error::io`] makes one.
    #[non_exhaustive]
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
    /// The operation does not fit the present state of the files.
    Conflict(Conflict),
    /// An argument of the call is not valid.
    InvalidArgument(InvalidArgument),
    /// The object cannot be used any more.
    InvalidState(InvalidState),
    /// [`Progress::is_cancelled`](crate::Progress::is_cancelled) returned `true`.
    Cancelled,
    /// An invariant of this library does not hold. This is a bug; the files may be valid.
    #[non_exhaustive]
    Internal {
        /// The statement that is not true.
        invariant: &'static str,
        /// The source file of this library.
        file: &'static str,
        /// The line in that file.
        line: u32,
    },
    /// Another error, with the file in which it occurred. [`Error::in_file`] makes one.
    #[non_exhaustive]
    InFile {
        /// The file.
        path: PathBuf,
        /// The error.
        error: Box<Error>,
    },
}

/// The class of an error, for callers that branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// See [`Error::Io`] and [`Error::NoSpace`].
    Io,
    /// See [`Error::Corrupt`].
    Corrupt,
    /// See [`Error::Unsupported`].
    Unsupported,
    /// See [`Error::Chain`].
    Chain,
    /// See [`Error::Conflict`]. An [`Error::Io`] with [`io::ErrorKind::ResourceBusy`] also is a conflict: another
    /// program uses the file.
    Conflict,
    /// See [`Error::InvalidArgument`].
    InvalidArgument,
    /// See [`Error::InvalidState`].
    InvalidState,
    /// See [`Error::Cancelled`].
    Cancelled,
    /// See [`Error::Internal`].
    Internal,
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
            Error::Conflict(conflict) => conflict.fmt(f),
            Error::InvalidArgument(argument) => argument.fmt(f),
            Error::InvalidState(state) => state.fmt(f),
            Error::Cancelled => f.write_str("cancelled"),
            Error::Internal { invariant, file, line } => {
                write!(f, "this is a bug in vhdx, please report it: not true at {file}:{line}: {invariant}")
            }
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
    /// Returns the error of a failed call of the operating system. The operation is a verb: `read`, `write`, `open`.
    pub fn io(operation: &'static str, offset: impl Into<Option<FileOffset>>, source: io::Error) -> Self {
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

    /// Returns the error without the file that [`in_file`](Self::in_file) added.
    pub fn without_path(&self) -> &Error {
        match self {
            Error::InFile { error, .. } => error.without_path(),
            error => error,
        }
    }

    /// Returns the class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Io { source, .. } if source.kind() == io::ErrorKind::ResourceBusy => ErrorKind::Conflict,
            Error::Io { .. } | Error::NoSpace { .. } => ErrorKind::Io,
            Error::Corrupt(_) => ErrorKind::Corrupt,
            Error::Unsupported(_) => ErrorKind::Unsupported,
            Error::Chain(_) => ErrorKind::Chain,
            Error::Conflict(_) => ErrorKind::Conflict,
            Error::InvalidArgument(_) => ErrorKind::InvalidArgument,
            Error::InvalidState(_) => ErrorKind::InvalidState,
            Error::Cancelled => ErrorKind::Cancelled,
            Error::Internal { .. } => ErrorKind::Internal,
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
        match self.without_path() {
            Error::Io { offset, .. } => *offset,
            Error::Corrupt(violation) | Error::Unsupported(violation) => Some(violation.offset),
            _ => None,
        }
    }

    /// Returns the error of the operating system or of the storage, if the error is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self.without_path() {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Returns the violation, if the error is one.
    pub fn violation(&self) -> Option<&Violation> {
        match self.without_path() {
            Error::Corrupt(violation) | Error::Unsupported(violation) => Some(violation),
            _ => None,
        }
    }

    /// Returns the reason why files do not form a chain or must not be merged, if the error is an [`Error::Chain`].
    pub fn chain_error(&self) -> Option<&ChainError> {
        match self.without_path() {
            Error::Chain(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the conflict, if the error is an [`Error::Conflict`].
    pub fn conflict(&self) -> Option<&Conflict> {
        match self.without_path() {
            Error::Conflict(conflict) => Some(conflict),
            _ => None,
        }
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
        Conflict::Changed(change).into()
    }
}

impl From<Conflict> for Error {
    fn from(conflict: Conflict) -> Self {
        Error::Conflict(conflict)
    }
}

impl From<InvalidState> for Error {
    fn from(state: InvalidState) -> Self {
        Error::InvalidState(state)
    }
}

impl From<InvalidArgument> for Error {
    fn from(argument: InvalidArgument) -> Self {
        Error::InvalidArgument(argument)
    }
}

/// The error becomes the inner error of the [`io::Error`], so [`io::Error::downcast`] returns it.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.without_path() {
            Error::Io { source, .. } => match source.kind() {
                // Callers take the first for the end of the disk, and try again after the second.
                io::ErrorKind::UnexpectedEof | io::ErrorKind::Interrupted => io::ErrorKind::Other,
                kind => kind,
            },
            Error::NoSpace { .. } => io::ErrorKind::StorageFull,
            Error::Corrupt(_) | Error::Chain(_) => io::ErrorKind::InvalidData,
            Error::Unsupported(_) => io::ErrorKind::Unsupported,
            Error::Conflict(Conflict::DestinationExists) => io::ErrorKind::AlreadyExists,
            Error::InvalidArgument(_) => io::ErrorKind::InvalidInput,
            // A cancellation is not `Interrupted`: callers try such calls again.
            Error::Conflict(_)
            | Error::InvalidState(_)
            | Error::Cancelled
            | Error::Internal { .. }
            | Error::InFile { .. } => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests;
