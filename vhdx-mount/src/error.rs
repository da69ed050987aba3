//! Defines the one error type of the crate.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The result of a function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why disks cannot be mounted.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The folder that shall show the disks cannot be used.
    Mountpoint {
        /// The folder.
        path: PathBuf,
        /// Why it cannot be used, and what to do.
        why: String,
        /// The error of the system, if there was one.
        source: Option<io::Error>,
    },
    /// The tree is invalid, for example because two checkpoints have the same name.
    Tree(String),
    /// The kernel or `fusermount3` has refused the mount.
    Mount {
        /// The folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The mount could not be removed. It still exists.
    Unmount {
        /// The folder.
        path: PathBuf,
    },
    /// The kernel has ended the session with an error.
    Session(io::Error),
}

impl Error {
    /// Returns the folder that the error is about.
    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            Error::Mountpoint { path, .. } | Error::Mount { path, .. } | Error::Unmount { path } => {
                Some(path)
            }
            Error::Tree(_) | Error::Session(_) => None,
        }
    }
}

/// The message does not contain the path.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Mountpoint { why, source: None, .. } => write!(f, "cannot mount here: {why}"),
            Error::Mountpoint { why, source: Some(error), .. } => {
                write!(f, "cannot mount here: {why}: {error}")
            }
            Error::Tree(why) => write!(f, "cannot mount these disks: {why}"),
            Error::Mount { source, .. } => write!(f, "cannot mount: {}", source.to_string().trim_end()),
            Error::Unmount { .. } => write!(f, "cannot unmount: the mount still exists"),
            Error::Session(error) => write!(f, "the connection to the kernel has ended: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Mountpoint { source, .. } => source.as_ref().map(|source| source as _),
            Error::Mount { source, .. } | Error::Session(source) => Some(source),
            Error::Tree(_) | Error::Unmount { .. } => None,
        }
    }
}
