//! Whether files that claim to be the same are.

use std::collections::HashMap;
use std::path::Path;

use super::DiscoveredDisk;
use crate::error::{Error, Result};
use crate::file::Vhdx;
use crate::progress::{NoProgress, Progress};
use crate::storage::{Buffer, FileStorage, ReadAt};
use crate::units::FileOffset;

/// Longer files are not read for a proof that they are copies.
const LONGEST: u64 = 1 << 30;

const WINDOW: usize = 1 << 20;

/// Remembers what was compared, because many children may ask for the same parents.
pub(super) struct Copies<'a> {
    progress: &'a dyn Progress,
    compared: HashMap<(usize, usize), bool>,
}

impl<'a> Copies<'a> {
    pub(super) fn new(progress: &'a dyn Progress) -> Self {
        Self { progress, compared: HashMap::new() }
    }

    /// Whether two files are proven to have the same bytes. Their GUIDs are no proof: damage does not change them.
    pub(super) fn are_proven(&mut self, disks: &[DiscoveredDisk], a: usize, b: usize) -> Result<bool> {
        let (one, other) = (&disks[a], &disks[b]);
        let claim = |disk: &DiscoveredDisk| (disk.file_write_guid, disk.data_write_guid, disk.file_size);
        if claim(one) != claim(other) || one.file_size > LONGEST {
            return Ok(false);
        }
        if let Some(known) = self.compared.get(&(a, b)) {
            return Ok(*known);
        }
        let proven = match same_bytes(&one.path, &other.path, one.file_size, self.progress) {
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            result => result.unwrap_or(false),
        };
        self.compared.insert((a, b), proven);
        Ok(proven)
    }
}

/// Whether two open files are proven to have the same bytes. What cannot be read proves nothing.
pub(in crate::chain) fn are_copies(one: &Vhdx, other: &Vhdx) -> bool {
    let claim = |vhdx: &Vhdx| (vhdx.file_write_guid(), vhdx.data_write_guid(), vhdx.file_len());
    let (Some(a), Some(b)) = (one.path(), other.path()) else { return false };
    let len = one.file_len();
    claim(one) == claim(other) && len <= LONGEST && same_bytes(a, b, len, &NoProgress).unwrap_or(false)
}

fn same_bytes(a: &Path, b: &Path, len: u64, progress: &dyn Progress) -> Result<bool> {
    let files = [FileStorage::open(a)?, FileStorage::open(b)?];
    let mut buffers = [Buffer::new(WINDOW), Buffer::new(WINDOW)];
    let mut at = FileOffset::new(0);
    while at.get() < len {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let window = usize::try_from(len - at.get()).unwrap_or(WINDOW).min(WINDOW);
        for (file, buffer) in files.iter().zip(&mut buffers) {
            file.read_exact_at(&mut buffer[..window], at).map_err(|e| Error::io("read", at, e))?;
        }
        if buffers[0][..window] != buffers[1][..window] {
            return Ok(false);
        }
        at = at.saturating_add(window as u64);
    }
    Ok(true)
}
