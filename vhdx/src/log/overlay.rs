//! Writes that are not in the file, laid over it, and how they get there.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::ring::SECTOR;
use super::writer::{LogWriter, entry_length};
use crate::error::{Error, Result};
use crate::format::log_entry::{DataSector, Descriptor, LogWrite};
use crate::storage::{ReadAt, Storage};
use crate::units::{FileOffset, MIB};

/// A storage with a replayed log over it. Reading writes nothing to the storage below, and the pages that the log holds
/// stay there until they are read.
pub(crate) struct Overlay {
    base: Arc<dyn ReadAt>,
    base_len: u64,
    len: u64,
    /// What is patched, by first byte: disjoint ranges, whole multiples of 4 KiB.
    patches: BTreeMap<u64, Patch>,
    log: Option<Origin>,
}

/// The log that the patches come from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// Appends behind the active sequence.
    pub(super) next: LogWriter,
    /// How many bytes of the log the active sequence takes.
    pub(super) active: u64,
    /// The length in bytes that the file durably has, as the active sequence says.
    pub(super) flushed: u64,
}

/// What lies over a range of the file.
#[derive(Clone, Copy)]
struct Patch {
    end: u64,
    /// Where the bytes of a patch of 4 KiB are; `None` for zeros of any length.
    page: Option<Page>,
}

/// A page of 4 KiB: most of it in a data sector of the log, the ends in its descriptor ([MS-VHDX] 2.3.1.3).
#[derive(Clone, Copy)]
struct Page {
    sector: FileOffset,
    leading: [u8; 8],
    trailing: [u8; 4],
}

impl Overlay {
    /// `base`, which is `base_len` bytes long, as a file of `len` bytes with nothing over it yet.
    pub(super) fn new(base: Arc<dyn ReadAt>, base_len: u64, len: u64) -> Self {
        Self { base, base_len, len, patches: BTreeMap::new(), log: None }
    }

    /// Says which log the patches come from.
    pub(super) fn comes_from(&mut self, log: Origin) {
        self.log = Some(log);
    }

    /// How many separate ranges are patched.
    pub(super) fn patches(&self) -> usize {
        self.patches.len()
    }

    /// Lays zeros over everything before.
    pub(super) fn zero(&mut self, range: Range<FileOffset>) {
        self.patch(range, None);
    }

    /// Lays a page of 4 KiB over everything before; its data sector lies in the file at `sector`.
    pub(super) fn page(&mut self, descriptor: &Descriptor, sector: FileOffset) {
        if let Descriptor::Data { file_offset, leading, trailing, .. } = *descriptor {
            let end = file_offset.saturating_add(SECTOR);
            self.len = self.len.max(end.get());
            self.patch(file_offset..end, Some(Page { sector, leading, trailing }));
        }
    }

    fn patch(&mut self, range: Range<FileOffset>, page: Option<Page>) {
        let (start, end) = (range.start.get(), range.end.get());
        if start < end {
            self.cut(start, end);
            self.patches.insert(start, Patch { end, page });
        }
    }

    /// Removes `start..end` from the patches. Only zeros can reach over an edge: pages are one sector, and edges are
    /// whole sectors.
    fn cut(&mut self, start: u64, end: u64) {
        if let Some((_, before)) = self.patches.range_mut(..start).next_back()
            && before.end > start
        {
            let rest = before.end;
            before.end = start;
            if rest > end {
                self.patches.insert(end, Patch { end: rest, page: None });
            }
        }
        while let Some((&at, patch)) = self.patches.range(start..end).next() {
            let rest = patch.end;
            self.patches.remove(&at);
            if rest > end {
                self.patches.insert(end, Patch { end: rest, page: None });
            }
        }
    }

    /// How many pages of 4 KiB are patched.
    pub(crate) fn pages(&self) -> u64 {
        self.clipped().filter(|(_, patch)| patch.page.is_some()).map(|_| 1_u64).sum()
    }

    /// How many bytes of the file, as long as it will be, are patched with zeros.
    pub(crate) fn zeroed(&self) -> u64 {
        let zeros = self.clipped().filter(|(_, patch)| patch.page.is_none());
        zeros.fold(0, |sum: u64, (start, patch)| sum.saturating_add(patch.end.saturating_sub(start)))
    }

    /// The patches that lie in the file, cut off at its end.
    fn clipped(&self) -> impl Iterator<Item = (u64, Patch)> {
        let inside = self.patches.range(..self.len);
        inside.map(|(&start, patch)| (start, Patch { end: patch.end.min(self.len), ..*patch }))
    }

    /// Appends to the log in `home`, which is the storage below, one entry that holds everything, and makes it durable. The
    /// entries that it comes from can be read; but if a sync failed when they were written, the host may have forgotten
    /// that the medium does not have them. They stay as they are, and so does as much of the log before them: an entry that
    /// they were made from in this way.
    ///
    /// Nothing is written where a log has no room for that. Those that [`LogWriter`] has written have.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn append_again(&self, home: &dyn Storage) -> Result<()> {
        let Some(Origin { next, active, flushed }) = &self.log else { return Ok(()) };
        let room = next.len().saturating_sub(active.saturating_mul(2)).min(next.longest_entry());
        if self.pages().saturating_mul(SECTOR) > room || !self.len.is_multiple_of(MIB) {
            return Ok(());
        }
        let mut log = next.clone();
        let writes = self.writes()?;
        if entry_length(&writes) <= room && log.takes(&writes, self.len) {
            log.clear(home, entry_length(&writes))?;
            log.append(home, &writes, *flushed, self.len)?;
            home.sync().map_err(|e| Error::io("sync", None, e))?;
        }
        Ok(())
    }

    fn writes(&self) -> Result<Vec<LogWrite>> {
        let write = |(start, patch): (u64, Patch)| {
            let offset = FileOffset::new(start);
            let Some(page) = patch.page else {
                return Ok(LogWrite::Zero { offset, len: patch.end.saturating_sub(start) });
            };
            let mut bytes = Box::new([0; 4096]);
            self.read_page(&mut *bytes, &page, 0).map_err(|e| Error::io("read", page.sector, e))?;
            Ok(LogWrite::Data { offset, page: bytes })
        };
        self.clipped().map(write).collect()
    }

    /// Writes everything to its place in `home`, which is the storage below, without syncing. The log itself is not
    /// touched, as no patch lies over it; so this can be done again after a failure at any point.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn write_home(&self, home: &dyn Storage) -> Result<()> {
        let home_len = home.len().map_err(|e| Error::io("measure", None, e))?;
        if home_len < self.len {
            home.set_len(self.len).map_err(|e| Error::io("extend", FileOffset::new(self.len), e))?;
        }
        for (start, patch) in self.clipped() {
            let at = FileOffset::new(start);
            match patch.page {
                None => {
                    let len = patch.end.saturating_sub(start);
                    home.zero_range(at, len).map_err(|e| Error::io("zero", at, e))?;
                }
                Some(page) => {
                    let mut bytes = [0; 4096];
                    self.read_page(&mut bytes, &page, 0).map_err(|e| Error::io("read", page.sector, e))?;
                    home.write_all_at(&bytes, at).map_err(|e| Error::io("write", at, e))?;
                }
            }
        }
        Ok(())
    }

    /// The bytes from `at` on that are not patched: zeros past the end that the file below had when it was opened. If it
    /// was cut off since, that is an error, and not zeros.
    fn read_below(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let there = usize::try_from(self.base_len.saturating_sub(at)).unwrap_or(usize::MAX).min(buf.len());
        let (head, tail) = buf.split_at_mut(there);
        tail.fill(0);
        if head.is_empty() { Ok(()) } else { self.base.read_exact_at(head, FileOffset::new(at)) }
    }

    /// The bytes of a page from `skip` on.
    fn read_page(&self, buf: &mut [u8], page: &Page, skip: u64) -> io::Result<()> {
        let mut sector = [0; 4096];
        self.base.read_exact_at(&mut sector, page.sector)?;
        let Page { leading, trailing, .. } = *page;
        let descriptor =
            Descriptor::Data { file_offset: FileOffset::default(), leading, trailing, sequence_number: 0 };
        let whole = DataSector::parse(&sector).and_then(|data| descriptor.apply(&data));
        // The sector was valid when the log was replayed, so another program has written to the file since.
        let whole = whole.ok_or_else(|| io::Error::other("the log has changed since it was replayed"))?;
        let skip = usize::try_from(skip).map_err(io::Error::other)?;
        let part = whole.get(skip..skip.saturating_add(buf.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(part);
        Ok(())
    }
}

impl ReadAt for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    /// Of the file below: a patch needs no space that the file does not need there.
    fn hole_after(&self, offset: FileOffset) -> io::Result<Option<Range<FileOffset>>> {
        self.base.hole_after(offset)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        let len = u64::try_from(buf.len()).map_err(io::Error::other)?;
        let end = offset.get().checked_add(len).filter(|&end| end <= self.len);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let (mut at, mut rest) = (offset.get(), buf);
        while at < end {
            let covering = self.patches.range(..=at).next_back().filter(|(_, patch)| patch.end > at);
            let stop = match covering {
                Some((_, patch)) => patch.end.min(end),
                None => self.patches.range(at..end).next().map_or(end, |(&start, _)| start),
            };
            let count = usize::try_from(stop.saturating_sub(at)).map_err(io::Error::other)?;
            let (part, after) = rest.split_at_mut(count);
            match covering {
                None => self.read_below(part, at)?,
                Some((_, Patch { page: None, .. })) => part.fill(0),
                Some((&start, Patch { page: Some(page), .. })) => {
                    self.read_page(part, page, at.saturating_sub(start))?;
                }
            }
            (at, rest) = (stop, after);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
