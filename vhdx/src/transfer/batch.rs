//! A batch: what one worker reads at once, from one disk or from two that are compared.

use std::ops::Range;

use crate::disk::Disk;
use crate::error::{Bounded, Guaranteed, Result, in_memory};
use crate::file::{Extent, Source};
use crate::units::DiskOffset;

/// A run of the disk that has one source on each of `N` disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment<const N: usize> {
    pub(super) start: DiskOffset,
    pub(super) len: u64,
    pub(super) sources: [Source; N],
}

impl From<Extent> for Segment<1> {
    fn from(Extent { start, len, source }: Extent) -> Self {
        Self { start, len, sources: [source] }
    }
}

impl<const N: usize> Segment<N> {
    /// Returns whether a file holds the bytes, on at least one disk.
    pub(super) fn is_data(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::Data { .. }))
    }

    /// Returns how many bytes are data.
    pub(crate) fn data(&self) -> u64 {
        if self.is_data() { self.len } else { 0 }
    }

    pub(super) fn end(&self) -> Result<DiskOffset> {
        self.start.plus(self.len)
    }

    /// Returns the bytes up to `at`, which lies in the segment, and those from there on.
    pub(super) fn split(self, at: DiskOffset) -> Result<(Self, Self)> {
        let len = at.minus(self.start)?;
        let sources = self.sources.map(|source| source.advanced_by(len));
        Ok((Self { len, ..self }, Self { start: at, len: self.len.minus(len)?, sources }))
    }
}

/// A run of adjacent bytes of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: DiskOffset,
    len: u64,
    is_read: bool,
}

/// Runs of the disk in ascending order, and where to read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch<const N: usize> {
    runs: Vec<Run>,
    /// The places of the bytes of all runs that are read, for each disk.
    extents: [Vec<Extent>; N],
    /// How many bytes are read from each disk.
    len: usize,
    /// How many of these bytes are data on at least one disk.
    data: u64,
}

/// The content of a run of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Bytes(&'a [u8]),
    /// This many zeros, which were not read.
    Zeros(u64),
}

impl<const N: usize> Default for Batch<N> {
    fn default() -> Self {
        Self { runs: Vec::new(), extents: [const { Vec::new() }; N], len: 0, data: 0 }
    }
}

impl<const N: usize> Batch<N> {
    /// Returns how many bytes of the runs are data. Over all batches of a disk the sum is exact.
    pub(crate) fn data(&self) -> u64 {
        self.data
    }

    /// Returns how many bytes are read from each disk.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the places of the bytes that are read, for each disk.
    pub(super) fn extents(&self) -> &[Vec<Extent>; N] {
        &self.extents
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns a number that grows with the memory of the batch.
    pub(super) fn pieces(&self) -> usize {
        self.runs.len().max(self.extents.iter().map(Vec::len).max().map_or(0, |most| most))
    }

    /// Returns whether a run that is read ends at `at`.
    pub(super) fn reads_up_to(&self, at: DiskOffset) -> bool {
        self.runs.last().is_some_and(|run| run.is_read && run.start.checked_add(run.len) == Some(at))
    }

    /// Appends a segment whose bytes are read; zeros too.
    pub(super) fn push_read(&mut self, segment: &Segment<N>) -> Result<()> {
        let Segment { start, len, sources } = *segment;
        self.len = in_memory((self.len as u64).plus(len)?)?;
        if segment.is_data() {
            self.data = self.data.plus(len)?;
        }
        for (extents, source) in self.extents.iter_mut().zip(sources) {
            let extent = Extent { start, len, source };
            if !extents.last_mut().is_some_and(|last| last.try_join(&extent)) {
                extents.push(extent);
            }
        }
        self.push(start, len, true)
    }

    /// Appends a segment of zeros that are not read.
    pub(super) fn push_zeros(&mut self, segment: &Segment<N>) -> Result<()> {
        self.push(segment.start, segment.len, false)
    }

    fn push(&mut self, start: DiskOffset, len: u64, is_read: bool) -> Result<()> {
        match self.runs.last_mut() {
            Some(run) if run.is_read == is_read && run.start.plus(run.len)? == start => {
                run.len = run.len.plus(len)?;
            }
            _ => self.runs.push(Run { start, len, is_read }),
        }
        Ok(())
    }

    /// Reads the runs from each disk, and returns the bytes of each.
    ///
    /// # Errors
    /// Those of [`Disk::read_extents`], from the first disk of which a read fails. Reads of a later disk may fail at a
    /// lower offset.
    pub(crate) fn read<'b>(&self, disks: [&dyn Disk; N], buffer: &'b mut [u8]) -> Result<[&'b [u8]; N]> {
        let mut rest = buffer;
        let mut read = [[].as_slice(); N];
        for ((disk, extents), read) in disks.into_iter().zip(&self.extents).zip(&mut read) {
            let (bytes, later) =
                rest.split_at_mut_checked(self.len).guaranteed("a batch fits into its buffer")?;
            disk.read_extents(extents, bytes)?;
            *read = bytes;
            rest = later;
        }
        Ok(read)
    }

    /// Returns the runs that are read.
    pub(crate) fn read_runs(&self) -> impl Iterator<Item = Result<Range<DiskOffset>>> {
        let read = self.runs.iter().filter(|run| run.is_read);
        read.map(|run| Ok(run.start..run.start.plus(run.len)?))
    }

    /// Returns the first byte of each run, and its content. `bytes` are those of all runs that were read.
    pub(crate) fn contents<'b>(
        &self,
        bytes: &'b [u8],
    ) -> impl Iterator<Item = Result<(DiskOffset, Content<'b>)>> + use<'_, 'b, N> {
        let mut rest = bytes;
        self.runs.iter().map(move |run| {
            if !run.is_read {
                return Ok((run.start, Content::Zeros(run.len)));
            }
            let (bytes, later) =
                rest.split_at_checked(in_memory(run.len)?).guaranteed("the bytes of a batch were read")?;
            rest = later;
            Ok((run.start, Content::Bytes(bytes)))
        })
    }
}
