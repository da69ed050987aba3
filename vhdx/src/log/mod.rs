//! The log: finding the active sequence, and replaying it in memory ([MS-VHDX] 2.3).
//!
//! Reading must never need a write, so a dirty log becomes an overlay over the file: everything above reads through
//! it and sees the file as it will be once somebody has replayed the log for good.
#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

mod entry;
mod overlay;
mod ring;
mod sequence;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::header::Header;
use crate::rules::Rule;
use crate::storage::ReadAt;
use crate::units::{FileOffset, KIB};
use crate::violation::{Structure, Violation, Violations};

use entry::Entry;
use overlay::Overlay;
use ring::Ring;

/// The longest log that is replayed, in bytes. Windows makes logs of 1 MiB.
const MAX_LOG_LENGTH: u64 = 1 << 30;
/// Nothing that a log may write to lies below: the file type identifier and the headers do ([MS-VHDX] 2.1).
const FIRST_TARGET: u64 = 192 * KIB;
/// Past the largest disk with all its bitmaps and tables. A log that extends the file further is damaged.
const MAX_FILE_LENGTH: u64 = 1 << 47;

/// Whether the log held writes that were not in the file yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogState {
    /// The file needs no replay.
    Clean,
    /// The log was dirty, and has been replayed in memory; the file itself is as it was.
    Replayed {
        /// How many log entries were active.
        entries: usize,
    },
}

/// The file as it is once the log of `header` has been replayed: `storage` itself when the log is clean.
///
/// # Errors
/// [`Error::Io`]; [`Error::Corrupt`] for a log that is dirty, but has no valid sequence, that belongs to a longer
/// file, or that writes where no log may ([MS-VHDX] 2.3.3). Every violation is also in `violations`.
pub(crate) fn replay(
    storage: Arc<dyn ReadAt>,
    header: &Header,
    violations: &mut Violations,
) -> Result<(Arc<dyn ReadAt>, LogState)> {
    if header.log_guid.is_nil() {
        return Ok((storage, LogState::Clean));
    }
    let ring = Ring::new(&*storage, header.log_offset, u64::from(header.log_length));
    let found = if ring.len() > MAX_LOG_LENGTH {
        let violation =
            Violation::new(Structure::Log, header.log_offset, Rule::LogTooLarge).number(ring.len());
        violations.report(violation);
        None
    } else {
        sequence::active(&ring, header.log_guid, violations)?
    };
    violations.stop_at_first()?;
    let Some(active) = found else {
        return Err(Violation::new(Structure::Log, header.log_offset, Rule::LogNoActiveSequence).into());
    };
    let file_len = storage.len().map_err(|e| Error::io("measure", FileOffset::new(0), e))?;
    judge_lengths(&active, &ring, file_len, violations);
    violations.stop_at_first()?;

    let last_file_offset = active.last().map_or(0, |head| head.header.last_file_offset);
    let mut overlay = Overlay::new(Arc::clone(&storage), file_len.max(last_file_offset));
    for entry in &active {
        apply(entry, &ring, &mut overlay, violations)?;
    }
    violations.stop_at_first()?;
    Ok((Arc::new(overlay), LogState::Replayed { entries: active.len() }))
}

fn judge_lengths(active: &[Entry], ring: &Ring<'_>, file_len: u64, violations: &mut Violations) {
    let Some(head) = active.last() else { return };
    let at = ring.file_offset(head.at);
    let mut report = |rule, found: u64| {
        violations.report(Violation::new(Structure::LogEntry, at, rule).number(found));
    };
    let header = &head.header;
    if file_len < header.flushed_file_offset {
        report(Rule::LogTruncatedFile, header.flushed_file_offset);
    }
    if header.last_file_offset > MAX_FILE_LENGTH {
        report(Rule::LogLastFileOffset, header.last_file_offset);
    }
    for offset in [header.flushed_file_offset, header.last_file_offset] {
        if !offset.is_multiple_of(crate::units::MIB) {
            report(Rule::LogEntryOffsets, offset);
        }
    }
}

fn apply(entry: &Entry, ring: &Ring<'_>, overlay: &mut Overlay, violations: &mut Violations) -> Result<()> {
    let at = ring.file_offset(entry.at);
    let mut number: u32 = 0;
    entry.for_each_write(ring, |write| {
        let (start, len) = (write.offset(), write.length());
        let violation = |rule| Violation::new(Structure::LogDescriptor(number), at, rule).number(start.get());
        match start.checked_add(len) {
            None => violations.report(violation(Rule::LogDescriptorOffset)),
            Some(end) if start.get() < FIRST_TARGET || ring.overlaps(start, end) => {
                violations.report(violation(Rule::LogDescriptorTarget));
            }
            Some(_) => overlay.write(write),
        }
        number = number.saturating_add(1);
    })
}
