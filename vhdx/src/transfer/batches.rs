//! Cuts the segments of a disk into batches.

use super::batch::{Batch, Segment};
use super::jobs::Workers;
use crate::error::{Bounded, Error, Result, Times};
use crate::units::{DiskOffset, KIB, MIB};

/// The most runs and extents of a batch.
const MOST_PIECES: usize = 2048;
/// Zeros are cut at multiples of this, so that an operation can be cancelled between two pieces of them.
const LONGEST_ZEROS: u64 = 64 * MIB;

/// How ranges that no file holds are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zeros {
    /// They are left out, except for a few between data.
    LeftOut,
    /// They are runs of their own, except for a few between data.
    Kept,
}

impl Zeros {
    /// The most bytes between data that become part of the data: one more write costs more than these zeros.
    fn read_over(self) -> u64 {
        match self {
            // Where zeros are left out, they should take no space: file systems allocate pages.
            Self::LeftOut => 4 * KIB,
            Self::Kept => 64 * KIB,
        }
    }
}

/// An iterator over batches. It ends after an error.
pub(crate) struct Batches<I, const N: usize> {
    segments: I,
    /// The rest of a segment whose first part is in the previous batch.
    rest: Option<Segment<N>>,
    error: Option<Error>,
    zeros: Zeros,
    /// The bytes of a batch. Long runs are cut at multiples of it.
    capacity: u64,
}

impl<I, S, const N: usize> Batches<I, N>
where
    I: Iterator<Item = Result<S>>,
    Segment<N>: From<S>,
{
    /// Cuts segments, which must be in ascending order.
    pub(crate) fn new(workers: Workers, segments: I, zeros: Zeros) -> Self {
        Self { segments, rest: None, error: None, zeros, capacity: workers.batch as u64 }
    }

    fn next_segment(&mut self) -> Option<Result<Segment<N>>> {
        match self.rest.take() {
            Some(rest) => Some(Ok(rest)),
            None => self.segments.next().map(|segment| segment.map(Segment::from)),
        }
    }

    /// Appends a segment, or as much of it as fits, and returns whether the batch is full.
    fn append(&mut self, batch: &mut Batch<N>, segment: Segment<N>) -> Result<bool> {
        let is_read =
            segment.is_data() || segment.len <= self.zeros.read_over() && batch.reads_up_to(segment.start);
        if is_read {
            return self.append_read(batch, segment);
        }
        if self.zeros == Zeros::Kept {
            let boundary = (segment.start.get() / LONGEST_ZEROS).plus(1)?.times(LONGEST_ZEROS)?;
            let end = segment.end()?.min(DiskOffset::new(boundary));
            let (now, later) = segment.split(end)?;
            batch.push_zeros(&now)?;
            self.rest = (later.len > 0).then_some(later);
            return Ok(self.rest.is_some() || batch.pieces() >= MOST_PIECES);
        }
        Ok(false)
    }

    fn append_read(&mut self, batch: &mut Batch<N>, segment: Segment<N>) -> Result<bool> {
        let room = self.capacity.minus(batch.len() as u64)?;
        if segment.len <= room {
            batch.push_read(&segment)?;
            return Ok(segment.len == room || batch.pieces() >= MOST_PIECES);
        }
        let boundary = segment.start.get().plus(room)? / self.capacity * self.capacity;
        if boundary > segment.start.get() {
            let (now, later) = segment.split(DiskOffset::new(boundary))?;
            batch.push_read(&now)?;
            self.rest = Some(later);
        } else {
            // Never in an empty batch, which has room up to the next boundary.
            self.rest = Some(segment);
        }
        Ok(true)
    }
}

impl<I, S, const N: usize> Iterator for Batches<I, N>
where
    I: Iterator<Item = Result<S>>,
    Segment<N>: From<S>,
{
    type Item = Result<Batch<N>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        let mut batch = Batch::default();
        while let Some(segment) = self.next_segment() {
            match segment.and_then(|segment| self.append(&mut batch, segment)) {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) if batch.is_empty() => return Some(Err(error)),
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        (!batch.is_empty()).then_some(Ok(batch))
    }
}

#[cfg(test)]
mod tests;
