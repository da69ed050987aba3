//! Holds the writes of a dirty log in memory, on top of the file, and writes them to the file in a replay.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::ring::SECTOR;
use super::writer::{LogWriter, entry_length};
use crate::error::{Bounded, Error, Result, Times};
use crate::format::log_entry::{DataSector, Descriptor, LogWrite};
use crate::storage::{ReadAt, ReadHint, ReadRange, Storage};
use crate::units::{FileOffset, MIB, at_most};

/// A file with its log replayed on top of it. Reading never changes the file. Pages are not kept in memory: they stay
/// in the log until they are read.
pub(crate) struct Overlay {
    base: Arc<dyn ReadAt>,
    base_len: u64,
    len: u64,
    /// The patches by first byte: disjoint ranges that begin and end on multiples of 4 KiB.
    patches: BTreeMap<u64, Patch>,
    log: Option<Origin>,
}

/// The log from which the patches come.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// Appends entries behind the active sequence.
    pub(super) next: LogWriter,
    /// The length of the active sequence in bytes.
    pub(super) active: u64,
    /// The durable length of the file in bytes, according to the active sequence.
    pub(super) flushed: u64,
}

/// The new content of a range of the file.
#[derive(Clone, Copy)]
struct Patch {
    end: u64,
    /// The page, if the patch is one of 4 KiB; `None` for zeros of any length.
    page: Option<Page>,
}

/// A page of 4 KiB: the place of its data sector in the file, and both ends from its descriptor ([MS-VHDX] 2.3.1.3).
#[derive(Clone, Copy)]
struct Page {
    sector: FileOffset,
    leading: [u8; 8],
    trailing: [u8; 4],
}

impl Overlay {
    /// Creates an overlay of `len` bytes without patches over `base`, which is `base_len` bytes long.
    pub(super) fn new(base: Arc<dyn ReadAt>, base_len: u64, len: u64) -> Self {
        Self { base, base_len, len, patches: BTreeMap::new(), log: None }
    }

    /// Sets the log from which the patches come.
    pub(super) fn comes_from(&mut self, log: Origin) {
        self.log = Some(log);
    }

    /// Returns the number of separate ranges that are patched.
    pub(super) fn patches(&self) -> usize {
        self.patches.len()
    }

    /// Patches a range with zeros. They replace earlier patches.
    pub(super) fn zero(&mut self, range: Range<FileOffset>) {
        self.patch(range, None);
    }

    /// Patches a page of 4 KiB, whose data sector lies in the file at `sector`. It replaces earlier patches.
    ///
    /// # Errors
    /// [`Error::Internal`] if the page reaches past 64 bits.
    pub(super) fn page(&mut self, descriptor: &Descriptor, sector: FileOffset) -> Result<()> {
        if let Descriptor::Data { file_offset, leading, trailing, .. } = *descriptor {
            let end = file_offset.plus(SECTOR)?;
            self.len = self.len.max(end.get());
            self.patch(file_offset..end, Some(Page { sector, leading, trailing }));
        }
        Ok(())
    }

    fn patch(&mut self, range: Range<FileOffset>, page: Option<Page>) {
        let (start, end) = (range.start.get(), range.end.get());
        if start < end {
            self.cut(start, end);
            self.patches.insert(start, Patch { end, page });
        }
    }

    /// Removes `start..end` from the patches. Only zeros can extend past one of these bounds: a page is one sector, and
    /// both bounds are multiples of a sector.
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

    /// Returns the number of patched pages of 4 KiB.
    pub(crate) fn pages(&self) -> u64 {
        self.clipped().filter(|(_, patch)| patch.page.is_some()).map(|_| 1_u64).sum()
    }

    /// Returns the number of bytes that are patched with zeros, up to the new end of the file.
    pub(crate) fn zeroed(&self) -> u64 {
        let zeros = self.clipped().filter(|(_, patch)| patch.page.is_none());
        // Patches end after they begin, and are disjoint, so the sum is at most the length of the file.
        let length = |(start, patch): (u64, Patch)| {
            debug_assert!(start < patch.end, "a patch ends after it begins");
            patch.end.abs_diff(start)
        };
        zeros.map(length).sum()
    }

    /// Returns the patches, cut off at the new end of the file.
    fn clipped(&self) -> impl Iterator<Item = (u64, Patch)> {
        let inside = self.patches.range(..self.len);
        inside.map(|(&start, patch)| (start, Patch { end: patch.end.min(self.len), ..*patch }))
    }

    /// Appends one entry with all patches to the log in `file`, the storage under this overlay, and makes it durable.
    ///
    /// The entries from which the patches come can be read, but need not be durable: after a failed sync, the host may
    /// treat them as written although they are not on the medium. The new entry overwrites neither these entries nor
    /// an equal length of the log before them. An interrupted replay may have made them from an entry there.
    ///
    /// Nothing is written if the log has no room for this entry, or if the new length of the file is not a multiple of
    /// 1 MiB. A log that [`LogWriter`] has written has room.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn append_again(&self, file: &dyn Storage) -> Result<()> {
        let Some(Origin { next, active, flushed }) = &self.log else { return Ok(()) };
        let room = active.checked_mul(2).and_then(|taken| next.len().checked_sub(taken));
        let Some(room) = room.map(|room| room.min(next.longest_entry())) else { return Ok(()) };
        if self.pages().times(SECTOR)? > room || !self.len.is_multiple_of(MIB) {
            return Ok(());
        }
        let mut log = next.clone();
        let writes = self.writes()?;
        let length = entry_length(&writes)?;
        if length <= room && log.takes(&writes, self.len)? {
            log.clear(file, length)?;
            log.append(file, &writes, *flushed, self.len)?;
            file.sync().map_err(|e| Error::io("sync", None, e))?;
        }
        Ok(())
    }

    fn writes(&self) -> Result<Vec<LogWrite>> {
        let write = |(start, patch): (u64, Patch)| {
            let offset = FileOffset::new(start);
            let Some(page) = patch.page else {
                return Ok(LogWrite::Zero { offset, len: patch.end.minus(start)? });
            };
            let mut bytes = Box::new([0; 4096]);
            self.read_page(&mut *bytes, &page, 0).map_err(|e| Error::io("read", page.sector, e))?;
            Ok(LogWrite::Data { offset, page: bytes })
        };
        self.clipped().map(write).collect()
    }

    /// Writes all patches to their places in `file`, the storage under this overlay, without syncing.
    ///
    /// The log is not changed, because no patch lies in it. So this can be repeated after a failure at any point.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn write_in_place(&self, file: &dyn Storage) -> Result<()> {
        let file_len = file.size().map_err(|e| Error::io("get its size", None, e))?;
        if file_len < self.len {
            file.set_len(self.len).map_err(|e| Error::io("extend", FileOffset::new(self.len), e))?;
        }
        for (start, patch) in self.clipped() {
            let at = FileOffset::new(start);
            match patch.page {
                None => {
                    let len = patch.end.minus(start)?;
                    file.zero_range(at, len).map_err(|e| Error::io("write zeros", at, e))?;
                }
                Some(page) => {
                    let mut bytes = [0; 4096];
                    self.read_page(&mut bytes, &page, 0).map_err(|e| Error::io("read", page.sector, e))?;
                    file.write_all_at(&bytes, at).map_err(|e| Error::io("write", at, e))?;
                }
            }
        }
        Ok(())
    }

    /// Returns whether a range reads as in the file under the overlay.
    fn is_plain(&self, offset: FileOffset, len: usize) -> bool {
        let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
        let end = end.filter(|end| end.get() <= self.base_len.min(self.len));
        end.is_some_and(|end| {
            let before = self.patches.range(..end.get()).next_back();
            before.is_none_or(|(_, patch)| patch.end <= offset.get())
        })
    }

    /// Reads bytes that are not patched, from `at` on. They are zeros past the end that the file had when it was
    /// opened. If the file was truncated since then, this is an error instead of zeros.
    fn read_below(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let there = self.base_len.checked_sub(at).map_or(0, |left| at_most(left, buf.len()));
        let (head, tail) = buf.split_at_mut(there);
        tail.fill(0);
        if head.is_empty() { Ok(()) } else { self.base.read_exact_at(head, FileOffset::new(at)) }
    }

    /// Reads the bytes of a page from `skip` on.
    fn read_page(&self, buf: &mut [u8], page: &Page, skip: u64) -> io::Result<()> {
        let mut sector = [0; 4096];
        self.base.read_exact_at(&mut sector, page.sector)?;
        let Page { leading, trailing, .. } = *page;
        let descriptor =
            Descriptor::Data { file_offset: FileOffset::default(), leading, trailing, sequence_number: 0 };
        let whole = DataSector::parse(&sector).and_then(|data| descriptor.apply(&data));
        // The sector was valid when the log was replayed, so another program has written to the file since then.
        let whole = whole.ok_or_else(|| io::Error::other("another program has changed the log"))?;
        let skip = usize::try_from(skip).map_err(io::Error::other)?;
        let part = whole.get(skip..).and_then(|rest| rest.get(..buf.len()));
        let part = part.ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(part);
        Ok(())
    }
}

impl ReadAt for Overlay {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    /// Returns a hole of the underlying file. Writing a patch needs new space only there.
    fn hole_after(&self, offset: FileOffset) -> io::Result<Option<Range<FileOffset>>> {
        self.base.hole_after(offset)
    }

    /// Reads the ranges without patches at once, and the others one by one.
    fn read_many(&self, ranges: &mut [ReadRange<'_>]) -> io::Result<()> {
        let mut plain = Vec::with_capacity(ranges.len());
        for ReadRange { offset, buf } in ranges {
            if self.is_plain(*offset, buf.len()) {
                plain.push(ReadRange { offset: *offset, buf });
            } else {
                self.read_exact_at(buf, *offset)?;
            }
        }
        self.base.read_many(&mut plain)
    }

    fn announce(&self, ranges: &mut [Range<FileOffset>]) {
        self.base.announce(ranges);
    }

    fn hint(&self) -> ReadHint {
        self.base.hint()
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
            let count = usize::try_from(stop.minus(at)?).map_err(io::Error::other)?;
            let (part, after) = rest.split_at_mut(count);
            match covering {
                None => self.read_below(part, at)?,
                Some((_, Patch { page: None, .. })) => part.fill(0),
                Some((&start, Patch { page: Some(page), .. })) => {
                    self.read_page(part, page, at.minus(start)?)?;
                }
            }
            (at, rest) = (stop, after);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
