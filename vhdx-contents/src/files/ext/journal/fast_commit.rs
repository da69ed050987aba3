//! Fast commits: changes of files that are stored without their blocks. They are found, but not replayed.

use std::ops::ControlFlow;

use super::super::checksum::crc32c;
use super::super::number::{Checked, le16, le32, part};
use super::file::JournalFile;
use super::header::Header;
use crate::error::Result;

const TAG: usize = 4;
const PADDING: u16 = 7;
const TAIL: u16 = 8;
const HEAD: u16 = 9;
/// The number of the transaction in the value of a tail, whose checksum follows.
const TAIL_LEN: usize = 8;

/// Whether a fast commit follows the last transaction. `sequence` is the number of the next transaction.
///
/// # Errors
/// Those of reading the journal.
pub(super) fn exist(file: &JournalFile<'_, '_>, header: &Header, sequence: u32) -> Result<bool> {
    let mut scan = Scan { sequence, checksum: 0, has_head: false };
    for block in header.fast_commits.clone() {
        if let Some(is_complete) = scan.block(&file.block(block)?)? {
            return Ok(is_complete);
        }
    }
    Ok(false)
}

/// The walk through the values of fast commits, up to the end of the first commit.
struct Scan {
    sequence: u32,
    checksum: u32,
    has_head: bool,
}

impl Scan {
    /// Returns whether a commit is complete; `None` if it goes on in the next block.
    fn block(&mut self, bytes: &[u8]) -> Result<Option<bool>> {
        let mut at = 0;
        // Every step moves on by at least 4 bytes, so the loop ends.
        while at.plus(TAG)? <= bytes.len() {
            // The length of a tail includes the rest of the block, and may be even longer.
            let room = bytes.len().minus(at.plus(TAG)?)?;
            let len = usize::from(le16(bytes, at.plus(2)?)?).min(room);
            let value = part(bytes, at.plus(TAG)?, len)?;
            if let ControlFlow::Break(is_complete) =
                self.value(le16(bytes, at)?, part(bytes, at, TAG)?, value)?
            {
                return Ok(Some(is_complete));
            }
            at = at.plus(TAG)?.plus(len)?;
        }
        Ok(None)
    }

    fn value(&mut self, tag: u16, start: &[u8], value: &[u8]) -> Result<ControlFlow<bool>> {
        match tag {
            HEAD if value.len() >= 8 && le32(value, 4)? == self.sequence => self.has_head = true,
            HEAD => return Ok(ControlFlow::Break(false)),
            _ if !self.has_head => return Ok(ControlFlow::Break(false)),
            TAIL if value.len() >= TAIL_LEN => {
                let sum = crc32c(crc32c(self.checksum, start), part(value, 0, 4)?);
                return Ok(ControlFlow::Break(le32(value, 0)? == self.sequence && le32(value, 4)? == sum));
            }
            1..=PADDING => {}
            _ => return Ok(ControlFlow::Break(false)),
        }
        self.checksum = crc32c(crc32c(self.checksum, start), value);
        Ok(ControlFlow::Continue(()))
    }
}
