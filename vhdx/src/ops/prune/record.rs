//! Makes and leaves the record of a merge of a prune.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use super::files::PruneFiles;
use crate::error::{Conflict, Error, Result};
use crate::family::{
    Forest, FoundRecord, MachineConfiguration, MovedState, PruneRecord, decode_record_file, record_of,
    relative_to_target,
};

/// The files of a merge in the forest before the prune.
struct Files<'a> {
    forest: &'a Forest,
    /// The merged disks, the newest first, and then the target.
    layers: Vec<usize>,
    newest: usize,
    target: &'a Path,
}

/// Returns the record of a merge of files, the newest first, into a target; from the forest before the prune.
///
/// # Errors
/// [`Conflict::StalePlan`] if a file is not in the forest.
pub(super) fn of(
    forest: &Forest,
    merged: &[PathBuf],
    target: &Path,
    time: SystemTime,
) -> Result<PruneRecord> {
    let find =
        |path: &Path| forest.index_of(path).ok_or_else(|| Error::from(Conflict::StalePlan).in_file(path));
    let paths = merged.iter().map(PathBuf::as_path).chain([target]);
    let layers = paths.map(find).collect::<Result<Vec<usize>>>()?;
    let newest = *layers.first().ok_or(Conflict::StalePlan)?;
    let files = Files { forest, layers, newest, target };
    let (state_of, deleted) = files.states();
    let (modified, frozen) = files.times();
    let into = *files.layers.last().ok_or(Conflict::StalePlan)?;
    Ok(PruneRecord {
        time: files.not_before(time),
        disk: forest.disks[into].facts.virtual_disk_id,
        state_of,
        modified,
        levels: files.levels(),
        deleted,
        merged: files.merged(),
        before: files.before(into),
        frozen,
        replaces: files.replaces(),
        is_pending: false,
    })
}

impl Files<'_> {
    /// Returns the record of an earlier prune into a layer, unless the layer was restored since.
    fn earlier(&self, layer: usize) -> Option<&FoundRecord> {
        self.forest.records.of(layer).filter(|found| found.has_deleted_state())
    }

    /// Returns a time that is not before that of the prune, nor before that of a checkpoint that it deletes.
    ///
    /// The clock of the host may have been ahead.
    fn not_before(&self, time: SystemTime) -> SystemTime {
        let is_deleted = |of: &&MachineConfiguration| {
            of.disks().any(|disk| disk != self.newest && self.layers.contains(&disk))
        };
        let deleted = self.forest.checkpoint_configurations().filter(is_deleted);
        deleted.filter_map(|of| of.created).fold(time, SystemTime::max)
    }

    fn merged(&self) -> Vec<Uuid> {
        let guids = self.layers.iter().map(|&layer| self.forest.disks[layer].facts.data_write_guid);
        let mut guids: Vec<Uuid> = guids.collect();
        guids.pop(); // That of the target.
        guids
    }

    /// Returns the DataWriteGuids that the target has or had, the latest first.
    fn before(&self, target: usize) -> Vec<Uuid> {
        let earlier = self.forest.records.of(target);
        let earlier =
            earlier.into_iter().flat_map(|found| std::iter::once(&found.guid).chain(&found.record.before));
        let mut before = vec![self.forest.disks[target].facts.data_write_guid];
        before.extend(earlier);
        before.dedup();
        before
    }

    /// Returns the paths whose state the target has afterwards, and those whose states are deleted.
    fn states(&self) -> (Vec<MovedState>, Vec<String>) {
        let path = |layer: usize| self.forest.disks[layer].facts.path.as_path();
        let own = |layer: usize| relative_to_target(self.target, path(layer));
        let since = self.earlier(self.newest).map(|found| found.record.time);
        let mut state_of = vec![MovedState { path: own(self.newest), since }];
        let mut deleted: Vec<String> =
            self.layers.iter().filter(|&&layer| layer != self.newest).map(|&layer| own(layer)).collect();
        for &layer in &self.layers {
            let Some(found) = self.earlier(layer) else { continue };
            let rebased = |recorded: &String| found.rebased(recorded, self.target);
            let moved = found.record.state_of.iter();
            // If somebody changed the newest layer, the state that it had before is lost.
            match layer == self.newest && found.has_moved_state() {
                true => state_of
                    .extend(moved.map(|state| MovedState { path: rebased(&state.path), since: state.since })),
                false => deleted.extend(moved.map(|state| rebased(&state.path))),
            }
            deleted.extend(found.record.deleted.iter().map(rebased));
        }
        // A file can have had both: first a state that was deleted, and then one that moves on.
        let mut listed = HashSet::new();
        deleted.retain(|path| listed.insert(path.clone()));
        (state_of, deleted)
    }

    /// Returns the files that reverts replaced by the newest layer. Machines that name them must use the target now.
    ///
    /// Those that another layer replaced mean a state that the merge deletes.
    fn replaces(&self) -> Vec<String> {
        let newest = self.forest.records.of(self.newest);
        let replaced = newest
            .into_iter()
            .flat_map(|found| found.replaced().map(move |recorded| found.rebased(recorded, self.target)));
        replaced.collect()
    }

    /// Returns how many ancestors of the state were merged away, over all prunes.
    fn levels(&self) -> usize {
        let earlier = self.layers.iter().filter_map(|&layer| self.earlier(layer));
        let earlier = earlier.filter(|found| found.has_moved_state()).map(|found| found.record.levels);
        // A chain has at most 255 files. A forged record may say anything.
        earlier.fold(self.layers.len().saturating_sub(1), usize::saturating_add)
    }

    /// Returns when the state that moves was last changed, and the same for the other states, by DataWriteGuid.
    ///
    /// The merge may change the times of all its layers and of the children of the newest one.
    fn times(&self) -> (Option<SystemTime>, Vec<(Uuid, SystemTime)>) {
        let disks = &self.forest.disks;
        let times = self.forest.records.modified();
        let modified = |disk: usize| times.of(&disks[disk].facts);
        let written = self.layers.iter().chain(&disks[self.newest].children);
        let mut frozen: Vec<(Uuid, SystemTime)> =
            written.filter_map(|&disk| Some((disks[disk].facts.data_write_guid, modified(disk)?))).collect();
        let earlier = self.layers.iter().filter_map(|&layer| self.forest.records.of(layer));
        let mut earlier = earlier.flat_map(|found| &found.record.frozen).peekable();
        if earlier.peek().is_some() {
            let mut missing: HashSet<Uuid> = disks.iter().map(|disk| disk.facts.data_write_guid).collect();
            missing.retain(|guid| frozen.iter().all(|(known, _)| known != guid));
            frozen.extend(earlier.filter(|(guid, _)| missing.remove(guid)));
        }
        (modified(self.newest), frozen)
    }
}

/// Leaves the record beside a target with this DataWriteGuid, and deletes those of the merged files.
///
/// # Errors
/// Those of the host.
pub(super) fn leave(
    record: &PruneRecord,
    target: &Path,
    guid: Uuid,
    merged: &[PathBuf],
    files: &dyn PruneFiles,
) -> Result<()> {
    files.write_journal(&record_of(target), &record.file(guid))?;
    for old in merged.iter().map(|path| record_of(path)) {
        // Most files have no record.
        if files.read_journal(&old).is_ok_and(|bytes| decode_record_file(&bytes).is_some()) {
            files.delete_journal(&old)?;
        }
    }
    Ok(())
}

/// Leaves what a record says about the times of files, if its merge did not begin.
///
/// The times may have changed nevertheless.
///
/// # Errors
/// Those of the host.
pub(super) fn leave_times(
    record: PruneRecord,
    target: (&Path, Uuid),
    earlier: Option<&FoundRecord>,
    files: &dyn PruneFiles,
) -> Result<()> {
    let (path, now) = target;
    let (guid, record) = match earlier {
        Some(found) => (found.guid, PruneRecord { frozen: record.frozen, ..found.record_beside(path) }),
        None => {
            (now, PruneRecord { disk: record.disk, frozen: record.frozen, ..PruneRecord::new(record.time) })
        }
    };
    files.write_journal(&record_of(path), &record.file(guid))
}
