//! Who may have been the parent, where no file is.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::paths::Paths;
use super::{DiscoveredDisk, DiskLink, Problem};
use crate::chain::error::Quoted;
use crate::chain::windows_path::{StoredPath, fold_name};
use crate::error::{Error, Result};
use crate::file::Vhdx;
use crate::progress::Progress;

/// How many likely parents are given for a child.
pub const LIKELY_PARENTS: usize = 5;

/// Something that speaks for a file as the parent; what comes first weighs more than all that comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// Both files have the same virtual disk id, which Windows hands down from parent to child.
    VirtualDiskId,
    /// The file has the name that the child stores.
    Name,
    /// Both disks have the same size.
    VirtualSize,
    /// Both disks have the same logical sector size, as parent and child must.
    SectorSize,
    /// The file was not changed after the child was made.
    Older,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Evidence::VirtualDiskId => "same virtual disk id",
            Evidence::Name => "the stored name",
            Evidence::VirtualSize => "same virtual size",
            Evidence::SectorSize => "same sector size",
            Evidence::Older => "not changed since the child was made",
        })
    }
}

/// A disk that may have been the parent before it was changed, and what speaks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LikelyParent {
    /// Its index in the forest.
    pub disk: usize,
    /// Its path.
    pub path: PathBuf,
    /// What speaks for it, the strongest first.
    pub evidence: Vec<Evidence>,
}

impl fmt::Display for LikelyParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Quoted(&self.path))?;
        for (i, evidence) in self.evidence.iter().enumerate() {
            write!(f, "{}{evidence}", if i == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.evidence.is_empty() { "" } else { ")" })
    }
}

/// Says of each disk without its parent where the parent, or who it may be.
pub(super) fn explain_lost(
    disks: &mut [DiscoveredDisk],
    paths: &Paths,
    progress: &dyn Progress,
) -> Result<()> {
    // What a merge leaves behind needs no parent once that has been used.
    let is_left =
        |disk: &DiscoveredDisk| disk.problems.iter().any(|p| matches!(p, Problem::Superseded { .. }));
    let is_lost = |disk: &DiscoveredDisk| disk.link == DiskLink::Missing && !is_left(disk);
    let lost: Vec<usize> = (0..disks.len()).filter(|&i| is_lost(&disks[i])).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let roots = roots(disks);
    let names: Vec<Option<String>> =
        disks.iter().map(|disk| disk.path.file_name().and_then(folded)).collect();
    for i in lost {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let disk = &disks[i];
        let path = disk.path.clone();
        let problem = match elsewhere(disk, paths) {
            Some(parent) => Problem::ParentElsewhere { path, parent },
            None => Problem::LostParent {
                path,
                expected: disk.linkages.clone(),
                stored: disk.stored_paths.clone(),
                likely: likely(disks, i, &roots, &names),
            },
        };
        disks[i].problems.push(problem);
    }
    Ok(())
}

/// The parent, where the stored paths lead out of the forest.
fn elsewhere(disk: &DiscoveredDisk, paths: &Paths) -> Option<PathBuf> {
    let fits =
        |path: &Path| Vhdx::open(path).is_ok_and(|vhdx| disk.linkages.contains(&vhdx.data_write_guid()));
    paths.files(disk).map(|(path, _)| path).find(|path| fits(path))
}

fn folded(name: &OsStr) -> Option<String> {
    name.to_str().map(fold_name)
}

/// For each disk, the one at the root of its tree.
fn roots(disks: &[DiscoveredDisk]) -> Vec<usize> {
    let mut roots: Vec<usize> = (0..disks.len()).collect();
    let mut rooted: Vec<usize> = roots.iter().copied().filter(|&i| disks[i].parent.is_none()).collect();
    while let Some(i) = rooted.pop() {
        for &child in &disks[i].children {
            roots[child] = roots[i];
            rooted.push(child);
        }
    }
    roots
}

fn likely(
    disks: &[DiscoveredDisk],
    child: usize,
    roots: &[usize],
    names: &[Option<String>],
) -> Vec<LikelyParent> {
    let lost = &disks[child];
    let stored: Vec<String> =
        lost.stored_paths.iter().filter_map(StoredPath::file_name).map(fold_name).collect();
    let made = lost.created.into_iter().chain(lost.modified).min();
    let mut best: Vec<(Reverse<Weight>, usize)> = Vec::new();
    for (i, candidate) in disks.iter().enumerate() {
        // A descendant cannot be the parent, and neither can a disk with other sectors.
        if roots[i] == child || candidate.logical_sector_size != lost.logical_sector_size {
            continue;
        }
        let named = names[i].as_ref().is_some_and(|name| stored.contains(name));
        let weight = weigh(lost, candidate, made, named);
        let ranked = (Reverse(weight), i);
        let has_room = best.get(LIKELY_PARENTS - 1).is_none_or(|worst| ranked < *worst);
        if weight >= Evidence::VirtualSize.weight() && has_room {
            best.insert(best.partition_point(|better| *better < ranked), ranked);
            best.truncate(LIKELY_PARENTS);
        }
    }
    let likely = |(Reverse(weight), disk): (Reverse<Weight>, usize)| {
        let evidence = Evidence::ALL.into_iter().filter(|one| weight & one.weight() != 0).collect();
        LikelyParent { disk, path: disks[disk].path.clone(), evidence }
    };
    best.into_iter().map(likely).collect()
}

/// The evidence for a candidate, a bit each. Without memory of its own, because every pair of disks may be weighed.
type Weight = u8;

impl Evidence {
    const ALL: [Self; 5] =
        [Self::VirtualDiskId, Self::Name, Self::VirtualSize, Self::SectorSize, Self::Older];

    const fn weight(self) -> Weight {
        match self {
            Evidence::VirtualDiskId => 16,
            Evidence::Name => 8,
            Evidence::VirtualSize => 4,
            Evidence::SectorSize => 2,
            Evidence::Older => 1,
        }
    }
}

fn weigh(
    child: &DiscoveredDisk,
    candidate: &DiscoveredDisk,
    made: Option<SystemTime>,
    named: bool,
) -> Weight {
    let holds = |one| match one {
        Evidence::VirtualDiskId => {
            child.virtual_disk_id.is_some() && child.virtual_disk_id == candidate.virtual_disk_id
        }
        Evidence::Name => named,
        Evidence::VirtualSize => child.virtual_size == candidate.virtual_size,
        Evidence::SectorSize => child.logical_sector_size == candidate.logical_sector_size,
        Evidence::Older => candidate.modified.zip(made).is_some_and(|(changed, made)| changed <= made),
    };
    Evidence::ALL.into_iter().filter(|&one| holds(one)).map(Evidence::weight).sum()
}
