//! The content of an attribute: in its record, in clusters, or compressed.

use std::sync::{Arc, Mutex, PoisonError};

use super::boot::Boot;
use super::lznt1;
use super::runs::Runs;
use crate::error::{Error, Result};
use crate::files::file_system::Range;
use crate::files::source::Source;

/// The most bytes that are compressed together. Windows uses 64 KiB.
const MAX_UNIT: u64 = 1 << 20;

/// The content of an attribute.
pub(super) struct Stream {
    size: u64,
    content: Content,
}

enum Content {
    Resident(Vec<u8>),
    Clusters(Clusters),
}

struct Clusters {
    runs: Runs,
    cluster: u64,
    /// Bytes from here on read as zeros.
    initialized: u64,
    compressed: Option<Compressed>,
}

struct Compressed {
    /// The clusters that are compressed together, at least 1.
    unit: u64,
    /// The unit that was read last.
    last: Mutex<Option<(u64, Arc<Vec<u8>>)>>,
}

/// How a stream reads its clusters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Small parts of a structure.
    Structure,
    Content,
}

impl Stream {
    pub(super) fn resident(bytes: Vec<u8>) -> Self {
        Self { size: bytes.len() as u64, content: Content::Resident(bytes) }
    }

    /// Makes the stream of these clusters. `unit_shift` is the binary logarithm of the clusters that are compressed
    /// together; `None` if it is not compressed.
    pub(super) fn clusters(
        runs: Runs,
        boot: &Boot,
        (size, initialized): (u64, u64),
        unit_shift: Option<u8>,
    ) -> Result<Self> {
        let damaged = |why: &str| Error::damaged("the content of a file", why);
        // No run ends where the product would overflow.
        if size > runs.end().saturating_mul(boot.cluster) {
            return Err(damaged("it is longer than its clusters"));
        }
        let compressed = match unit_shift {
            None => None,
            Some(shift) => {
                let unit = 1_u64.checked_shl(shift.into());
                let is_bounded =
                    |unit: &u64| unit.checked_mul(boot.cluster).is_some_and(|unit| unit <= MAX_UNIT);
                let unit = unit.filter(is_bounded);
                let unit = unit.ok_or_else(|| damaged("the size of its compressed units is invalid"))?;
                Some(Compressed { unit, last: Mutex::default() })
            }
        };
        let clusters = Clusters { runs, cluster: boot.cluster, initialized, compressed };
        Ok(Self { size, content: Content::Clusters(clusters) })
    }

    /// Returns the size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the clusters of a stream that is not compressed.
    pub(super) fn runs_mut(&mut self) -> Option<&mut Runs> {
        match &mut self.content {
            Content::Clusters(clusters) => Some(&mut clusters.runs),
            Content::Resident(_) => None,
        }
    }

    /// Returns the whole content, which must be at most `limit` bytes.
    pub(super) fn all(&self, source: &Source<'_>, limit: u64, what: &str) -> Result<Vec<u8>> {
        let len = usize::try_from(self.size).ok().filter(|_| self.size <= limit);
        let len = len.ok_or_else(|| Error::damaged(what, format!("it has {} bytes", self.size)))?;
        let mut bytes = vec![0; len];
        self.read(source, 0, &mut bytes, By::Structure)?;
        Ok(bytes)
    }

    /// Fills `buf` from `offset` on, and returns how many bytes there are before the end.
    pub(super) fn read(&self, source: &Source<'_>, offset: u64, buf: &mut [u8], by: By) -> Result<usize> {
        let left = self.size.saturating_sub(offset);
        let len = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        let Some(buf) = buf.get_mut(..len) else { return Ok(0) };
        match &self.content {
            Content::Resident(bytes) => {
                let from = usize::try_from(offset).ok().and_then(|from| bytes.get(from..)?.get(..len));
                buf.copy_from_slice(from.unwrap_or_default());
            }
            Content::Clusters(clusters) => clusters.read(source, offset, buf, by)?,
        }
        Ok(len)
    }

    /// Returns the range at `offset`.
    pub(super) fn range_at(&self, offset: u64) -> Option<Range> {
        let left = self.size.checked_sub(offset).filter(|left| *left > 0)?;
        let (len, is_hole) = match &self.content {
            Content::Resident(_) => (left, false),
            Content::Clusters(clusters) => clusters.range_at(offset, left),
        };
        Some(Range { start: offset, len: len.min(left), is_hole })
    }
}

impl Clusters {
    fn read(&self, source: &Source<'_>, offset: u64, buf: &mut [u8], by: By) -> Result<()> {
        let initialized = usize::try_from(self.initialized.saturating_sub(offset));
        let (buf, zeros) =
            buf.split_at_mut(initialized.map_or(buf.len(), |initialized| initialized.min(buf.len())));
        zeros.fill(0);
        match &self.compressed {
            Some(compressed) => self.read_compressed(compressed, source, offset, buf),
            None => self.read_plain(source, offset, buf, by),
        }
    }

    /// Fills `buf`. All of its bytes are before the end of the runs.
    fn read_plain(&self, source: &Source<'_>, mut offset: u64, mut buf: &mut [u8], by: By) -> Result<()> {
        while !buf.is_empty() {
            let run = self.runs.at(offset / self.cluster).ok_or_else(no_cluster)?;
            // Neither product overflows: the runs were checked.
            let within = offset.saturating_sub(run.vcn.saturating_mul(self.cluster));
            let left = run.len.saturating_mul(self.cluster).saturating_sub(within);
            let len = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
            let (part, rest) = buf.split_at_mut(len);
            match run.lcn.map(|lcn| lcn.saturating_mul(self.cluster).saturating_add(within)) {
                None => part.fill(0),
                Some(at) if by == By::Structure => part.copy_from_slice(&source.structure(at, len)?),
                Some(at) => source.content(at, part)?,
            }
            offset = offset.saturating_add(len as u64);
            buf = rest;
        }
        Ok(())
    }

    fn read_compressed(
        &self,
        compressed: &Compressed,
        source: &Source<'_>,
        mut offset: u64,
        mut buf: &mut [u8],
    ) -> Result<()> {
        let unit_size = compressed.unit.saturating_mul(self.cluster);
        while !buf.is_empty() {
            let index = offset / unit_size;
            let unit = self.unit(compressed, source, index)?;
            let within = usize::try_from(offset % unit_size).ok().and_then(|within| unit.get(within..));
            let found = within.filter(|found| !found.is_empty()).ok_or_else(no_cluster)?;
            let len = found.len().min(buf.len());
            let (part, rest) = buf.split_at_mut(len);
            part.copy_from_slice(found.get(..len).unwrap_or_default());
            offset = offset.saturating_add(len as u64);
            buf = rest;
        }
        Ok(())
    }

    /// Returns the content of a unit.
    fn unit(&self, compressed: &Compressed, source: &Source<'_>, index: u64) -> Result<Arc<Vec<u8>>> {
        let mut last = compressed.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, unit)) = last.as_ref().filter(|(last, _)| *last == index) {
            return Ok(Arc::clone(unit));
        }
        let size = compressed.unit.saturating_mul(self.cluster);
        let size = usize::try_from(size).map_err(|_| no_cluster())?;
        let first = index.saturating_mul(compressed.unit);
        let stored = self.stored_clusters(first, compressed.unit)?;
        // At most one unit, which is bounded.
        let mut bytes =
            vec![0; usize::try_from(stored.saturating_mul(self.cluster)).map_err(|_| no_cluster())?];
        self.read_plain(source, first.saturating_mul(self.cluster), &mut bytes, By::Content)?;
        if stored < compressed.unit && stored > 0 {
            bytes = lznt1::decompress(&bytes, size)
                .ok_or_else(|| Error::damaged("the content of a file", "its compressed data is invalid"))?;
        }
        bytes.resize(size, 0);
        let unit = Arc::new(bytes);
        *last = Some((index, Arc::clone(&unit)));
        Ok(unit)
    }

    /// Returns how many clusters of a unit are stored. The others must be a hole after them.
    fn stored_clusters(&self, first: u64, unit: u64) -> Result<u64> {
        let (mut stored, mut vcn) = (0, first);
        let end = first.saturating_add(unit);
        let mut has_hole = false;
        while vcn < end {
            // The last unit of a file may be cut off.
            let Some(run) = self.runs.at(vcn) else { break };
            let run_end = run.vcn.saturating_add(run.len).min(end);
            match run.lcn {
                None => has_hole = true,
                Some(_) if has_hole => {
                    return Err(Error::damaged("the content of a file", "a compressed unit has two parts"));
                }
                Some(_) => stored = run_end.saturating_sub(first),
            }
            vcn = run_end;
        }
        Ok(stored)
    }

    /// Returns the length of the range at `offset`, and whether it is a hole.
    fn range_at(&self, offset: u64, left: u64) -> (u64, bool) {
        let Some(initialized) = self.initialized.checked_sub(offset).filter(|bytes| *bytes > 0) else {
            return (left, true);
        };
        let unit = self.compressed.as_ref().map_or(1, |compressed| compressed.unit);
        let vcn = offset / self.cluster / unit * unit;
        let Some(run) = self.runs.at(vcn) else { return (left, false) };
        let end = run.vcn.saturating_add(run.len);
        let is_hole = run.lcn.is_none() && end.saturating_sub(vcn) >= unit;
        let end = match is_hole {
            true => end / unit * unit,
            false => end.div_ceil(unit).saturating_mul(unit).max(vcn.saturating_add(unit)),
        };
        let len = end.saturating_mul(self.cluster).saturating_sub(offset);
        (len.min(if is_hole { left } else { initialized }), is_hole)
    }
}

fn no_cluster() -> Error {
    Error::damaged("the content of a file", "it is longer than its clusters")
}
