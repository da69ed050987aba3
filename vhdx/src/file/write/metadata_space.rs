//! How much space of the host changes of metadata take: upper bounds, for whoever must know before anything is written.

use super::metadata::new_region;
use crate::file::Vhdx;
use crate::units::{KIB, MIB};

/// How much longer a parent locator becomes at most: three paths of less than 64 KiB each, the linkages, and the keys.
const LONGER_LOCATOR: u64 = 256 * KIB;
/// The metadata table and both region tables, where they are: even a hole may lie there.
const TABLES: u64 = 192 * KIB;

impl Vhdx {
    /// How many bytes a session of that many transactions takes at most beside what these change: for writing a dirty log
    /// home, for the log, and for whole MiBs.
    pub(crate) fn bytes_of_session(&self, transactions: u64) -> u64 {
        let replayed = self.log_content().map_or(0, |log| log.bytes().saturating_add(log.zeroed));
        let longer = self.replayed_len().saturating_sub(self.file_len());
        // No entry is longer than 1 MiB, and neither is a log that is made because there is none.
        let log = self.layout.log.1.max(MIB).min(transactions.saturating_add(1).saturating_mul(MIB));
        [replayed, longer, log].into_iter().fold(MIB, u64::saturating_add)
    }

    /// How many bytes it takes at most to change metadata items, if they become `longer` by that many together.
    pub(crate) fn bytes_of_items(&self, longer: u64) -> u64 {
        let items = self.metadata.entries.iter().map(|entry| entry.length.into());
        new_region(items.chain([longer])).saturating_add(TABLES)
    }

    /// How many bytes it takes at most to change the parent locator, in a session of its own.
    pub(crate) fn bytes_of_locator(&self) -> u64 {
        self.bytes_of_session(1).saturating_add(self.bytes_of_items(LONGER_LOCATOR))
    }
}
