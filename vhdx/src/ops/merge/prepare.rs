//! The entry into a merge in place: finds the files, chooses the target, and plans.

use std::path::{Path, PathBuf};

use super::already::{AlreadyMerged, already_merged};
use super::chain_facts::ChainFacts;
use super::options::{MergeOptions, Passes};
use super::plan::MergePlan;
use super::prepare_error::PrepareError;
use super::relations::{earlier_target, ensure_none_half_merged};
use crate::disk::{Chain, InspectedLayer, ParentResolver, inspect_chain};
use crate::error::{ChainFault, Error, InvalidArgument, Result};
use crate::family::{Relatives, find_relatives, folders_around};
use crate::file::Vhdx;
use crate::progress::Progress;
use crate::storage::FileStorage;

/// The file that a disk is merged into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeTarget<'a> {
    /// The parent. If an earlier run has begun or completed a merge into another ancestor, that ancestor.
    Parent,
    /// This ancestor. The file is recognized by its identity, so any name or link of it will do.
    Ancestor(&'a Path),
}

/// The result of [`MergePlan::prepare`].
///
/// A caller must handle every result, so no variant is added without a new major version.
#[derive(Clone, Debug)]
pub enum Planned {
    /// The merge can be executed. It may complete an earlier run.
    Ready(Box<MergePlan>),
    /// An earlier run has completed the merge, and the chain still opens.
    ///
    /// [`execute`](MergePlan::execute) copies nothing. With [`MergeOptions::delete_merged`], it deletes the
    /// [`deleted_layers`](MergePlan::deleted_layers).
    Complete(Box<MergePlan>),
    /// An earlier run has completed the merge, and the chain no longer opens.
    ///
    /// [`AlreadyMerged::layers`] returns the merged files in the order in which they can be deleted, if
    /// [`AlreadyMerged::may_delete`] says so. [`AlreadyMerged::delete`] deletes them.
    AlreadyMerged(AlreadyMerged),
}

impl MergeTarget<'_> {
    /// Returns the index of the target among the layers of a chain.
    ///
    /// # Errors
    /// [`InvalidArgument::MergeTarget`] if the leaf has no parent,
    /// [`NotAnAncestor`](crate::ChainErrorKind::NotAnAncestor), and those of opening the ancestor.
    fn layer_of(self, chain: &Chain) -> Result<usize> {
        let layers = chain.layers();
        let path = match self {
            Self::Parent if layers.len() < 2 => {
                return Err(InvalidArgument::MergeTarget { target: 1, layers: layers.len() }.into());
            }
            // A merge that was begun or completed must not start again with another target. Layer 1 is the parent.
            Self::Parent => return Ok(earlier_target(chain).unwrap_or(1)),
            Self::Ancestor(path) => path,
        };
        let identity = FileStorage::open(path)?.identity().map_err(|error| error.in_file(path))?;
        let is_it = |layer: &Vhdx| layer.identity() == Some(identity);
        layers.iter().position(is_it).filter(|&layer| layer > 0).ok_or_else(|| {
            let child = chain.leaf().shown_path();
            ChainFault::NotAnAncestor { child, target: path.to_owned() }.into()
        })
    }
}

impl MergePlan {
    /// Plans to merge a disk, and all layers between, into its parent or another ancestor.
    ///
    /// Opens the chain of `leaf`, and searches for disks that depend on its files in the folders of these files and in
    /// `folders`. Disks in other folders are not protected. Nothing is written, and no file stays open.
    ///
    /// A completed merge is recognized, also if the chain no longer opens.
    ///
    /// # Errors
    /// - Those of [`Chain::open`], if the files do not show that the merge is complete.
    /// - [`HalfMerged`](crate::ChainErrorKind::HalfMerged) with the merge to complete first, if a merge into the leaf
    ///   or into a layer between it and the target is incomplete.
    /// - [`NotAnAncestor`](crate::ChainErrorKind::NotAnAncestor), or [`InvalidArgument::MergeTarget`] if the leaf has
    ///   no parent.
    /// - [`OtherChildren`](crate::ChainErrorKind::OtherChildren) if a disk outside the merge depends on the target or
    ///   on a layer between it and the leaf, or if a child of the leaf has a mark.
    /// - [`UndeterminedFiles`](crate::ChainErrorKind::UndeterminedFiles) if an undetermined file may depend on them,
    ///   unless the options allow it.
    /// - [`DataPastEnd`](crate::ChainErrorKind::DataPastEnd) if data past the leaf's end would be lost, unless the
    ///   options allow it.
    /// - [`LayerOfMerge`](crate::ChainErrorKind::LayerOfMerge) if the target or one of its ancestors requires a mark
    ///   that a layer carries.
    /// - [`NoRoomForMetadata`](crate::ChainErrorKind::NoRoomForMetadata) if a file has no room for its new metadata.
    /// - [`Error::Corrupt`](crate::Error::Corrupt) and [`Error::Unsupported`](crate::Error::Unsupported) for a
    ///   violation that is not tolerated.
    /// - [`Error::Io`](crate::Error::Io), and [`Error::Cancelled`](crate::Error::Cancelled) during the search.
    ///
    /// A [`PrepareError`] converts to the [`Error`](crate::Error).
    ///
    /// # Examples
    /// The [crate's documentation](crate#examples) has one.
    pub fn prepare(
        leaf: &Path,
        target: MergeTarget<'_>,
        resolver: &dyn ParentResolver,
        folders: &[PathBuf],
        options: &MergeOptions,
        progress: &dyn Progress,
    ) -> Result<Planned, PrepareError> {
        let search = |files: Vec<&Path>| find_relatives(&folders_around(files, folders), progress);
        Self::prepare_among(leaf, target, resolver, search, options)
    }

    /// Plans as [`prepare`](Self::prepare), with a search for the relatives of files.
    pub(in crate::ops) fn prepare_among(
        leaf: &Path,
        target: MergeTarget<'_>,
        resolver: &dyn ParentResolver,
        search: impl Fn(Vec<&Path>) -> Result<Relatives>,
        options: &MergeOptions,
    ) -> Result<Planned, PrepareError> {
        let chain = match Chain::open(leaf, resolver) {
            Ok(chain) => chain,
            Err(error) => {
                let Ok(layers) = inspect_chain(leaf, resolver) else { return Err(error.into()) };
                let relatives = search(layers.iter().map(|layer| layer.name.as_path()).collect())?;
                return without_chain(leaf, error, &layers, &relatives, options);
            }
        };
        // If the leaf has no parent, an incomplete merge into it is the better reason.
        let layer = match (target, target.layer_of(&chain)) {
            (MergeTarget::Ancestor(_), Err(error)) => return Err(error.into()),
            (_, layer) => layer,
        };
        let relatives = search(chain.layers().iter().filter_map(Vhdx::path).collect())?;
        ensure_none_half_merged(std::slice::from_ref(chain.leaf()), &relatives)?;
        let plan = Self::counting(&chain, layer?, &relatives, options, Passes::One)?;
        let plan = Box::new(Self { facts: ChainFacts::of(&chain, &relatives)?, ..plan });
        Ok(if plan.is_merged() { Planned::Complete(plan) } else { Planned::Ready(plan) })
    }
}

/// Returns the completed merge of a disk whose chain does not open, because of `error`.
fn without_chain(
    leaf: &Path,
    error: Error,
    layers: &[InspectedLayer],
    relatives: &Relatives,
    options: &MergeOptions,
) -> Result<Planned, PrepareError> {
    let Some(found) = already_merged(layers, relatives) else { return Err(error.into()) };
    if !found.is_certain() {
        return Err(PrepareError::with_merge(error, found));
    }
    match ensure_determined(leaf, options, relatives) {
        Ok(()) => Ok(Planned::AlreadyMerged(found)),
        Err(error) => Err(PrepareError::with_merge(error, found)),
    }
}

/// Checks that no undetermined file may depend on the files to delete.
fn ensure_determined(leaf: &Path, options: &MergeOptions, relatives: &Relatives) -> Result<()> {
    match options.delete_merged && !options.ignore_undetermined {
        true => relatives.ensure_all_determined(leaf),
        false => Ok(()),
    }
}
