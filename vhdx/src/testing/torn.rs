//! A file for tests that records its writes, and forges what a power failure during one of them could leave.

use std::io;
use std::sync::Mutex;

use crate::storage::{Memory, ReadAt, Storage};
use crate::units::FileOffset;

/// The unit in bytes that the medium writes as a whole.
pub(crate) const SECTOR: usize = 512;

pub(crate) struct Torn {
    file: Memory,
    durable: Mutex<Vec<u8>>,
    writes: Mutex<Vec<Write>>,
}

struct Write {
    /// The file before the write: without the earlier writes that were not synced, and with them.
    before: [Vec<u8>; 2],
    at: usize,
    bytes: Vec<u8>,
}

impl Torn {
    pub(crate) fn new(file: Vec<u8>) -> Self {
        Self::forgotten(file.clone(), file)
    }

    /// Returns a file that reads as `file`, although the medium holds `durable`.
    ///
    /// The host has forgotten a sync.
    pub(crate) fn forgotten(durable: Vec<u8>, file: Vec<u8>) -> Self {
        Self { file: Memory::new(file), durable: Mutex::new(durable), writes: Mutex::default() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(ReadAt::size(self).unwrap()).unwrap()];
        self.read_exact_at(&mut bytes, FileOffset::new(0)).unwrap();
        bytes
    }

    /// Calls `check` with the files that a power failure during each of the writes could leave.
    ///
    /// For each sector of the write, a file gets only this sector, all others, all up to it, or all from it on.
    pub(crate) fn for_each_image(&self, mut check: impl FnMut(&[u8])) {
        for Write { before, at, bytes } in self.writes.lock().unwrap().iter() {
            let sectors = bytes.len().div_ceil(SECTOR);
            for one in 0..sectors {
                let there: [&dyn Fn(&usize) -> bool; 4] = [
                    &|&sector| sector == one,
                    &|&sector| sector != one,
                    &|&sector| sector <= one,
                    &|&sector| sector >= one,
                ];
                for (before, there) in before.iter().flat_map(|before| there.map(|there| (before, there))) {
                    let mut file = before.clone();
                    for sector in (0..sectors).filter(there) {
                        let part = sector * SECTOR..bytes.len().min((sector + 1) * SECTOR);
                        file[at + part.start..at + part.end].copy_from_slice(&bytes[part]);
                    }
                    check(&file);
                }
            }
        }
    }
}

impl ReadAt for Torn {
    fn size(&self) -> io::Result<u64> {
        ReadAt::size(&self.file)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: FileOffset) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}

impl Storage for Torn {
    fn write_all_at(&self, buf: &[u8], offset: FileOffset) -> io::Result<()> {
        let before = [self.durable.lock().unwrap().clone(), self.bytes()];
        let at = usize::try_from(offset.get()).map_err(io::Error::other)?;
        self.writes.lock().unwrap().push(Write { before, at, bytes: buf.to_vec() });
        self.file.write_all_at(buf, offset)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        unreachable!("nothing here changes the length")
    }

    /// Makes all recorded writes durable, but not what the host had forgotten before.
    fn sync(&self) -> io::Result<()> {
        let mut durable = self.durable.lock().unwrap();
        for Write { at, bytes, .. } in self.writes.lock().unwrap().iter() {
            durable[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        Ok(())
    }
}
