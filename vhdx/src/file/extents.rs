//! Finds where the bytes of a range of the disk are.
//!
//! Everything that needs to know this asks [`Extents`].
//!
//! Layers are asked in order, from the leaf to the base, and the first one with an answer decides. A whole span is
//! answered at once. So is a long run of equal bits in a partially present block.
//!
//! Shorter runs are resolved in windows of up to 4096 sectors. A window has one bit for each sector that is still
//! missing. Each layer in turn takes the sectors that it holds, until none is missing or all layers have been asked.

mod skip;

use std::collections::VecDeque;
use std::ops::Range;

use super::Vhdx;
use super::cursor::{Answer, Cursor, Span};
use super::on_disk::ensure_on_disk;
use crate::error::{Bounded, Error, Guaranteed, Result, in_memory};
use crate::units::{DiskOffset, FileOffset};

/// The length of a window in words of 64 sectors.
const WINDOW_WORDS: usize = 64;

/// A run of the disk with one source.
///
/// The extents of a range are sorted, cover it without a gap, and are as long as possible: neighbours cannot be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first byte on the disk.
    pub start: DiskOffset,
    /// The length in bytes; never 0.
    pub len: u64,
    /// The place of the bytes.
    pub source: Source,
}

/// The place of the bytes of an extent. Layer 0 is the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the file of a layer, from an offset on.
    ///
    /// If the layer's [`log`](Vhdx::log) had to be replayed in memory, this is the offset in the file after the replay.
    /// The bytes may still be in the log.
    Data {
        /// The layer.
        layer: usize,
        /// The first byte in that layer's file.
        offset: FileOffset,
    },
    /// Nowhere: a layer defines them as zeros.
    Zero {
        /// The layer.
        layer: usize,
    },
    /// Nowhere: no layer holds them. They read as zeros if the last layer has no parent.
    Unallocated,
}

impl Extent {
    /// Returns the end of the extent: one past its last byte on the disk.
    pub fn end(&self) -> DiskOffset {
        // In range for every extent of a disk. A caller can make others.
        self.start.saturating_add(self.len)
    }

    /// Returns the part of the extent that lies in `range`, if any.
    pub fn clip(&self, range: &Range<DiskOffset>) -> Option<Self> {
        let (start, end) = (self.start.max(range.start), self.end().min(range.end));
        // `None` if nothing of the extent lies in the range.
        let len = end.get().checked_sub(start.get()).filter(|&len| len > 0)?;
        // `start` is not less than the start of the extent.
        let skipped = start.get() - self.start.get();
        Some(Self { start, len, source: self.source.advanced_by(skipped) })
    }

    /// Appends `next` if it continues this extent, and returns whether it does.
    pub fn try_join(&mut self, next: &Self) -> bool {
        let joins = next.start == self.end() && next.source == self.source.advanced_by(self.len);
        let Some(len) = self.len.checked_add(next.len).filter(|_| joins) else { return false };
        self.len = len;
        true
    }
}

impl Source {
    /// Returns the source of the byte `len` bytes later.
    pub(crate) fn advanced_by(self, len: u64) -> Self {
        match self {
            // In range inside an extent: its data end inside the file. A caller can make other extents.
            Source::Data { layer, offset } => Source::Data { layer, offset: offset.saturating_add(len) },
            other => other,
        }
    }
}

/// An iterator over the extents of a range. It ends after an error.
///
/// See [`Vhdx::extents`] and [`Chain::extents`](crate::Chain::extents).
pub struct Extents<'a> {
    cursors: Vec<Cursor<'a>>,
    sector_size: u64,
    range: Range<DiskOffset>,
    /// The first byte that has not been resolved yet: a multiple of the sector size.
    next: DiskOffset,
    end: DiskOffset,
    queue: VecDeque<Extent>,
    /// An empty buffer for the extents of a window, kept to avoid allocations.
    found: Vec<Extent>,
    joined: Option<Extent>,
    error: Option<Error>,
}

impl Vhdx {
    /// Returns the extents of `range` in this file alone. The layer in each [`Source`] is 0.
    ///
    /// Ranges that this file does not hold are [`Source::Unallocated`], whether or not a parent holds them.
    pub fn extents(&self, range: Range<DiskOffset>) -> Extents<'_> {
        Extents::new(std::slice::from_ref(self), range)
    }
}

impl<'a> Extents<'a> {
    /// Returns the extents of `range` through `layers`, leaf first. Without layers, the disk has no bytes.
    pub(crate) fn new(layers: &'a [Vhdx], range: Range<DiskOffset>) -> Self {
        Self::over(layers.iter(), range)
    }

    /// Returns the extents of `range` through a leaf and its parents, nearest first.
    pub(crate) fn through(leaf: &'a Vhdx, parents: &'a [Vhdx], range: Range<DiskOffset>) -> Self {
        Self::over(std::iter::once(leaf).chain(parents), range)
    }

    fn over(layers: impl Iterator<Item = &'a Vhdx> + Clone, range: Range<DiskOffset>) -> Self {
        let leaf = layers.clone().next();
        // Without layers there are no bytes, so every range but an empty one is an error.
        let sector_size = leaf.map_or(512, |leaf| leaf.geometry.sector_size());
        let virtual_size = leaf.map_or(0, |leaf| leaf.geometry.virtual_size());
        let error = ensure_on_disk(&range, virtual_size).err().map(Error::from);
        // A range that is not on the disk may have any numbers, and has no extents.
        let range = if error.is_none() { range } else { DiskOffset::new(0)..DiskOffset::new(0) };
        let next = DiskOffset::new(range.start.get() / sector_size * sector_size);
        let end = DiskOffset::new(range.end.get().next_multiple_of(sector_size));
        Self {
            cursors: layers.map(|vhdx| Cursor::new(vhdx, end)).collect(),
            sector_size,
            next,
            end,
            range,
            queue: VecDeque::new(),
            found: Vec::new(),
            joined: None,
            error,
        }
    }

    /// Returns the next extent, which may be joinable with the one after it.
    fn next_raw(&mut self) -> Result<Option<Extent>> {
        loop {
            let found = match self.queue.pop_front() {
                None if self.next >= self.end => return Ok(None),
                None => self.resolve()?,
                queued => queued,
            };
            if let Some(extent) = found.and_then(|extent| extent.clip(&self.range)) {
                return Ok(Some(extent));
            }
        }
    }

    /// Returns the extent at `next`, or `None` after putting at least one extent into the queue.
    fn resolve(&mut self) -> Result<Option<Extent>> {
        let at = self.next;
        let mut end = self.end;
        for layer in 0..self.cursors.len() {
            let span = self.cursors[layer].span_at(at)?;
            end = end.min(span.end);
            let source = match span.answer {
                Answer::Unallocated => continue,
                Answer::Partial(offset) => {
                    let run = self.cursors[layer].run_at(at)?;
                    if run.end.minus(at)? < WINDOW_WORDS as u64 * 64 * self.sector_size {
                        self.resolve_window(layer, at, end)?;
                        return Ok(None);
                    }
                    end = end.min(run.end);
                    if !run.is_present {
                        continue;
                    }
                    Source::Data { layer, offset: offset.plus(at.minus(span.start)?)? }
                }
                Answer::Zero => Source::Zero { layer },
                Answer::Data(offset) => Source::Data { layer, offset: offset.plus(at.minus(span.start)?)? },
            };
            return Ok(Some(self.advance(end, source)?));
        }
        Ok(Some(self.advance(end, Source::Unallocated)?))
    }

    /// Returns the extent from `next` to `end`, and moves `next` to `end`.
    fn advance(&mut self, end: DiskOffset, source: Source) -> Result<Extent> {
        let start = std::mem::replace(&mut self.next, end);
        Ok(Extent { start, len: end.minus(start)?, source })
    }

    /// Resolves `at..end`, or as much of it as a window holds, and queues its extents.
    ///
    /// Begins with the layer `first`, because the layers before it hold nothing of this range.
    fn resolve_window(&mut self, first: usize, at: DiskOffset, end: DiskOffset) -> Result<()> {
        let found = std::mem::take(&mut self.found);
        let mut window = Window::new(self.sector_size, at, end, found)?;
        for layer in first..self.cursors.len() {
            let cursor = &mut self.cursors[layer];
            let mut from = at;
            // A layer is asked only for missing sectors, so a damaged block that nobody needs causes no error.
            while let Some(needed) = window.next_missing(from)? {
                let span = cursor.span_at(needed)?;
                window.take(layer, cursor, &span, needed)?;
                from = span.end;
            }
        }
        window.take_rest()?;
        window.found.sort_unstable_by_key(|extent| extent.start);
        self.next = window.end;
        self.queue.extend(window.found.drain(..));
        self.found = window.found;
        Ok(())
    }
}

impl Iterator for Extents<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.error.take() {
            self.next = self.end;
            self.queue.clear();
            return Some(Err(error));
        }
        loop {
            let found = match self.next_raw() {
                Ok(Some(extent)) => extent,
                Ok(None) => return self.joined.take().map(Ok),
                Err(error) => {
                    self.error = Some(error);
                    // The extent that was found before the error is valid, and is returned first.
                    return self.joined.take().map_or_else(|| self.next(), |done| Some(Ok(done)));
                }
            };
            if self.joined.as_mut().is_some_and(|joined| joined.try_join(&found)) {
                continue;
            }
            if let Some(done) = self.joined.replace(found) {
                return Some(Ok(done));
            }
        }
    }
}

/// A range of at most `64 * WINDOW_WORDS` sectors, with the set of those still missing.
///
/// A sector is missing if no layer has answered for it yet.
struct Window {
    sector_size: u64,
    /// The offset of bit 0 on the disk: a multiple of 64 sectors, so that every layer's bitmap words line up.
    base: DiskOffset,
    end: DiskOffset,
    missing: [u64; WINDOW_WORDS],
    found: Vec<Extent>,
}

impl Window {
    /// Covers `at..end`, or as much of it as a window holds; `found` is an empty buffer.
    fn new(sector_size: u64, at: DiskOffset, end: DiskOffset, found: Vec<Extent>) -> Result<Self> {
        let word = 64 * sector_size;
        let base = DiskOffset::new(at.get() / word * word);
        let end = end.min(base.plus(WINDOW_WORDS as u64 * word)?);
        let mut window = Self { sector_size, base, end, missing: [0; WINDOW_WORDS], found };
        let (first, last) = (window.sector(at)?, window.sector(end)?);
        for (number, word) in window.missing.iter_mut().enumerate() {
            *word = mask(number, &(first..last));
        }
        Ok(window)
    }

    /// Returns the number of the sector that contains `at`, counted from the start of the window.
    ///
    /// # Errors
    /// [`Error::Internal`] if `at` lies before the window.
    fn sector(&self, at: DiskOffset) -> Result<u64> {
        Ok(at.minus(self.base)? / self.sector_size)
    }

    /// Returns the start of the first missing sector at or after `from`.
    fn next_missing(&self, from: DiskOffset) -> Result<Option<DiskOffset>> {
        let from = self.sector(from)?;
        let first = in_memory(from / 64)?;
        let mut words = self.missing.iter().enumerate().skip(first);
        let sector = words.find_map(|(number, word)| {
            // No bit is set past the window's end.
            let missing = if number == first { word & u64::MAX << (from % 64) } else { *word };
            (missing != 0).then(|| number as u64 * 64 + u64::from(missing.trailing_zeros()))
        });
        sector.map(|sector| self.base.plus(sector * self.sector_size)).transpose()
    }

    /// Takes the missing sectors from `from` to the end of `span` that the layer holds.
    fn take(&mut self, layer: usize, cursor: &Cursor<'_>, span: &Span, from: DiskOffset) -> Result<()> {
        let sectors = self.sector(from)?..self.sector(span.end.min(self.end))?;
        let data = |offset| Source::Data { layer, offset };
        match span.answer {
            Answer::Unallocated => Ok(()),
            Answer::Zero => self.take_bits(sectors, Source::Zero { layer }, span.start, None),
            Answer::Data(offset) => self.take_bits(sectors, data(offset), span.start, None),
            Answer::Partial(offset) => {
                let first = self.base.plus(sectors.start / 64 * 64 * self.sector_size)?;
                self.take_bits(sectors, data(offset), span.start, Some(cursor.bits_from(first)?))
            }
        }
    }

    fn take_rest(&mut self) -> Result<()> {
        let sectors = 0..self.sector(self.end)?;
        self.take_bits(sectors, Source::Unallocated, self.base, None)
    }

    /// Takes the missing ones among `sectors`; if there are `bits`, only those whose bit is set.
    ///
    /// The first word of `bits` contains the bit of the first sector. `source` is that of the byte at `source_start`.
    ///
    /// # Errors
    /// [`Error::Internal`] if the sectors are not all in the window, or `bits` has no bit for one of them: a missing bit
    /// must never stand for "ask the parent".
    fn take_bits(
        &mut self,
        sectors: Range<u64>,
        source: Source,
        source_start: DiskOffset,
        bits: Option<&[[u8; 8]]>,
    ) -> Result<()> {
        let mut run: Option<Range<u64>> = None;
        let (first, end) = (in_memory(sectors.start / 64)?, in_memory(sectors.end.div_ceil(64))?);
        let count = end.checked_sub(first).filter(|_| end <= WINDOW_WORDS);
        let count = count.guaranteed("the sectors lie in the window")?;
        let bits = match bits {
            Some(bits) => Some(bits.get(..count).guaranteed("each sector of a partial block has a bit")?),
            None => None,
        };
        for number in first..end {
            let missing = self.missing[number];
            if missing == 0 {
                continue;
            }
            let is_edge = number == first || number + 1 == end;
            let wanted = if is_edge { missing & mask(number, &sectors) } else { missing };
            // Without bits, the layer holds every sector.
            let present = bits.map_or(u64::MAX, |bits| u64::from_le_bytes(bits[number - first]));
            let mut taken = wanted & present;
            self.missing[number] = missing & !taken;
            let sector = number as u64 * 64;
            while taken != 0 {
                let skip = taken.trailing_zeros();
                let count = (taken >> skip).trailing_ones();
                let start = sector + u64::from(skip);
                match &mut run {
                    Some(run) if run.end == start => run.end += u64::from(count),
                    run => {
                        if let Some(done) = run.replace(start..start + u64::from(count)) {
                            self.push(&done, source, source_start)?;
                        }
                    }
                }
                taken &= from_bit(skip + count);
            }
        }
        if let Some(done) = run {
            self.push(&done, source, source_start)?;
        }
        Ok(())
    }

    fn push(&mut self, sectors: &Range<u64>, source: Source, source_start: DiskOffset) -> Result<()> {
        let start = self.base.plus(sectors.start * self.sector_size)?;
        let len = (sectors.end - sectors.start) * self.sector_size;
        self.found.push(Extent { start, len, source: source.advanced_by(start.minus(source_start)?) });
        Ok(())
    }
}

/// Returns the bits of word `number` that stand for sectors in `sectors`.
fn mask(number: usize, sectors: &Range<u64>) -> u64 {
    let first = number as u64 * 64;
    let bit = |sector: u64| (sector.clamp(first, first + 64) - first) as u32;
    from_bit(bit(sectors.start)) & !from_bit(bit(sectors.end))
}

/// Returns the bits of a word from number `bit` on; none from 64 on.
fn from_bit(bit: u32) -> u64 {
    if bit < 64 { u64::MAX << bit } else { 0 }
}
