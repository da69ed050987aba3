//! Reverts a machine's disk to a checkpoint: a new, empty child of the checkpoint replaces the disk.
//!
//! Before the old disk is deleted, a record is written beside the new one. From this record, a machine whose
//! configuration still names the old disk is joined to the new disk. While the old disk exists, the record is ignored.
//! It is written as pending, and completed after the deletion. If the revert is killed between the two, the disk of the
//! machine is reported as not found.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use super::create::{ChildOptions, NewChild, create, new_child};
use super::merge::{
    FileState, HostFiles, OpenFile, Undeleted, ensure_not_half_merged, locked_while_deleting, open_as_planned,
};
use super::prune::PruneFiles;
use super::related_parents::RelatedParents;
use crate::disk::Chain;
use crate::error::{Conflict, Error, InvalidArgument, Result};
use crate::family::{
    DiscoveredDisk, Family, FamilyRelatives, Forest, FoundRecord, MachineConfiguration, PruneRecord,
    folders_around, record_of, relative_to_target,
};
use crate::file::read_data_write_guid;
use crate::progress::Progress;
use crate::storage::{FileStorage, IfExists, NewFile, Storage};

/// A plan to revert a disk to a checkpoint.
///
/// The new disk is an empty child of the checkpoint's file. No existing file changes. The old disk stays, unless
/// [`execute`](Self::execute) is asked to delete it.
#[derive(Debug)]
#[non_exhaustive]
pub struct RevertPlan {
    /// The disk that the machine uses now.
    pub old: PathBuf,
    /// The file of the checkpoint.
    pub checkpoint: PathBuf,
    /// The names of the checkpoint.
    pub names: Vec<String>,
    /// The new disk, which the machine must use instead of the old one.
    pub new: PathBuf,
    /// The configurations that name the old disk.
    pub configurations: Vec<PathBuf>,
    /// The description of the new disk. The checkpoint's file is locked against writers until this is dropped.
    pub child: NewChild,
    /// Why the old disk cannot be deleted, as far as the forest shows.
    pub old_is_needed: Option<OldIsNeeded>,
    /// The record that is left beside the new disk if the old one is deleted.
    pub record: PathBuf,
    /// The record of the old disk.
    old_record: Option<FoundRecord>,
    old_state: FileState,
    folders: Vec<PathBuf>,
}

/// Why a reverted disk must stay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum OldIsNeeded {
    /// It is the checkpoint, or the checkpoint depends on it.
    ByCheckpoint,
    /// A configuration of a checkpoint, or of another machine, names it.
    ByConfiguration(#[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))] PathBuf),
    /// This disk is a child of it.
    By(#[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))] PathBuf),
}

/// What a [revert](RevertPlan::execute) did.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct RevertReport {
    /// The new disk.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub new: PathBuf,
    /// The old disk, if it was deleted.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub deleted: Option<PathBuf>,
    /// The record beside the new disk, if it was left: the machine must use the new disk instead of the old one.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub record: Option<PathBuf>,
    /// The old disk or its record, if it should have been deleted but was not. Or the record of the new disk, if it
    /// could not be completed after the deletion. The new disk exists nevertheless.
    ///
    /// If the record of the new disk cannot be written, the old disk is not deleted.
    pub undeleted: Option<Undeleted>,
}

/// Access to the files of a revert.
pub trait RevertFiles: PruneFiles {
    /// Creates a file, and lets `write` fill it. The file exists durably and complete when this returns, or not at all.
    ///
    /// # Errors
    /// Those of `write` and of the host; [`Conflict::DestinationExists`](crate::Conflict::DestinationExists).
    fn create(&self, path: &Path, write: &mut dyn FnMut(&dyn Storage) -> Result<()>) -> Result<()>;
}

impl RevertFiles for HostFiles {
    fn create(&self, path: &Path, write: &mut dyn FnMut(&dyn Storage) -> Result<()>) -> Result<()> {
        let file = NewFile::create(path, IfExists::Fail)?;
        write(&file)?;
        file.commit()
    }
}

impl RevertPlan {
    /// Plans to revert the disk `old`, which is in the forest, to the checkpoint with a name.
    ///
    /// `name` is the name of a checkpoint of the same family, in any case, or the name or path of its file. `new` is the
    /// path of the new disk; by default, it is beside the old one and named as Hyper-V would name it. Nothing is written.
    ///
    /// # Errors
    /// - [`InvalidArgument::UnknownDisk`] if the disk is not in the forest.
    /// - [`InvalidArgument::UnknownCheckpoint`] and [`InvalidArgument::SeveralCheckpoints`].
    /// - [`Conflict::DestinationExists`] if the record of another disk has the place of the new disk's record.
    /// - Those of [`new_child`], [`Chain::open`], and [`ensure_not_half_merged`].
    pub fn new(forest: &Forest, old: &Path, name: &str, new: Option<&Path>) -> Result<Self> {
        let at = position(forest, old)?;
        let families = forest.families();
        let family = families.iter().find(|family| family.disks.contains(&at));
        let family = family.ok_or_else(|| unknown(old))?;
        let (checkpoint, names) = find_checkpoint(forest, family, name)?;
        let path = &forest.disks[checkpoint].facts.path;
        let relatives = FamilyRelatives::of(forest).of_family(family);
        let chain = Chain::open(path, &RelatedParents::of(forest))?;
        ensure_not_half_merged(chain.leaf(), &relatives)?;
        let new = new.map_or_else(|| beside(old), Path::to_owned);
        let record = record_of(&new);
        if record.symlink_metadata().is_ok() {
            return Err(Error::from(Conflict::DestinationExists).in_file(&record));
        }
        let child = new_child(&chain, &new, &ChildOptions::default())?;
        let configurations =
            forest.configurations().filter(|configuration| configuration.disks().any(|disk| disk == at));
        Ok(Self {
            old: old.to_owned(),
            checkpoint: path.clone(),
            names,
            new,
            configurations: configurations.map(|configuration| configuration.path.clone()).collect(),
            child,
            old_is_needed: old_is_needed(forest, at, checkpoint),
            record,
            old_record: forest.records.of(at).cloned(),
            old_state: FileState::of_relative(&forest.disks[at].facts),
            folders: relatives.folders,
        })
    }

    /// Creates the new disk, and then deletes the old one if `delete_old` asks for it.
    ///
    /// Before the old disk is deleted, the record is left beside the new one. The new disk is complete or absent. The old one is deleted only if it is unchanged and not in use, and if no disk
    /// in the folders of its family depends on it, or may.
    ///
    /// # Errors
    /// - [`Conflict::DestinationExists`](crate::Conflict::DestinationExists), [`Error::Io`].
    /// - [`InvalidArgument::DiskIsNeeded`] if the old disk is to be deleted, but another one depends on it. Nothing was
    ///   written then.
    pub fn execute(
        &self,
        delete_old: bool,
        files: &dyn RevertFiles,
        progress: &dyn Progress,
    ) -> Result<RevertReport> {
        let locked = match delete_old {
            true => Some(self.ensure_deletable(files)?),
            false => None,
        };
        let mut guid = None;
        files.create(&self.new, &mut |file| {
            let made = create(&self.child.disk, file, progress).and_then(|_| read_data_write_guid(file));
            guid = made.map_err(|error| error.in_file(&self.new))?;
            Ok(())
        })?;
        let mut report = RevertReport { new: self.new.clone(), deleted: None, record: None, undeleted: None };
        if let Some(locked) = locked {
            self.delete_old(locked, guid, files, &mut report);
        }
        Ok(report)
    }

    /// Leaves the record of the new disk, which has this DataWriteGuid, and then deletes the old disk and its record.
    fn delete_old(
        &self,
        locked: OpenFile,
        guid: Option<Uuid>,
        files: &dyn RevertFiles,
        report: &mut RevertReport,
    ) {
        let undeleted =
            |path: &Path, error| Some(Undeleted { path: path.to_owned(), error: Arc::new(error) });
        let stale = || Error::from(Conflict::StalePlan).in_file(&self.new);
        let leave = |is_pending| {
            let record = PruneRecord { is_pending, ..self.new_record() };
            files.write_journal(&self.record, &record.file(guid.ok_or_else(stale)?))
        };
        // If the deletion is interrupted, nobody knows whether it was done.
        if let Err(error) = leave(true) {
            report.undeleted = undeleted(&self.old, error);
            return;
        }
        report.record = Some(self.record.clone());
        let _locked = locked_while_deleting(locked);
        if let Err(error) = files.delete(&self.old_state) {
            report.undeleted = undeleted(&self.old, error);
            return;
        }
        report.deleted = Some(self.old.clone());
        if let Err(error) = leave(false) {
            report.undeleted = undeleted(&self.record, error);
            return;
        }
        // The record of the new disk says the same about the machine.
        if let Some(old) = self.old_record.as_ref().filter(|found| found.is_beside()).map(FoundRecord::file)
            && let Err(error) = files.delete_journal(&old)
        {
            report.undeleted = undeleted(&old, error);
        }
    }

    /// Returns the record of the new disk: it replaces the old one, and the files that the old one has replaced.
    fn new_record(&self) -> PruneRecord {
        let earlier = self.old_record.iter().flat_map(|found| {
            let moved = found.record.state_of.iter().filter(|_| found.has_moved_state());
            let replaced = found.replaced().chain(moved.map(|state| &state.path));
            replaced.map(|recorded| found.rebased(recorded, &self.new))
        });
        PruneRecord {
            disk: Some(self.child.disk.virtual_disk_id),
            replaces: std::iter::once(relative_to_target(&self.new, &self.old)).chain(earlier).collect(),
            ..PruneRecord::new(SystemTime::now())
        }
    }

    /// Locks the old disk, if it is as planned and nothing depends on it.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    fn ensure_deletable(&self, files: &dyn RevertFiles) -> Result<OpenFile> {
        let needed = |by| Error::from(InvalidArgument::DiskIsNeeded { by }).in_file(&self.old);
        match &self.old_is_needed {
            Some(OldIsNeeded::ByCheckpoint) => {
                return Err(needed(self.checkpoint.clone()));
            }
            Some(OldIsNeeded::By(child) | OldIsNeeded::ByConfiguration(child)) => {
                return Err(needed(child.clone()));
            }
            None => {}
        }
        let locked = open_as_planned(files, &self.old_state)?;
        let relatives = files.relatives(&folders_around([self.old.as_path()], &self.folders))?;
        if let Some(child) = relatives.children_of(self.old_state.data_write_guid).next() {
            return Err(needed(child.path.clone()));
        }
        relatives.ensure_all_determined(&self.old)?;
        Ok(locked)
    }
}

fn old_is_needed(forest: &Forest, old: usize, checkpoint: usize) -> Option<OldIsNeeded> {
    let parent = |&disk: &usize| forest.disks[disk].parent;
    if std::iter::successors(Some(checkpoint), parent).any(|disk| disk == old) {
        return Some(OldIsNeeded::ByCheckpoint);
    }
    if let Some(&child) = forest.disks[old].children.first() {
        return Some(OldIsNeeded::By(forest.disks[child].facts.path.clone()));
    }
    let names = |configuration: &&MachineConfiguration| configuration.disks().any(|disk| disk == old);
    let frozen = forest.checkpoint_configurations().find(names);
    // One machine is the one whose disk is reverted.
    let machines = forest.machines.iter().map(|machine| &machine.configuration);
    let by = frozen.or_else(|| machines.filter(names).nth(1))?;
    Some(OldIsNeeded::ByConfiguration(by.path.clone()))
}

fn unknown(path: &Path) -> Error {
    Error::from(InvalidArgument::UnknownDisk).in_file(path)
}

fn position(forest: &Forest, path: &Path) -> Result<usize> {
    let identity = FileStorage::open(path)?.identity().map_err(|error| error.in_file(path))?;
    let is_it = |disk: &DiscoveredDisk| disk.facts.identity == Some(identity);
    forest.disks.iter().position(is_it).ok_or_else(|| unknown(path))
}

/// Returns the only checkpoint of the family with a name, and its names.
fn find_checkpoint(forest: &Forest, family: &Family, name: &str) -> Result<(usize, Vec<String>)> {
    let is_same = |other: &str| other.to_lowercase() == name.to_lowercase();
    let identity = FileStorage::open(Path::new(name)).and_then(|file| file.identity()).ok();
    let is_meant = |disk: usize, names: &[String]| {
        let facts = &forest.disks[disk].facts;
        let file_name = facts.path.file_name().map(|name| name.to_string_lossy());
        names.iter().any(|name| is_same(name))
            || file_name.is_some_and(|name| is_same(&name))
            || identity.is_some() && facts.identity == identity
    };
    let with_children =
        forest.checkpoints().into_iter().map(|checkpoint| (checkpoint.disk, checkpoint.names));
    let of_family: Vec<(usize, Vec<String>)> =
        with_children.chain(forest.frozen_leaves()).filter(|(disk, _)| family.disks.contains(disk)).collect();
    let found: Vec<usize> =
        of_family.iter().filter(|(disk, names)| is_meant(*disk, names)).map(|(disk, _)| *disk).collect();
    let path = |disk: usize| forest.disks[disk].facts.path.clone();
    match found[..] {
        [disk] => {
            // It is one of them.
            let names = of_family.into_iter().find(|(of, _)| *of == disk);
            Ok((disk, names.map_or_else(Vec::new, |(_, names)| names)))
        }
        [] => {
            let shown = |disk: usize, names: &[String]| match names.first() {
                Some(name) => name.clone(),
                None => {
                    // Every file has a name.
                    path(disk).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
                }
            };
            let known = of_family.iter().map(|(disk, names)| shown(*disk, names)).collect();
            Err(InvalidArgument::UnknownCheckpoint { name: name.to_owned(), known }.into())
        }
        _ => {
            let paths = found.into_iter().map(path).collect();
            Err(InvalidArgument::SeveralCheckpoints { name: name.to_owned(), paths }.into())
        }
    }
}

/// Returns the path of a new disk beside another one, as Hyper-V names it: the name of the base, and a GUID.
fn beside(old: &Path) -> PathBuf {
    let stem = old.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(); // A file has a name.
    let guid_at =
        stem.len().checked_sub(37).filter(|&at| stem.is_char_boundary(at) && stem[at..].starts_with('_'));
    let base = guid_at
        .filter(|&at| Uuid::try_parse(&stem[at + 1..]).is_ok())
        .map_or(stem.as_str(), |at| &stem[..at]);
    old.with_file_name(format!("{base}_{}.avhdx", Uuid::new_v4().to_string().to_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_disk_is_named_as_hyper_v_names_it() {
        let name = |old: &str| beside(Path::new(old)).file_name().unwrap().to_str().unwrap().to_owned();
        for old in ["vm/web.vhdx", "vm/web_0A6C3E9D-6B24-4E1B-9C58-1A6B0E0F8C11.avhdx"] {
            let new = name(old);
            let guid = new.strip_prefix("web_").unwrap().strip_suffix(".avhdx").unwrap();
            assert!(Uuid::try_parse(guid).is_ok() && guid == guid.to_uppercase(), "{new}");
            assert_eq!(beside(Path::new(old)).parent(), Some(Path::new("vm")));
        }
        assert!(name("web_1.vhdx").starts_with("web_1_"));
        assert!(name("é_0A6C3E9D-6B24-4E1B-9C58-1A6B0E0F8C1.vhdx").starts_with("é_0A6C"));
    }
}
