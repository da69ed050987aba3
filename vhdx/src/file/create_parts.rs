//! Writes the parts of a new file that do not depend on its type: the BAT, and the structures that complete the file.

use uuid::Uuid;

use super::create_layout::{HEADER_SECTION, LOG_LENGTH, NewLayout};
use super::new_disk::NewDisk;
use crate::error::{Bounded, Error, Guaranteed, Result, Times, in_memory};
use crate::format::bat_entry::BatEntry;
use crate::format::file_identifier::FileTypeIdentifier;
use crate::format::header::{self, Header};
use crate::format::region_table;
use crate::storage::{Storage, put};
use crate::units::FileOffset;

/// Completes a file whose blocks are written and end at `end`. When this returns, the file is durable.
///
/// The headers are written last, after a sync: without them the file is no VHDX.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn complete(
    storage: &dyn Storage,
    disk: &NewDisk,
    layout: &NewLayout,
    mut bat: BatWriter,
    end: FileOffset,
) -> Result<()> {
    bat.flush(storage)?;
    layout.write_metadata(storage, disk)?;
    let creator = concat!("vhdx ", env!("CARGO_PKG_VERSION")).to_owned();
    put(storage, &FileTypeIdentifier { creator }.encode(), FileOffset::new(0))?;
    for at in region_table::OFFSETS {
        put(storage, &layout.region_table().encode()?, at)?;
    }
    storage.set_len(end.get()).map_err(|e| Error::io("extend", end, e))?;
    sync(storage)?;

    let mut header = Header {
        sequence_number: 0,
        file_write_guid: Uuid::new_v4(),
        data_write_guid: Uuid::new_v4(),
        log_guid: Uuid::nil(),
        log_version: 0,
        version: 1,
        log_length: LOG_LENGTH,
        log_offset: HEADER_SECTION,
    };
    for at in header::OFFSETS {
        header.sequence_number += 1;
        put(storage, &header.encode(), at)?;
    }
    sync(storage)
}

fn sync(storage: &dyn Storage) -> Result<()> {
    storage.sync().map_err(|e| Error::io("sync", None, e))
}

/// A buffered writer for BAT entries in ascending order. Skipped entries read as zeros.
pub(super) struct BatWriter {
    start: FileOffset,
    /// The index of the first entry in the buffer.
    first: u64,
    pub(super) buffer: Vec<u8>,
}

impl BatWriter {
    pub(super) const CAPACITY: usize = 64 << 10;

    pub(super) fn new(start: FileOffset) -> Self {
        Self { start, first: 0, buffer: Vec::with_capacity(Self::CAPACITY) }
    }

    pub(super) fn put(&mut self, storage: &dyn Storage, index: u64, entry: BatEntry) -> Result<()> {
        let place = |first: u64| {
            let entries = index.checked_sub(first).and_then(|entries| entries.checked_mul(8));
            in_memory(entries.guaranteed("BAT entries are written in order")?)
        };
        if place(self.first)? >= Self::CAPACITY {
            self.flush(storage)?;
            self.first = index;
        }
        let place = place(self.first)?;
        // A shorter buffer would drop entries that were put into it already.
        (place >= self.buffer.len()).then_some(()).guaranteed("BAT entries are written in order")?;
        self.buffer.resize(place, 0);
        self.buffer.extend_from_slice(&entry.to_le_bytes());
        Ok(())
    }

    fn flush(&mut self, storage: &dyn Storage) -> Result<()> {
        if !self.buffer.is_empty() {
            put(storage, &self.buffer, self.start.plus(self.first.times(8)?)?)?;
            self.buffer.clear();
        }
        Ok(())
    }
}
