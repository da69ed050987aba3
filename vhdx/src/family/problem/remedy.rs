//! Decides what the user can do about a problem. The caller words it.
//!
//! An administrator follows a remedy while a chain is broken, and any file may hold the only copy of some data. So a
//! remedy names a file to delete only if the files prove that it is no longer needed.

use std::io;
use std::path::{Path, PathBuf};

use super::Problem;
use super::pruned::{PrunedParent, TargetContent};
use super::substitute::{self, Fallback};
use crate::error::Error;
use crate::family::machine::problem::{MachineProblem, UnusedDisk};

/// What the user can do about a [`Problem`].
///
/// It is exhaustive, so that a program that words it words every variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy<'a> {
    /// Search again as a user who may read the file or folder.
    GetAccess,
    /// End the program that uses the file, and search again.
    EndUse,
    /// The path does not exist: correct it, and search again.
    CorrectPath,
    /// Remove the cause of the error, and search again.
    RemoveCause,
    /// Check the file for what can still be read, or restore the disk to another folder.
    ///
    /// The file must stay until the restored disk opens.
    Examine,
    /// Give the file a name that matches its format, and unpack it.
    Unpack,
    /// Give the file a name that matches its format, or convert it to VHDX.
    Convert,
    /// Make the disk available to which the path is a link.
    MakeAvailable,
    /// Nothing is needed: a converted copy of the file breaks no rule.
    Rewrite,
    /// Rename the file to a name that Windows allows.
    Rename,
    /// Keep the change tracking file as long as the disk is unchanged, and delete it after an offline change.
    KeepSideFile {
        /// The `.rct` or `.mrt` file.
        side_file: &'a Path,
    },
    /// Compare the files, and move copies that are not used to a folder in which parents are not searched for.
    SeparateCopies,
    /// Compare the possible parents, and link the child to the right one.
    ChooseParent,
    /// Store the path of the parent in the child, or name the parent whenever the chain is opened.
    StorePath {
        /// The parent.
        parent: &'a Path,
    },
    /// Give the parent its old name and folder again, because a configuration names it there too.
    MoveBack {
        /// The parent.
        parent: &'a Path,
        /// The configuration.
        configuration: &'a Path,
    },
    /// Solve the problems of the parent's chain first, because the child can be relinked only to a complete chain.
    CompleteChainOf {
        /// The parent.
        parent: &'a Path,
    },
    /// Make these files and folders readable, because the missing parent may be there, and search again.
    IdentifyParent {
        /// The first of the files and folders.
        files: &'a [PathBuf],
        /// The number of files and folders.
        count: usize,
    },
    /// A merge of an earlier version left the file.
    ///
    /// Complete that merge. Delete merged files only if all disks in use open.
    CompleteEarlierMerge,
    /// Find an unchanged copy of the missing parent.
    FindParent {
        /// What is possible if there is no copy.
        fallback: Option<Fallback<'a>>,
    },
    /// Restore all files of the chain from one backup to another folder, because a prune deleted or changed the parent.
    ///
    /// The disks that the prune kept do not need a child that was restored from a backup.
    RestorePrunedChain {
        /// The parent, and what the prune did with it.
        parent: &'a PrunedParent,
    },
    /// Restore the merged files from the backup of this copy, or this file from a backup made after the prune.
    RestoreMergedFiles {
        /// The merged files.
        merged: &'a [PathBuf],
    },
    /// Complete the merge of one disk into another, and leave all its files alone until then.
    CompleteMerge {
        /// The merged disk, or the merged layer whose parent is the target.
        merged: &'a Path,
        /// The merge target.
        target: &'a Path,
    },
    /// Find all files of the merge that this file is a layer of, and complete the merge.
    FindMerge,
    /// Find the files that are being merged into this disk, and complete the merge.
    FindMergedFiles,
    /// Delete these files in this order, and only these, if no virtual machine uses them.
    DeleteLeftOvers {
        /// The files that are no longer needed.
        layers: &'a [PathBuf],
        /// The merge target, which must stay. If it is unknown, it must be found first.
        target: Option<&'a Path>,
    },
    /// Search the folder of the parent, too.
    SearchFolderOf {
        /// The parent.
        parent: &'a Path,
    },
    /// Find the file from which the child was created, which has the same sector size.
    FindOriginal,
    /// Restore the files from a backup to another folder, because their linkages are wrong.
    RestoreChain,
    /// Merge the parent of this file into one of its own ancestors.
    ShortenChain,
    /// Copy the configuration file again. The disks need no change.
    CopyConfiguration,
    /// Search the folder of the disk, too, make the damaged file readable, or give the disk its old path again.
    FindDisk {
        /// The path of the disk on the host of the machine.
        stored: &'a str,
        /// The disks that it may be.
        candidates: &'a [PathBuf],
        /// The unreadable file that is probably the disk, or the unreadable folder that probably contains it.
        damaged: Option<&'a Path>,
        /// The disk under its present name.
        moved_to: Option<&'a Path>,
    },
    /// Let the machine use this disk instead of the one that it names.
    UseTarget {
        /// The merge target, or the new disk of a revert.
        target: &'a Path,
    },
    /// Apply the checkpoint with [`RevertPlan`](crate::ops::RevertPlan), because Hyper-V no longer finds its disk.
    ApplyOffline {
        /// The disk that has the state.
        target: &'a Path,
    },
    /// The configuration of the checkpoint is no longer needed.
    DeleteConfiguration,
    /// Restore the record, or delete it. The disks do not need it.
    RestoreRecord,
    /// Give the record the name of its disk. If the disk is in another folder, move the disk back, and leave the record
    /// where it is.
    RenameRecord {
        /// The disk.
        target: &'a Path,
    },
    /// Find out whether the record belongs to this disk. If it does, give the record its name.
    ///
    /// The disk must stay until this is known: it may be the one that a machine uses.
    FindDiskOfRecord {
        /// The disk.
        candidate: &'a Path,
    },
    /// The checkpoint cannot be applied as a whole. Select all disks of a checkpoint, or none.
    SelectAllDisks {
        /// The disks whose states were kept and found.
        disks: &'a [PathBuf],
    },
    /// Start only one of the machines, or give each a disk of its own.
    UseOnce,
    /// Do not start the machine. Let it use the newest disk of the chain.
    AttachNewest,
    /// Choose the disk in the settings of a machine, find the machine that uses it, or delete it.
    ///
    /// It must stay until it is known to be unused.
    FindMachine {
        /// What is known about the disk.
        disk: &'a UnusedDisk,
    },
    /// Find the machine's configuration. Solve the problems that hide it first, or search its folder too.
    FindConfiguration {
        /// The file or folder whose problem is probably the reason.
        cause: Option<&'a Path>,
        /// Whether disks that the checkpoint names were not found.
        lacks_disks: bool,
    },
}

impl Problem {
    /// Returns what the user can do about the problem.
    pub fn remedy(&self) -> Remedy<'_> {
        match self {
            Problem::Unreadable { error, .. } => match io_kind(error) {
                Some(io::ErrorKind::PermissionDenied) => Remedy::GetAccess,
                Some(io::ErrorKind::ResourceBusy) => Remedy::EndUse,
                Some(io::ErrorKind::NotFound) => Remedy::CorrectPath,
                _ => Remedy::RemoveCause,
            },
            Problem::Machine(problem) => of_machine(problem),
            Problem::Damaged { .. } => Remedy::Examine,
            Problem::OtherFormat { format, .. } if format.is_packed() => Remedy::Unpack,
            Problem::OtherFormat { .. } => Remedy::Convert,
            Problem::NotARegularFile { .. } => Remedy::MakeAvailable,
            Problem::Imperfect { .. } => Remedy::Rewrite,
            Problem::NameNotAllowedOnWindows { .. } => Remedy::Rename,
            Problem::SideFile { side_file, .. } => Remedy::KeepSideFile { side_file },
            Problem::DuplicateGuid { .. } => Remedy::SeparateCopies,
            Problem::AmbiguousParent { .. } => Remedy::ChooseParent,
            Problem::StalePath { parent, configuration: Some(configuration), .. } => {
                Remedy::MoveBack { parent, configuration }
            }
            Problem::StalePath { parent, parent_opens: true, .. } => Remedy::StorePath { parent },
            Problem::StalePath { parent, .. } => Remedy::CompleteChainOf { parent },
            Problem::LostParent { expected, .. } if expected.is_empty() => Remedy::CompleteEarlierMerge,
            Problem::LostParent { unidentified, unidentified_count: count @ 1.., .. } => {
                Remedy::IdentifyParent { files: unidentified, count: *count }
            }
            Problem::LostParent { substitutes, .. } => {
                Remedy::FindParent { fallback: substitute::fallback(substitutes) }
            }
            Problem::PrunedParent { parent, .. } => Remedy::RestorePrunedChain { parent },
            Problem::OlderThanPrune { merged, .. } => Remedy::RestoreMergedFiles { merged },
            Problem::LayerOfMerge { merged: Some(merged), target: Some(target), .. } => {
                Remedy::CompleteMerge { merged, target }
            }
            Problem::LayerOfMerge { .. } => Remedy::FindMerge,
            Problem::MergeBegun { path, target, .. } => Remedy::CompleteMerge { merged: path, target },
            Problem::HalfMerged { .. } => Remedy::FindMergedFiles,
            Problem::LeftOver { layers, target, .. } => {
                Remedy::DeleteLeftOvers { layers, target: target.as_deref() }
            }
            Problem::ParentElsewhere { parent, .. } => Remedy::SearchFolderOf { parent },
            Problem::SectorSize { .. } => Remedy::FindOriginal,
            Problem::Cycle { .. } => Remedy::RestoreChain,
            Problem::TooDeep { .. } => Remedy::ShortenChain,
        }
    }
}

fn of_machine(problem: &MachineProblem) -> Remedy<'_> {
    match problem {
        MachineProblem::Unreadable { .. } | MachineProblem::Imperfect { .. } => Remedy::CopyConfiguration,
        MachineProblem::MissingDisk { stored, candidates, damaged, moved_to, .. } => Remedy::FindDisk {
            stored,
            candidates,
            damaged: damaged.as_deref(),
            moved_to: moved_to.as_deref(),
        },
        MachineProblem::MergedDisk { target, is_checkpoint: true, .. } => Remedy::ApplyOffline { target },
        MachineProblem::MergedDisk { target, .. } | MachineProblem::ReplacedDisk { target, .. } => {
            Remedy::UseTarget { target }
        }
        MachineProblem::RecordElsewhere { target, .. } => Remedy::RenameRecord { target },
        MachineProblem::RecordWithoutDisk { candidate, .. } => Remedy::FindDiskOfRecord { candidate },
        MachineProblem::DamagedRecord { .. } => Remedy::RestoreRecord,
        MachineProblem::DeletedCheckpoint { .. } => Remedy::DeleteConfiguration,
        MachineProblem::PartlyDeletedCheckpoint { disks, .. } => Remedy::SelectAllDisks { disks },
        MachineProblem::SharedDisk { .. } => Remedy::UseOnce,
        MachineProblem::NotTheNewest { .. } => Remedy::AttachNewest,
        MachineProblem::NoMachine(disk) => Remedy::FindMachine { disk },
        MachineProblem::UnknownMachine { cause, lacks_disks, .. } => {
            Remedy::FindConfiguration { cause: cause.as_deref(), lacks_disks: *lacks_disks }
        }
    }
}

impl Remedy<'_> {
    /// Returns whether another problem must be solved first, because this one is probably its consequence.
    pub const fn is_consequence(&self) -> bool {
        match self {
            Remedy::IdentifyParent { .. }
            | Remedy::RestorePrunedChain { parent: PrunedParent { content: TargetContent::Restored, .. } }
            | Remedy::CompleteChainOf { .. }
            | Remedy::MoveBack { .. }
            | Remedy::FindDisk { damaged: Some(_), .. }
            | Remedy::SelectAllDisks { disks: [] }
            | Remedy::FindConfiguration { cause: Some(_), .. }
            | Remedy::FindConfiguration { lacks_disks: true, .. } => true,
            Remedy::FindMachine { disk } => disk.may_be_needed_by.is_some(),
            _ => false,
        }
    }
}

/// Returns the kind of an input or output error; `None` for other errors.
fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    match error {
        Error::InFile { error, .. } => io_kind(error),
        Error::Io { source, .. } => Some(source.kind()),
        _ => None,
    }
}
