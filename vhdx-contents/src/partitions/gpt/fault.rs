//! Defines why a copy of a GPT cannot be used.

use std::fmt;

/// Why a copy of a GPT cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::partitions) enum Fault {
    Absent,
    Unreadable(String),
    /// A field of the header is invalid.
    Field(&'static str),
    HeaderChecksum,
    EntriesChecksum,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Absent => write!(f, "there is no header"),
            Fault::Unreadable(error) => write!(f, "{error}"),
            Fault::Field(field) => write!(f, "invalid {field}"),
            Fault::HeaderChecksum => write!(f, "the checksum of the header is wrong"),
            Fault::EntriesChecksum => write!(f, "the checksum of the entries is wrong"),
        }
    }
}
