//! The errors of the crate.

use std::{fmt, io};

/// The result of reading a configuration.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the keys of a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("cannot {action} the file: {source}")]
    Io {
        /// What failed: `open` or `read`.
        action: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The path leads to a folder, a pipe or a device.
    #[error("not a regular file")]
    NotARegularFile,
    /// The file has another format.
    #[error(
        "not a configuration of Hyper-V: it is neither a HyperV Storage container (.vmcx, .vmrs) nor an XML file with \
         the root element <configuration>"
    )]
    NotAConfiguration,
    /// The container has a version other than 4.0.
    #[error("the container has version {}.{}; only version 4.0 can be read", .0 >> 8, .0 & 0xff)]
    Version(u32),
    /// The file is larger than this crate can read.
    #[error("the file exceeds a limit: {limit}{}", At(*.offset))]
    TooLarge {
        /// The limit.
        limit: Limit,
        /// The offset in the file of the first structure past the limit; `None` if the whole file is too large.
        offset: Option<u64>,
    },
    /// The file is damaged, and its keys cannot be decided.
    #[error("{damage} at {offset:#x}")]
    Corrupt {
        /// The offset in the file.
        offset: u64,
        /// What is damaged.
        damage: Damage,
    },
}

/// The end of a message: the offset, if it is known.
struct At(Option<u64>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |offset| write!(f, " (at {offset:#x})"))
    }
}

/// The class of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Input failed.
    Io,
    /// The path leads to a folder, a pipe or a device.
    NotARegularFile,
    /// The file has another format, another version, or exceeds a limit. It may be sound.
    Unsupported,
    /// The file is damaged.
    Corrupt,
}

/// A limit of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// More than [`MAX_KEYS`](crate::MAX_KEYS) keys.
    #[error("it has more than 1,000,000 keys")]
    Keys,
    /// More than 131,072 objects are key tables, or the key tables are larger than 64 MiB.
    #[error("its key tables are larger than 64 MiB or more than 131,072")]
    KeyTables,
    /// The paths of all keys together are longer than 256 MiB.
    #[error("the paths of its keys are longer than 256 MiB together")]
    Paths,
    /// The object tables have more than 4,194,304 entries.
    #[error("its object tables have more than 4,194,304 entries")]
    Objects,
    /// The replay log has more than 64 MiB of data.
    #[error("its replay log has more than 64 MiB of data")]
    ReplayLog,
    /// An XML file is larger than 16 MiB.
    #[error("it is an XML file of more than 16 MiB")]
    Xml,
    /// The elements of an XML file are nested deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    #[error("its XML elements are nested deeper than 128 levels")]
    Depth,
    /// The value of a key is longer than the caller permits.
    #[error("the value is longer than permitted")]
    Object,
}

/// A part of a file that is damaged, so that its keys cannot be decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Both headers have a wrong signature or checksum.
    #[error("both headers are damaged")]
    Headers,
    /// The sequence numbers of the two headers do not tell which one is current, and their content differs.
    #[error("the two headers differ, and their sequence numbers do not tell which one is current")]
    AmbiguousHeaders,
    /// The alignment is zero or more than 65536.
    #[error("the header has the impossible alignment {0}")]
    Alignment(u32),
    /// An object table has a wrong signature, or does not fit into the file.
    #[error("the object table is damaged or past the end of the file")]
    ObjectTable,
    /// The last entry of an object table is damaged, so it is not known whether another table follows.
    #[error("the entry that names the next object table is damaged")]
    ObjectTableChain,
    /// The object tables form a cycle.
    #[error("the object tables form a cycle")]
    ObjectTableCycle,
    /// Two key tables have the same index, and their sequence numbers do not tell which one is current.
    #[error(
        "two key tables have the index {index}, and their sequence numbers {} and {} do not tell which one is current",
        .sequences[0], .sequences[1]
    )]
    AmbiguousKeyTables {
        /// The index of both.
        index: u16,
        /// The sequence numbers.
        sequences: [u16; 2],
    },
    /// Two key tables overlap.
    #[error("two key tables overlap")]
    OverlappingKeyTables,
    /// The header of the replay log is damaged, so it is not known whether entries must be replayed.
    #[error("the header of the replay log is damaged or past the end of the file")]
    ReplayLog,
    /// An entry of the replay log that must be replayed is damaged.
    #[error("entry {0} of the replay log is damaged")]
    ReplayEntry(u32),
    /// An XML file is not UTF-8 or UTF-16.
    #[error("the XML file is not valid UTF-8 or UTF-16")]
    XmlEncoding,
    /// An XML file is not well-formed.
    #[error("the XML is not well-formed ({0})")]
    Xml(String),
    /// The value of a key lies outside of the file.
    #[error("the value lies outside of the file")]
    FileObject,
    /// Text in a file object is not UTF-16.
    #[error("the text is not valid UTF-16")]
    Text,
}

impl Error {
    /// Returns the class of the error.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Error::Io { .. } => ErrorKind::Io,
            Error::NotARegularFile => ErrorKind::NotARegularFile,
            Error::NotAConfiguration | Error::Version(_) | Error::TooLarge { .. } => ErrorKind::Unsupported,
            Error::Corrupt { .. } => ErrorKind::Corrupt,
        }
    }

    /// Returns the offset in the file of the damage, or of the first structure past a limit.
    pub const fn offset(&self) -> Option<u64> {
        match self {
            Error::Corrupt { offset, .. } => Some(*offset),
            Error::TooLarge { offset, .. } => *offset,
            _ => None,
        }
    }

    pub(crate) const fn corrupt(offset: u64, damage: Damage) -> Self {
        Error::Corrupt { offset, damage }
    }

    pub(crate) const fn too_large(limit: Limit, offset: u64) -> Self {
        Error::TooLarge { limit, offset: Some(offset) }
    }

    pub(crate) const fn open(source: io::Error) -> Self {
        Error::Io { action: "open", source }
    }

    pub(crate) const fn read(source: io::Error) -> Self {
        Error::Io { action: "read", source }
    }
}
