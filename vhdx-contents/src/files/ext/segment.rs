//! Parts of the map of a file: which blocks it uses.

use std::ops::Range;

use super::number::Checked;
use crate::error::Result;

/// Neighbouring blocks of a file that are neighbours in the file system, too, or a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first block within the file.
    pub(super) start: u64,
    /// In blocks, at least 1.
    pub(super) len: u64,
    /// The first block within the file system; `None` for a hole. The run is within the file system.
    pub(super) block: Option<u64>,
}

/// What one node of the map says about a range of blocks: runs without gaps or overlaps.
#[derive(Debug)]
pub(super) struct Segment {
    range: Range<u64>,
    runs: Vec<Run>,
}

impl Segment {
    /// Returns a segment that has no runs yet.
    pub(super) fn new(start: u64) -> Self {
        Self { range: start..start, runs: Vec::new() }
    }

    /// Returns a segment that is a hole.
    pub(super) fn hole(range: Range<u64>) -> Result<Self> {
        let mut segment = Self::new(range.start);
        segment.add_hole(range.end)?;
        Ok(segment)
    }

    /// Returns where the next run begins.
    pub(super) fn end(&self) -> u64 {
        self.range.end
    }

    /// Adds a hole up to a block of the file.
    pub(super) fn add_hole(&mut self, end: u64) -> Result<()> {
        match end.minus(self.range.end)? {
            0 => Ok(()),
            len => self.add(len, None),
        }
    }

    /// Adds `len` blocks after the others; `len` is at least 1.
    pub(super) fn add(&mut self, len: u64, block: Option<u64>) -> Result<()> {
        let start = self.range.end;
        self.range.end = start.plus(len)?;
        let run = Run { start, len, block };
        if let Some(last) = self.runs.last_mut()
            && last.is_continued_by(&run)
        {
            last.len = last.len.plus(len)?;
        } else {
            self.runs.push(run);
        }
        Ok(())
    }

    /// Returns the rest of the run that has a block of the file, from this block on.
    pub(super) fn run_at(&self, at: u64) -> Option<Run> {
        let run = self.runs.get(self.runs.partition_point(|run| run.start <= at).checked_sub(1)?)?;
        let skipped = at.checked_sub(run.start)?;
        let len = run.len.checked_sub(skipped).filter(|len| *len > 0)?;
        let block = match run.block {
            Some(block) => Some(block.checked_add(skipped)?),
            None => None,
        };
        Some(Run { start: at, len, block })
    }
}

impl Run {
    /// Whether another run goes on where this one ends, in the file and in the file system.
    pub(super) fn is_continued_by(&self, next: &Run) -> bool {
        let goes_on = match (self.block, next.block) {
            (None, None) => true,
            (Some(one), Some(other)) => one.checked_add(self.len) == Some(other),
            _ => false,
        };
        goes_on && self.start.checked_add(self.len) == Some(next.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_joined_and_found() {
        let mut segment = Segment::new(10);
        segment.add(2, Some(100)).unwrap();
        segment.add(1, Some(102)).unwrap();
        segment.add_hole(20).unwrap();
        segment.add(1, Some(103)).unwrap();
        assert_eq!(segment.runs.len(), 3);
        assert_eq!(segment.run_at(9), None);
        assert_eq!(segment.run_at(11), Some(Run { start: 11, len: 2, block: Some(101) }));
        assert_eq!(segment.run_at(13), Some(Run { start: 13, len: 7, block: None }));
        assert_eq!(segment.run_at(20), Some(Run { start: 20, len: 1, block: Some(103) }));
        assert_eq!(segment.run_at(21), None);
        assert!(segment.add_hole(20).is_err());
    }
}
