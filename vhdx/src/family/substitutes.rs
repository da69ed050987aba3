//! Finds possible substitutes for missing parents, ranks them by evidence, and formats the message.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use super::facts::FileFacts;
use super::forest::{DiscoveredDisk, DiskLink};
use super::paths::Paths;
use super::problem::Problem;
use crate::error::{Error, Result};
use crate::file::Vhdx;
use crate::progress::Progress;
use crate::quoted::Quoted;
use crate::windows_path::{StoredPath, fold_name};

/// The maximum number of substitutes that are listed for a parent.
pub const MAX_SUBSTITUTES: usize = 5;

/// Evidence for a file as a substitute.
///
/// Each kind has more weight than all later kinds together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// Both files have the same virtual disk id. Windows copies it from the parent to the child.
    VirtualDiskId,
    /// The file has the name that the child stores. It may be the parent, in a changed state.
    Name,
    /// No disk depends on the file: it is the leaf of a surviving chain.
    NoChildren,
    /// The file was not changed after the child was created.
    Older,
    /// Both disks have the same size.
    VirtualSize,
    /// Both disks have the same logical sector size. Parent and child must have the same.
    SectorSize,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Evidence::VirtualDiskId => "same virtual disk id",
            Evidence::Name => "has the stored name",
            Evidence::NoChildren => "no disk depends on it",
            Evidence::Older => "not changed since the child was created",
            Evidence::VirtualSize => "same virtual size",
            Evidence::SectorSize => "same sector size",
        })
    }
}

/// A possible substitute for a missing parent, with its evidence.
///
/// It is not the parent: it has another DataWriteGuid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Substitute {
    /// The index of the disk in the forest.
    pub disk: usize,
    /// The path of the disk.
    pub path: PathBuf,
    /// The evidence, the strongest first.
    pub evidence: Vec<Evidence>,
}

impl Substitute {
    fn has(&self, evidence: Evidence) -> bool {
        self.evidence.contains(&evidence)
    }

    /// Returns whether this may be the parent itself, in a changed state.
    fn may_be_changed_parent(&self) -> bool {
        [Evidence::VirtualDiskId, Evidence::Name, Evidence::NoChildren].into_iter().all(|one| self.has(one))
    }

    /// Returns whether this is probably the nearest surviving ancestor.
    ///
    /// It has no children, so a link to it leaves out no surviving layer. It was not changed since the child was
    /// created, so it is probably not the leaf of another branch.
    fn is_nearest_end(&self) -> bool {
        [Evidence::VirtualDiskId, Evidence::NoChildren, Evidence::Older].into_iter().all(|one| self.has(one))
    }
}

impl fmt::Display for Substitute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Quoted(&self.path))?;
        for (i, evidence) in self.evidence.iter().enumerate() {
            write!(f, "{}{evidence}", if i == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.evidence.is_empty() { "" } else { ")" })
    }
}

/// What is possible if no copy of a missing parent exists, but there are [substitutes](Substitute).
///
/// Only copies of the child and of the substitute should be linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback<'a> {
    /// This file may be the parent, but it was changed after the child was created, or it is an older copy.
    ChangedParent(&'a Path),
    /// The data of the parent is lost. This file is probably the nearest surviving ancestor.
    NearestAncestor(&'a Path),
    /// The data of the parent is lost, and a link to a substitute could leave out the data of surviving disks.
    NotRecommended,
}

/// Writes the message about a missing parent.
pub(super) fn describe(
    f: &mut fmt::Formatter<'_>,
    expected: &[Uuid],
    stored: &dyn fmt::Display,
    substitutes: &[Substitute],
) -> fmt::Result {
    match expected {
        [] => {
            return write!(
                f,
                "names no parent: its parent linkage is zero. Some merges of earlier versions leave a merged file in \
                 this state; stored paths of the parent: {stored}"
            );
        }
        [guid] => write!(f, "lacks its parent: no file here has the DataWriteGuid {guid}")?,
        [first, second, ..] => {
            write!(f, "lacks its parent: no file here has the DataWriteGuid {first} or {second}")?;
        }
    }
    write!(f, ", so this link of the chain is missing; stored paths of the parent: {stored}")?;
    for (i, substitute) in substitutes.iter().enumerate() {
        let before = if i == 0 { "; possible substitutes (none is the original):" } else { ";" };
        write!(f, "{before} {substitute}")?;
    }
    Ok(())
}

/// Returns what is possible if no copy of the missing parent exists; `None` if there is no substitute.
///
/// A substitute is recommended only if a link to it leaves out no surviving layer.
pub(super) fn fallback(substitutes: &[Substitute]) -> Option<Fallback<'_>> {
    let first = substitutes.first()?;
    let is_only = |holds: fn(&Substitute) -> bool| {
        holds(first) && substitutes.iter().filter(|one| holds(one)).count() == 1
    };
    Some(if is_only(|one| one.has(Evidence::Name)) && first.may_be_changed_parent() {
        Fallback::ChangedParent(&first.path)
    } else if is_only(Substitute::is_nearest_end) {
        Fallback::NearestAncestor(&first.path)
    } else {
        Fallback::NotRecommended
    })
}

/// Adds a problem to each disk without a parent: its place, or possible substitutes.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` asks for it.
pub(super) fn explain_lost(
    disks: &mut [DiscoveredDisk],
    paths: &Paths,
    progress: &dyn Progress,
) -> Result<()> {
    // Merged layers have a problem of their own. Their parent, the merge target, gets another GUID once it is used.
    let is_of_merge = |p: &Problem| matches!(p, Problem::Superseded { .. } | Problem::LeftOver { .. });
    let is_left = |disk: &DiscoveredDisk| disk.problems.iter().any(is_of_merge);
    let is_lost = |disk: &DiscoveredDisk| disk.link == DiskLink::Missing && !is_left(disk);
    let lost: Vec<usize> = (0..disks.len()).filter(|&i| is_lost(&disks[i])).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let places = places(disks);
    let names: Vec<Option<String>> =
        disks.iter().map(|disk| disk.facts.path.file_name().and_then(folded)).collect();
    for i in lost {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let disk = &disks[i];
        let path = disk.facts.path.clone();
        let problem = match elsewhere(&disk.facts, paths) {
            Some(parent) => Problem::ParentElsewhere { path, parent },
            None => Problem::LostParent {
                path,
                expected: disk.facts.guids_of_parent(),
                stored: disk.facts.stored_paths.clone(),
                substitutes: substitutes(disks, i, &places, &names),
            },
        };
        disks[i].problems.push(problem);
    }
    Ok(())
}

/// Returns the parent if a stored path leads to it outside the forest.
fn elsewhere(disk: &FileFacts, paths: &Paths) -> Option<PathBuf> {
    let guids = disk.guids_of_parent();
    let fits = |path: &Path| Vhdx::open(path).is_ok_and(|vhdx| guids.contains(&vhdx.data_write_guid()));
    paths.files(disk).map(|(path, _)| path).find(|path| fits(path))
}

fn folded(name: &OsStr) -> Option<String> {
    name.to_str().map(fold_name)
}

/// Returns the place of each disk in its tree.
fn places(disks: &[DiscoveredDisk]) -> Vec<Place> {
    let mut places: Vec<Place> = (0..disks.len()).map(|root| Place { root, depth: 0 }).collect();
    let mut reached: Vec<usize> = (0..disks.len()).filter(|&i| disks[i].parent.is_none()).collect();
    while let Some(i) = reached.pop() {
        let Place { root, depth } = places[i];
        for &child in &disks[i].children {
            places[child] = Place { root, depth: depth + 1 };
            reached.push(child);
        }
    }
    places
}

#[derive(Clone, Copy)]
struct Place {
    /// The disk at the root of the tree.
    root: usize,
    /// The number of ancestors in the tree.
    depth: usize,
}

/// The sort key of substitutes, the best first.
///
/// The order is by evidence, last change, depth in the surviving chain, and path. The last change counts because the
/// file that was changed last before the child was created is the nearest ancestor.
type Rank = (Reverse<Weight>, Reverse<Option<SystemTime>>, Reverse<usize>, usize);

fn substitutes(
    disks: &[DiscoveredDisk],
    child: usize,
    places: &[Place],
    names: &[Option<String>],
) -> Vec<Substitute> {
    let lost = &disks[child].facts;
    let stored: Vec<String> =
        lost.stored_paths.iter().filter_map(StoredPath::file_name).map(fold_name).collect();
    let made = lost.created.into_iter().chain(lost.modified).min();
    let mut best: Vec<Rank> = Vec::new();
    for (i, candidate) in disks.iter().enumerate() {
        // A descendant cannot be the parent.
        if places[i].root == child || !may_be_related(lost, &candidate.facts) {
            continue;
        }
        let named = names[i].as_ref().is_some_and(|name| stored.contains(name));
        let weight = weigh(lost, candidate, made, named);
        let reasons =
            Evidence::VirtualDiskId.weight() | Evidence::Name.weight() | Evidence::VirtualSize.weight();
        let rank = (Reverse(weight), Reverse(candidate.facts.modified), Reverse(places[i].depth), i);
        let has_room = best.get(MAX_SUBSTITUTES - 1).is_none_or(|worst| rank < *worst);
        if weight & reasons != 0 && has_room {
            best.insert(best.partition_point(|better| *better < rank), rank);
            best.truncate(MAX_SUBSTITUTES);
        }
    }
    let substitute = |(Reverse(weight), _, _, disk): Rank| {
        let evidence = Evidence::ALL.into_iter().filter(|one| weight & one.weight() != 0).collect();
        Substitute { disk, path: disks[disk].facts.path.clone(), evidence }
    };
    best.into_iter().map(substitute).collect()
}

/// Returns whether both can be in one family.
///
/// They have the same sector size, and their virtual disk ids are not known to differ.
fn may_be_related(lost: &FileFacts, candidate: &FileFacts) -> bool {
    let differs = lost.virtual_disk_id.zip(candidate.virtual_disk_id).is_some_and(|(a, b)| a != b);
    !differs && candidate.logical_sector_size == lost.logical_sector_size
}

/// The evidence for a candidate, one bit for each kind.
///
/// It needs no allocation, because every pair of disks may be weighed.
type Weight = u8;

impl Evidence {
    const ALL: [Self; 6] =
        [Self::VirtualDiskId, Self::Name, Self::NoChildren, Self::Older, Self::VirtualSize, Self::SectorSize];

    const fn weight(self) -> Weight {
        match self {
            Evidence::VirtualDiskId => 32,
            Evidence::Name => 16,
            Evidence::NoChildren => 8,
            Evidence::Older => 4,
            Evidence::VirtualSize => 2,
            Evidence::SectorSize => 1,
        }
    }
}

fn weigh(child: &FileFacts, candidate: &DiscoveredDisk, made: Option<SystemTime>, named: bool) -> Weight {
    let holds = |one| match one {
        Evidence::VirtualDiskId => {
            child.virtual_disk_id.is_some() && child.virtual_disk_id == candidate.facts.virtual_disk_id
        }
        Evidence::Name => named,
        Evidence::NoChildren => candidate.children.is_empty(),
        Evidence::Older => candidate.facts.modified.zip(made).is_some_and(|(changed, made)| changed <= made),
        Evidence::VirtualSize => child.virtual_size == candidate.facts.virtual_size,
        Evidence::SectorSize => child.logical_sector_size == candidate.facts.logical_sector_size,
    };
    Evidence::ALL.into_iter().filter(|&one| holds(one)).map(Evidence::weight).sum()
}
