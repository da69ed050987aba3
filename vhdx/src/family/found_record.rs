//! A record of a prune or revert, and the disk to which it belongs.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::facts::FileFacts;
use super::prune_record::{MovedState, PruneRecord, on_host, record_of, relative_to_target};

/// A record whose target was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundRecord {
    /// The target.
    pub(super) path: PathBuf,
    /// The path at which the target lay with its record. It differs if the target was renamed or moved without the record.
    ///
    /// The paths in the record are relative to its folder.
    pub(super) beside: PathBuf,
    /// The DataWriteGuid that the merge gave the target.
    pub(crate) guid: Uuid,
    pub(crate) state: TargetState,
    pub(crate) record: PruneRecord,
}

/// The state of a target, compared with the one that the merge gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetState {
    /// It is the same.
    AsMerged,
    /// It is one from before the merge: the file was restored. Only the times of the record count.
    BeforeMerge,
    /// It is another one. A machine has probably used the target since.
    Changed,
}

impl FoundRecord {
    /// Returns whether a disk can be the target, which was changed and renamed.
    pub(super) fn may_have_become(&self, file: &FileFacts) -> bool {
        let is_later = file.modified.is_none_or(|modified| modified > self.record.time);
        let is_near = file.path.parent() == self.beside.parent();
        let is_same = self.record.disk.is_some() && self.record.disk == file.virtual_disk_id;
        is_near && is_same && is_later && !self.knows(file.data_write_guid)
    }

    /// Returns whether a file had this DataWriteGuid before the merge.
    pub(super) fn knows(&self, guid: Uuid) -> bool {
        let PruneRecord { merged, before, frozen, .. } = &self.record;
        merged.contains(&guid) || before.contains(&guid) || frozen.iter().any(|(known, _)| *known == guid)
    }

    /// Returns whether the target has the state of a file that was merged into it.
    pub(crate) fn has_moved_state(&self) -> bool {
        self.state == TargetState::AsMerged && !self.record.state_of.is_empty()
    }

    /// Returns the path on this host that a path in the record means.
    pub(super) fn on_host(&self, recorded: &str) -> PathBuf {
        on_host(&self.beside, recorded)
    }

    /// Returns the path that the record of another target has for a path in this record.
    pub(crate) fn rebased(&self, recorded: &str, target: &Path) -> String {
        match self.beside.parent() == target.parent() {
            true => recorded.to_owned(),
            false => relative_to_target(target, &self.on_host(recorded)),
        }
    }

    /// Returns the record as it is beside the target at another path.
    pub(crate) fn record_beside(&self, target: &Path) -> PruneRecord {
        let rebased = |paths: &[String]| paths.iter().map(|path| self.rebased(path, target)).collect();
        let state_of = self.record.state_of.iter();
        let state_of = state_of
            .map(|state| MovedState { path: self.rebased(&state.path, target), since: state.since })
            .collect();
        PruneRecord {
            state_of,
            deleted: rebased(&self.record.deleted),
            replaces: rebased(&self.record.replaces),
            ..self.record.clone()
        }
    }

    /// Returns the path of the record.
    pub(crate) fn file(&self) -> PathBuf {
        record_of(&self.beside)
    }

    /// Returns whether the record is beside its target.
    pub(crate) fn is_beside(&self) -> bool {
        self.path == self.beside
    }

    /// Returns whether a path is the present path of the target, or the one that the record implies.
    pub(super) fn is_target(&self, path: &Path) -> bool {
        path == self.path || path == self.beside
    }

    /// Returns the paths that the target had before it was renamed or moved, as far as the record shows them.
    pub(super) fn earlier_paths(&self) -> impl Iterator<Item = PathBuf> {
        let at_merge = self.record.target().map(|path| self.on_host(path));
        let is_known = self.state != TargetState::BeforeMerge;
        let paths = [Some(self.beside.clone()), at_merge].into_iter().flatten();
        paths.filter(move |path| is_known && *path != self.path)
    }

    /// Returns the files that reverts replaced by the target, as the record names them.
    ///
    /// None counts before the revert has deleted the latest one, or if that one was restored. The machine uses that disk,
    /// which replaces the others.
    pub(crate) fn replaced(&self) -> impl Iterator<Item = &String> {
        let counts = self.state != TargetState::BeforeMerge
            && !self.record.is_pending
            && !self.record.replaces.first().is_some_and(|path| self.exists(path));
        self.record.replaces.iter().filter(move |path| counts && !self.exists(path))
    }

    /// Returns whether the file exists that a path in the record means.
    fn exists(&self, recorded: &str) -> bool {
        // If a link leads to the record, the host resolves the path in another way than its text shows.
        let through_links = self.beside.parent().map(|folder| folder.join(recorded));
        let paths = [Some(self.on_host(recorded)), through_links];
        paths.into_iter().flatten().any(|path| path.symlink_metadata().is_ok())
    }

    /// Returns whether a merge deleted the state that the target had before.
    pub(crate) fn has_deleted_state(&self) -> bool {
        self.state != TargetState::BeforeMerge && !self.record.state_of.is_empty()
    }
}
