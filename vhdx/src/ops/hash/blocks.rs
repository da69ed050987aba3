//! Computes one digest for each block of a disk.

use std::ops::{ControlFlow, Range};
use std::sync::OnceLock;

use super::content::Reader;
use super::digest::{Digest, HashAlgorithm, Hasher};
use super::spans::{Span, spans};
use crate::disk::Disk;
use crate::error::{Bounded, Error, Guaranteed, InvalidArgument, Result, Times};
use crate::ops::ranges::{data, total, whole};
use crate::progress::Progress;
use crate::transfer::{Content, Jobs, Weight, Workers, announce_range, announced, in_order};
use crate::units::{DiskOffset, KIB, MIB, at_most};

/// The smallest block that gets a digest of its own, in bytes.
pub const MIN_HASH_BLOCK_SIZE: u64 = 4 * KIB;
/// The largest block that gets a digest of its own, in bytes.
pub const MAX_HASH_BLOCK_SIZE: u64 = 1024 * MIB;

/// Adjacent blocks of a disk that have the same digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DigestRun {
    /// The number of the first block. Block 0 begins with the disk.
    pub first: u64,
    /// The number of blocks; never 0.
    pub count: u64,
    /// The digest of each of the blocks, which is that of its bytes alone.
    pub digest: Digest,
}

/// Calls `each` with the digests of all blocks of a disk, in order.
///
/// Equal neighbours are one run, as long as possible, so the runs depend on nothing but the content of the disk. The
/// last block ends with the disk and may be shorter. Blocks that no file holds are not read, and their digest is
/// computed once. Several threads work on different blocks at the same time. `progress` counts the bytes of data.
///
/// No more blocks are read after `each` has returned [`ControlFlow::Break`].
///
/// # Errors
/// [`InvalidArgument::HashBlockSize`]; as [`Disk::validate_placement`] before anything is read, those of reading the
/// disk, as [`Disk::ensure_unchanged`] at the end, and [`Error::Cancelled`]. After an error, the runs are incomplete.
///
/// # Examples
/// ```no_run
/// use std::ops::ControlFlow;
/// use vhdx::ops::{HashAlgorithm, hash_blocks};
/// use vhdx::{Chain, FolderResolver, Jobs, NoProgress};
///
/// # fn main() -> vhdx::Result<()> {
/// let chain = Chain::open("checkpoint.avhdx", &FolderResolver::default())?;
/// hash_blocks(&chain, HashAlgorithm::Blake3, 4 << 20, Jobs::default(), &NoProgress, &mut |run| {
///     println!("blocks {} to {}: {}", run.first, run.first + run.count - 1, run.digest);
///     ControlFlow::Continue(())
/// })
/// # }
/// ```
pub fn hash_blocks(
    disk: &dyn Disk,
    algorithm: HashAlgorithm,
    block_size: u64,
    jobs: Jobs,
    progress: &dyn Progress,
    each: &mut dyn FnMut(DigestRun) -> ControlFlow<()>,
) -> Result<()> {
    let sizes = MIN_HASH_BLOCK_SIZE..=MAX_HASH_BLOCK_SIZE;
    if !(block_size.is_power_of_two() && sizes.contains(&block_size)) {
        return Err(InvalidArgument::HashBlockSize(block_size).into());
    }
    disk.validate_placement()?;
    progress.start(total(data(disk, whole(disk)), progress)?);
    let blocks = Blocks { algorithm, size: block_size, end: disk.virtual_size(), zero: OnceLock::new() };
    let workers = Workers::new(jobs, &disk.hint(), 1);
    let reader = Reader { disk, workers, progress };
    let mut output = Output { pending: None, each, is_ended: false };
    // Both are powers of two.
    let spans = spans(disk, block_size.max(workers.batch as u64));
    let spans = announced(spans, |span: &Span| match span.has_data {
        true => announce_range(disk, span.range.clone()),
        false => Weight::default(),
    });
    let work = |span: Span, buffer: &mut [u8]| blocks.of_span(&reader, span, buffer);
    match in_order(workers, spans, progress, work, |runs, _| output.put(runs)) {
        Err(Error::Cancelled) if output.is_ended => {}
        done => {
            done?;
            output.finish();
        }
    }
    disk.ensure_unchanged()
}

/// The blocks of a disk.
struct Blocks {
    algorithm: HashAlgorithm,
    /// The size of a block in bytes: a power of two.
    size: u64,
    /// The size of the disk in bytes.
    end: u64,
    /// The digest of a whole block of zeros.
    zero: OnceLock<Digest>,
}

impl Blocks {
    fn of_span(&self, reader: &Reader<'_>, span: Span, buffer: &mut [u8]) -> Result<Vec<DigestRun>> {
        if !span.has_data {
            return self.zeros(span.range);
        }
        let mut block = Block::new(self, span.range.start)?;
        let data = reader.each(span.range, buffer, |content| block.put(content))?;
        reader.progress.advance(data);
        block.finish()
    }

    /// Returns the runs of whole blocks that are zero.
    fn zeros(&self, range: Range<DiskOffset>) -> Result<Vec<DigestRun>> {
        let (first, len) = (range.start.get() / self.size, range.end.minus(range.start)?);
        let (count, rest) = (len / self.size, len % self.size);
        let mut runs = Vec::new();
        if count > 0 {
            runs.push(DigestRun { first, count, digest: self.zero_block(self.size) });
        }
        if rest > 0 {
            runs.push(DigestRun { first: first.plus(count)?, count: 1, digest: self.zero_block(rest) });
        }
        Ok(runs)
    }

    fn zero_block(&self, len: u64) -> Digest {
        let compute = || {
            let mut hasher = Hasher::new(self.algorithm);
            hasher.update_zeros(len);
            hasher.finish()
        };
        if len == self.size { *self.zero.get_or_init(compute) } else { compute() }
    }

    /// Returns the length of a block in bytes; 0 past the end of the disk.
    fn len_of(&self, number: u64) -> Result<u64> {
        let start = number.times(self.size)?.min(self.end);
        start.plus(self.size)?.min(self.end).minus(start)
    }
}

/// The block that a worker hashes now, and those that it has hashed before.
struct Block<'a> {
    blocks: &'a Blocks,
    number: u64,
    len: u64,
    /// The bytes of the block so far.
    done: u64,
    /// `None` while all of these bytes are zeros that were not read.
    hasher: Option<Hasher>,
    runs: Vec<DigestRun>,
}

impl<'a> Block<'a> {
    fn new(blocks: &'a Blocks, start: DiskOffset) -> Result<Self> {
        let number = start.get() / blocks.size;
        Ok(Self { blocks, number, len: blocks.len_of(number)?, done: 0, hasher: None, runs: Vec::new() })
    }

    fn put(&mut self, content: Content<'_>) -> Result<()> {
        match content {
            Content::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    let (now, rest) = bytes.split_at(at_most(self.left()?, bytes.len()));
                    let zeros = self.done;
                    let hasher = self.hasher.get_or_insert_with(|| {
                        let mut hasher = Hasher::new(self.blocks.algorithm);
                        hasher.update_zeros(zeros);
                        hasher
                    });
                    hasher.update(now);
                    bytes = rest;
                    self.advance(now.len() as u64)?;
                }
            }
            Content::Zeros(mut len) => {
                while len > 0 {
                    let now = len.min(self.left()?);
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update_zeros(now);
                    }
                    len = len.minus(now)?;
                    self.advance(now)?;
                }
            }
        }
        Ok(())
    }

    /// Returns how many bytes of the block are missing: at least one.
    fn left(&self) -> Result<u64> {
        let left = self.len.minus(self.done)?;
        (left > 0).then_some(left).guaranteed("a span ends with its last block")
    }

    fn advance(&mut self, len: u64) -> Result<()> {
        self.done = self.done.plus(len)?;
        if self.done < self.len {
            return Ok(());
        }
        let digest = match self.hasher.take() {
            Some(hasher) => hasher.finish(),
            None => self.blocks.zero_block(self.len),
        };
        self.runs.push(DigestRun { first: self.number, count: 1, digest });
        self.number = self.number.plus(1)?;
        (self.len, self.done) = (self.blocks.len_of(self.number)?, 0);
        Ok(())
    }

    fn finish(self) -> Result<Vec<DigestRun>> {
        (self.done == 0).then_some(self.runs).guaranteed("a span has whole blocks")
    }
}

/// Joins the runs of all spans, and hands them to the caller.
struct Output<'a> {
    /// The last run, which may go on.
    pending: Option<DigestRun>,
    each: &'a mut dyn FnMut(DigestRun) -> ControlFlow<()>,
    /// Whether the caller wants no more.
    is_ended: bool,
}

impl Output<'_> {
    fn put(&mut self, runs: Vec<DigestRun>) -> Result<()> {
        for run in runs {
            match &mut self.pending {
                Some(pending) if pending.digest == run.digest => {
                    let next = pending.first.plus(pending.count)?;
                    (next == run.first).then_some(()).guaranteed("spans have no gaps")?;
                    pending.count = pending.count.plus(run.count)?;
                }
                pending => {
                    if let Some(before) = pending.replace(run)
                        && (self.each)(before).is_break()
                    {
                        self.is_ended = true;
                        return Err(Error::Cancelled);
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(self) {
        if let Some(last) = self.pending {
            // Nothing is left to be stopped.
            let _ = (self.each)(last);
        }
    }
}
