//! Proves which disks of a family are copies of each other, and caches the results.

use std::collections::HashMap;

use super::facts::FileFacts;
use super::forest::DiscoveredDisk;
use crate::disk::{LONGEST_COMPARED, same_bytes};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// A cache of comparisons, because many children may need the same ones.
pub(super) struct Copies<'a> {
    progress: &'a dyn Progress,
    compared: HashMap<(usize, usize), bool>,
}

impl<'a> Copies<'a> {
    pub(super) fn new(progress: &'a dyn Progress) -> Self {
        Self { progress, compared: HashMap::new() }
    }

    /// Returns whether two files are proven to have the same bytes.
    ///
    /// Equal GUIDs are no proof, because damage does not change them.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub(super) fn are_proven(&mut self, disks: &[DiscoveredDisk], a: usize, b: usize) -> Result<bool> {
        let (one, other) = (&disks[a].facts, &disks[b].facts);
        let claim = |disk: &FileFacts| (disk.file_write_guid, disk.data_write_guid, disk.file_size);
        if claim(one) != claim(other) || one.file_size > LONGEST_COMPARED {
            return Ok(false);
        }
        if let Some(known) = self.compared.get(&(a, b)) {
            return Ok(*known);
        }
        let proven = match same_bytes(&one.path, &other.path, one.file_size, self.progress) {
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            result => result.is_ok_and(|are_equal| are_equal),
        };
        self.compared.insert((a, b), proven);
        Ok(proven)
    }
}
