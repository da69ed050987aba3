//! Replays a dirty log into the file ([MS-VHDX] 2.3.3).

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::headers::Headers;
use super::{Vhdx, validate_bat};
use crate::error::{Error, Result};
use crate::log::LogState;
use crate::storage::{FileStorage, ReadAt, Storage};
use crate::violation::Violations;

/// The content of a dirty log: the writes that are not in the file yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogContent {
    /// The number of active log entries.
    pub entries: usize,
    /// The number of pages of 4 KiB that they write.
    pub pages: u64,
    /// The number of bytes that they fill with zeros, besides those pages.
    pub zeroed: u64,
    /// The length in bytes that the file has after the replay.
    pub file_size: u64,
}

impl LogContent {
    /// Returns the length of those pages in bytes.
    pub fn bytes(&self) -> u64 {
        // In range for every log. A caller can set any number of pages.
        self.pages.saturating_mul(4096)
    }
}

impl Vhdx {
    /// Returns the writes that a replay has to make; `None` if the log is clean.
    pub fn log_content(&self) -> Option<LogContent> {
        let LogState::Dirty { entries } = self.log else { return None };
        let overlay = self.overlay.as_deref()?;
        let file_size = self.replayed_len();
        Some(LogContent { entries, pages: overlay.pages(), zeroed: overlay.zeroed(), file_size })
    }
}

/// Replays the log of a file into the file, and returns its content.
///
/// Returns `None` and writes nothing if the log is clean.
///
/// When this returns, the file is durable and needs no replay. The file reads the same at every instant. After a
/// failure or a crash the log is still pending, or it has been applied. A pending log can be replayed again ([MS-VHDX]
/// 2.3.3).
///
/// # Errors
/// Those of opening the file; then nothing is written. [`Error::Unsupported`] if the sequence number of the headers
/// cannot grow. [`Error::Io`].
pub fn replay(storage: Arc<dyn Storage>) -> Result<Option<LogContent>> {
    let vhdx = Vhdx::load(Arc::clone(&storage) as Arc<dyn ReadAt>, &mut Violations::new())?;
    let Some(content) = vhdx.log_content() else { return Ok(None) };
    let owns_its_log = owns_its_log(&vhdx);
    let Some(overlay) = vhdx.overlay else { return Ok(None) };
    // A process that was killed may have written bytes that can be read but are not durable yet.
    storage.sync().map_err(|e| Error::io("sync", None, e))?;
    let mut headers = Headers::new(Arc::clone(&storage), vhdx.header, vhdx.header_number);
    headers.update(|header| header.file_write_guid = Uuid::new_v4())?;
    // Once the first page is in its place, only the log can complete the file. An earlier sync of the log may have
    // failed, and the host may have forgotten that. So a new, durable log entry is written first.
    if owns_its_log {
        overlay.append_again(&*storage)?;
    }
    overlay.write_in_place(&*storage)?;
    // All pages must be durable before the log is cleared: only the log could repair a lost one.
    storage.sync().map_err(|e| Error::io("sync", None, e))?;
    headers.update(|header| header.log_guid = Uuid::nil())?;
    Ok(Some(content))
}

/// Returns whether the BAT breaks no rule that is not tolerated.
///
/// Otherwise a block may lie in the log, and a new log entry could overwrite its data.
fn owns_its_log(vhdx: &Vhdx) -> bool {
    let mut violations = Violations::new();
    validate_bat(vhdx, &mut violations).is_ok() && violations.ensure_none_fatal().is_ok()
}

/// Replays the log of the file at `path` like [`replay`].
///
/// Locks the file against other programs meanwhile.
///
/// # Errors
/// As [`replay`]; [`Error::Io`] if the file cannot be opened for writing or is in use.
pub fn replay_file(path: &Path) -> Result<Option<LogContent>> {
    let storage = FileStorage::open_exclusive(path)?;
    replay(Arc::new(storage)).map_err(|error| error.in_file(path))
}
