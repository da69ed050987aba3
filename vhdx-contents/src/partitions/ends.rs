//! Reads the two ends of a disk, where partition tables are.

use std::cell::OnceCell;

use crate::error::{Error, Result};
use crate::window::Window;

/// How much of each end is read at once. With sectors of 512 and of 4096 bytes, it includes a GPT of 128 entries. At
/// the start, it includes the first descriptor of ISO 9660.
const LEN: usize = 36 << 10;

/// How much of the start must be readable: the longest sector.
const FIRST: usize = 4096;

/// A disk, whose ends are read only once.
pub(crate) struct Ends<'a> {
    window: Window<'a>,
    head: Vec<u8>,
    /// The position of the last bytes, and these bytes; read when a backup is looked for.
    tail: OnceCell<(u64, Vec<u8>)>,
}

impl<'a> Ends<'a> {
    /// Reads the start of a disk.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub(crate) fn of(window: Window<'a>) -> Result<Self> {
        // An error in a later sector must not hide the table.
        let head = window.read(0, LEN).or_else(|_| window.read(0, FIRST))?;
        Ok(Self { head, window, tail: OnceCell::new() })
    }

    /// Returns the first bytes of the disk.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Returns the length of the disk in bytes.
    pub(super) fn len(&self) -> u64 {
        self.window.len()
    }

    /// Returns the logical sector size of the disk in bytes.
    pub(crate) fn sector_size(&self) -> u32 {
        self.window.sector_size()
    }

    /// Returns `len` bytes from `at` on. The ends are not read again.
    ///
    /// # Errors
    /// [`Error::Disk`], and [`Error::Damaged`] if the bytes are not on the disk.
    pub(super) fn read(&self, at: u64, len: usize) -> Result<Vec<u8>> {
        let past_end = || Error::damaged("the disk", format!("it ends before byte {at} + {len}"));
        let end = u64::try_from(len).ok().and_then(|len| at.checked_add(len)).ok_or_else(past_end)?;
        if end > self.len() {
            return Err(past_end());
        }
        if let Some(bytes) = part(&self.head, 0, at, len) {
            return Ok(bytes);
        }
        let tail_len = u64::try_from(LEN).unwrap_or(u64::MAX);
        if at >= self.len().saturating_sub(tail_len) {
            let bytes = self.tail().ok().and_then(|(start, tail)| part(tail, *start, at, len));
            if let Some(bytes) = bytes {
                return Ok(bytes);
            }
        }
        self.window.read(at, len)
    }

    fn tail(&self) -> Result<&(u64, Vec<u8>)> {
        if let Some(tail) = self.tail.get() {
            return Ok(tail);
        }
        let start = self.len().saturating_sub(u64::try_from(LEN).unwrap_or(u64::MAX));
        let bytes = self.window.read(start, LEN)?;
        Ok(self.tail.get_or_init(|| (start, bytes)))
    }
}

/// Returns `len` bytes from `at` on, if they are within `bytes`, which begin at `start`.
fn part(bytes: &[u8], start: u64, at: u64, len: usize) -> Option<Vec<u8>> {
    let from = usize::try_from(at.checked_sub(start)?).ok()?;
    bytes.get(from..from.checked_add(len)?).map(<[u8]>::to_vec)
}
