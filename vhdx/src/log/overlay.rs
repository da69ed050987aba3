//! Writes that are not in the file, laid over it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::ring::Sector;
use crate::format::log_entry::LogWrite;
use crate::storage::ReadAt;
use crate::units::FileOffset;

/// A storage with a replayed log over it. Nothing is ever written to the storage below.
pub(super) struct Overlay {
    base: Arc<dyn ReadAt>,
    len: u64,
    /// What is patched, by first byte: disjoint ranges, whole multiples of 4 KiB.
    patches: BTreeMap<u64, Patch>,
}

struct Patch {
    end: u64,
    /// The bytes of a patch of 4 KiB; `None` for zeros of any length.
    page: Option<Box<Sector>>,
}

impl Overlay {
    pub(super) fn new(base: Arc<dyn ReadAt>, len: u64) -> Self {
        Self { base, len, patches: BTreeMap::new() }
    }

    /// Lays one more write over everything before. Its end has been checked not to overflow.
    pub(super) fn write(&mut self, write: LogWrite) {
        let start = write.offset().get();
        let end = start.saturating_add(write.length());
        if start == end {
            return;
        }
        self.cut(start, end);
        let page = match write {
            LogWrite::Data { page, .. } => {
                self.len = self.len.max(end);
                Some(page)
            }
            LogWrite::Zero { .. } => None,
        };
        self.patches.insert(start, Patch { end, page });
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

    /// The bytes from `at` on that are not patched: zeros past the end of the file below.
    fn read_below(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let base_len = self.base.len()?;
        let there = usize::try_from(base_len.saturating_sub(at)).unwrap_or(usize::MAX).min(buf.len());
        let (head, tail) = buf.split_at_mut(there);
        tail.fill(0);
        if head.is_empty() { Ok(()) } else { self.base.read_exact_at(head, FileOffset::new(at)) }
    }
}

impl ReadAt for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
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
                    let skip = usize::try_from(at.saturating_sub(start)).map_err(io::Error::other)?;
                    let from = page.get(skip..skip.saturating_add(count));
                    part.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
                }
            }
            (at, rest) = (stop, after);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]
mod tests {
    use super::super::ring::SECTOR;
    use super::*;

    fn page(sector: u64, fill: u8) -> LogWrite {
        LogWrite::Data { offset: FileOffset::new(sector * SECTOR), page: Box::new([fill; 4096]) }
    }

    fn zero(sector: u64, count: u64) -> LogWrite {
        LogWrite::Zero { offset: FileOffset::new(sector * SECTOR), len: count * SECTOR }
    }

    /// Eight sectors of 0xEE under the writes, and what each sector then holds.
    fn sectors(writes: Vec<LogWrite>, len: u64) -> Vec<u8> {
        let mut overlay = Overlay::new(Arc::new(vec![0xEE; 8 * 4096]), len * SECTOR);
        writes.into_iter().for_each(|write| overlay.write(write));
        let len = overlay.len().unwrap();
        (0..len / SECTOR)
            .map(|sector| {
                let mut buf = vec![0; 4096];
                overlay.read_exact_at(&mut buf, FileOffset::new(sector * SECTOR)).unwrap();
                assert!(buf.iter().all(|&byte| byte == buf[0]));
                buf[0]
            })
            .collect()
    }

    #[test]
    fn later_writes_win() {
        let below = 0xEE;
        assert_eq!(sectors(vec![page(1, 1), page(1, 2)], 3), [below, 2, below]);
        assert_eq!(sectors(vec![page(1, 1), zero(0, 3)], 4), [0, 0, 0, below]);
        assert_eq!(sectors(vec![zero(0, 5), page(2, 7), zero(1, 1)], 6), [0, 0, 7, 0, 0, below]);
        assert_eq!(sectors(vec![zero(0, 2), zero(1, 3), page(0, 1)], 5), [1, 0, 0, 0, below]);
        assert_eq!(
            sectors(vec![zero(2, 1), page(3, 3), zero(0, 8), page(7, 9)], 8),
            [0, 0, 0, 0, 0, 0, 0, 9]
        );
    }

    #[test]
    fn the_file_grows_with_pages_and_the_last_file_offset() {
        assert_eq!(sectors(vec![page(9, 5)], 8), [0xEE, 0xEE, 0xEE, 0xEE, 0xEE, 0xEE, 0xEE, 0xEE, 0, 5]);
        assert_eq!(sectors(vec![zero(7, 1 << 50)], 9).len(), 9);
    }

    #[test]
    fn reads_cross_patches_at_any_offset() {
        let mut overlay = Overlay::new(Arc::new(vec![0xEE; 4 * 4096]), 4 * SECTOR);
        overlay.write(page(1, 1));
        overlay.write(zero(2, 1));
        let mut buf = vec![9; 3 * 4096 - 20];
        overlay.read_exact_at(&mut buf, FileOffset::new(4086)).unwrap();
        let expected = [vec![0xEE; 10], vec![1; 4096], vec![0; 4096], vec![0xEE; 4066]].concat();
        assert_eq!(buf, expected);
        assert!(overlay.read_exact_at(&mut [0; 2], FileOffset::new(4 * SECTOR - 1)).is_err());
    }
}
