//! Walks over the blocks of one file in disk order.
//!
//! Finds what the file holds at an offset, and how far that extends.

use super::Vhdx;
use super::bat::WINDOW;
use super::bat_window::BatWindow;
use super::read_ahead::ReadAhead;
use crate::error::{Bounded, Guaranteed, Result, in_memory};
use crate::format::bat_entry::{BatEntry, PayloadBlockState};
use crate::geometry::SECTORS_PER_CHUNK;
use crate::units::{BlockIndex, ChunkIndex, DiskOffset, FileOffset};

/// What one file holds in a range of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing: the range is read from the parent, if any.
    Unallocated,
    /// Zeros.
    Zero,
    /// Data, from this offset on.
    Data(FileOffset),
    /// Data, from this offset on, but only in the sectors whose bit is set.
    Partial(FileOffset),
}

/// A range of the disk with one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: DiskOffset,
    pub(super) end: DiskOffset,
    pub(super) answer: Answer,
}

/// A range of a partial span whose bits are all equal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) start: DiskOffset,
    pub(super) end: DiskOffset,
    pub(super) is_present: bool,
}

pub(super) struct Cursor<'a> {
    pub(super) vhdx: &'a Vhdx,
    /// The end of the range that is asked for. No BAT entries or bits past it are read.
    limit: DiskOffset,
    span: Option<Span>,
    window: BatWindow,
    bitmap: Option<(ChunkIndex, FileOffset)>,
    /// The bits of the partial span. The first bit is that of the span's first sector.
    bits: ReadAhead,
    /// The run that was found last.
    run: Option<Run>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(vhdx: &'a Vhdx, limit: DiskOffset) -> Self {
        Self {
            vhdx,
            limit,
            span: None,
            window: BatWindow::default(),
            bitmap: None,
            bits: ReadAhead::default(),
            run: None,
        }
    }

    /// Returns the span that contains `at`.
    ///
    /// Keeps the span until another one is needed, so a forward walk looks up each block once.
    #[inline]
    pub(super) fn span_at(&mut self, at: DiskOffset) -> Result<Span> {
        if let Some(span) = self.span
            && (span.start..span.end).contains(&at)
        {
            return Ok(span);
        }
        self.find(at)
    }

    /// Returns the bits from `at` on, 8 sectors in each byte.
    ///
    /// `at` must be a multiple of 64 sectors inside the last span, which must be partial. Bits past the span's end mean
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) if `at` lies elsewhere.
    pub(super) fn bits_from(&self, at: DiskOffset) -> Result<&[[u8; 8]]> {
        let distance = self.span.and_then(|span| at.get().checked_sub(span.start.get()));
        let distance = distance.guaranteed("bits are asked for in the span that was found last")?;
        let word = in_memory(distance / (64 * self.vhdx.geometry.sector_size()))?;
        let (words, _) = self.bits.bytes()?.as_chunks();
        words.get(word..).guaranteed("the bits of the last span were read")
    }

    /// Returns the run of equal bits that contains `at`.
    ///
    /// `at` must lie in the last span, which must be partial. Keeps the run until another one is needed, so a forward
    /// walk looks at each bit once.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) if `at` lies elsewhere.
    pub(super) fn run_at(&mut self, at: DiskOffset) -> Result<Run> {
        if let Some(run) = self.run
            && (run.start..run.end).contains(&at)
        {
            return Ok(run);
        }
        let span = self.span.filter(|span| (span.start..span.end).contains(&at));
        let span = span.guaranteed("bits are asked for in the span that was found last")?;
        let shift = self.vhdx.geometry.sector_size().trailing_zeros();
        let first = at.minus(span.start)? >> shift;
        let run = same_bits(self.bits.bytes()?.as_chunks().0, first);
        let (is_present, sectors) = run.guaranteed("the bits of the last span were read")?;
        let end = at.plus(sectors << shift)?.min(span.end);
        let run = Run { start: at, end, is_present };
        self.run = Some(run);
        Ok(run)
    }

    /// Looks up another span and keeps it.
    ///
    /// Separate from `span_at`, so that `span_at` is short enough to be inlined into loops.
    #[inline(never)]
    fn find(&mut self, at: DiskOffset) -> Result<Span> {
        // After an error there are no bits for the old span.
        self.span = None;
        let span = self.look_up(at)?;
        self.span = Some(span);
        Ok(span)
    }

    fn look_up(&mut self, at: DiskOffset) -> Result<Span> {
        let geometry = self.vhdx.geometry;
        let end_of_disk = DiskOffset::new(geometry.virtual_size());
        if at >= end_of_disk {
            // A layer reads as zeros past its own end, whatever its parents hold there.
            return Ok(Span { start: end_of_disk, end: DiskOffset::new(u64::MAX), answer: Answer::Zero });
        }
        let block = geometry.block_of(at);
        let entry = self.entry(block)?;
        let start = geometry.block_start(block);
        let span = |answer| Span { start, end: geometry.block_end(block), answer };
        Ok(match self.vhdx.use_payload(block, entry)? {
            PayloadBlockState::NotPresent => self.extend_unallocated(span(Answer::Unallocated), block)?,
            PayloadBlockState::Undefined | PayloadBlockState::Zero | PayloadBlockState::Unmapped => {
                span(Answer::Zero)
            }
            PayloadBlockState::FullyPresent => span(Answer::Data(entry.file_offset())),
            PayloadBlockState::PartiallyPresent => self.load_bits(at, block, entry.file_offset())?,
        })
    }

    /// Returns the entry of a block, from the current window or a new one that begins with it.
    fn entry(&mut self, block: BlockIndex) -> Result<BatEntry> {
        let index = self.vhdx.geometry.payload_bat_index(block);
        if let Some(entry) = self.window.get(index) {
            return Ok(entry);
        }
        let geometry = self.vhdx.geometry;
        // The block begins before the limit and before the end of the disk.
        let last = DiskOffset::new(self.limit.get().min(geometry.virtual_size()).minus(1)?);
        let last = geometry.payload_bat_index(geometry.block_of(last));
        let count = last.minus(index)?.plus(1)?.min(WINDOW);
        self.window.read(self.vhdx, index, count)?;
        match self.window.get(index) {
            Some(entry) => Ok(entry),
            None => self.vhdx.bat_entry(index),
        }
    }

    /// Extends an unallocated span over unallocated blocks that follow, as far as the window reaches.
    fn extend_unallocated(&self, span: Span, block: BlockIndex) -> Result<Span> {
        let geometry = self.vhdx.geometry;
        let mut next = block.plus(1)?;
        loop {
            // Counts zero BAT entries up to the sector bitmap entry that ends the chunk, and skips that entry.
            let first = geometry.payload_bat_index(next);
            let chunk_end = geometry.bitmap_bat_index(geometry.chunk_of(next));
            let absent = self.window.zeros(first..chunk_end);
            next = next.plus(absent)?;
            if absent == 0 || first.plus(absent)? != chunk_end {
                break;
            }
        }
        let last = next.get().min(geometry.block_count()).minus(1)?;
        Ok(Span { end: geometry.block_end(BlockIndex::new(last)), ..span })
    }

    /// Reads the bits of a block.
    ///
    /// Begins with the word that contains `at`, and ends with the block or at the limit.
    fn load_bits(&mut self, at: DiskOffset, block: BlockIndex, place: FileOffset) -> Result<Span> {
        let vhdx = self.vhdx;
        let geometry = vhdx.geometry;
        let word_bytes = 64 * geometry.sector_size();
        let block_start = geometry.block_start(block);
        let start = block_start.plus(at.minus(block_start)? / word_bytes * word_bytes)?;
        let end = geometry.block_end(block).min(self.limit);

        let bits = geometry.bitmap_bits(start..end)?;
        let count = in_memory((bits.end - bits.start).div_ceil(64))?;
        let bitmap = self.bitmap_of(geometry.chunk_of(block))?;
        let in_chunk = SECTORS_PER_CHUNK.minus(bits.start)?;
        let required = self.limit.minus(start)? / geometry.sector_size();
        let most = in_memory(in_chunk.min(required).div_ceil(64))? * 8;
        let bitmap = bitmap.plus(bits.start / 8)?;
        self.bits.read(vhdx.storage(), bitmap, count * 8, most).map_err(|e| vhdx.in_file(e))?;
        self.run = None;
        let answer = Answer::Partial(place.plus(start.minus(block_start)?)?);
        Ok(Span { start, end, answer })
    }

    fn bitmap_of(&mut self, chunk: ChunkIndex) -> Result<FileOffset> {
        if let Some((known, place)) = self.bitmap
            && known == chunk
        {
            return Ok(place);
        }
        let index = self.vhdx.geometry.bitmap_bat_index(chunk);
        let entry = self.window.get(index).map_or_else(|| self.vhdx.bat_entry(index), Ok)?;
        let place = self.vhdx.use_bitmap(chunk, entry)?;
        self.bitmap = Some((chunk, place));
        Ok(place)
    }
}

/// Returns the bit with number `first`, and how many bits from it on are equal; `None` if there is no such bit.
fn same_bits(words: &[[u8; 8]], first: u64) -> Option<(bool, u64)> {
    let (within, number) = (first % 64, usize::try_from(first / 64).ok()?);
    let (&word, rest) = words.get(number..)?.split_first()?;
    let is_set = u64::from_le_bytes(word) >> within & 1 == 1;
    let same = if is_set { u64::MAX } else { 0 };
    let differing = |word: &[u8; 8]| u64::from_le_bytes(*word) ^ same;
    let others = differing(&word) >> within;
    if others != 0 {
        return Some((is_set, u64::from(others.trailing_zeros())));
    }
    // Whole strides first: comparing several words at once is faster.
    let (strides, _) = rest.as_chunks::<STRIDE>();
    let same_byte = if is_set { u8::MAX } else { 0 };
    let is_alike = |stride: &[[u8; 8]; STRIDE]| {
        stride.as_flattened().iter().fold(0, |sum, byte| sum | byte ^ same_byte) == 0
    };
    let skipped = strides.iter().take_while(|stride| is_alike(stride)).count() * STRIDE;
    let tail = rest.get(skipped..)?;
    let more = tail.iter().take_while(|word| differing(word) == 0).count();
    // If no word differs, the run ends with the last word.
    let last = tail.get(more).map_or(0, |word| u64::from(differing(word).trailing_zeros()));
    Some((is_set, 64 - within + 64 * (skipped + more) as u64 + last))
}

/// The number of words that are compared at once: a whole number of the widest registers.
const STRIDE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_where_a_bit_differs() {
        for len in [1, 63, 64, 65, 1023, 1024, 1025, 1088, 2500] {
            for first in [0, 1, 63, 64, 100] {
                for is_set in [false, true] {
                    let end = first + len;
                    let bits: Vec<bool> =
                        (0..4096).map(|bit| (first..end).contains(&bit) == is_set).collect();
                    let byte = |bits: &[bool]| (0..8).fold(0, |byte, bit| byte | u8::from(bits[bit]) << bit);
                    let bytes: Vec<u8> = bits.chunks(8).map(byte).collect();
                    let words = bytes.as_chunks().0;
                    assert_eq!(same_bits(words, first), Some((is_set, len)), "{first} {len}");
                }
            }
        }
        assert_eq!(same_bits(&[[0xff; 8]; 40], 5), Some((true, 40 * 64 - 5)));
        assert_eq!(same_bits(&[[0; 8]; 3], 192), None);
    }
}
