//! Disks that may stand in for a parent that is missing.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use super::forest::{DiscoveredDisk, DiskLink};
use super::paths::Paths;
use super::problem::Problem;
use crate::error::{Error, Result};
use crate::file::Vhdx;
use crate::progress::Progress;
use crate::quoted::Quoted;
use crate::windows_path::{StoredPath, fold_name};

/// How many possible substitutes are listed for a parent.
pub const MAX_SUBSTITUTES: usize = 5;

/// Something that speaks for a file as a substitute. The first weighs more than all others together, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// Both files have the same virtual disk id, which Windows hands down from parent to child.
    VirtualDiskId,
    /// The file has the name that the child stores: it may be the parent, changed since.
    Name,
    /// No disk depends on the file: it is an end of the chain that survives.
    NoChildren,
    /// The file was not changed after the child was made.
    Older,
    /// Both disks have the same size.
    VirtualSize,
    /// Both disks have the same logical sector size, as parent and child must.
    SectorSize,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Evidence::VirtualDiskId => "same virtual disk id",
            Evidence::Name => "the stored name",
            Evidence::NoChildren => "no disk depends on it",
            Evidence::Older => "not changed since the child was made",
            Evidence::VirtualSize => "same virtual size",
            Evidence::SectorSize => "same sector size",
        })
    }
}

/// A disk that may stand in for a missing parent, and what speaks for it. It is not the parent: its DataWriteGuid is
/// another one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Substitute {
    /// Its index in the forest.
    pub disk: usize,
    /// Its path.
    pub path: PathBuf,
    /// What speaks for it, the strongest first.
    pub evidence: Vec<Evidence>,
}

impl Substitute {
    fn has(&self, evidence: Evidence) -> bool {
        self.evidence.contains(&evidence)
    }

    /// Whether it may be the parent itself, which was changed.
    fn may_be_changed_parent(&self) -> bool {
        [Evidence::VirtualDiskId, Evidence::Name, Evidence::NoChildren].into_iter().all(|one| self.has(one))
    }

    /// Whether nothing that survives would be left out: the disk is an end of its chain, and not another branch.
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

/// Writes what is known of a parent that is missing.
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
                "names no parent any more, as a merge leaves what it has merged; it was {stored}"
            );
        }
        [guid] => write!(f, "has no parent here: no file has the DataWriteGuid {guid}")?,
        [first, second, ..] => {
            write!(f, "has no parent here: no file has the DataWriteGuid {first} or {second}")?;
        }
    }
    write!(f, "; it was {stored}; this link of the chain is missing")?;
    for (i, substitute) in substitutes.iter().enumerate() {
        let before = if i == 0 { "; possible substitutes (none is the original):" } else { ";" };
        write!(f, "{before} {substitute}")?;
    }
    Ok(())
}

/// Returns what can be done. Only a disk that leaves out nothing that survives is recommended.
pub(super) fn fix(substitutes: &[Substitute]) -> String {
    let find = "find an unchanged copy of the missing parent, in more folders or in a backup; where the child does not find it \
                then, reparent it";
    let Some(first) = substitutes.first() else { return find.to_owned() };
    let is_only = |holds: fn(&Substitute) -> bool| {
        holds(first) && substitutes.iter().filter(|one| holds(one)).count() == 1
    };
    let path = Quoted(&first.path);
    if is_only(|one| one.has(Evidence::Name)) && first.may_be_changed_parent() {
        return format!(
            "{find}. If no copy exists: {path} may be the parent, but it was changed after the child was made. Data that the child \
             does not hold may be wrong. Work only on copies of both files"
        );
    }
    if is_only(Substitute::is_nearest_end) {
        return format!(
            "{find}. If no copy exists, what the missing file held is lost: {path} is the nearest end of the chain that survives, \
             and only good for rescuing files from copies of these disks"
        );
    }
    format!(
        "{find}. If no copy exists, what the missing file held is lost, and no substitute can be recommended: with one that other \
         disks depend on, their content is lost, too"
    )
}

/// Reports for each disk without its parent where the parent is, or what may stand in for it.
pub(super) fn explain_lost(
    disks: &mut [DiscoveredDisk],
    paths: &Paths,
    progress: &dyn Progress,
) -> Result<()> {
    // What a merge leaves behind needs no parent once that has been used.
    let is_of_merge = |p: &Problem| matches!(p, Problem::Superseded { .. } | Problem::LeftOver { .. });
    let is_left = |disk: &DiscoveredDisk| disk.problems.iter().any(is_of_merge);
    let is_lost = |disk: &DiscoveredDisk| disk.link == DiskLink::Missing && !is_left(disk);
    let lost: Vec<usize> = (0..disks.len()).filter(|&i| is_lost(&disks[i])).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let places = places(disks);
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
                substitutes: substitutes(disks, i, &places, &names),
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

/// For each disk, its place in its tree.
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
    /// How many ancestors the disk has in the tree.
    depth: usize,
}

/// By which substitutes are sorted, the best first: the evidence; the last change, because the file that was changed
/// last before the child was made is the nearest to it; the depth in the chain that survives; the path.
type Rank = (Reverse<Weight>, Reverse<Option<SystemTime>>, Reverse<usize>, usize);

fn substitutes(
    disks: &[DiscoveredDisk],
    child: usize,
    places: &[Place],
    names: &[Option<String>],
) -> Vec<Substitute> {
    let lost = &disks[child];
    let stored: Vec<String> =
        lost.stored_paths.iter().filter_map(StoredPath::file_name).map(fold_name).collect();
    let made = lost.created.into_iter().chain(lost.modified).min();
    let mut best: Vec<Rank> = Vec::new();
    for (i, candidate) in disks.iter().enumerate() {
        // A descendant cannot be the parent.
        if places[i].root == child || !may_be_related(lost, candidate) {
            continue;
        }
        let named = names[i].as_ref().is_some_and(|name| stored.contains(name));
        let weight = weigh(lost, candidate, made, named);
        let reasons =
            Evidence::VirtualDiskId.weight() | Evidence::Name.weight() | Evidence::VirtualSize.weight();
        let rank = (Reverse(weight), Reverse(candidate.modified), Reverse(places[i].depth), i);
        let has_room = best.get(MAX_SUBSTITUTES - 1).is_none_or(|worst| rank < *worst);
        if weight & reasons != 0 && has_room {
            best.insert(best.partition_point(|better| *better < rank), rank);
            best.truncate(MAX_SUBSTITUTES);
        }
    }
    let substitute = |(Reverse(weight), _, _, disk): Rank| {
        let evidence = Evidence::ALL.into_iter().filter(|one| weight & one.weight() != 0).collect();
        Substitute { disk, path: disks[disk].path.clone(), evidence }
    };
    best.into_iter().map(substitute).collect()
}

/// Whether both can be files of one family: their sectors are the same, and their virtual disk ids are not known to differ.
fn may_be_related(lost: &DiscoveredDisk, candidate: &DiscoveredDisk) -> bool {
    let differs = lost.virtual_disk_id.zip(candidate.virtual_disk_id).is_some_and(|(a, b)| a != b);
    !differs && candidate.logical_sector_size == lost.logical_sector_size
}

/// The evidence for a candidate, a bit each. Without memory of its own, because every pair of disks may be weighed.
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
        Evidence::NoChildren => candidate.children.is_empty(),
        Evidence::Older => candidate.modified.zip(made).is_some_and(|(changed, made)| changed <= made),
        Evidence::VirtualSize => child.virtual_size == candidate.virtual_size,
        Evidence::SectorSize => child.logical_sector_size == candidate.logical_sector_size,
    };
    Evidence::ALL.into_iter().filter(|&one| holds(one)).map(Evidence::weight).sum()
}
