//! Displays errors. The texts of their parts are beside the parts.

use std::fmt;

use super::{Error, Undetermined};
use crate::quoted::Quoted;

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
            Error::Cancelled => f.write_str("stopped on request"),
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

impl fmt::Display for Undetermined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Quoted(&self.path), self.error.without_path())
    }
}

impl std::error::Error for Undetermined {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The text of `error` is part of the text of this one.
        self.error.source()
    }
}

impl Undetermined {
    /// Returns the reason without the path.
    pub fn reason(&self) -> String {
        self.error.without_path().to_string()
    }
}
