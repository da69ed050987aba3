//! A walk over the blocks of one file, in disk order: what the file says of each place, and until where.

use super::Vhdx;
use super::bat::WINDOW;
use super::bat_window::BatWindow;
use super::read_ahead::ReadAhead;
use crate::error::Result;
use crate::format::bat_entry::{BatEntry, PayloadBlockState};
use crate::geometry::SECTORS_PER_CHUNK;
use crate::units::{BlockIndex, ChunkIndex, DiskOffset, FileOffset};

/// What one file says of a stretch of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing: a parent may know.
    Unallocated,
    /// Zeros.
    Zero,
    /// Data, from this offset on.
    Data(FileOffset),
    /// Data, from this offset on, but only in the sectors whose bit is set.
    Partial(FileOffset),
}

/// A stretch of the disk with one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: DiskOffset,
    pub(super) end: DiskOffset,
    pub(super) answer: Answer,
}

/// A stretch of a partial span whose bits are all the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) start: DiskOffset,
    pub(super) end: DiskOffset,
    pub(super) is_present: bool,
}

pub(super) struct Cursor<'a> {
    pub(super) vhdx: &'a Vhdx,
    /// Nothing at or past this is ever asked for: neither BAT entries nor bits past it are read.
    limit: DiskOffset,
    span: Option<Span>,
    window: BatWindow,
    bitmap: Option<(ChunkIndex, FileOffset)>,
    /// The bits of the partial span; the first one is that of the span's first sector.
    bits: ReadAhead,
    /// What was found in the bits last.
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

    /// The span that holds `at`. Kept until another one is asked for, so that a walk forward costs each block once.
    #[inline]
    pub(super) fn span_at(&mut self, at: DiskOffset) -> Result<Span> {
        if let Some(span) = self.span
            && (span.start..span.end).contains(&at)
        {
            return Ok(span);
        }
        self.find(at)
    }

    /// The bits from `at` on, 8 sectors a byte; `at` must be a multiple of 64 sectors inside the last span, which was a
    /// partial one. Sectors past the span's end have no meaning.
    pub(super) fn bits_from(&self, at: DiskOffset) -> &[[u8; 8]] {
        let start = self.span.map_or(at, |span| span.start);
        let word = at.since(start) / (64 * self.vhdx.geometry.sector_size());
        let (words, _) = self.bits.bytes().as_chunks();
        usize::try_from(word).ok().and_then(|word| words.get(word..)).unwrap_or(&[])
    }

    /// The sectors from `at` on, which lies in the last span, a partial one, that are alike. Each is looked at once.
    pub(super) fn run_at(&mut self, at: DiskOffset) -> Run {
        if let Some(run) = self.run
            && (run.start..run.end).contains(&at)
        {
            return run;
        }
        let Some(span) = self.span else { return Run { start: at, end: at, is_present: false } };
        let shift = self.vhdx.geometry.sector_size().trailing_zeros();
        let first = at.since(span.start) >> shift;
        let (is_present, sectors) = same_bits(self.bits.bytes().as_chunks().0, first);
        let end = at.saturating_add(sectors << shift).min(span.end);
        let run = Run { start: at, end, is_present };
        self.run = Some(run);
        run
    }

    /// Looks up another span, and keeps it. Apart from `span_at`, so that that one is short enough to become part of loops.
    #[inline(never)]
    fn find(&mut self, at: DiskOffset) -> Result<Span> {
        let span = self.look_up(at)?;
        self.span = Some(span);
        Ok(span)
    }

    fn look_up(&mut self, at: DiskOffset) -> Result<Span> {
        let geometry = self.vhdx.geometry;
        let end_of_disk = DiskOffset::new(geometry.virtual_size());
        if at >= end_of_disk {
            // Past its own end a layer answers zeros, whatever its parents hold there.
            return Ok(Span { start: end_of_disk, end: DiskOffset::new(u64::MAX), answer: Answer::Zero });
        }
        let block = geometry.block_of(at);
        let entry = self.entry(block)?;
        let start = geometry.block_start(block);
        let span = |answer| Span { start, end: geometry.block_end(block), answer };
        Ok(match self.vhdx.use_payload(block, entry)? {
            PayloadBlockState::NotPresent => self.extend_unallocated(span(Answer::Unallocated), block),
            PayloadBlockState::Undefined | PayloadBlockState::Zero | PayloadBlockState::Unmapped => {
                span(Answer::Zero)
            }
            PayloadBlockState::FullyPresent => span(Answer::Data(entry.file_offset())),
            PayloadBlockState::PartiallyPresent => self.load_bits(at, block, entry.file_offset())?,
        })
    }

    /// The entry of a block, from the window of entries last read or a new one that begins with it.
    fn entry(&mut self, block: BlockIndex) -> Result<BatEntry> {
        let index = self.vhdx.geometry.payload_bat_index(block);
        if let Some(entry) = self.window.get(index) {
            return Ok(entry);
        }
        let geometry = self.vhdx.geometry;
        let last = DiskOffset::new(self.limit.get().min(geometry.virtual_size()).saturating_sub(1));
        let last = geometry.payload_bat_index(geometry.block_of(last));
        let count = last.since(index).saturating_add(1).min(WINDOW);
        self.window.read(self.vhdx, index, count)?;
        match self.window.get(index) {
            Some(entry) => Ok(entry),
            None => self.vhdx.bat_entry(index),
        }
    }

    /// Joins the blocks after an unallocated one that are unallocated as well, as far as the window reaches.
    fn extend_unallocated(&self, span: Span, block: BlockIndex) -> Span {
        let geometry = self.vhdx.geometry;
        let mut next = block.saturating_add(1);
        loop {
            // As far as the sector bitmap entry that ends the chunk, which does not matter.
            let first = geometry.payload_bat_index(next);
            let chunk_end = geometry.bitmap_bat_index(geometry.chunk_of(next));
            let absent = self.window.zeros(first..chunk_end);
            next = next.saturating_add(absent);
            if absent == 0 || first.saturating_add(absent) != chunk_end {
                break;
            }
        }
        let last = next.get().min(geometry.block_count()).saturating_sub(1);
        Span { end: geometry.block_end(BlockIndex::new(last)), ..span }
    }

    /// Reads the bits from the 64 sectors that hold `at` to the end of the block or of what will be asked for.
    fn load_bits(&mut self, at: DiskOffset, block: BlockIndex, place: FileOffset) -> Result<Span> {
        let vhdx = self.vhdx;
        let geometry = vhdx.geometry;
        let word_bytes = 64 * geometry.sector_size();
        let block_start = geometry.block_start(block);
        let start = block_start.saturating_add(at.since(block_start) / word_bytes * word_bytes);
        let end = geometry.block_end(block).min(self.limit);

        let bits = geometry.bitmap_bits(start..end);
        let count = usize::try_from((bits.end - bits.start).div_ceil(64)).unwrap_or(0);
        let bitmap = self.bitmap_of(geometry.chunk_of(block))?;
        let in_chunk = SECTORS_PER_CHUNK.saturating_sub(bits.start);
        let required = self.limit.since(start) / geometry.sector_size();
        let most = usize::try_from(in_chunk.min(required).div_ceil(64)).unwrap_or(0) * 8;
        let bitmap = bitmap.saturating_add(bits.start / 8);
        self.bits.read(vhdx.storage(), bitmap, count * 8, most).map_err(|e| vhdx.in_file(e))?;
        self.run = None;
        let answer = Answer::Partial(place.saturating_add(start.since(block_start)));
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

/// Bit number `first`, and how many bits from it on are the same.
fn same_bits(words: &[[u8; 8]], first: u64) -> (bool, u64) {
    let (within, number) = (first % 64, usize::try_from(first / 64).unwrap_or(usize::MAX));
    let Some((&word, rest)) = words.get(number..).and_then(<[_]>::split_first) else { return (false, 0) };
    let is_set = u64::from_le_bytes(word) >> within & 1 == 1;
    let same = if is_set { u64::MAX } else { 0 };
    let differing = |word: &[u8; 8]| u64::from_le_bytes(*word) ^ same;
    let others = differing(&word) >> within;
    if others != 0 {
        return (is_set, u64::from(others.trailing_zeros()));
    }
    // Several words at a time, as far as that goes.
    let (strides, _) = rest.as_chunks::<STRIDE>();
    let same_byte = if is_set { u8::MAX } else { 0 };
    let is_alike = |stride: &[[u8; 8]; STRIDE]| {
        stride.as_flattened().iter().fold(0, |sum, byte| sum | byte ^ same_byte) == 0
    };
    let skipped = strides.iter().take_while(|stride| is_alike(stride)).count() * STRIDE;
    let tail = rest.get(skipped..).unwrap_or(&[]);
    let more = tail.iter().take_while(|word| differing(word) == 0).count();
    let last = tail.get(more).map_or(0, |word| u64::from(differing(word).trailing_zeros()));
    (is_set, 64 - within + 64 * (skipped + more) as u64 + last)
}

/// How many words are looked at before the first of them decides: a whole number of the widest registers.
const STRIDE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_bits_end_where_a_bit_differs() {
        for len in [1, 63, 64, 65, 1023, 1024, 1025, 1088, 2500] {
            for first in [0, 1, 63, 64, 100] {
                for is_set in [false, true] {
                    let end = first + len;
                    let bits: Vec<bool> =
                        (0..4096).map(|bit| (first..end).contains(&bit) == is_set).collect();
                    let byte = |bits: &[bool]| (0..8).fold(0, |byte, bit| byte | u8::from(bits[bit]) << bit);
                    let bytes: Vec<u8> = bits.chunks(8).map(byte).collect();
                    let words = bytes.as_chunks().0;
                    assert_eq!(same_bits(words, first), (is_set, len), "{first} {len}");
                }
            }
        }
        assert_eq!(same_bits(&[[0xff; 8]; 40], 5), (true, 40 * 64 - 5));
        assert_eq!(same_bits(&[[0; 8]; 3], 192), (false, 0));
    }
}
