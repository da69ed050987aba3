//! Defines conflicts with other users of the files, and objects that cannot be used any more.

use crate::units::FileOffset;

/// The reason why an operation does not fit the present state of the files: another program changed them, or they are
/// not in the state that the caller expected. The same call can succeed at another time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// A file changed while it was read.
    #[error("the file changed while it was read, so the result is not reliable: {0}")]
    Changed(FileChange),
    /// A plan that was made for other files, or before the files changed.
    #[error("a file of this operation changed, or appeared, after it was checked; run the operation again")]
    StalePlan,
    /// A raw file or device does not hold the disk that it must hold. Nothing was written.
    #[error("the target does not hold the older disk: the byte at {0} differs")]
    OtherBase(FileOffset),
    /// The destination already exists, and overwriting it was not requested.
    #[error("the destination already exists")]
    DestinationExists,
}

/// How a file changed while it was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileChange {
    /// The file became longer or shorter.
    #[error("its length was {before} bytes and is now {after} bytes")]
    #[non_exhaustive]
    Length {
        /// The length in bytes when the file was opened.
        before: u64,
        /// The length in bytes now.
        after: u64,
    },
    /// A program opened the file and wrote to it ([MS-VHDX] 2.2.2).
    #[error("its FileWriteGuid was {before} and is now {after}")]
    #[non_exhaustive]
    FileWriteGuid {
        /// The FileWriteGuid when the file was opened.
        before: uuid::Uuid,
        /// The FileWriteGuid now.
        after: uuid::Uuid,
    },
    /// The current header is another one, with the same FileWriteGuid ([MS-VHDX] 2.2.2).
    #[error("the sequence number of its current header was {before} and is now {after}")]
    #[non_exhaustive]
    Header {
        /// The sequence number when the file was opened.
        before: u64,
        /// The sequence number now.
        after: u64,
    },
    /// The modification time of the file is different.
    #[error("its modification time changed")]
    Modified,
}

/// The reason why an object cannot be used any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidState {
    /// An earlier change to the file failed, so nobody knows what is on the medium.
    #[error("an earlier change to the file failed; open the file again")]
    FailedBefore,
}
