//! Writes the log: one entry for each transaction ([MS-VHDX] 2.3.1).
//!
//! Every entry names itself as the tail, so a replay applies only the newest valid entry. One entry is enough, because
//! the writes of each entry are durable in their places before the next entry is appended.
//!
//! An entry takes at most a third of the log. So it never overwrites the entry before it, which remains the head of the
//! log if the new one is torn. A replay also has room to write the newest entry once more, behind both.

use uuid::Uuid;

use super::entry::Entry;
use super::limits::{FIRST_TARGET, MAX_FILE_LENGTH, MAX_LOG_LENGTH};
use super::ring::{SECTOR, advance};
use crate::error::{Error, InvalidArgument, Result};
use crate::format::header::Header;
use crate::format::log_entry::{LogEntryHeader, LogWrite, descriptor_sectors, encode_entry};
use crate::storage::Storage;
use crate::units::{FileOffset, MIB};

/// The maximum length of an entry in bytes, however long the log is. The logs that Windows makes have no room for a
/// longer one, so no reader has ever had to accept one. It also limits the memory of a transaction.
const MAX_ENTRY: u64 = MIB;

/// A writer that appends entries to the log of one session, under a LogGuid of its own.
#[derive(Clone, Debug)]
pub(crate) struct LogWriter {
    place: FileOffset,
    len: u64,
    guid: Uuid,
    /// The position in the ring where the next entry begins.
    at: u64,
    sequence_number: u64,
}

impl LogWriter {
    /// Starts an empty log in the `len` bytes at `place`, and extends the file if it ends before the log does.
    ///
    /// Writes one empty entry, which is durable when this returns. Anything that was there before is lost. The headers
    /// must name [`guid`](Self::guid) before anything is appended.
    ///
    /// # Errors
    /// - [`InvalidArgument::LogLength`] for a length that is zero, not a multiple of 1 MiB, or too long to be replayed.
    /// - [`Error::Io`].
    pub(crate) fn start(storage: &dyn Storage, place: FileOffset, len: u64) -> Result<Self> {
        if len == 0 || !len.is_multiple_of(MIB) || len > MAX_LOG_LENGTH {
            return Err(InvalidArgument::LogLength(len).into());
        }
        let file_len = storage.size().map_err(|e| Error::io("get its size", None, e))?;
        let log_end = place.saturating_add(len);
        if file_len < log_end.get() {
            storage.set_len(log_end.get()).map_err(|e| Error::io("extend", log_end, e))?;
        }
        let mut log = Self { place, len, guid: Uuid::new_v4(), at: 0, sequence_number: 1 };
        let durable = file_len.max(log_end.get()); // once the sync that follows has returned
        log.append(storage, &[], durable, durable)?;
        storage.sync().map_err(|e| Error::io("sync", None, e))?;
        Ok(log)
    }

    /// Returns a writer that appends to the log of `header` behind its active sequence; `None` if the sequence numbers
    /// are used up.
    ///
    /// The next number exceeds the `highest` one in the log. Otherwise a new entry in the place of a torn one could
    /// connect the entries behind it to the sequence.
    pub(super) fn behind(active: &[Entry], highest: u64, header: &Header) -> Option<Self> {
        let (head, len) = (active.last()?, u64::from(header.log_length));
        Some(Self {
            place: header.log_offset,
            len,
            guid: header.log_guid,
            at: advance(head.at, head.header.entry_length.into(), len),
            sequence_number: highest.checked_add(1)?,
        })
    }

    /// Returns the length of the log in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Returns the LogGuid of all entries.
    pub(crate) fn guid(&self) -> Uuid {
        self.guid
    }

    /// Returns the number of pages of 4 KiB that one entry can write.
    pub(crate) fn capacity(&self) -> usize {
        let sectors = u32::try_from(self.longest_entry() / SECTOR).unwrap_or(u32::MAX);
        let fits =
            |pages: &u32| u64::from(*pages).saturating_add(descriptor_sectors(*pages)) <= u64::from(sectors);
        (0..sectors).rev().find(fits).and_then(|pages| usize::try_from(pages).ok()).unwrap_or(0)
    }

    pub(super) fn longest_entry(&self) -> u64 {
        (self.len / 3).min(MAX_ENTRY)
    }

    /// Writes an entry without syncing. Once it is durable, a replay makes exactly its writes.
    ///
    /// The writes of the previous entry must already be durable in their places. `flushed_file_offset` is a durable
    /// length of the file in bytes. `last_file_offset` is a length in bytes that covers everything allocated.
    ///
    /// After an error the entry may or may not be in the log. The next entry is written to the same place.
    ///
    /// # Errors
    /// - [`InvalidArgument::LogEntry`] for an entry that is too long, or that a replay would reject.
    /// - [`Error::Io`].
    pub(crate) fn append(
        &mut self,
        storage: &dyn Storage,
        writes: &[LogWrite],
        flushed_file_offset: u64,
        last_file_offset: u64,
    ) -> Result<()> {
        let last_file_offset = last_file_offset.checked_next_multiple_of(MIB).unwrap_or(u64::MAX);
        if !self.takes(writes, last_file_offset) {
            return Err(InvalidArgument::LogEntry.into());
        }
        let header = LogEntryHeader {
            entry_length: 0,
            tail: u32::try_from(self.at).unwrap_or(u32::MAX),
            sequence_number: self.sequence_number,
            descriptor_count: 0,
            log_guid: self.guid,
            flushed_file_offset: flushed_file_offset.saturating_sub(flushed_file_offset % MIB),
            last_file_offset,
        };
        let entry = encode_entry(&header, writes);
        self.put(storage, &entry)?;
        self.at = advance(self.at, entry_length(writes), self.len);
        self.sequence_number = self.sequence_number.saturating_add(1);
        Ok(())
    }

    /// Ensures durably that no entry begins in the next `len` bytes.
    ///
    /// A torn entry there may lack a single sector. Another entry that is torn in the same place could leave exactly
    /// this sector, and so complete the first one.
    pub(super) fn clear(&self, storage: &dyn Storage, len: u64) -> Result<()> {
        for number in 0..len / SECTOR {
            let at = advance(self.at, number.saturating_mul(SECTOR), self.len);
            let at = self.place.saturating_add(at);
            // 512 bytes are enough: they contain the signature, and without it no entry is valid.
            storage.write_all_at(&[0; 512], at).map_err(|e| Error::io("write the log", at, e))?;
        }
        storage.sync().map_err(|e| Error::io("sync", None, e))
    }

    /// Returns whether these writes fit into one entry and a replay would make all of them.
    pub(super) fn takes(&self, writes: &[LogWrite], last_file_offset: u64) -> bool {
        entry_length(writes) <= self.longest_entry()
            && last_file_offset <= MAX_FILE_LENGTH
            && writes.iter().all(|write| self.is_sound(write))
    }

    /// Returns whether a replay would make this write.
    fn is_sound(&self, write: &LogWrite) -> bool {
        let (start, len) = match write {
            LogWrite::Data { offset, .. } => (offset.get(), SECTOR),
            LogWrite::Zero { offset, len } => (offset.get(), *len),
        };
        let end = start.saturating_add(len);
        let log = self.place.get()..self.place.saturating_add(self.len).get();
        start.is_multiple_of(SECTOR)
            && len.is_multiple_of(SECTOR)
            && start >= FIRST_TARGET
            && end <= MAX_FILE_LENGTH
            && (end <= log.start || start >= log.end)
    }

    /// Writes the bytes of an entry to the position of the next entry, wrapped around the end of the ring.
    fn put(&self, storage: &dyn Storage, entry: &[u8]) -> Result<()> {
        let room = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let (first, wrapped) = entry.split_at(room.min(entry.len()));
        for (bytes, at) in [(first, self.place.saturating_add(self.at)), (wrapped, self.place)] {
            if !bytes.is_empty() {
                storage.write_all_at(bytes, at).map_err(|e| Error::io("write the log", at, e))?;
            }
        }
        Ok(())
    }
}

/// Returns the length in bytes of an entry with these writes.
pub(super) fn entry_length(writes: &[LogWrite]) -> u64 {
    let pages = writes.iter().filter(|write| matches!(write, LogWrite::Data { .. })).count();
    let sectors = u64::try_from(pages).unwrap_or(u64::MAX);
    let descriptors = u32::try_from(writes.len()).map_or(u64::MAX, descriptor_sectors);
    sectors.saturating_add(descriptors).saturating_mul(SECTOR)
}

#[cfg(test)]
mod tests;
