//! The space that the host must have for a merge: upper bounds, less known holes in the target.
//!
//! Upper bounds saturate: what no host has room for may take any larger number.

use std::path::{Path, PathBuf};

use super::files::MergeFiles;
use super::space_count::Unwritten;
use super::state::FileState;
use crate::error::{Bounded, Result};

/// The space that one file system must have free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// A file that lies there.
    pub(super) path: PathBuf,
    volume: Option<u64>,
    pub(super) bytes: u64,
}

/// The most space that the files of a merge take on one file system.
pub(in crate::ops) struct VolumeNeed<'a> {
    /// A file that lies there.
    pub(in crate::ops) path: &'a Path,
    /// The file system, if it is known.
    pub(in crate::ops) volume: Option<u64>,
    pub(in crate::ops) bytes: u64,
}

/// The bytes that are written to the places of the target's blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) grown: u64,
    pub(super) overwritten: u64,
    pub(super) unwritten: Unwritten,
}

impl Content {
    /// Returns the most space that the content takes.
    fn most(&self) -> u64 {
        // An upper bound may be any larger number.
        self.grown.saturating_add(self.overwritten)
    }

    /// Returns the most space that the content takes in a file that is known to have only `holes` bytes of holes.
    ///
    /// Bytes that are not written stay holes, and the overwritten bytes take at most `holes`: the host may also report
    /// reserved space as a hole.
    fn most_with(&self, holes: u64) -> Result<u64> {
        let overwritten = self.overwritten.minus(self.unwritten.in_holes)?;
        self.grown.minus(self.unwritten.grown)?.plus(overwritten.min(holes))
    }
}

/// The space that the file systems of a merge must have free.
///
/// The first one is that of the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) all: Vec<Need>,
    /// The content of the target, for which the first file system needs space besides.
    pub(super) content: Content,
    /// Whether an earlier run has begun the merge.
    ///
    /// There was space for everything then. The space that it has taken besides the content is not counted again.
    pub(super) has_begun: bool,
    /// Whether to merge although there is too little space.
    pub(super) is_ignored: bool,
}

impl Needs {
    /// Adds a file. If its file system is unknown, it counts for that of the target.
    pub(super) fn add(&mut self, file: &FileState, bytes: u64) {
        let volume = file.identity.map(|identity| identity.volume());
        let place = match volume {
            Some(_) => self.all.iter().position(|need| need.volume == volume),
            None => (!self.all.is_empty()).then_some(0),
        };
        match place.and_then(|place| self.all.get_mut(place)) {
            // An upper bound may be any larger number.
            Some(need) => need.bytes = need.bytes.saturating_add(bytes),
            None => self.all.push(Need { path: file.path.clone(), volume, bytes }),
        }
    }

    /// Returns what each file system must have free at most, with a file that lies there.
    pub(super) fn by_volume(&self, files: &dyn MergeFiles) -> Result<Vec<VolumeNeed<'_>>> {
        let needs = self.all.iter().enumerate().map(|(i, need)| {
            Ok(VolumeNeed { path: &need.path, volume: need.volume, bytes: self.bytes(i, need, files)? })
        });
        needs.collect()
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    fn bytes(&self, i: usize, need: &Need, files: &dyn MergeFiles) -> Result<u64> {
        // A file system that copies on write frees overwritten space only afterwards, if at all.
        let is_in_place = files.overwrites_in_place(&need.path)?;
        let besides = if self.has_begun && is_in_place { 0 } else { need.bytes };
        let holes = if is_in_place { files.holes(&need.path)? } else { None };
        let content = match holes {
            _ if i != 0 => 0,
            None => self.content.most(),
            Some(holes) => self.content.most_with(holes)?,
        };
        // An upper bound may be any larger number.
        Ok(besides.saturating_add(content))
    }

    pub(super) fn total(&self) -> u64 {
        // An upper bound may be any larger number.
        self.all.iter().fold(self.content.most(), |sum, need| sum.saturating_add(need.bytes))
    }
}
