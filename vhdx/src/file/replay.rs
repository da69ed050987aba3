//! Writing a dirty log home, for good ([MS-VHDX] 2.3.3).

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::headers::Headers;
use super::{Vhdx, validate_bat};
use crate::error::{Error, Result};
use crate::log::LogState;
use crate::storage::{FileStorage, ReadAt, Storage};
use crate::violation::Violations;

/// What a dirty log holds that is not in the file yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogContent {
    /// How many log entries are active.
    pub entries: usize,
    /// How many pages of 4 KiB they write.
    pub pages: u64,
    /// How many bytes they fill with zeros, beside those pages.
    pub zeroed: u64,
    /// The length in bytes that the file has after the replay.
    pub file_size: u64,
}

impl LogContent {
    /// How many bytes those pages are.
    pub fn bytes(&self) -> u64 {
        self.pages.saturating_mul(4096)
    }
}

impl Vhdx {
    /// What a replay has to write; `None` for a file whose log is clean.
    pub fn log_content(&self) -> Option<LogContent> {
        let LogState::Replayed { entries } = self.log else { return None };
        let overlay = self.overlay.as_deref()?;
        let file_size = self.replayed_len();
        Some(LogContent { entries, pages: overlay.pages(), zeroed: overlay.zeroed(), file_size })
    }
}

/// Replays the log of a file into the file, and tells what it held; nothing is written if it is clean. When this
/// returns, the file is durable and needs no replay. It reads what it read before, at every instant: after a failure or
/// a crash at any point the log is still there, and the replay can be done again ([MS-VHDX] 2.3.3).
///
/// # Errors
/// Those of opening the file, with nothing written; [`Error::Io`].
pub fn replay(storage: Arc<dyn Storage>) -> Result<Option<LogContent>> {
    let vhdx = Vhdx::load(Arc::clone(&storage) as Arc<dyn ReadAt>, &mut Violations::new())?;
    let Some(content) = vhdx.log_content() else { return Ok(None) };
    let owns_its_log = owns_its_log(&vhdx);
    let Some(overlay) = vhdx.overlay else { return Ok(None) };
    // What another process wrote before it was killed can be read, but need not be durable yet.
    storage.sync().map_err(|e| Error::io("sync", None, e))?;
    let mut headers = Headers::new(Arc::clone(&storage), vhdx.header, vhdx.header_number);
    headers.update(|header| header.file_write_guid = Uuid::new_v4())?;
    // From the first page in its place on, only the log can make the file whole.
    if owns_its_log {
        overlay.append_again(&*storage)?;
    }
    overlay.write_home(&*storage)?;
    // Without the log, nothing could repair a page that is not in its place.
    storage.sync().map_err(|e| Error::io("sync", None, e))?;
    headers.update(|header| header.log_guid = Uuid::nil())?;
    Ok(Some(content))
}

/// Whether nothing of the disk lies in the log: a file of which that is not known is not written to any further.
fn owns_its_log(vhdx: &Vhdx) -> bool {
    let mut violations = Violations::new();
    validate_bat(vhdx, &mut violations).is_ok() && violations.stop_at_first().is_ok()
}

/// As [`replay`], for the file at `path`, which nobody else may use in the meantime.
///
/// # Errors
/// As [`replay`]; [`Error::Io`] when the file cannot be opened for writing, or is in use.
pub fn replay_file(path: &Path) -> Result<Option<LogContent>> {
    let storage = FileStorage::open_exclusive(path)?;
    replay(Arc::new(storage)).map_err(|error| error.in_file(path))
}
