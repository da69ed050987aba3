//! The plan of a merge in place: plain data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::batches::{BatchInputs, Totals};
use super::block::BlockAction;
use super::chain_facts::ChainFacts;
use super::items::ItemChanges;
use super::needs::Needs;
use super::space_count::Unwritten;
use super::state::FileState;
use crate::error::{Conflict, Error, Result};
use crate::family::OtherFormat;
use crate::file::Vhdx;
use crate::rules::Rule;

/// A plan for merging a disk, and all layers between, into one of its ancestors: the target.
///
/// Afterwards the target reads as the disk does, and the disk's children have the target as their parent.
///
/// The plan is plain data of at most 64 MiB. It counts the changes of the target, but does not store them: execution
/// computes them again, from the locked and unchanged files.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MergePlan {
    pub(super) layers: Vec<FileState>,
    pub(super) children: Vec<FileState>,
    pub(super) relinked: Vec<FileState>,
    pub(super) left_over: Vec<FileState>,
    pub(super) copied: bool,
    /// Whether the target's child stops naming the target at the end.
    ///
    /// Otherwise it would block later merges. This is only needed if an earlier version began the merge: its files do
    /// not say that the merge is complete.
    pub(super) detach: bool,
    pub(super) delete: Vec<usize>,
    pub(super) virtual_size: u64,
    pub(super) virtual_size_before: u64,
    pub(super) bytes_dropped: u64,
    /// Whether the target's disk shrinks after the last batch.
    pub(super) shrinks: bool,
    /// How the target's metadata items change after the last batch.
    pub(super) items: ItemChanges,
    /// What the writes to the target's blocks depend on; `None` if an earlier run has copied everything.
    pub(super) batch_inputs: Option<BatchInputs>,
    pub(super) totals: Totals,
    pub(super) bytes_to_copy: u64,
    pub(super) file_size: u64,
    pub(super) growth_bytes: u64,
    /// How many bytes are written to existing parts of the target's file that may be holes.
    pub(super) overwritten_bytes: u64,
    pub(super) unwritten: Unwritten,
    pub(super) needs: Needs,
    pub(super) undetermined: Vec<(PathBuf, String)>,
    pub(super) possible_dependents: Vec<PathBuf>,
    pub(super) other_formats: Vec<OtherFormat>,
    pub(super) folders: Vec<PathBuf>,
    /// Empty unless [`prepare`](Self::prepare) made the plan.
    pub(super) facts: ChainFacts,
}

impl MergePlan {
    /// Returns the files of the merge, leaf first. The last one is the target, into which all others are merged.
    pub fn layers(&self) -> &[FileState] {
        &self.layers
    }

    /// Returns the children of the merged disk that are to be relinked to the target, in this order.
    pub fn children(&self) -> &[FileState] {
        &self.children
    }

    /// Returns the children of the merged disk that an earlier run has relinked.
    pub fn relinked(&self) -> &[FileState] {
        &self.relinked
    }

    /// Returns layers left over from earlier, completed merges.
    ///
    /// No disk needs them. They no longer open once the target changes.
    pub fn left_over(&self) -> &[FileState] {
        &self.left_over
    }

    /// Returns whether an earlier run has copied everything.
    ///
    /// The target's child and the target say so, or a relinked child proves it.
    pub fn is_copied(&self) -> bool {
        self.copied
    }

    /// Returns the indices of the layers that are deleted at the end, in this order.
    pub fn deleted_layers(&self) -> &[usize] {
        &self.delete
    }

    /// Returns the virtual size of the target at the end, in bytes: that of the merged disk.
    pub fn virtual_size(&self) -> u64 {
        self.virtual_size
    }

    /// Returns the virtual size of the target now, in bytes.
    pub fn virtual_size_before(&self) -> u64 {
        self.virtual_size_before
    }

    /// Returns how many bytes of data are lost because they lie past the merged disk's end.
    ///
    /// These are the data that the target's disk shows there, and the data that the layers between have there. Every
    /// sector that has a place in a file counts, whatever its content.
    pub fn bytes_dropped(&self) -> u64 {
        self.bytes_dropped
    }

    /// Returns how many bytes are read from the merged layers: each byte once, from the newest layer that has it.
    pub fn bytes_to_copy(&self) -> u64 {
        self.bytes_to_copy
    }

    /// Returns the length of the target's file at the end, in bytes.
    pub fn file_size(&self) -> u64 {
        self.file_size
    }

    /// Returns how many bytes the target's file grows by.
    pub fn growth_bytes(&self) -> u64 {
        self.growth_bytes
    }

    /// Returns the files and folders whose relation to the merge could not be determined, and why.
    pub fn undetermined(&self) -> &[(PathBuf, String)] {
        &self.undetermined
    }

    /// Returns those of the undetermined files and folders that may be or contain a disk that needs the merged files.
    ///
    /// As long as there are any, the merged files are deleted only with [`MergeOptions::ignore_undetermined`].
    ///
    /// [`MergeOptions::ignore_undetermined`]: super::MergeOptions::ignore_undetermined
    pub fn possible_dependents(&self) -> &[PathBuf] {
        &self.possible_dependents
    }

    /// Returns the files in the searched folders that are named like a VHDX but have another format.
    ///
    /// They do not count as children.
    pub fn other_formats(&self) -> &[OtherFormat] {
        &self.other_formats
    }

    /// Returns the folders that were searched for children.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Checks that `layers`, leaf first, are the plan's files in the state that was planned for.
    ///
    /// # Errors
    /// [`Conflict::StalePlan`] if they are not.
    pub fn validate_state(&self, layers: &[Vhdx]) -> Result<()> {
        let fits = layers.len() == self.layers.len()
            && self.layers.iter().zip(layers).all(|(state, vhdx)| state.matches(vhdx));
        if fits { Ok(()) } else { Err(Conflict::StalePlan.into()) }
    }

    /// Returns whether an earlier run has merged everything.
    ///
    /// At most, the layers remain to be deleted.
    pub fn is_merged(&self) -> bool {
        self.copied && self.children.is_empty() && !self.detach
    }

    /// Returns whether nothing remains to be done, not even a deletion.
    pub fn is_done(&self) -> bool {
        self.is_merged() && self.delete.is_empty()
    }

    /// Returns how many blocks of the target have each action.
    pub fn block_counts(&self) -> BTreeMap<BlockAction, u64> {
        self.totals.blocks.clone()
    }

    /// Returns the number of batches, each of which is one transaction.
    pub fn batch_count(&self) -> u64 {
        self.totals.batches
    }

    /// Returns the rules that BAT entries of the chain's files break although they are tolerated.
    ///
    /// Each comes with the file and the number of these entries.
    pub fn tolerated_bat_rules(&self) -> &[(PathBuf, Rule, u64)] {
        &self.facts.tolerated_bat_rules
    }

    /// Returns the links of the chain for which no stored path leads to the parent, as child and parent.
    ///
    /// These parents were found by GUID.
    pub fn found_by_guid(&self) -> &[(PathBuf, PathBuf)] {
        &self.facts.found_by_guid
    }

    /// Returns the error about a merge of an earlier version into the merged disk that may be incomplete.
    ///
    /// Its kind is [`HalfMerged`](crate::ChainErrorKind::HalfMerged). The files do not say whether that merge is
    /// complete, so it does not stop this one.
    pub fn possible_merge(&self) -> Option<&Error> {
        self.facts.possible_merge.as_deref()
    }
}
