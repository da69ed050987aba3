//! Detects that a merge has already been completed.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::deletion::Deletion;
use super::execute::is_path_of;
use super::files::MergeFiles;
use super::locked::{self, locked_while_deleting, make_durable, open_as_planned};
use super::options::MergeOptions;
use super::relations::find_newcomer;
use super::state::FileState;
use crate::disk::mark::Linkages;
use crate::disk::{InspectedLayer, Link};
use crate::error::{ChainFault, Conflict, Error, Result, Undetermined};
use crate::family::{FileFacts, Relatives};
use crate::format::parent_locator::ParentLocator;

/// A disk that was merged before, into a target that was changed since or is gone.
///
/// Either the target's child says that the merge is complete, or that layer names no parent any more. Merges of earlier
/// versions leave it without a parent once all children are relinked. There is nothing to copy.
/// [`may_delete`](Self::may_delete) says whether the layers can be deleted.
///
/// [`delete`](Self::delete) relies on all fields, so they are private.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AlreadyMerged {
    layers: Vec<FileState>,
    layers_say_complete: bool,
    relinked: Vec<FileState>,
    targets: Vec<FileState>,
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    remaining_children: Vec<(PathBuf, PathBuf)>,
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    folders: Vec<PathBuf>,
}

impl AlreadyMerged {
    /// Returns the merged layers, leaf first. They can be deleted in this order.
    pub fn layers(&self) -> &[FileState] {
        &self.layers
    }

    /// Returns whether the layers themselves say that the merge is complete.
    pub fn layers_say_complete(&self) -> bool {
        self.layers_say_complete
    }

    /// Returns the children of the merged disk that were relinked.
    ///
    /// Each names its present parent, which was found, and the merged disk.
    pub fn relinked(&self) -> &[FileState] {
        &self.relinked
    }

    /// Returns the present parents of the relinked children, which hold the merged data: the target of the merge.
    ///
    /// There are several if a child was relinked again since.
    pub fn targets(&self) -> &[FileState] {
        &self.targets
    }

    /// Returns the disks whose parent is still one of the layers, each with that layer.
    pub fn remaining_children(&self) -> &[(PathBuf, PathBuf)] {
        &self.remaining_children
    }

    /// Returns the folders that were searched for children.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Returns whether the files show that this disk was merged.
    ///
    /// The layers say so, or a relinked child proves it. Otherwise the target's child is left over from a merge of an
    /// earlier version, but perhaps of another disk.
    pub fn is_certain(&self) -> bool {
        self.layers_say_complete || !self.relinked.is_empty()
    }

    /// Returns whether nothing shows that the layers are still needed, and nothing that another file has their data.
    ///
    /// The target was not found, was changed since, or was replaced. The layers may be the only copy of their data.
    pub fn may_be_only_copy(&self) -> bool {
        self.relinked.is_empty() && self.remaining_children.is_empty()
    }

    /// Returns whether the layers can be deleted.
    ///
    /// A relinked child whose parent was found must prove that the target holds their data, and no disk may need them.
    /// Layers that say that the merge is complete are no such proof: the target may be lost, or replaced by an older
    /// copy.
    pub fn may_delete(&self) -> bool {
        !self.relinked.is_empty() && self.remaining_children.is_empty()
    }

    /// Returns the path of the file that holds the merged data, if it was found.
    pub fn target(&self) -> Option<&Path> {
        self.targets.first().map(|target| target.path.as_path())
    }

    /// Deletes the layers, the merged disk first. Before that, the target and the relinked children are made durable:
    /// what was written to them, or a copy of them, may be in the host's cache only.
    ///
    /// Deletes nothing if [`may_delete`](Self::may_delete) is false. Of the options, only
    /// [`ignore_undetermined`](MergeOptions::ignore_undetermined) counts.
    ///
    /// A call changes the headers of the targets, so it can be made only once, even if it could not delete all layers. A
    /// second call deletes nothing and fails: with [`Conflict::StalePlan`], or with [`Error::Io`] if a layer is gone.
    /// Make a new value with [`MergePlan::prepare`](super::MergePlan::prepare).
    ///
    /// # Errors
    /// [`Error::Io`], also for a file that is in use; [`Conflict::StalePlan`] if a file has changed, or a new
    /// child has appeared; [`UndeterminedFiles`](crate::ChainErrorKind::UndeterminedFiles) if a file may depend
    /// on the layers, unless the options allow it. All are returned before anything is deleted.
    pub fn delete(&self, files: &dyn MergeFiles, options: &MergeOptions) -> Result<Deletion> {
        if !self.may_delete() {
            return Ok(Deletion::default());
        }
        let open = |states: &[FileState]| -> Result<Vec<_>> {
            states.iter().map(|state| open_as_planned(files, state)).collect()
        };
        let known = [self.layers.as_slice(), &self.relinked, &self.targets].concat();
        // A child that was relinked to another relinked child: one file cannot be locked twice.
        let is_no_target = |child: &&FileState| !self.targets.contains(child);
        let only_relinked: Vec<FileState> = self.relinked.iter().filter(is_no_target).cloned().collect();
        let (layers, relinked, targets) = (open(&self.layers)?, open(&only_relinked)?, open(&self.targets)?);
        let parents: Vec<Uuid> = self.layers.iter().map(|state| state.data_write_guid).collect();
        let relatives = files.relatives(&self.folders)?;
        if !options.ignore_undetermined {
            self.ensure_all_determined(&relatives, &known)?;
        }
        if let Some(disk) = find_newcomer(&relatives, &parents, &known) {
            return Err(Error::from(Conflict::StalePlan).in_file(&disk.path));
        }
        for (file, state) in targets.iter().zip(&self.targets) {
            make_durable(file, &state.path)?;
        }
        for (file, state) in relinked.iter().zip(&only_relinked) {
            locked::sync(file, &state.path)?;
            locked::open(file, &state.path)?.close()?;
        }
        let _locked = locked_while_deleting((layers, relinked, targets));
        Ok(Deletion::of(&self.layers, false, files))
    }
}

impl AlreadyMerged {
    /// Ensures that no undetermined file may depend on the layers. Where locks are mandatory, even the `known` files
    /// cannot be read while they are locked.
    fn ensure_all_determined(&self, relatives: &Relatives, known: &[FileState]) -> Result<()> {
        let is_known = |path: &Path| known.iter().any(|state| is_path_of(&state.path, path));
        let is_in_the_way = |file: &&Undetermined| file.may_be_disk && !is_known(&file.path);
        let undetermined: Vec<_> = relatives.undetermined.iter().filter(is_in_the_way).cloned().collect();
        match self.layers.first() {
            Some(merged) if !undetermined.is_empty() => {
                Err(ChainFault::UndeterminedFiles { child: merged.path.clone(), undetermined }.into())
            }
            _ => Ok(()),
        }
    }
}

/// Returns the completed merge to which a disk belongs, if its files show one.
///
/// `layers` are the files from the disk to where its chain breaks, as [`inspect_chain`](crate::inspect_chain) returns
/// them.
pub(super) fn already_merged(layers: &[InspectedLayer], relatives: &Relatives) -> Option<AlreadyMerged> {
    // A file in the place of the parent is not a layer of the merge.
    let broken = layers.iter().position(|layer| !matches!(layer.link, Link::Ok))?;
    let whole = layers.get(..=broken)?;
    let first = whole.first()?;
    let proven = whole.iter().position(|layer| is_complete(first, layer));
    // Without a proof, the merge may have taken all layers down to where the chain breaks.
    let layers = layers.get(..=proven.unwrap_or(broken))?;
    let target_child = layers.last().filter(|layer| !matches!(layer.link, Link::Base))?;
    if proven.is_none() && !names_no_parent(target_child.vhdx.parent_locator()?) {
        return None;
    }
    let layers_say_complete = proven.is_some();
    let state = |(i, layer): (usize, &InspectedLayer)| FileState {
        path: layer.name.clone(),
        ..FileState::of_layer(i, &layer.vhdx)
    };
    let states: Vec<FileState> = layers.iter().enumerate().map(state).collect();
    let outside = |disk: &&FileFacts| !states.iter().any(|state| state.is_file_of(disk));
    let others: Vec<&FileFacts> = relatives.disks.iter().filter(outside).collect();
    let is_there = |guid: Uuid| others.iter().any(|disk| disk.data_write_guid == guid && !guid.is_nil());

    let (mut relinked, mut targets, mut remaining_children) = (Vec::new(), Vec::new(), Vec::new());
    for disk in &others {
        let Some(parent) = states.iter().find(|state| disk.is_child_of(state.data_write_guid)) else {
            continue;
        };
        let leaf = states.first().map(|leaf| leaf.data_write_guid);
        if disk.linkage2 == leaf && disk.linkage.is_some_and(is_there) {
            relinked.push(FileState::of_relative(disk));
            let target = others.iter().find(|other| Some(other.data_write_guid) == disk.linkage);
            let target = target.map(|target| FileState::of_relative(target));
            targets.extend(target.filter(|target| !targets.contains(target)));
        } else {
            remaining_children.push((disk.path.clone(), parent.path.clone()));
        }
    }
    let folders = relatives.folders.clone();
    Some(AlreadyMerged {
        layers: states,
        layers_say_complete,
        relinked,
        targets,
        remaining_children,
        folders,
    })
}

/// Whether `target_child` says that the merge of `leaf` is complete, and `leaf` is unchanged since.
fn is_complete(leaf: &InspectedLayer, target_child: &InspectedLayer) -> bool {
    let linkages = Linkages::of(&target_child.vhdx);
    let Some(layer) = linkages.merge().filter(|layer| layer.is_complete) else { return false };
    let is_of_leaf = match linkages.required_mark() {
        Some(required) => Linkages::of(&leaf.vhdx).carried_mark().is_some_and(|mark| required.is(mark)),
        None => leaf.name == target_child.name,
    };
    is_of_leaf && layer.merge.is_of(leaf.vhdx.data_write_guid())
}

/// Whether both linkages are zero. The second one may be missing, but not unreadable.
fn names_no_parent(locator: &ParentLocator) -> bool {
    use crate::format::parent_locator::PARENT_LINKAGE2;

    let second = locator.get(PARENT_LINKAGE2).is_none() || locator.parent_linkage2() == Some(Uuid::nil());
    second && locator.parent_linkage() == Some(Uuid::nil())
}

#[cfg(test)]
mod tests;
