//! The records of prunes beside the disks of a forest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use super::facts::FileFacts;
use super::others::JOURNAL_EXTENSION;
use super::prune_record::{PruneRecord, decode_record_file, on_host};

/// The most bytes of a record that are read.
const MAX_RECORD: u64 = 4 << 20;

/// A record whose target was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundRecord {
    /// The target.
    pub(super) path: PathBuf,
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
    /// Returns whether the target has the state of a file that was merged into it.
    pub(crate) fn has_moved_state(&self) -> bool {
        self.state == TargetState::AsMerged && !self.record.state_of.is_empty()
    }

    /// Returns whether a merge deleted the state that the target had before.
    pub(crate) fn has_deleted_state(&self) -> bool {
        self.state != TargetState::BeforeMerge && !self.record.state_of.is_empty()
    }
}

/// The records of a forest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PruneRecords {
    /// The records of completed merges, by the disk of their target.
    by_target: BTreeMap<usize, FoundRecord>,
    /// The records that cannot be read, by the disk of their target.
    damaged: BTreeMap<usize, PathBuf>,
    /// The times in the journals of interrupted merges.
    interrupted: Vec<(Uuid, SystemTime)>,
}

/// When states were last changed, as far as records say more than the files.
pub(crate) struct StateTimes(HashMap<Uuid, SystemTime>);

impl StateTimes {
    /// Returns when the state of a file was last changed, if known.
    ///
    /// A merge that only relinked a file changed its time, but not its state.
    pub(crate) fn of(&self, file: &FileFacts) -> Option<SystemTime> {
        self.0.get(&file.data_write_guid).copied().or(file.modified)
    }
}

/// A disk beside which a record may lie.
pub(super) struct Target {
    pub(super) disk: usize,
    pub(super) data_write_guid: Uuid,
    pub(super) virtual_disk_id: Option<Uuid>,
}

/// A file that a prune deleted.
pub(super) struct DeletedFile {
    pub(super) path: PathBuf,
    /// The disk that has its state, or whose state came after it.
    pub(super) target: usize,
    pub(super) fate: Fate,
}

/// What became of the state of a deleted file.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    Deleted,
    /// The target has it. If the file had another state before, it has had this one since a time.
    Moved {
        since: Option<SystemTime>,
    },
}

impl PruneRecords {
    /// Reads the records and journals at these paths, and calls `damaged` for those that cannot be read.
    ///
    /// `find` returns the disk at a path. Records without a disk, and those of other disks, are ignored. Of a journal, only
    /// the times count: an interrupted merge has changed the times of files, and not yet moved any state.
    pub(super) fn read(
        paths: &[PathBuf],
        find: impl Fn(&Path) -> Option<Target>,
        mut damaged: impl FnMut(&Path),
    ) -> Self {
        let (mut by_target, mut damaged_of, mut interrupted) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for path in paths {
            if path.extension().is_some_and(|extension| extension == JOURNAL_EXTENSION) {
                match times_in_journal(path) {
                    Some(times) => interrupted.extend(times),
                    None => damaged(path),
                }
                continue;
            }
            let of = path.with_extension("");
            let Some(target) = find(&of) else { continue };
            let Some((guid, record)) = read(path) else {
                damaged_of.insert(target.disk, path.clone());
                damaged(path);
                continue;
            };
            if record.disk == target.virtual_disk_id {
                let state = match target.data_write_guid {
                    now if now == guid => TargetState::AsMerged,
                    now if record.before.contains(&now) => TargetState::BeforeMerge,
                    _ => TargetState::Changed,
                };
                by_target.insert(target.disk, FoundRecord { path: of, guid, state, record });
            }
        }
        Self { by_target, damaged: damaged_of, interrupted }
    }

    /// Returns the record of a target.
    pub(crate) fn of(&self, target: usize) -> Option<&FoundRecord> {
        self.by_target.get(&target)
    }

    /// Returns the records of completed merges, that of the latest prune first.
    pub(super) fn latest_first(&self) -> Vec<(usize, &FoundRecord)> {
        let mut records: Vec<_> = self.by_target.iter().map(|(target, found)| (*target, found)).collect();
        records.sort_by_key(|(_, found)| Reverse(found.record.time));
        records
    }

    /// Returns the record of a target, if it cannot be read.
    pub(crate) fn damaged(&self, target: usize) -> Option<&Path> {
        self.damaged.get(&target).map(PathBuf::as_path)
    }

    /// Returns when states were last changed, by DataWriteGuid.
    ///
    /// The merges changed the times of these files, but not their states. If records contradict each other, the earliest
    /// time counts: a record may have been made of files that were already changed.
    pub(crate) fn modified(&self) -> StateTimes {
        let of_targets =
            self.by_target.values().filter_map(|found| Some((found.guid, found.record.modified?)));
        let of_others = self.by_target.values().flat_map(|found| &found.record.frozen).copied();
        let mut modified: HashMap<Uuid, SystemTime> = HashMap::new();
        for (guid, time) in of_targets.chain(of_others).chain(self.interrupted.iter().copied()) {
            modified.entry(guid).and_modify(|known| *known = time.min(*known)).or_insert(time);
        }
        StateTimes(modified)
    }

    /// Returns the deleted files whose paths `is_named` accepts.
    ///
    /// If several records name one, a state that exists counts, and that of the latest prune. `existing` are the paths of
    /// files, which are not deleted.
    pub(super) fn deleted(
        &self,
        is_named: impl Fn(&Path) -> bool,
        existing: impl IntoIterator<Item = PathBuf>,
    ) -> Vec<DeletedFile> {
        if self.by_target.is_empty() {
            return Vec::new();
        }
        let mut known: HashSet<PathBuf> = existing.into_iter().collect();
        let records = self.latest_first();
        let moved =
            records.iter().filter(|(_, found)| found.has_moved_state()).flat_map(|(target, found)| {
                let states = found.record.state_of.iter();
                states.map(|state| (*target, *found, &state.path, Fate::Moved { since: state.since }))
            });
        let deleted = records.iter().filter(|(_, found)| found.has_deleted_state());
        let deleted = deleted.flat_map(|(target, found)| {
            found.record.deleted.iter().map(|path| (*target, *found, path, Fate::Deleted))
        });
        moved
            .chain(deleted)
            .map(|(target, found, path, fate)| DeletedFile { path: on_host(&found.path, path), target, fate })
            .filter(|file| is_named(&file.path) && known.insert(file.path.clone()))
            .collect()
    }
}

/// Returns the DataWriteGuid of the target and the record in a file; `None` if it is no whole record.
fn read(path: &Path) -> Option<(Uuid, PruneRecord)> {
    decode_record_file(&bytes(path)?)
}

/// Returns the times in the record at the end of a journal.
fn times_in_journal(path: &Path) -> Option<Vec<(Uuid, SystemTime)>> {
    PruneRecord::at_end_of(std::str::from_utf8(&bytes(path)?).ok()?).map(|record| record.frozen)
}

fn bytes(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_RECORD).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
