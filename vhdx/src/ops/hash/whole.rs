//! Computes one digest of all bytes of a disk.

use std::io;
use std::ops::Range;

use blake3::hazmat::{ChainingValue, HasherExt};

use super::content::{Reader, ZEROS};
use super::digest::{Digest, HashAlgorithm, Hasher};
use super::tree::Tree;
use crate::disk::Disk;
use crate::error::{Bounded, Result, Times};
use crate::ops::convert::to_stream;
use crate::progress::Progress;
use crate::transfer::{Content, Jobs, Workers, announce_range, announced, in_order};
use crate::units::{DiskOffset, at_most};

/// Returns the digest of all bytes that a guest would read from a disk, zeros too. `progress` counts all of them.
///
/// Several threads read, and compute BLAKE3. SHA-256 has no parts that can be computed separately, so one thread
/// computes it. Zeros that no file holds are not read, but both functions need the time to hash them: the place of a
/// byte changes its part of the digest, so no result can be used twice. [`hash_blocks`](super::hash_blocks) needs no
/// time for them.
///
/// # Errors
/// As [`Disk::validate_placement`] before anything is read, those of reading the disk, as [`Disk::ensure_unchanged`]
/// at the end, and [`Error::Cancelled`](crate::Error::Cancelled).
///
/// # Examples
/// ```no_run
/// use vhdx::ops::{HashAlgorithm, hash};
/// use vhdx::{Chain, FolderResolver, Jobs, NoProgress};
///
/// # fn main() -> vhdx::Result<()> {
/// let chain = Chain::open("checkpoint.avhdx", &FolderResolver::default())?;
/// println!("{}", hash(&chain, HashAlgorithm::Blake3, Jobs::default(), &NoProgress)?);
/// # Ok(())
/// # }
/// ```
pub fn hash(
    disk: &dyn Disk,
    algorithm: HashAlgorithm,
    jobs: Jobs,
    progress: &dyn Progress,
) -> Result<Digest> {
    let workers = Workers::new(jobs, &disk.hint(), 1);
    match algorithm {
        HashAlgorithm::Blake3 if disk.virtual_size() > workers.batch as u64 => {
            in_parts(Reader { disk, workers, progress })
        }
        HashAlgorithm::Blake3 | HashAlgorithm::Sha256 => {
            let mut stream = Stream(Hasher::new(algorithm));
            to_stream(disk, &mut stream, jobs, progress)?;
            Ok(stream.0.finish())
        }
    }
}

struct Stream(Hasher);

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the BLAKE3 digest of a disk that is longer than one part.
fn in_parts(reader: Reader<'_>) -> Result<Digest> {
    let Reader { disk, workers, progress } = reader;
    disk.validate_placement()?;
    let size = disk.virtual_size();
    progress.start(size);
    let part = workers.batch as u64; // a power of two
    let parts = (0..size.div_ceil(part)).map(|number| {
        let start = number.times(part)?;
        Ok(DiskOffset::new(start)..DiskOffset::new(start.plus(part)?.min(size)))
    });
    let parts = announced(parts, |range: &Range<DiskOffset>| announce_range(disk, range.clone()));
    let mut tree = Tree::default();
    let work = |range, buffer: &mut [u8]| chaining_value(&reader, range, buffer);
    in_order(workers, parts, progress, work, |part, _| tree.push(part))?;
    disk.ensure_unchanged()?;
    tree.finish()
}

fn chaining_value(reader: &Reader<'_>, range: Range<DiskOffset>, buffer: &mut [u8]) -> Result<ChainingValue> {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(range.start.get());
    reader.each(range.clone(), buffer, |content| {
        match content {
            Content::Bytes(bytes) => {
                hasher.update(bytes);
            }
            Content::Zeros(mut left) => {
                while left > 0 {
                    let now = at_most(left, ZEROS.len());
                    hasher.update(&ZEROS[..now]);
                    left -= now as u64; // not more than what is left
                }
            }
        }
        Ok(())
    })?;
    reader.progress.advance(range.end.minus(range.start)?);
    Ok(hasher.finalize_non_root())
}
