//! Operations on a file, and their effect if only a part of them reaches the medium.

use std::fmt;

use crate::random::Random;
use crate::sparse::{Patch, SparseImage};

/// The unit in bytes that the medium writes as a whole.
pub(super) const SECTOR: u64 = 512;
/// The most sectors of an operation that may be torn at more than one point.
const SCATTERED: u64 = 4096;

/// An operation that changes a file.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Write(Patch),
    /// Zeros, which may make the file longer.
    Zero {
        offset: u64,
        len: u64,
    },
    /// Zeros within the file.
    Punch {
        offset: u64,
        len: u64,
    },
    SetLen(u64),
    Remove,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Write(patch) => write!(f, "write {:#x}+{:#x}", patch.offset(), patch.len()),
            Operation::Zero { offset, len } => write!(f, "zero {offset:#x}+{len:#x}"),
            Operation::Punch { offset, len } => write!(f, "punch {offset:#x}+{len:#x}"),
            Operation::SetLen(len) => write!(f, "set_len {len:#x}"),
            Operation::Remove => write!(f, "remove"),
        }
    }
}

/// The part of an operation that reaches the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Dropped,
    /// The file grows, but does not get the bytes.
    GrowsOnly,
    /// `count` sectors from `first` on, counted from the start of the operation.
    Sectors {
        first: u64,
        count: u64,
    },
    /// All sectors but this one.
    Without(u64),
    /// About half of the sectors.
    Scattered(u64),
    /// Everything, but with random bytes in this sector.
    Garbled {
        sector: u64,
        seed: u64,
    },
}

impl Operation {
    /// Returns the number of sectors that it touches.
    ///
    /// It may touch the first and the last in part.
    fn sectors(&self) -> u64 {
        let (start, end) = self.range();
        end.div_ceil(SECTOR) - start / SECTOR
    }

    fn range(&self) -> (u64, u64) {
        match self {
            Operation::Write(patch) => (patch.offset(), patch.offset() + patch.len()),
            Operation::Zero { offset, len } | Operation::Punch { offset, len } => (*offset, offset + len),
            Operation::SetLen(_) | Operation::Remove => (0, 0),
        }
    }

    /// Chooses a way to tear the operation, if there is one.
    ///
    /// It garbles a sector only if `garbles` is set.
    pub(super) fn tear(&self, random: &mut Random, garbles: bool) -> Option<Fate> {
        let sectors = self.sectors();
        let below =
            |random: &mut Random, bound: u64| random.below(usize::try_from(bound).unwrap_or(1)) as u64;
        if garbles && matches!(self, Operation::Write(_)) && sectors > 0 && random.below(3) == 0 {
            return Some(Fate::Garbled { sector: below(random, sectors), seed: random.number() });
        }
        if sectors < 2 {
            return (sectors > 0).then_some(Fate::GrowsOnly);
        }
        let cut = 1 + below(random, sectors - 1);
        Some(match random.below(if sectors <= SCATTERED { 7 } else { 4 }) {
            0 => Fate::Sectors { first: 0, count: cut },
            1 => Fate::Sectors { first: cut, count: sectors - cut },
            2 => Fate::GrowsOnly,
            3 => Fate::Sectors { first: 0, count: [1, sectors - 1][random.below(2)] },
            4 => Fate::Without(below(random, sectors)),
            5 => Fate::Sectors { first: below(random, sectors), count: 1 },
            _ => Fate::Scattered(random.number()),
        })
    }

    /// Applies the part of the operation that `fate` selects.
    pub(super) fn apply(&self, image: &mut SparseImage, fate: Fate) {
        let sectors = self.sectors();
        match fate {
            Fate::Dropped => {}
            Fate::Kept => self.apply_all(image),
            Fate::GrowsOnly => {
                if matches!(self, Operation::Write(_) | Operation::Zero { .. }) {
                    image.set_len(image.size().max(self.range().1));
                }
            }
            Fate::Sectors { first, count } => self.apply_sectors(image, first, count),
            Fate::Without(lost) => {
                self.apply_sectors(image, 0, lost);
                self.apply_sectors(image, lost + 1, sectors - lost - 1);
            }
            Fate::Scattered(seed) => {
                let mut random = Random::new(seed);
                for sector in (0..sectors).filter(|_| random.below(2) == 0) {
                    self.apply_sectors(image, sector, 1);
                }
            }
            Fate::Garbled { sector, seed } => {
                self.apply_all(image);
                let (start, end) = self.range();
                let from = (start / SECTOR + sector) * SECTOR;
                let (from, to) = (from.max(start), (from + SECTOR).min(end));
                image.write(from, &Random::new(seed).bytes((to - from) as usize));
            }
        }
    }

    fn apply_all(&self, image: &mut SparseImage) {
        match self {
            Operation::Write(patch) => image.apply(patch),
            Operation::Zero { offset, len } => {
                if *len > 0 {
                    image.set_len(image.size().max(offset + len));
                }
                image.zero(*offset, *len);
            }
            Operation::Punch { offset, len } => image.zero(*offset, *len),
            Operation::SetLen(len) => image.set_len(*len),
            Operation::Remove => {}
        }
    }

    fn apply_sectors(&self, image: &mut SparseImage, first: u64, count: u64) {
        let (start, end) = self.range();
        let from = start / SECTOR + first;
        let (from, to) = ((from * SECTOR).max(start), ((from + count) * SECTOR).min(end));
        if from < to {
            match self {
                Operation::Write(patch) => image.apply(&patch.part(from, to)),
                Operation::Zero { .. } => Operation::Zero { offset: from, len: to - from }.apply_all(image),
                _ => Operation::Punch { offset: from, len: to - from }.apply_all(image),
            }
        }
    }
}
