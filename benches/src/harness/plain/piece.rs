//! Lists of the bytes that plain work reads or copies.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Result, ensure};

use crate::harness::files::data_runs;

/// The size of a piece in a list.
const RECORD: usize = 32;

/// Bytes of a source, and their place on the disk or in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The index of the source.
    pub(crate) source: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) len: u64,
}

impl Piece {
    /// Returns the part of this piece that starts after `skipped` bytes and is at most `most` bytes long.
    pub(super) fn part(&self, skipped: u64, most: u64) -> Self {
        let len = (self.len - skipped).min(most);
        Self { from: self.from + skipped, to: self.to + skipped, len, ..*self }
    }
}

/// Writes a list for [`load`]. It is binary, because a process that is timed loads it.
pub(crate) fn save(list: &Path, pieces: &[Piece]) -> Result<()> {
    let numbers = pieces.iter().flat_map(|piece| [piece.source, piece.from, piece.to, piece.len]);
    Ok(fs::write(list, numbers.flat_map(u64::to_le_bytes).collect::<Vec<u8>>())?)
}

pub(crate) fn load(list: &Path) -> Result<Vec<Piece>> {
    let bytes = fs::read(list)?;
    let (records, rest) = bytes.as_chunks::<RECORD>();
    ensure!(rest.is_empty(), "{} is not a list of pieces", list.display());
    let piece = |record: &[u8; RECORD]| {
        let (numbers, _) = record.as_chunks::<8>();
        let [source, from, to, len] = [0, 1, 2, 3].map(|at| u64::from_le_bytes(numbers[at]));
        Piece { source, from, to, len }
    };
    Ok(records.iter().map(piece).collect())
}

/// Returns the data of a file, without its holes, for the same places in a target.
pub(crate) fn data_of(file: &File) -> Result<Vec<Piece>> {
    let runs = data_runs(file)?;
    Ok(runs.into_iter().map(|(at, len)| Piece { source: 0, from: at, to: at, len }).collect())
}
