//! Stages pages for the next log entry, and reads the file as if they were written already.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::{Result, in_memory};
use crate::format::log_entry::{LogWrite, SECTOR_SIZE};
use crate::storage::{ReadAt, Storage, read_into};
use crate::units::FileOffset;

const PAGE: u64 = SECTOR_SIZE as u64;

type Page = Box<[u8; SECTOR_SIZE]>;

/// A storage that reads as the file will be after the next commit.
///
/// Only the [`VhdxMut`](super::VhdxMut) that holds it stages pages.
pub(super) struct Staged {
    storage: Arc<dyn Storage>,
    /// Pages by the offset of their first byte.
    pages: RwLock<BTreeMap<u64, Page>>,
}

impl Staged {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, pages: RwLock::default() }
    }

    /// Returns the file itself, for direct writes to places to which nothing points yet.
    pub(super) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// Returns the number of staged pages.
    pub(super) fn len(&self) -> usize {
        self.pages.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Stages bytes for the next commit. Pages that do not change are not staged.
    pub(super) fn stage(&self, bytes: &[u8], at: FileOffset) -> Result<()> {
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        let (mut at, mut rest) = (at.get(), bytes);
        while !rest.is_empty() {
            let start = at / PAGE * PAGE;
            let within = in_memory(at - start)?;
            let (part, later) = rest.split_at(rest.len().min(SECTOR_SIZE - within));
            let place = within..within + part.len();
            if let Some(page) = pages.get_mut(&start) {
                page[place].copy_from_slice(part);
            } else {
                let mut page: Page = Box::new([0; SECTOR_SIZE]);
                read_into(&*self.storage, page.as_mut_slice(), FileOffset::new(start))?;
                if page[place.clone()] != *part {
                    page[place].copy_from_slice(part);
                    pages.insert(start, page);
                }
            }
            at += part.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// Returns the staged pages as the writes of a log entry.
    pub(super) fn writes(&self) -> Vec<LogWrite> {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let write =
            |(&at, page): (&u64, &Page)| LogWrite::Data { offset: FileOffset::new(at), page: page.clone() };
        pages.iter().map(write).collect()
    }

    /// Removes the staged pages after they were written to the file.
    pub(super) fn clear(&self) {
        self.pages.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl ReadAt for Staged {
    fn size(&self) -> io::Result<u64> {
        self.storage.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.storage.read_exact_at(buf, offset)?;
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let (start, end) = (offset.get(), offset.get() + buf.len() as u64);
        for (&at, page) in pages.range(start / PAGE * PAGE..end) {
            let (from, to) = (at.max(start), (at + PAGE).min(end));
            let part = |base: u64| (from - base) as usize..(to - base) as usize;
            buf[part(start)].copy_from_slice(&page[part(at)]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    fn read(staged: &Staged, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        staged.read_exact_at(&mut bytes, FileOffset::new(at)).unwrap();
        bytes
    }

    #[test]
    fn reads_see_what_is_staged_and_the_file_does_not_change() {
        let file = Arc::new(Memory::new(vec![1; 4 * SECTOR_SIZE]));
        let staged = Staged::new(Arc::clone(&file) as Arc<dyn Storage>);
        staged.stage(&[2; 10], FileOffset::new(PAGE - 5)).unwrap();
        assert_eq!(staged.len(), 2);
        assert_eq!(read(&staged, PAGE - 7, 14), [1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1]);
        assert_eq!(read(&staged, PAGE - 3, 4), [2; 4]);
        assert_eq!(read(&staged, 3 * PAGE, 4096), [1; 4096]);
        let mut below = vec![0; 4 * SECTOR_SIZE];
        file.read_exact_at(&mut below, FileOffset::new(0)).unwrap();
        assert_eq!(below, [1; 4 * SECTOR_SIZE]);
    }

    #[test]
    fn pages_that_do_not_change_are_not_staged() {
        let staged = Staged::new(Arc::new(Memory::new(vec![1; 4 * SECTOR_SIZE])));
        let mut bytes = vec![1; 3 * SECTOR_SIZE];
        bytes[SECTOR_SIZE] = 9;
        staged.stage(&bytes, FileOffset::new(0)).unwrap();
        let writes = staged.writes();
        let [LogWrite::Data { offset, page }] = writes.as_slice() else { panic!("{writes:?}") };
        assert_eq!((offset.get(), page[0], page[1]), (PAGE, 9, 1));
        staged.clear();
        assert_eq!((staged.len(), read(&staged, PAGE, 1)), (0, vec![1]));
    }
}
