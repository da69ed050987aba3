//! Executes a plan that relinks a child.

use std::sync::Arc;

use super::plan::{RelinkedFile, ReparentPlan};
use crate::error::{Conflict, Error, Result};
use crate::file::{OpenOptions, Vhdx, VhdxMut};
use crate::ops::parent_lock::ParentLock;
use crate::storage::{FileIdentity, FileStorage, ReadAt, Storage};
use crate::violation::Violations;

impl ReparentPlan {
    /// Writes the new parent locator in one transaction.
    ///
    /// After a power failure, the child has the old locator or the new one. A dirty log of the child is replayed first.
    /// The parent is only read, after its content was made durable. Until the child is written, nobody who respects
    /// locks can write to the parent.
    ///
    /// # Errors
    /// [`Conflict::StalePlan`] if one of the files is not in the state that was planned for; nothing is written
    /// then. As [`FileStorage::open_shared`] for the parent and [`VhdxMut::open`] for the child; [`Error::Io`].
    pub fn execute(&self) -> Result<()> {
        let _parent = self.hold_parent()?;
        let Some((child, identity)) = self.lock_child()? else { return Ok(()) };
        self.relink(Arc::new(child), Some(identity))
    }

    /// Checks that no file of the plan is locked, read-only or changed.
    ///
    /// [`execute`](Self::execute) would return an error for such a file. Nothing is written.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn ensure_not_in_use(&self) -> Result<()> {
        let _parent = self.hold_parent()?;
        match self.lock_child()? {
            Some((child, identity)) => self.ensure_child_unchanged(Arc::new(child), Some(identity)),
            None => Ok(()),
        }
    }

    /// As [`execute`](Self::execute), for a child in a storage other than a file.
    ///
    /// The parent is not opened.
    ///
    /// # Errors
    /// As [`execute`](Self::execute), except for those of the file system.
    pub fn execute_on(&self, child: Arc<dyn Storage>) -> Result<()> {
        match self.changes_anything() {
            true => self.relink(child, self.child.identity),
            false => Ok(()),
        }
    }

    fn hold_parent(&self) -> Result<ParentLock> {
        ParentLock::open(&self.parent.path, |vhdx| self.parent.is(vhdx))
    }

    /// Opens and locks the child, if anything is to be written to it.
    fn lock_child(&self) -> Result<Option<(FileStorage, FileIdentity)>> {
        if !self.changes_anything() {
            return Ok(None);
        }
        let path = &self.child.path;
        let file = FileStorage::open_exclusive(path)?;
        let identity = file.identity().map_err(|error| error.in_file(path))?;
        Ok(Some((file, identity)))
    }

    /// Checks that the child is in the state that was planned for.
    ///
    /// Its log is only replayed in memory, because a replay into the file would be a change.
    fn ensure_child_unchanged(&self, child: Arc<dyn ReadAt>, identity: Option<FileIdentity>) -> Result<()> {
        let check = || {
            let child = Vhdx::load(child, &mut Violations::new())?.identified(identity);
            match self.child.is(&child) && child.parent_locator() == Some(&self.old) {
                true => Ok(()),
                false => Err(Error::from(Conflict::StalePlan)),
            }
        };
        check().map_err(|error| error.in_file(&self.child.path))
    }

    fn relink(&self, storage: Arc<dyn Storage>, identity: Option<FileIdentity>) -> Result<()> {
        self.ensure_child_unchanged(Arc::clone(&storage) as Arc<dyn ReadAt>, identity)?;
        let path = &self.child.path;
        let mut child = VhdxMut::open_with(storage, &OpenOptions::default().name(path))?;
        child.vhdx().ensure_locator_fits(&self.new)?;
        child.set_parent_locator(&self.new)?;
        child.close()
    }
}

impl RelinkedFile {
    fn is(&self, vhdx: &Vhdx) -> bool {
        vhdx.identity() == self.identity && vhdx.data_write_guid() == self.data_write_guid
    }
}
