//! The journal of a merge of a prune: what it has begun, and which files it still has to delete.
//!
//! It lies beside the merge target, from before the first change until the merged files are deleted. So a later prune
//! completes what a prune has begun, and leaves alone what other programs have begun or kept.
//!
//! The merged files are deleted one after the other, and only together they show that the merge is complete. So before
//! the first one is deleted, the journal names all of them with their GUIDs. The last one is the target's child, which says
//! that the target has all data.
//!
//! The journal also has the record that the merge leaves. It is made before the first change, which changes the times.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::files::PruneFiles;
use super::record;
use crate::error::{Conflict, Error, Result};
use crate::family::{
    DiscoveredDisk, DiskLink, Forest, JOURNAL_EXTENSION, OtherKind, PruneRecord, escape, unescape,
};
use crate::format::merge_guid::{MergeId, is_complete_merge_of};
use crate::ops::merge::{Deletion, FileState, HostFiles, locked_while_deleting, open_as_planned};

/// The first line of a journal.
const HEAD: &str = "vhdx prune 1";
/// The second line, before anything was changed.
const MERGING: &str = "merging";
/// The second line begins so, before the first file is deleted. The target's DataWriteGuid follows.
const DELETING: &str = "deleting ";
/// Each file to delete has a line that begins so.
const FILE: &str = "file ";

/// A journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Journal {
    state: State,
    /// What the merge leaves beside its target.
    pub(super) record: PruneRecord,
}

/// How far the merge of a journal is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It was about to begin.
    Merging,
    /// It is complete in a target with this DataWriteGuid, and the files are being deleted in this order.
    Deleting { target: Uuid, files: Vec<Line> },
}

/// One file to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    file_write_guid: Uuid,
    data_write_guid: Uuid,
    /// The path without links, in a form that is only compared.
    path: String,
}

/// What a journal means in a forest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing is left to be done, apart from a merge that may have to be completed.
    Merging,
    /// These disks can be deleted, in this order. There may be none any more.
    Delete(Vec<usize>),
    /// Files that it names exist, but nothing proves that they can be deleted.
    Unproven,
}

/// Returns the path of the journal of a merge into `target`.
pub(super) fn path_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".");
    name.push(JOURNAL_EXTENSION);
    name.into()
}

/// Returns the target of a journal.
pub(super) fn target_of(journal: &Path) -> PathBuf {
    journal.with_extension("")
}

/// Returns the journal of a merge that is about to begin.
pub(super) fn merging(record: &PruneRecord) -> Vec<u8> {
    format!("{HEAD}\n{MERGING}\n{}", record.encode()).into_bytes()
}

/// Returns the journal of files that are to be deleted in this order. `target` is the DataWriteGuid of the target.
pub(super) fn deleting<'a>(
    target: Uuid,
    files: impl IntoIterator<Item = &'a FileState>,
    record: &PruneRecord,
) -> Vec<u8> {
    let mut text = format!("{HEAD}\n{DELETING}{target}\n");
    for file in files {
        text +=
            &format!("{FILE}{} {} {}\n", file.file_write_guid, file.data_write_guid, comparable(&file.path));
    }
    (text + &record.encode()).into_bytes()
}

impl Journal {
    /// Returns the journal in a file; `None` if the file is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_prefix(HEAD)?.strip_prefix('\n')?;
        let (state, mut rest) = text.split_once('\n')?;
        let mut files = Vec::new();
        while let Some(line) = rest.strip_prefix(FILE) {
            let (line, after) = line.split_once('\n')?;
            files.push(Line::decode(line)?);
            rest = after;
        }
        let state = match state.strip_prefix(DELETING) {
            Some(target) => State::Deleting { target: Uuid::try_parse(target).ok()?, files },
            None => (state == MERGING && files.is_empty()).then_some(State::Merging)?,
        };
        Some(Self { state, record: PruneRecord::decode(rest)? })
    }

    /// Returns what the journal at `path` means.
    ///
    /// The files can be deleted only if the target is the one beside the journal, unchanged and readable, and if its child,
    /// the last of the files, says that the target has all data. All others must be read through that child, be unchanged,
    /// and have no other children.
    pub(super) fn meaning(&self, path: &Path, forest: &Forest, places: &Places) -> Meaning {
        let State::Deleting { target: guid, files } = &self.state else { return Meaning::Merging };
        let left: Vec<&Line> = files.iter().filter(|line| places.may_exist(&line.path)).collect();
        if left.is_empty() {
            return Meaning::Delete(Vec::new());
        }
        let find = |line: &Line| {
            let at = *places.disks.get(&line.path)?;
            let facts = &forest.disks[at].facts;
            let is_unchanged = facts.file_write_guid == line.file_write_guid
                && facts.data_write_guid == line.data_write_guid;
            is_unchanged.then_some(at)
        };
        let Some(found) = left.into_iter().map(find).collect::<Option<Vec<usize>>>() else {
            return Meaning::Unproven;
        };
        let target = places.disks.get(&comparable(&target_of(path)));
        match target.filter(|&&target| is_proven(forest, target, *guid, &found)) {
            Some(_) => Meaning::Delete(found),
            None => Meaning::Unproven,
        }
    }

    /// Returns whether a merge that is not incomplete did not begin at all, or was completed by somebody else.
    ///
    /// Otherwise the merged files were not found.
    pub(super) fn is_over(&self, forest: &Forest, target: usize) -> bool {
        let now = forest.disks[target].facts.data_write_guid;
        let is_there = |guid: Uuid| forest.disks.iter().any(|disk| disk.facts.data_write_guid == guid);
        MergeId::from_guid(now).is_none()
            && (self.record.merged.iter().all(|guid| is_there(*guid)) || self.is_completed(now))
    }

    /// Returns whether a target with this DataWriteGuid has the state of the newest merged file.
    fn is_completed(&self, target: Uuid) -> bool {
        self.record.merged.first().is_some_and(|newest| is_complete_merge_of(target, *newest))
    }

    /// Leaves the record of a journal, of which nothing else is left to be done.
    ///
    /// # Errors
    /// Those of the host, and [`Conflict::StalePlan`] if the target was not found.
    fn leave_record(self, target: &Path, forest: &Forest, files: &dyn PruneFiles) -> Result<()> {
        let disk = forest.index_of(target).ok_or(Conflict::StalePlan)?;
        let now = forest.disks[disk].facts.data_write_guid;
        match self.state {
            State::Deleting { target: guid, files: lines } => {
                let merged: Vec<PathBuf> =
                    lines.iter().filter_map(|line| unescape(&line.path)).map(PathBuf::from).collect();
                record::leave(&self.record, target, guid, &merged, files)
            }
            // Somebody else has completed the merge.
            State::Merging if self.is_completed(now) => record::leave(&self.record, target, now, &[], files),
            State::Merging => record::leave_times(self.record, (target, now), forest.records.of(disk), files),
        }
    }
}

impl Line {
    fn decode(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, ' ');
        let file_write_guid = Uuid::try_parse(parts.next()?).ok()?;
        let data_write_guid = Uuid::try_parse(parts.next()?).ok()?;
        Some(Line { file_write_guid, data_write_guid, path: parts.next()?.to_owned() })
    }
}

/// Returns a path without links, on one line, which [`unescape`] reads.
fn comparable(path: &Path) -> String {
    // A file that does not exist any more is compared by the path as it is.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    escape(&real.to_string_lossy())
}

fn may_exist(path: &Path) -> bool {
    path.symlink_metadata().is_ok() || !path.parent().is_some_and(Path::is_dir)
}

/// Returns whether the journal of an interrupted prune is beside the target of a merge.
///
/// The same prune completes such a merge.
pub fn has_prune_journal(target: &Path) -> bool {
    HostFiles.read_journal(&path_of(target)).is_ok_and(|bytes| Journal::decode(&bytes).is_some())
}

/// Where the files of a forest are, in the form in which journals name them.
pub(super) struct Places {
    disks: HashMap<String, usize>,
    /// The paths of problems, which may be disks that cannot be read.
    others: HashSet<String>,
}

impl Places {
    pub(super) fn of(forest: &Forest) -> Self {
        // Most forests have no journal, and then nothing is compared.
        if !forest.other_files.iter().any(|file| file.kind == OtherKind::PruneJournal) {
            return Self { disks: HashMap::new(), others: HashSet::new() };
        }
        Self {
            disks: forest.disks.iter().map(|disk| comparable(&disk.facts.path)).zip(0..).collect(),
            others: forest.problems.iter().map(|problem| comparable(problem.path())).collect(),
        }
    }

    /// Returns whether a file exists, or may exist: its folder may not be mounted.
    fn may_exist(&self, path: &str) -> bool {
        let on_host = || unescape(path).is_none_or(|path| may_exist(Path::new(&path)));
        self.disks.contains_key(path) || self.others.contains(path) || on_host()
    }
}

fn is_proven(forest: &Forest, target: usize, guid: Uuid, files: &[usize]) -> bool {
    let disk = |at: usize| &forest.disks[at];
    // Nothing proves anything about no files.
    let Some((&target_child, _)) = files.split_last() else { return false };
    let merge = disk(target_child).facts.linkages().merge();
    let says_complete = merge.is_some_and(|merge| merge.is_complete_in(guid));
    let is_unchanged = disk(target).facts.data_write_guid == guid && opens(forest, target);
    let is_read_through = |&at: &usize| {
        let mut ancestors = std::iter::successors(Some(at), |&at| disk(at).parent);
        ancestors.any(|ancestor| ancestor == target_child)
    };
    let is_free = |(i, &at): (usize, &usize)| {
        disk(at).children.iter().all(|child| files.iter().take(i).any(|before| before == child))
    };
    says_complete
        && is_unchanged
        && disk(target_child).parent == Some(target)
        && files.iter().all(is_read_through)
        && files.iter().enumerate().all(is_free)
}

/// Whether all ancestors of a disk were found.
fn opens(forest: &Forest, disk: usize) -> bool {
    let is_linked = |disk: &DiscoveredDisk| matches!(disk.link, DiskLink::Base | DiskLink::Ok);
    let mut chain = std::iter::successors(Some(disk), |&at| forest.disks[at].parent);
    chain.all(|at| is_linked(&forest.disks[at]))
}

/// Deletes the disks that a journal names, and then the journal.
///
/// # Errors
/// Those of the host; [`Conflict::StalePlan`] if a file has changed since the plan was made.
pub(super) fn complete(
    journal: &Path,
    forest: &Forest,
    places: &Places,
    files: &dyn PruneFiles,
) -> Result<Deletion> {
    let stale = || Error::from(Conflict::StalePlan).in_file(journal);
    let found = Journal::decode(&files.read_journal(journal)?).ok_or_else(stale)?;
    let disks = match found.meaning(journal, forest, places) {
        Meaning::Delete(disks) => disks,
        // The merge did not begin.
        Meaning::Merging => Vec::new(),
        Meaning::Unproven => return Err(stale()),
    };
    let mut deletion = Deletion::default();
    if !disks.is_empty() {
        let at = places.disks.get(&comparable(&target_of(journal))).ok_or_else(stale)?;
        let target = FileState::of_relative(&forest.disks[*at].facts);
        // Nobody may change the target while the files are deleted whose data it has.
        let _target = open_as_planned(files, &target)?;
        for at in disks {
            let state = FileState::of_relative(&forest.disks[at].facts);
            let locked = open_as_planned(files, &state)?;
            let _locked = locked_while_deleting(locked);
            files.delete(&state)?;
            deletion.deleted.push(state.path);
        }
    }
    found.leave_record(&target_of(journal), forest, files)?;
    files.delete_journal(journal)?;
    Ok(deletion)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that was not searched, or whose folder is not mounted, is not deleted.
    #[test]
    fn a_file_that_was_not_found_may_exist() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.avhdx");
        assert!(!may_exist(&path));
        std::fs::write(&path, "").unwrap();
        assert!(may_exist(&path) && may_exist(&folder.path().join("not mounted/a.avhdx")));
    }

    #[test]
    fn only_whole_journals_are_journals() {
        let state = FileState {
            path: "/no such folder/a b\n.avhdx".into(),
            identity: None,
            file_write_guid: Uuid::from_u128(1),
            data_write_guid: Uuid::from_u128(2),
            virtual_size: 0,
            file_len: None,
        };
        let record = PruneRecord { levels: 1, ..PruneRecord::new(std::time::UNIX_EPOCH) };
        let bytes = deleting(Uuid::from_u128(3), [&state], &record);
        let line = Line {
            file_write_guid: Uuid::from_u128(1),
            data_write_guid: Uuid::from_u128(2),
            path: "/no such folder/a b%0A.avhdx".to_owned(),
        };
        let state = State::Deleting { target: Uuid::from_u128(3), files: vec![line] };
        assert_eq!(Journal::decode(&bytes), Some(Journal { state, record: record.clone() }));
        let bytes_before = merging(&record);
        let journal = Journal { state: State::Merging, record };
        assert_eq!(Journal::decode(&bytes_before), Some(journal));
        for bytes in [&bytes, &bytes_before] {
            for len in 0..bytes.len() {
                assert_eq!(Journal::decode(&bytes[..len]), None, "{len}");
            }
        }
        let text = String::from_utf8(bytes_before).unwrap();
        for text in [
            "",
            "my notes",
            "vhdx prune 1\nmerging\n",
            &text.replace("vhdx prune 1", "vhdx prune 2"),
            &text.replace("merging\n", "merging\nfile x\n"),
            &text.replace("merging\n", "deleting x\n"),
            &format!("{text}x"),
        ] {
            assert_eq!(Journal::decode(text.as_bytes()), None, "{text}");
        }
        assert_eq!(target_of(&path_of(Path::new("vm/base.vhdx"))), Path::new("vm/base.vhdx"));
    }
}
