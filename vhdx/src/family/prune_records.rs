//! The records of prunes beside the disks of a forest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use super::facts::FileFacts;
use super::found_record::{FoundRecord, TargetState};
use super::others::JOURNAL_EXTENSION;
use super::prune_record::{PruneRecord, decode_record_file};

/// The most bytes of a record that are read.
const MAX_RECORD: u64 = 4 << 20;

/// The records of a forest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PruneRecords {
    /// The records of completed merges, by the disk of their target.
    by_target: BTreeMap<usize, FoundRecord>,
    /// The records that cannot be read, by the disk of their target, or by the disks that may be it.
    damaged: BTreeMap<usize, PathBuf>,
    /// The records without a target, by the disks that may be it.
    lost: BTreeMap<usize, LostRecord>,
    /// The targets that have another path now, by their earlier paths.
    renamed: HashMap<PathBuf, usize>,
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

/// A record whose target could not be identified among the disks that may be the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LostRecord {
    pub(super) path: PathBuf,
    /// When the prune was planned.
    pub(super) time: SystemTime,
}

/// A file that a prune or revert deleted, or that has another path now.
pub(super) struct DeletedFile {
    pub(super) path: PathBuf,
    /// The disk that has its state, whose state came after it, or that replaces it.
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
    /// The target is this file: it was renamed or moved.
    Renamed,
    /// A revert deleted the file. The machine must use the target instead.
    Replaced,
}

impl PruneRecords {
    /// Reads the records and journals at these paths, and calls `damaged` for those that cannot be read.
    ///
    /// `files` are the disks, sorted by path. A record belongs to the disk beside it. If that is none or another one, it
    /// belongs to the disk that has the DataWriteGuid and VirtualDiskId of the target, if exactly one has. Of a journal,
    /// only the times count: an interrupted merge has changed the times of files, and not yet moved any state.
    pub(super) fn read(paths: &[PathBuf], files: &[&FileFacts], mut damaged: impl FnMut(&Path)) -> Self {
        let mut records = Self::default();
        let mut without_target = Vec::new();
        for path in paths {
            if path.extension().is_some_and(|extension| extension == JOURNAL_EXTENSION) {
                match times_in_journal(path) {
                    Some(times) => records.interrupted.extend(times),
                    None => damaged(path),
                }
                continue;
            }
            let beside = path.with_extension("");
            let target = files.binary_search_by(|file| file.path.cmp(&beside)).ok();
            let Some((guid, record)) = read(path) else {
                let may_be = |disk: &usize| files[*disk].path.parent() == path.parent();
                let disks =
                    (0..files.len()).filter(|disk| target.map_or(may_be(disk), |target| target == *disk));
                records.damaged.extend(disks.map(|disk| (disk, path.clone())));
                damaged(path);
                continue;
            };
            let state = TargetState::Changed;
            let mut found = FoundRecord { path: beside.clone(), beside, guid, state, record };
            let target = target.filter(|disk| files[*disk].virtual_disk_id == found.record.disk);
            let Some(disk) = target else {
                without_target.push((found, None));
                continue;
            };
            found.state = match files[disk].data_write_guid {
                now if now == guid => TargetState::AsMerged,
                now if found.record.before.contains(&now) => TargetState::BeforeMerge,
                _ => TargetState::Changed,
            };
            match found.state {
                // Another file of the virtual disk may have got the name of the target.
                TargetState::Changed if found.knows(files[disk].data_write_guid) => {
                    without_target.push((found, Some(disk)));
                    continue;
                }
                // The disk beside it is an older copy. The merged target may have been renamed.
                TargetState::BeforeMerge => without_target.push((found.clone(), None)),
                TargetState::AsMerged | TargetState::Changed => {}
            }
            records.by_target.insert(disk, found);
        }
        records.find_targets(without_target, files);
        let of_targets = records.by_target.iter();
        records.renamed = of_targets
            .flat_map(|(target, found)| found.earlier_paths().map(|path| (path, *target)))
            .collect();
        records
    }

    /// Finds the targets that were renamed or moved without their records.
    ///
    /// Each record comes with the changed disk that is its target if no other one is.
    fn find_targets(&mut self, without_target: Vec<(FoundRecord, Option<usize>)>, files: &[&FileFacts]) {
        if without_target.is_empty() {
            return;
        }
        let mut by_guid: HashMap<(Uuid, Option<Uuid>), Vec<usize>> = HashMap::new();
        for (disk, file) in (0..).zip(files).filter(|(disk, _)| !self.by_target.contains_key(disk)) {
            by_guid.entry((file.data_write_guid, file.virtual_disk_id)).or_default().push(disk);
        }
        let (mut renamed, mut lost) = (Vec::new(), Vec::new());
        for (found, changed) in without_target {
            match (by_guid.get(&(found.guid, found.record.disk)).map(Vec::as_slice), changed) {
                (Some(&[disk]), _) => renamed.push((disk, found)),
                (_, Some(changed)) => drop(self.by_target.insert(changed, found)),
                (several, None) => lost.push((found, several.map(<[usize]>::to_vec))),
            }
        }
        // The latest of several records of one disk counts.
        renamed.sort_by_key(|(_, found)| found.record.time);
        for (disk, found) in renamed {
            let (path, state) = (files[disk].path.clone(), TargetState::AsMerged);
            self.by_target.insert(disk, FoundRecord { path, state, ..found });
        }
        lost.sort_by_key(|(found, _)| found.record.time);
        for (found, several) in lost.into_iter().filter(|(found, _)| found.has_deleted_state()) {
            let is_free = |disk: &usize| !self.by_target.contains_key(disk);
            let may_be = |disk: &usize| is_free(disk) && found.may_have_become(files[*disk]);
            let disks = several.unwrap_or_else(|| (0..files.len()).filter(may_be).collect());
            let record = LostRecord { path: found.file(), time: found.record.time };
            self.lost.extend(disks.into_iter().map(|disk| (disk, record.clone())));
        }
    }

    /// Returns the record that may belong to a disk, although the disk cannot be proven to be its target.
    pub(super) fn lost(&self, disk: usize) -> Option<&LostRecord> {
        self.lost.get(&disk)
    }

    /// Returns the record of a renamed target whose earlier path now belongs to this disk.
    ///
    /// Returns `None` if the disk is a copy of the target from before the merge.
    pub(super) fn of_earlier_path(&self, file: &FileFacts) -> Option<&FoundRecord> {
        let found = self.of(*self.renamed.get(&file.path)?)?;
        let is_older_copy = found.record.before.contains(&file.data_write_guid);
        (found.record.disk == file.virtual_disk_id && !is_older_copy).then_some(found)
    }

    /// Returns the targets that were renamed or moved without their records.
    pub(super) fn elsewhere(&self) -> impl Iterator<Item = &FoundRecord> {
        // The record also counts for an older copy beside it.
        let is_shared = |path: &Path| self.by_target.values().any(|found| found.path == *path);
        let renamed = self.by_target.values().filter(|found| !found.is_beside());
        renamed.filter(move |found| !is_shared(&found.beside))
    }

    /// Returns the record of a target.
    pub(crate) fn of(&self, target: usize) -> Option<&FoundRecord> {
        self.by_target.get(&target)
    }

    /// Returns the records of completed merges, that of the latest prune first. Of several with one time, the one is first
    /// whose target has the path that it had at the merge.
    pub(super) fn latest_first(&self) -> Vec<(usize, &FoundRecord)> {
        let mut records: Vec<_> = self.by_target.iter().map(|(target, found)| (*target, found)).collect();
        // A copy can have a copy of the record.
        let is_moved = |found: &FoundRecord| {
            found.record.target().is_some_and(|target| found.on_host(target) != found.path)
        };
        records.sort_by_key(|(_, found)| (Reverse(found.record.time), is_moved(found)));
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
        let renamed = records.iter().flat_map(|(target, found)| {
            found.earlier_paths().map(|path| DeletedFile { path, target: *target, fate: Fate::Renamed })
        });
        let moved =
            records.iter().filter(|(_, found)| found.has_moved_state()).flat_map(|(target, found)| {
                let states = found.record.state_of.iter();
                states.map(|state| (*target, *found, &state.path, Fate::Moved { since: state.since }))
            });
        let replaced = records
            .iter()
            .flat_map(|(target, found)| found.replaced().map(|path| (*target, *found, path, Fate::Replaced)));
        let deleted = records.iter().filter(|(_, found)| found.has_deleted_state());
        let deleted = deleted.flat_map(|(target, found)| {
            found.record.deleted.iter().map(|path| (*target, *found, path, Fate::Deleted))
        });
        let recorded = moved.chain(replaced).chain(deleted).map(|(target, found, path, fate)| DeletedFile {
            path: found.on_host(path),
            target,
            fate,
        });
        renamed
            .chain(recorded)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::prune_record::MovedState;

    /// A record of a prune that merged `leaf.avhdx` into `base.vhdx`, in a folder.
    fn found(folder: &Path, path: &str, beside: &str) -> FoundRecord {
        let record = PruneRecord {
            state_of: vec![MovedState { path: "leaf.avhdx".to_owned(), since: None }],
            deleted: vec!["base.vhdx".to_owned()],
            merged: vec![Uuid::from_u128(2)],
            before: vec![Uuid::from_u128(3)],
            replaces: ["first.avhdx", "../second.avhdx"].map(str::to_owned).to_vec(),
            ..PruneRecord::new(SystemTime::UNIX_EPOCH)
        };
        let (path, beside) = (folder.join(path), folder.join(beside));
        FoundRecord { path, beside, guid: Uuid::from_u128(1), state: TargetState::AsMerged, record }
    }

    #[test]
    fn names_are_relative_to_the_place_of_the_record() {
        let folder = tempfile::tempdir().unwrap();
        let (vm, other) = (folder.path().join("vm"), folder.path().join("other"));
        [&vm, &other].into_iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
        let moved = found(folder.path(), "other/base.vhdx", "vm/base.vhdx");
        assert_eq!(moved.on_host("leaf.avhdx"), vm.join("leaf.avhdx"));
        assert_eq!(moved.rebased("leaf.avhdx", &other.join("base.vhdx")), "../vm/leaf.avhdx");
        assert_eq!(moved.rebased("leaf.avhdx", &vm.join("base.vhdx")), "leaf.avhdx");
        assert!(moved.is_target(&vm.join("base.vhdx")) && moved.is_target(&other.join("base.vhdx")));
        assert_eq!(moved.file(), vm.join("base.vhdx.vhdx-pruned"));
    }

    #[test]
    fn earlier_paths_are_those_of_the_merge_and_of_the_record() {
        let vm = Path::new("/vm");
        let earlier = |path: &str, beside: &str| found(vm, path, beside).earlier_paths().collect::<Vec<_>>();
        assert_eq!(earlier("base.vhdx", "base.vhdx"), <[PathBuf; 0]>::default());
        assert_eq!(earlier("a.vhdx", "a.vhdx"), [vm.join("base.vhdx")]);
        assert_eq!(earlier("a.vhdx", "b.vhdx"), [vm.join("b.vhdx"), vm.join("base.vhdx")]);
        let older = FoundRecord { state: TargetState::BeforeMerge, ..found(vm, "a.vhdx", "a.vhdx") };
        assert_eq!(older.earlier_paths().count(), 0);
    }

    #[test]
    fn a_record_replaces_nothing_while_the_latest_old_disk_exists() {
        let folder = tempfile::tempdir().unwrap();
        let vm = folder.path().join("vm");
        std::fs::create_dir(&vm).unwrap();
        let found = found(&vm, "base.vhdx", "base.vhdx");
        assert_eq!(found.replaced().collect::<Vec<_>>(), ["first.avhdx", "../second.avhdx"]);
        std::fs::write(folder.path().join("second.avhdx"), "").unwrap();
        assert_eq!(found.replaced().collect::<Vec<_>>(), ["first.avhdx"]);
        std::fs::write(vm.join("first.avhdx"), "").unwrap();
        std::fs::remove_file(folder.path().join("second.avhdx")).unwrap();
        assert_eq!(found.replaced().count(), 0);
        let older = FoundRecord { state: TargetState::BeforeMerge, ..found };
        assert_eq!(older.replaced().count(), 0);
    }
}
