//! Computes upper bounds for the space on the host that changes of metadata take.
//!
//! They are needed before anything is written. They saturate: what no host has room for may take any larger number.

use super::metadata::new_region;
use crate::file::Vhdx;
use crate::units::{KIB, MIB};

/// The most bytes by which a parent locator grows.
///
/// It holds three paths of less than 64 KiB each, the linkages, and the keys.
const LONGER_LOCATOR: u64 = 256 * KIB;
/// The length of the metadata table and both region tables, which may lie in holes.
const TABLES: u64 = 192 * KIB;

impl Vhdx {
    /// Returns how many bytes a session takes at most, besides the content of its `transactions`.
    ///
    /// Counts the replay of a dirty log, the log of the session, and rounding up to whole MiBs.
    pub(crate) fn bytes_of_session(&self, transactions: u64) -> u64 {
        let replayed = self.log_content().map_or(0, |log| log.bytes().saturating_add(log.zeroed));
        let longer = self.replayed_len().saturating_sub(self.file_len());
        // No entry is longer than 1 MiB, and neither is the new log of a file that has none.
        let log = self.layout.log.1.max(MIB).min(transactions.saturating_add(1).saturating_mul(MIB));
        [replayed, longer, log].into_iter().fold(MIB, u64::saturating_add)
    }

    /// Returns how many bytes a change of metadata items takes at most.
    ///
    /// The items grow by `longer` bytes in total.
    pub(crate) fn bytes_of_items(&self, longer: u64) -> u64 {
        let items = self.metadata.entries.iter().map(|entry| entry.length.into());
        // An upper bound: no host has room for a region whose length exceeds 64 bits.
        new_region(items.chain([longer])).map_or(u64::MAX, |len| len.saturating_add(TABLES))
    }

    /// Returns how many bytes a change of the parent locator in its own session takes at most.
    pub(crate) fn bytes_of_locator(&self) -> u64 {
        self.bytes_of_session(1).saturating_add(self.bytes_of_items(LONGER_LOCATOR))
    }
}
