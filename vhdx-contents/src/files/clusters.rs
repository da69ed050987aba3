//! What FAT and exFAT share: clusters, the table that links them, and content in them.

use super::file_system::Range;
use super::source::Source;
use crate::error::{Error, Result};

/// The number of the first cluster.
const FIRST: u32 = 2;

/// The clusters of a volume.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heap {
    /// The place of the first cluster.
    pub(super) start: u64,
    /// The bytes of a cluster.
    pub(super) cluster: u64,
    /// The number of clusters. All of them are on the volume, or were before it was cut off.
    pub(super) count: u32,
}

impl Heap {
    /// Returns the place of a cluster on the volume.
    pub(super) fn place(&self, cluster: u32) -> Result<u64> {
        let index = cluster.checked_sub(FIRST).filter(|index| *index < self.count);
        let index =
            index.ok_or_else(|| Error::damaged("a file", format!("it refers to cluster {cluster}")))?;
        // At most 2^32 clusters of 32 MiB.
        Ok(self.start.saturating_add(u64::from(index).saturating_mul(self.cluster)))
    }
}

/// The width of the numbers in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Bits12,
    Bits16,
    /// FAT32: the upper four bits have no meaning.
    Bits28,
    /// exFAT.
    Bits32,
}

/// The file allocation table: for each cluster the next one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub(super) start: u64,
    pub(super) width: Width,
    pub(super) heap: Heap,
}

impl Table {
    /// Returns the cluster after this one; `None` if it is the last.
    fn next(&self, source: &Source<'_>, cluster: u32) -> Result<Option<u32>> {
        let index = u64::from(cluster);
        let number = |offset: u64, len: usize| -> Result<u32> {
            let mut bytes = [0; 4];
            let stored = source.structure(self.start.saturating_add(offset), len)?;
            bytes.iter_mut().zip(stored).for_each(|(byte, stored)| *byte = stored);
            Ok(u32::from_le_bytes(bytes))
        };
        // Numbers from `end` on mark the last cluster.
        let (next, end) = match self.width {
            Width::Bits12 => {
                let pair = number(index.saturating_add(index / 2), 2)?;
                (if index % 2 == 0 { pair & 0xfff } else { pair >> 4 }, 0xff8)
            }
            Width::Bits16 => (number(index.saturating_mul(2), 2)?, 0xfff8),
            Width::Bits28 => (number(index.saturating_mul(4), 4)? & 0x0fff_ffff, 0x0fff_fff8),
            Width::Bits32 => (number(index.saturating_mul(4), 4)?, 0xffff_fff8),
        };
        if next >= end {
            return Ok(None);
        }
        self.heap.place(next)?;
        Ok(Some(next))
    }

    /// Returns the chain that begins with a cluster: its first `limit` clusters.
    ///
    /// # Errors
    /// [`Error::Damaged`] if a circle begins in them.
    pub(super) fn chain(&self, source: &Source<'_>, first: u32, limit: u64) -> Result<Chain> {
        // More clusters than the volume has are not there without a circle. One more is needed to see it.
        let limit = limit.min(u64::from(self.heap.count).saturating_add(1));
        let mut chain = Chain::default();
        let mut cluster = first;
        // A cluster of the chain, and the length at which the next one is remembered. The length doubles, so the mark
        // gets into each circle, and the chain meets it again: so no memory is needed for many rounds.
        let (mut mark, mut next_mark) = (None, 1_u64);
        while chain.len < limit {
            self.heap.place(cluster)?;
            if mark == Some(cluster) {
                return Err(circle());
            }
            chain.push(cluster);
            if chain.len == next_mark {
                (mark, next_mark) = (Some(cluster), next_mark.saturating_mul(2));
            }
            if chain.len == limit {
                break;
            }
            match self.next(source, cluster)? {
                Some(next) => cluster = next,
                None => {
                    chain.is_whole = true;
                    break;
                }
            }
        }
        match chain.has_circle() {
            true => Err(circle()),
            false => Ok(chain),
        }
    }

    /// Returns the whole chain that begins with a cluster. One of more than `limit` clusters is damage.
    pub(super) fn whole_chain(&self, source: &Source<'_>, first: u32, limit: u64) -> Result<Chain> {
        let chain = self.chain(source, first, limit.saturating_add(1))?;
        match chain.is_whole {
            true => Ok(chain),
            false => Err(Error::damaged("a folder", "it is too long, or its clusters form a circle")),
        }
    }
}

/// The clusters of a file, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    /// Successive clusters: the index in the file, the number of the first one, and how many.
    runs: Vec<(u64, u32, u64)>,
    pub(super) len: u64,
    /// Whether its end was reached.
    is_whole: bool,
}

impl Chain {
    /// Returns a chain of successive clusters.
    pub(super) fn successive(heap: &Heap, first: u32, len: u64) -> Result<Self> {
        if len > 0 {
            let last = u32::try_from(len - 1).ok().and_then(|more| first.checked_add(more));
            let last =
                last.ok_or_else(|| Error::damaged("a file", "it has more clusters than the volume"))?;
            heap.place(first)?;
            heap.place(last)?;
        }
        Ok(Self { runs: if len > 0 { vec![(0, first, len)] } else { Vec::new() }, len, is_whole: true })
    }

    /// Whether it has a cluster twice.
    fn has_circle(&self) -> bool {
        let mut ranges: Vec<(u64, u64)> =
            self.runs.iter().map(|(_, first, len)| (u64::from(*first), *len)).collect();
        ranges.sort_unstable();
        ranges
            .iter()
            .zip(ranges.iter().skip(1))
            .any(|((first, len), (next, _))| first.saturating_add(*len) > *next)
    }

    fn push(&mut self, cluster: u32) {
        match self.runs.last_mut() {
            Some((_, first, len)) if u64::from(*first).saturating_add(*len) == u64::from(cluster) => {
                *len = len.saturating_add(1);
            }
            _ => self.runs.push((self.len, cluster, 1)),
        }
        self.len = self.len.saturating_add(1);
    }

    /// Returns the cluster with this index, and how many follow it on the volume, with itself.
    pub(super) fn at(&self, index: u64) -> Option<(u32, u64)> {
        let next = self.runs.partition_point(|(first, _, _)| *first <= index);
        let (start, first, len) = self.runs.get(next.checked_sub(1)?)?;
        let within = index.checked_sub(*start)?;
        let left = len.checked_sub(within).filter(|left| *left > 0)?;
        Some((first.checked_add(u32::try_from(within).ok()?)?, left))
    }
}

fn circle() -> Error {
    Error::damaged("a file or folder", "its clusters form a circle")
}

/// The content of a file.
pub(super) struct Content {
    pub(super) chain: Chain,
    pub(super) size: u64,
    /// Bytes from here on read as zeros.
    pub(super) initialized: u64,
}

impl Content {
    pub(super) fn read(
        &self,
        source: &Source<'_>,
        heap: &Heap,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize> {
        let bounded = |end: u64| {
            usize::try_from(end.saturating_sub(offset)).map_or(buf.len(), |left| left.min(buf.len()))
        };
        let (found, stored) = (bounded(self.size), bounded(self.initialized.min(self.size)));
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..stored).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            let Some((cluster, successive)) = self.chain.at(at / heap.cluster) else {
                return Err(Error::damaged("a file", "it is longer than its clusters"));
            };
            let within = at % heap.cluster;
            let left = successive.saturating_mul(heap.cluster).saturating_sub(within);
            let len = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
            let Some(part) = rest.get_mut(..len) else { break };
            source.content(heap.place(cluster)?.saturating_add(within), part)?;
            done = done.saturating_add(len);
        }
        if let Some(zeros) = buf.get_mut(stored..found) {
            zeros.fill(0);
        }
        Ok(found)
    }

    pub(super) fn range_at(&self, offset: u64) -> Option<Range> {
        let is_hole = offset >= self.initialized;
        let end = if is_hole { self.size } else { self.initialized.min(self.size) };
        let len = end.checked_sub(offset).filter(|len| *len > 0)?;
        Some(Range { start: offset, len, is_hole })
    }
}
