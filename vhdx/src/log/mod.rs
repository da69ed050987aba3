//! Finds the active sequence of the log, replays it in memory, and writes log entries ([MS-VHDX] 2.3).
//!
//! Reading must never need a write. So a dirty log is replayed into an overlay in memory. All other modules read
//! through the overlay, and see the file as it will be once the log has been replayed into it.
#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

mod entry;
mod limits;
mod overlay;
mod ring;
mod sequence;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use crate::error::{Bounded, Error, Guaranteed, Result};
use crate::format::header::Header;
use crate::format::log_entry::Descriptor;
use crate::rules::Rule;
use crate::storage::ReadAt;
use crate::units::MIB;
use crate::violation::{Structure, Violation, Violations};

use entry::Entry;
pub(crate) use limits::MAX_LOG_LENGTH;
use limits::{FIRST_TARGET, MAX_FILE_LENGTH, MAX_PATCHES};
use overlay::Origin;
pub(crate) use overlay::Overlay;
use ring::Ring;
pub(crate) use writer::LogWriter;

/// The state of the log of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum LogState {
    /// The log contains nothing to replay.
    Clean,
    /// The log was dirty and has been replayed in memory. The file itself is unchanged.
    Dirty {
        /// The number of active log entries.
        entries: usize,
    },
}

/// A file with its log replayed in memory.
pub(crate) struct Replayed {
    /// The file as it reads after the replay: the storage itself if the log is clean.
    pub(crate) storage: Arc<dyn ReadAt>,
    /// The writes of the log; `None` if it is clean.
    pub(crate) overlay: Option<Arc<Overlay>>,
    pub(crate) state: LogState,
}

/// Replays the log of `header` in memory ([MS-VHDX] 2.3.3). All violations are also in `violations`.
///
/// # Errors
/// - [`Error::Io`].
/// - [`Error::Corrupt`] for a dirty log that has no valid sequence, belongs to a longer file, or writes to a forbidden
///   place.
/// - [`Error::Unsupported`] for a dirty log that is longer than 1 GiB or makes too many separate writes.
pub(crate) fn replay(
    storage: Arc<dyn ReadAt>,
    header: &Header,
    violations: &mut Violations,
) -> Result<Replayed> {
    if header.log_guid.is_nil() {
        return Ok(Replayed { storage, overlay: None, state: LogState::Clean });
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
    violations.ensure_none_fatal()?;
    let Some(sequence::Active { entries: active, highest }) = found else {
        return Err(Violation::new(Structure::Log, header.log_offset, Rule::LogNoActiveSequence).into());
    };
    let file_len = storage.size().map_err(|e| Error::io("get its size", None, e))?;
    validate_lengths(&active, &ring, file_len, violations);
    violations.ensure_none_fatal()?;

    let head = &active.last().guaranteed("an active sequence has an entry")?.header;
    let mut overlay = Overlay::new(Arc::clone(&storage), file_len, file_len.max(head.last_file_offset));
    for entry in &active {
        apply(entry, &ring, &mut overlay, violations)?;
    }
    if let Some(next) = LogWriter::behind(&active, highest, header)? {
        let mut lengths = active.iter().map(|entry| u64::from(entry.header.entry_length));
        let length = lengths.try_fold(0, u64::plus)?;
        overlay.comes_from(Origin { next, active: length, flushed: head.flushed_file_offset });
    }
    violations.ensure_none_fatal()?;
    let overlay = Arc::new(overlay);
    let storage: Arc<dyn ReadAt> = overlay.clone();
    let state = LogState::Dirty { entries: active.len() };
    Ok(Replayed { storage, overlay: Some(overlay), state })
}

/// Validates the file lengths in the active entries.
///
/// Wrong lengths in the head are fatal. In any entry, a length that is not a multiple of 1 MiB is only reported.
fn validate_lengths(active: &[Entry], ring: &Ring<'_>, file_len: u64, violations: &mut Violations) {
    for entry in active {
        for offset in [entry.header.flushed_file_offset, entry.header.last_file_offset] {
            if !offset.is_multiple_of(MIB) {
                let at = ring.file_offset(entry.at);
                violations
                    .report(Violation::new(Structure::LogEntry, at, Rule::LogEntryOffsets).number(offset));
            }
        }
    }
    let Some(head) = active.last() else { return };
    let mut report = |rule, found: u64| {
        let violation = Violation::new(Structure::LogEntry, ring.file_offset(head.at), rule);
        violations.report(violation.number(found));
    };
    if file_len < head.header.flushed_file_offset {
        report(Rule::LogTruncatedFile, head.header.flushed_file_offset);
    }
    if head.header.last_file_offset > MAX_FILE_LENGTH {
        report(Rule::LogLastFileOffset, head.header.last_file_offset);
    }
}

fn apply(entry: &Entry, ring: &Ring<'_>, overlay: &mut Overlay, violations: &mut Violations) -> Result<()> {
    if !entry.reserved_is_zero {
        let at = ring.file_offset(entry.at);
        violations.report(Violation::new(Structure::LogEntry, at, Rule::LogReserved));
    }
    entry.for_each_descriptor(ring, |described| {
        let structure = Structure::LogDescriptor(described.number);
        let mut report = |rule, found: u64| {
            violations.report(Violation::new(structure, described.at, rule).number(found));
        };
        if !Descriptor::reserved_is_zero(described.bytes) {
            report(Rule::LogReserved, 0);
        }
        let start = described.descriptor.file_offset();
        let len = match described.descriptor {
            Descriptor::Zero { length, .. } => length,
            Descriptor::Data { .. } => ring::SECTOR,
        };
        let Some(end) = start.checked_add(len) else {
            report(Rule::LogDescriptorFar, start.get());
            return Ok(());
        };
        if start.get() < FIRST_TARGET || ring.overlaps(start, end) {
            report(Rule::LogDescriptorTarget, start.get());
            return Ok(());
        }
        match described.descriptor {
            // Zeros past the end of the file change nothing, so their end is not limited.
            Descriptor::Zero { .. } => overlay.zero(start..end),
            Descriptor::Data { .. } if end.get() > MAX_FILE_LENGTH => {
                report(Rule::LogDescriptorFar, start.get());
            }
            Descriptor::Data { .. } => overlay.page(&described.descriptor, described.data_sector)?,
        }
        if overlay.patches() > MAX_PATCHES {
            let violation = Violation::new(structure, described.at, Rule::LogTooManyWrites);
            violations.report(violation);
            return Ok(violations.ensure_none_fatal()?);
        }
        Ok(())
    })
}
