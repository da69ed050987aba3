//! Finds out from the records of prunes why a parent is missing: a prune has merged, deleted or changed it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use uuid::Uuid;

use super::facts::FileFacts;
use super::forest::{DiscoveredDisk, DiskLink};
use super::paths::{absolute, relative_on_host};
use super::problem::{PrunedParent, TargetContent};
use super::prune_record::on_host;
use super::prune_records::{FoundRecord, PruneRecords, TargetState};

/// The files of a forest that prunes have merged, deleted or changed.
pub(super) struct PrunedFiles<'a> {
    by_guid: HashMap<Uuid, PrunedFile<'a>>,
    /// Deleted files, by their absolute paths.
    by_path: HashMap<PathBuf, PrunedFile<'a>>,
}

/// A file that a prune has merged, deleted or changed.
#[derive(Clone, Copy)]
struct PrunedFile<'a> {
    found: &'a FoundRecord,
    /// The path in the record; `None` for the target itself, whose content the merge changed.
    path: Option<&'a str>,
    /// Whether the target reads exactly as this file did.
    is_content_of_target: bool,
    /// Whether the target got the state of this file, in this merge or in an earlier one.
    has_moved: bool,
}

impl PrunedFile<'_> {
    fn path(&self) -> PathBuf {
        match self.path {
            Some(path) => on_host(&self.found.path, path),
            None => self.found.path.clone(),
        }
    }
}

impl<'a> PrunedFiles<'a> {
    /// Returns the files that records name. If several records name one, that of the latest prune counts.
    pub(super) fn of(records: &'a PruneRecords, disks: &[DiscoveredDisk]) -> Self {
        let mut files = Self { by_guid: HashMap::new(), by_path: HashMap::new() };
        for (target, found) in records.latest_first() {
            let file = |path| PrunedFile { found, path, is_content_of_target: false, has_moved: false };
            let is_unchanged = found.state == TargetState::AsMerged && is_whole(disks, target);
            for (number, (guid, path)) in found.record.merged_files().enumerate() {
                let is_content_of_target = number == 0 && is_unchanged;
                files.by_guid.entry(guid).or_insert(PrunedFile { is_content_of_target, ..file(Some(path)) });
            }
            for &guid in &found.record.before {
                files.by_guid.entry(guid).or_insert(file(None));
            }
            if found.state == TargetState::BeforeMerge {
                files.by_guid.entry(found.guid).or_insert(file(None));
            }
            for state in &found.record.state_of {
                files.add_path(&state.path, PrunedFile { has_moved: true, ..file(Some(&state.path)) });
            }
            for path in &found.record.deleted {
                files.add_path(path, file(Some(path)));
            }
        }
        files
    }

    /// Adds a deleted file by its path.
    ///
    /// The target is skipped: it still exists, so its path does not show that the prune changed it.
    fn add_path(&mut self, path: &str, file: PrunedFile<'a>) {
        let on_host = on_host(&file.found.path, path);
        if on_host != file.found.path {
            self.by_path.entry(absolute(&on_host)).or_insert(file);
        }
    }

    /// Returns what a prune did with the parent of a file whose parent is missing; `None` if no record says it.
    ///
    /// The stored relative path must lead to the parent. Copies of the files in other folders have the same GUIDs and
    /// names, and the prune did not change them.
    pub(super) fn parent_of(&self, child: &FileFacts) -> Option<PrunedParent> {
        let beside = child.stored_paths.iter().filter_map(|stored| relative_on_host(&child.path, stored));
        let beside: Vec<PathBuf> = beside.collect();
        let guids = child.guids_of_parent();
        let by_guid = guids.iter().find_map(|guid| self.by_guid.get(guid)).copied();
        let by_guid = by_guid.filter(|file| beside.contains(&absolute(&file.path())));
        let by_path = || beside.iter().find_map(|path| self.of_disk(path, child)).copied();
        let parent = by_guid.or_else(by_path)?;
        let found = parent.found;
        // The child was linked to the merged target, and the target was changed later: the prune is not the cause.
        if guids.contains(&found.guid) && found.state != TargetState::BeforeMerge {
            return None;
        }
        Some(PrunedParent {
            path: parent.path(),
            target: found.path.clone(),
            time: found.record.time,
            content: match found.state {
                TargetState::BeforeMerge => TargetContent::Restored,
                TargetState::AsMerged if parent.is_content_of_target => TargetContent::Parent,
                TargetState::AsMerged | TargetState::Changed => TargetContent::Other,
            },
            successor: self.successor(child),
            has_children: false,
        })
    }

    /// Returns the deleted file at an absolute path, if it was one of the same virtual disk.
    fn of_disk(&self, path: &PathBuf, disk: &FileFacts) -> Option<&PrunedFile<'a>> {
        let is_same = |file: &&PrunedFile<'_>| {
            file.found.record.disk.is_some() && file.found.record.disk == disk.virtual_disk_id
        };
        self.by_path.get(path).filter(is_same)
    }

    /// Returns the disk that has the newest state of a file, if a prune merged the file itself.
    fn successor(&self, file: &FileFacts) -> Option<PathBuf> {
        let moved = self.of_disk(&absolute(&file.path), file).filter(|file| file.has_moved)?;
        let is_restored = moved.found.state == TargetState::BeforeMerge;
        (!is_restored).then(|| moved.found.path.clone())
    }
}

/// Returns whether a disk reads as it did when its record was made, as far as the files show.
///
/// Its own DataWriteGuid proves its own data only. So its chain must be complete, and all its files must be of one disk.
fn is_whole(disks: &[DiscoveredDisk], target: usize) -> bool {
    let Some(first) = disks.get(target) else { return false };
    let id = first.facts.virtual_disk_id;
    let (mut next, mut seen) = (Some(target), HashSet::new());
    while let Some(disk) = next.and_then(|disk| disks.get(disk)) {
        if disk.facts.virtual_disk_id != id || !next.is_some_and(|disk| seen.insert(disk)) {
            return false;
        }
        if disk.parent.is_none() {
            return disk.link == DiskLink::Base;
        }
        next = disk.parent;
    }
    false
}
