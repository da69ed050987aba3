//! Defines the one error type of the crate.

use std::fmt;

/// The result of a function that reads the content of a disk.
pub type Result<T> = std::result::Result<T, Error>;

/// An error while the content of a disk is read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The disk cannot be read.
    Disk(vhdx::Error),
    /// A structure of a file system is invalid.
    Damaged {
        /// The structure, such as `inode 12`.
        what: String,
        /// How it is invalid.
        why: String,
    },
    /// The content is valid, but cannot be read, such as an encrypted file.
    Unsupported(String),
    /// There is no file or folder of this name.
    NotFound(String),
    /// The code of a file system did not end within its time, or panicked.
    Abandoned(String),
}

impl Error {
    /// Returns the error that `what` is invalid because of `why`.
    pub(crate) fn damaged(what: impl Into<String>, why: impl Into<String>) -> Self {
        Error::Damaged { what: what.into(), why: why.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Disk(error) => error.fmt(f),
            Error::Damaged { what, why } => write!(f, "{what} is damaged: {why}"),
            Error::Unsupported(what) => write!(f, "{what}"),
            Error::NotFound(name) => write!(f, "{name} is not found"),
            Error::Abandoned(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Disk(error) => Some(error),
            _ => None,
        }
    }
}

impl From<vhdx::Error> for Error {
    fn from(error: vhdx::Error) -> Self {
        Error::Disk(error)
    }
}
