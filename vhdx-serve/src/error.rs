//! Defines the error type of this crate.

use std::io;

/// The reason why a server cannot start, or did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The server has no export with the number of the default export.
    #[error("the default export is number {default}, but there are {exports} exports")]
    NoDefault {
        /// The number of the default export; the first export has number 0.
        default: usize,
        /// The number of exports.
        exports: usize,
    },
    /// Two exports have the same name.
    #[error("two exports have the name {0:?}")]
    DuplicateName(String),
    /// A name or a description is longer than [`MAX_NAME_LENGTH`](crate::MAX_NAME_LENGTH).
    #[error("a {what} of an export has {length} bytes, and the protocol allows {limit}")]
    TooLong {
        /// `name` or `description`.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The greatest length in bytes.
        limit: usize,
    },
    /// A limit is too small or too great to be of use.
    #[error("the limit {0} is too small or too great")]
    Limit(&'static str),
    /// A socket or a thread could not be used.
    #[error("{operation}: {source}")]
    Io {
        /// The operation that failed, with its object.
        operation: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The changes of a disk may not be durable. The text names the file and the reason.
    #[error("cannot flush export {export:?}; the last writes may be lost: {reason}")]
    Flush {
        /// The name of the export.
        export: String,
        /// The reason.
        reason: String,
    },
}

impl ServeError {
    pub(crate) fn io(operation: impl Into<String>, source: io::Error) -> Self {
        Self::Io { operation: operation.into(), source }
    }
}
