//! Locks the files of a plan. Each must be in the state that was planned for.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::files::{MergeFiles, OpenFile};
use super::{FileState, MergePlan};
use crate::disk::locator::NewLink;
use crate::error::{Bounded, Conflict, Error, Guaranteed, Result};
use crate::file::{OpenOptions, Vhdx, VhdxMut, ensure_mergeable};
use crate::format::parent_locator::ParentLocator;
use crate::parallel;
use crate::storage::ReadAt;

/// The locked files of a plan.
pub(super) struct Locked {
    /// As in the plan: the merged layers, leaf first, then the target.
    pub(super) layers: Vec<OpenFile>,
    /// The children to relink.
    pub(super) children: Vec<OpenFile>,
    /// The children that an earlier run has relinked.
    pub(super) relinked: Vec<OpenFile>,
}

impl Locked {
    /// Opens and locks all files. Nothing is written.
    pub(super) fn open(plan: &MergePlan, files: &dyn MergeFiles) -> Result<Self> {
        Self::open_layers_by(plan, files, |layer| open_as_planned(files, layer))
    }

    /// Like [`open`](Self::open), but does not check that the layers are as planned.
    pub(super) fn open_unread(plan: &MergePlan, files: &dyn MergeFiles) -> Result<Self> {
        Self::open_layers_by(plan, files, |layer| files.open(&layer.path))
    }

    fn open_layers_by(
        plan: &MergePlan,
        files: &dyn MergeFiles,
        open_layer: impl Fn(&FileState) -> Result<OpenFile>,
    ) -> Result<Self> {
        // The plan has not validated the children. A child that can be read but not written to would stop the merge in
        // its last step.
        let open_child = |state: &FileState| {
            let (file, child) = load_as_planned(files, state)?;
            ensure_mergeable(&child).map(|()| file)
        };
        Ok(Self {
            layers: plan.layers.iter().map(open_layer).collect::<Result<_>>()?,
            children: plan.children.iter().map(open_child).collect::<Result<_>>()?,
            relinked: plan.relinked.iter().map(open_child).collect::<Result<_>>()?,
        })
    }

    /// Syncs all files.
    ///
    /// An earlier run may have been killed before its writes were durable. They can be read, and what follows depends
    /// on them. The children that it has relinked are closed with a clean log.
    pub(super) fn sync_all(&self, plan: &MergePlan) -> Result<()> {
        let layers = self.layers.iter().zip(&plan.layers).chain(self.children.iter().zip(&plan.children));
        for (file, state) in layers.chain(self.relinked.iter().zip(&plan.relinked)) {
            sync(file, &state.path)?;
        }
        for (file, state) in self.relinked.iter().zip(&plan.relinked) {
            open(file, &state.path)?.close()?;
        }
        Ok(())
    }

    /// Returns the locators that the children will get.
    ///
    /// `guid` is the DataWriteGuid of the target by then.
    pub(super) fn locators(&self, plan: &MergePlan, guid: Uuid) -> Result<Vec<ParentLocator>> {
        let target_child = plan.layers.len().minus(2)?;
        let known = load(&self.layers[target_child], &plan.layers[target_child].path)?;
        let locator = |(file, state): (&OpenFile, &FileState)| {
            let child = load(file, &state.path)?;
            let link = NewLink {
                child: &state.path,
                parent: &plan.target().path,
                linkage: guid,
                linkage2: plan.layers[0].data_write_guid,
                old: child.parent_locator(),
                known: known.parent_locator(),
            };
            let locator = link.locator().map_err(|error| child.no_room_or(error))?;
            child.ensure_locator_fits(&locator)?;
            Ok(locator)
        };
        self.children.iter().zip(&plan.children).map(locator).collect()
    }

    /// Closes all files.
    pub(super) fn close(self) {
        parallel::close(self.layers.into_iter().chain(self.children).chain(self.relinked).collect());
    }
}

/// Keeps the locks until the files are deleted. On Windows it drops them.
///
/// Windows does not delete open files. Elsewhere, the locks keep others from using a file that is about to be deleted.
pub(in crate::ops) fn locked_while_deleting<T>(locked: T) -> Option<T> {
    (!cfg!(windows)).then_some(locked)
}

/// Opens a file that must be in this state.
///
/// # Errors
/// [`Conflict::StalePlan`] if it is not, and those of the host.
pub(in crate::ops) fn open_as_planned(files: &dyn MergeFiles, state: &FileState) -> Result<OpenFile> {
    load_as_planned(files, state).map(|(file, _)| file)
}

fn load_as_planned(files: &dyn MergeFiles, state: &FileState) -> Result<(OpenFile, Vhdx)> {
    let file = files.open(&state.path)?;
    let vhdx = load(&file, &state.path)?;
    match state.matches(&vhdx) {
        true => Ok((file, vhdx)),
        false => Err(Error::from(Conflict::StalePlan).in_file(&state.path)),
    }
}

pub(super) fn load(file: &OpenFile, path: &Path) -> Result<Vhdx> {
    let storage = Arc::clone(&file.storage) as Arc<dyn ReadAt>;
    let vhdx = Vhdx::open_with(storage, &OpenOptions::default().name(path))?;
    Ok(vhdx.identified(file.identity))
}

pub(super) fn open(file: &OpenFile, path: &Path) -> Result<VhdxMut> {
    VhdxMut::open_with(Arc::clone(&file.storage), &OpenOptions::default().name(path))
}

pub(super) fn sync(file: &OpenFile, path: &Path) -> Result<()> {
    file.storage.sync().map_err(|error| Error::io("sync", None, error).in_file(path))
}

/// Syncs a file, and then writes its headers again: a session begins with both.
///
/// An earlier run may have failed to make the last header durable, although it can be read.
pub(super) fn make_durable(file: &OpenFile, path: &Path) -> Result<()> {
    let mut vhdx = open(file, path)?;
    vhdx.begin_session()?;
    vhdx.close()
}

/// Changes the parent locator of a file in one transaction.
pub(super) fn change_locator(
    file: &OpenFile,
    path: &Path,
    change: impl FnOnce(&ParentLocator) -> Result<ParentLocator>,
) -> Result<()> {
    let mut child = open(file, path)?;
    let locator = child.vhdx().parent_locator();
    let old = locator.guaranteed("a file with a parent has a parent locator")?;
    let new = change(old).map_err(|e| e.in_file(path))?;
    child.set_parent_locator(&new)?;
    child.close()
}
