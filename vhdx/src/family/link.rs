//! Links the disks of a forest to their parents by DataWriteGuid ([MS-VHDX] 2.6.2.6.3), and checks the links.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::PathBuf;

use uuid::Uuid;

use super::copy_groups::Copies;
use super::facts::FileFacts;
use super::forest::{DiscoveredDisk, DiskLink};
use super::merges;
use super::paths::{self, Paths};
use super::problem::Problem;
use crate::disk::MAX_CHAIN_LENGTH;
use crate::disk::mark::prefers_second;
use crate::error::Result;
use crate::progress::Progress;
use crate::storage::FileIdentity;

/// The maximum number of files that a problem names.
pub(super) const SHOWN: usize = 8;

/// The disks with each DataWriteGuid. Zero is not included, because it identifies no content.
type Holders = HashMap<Uuid, Vec<usize>>;

fn holders(disks: &[DiscoveredDisk]) -> Holders {
    let mut holders = Holders::new();
    for (i, disk) in disks.iter().enumerate().filter(|(_, disk)| !disk.facts.data_write_guid.is_nil()) {
        holders.entry(disk.facts.data_write_guid).or_default().push(i);
    }
    holders
}

/// Sets the parent, the children and the link of each disk.
///
/// # Errors
/// [`Error::Cancelled`](crate::Error::Cancelled) if `progress` asks for it.
pub(super) fn link(disks: &mut [DiscoveredDisk], paths: &Paths, progress: &dyn Progress) -> Result<()> {
    let holders = holders(disks);
    let identities: HashMap<FileIdentity, usize> =
        disks.iter().enumerate().filter_map(|(i, disk)| Some((disk.facts.identity?, i))).collect();
    let by_identity = |identity| identities.get(&identity).copied();
    let mut copies = Copies::new(progress);
    for i in 0..disks.len() {
        if disks[i].link != DiskLink::Base {
            choose_parent(disks, i, &holders, by_identity, paths, &mut copies)?;
        }
    }
    break_cycles(disks);
    for i in 0..disks.len() {
        if let Some(parent) = disks[i].parent {
            disks[parent].children.push(i);
        }
    }
    Ok(())
}

/// Sets the parent and the link of a disk that needs a parent.
///
/// The rules are those of [`FolderResolver`](crate::FolderResolver): if both linkages name files, the file at the
/// stored relative path decides, then [`prefers_second`]. Several files with the chosen GUID must be proven to be
/// copies, unless a stored path leads to one of them.
fn choose_parent(
    disks: &mut [DiscoveredDisk],
    child: usize,
    holders: &Holders,
    by_identity: impl Fn(FileIdentity) -> Option<usize>,
    paths: &Paths,
    copies: &mut Copies<'_>,
) -> Result<()> {
    let disk = &disks[child];
    let holding = |guid: &Uuid| holders.get(guid).into_iter().flatten().copied();
    let others = |guid: &Uuid| holding(guid).filter(|&holder| holder != child);
    let answered: Vec<Uuid> =
        disk.facts.guids_of_parent().into_iter().filter(|guid| others(guid).next().is_some()).collect();
    let stands_for = |identity, guids: &[Uuid]| {
        by_identity(identity).filter(|&i| i != child && guids.contains(&disks[i].facts.data_write_guid))
    };
    let in_place = match answered[..] {
        [_, _] => paths::in_place(&disk.facts).find_map(|identity| stands_for(identity, &answered)),
        _ => None,
    };
    let own = |i: usize| (disks[i].link == DiskLink::Base, disks[i].facts.guids_of_parent());
    let meant = match answered[..] {
        [first, second] => {
            let have_same_parent = others(&second).any(|i| others(&first).any(|j| own(i) == own(j)));
            Some(if prefers_second(disk.facts.linkages(), have_same_parent) { second } else { first })
        }
        _ => answered.first().copied(),
    };
    let guid = in_place.map(|i| disks[i].facts.data_write_guid).or(meant);
    let parent = match guid {
        // If only the child itself has the GUID, it is its own parent: a cycle.
        None => disk.facts.guids_of_parent().iter().flat_map(holding).next(),
        Some(guid) if others(&guid).nth(1).is_none() => others(&guid).next(),
        Some(guid) => {
            let stored = paths.files(&disk.facts).find_map(|(_, identity)| stands_for(identity, &[guid]));
            match in_place.or(stored) {
                Some(parent) => Some(parent),
                None => any_copy(disks, child, others(&guid), copies)?,
            }
        }
    };
    disks[child].link = match (parent, guid) {
        (Some(_), _) => DiskLink::Ok,
        (None, None) => DiskLink::Missing,
        (None, Some(guid)) => {
            let (parents, count) = (shown(disks, others(&guid)), others(&guid).count());
            let path = disks[child].facts.path.clone();
            disks[child].problems.push(Problem::AmbiguousParent { path, parents, count });
            DiskLink::Ambiguous
        }
    };
    disks[child].parent = parent;
    Ok(())
}

/// Returns one of several files with the same GUID if all are proven to be copies.
///
/// Any copy can be the parent. One in the folder of the child is preferred, then the first.
fn any_copy(
    disks: &[DiscoveredDisk],
    child: usize,
    holders: impl Iterator<Item = usize> + Clone,
    copies: &mut Copies<'_>,
) -> Result<Option<usize>> {
    let Some(first) = holders.clone().next() else { return Ok(None) };
    for other in holders.clone().skip(1) {
        if !copies.are_proven(disks, first, other)? {
            return Ok(None);
        }
    }
    let beside = |&i: &usize| disks[i].facts.path.parent() == disks[child].facts.path.parent();
    Ok(holders.clone().find(beside).or(Some(first)))
}

fn shown(disks: &[DiscoveredDisk], indices: impl Iterator<Item = usize>) -> Vec<PathBuf> {
    indices.take(SHOWN).map(|i| disks[i].facts.path.clone()).collect()
}

/// Unlinks the disks that are their own ancestors. Their other descendants stay linked.
fn break_cycles(disks: &mut [DiscoveredDisk]) {
    let mut walk_of = vec![usize::MAX; disks.len()];
    for start in 0..disks.len() {
        let mut at = Some(start);
        while let Some(i) = at.filter(|&i| walk_of[i] == usize::MAX) {
            walk_of[i] = start;
            at = disks[i].parent;
        }
        // A walk that returns to a disk of its own has found a cycle. The loop unlinks each disk of the cycle once.
        while let Some(i) = at.filter(|&i| walk_of[i] == start) {
            at = disks[i].parent.take();
            if let Some(parent) = at {
                let problem = Problem::Cycle {
                    path: disks[i].facts.path.clone(),
                    parent: disks[parent].facts.path.clone(),
                };
                disks[i].problems.push(problem);
                disks[i].link = DiskLink::Cycle;
            }
        }
    }
}

/// Adds the problems of all links to the disks, once the links are set.
pub(super) fn check_links(disks: &mut [DiscoveredDisk], paths: &Paths) {
    for indices in holders(disks).into_values().filter(|indices| indices.len() > 1) {
        let first = indices[0];
        let others = shown(disks, indices.iter().copied().skip(1));
        let (path, guid, count) =
            (disks[first].facts.path.clone(), disks[first].facts.data_write_guid, indices.len() - 1);
        disks[first].problems.push(Problem::DuplicateGuid { path, guid, others, count });
    }
    for i in 0..disks.len() {
        if let Some(parent) = disks[i].parent {
            let problems = link_problems(disks, &disks[i], &disks[parent], paths);
            disks[i].problems.extend(problems);
        }
        if let Some(problem) = merges::problem(disks, i) {
            disks[i].problems.push(problem);
        }
    }
    forget_stale_paths_of_left_overs(disks);
    for i in too_deep(disks) {
        let problem = Problem::TooDeep { path: disks[i].facts.path.clone(), limit: MAX_CHAIN_LENGTH };
        disks[i].problems.push(problem);
    }
}

fn link_problems(
    disks: &[DiscoveredDisk],
    child: &DiscoveredDisk,
    parent: &DiscoveredDisk,
    paths: &Paths,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if child.facts.logical_sector_size != parent.facts.logical_sector_size {
        problems.push(Problem::SectorSize {
            path: child.facts.path.clone(),
            parent: parent.facts.path.clone(),
            child_size: child.facts.logical_sector_size,
            parent_size: parent.facts.logical_sector_size,
        });
    }
    let leads_to_parent = |(_, identity)| Some(identity) == parent.facts.identity;
    if !is_beside(&child.facts, &parent.facts) && !paths.files(&child.facts).any(leads_to_parent) {
        problems.push(Problem::StalePath {
            path: child.facts.path.clone(),
            parent: parent.facts.path.clone(),
            stored: child.facts.stored_paths.clone(),
            parent_opens: merges::opens(disks, parent),
            configuration: None,
        });
    }
    problems
}

/// Returns whether the parent is beside the child and has a stored name: by far the most frequent route.
fn is_beside(child: &FileFacts, parent: &FileFacts) -> bool {
    let name = parent.path.file_name();
    child.path.parent() == parent.path.parent()
        && child.stored_paths.iter().any(|stored| stored.file_name().map(OsStr::new) == name)
}

/// Removes the problem of a stale path from files that are no longer needed: they are to be deleted, not relinked.
fn forget_stale_paths_of_left_overs(disks: &mut [DiscoveredDisk]) {
    let layers = disks.iter().flat_map(|disk| &disk.problems).filter_map(|problem| match problem {
        Problem::LeftOver { layers, .. } => Some(layers),
        _ => None,
    });
    let left_over: HashSet<PathBuf> = layers.flatten().cloned().collect();
    for disk in disks.iter_mut().filter(|disk| left_over.contains(&disk.facts.path)) {
        disk.problems.retain(|problem| !matches!(problem, Problem::StalePath { .. }));
    }
}

/// Returns the disks whose parent is the last file of a chain of the maximum length.
fn too_deep(disks: &[DiscoveredDisk]) -> Vec<usize> {
    let mut level: Vec<usize> = (0..disks.len()).filter(|&i| disks[i].parent.is_none()).collect();
    for _ in 0..MAX_CHAIN_LENGTH {
        level = level.iter().flat_map(|&i| &disks[i].children).copied().collect();
    }
    level
}
