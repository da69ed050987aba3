//! Limits of what a log may contain.

use crate::units::KIB;

/// The maximum length of a log that is replayed, in bytes. Windows makes logs of 1 MiB.
pub(crate) const MAX_LOG_LENGTH: u64 = 1 << 30;
/// The first offset to which a log may write. The file type identifier and the headers come before it ([MS-VHDX] 2.1).
pub(super) const FIRST_TARGET: u64 = 192 * KIB;
/// The maximum number of separate ranges that a log may patch: twice the number of pages that fit into the longest log.
/// They take 40 MiB of memory.
pub(super) const MAX_PATCHES: usize = 1 << 19;
/// A length in bytes that no file reaches, even for the largest disk with all its bitmaps and tables. A log that
/// extends the file further is damaged.
pub(super) const MAX_FILE_LENGTH: u64 = 1 << 47;
