//! Finds possible substitutes for missing parents, and ranks them by evidence.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use super::facts::FileFacts;
use super::forest::{DiscoveredDisk, DiskLink};
use super::host_path::absolute;
use super::link::SHOWN;
use super::paths::{Paths, relative_on_host};
use super::problem::{Evidence, Problem, PrunedParent, Substitute};
use super::pruned_parents::PrunedFiles;
use crate::error::{Error, Result};
use crate::file::Vhdx;
use crate::progress::Progress;
use crate::storage::FileIdentity;
use crate::windows_path::{StoredPath, fold_name};

/// The maximum number of substitutes that are listed for a parent.
pub const MAX_SUBSTITUTES: usize = 5;

/// Adds a problem to each disk whose parent is missing: where the parent is, what a prune did with it, or possible
/// substitutes.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` asks for it.
pub(super) fn explain_lost(
    disks: &mut [DiscoveredDisk],
    problems: &[Problem],
    paths: &Paths,
    pruned: &PrunedFiles<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    // Merged layers have a problem of their own. Their parent, the merge target, gets another GUID once it is used.
    let is_of_merge = |p: &Problem| matches!(p, Problem::LayerOfMerge { .. } | Problem::LeftOver { .. });
    let is_left = |disk: &DiscoveredDisk| disk.problems.iter().any(is_of_merge);
    let is_lost = |disk: &DiscoveredDisk| disk.link == DiskLink::Missing && !is_left(disk);
    let lost: Vec<usize> = (0..disks.len()).filter(|&i| is_lost(&disks[i])).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let unread = UnreadParents::of(problems);
    let candidates = Candidates::of(disks);
    let found: HashSet<FileIdentity> = disks.iter().filter_map(|disk| disk.facts.identity).collect();
    let mut explained = Vec::with_capacity(lost.len());
    for i in lost {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let disk = &disks[i];
        let path = disk.facts.path.clone();
        let unidentified = unread.places_of_parent(&disk.facts);
        let pruned = || pruned.parent_of(&disk.facts).filter(|_| unidentified.is_empty());
        let problem = if let Some(parent) = elsewhere(&disk.facts, paths, &found) {
            Problem::ParentElsewhere { path, parent }
        } else if let Some(parent) = pruned() {
            let has_children = !disk.children.is_empty();
            Problem::PrunedParent { path, parent: PrunedParent { has_children, ..parent } }
        } else {
            Problem::LostParent {
                path,
                expected: disk.facts.guids_of_parent(),
                stored: disk.facts.stored_paths.clone(),
                unidentified_count: unidentified.len(),
                unidentified: unidentified.into_iter().take(SHOWN).cloned().collect(),
                substitutes: candidates.substitutes(i),
            }
        };
        explained.push((i, problem));
    }
    for (i, problem) in explained {
        disks[i].problems.push(problem);
    }
    Ok(())
}

/// Returns the parent if a stored path leads to it outside the forest. `found` are the disks of the forest.
fn elsewhere(disk: &FileFacts, paths: &Paths, found: &HashSet<FileIdentity>) -> Option<PathBuf> {
    let guids = disk.guids_of_parent();
    let fits = |path: &Path| Vhdx::open(path).is_ok_and(|vhdx| guids.contains(&vhdx.data_write_guid()));
    let outside = paths.files(disk).filter(|(_, identity)| !found.contains(identity));
    outside.map(|(path, _)| path).find(|path| fits(path))
}

/// Paths that the search could not read as disks. A missing parent may be at one of them.
struct UnreadParents<'a> {
    /// Files and folders, by their names without letter case.
    by_name: HashMap<String, Vec<&'a PathBuf>>,
    /// The same, by their absolute paths.
    by_path: HashMap<PathBuf, &'a PathBuf>,
}

impl<'a> UnreadParents<'a> {
    fn of(problems: &'a [Problem]) -> Self {
        let mut unread = Self { by_name: HashMap::new(), by_path: HashMap::new() };
        for problem in problems {
            let (Problem::Unreadable { path, .. }
            | Problem::Damaged { path, .. }
            | Problem::OtherFormat { path, .. }
            | Problem::NotARegularFile { path }) = problem
            else {
                continue;
            };
            if let Some(name) = path.file_name().and_then(folded) {
                unread.by_name.entry(name).or_default().push(path);
            }
            unread.by_path.insert(absolute(path), path);
        }
        unread
    }

    /// Returns the files with a stored name of the parent, and the folders in which a stored path leads to it.
    fn places_of_parent(&self, child: &FileFacts) -> Vec<&'a PathBuf> {
        let files = stored_names(child).into_iter().filter_map(|name| self.by_name.get(&name)).flatten();
        let on_host = child.stored_paths.iter().filter_map(|stored| relative_on_host(&child.path, stored));
        let folders: BTreeSet<&PathBuf> =
            on_host.filter_map(|path| self.by_path.get(path.parent()?).copied()).collect();
        files.copied().chain(folders).collect()
    }
}

/// Returns the names that a disk stores for its parent, without letter case.
fn stored_names(disk: &FileFacts) -> BTreeSet<String> {
    disk.stored_paths.iter().filter_map(StoredPath::file_name).map(fold_name).collect()
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

/// The disks that may stand for a missing parent.
struct Candidates<'a> {
    disks: &'a [DiscoveredDisk],
    places: Vec<Place>,
    /// The names of the files, without letter case.
    names: Vec<Option<String>>,
    /// The disks by their VirtualDiskId. `None` has those that could have any.
    by_id: HashMap<Option<Uuid>, Vec<usize>>,
}

impl<'a> Candidates<'a> {
    fn of(disks: &'a [DiscoveredDisk]) -> Self {
        let names = disks.iter().map(|disk| disk.facts.path.file_name().and_then(folded)).collect();
        let mut by_id: HashMap<Option<Uuid>, Vec<usize>> = HashMap::new();
        for (i, disk) in disks.iter().enumerate() {
            by_id.entry(disk.facts.virtual_disk_id).or_default().push(i);
        }
        Self { disks, places: places(disks), names, by_id }
    }

    /// Returns the disks that may be of the family of a disk: their ids are not known to differ.
    fn related_to(&self, lost: &FileFacts) -> impl Iterator<Item = usize> {
        let with = |id: Option<Uuid>| self.by_id.get(&id).into_iter().flatten().copied();
        let has_id = lost.virtual_disk_id.is_some();
        let all = (0..self.disks.len()).filter(move |_| !has_id);
        let known = [lost.virtual_disk_id, None].into_iter().filter(move |_| has_id);
        known.flat_map(with).chain(all)
    }

    fn substitutes(&self, child: usize) -> Vec<Substitute> {
        let lost = &self.disks[child].facts;
        let stored = stored_names(lost);
        let made = lost.created.into_iter().chain(lost.modified).min();
        let mut best: Vec<Rank> = Vec::new();
        for i in self.related_to(lost) {
            let candidate = &self.disks[i];
            // A descendant cannot be the parent.
            let is_descendant = self.places[i].root == child;
            if is_descendant || candidate.facts.logical_sector_size != lost.logical_sector_size {
                continue;
            }
            let named = self.names[i].as_ref().is_some_and(|name| stored.contains(name));
            let weight = weigh(lost, candidate, made, named);
            let reasons =
                Evidence::VirtualDiskId.weight() | Evidence::Name.weight() | Evidence::VirtualSize.weight();
            let rank = (Reverse(weight), Reverse(candidate.facts.modified), Reverse(self.places[i].depth), i);
            let has_room = best.get(MAX_SUBSTITUTES - 1).is_none_or(|worst| rank < *worst);
            if weight & reasons != 0 && has_room {
                best.insert(best.partition_point(|better| *better < rank), rank);
                best.truncate(MAX_SUBSTITUTES);
            }
        }
        let substitute = |(Reverse(weight), _, _, disk): Rank| {
            let evidence = Evidence::ALL.into_iter().filter(|one| weight & one.weight() != 0).collect();
            Substitute { disk, path: self.disks[disk].facts.path.clone(), evidence }
        };
        best.into_iter().map(substitute).collect()
    }
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
