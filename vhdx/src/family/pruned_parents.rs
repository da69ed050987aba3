//! Finds out from the records of prunes why a parent is missing: a prune has merged, deleted or changed it.

use std::collections::HashMap;
use std::path::PathBuf;

use uuid::Uuid;

use super::facts::FileFacts;
use super::machine::names::{names, stored_names};
use super::paths::relative_on_host;
use super::problem::{PrunedParent, TargetContent};
use super::prune_record::on_host;
use super::prune_records::{FoundRecord, PruneRecords, TargetState};

/// The files of a forest that prunes have merged, deleted or changed.
pub(super) struct PrunedFiles<'a> {
    by_guid: HashMap<Uuid, PrunedFile<'a>>,
    by_name: HashMap<Name, PrunedFile<'a>>,
}

/// A file that a prune has merged, deleted or changed.
#[derive(Clone, Copy)]
struct PrunedFile<'a> {
    found: &'a FoundRecord,
    /// The path in the record; `None` for the target itself, whose content the merge changed.
    path: Option<&'a str>,
    /// Whether the merge gave the target the state of this file.
    is_newest: bool,
    /// Whether the target got the state of this file, in this merge or in an earlier one.
    has_moved: bool,
}

/// Identifies a deleted file: the disk, the folder and the file. The names are compared as [`names`] returns them.
type Name = (Uuid, Vec<String>);

impl<'a> PrunedFiles<'a> {
    /// Returns the files that records name. If several records name one, that of the latest prune counts.
    pub(super) fn of(records: &'a PruneRecords) -> Self {
        let mut files = Self { by_guid: HashMap::new(), by_name: HashMap::new() };
        for (_, found) in records.latest_first() {
            let file = |path| PrunedFile { found, path, is_newest: false, has_moved: false };
            for (number, (guid, path)) in found.record.merged_files().enumerate() {
                let merged = PrunedFile { is_newest: number == 0, ..file(Some(path)) };
                files.by_guid.entry(guid).or_insert(merged);
            }
            for &guid in &found.record.before {
                files.by_guid.entry(guid).or_insert(file(None));
            }
            for state in &found.record.state_of {
                files.add_name(&state.path, PrunedFile { has_moved: true, ..file(Some(&state.path)) });
            }
            for path in &found.record.deleted {
                files.add_name(path, file(Some(path)));
            }
        }
        files
    }

    /// Adds a deleted file by its name.
    ///
    /// The target is skipped: it still exists, so its name does not show that the prune changed it.
    fn add_name(&mut self, path: &str, file: PrunedFile<'a>) {
        let on_host = on_host(&file.found.path, path);
        let disk = file.found.record.disk.filter(|_| on_host != file.found.path);
        if let Some(name) = disk.and_then(|disk| name(disk, names(&on_host))) {
            self.by_name.entry(name).or_insert(file);
        }
    }

    /// Returns what a prune did with the parent of a file whose parent is missing; `None` if no record says it.
    pub(super) fn parent_of(&self, child: &FileFacts) -> Option<PrunedParent> {
        let guids = child.guids_of_parent();
        let by_guid = guids.iter().find_map(|guid| self.by_guid.get(guid)).copied();
        let parent = by_guid.or_else(|| self.parent_by_name(child))?;
        // The child was linked to the merged target, and the target was changed later: the prune is not the cause.
        if guids.contains(&parent.found.guid) {
            return None;
        }
        Some(PrunedParent {
            path: match parent.path {
                Some(path) => on_host(&parent.found.path, path),
                None => parent.found.path.clone(),
            },
            target: parent.found.path.clone(),
            time: parent.found.record.time,
            content: match parent.found.state {
                TargetState::AsMerged if parent.is_newest => TargetContent::Parent,
                TargetState::BeforeMerge => TargetContent::Restored,
                TargetState::AsMerged | TargetState::Changed => TargetContent::Other,
            },
            successor: self.successor(child),
        })
    }

    /// Returns the deleted file with a stored name of the parent.
    fn parent_by_name(&self, child: &FileFacts) -> Option<PrunedFile<'a>> {
        let disk = child.virtual_disk_id?;
        let beside = child.stored_paths.iter().filter_map(|stored| relative_on_host(&child.path, stored));
        let stored = child.stored_paths.iter().map(|stored| stored_names(&stored.path));
        let mut all = beside.map(|path| names(&path)).chain(stored);
        all.find_map(|names| self.by_name.get(&name(disk, names)?)).copied()
    }

    /// Returns the disk that has the newest state of a file, if a prune merged the file itself.
    fn successor(&self, file: &FileFacts) -> Option<PathBuf> {
        let name = name(file.virtual_disk_id?, names(&file.path))?;
        let moved = self.by_name.get(&name).filter(|file| file.has_moved)?;
        let is_restored = moved.found.state == TargetState::BeforeMerge;
        (!is_restored).then(|| moved.found.path.clone())
    }
}

/// Returns the name of a file from the last names of its path, the file first; `None` without a folder.
fn name(disk: Uuid, mut names: Vec<String>) -> Option<Name> {
    names.truncate(2);
    (names.len() == 2).then_some((disk, names))
}
