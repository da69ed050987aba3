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
use crate::error::{Bounded, Error, Guaranteed, InvalidArgument, Result, Times, in_memory};
use crate::format::header::Header;
use crate::format::log_entry::{LogEntryHeader, LogWrite, descriptor_sectors, encode_entry};
use crate::storage::Storage;
use crate::units::{FileOffset, MIB, at_most};

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
    /// The sequence number of the last entry.
    last: u64,
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
        let log_end = place.plus(len)?;
        if file_len < log_end.get() {
            storage.set_len(log_end.get()).map_err(|e| Error::io("extend", log_end, e))?;
        }
        let mut log = Self { place, len, guid: Uuid::new_v4(), at: 0, last: 0 };
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
    ///
    /// # Errors
    /// As [`advance`].
    pub(super) fn behind(active: &[Entry], highest: u64, header: &Header) -> Result<Option<Self>> {
        let len = u64::from(header.log_length);
        let Some(head) = active.last().filter(|_| highest < u64::MAX) else { return Ok(None) };
        Ok(Some(Self {
            place: header.log_offset,
            len,
            guid: header.log_guid,
            at: advance(head.at, head.header.entry_length.into(), len)?,
            last: highest,
        }))
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
    ///
    /// # Errors
    /// [`Error::Internal`] if the log has no room for an entry. The shortest log has.
    pub(crate) fn capacity(&self) -> Result<usize> {
        let sectors = self.longest_entry() / SECTOR;
        let most = u32::try_from(sectors).guaranteed("an entry has at most 1 MiB")?;
        let fits = |&pages: &u32| {
            u64::from(pages).checked_add(descriptor_sectors(pages)).is_some_and(|all| all <= sectors)
        };
        let pages = (0..most).rev().find(fits).guaranteed("each log has room for an entry")?;
        in_memory(pages.into())
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
        let Some(last_file_offset) = last_file_offset.checked_next_multiple_of(MIB) else {
            return Err(InvalidArgument::LogEntry.into());
        };
        if !self.takes(writes, last_file_offset)? {
            return Err(InvalidArgument::LogEntry.into());
        }
        let next_at = advance(self.at, entry_length(writes)?, self.len)?;
        let header = LogEntryHeader {
            entry_length: 0,
            tail: u32::try_from(self.at).guaranteed("a log has at most 1 GiB")?,
            sequence_number: self.last.plus(1)?,
            descriptor_count: 0,
            log_guid: self.guid,
            flushed_file_offset: (flushed_file_offset / MIB).times(MIB)?,
            last_file_offset,
        };
        let entry = encode_entry(&header, writes)?;
        self.put(storage, &entry)?;
        (self.at, self.last) = (next_at, header.sequence_number);
        Ok(())
    }

    /// Ensures durably that no entry begins in the next `len` bytes.
    ///
    /// A torn entry there may lack a single sector. Another entry that is torn in the same place could leave exactly
    /// this sector, and so complete the first one.
    pub(super) fn clear(&self, storage: &dyn Storage, len: u64) -> Result<()> {
        for number in 0..len / SECTOR {
            let at = advance(self.at, number.times(SECTOR)?, self.len)?;
            let at = self.place.plus(at)?;
            // 512 bytes are enough: they contain the signature, and without it no entry is valid.
            storage.write_all_at(&[0; 512], at).map_err(|e| Error::io("write the log", at, e))?;
        }
        storage.sync().map_err(|e| Error::io("sync", None, e))
    }

    /// Returns whether these writes fit into one entry and a replay would make all of them.
    ///
    /// # Errors
    /// As [`entry_length`].
    pub(super) fn takes(&self, writes: &[LogWrite], last_file_offset: u64) -> Result<bool> {
        Ok(entry_length(writes)? <= self.longest_entry()
            && last_file_offset <= MAX_FILE_LENGTH
            && writes.iter().all(|write| self.is_sound(write)))
    }

    /// Returns whether a replay would make this write.
    fn is_sound(&self, write: &LogWrite) -> bool {
        let (start, len) = match write {
            LogWrite::Data { offset, .. } => (offset.get(), SECTOR),
            LogWrite::Zero { offset, len } => (offset.get(), *len),
        };
        let ends = (start.checked_add(len), self.place.checked_add(self.len));
        // A replay rejects a write that reaches past 64 bits.
        let (Some(end), Some(log_end)) = ends else { return false };
        start.is_multiple_of(SECTOR)
            && len.is_multiple_of(SECTOR)
            && start >= FIRST_TARGET
            && end <= MAX_FILE_LENGTH
            && (end <= self.place.get() || start >= log_end.get())
    }

    /// Writes the bytes of an entry to the position of the next entry, wrapped around the end of the ring.
    fn put(&self, storage: &dyn Storage, entry: &[u8]) -> Result<()> {
        let room = at_most(self.len.minus(self.at)?, entry.len());
        let (first, wrapped) = entry.split_at(room);
        for (bytes, at) in [(first, self.place.plus(self.at)?), (wrapped, self.place)] {
            if !bytes.is_empty() {
                storage.write_all_at(bytes, at).map_err(|e| Error::io("write the log", at, e))?;
            }
        }
        Ok(())
    }
}

/// Returns the length in bytes of an entry with these writes.
///
/// # Errors
/// [`Error::Internal`] if there are more writes than an entry can count. Memory never holds that many writes.
pub(super) fn entry_length(writes: &[LogWrite]) -> Result<u64> {
    let is_page = |write: &&LogWrite| matches!(write, LogWrite::Data { .. });
    let pages = writes.iter().filter(is_page).map(|_| 1_u64).sum::<u64>();
    let writes = u32::try_from(writes.len()).guaranteed("the writes of an entry have 32-bit numbers")?;
    pages.plus(descriptor_sectors(writes))?.times(SECTOR)
}

#[cfg(test)]
mod tests;
