//! Converts the parts of errors into errors, and errors into those of the standard library.

use std::io;

use super::{ChainError, ChainFault, Conflict, Error, FileChange, InvalidArgument, InvalidState};
use crate::rules::Severity;
use crate::violation::Violation;

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        match violation.severity() {
            Severity::Unsupported => Error::Unsupported(violation),
            _ => Error::Corrupt(violation),
        }
    }
}

impl From<ChainFault> for Error {
    fn from(fault: ChainFault) -> Self {
        Error::Chain(ChainError(Box::new(fault)))
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
                // Callers take `UnexpectedEof` for the end of the disk, and retry after `Interrupted`.
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
