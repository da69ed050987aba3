//! Finds out from the records of prunes why a parent is missing: a prune has merged, deleted or changed it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use uuid::Uuid;

use super::facts::FileFacts;
use super::forest::{DiscoveredDisk, DiskLink};
use super::found_record::{FoundRecord, TargetState};
use super::host_path::absolute;
use super::paths::relative_on_host;
use super::problem::{PrunedParent, TargetContent};
use super::prune_records::PruneRecords;

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
    /// Whether the merge gave the target the state of this file.
    is_newest: bool,
}

impl PrunedFile<'_> {
    fn path(&self) -> PathBuf {
        match self.path {
            Some(path) => self.found.on_host(path),
            None => self.found.path.clone(),
        }
    }
}

impl<'a> PrunedFiles<'a> {
    /// Returns the files that records name. If several records name one, that of the latest prune counts.
    pub(super) fn of(records: &'a PruneRecords, disks: &[DiscoveredDisk]) -> Self {
        let mut files = Self { by_guid: HashMap::new(), by_path: HashMap::new() };
        for (target, found) in records.latest_first() {
            let file = |path| PrunedFile { found, path, is_content_of_target: false, is_newest: false };
            let is_unchanged = found.state == TargetState::AsMerged && is_whole(disks, target);
            for (number, (guid, path)) in found.record.merged_files().enumerate() {
                let is_newest = number == 0;
                let is_content_of_target = is_newest && is_unchanged;
                let merged = PrunedFile { is_content_of_target, is_newest, ..file(Some(path)) };
                files.by_guid.entry(guid).or_insert(merged);
            }
            for &guid in &found.record.before {
                files.by_guid.entry(guid).or_insert(file(None));
            }
            if found.state == TargetState::BeforeMerge {
                files.by_guid.entry(found.guid).or_insert(file(None));
            }
            let moved = found.record.state_of.iter().map(|state| &state.path);
            for path in moved.chain(&found.record.deleted) {
                files.add_path(path, file(Some(path)));
            }
        }
        files
    }

    /// Adds a deleted file by its path.
    ///
    /// The target is skipped: it still exists, so its path does not show that the prune changed it.
    fn add_path(&mut self, path: &str, file: PrunedFile<'a>) {
        let on_host = file.found.on_host(path);
        if !file.found.is_target(&on_host) {
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
        let is_certain = by_guid.is_some();
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
            is_certain,
        })
    }

    /// Returns the deleted file at an absolute path, if it was one of the same virtual disk.
    fn of_disk(&self, path: &PathBuf, disk: &FileFacts) -> Option<&PrunedFile<'a>> {
        let is_same = |file: &&PrunedFile<'_>| {
            file.found.record.disk.is_some() && file.found.record.disk == disk.virtual_disk_id
        };
        self.by_path.get(path).filter(is_same)
    }

    /// Returns the disk that has the state of a file, if a prune merged exactly this state.
    fn successor(&self, file: &FileFacts) -> Option<PathBuf> {
        let merged = self.by_guid.get(&file.data_write_guid).filter(|merged| merged.is_newest)?;
        let is_here = absolute(&merged.path()) == absolute(&file.path);
        (is_here && merged.found.state != TargetState::BeforeMerge).then(|| merged.found.path.clone())
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
