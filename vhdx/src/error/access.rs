//! Makes errors and takes them apart.

use std::io;
use std::path::Path;

use super::{ChainError, Conflict, Error, ErrorKind};
use crate::units::FileOffset;
use crate::violation::Violation;

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
            Error::Conflict(Conflict::OtherBase(offset)) => Some(*offset),
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
    ///
    /// Returns `None` for a file that another program uses. That is an [`Error::Io`] with
    /// [`io::ErrorKind::ResourceBusy`], although its [`kind`](Self::kind) is [`ErrorKind::Conflict`].
    pub fn conflict(&self) -> Option<&Conflict> {
        match self.without_path() {
            Error::Conflict(conflict) => Some(conflict),
            _ => None,
        }
    }
}
