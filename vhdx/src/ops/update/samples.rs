//! Chooses the parts of a target that are compared with a disk.

use std::ops::Range;

use crate::disk::Chain;
use crate::error::{Bounded, Error, Result, Times};
use crate::file::Source;
use crate::ops::diff::{ChangedRange, changed_ranges};
use crate::progress::Progress;
use crate::units::{DiskOffset, MIB};

/// The length of a sample in bytes.
const SAMPLE: u64 = 4096;
/// The most changed ranges whose edges are compared.
const EDGES: u64 = 1024;
/// The number of samples in data, and anywhere.
const IN_DATA: u64 = 1024;
const ANYWHERE: u64 = 256;

/// Returns the samples of the older disk: sorted ranges that do not touch. [`BaseProof`](super::BaseProof) lists them.
///
/// # Errors
/// Those of the extents, and of the changed ranges.
pub(super) fn sampled(
    old: &Chain,
    new: &Chain,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<Range<DiskOffset>>> {
    let size = old.virtual_size();
    let mut samples = Samples { size, ranges: Vec::new() };
    samples.add(0, MIB);
    samples.add(size.saturating_sub(MIB), MIB); // a smaller disk is covered by the first one
    let mut count = 0_u64;
    for range in changed_ranges(old, new)? {
        ensure_goes_on(progress)?;
        range?;
        count += 1;
    }
    let step = count.div_ceil(EDGES).max(1);
    for (number, range) in (0_u64..).zip(changed_ranges(old, new)?) {
        ensure_goes_on(progress)?;
        let ChangedRange { start, len, .. } = range?;
        if number.is_multiple_of(step) {
            samples.around(start.get());
            samples.around(start.get().plus(len)?);
        }
    }
    let mut random = Random(seed);
    in_data(old, &mut samples, &mut random, progress)?;
    for part in 0..ANYWHERE {
        samples.add(random.within(part, ANYWHERE, size)? / SAMPLE * SAMPLE, SAMPLE);
    }
    Ok(samples.joined())
}

/// Returns an error if the caller cancels the operation.
fn ensure_goes_on(progress: &dyn Progress) -> Result<()> {
    if progress.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
}

/// Adds samples in equal parts of the data that the disk has.
fn in_data(old: &Chain, samples: &mut Samples, random: &mut Random, progress: &dyn Progress) -> Result<()> {
    let whole = || old.extents(DiskOffset::new(0)..DiskOffset::new(old.virtual_size()));
    let is_data = |source| matches!(source, Source::Data { .. });
    let mut total = 0_u64;
    for extent in whole() {
        ensure_goes_on(progress)?;
        let extent = extent?;
        total = total.plus(if is_data(extent.source) { extent.len } else { 0 })?;
    }
    let mut part = 0;
    let mut next = random.within(part, IN_DATA, total)?;
    let mut before = 0_u64;
    for extent in whole() {
        ensure_goes_on(progress)?;
        let extent = extent?;
        if !is_data(extent.source) {
            continue;
        }
        let end = before.plus(extent.len)?;
        while part < IN_DATA && next < end {
            let at = extent.start.get().plus(next.minus(before)?)?;
            samples.add(at / SAMPLE * SAMPLE, SAMPLE);
            part += 1;
            next = random.within(part, IN_DATA, total)?;
        }
        before = end;
    }
    Ok(())
}

struct Samples {
    size: u64,
    ranges: Vec<Range<u64>>,
}

impl Samples {
    /// Adds the part of a range that lies on the disk.
    fn add(&mut self, start: u64, len: u64) {
        let end = start.saturating_add(len).min(self.size); // nothing lies past the end
        if start < end {
            self.ranges.push(start..end);
        }
    }

    /// Adds a sample before and one after an edge.
    fn around(&mut self, edge: u64) {
        // Nothing lies before the disk.
        let start = edge.saturating_sub(SAMPLE);
        self.add(start, edge - start);
        self.add(edge, SAMPLE);
    }

    fn joined(mut self) -> Vec<Range<DiskOffset>> {
        self.ranges.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<DiskOffset>> = Vec::new();
        for range in self.ranges {
            let range = DiskOffset::new(range.start)..DiskOffset::new(range.end);
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        joined
    }
}

/// A splitmix64 generator. It need not be secure: the samples only detect accidental differences.
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Returns a number in part `part` of `parts` equal parts of `0..total`, or its start if the part is empty.
    fn within(&mut self, part: u64, parts: u64, total: u64) -> Result<u64> {
        let (each, rest) = (total / parts, total % parts);
        let start = part.times(each)?.plus(part.times(rest)? / parts)?;
        // An empty part has only its start.
        start.plus(self.number().checked_rem(each).unwrap_or(0))
    }
}
