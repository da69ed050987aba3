//! Carrying out a plan for relinking.

use std::sync::Arc;

use super::plan::{RelinkedFile, ReparentPlan};
use crate::error::{Error, InvalidArgument, Result};
use crate::file::{Vhdx, VhdxMut};
use crate::storage::Storage;

impl ReparentPlan {
    /// Writes the new parent locator, in one transaction: after a power failure it is the old one or the new one. A dirty
    /// log of the child is written home first. The parent is only read.
    ///
    /// # Errors
    /// [`InvalidArgument::StalePlan`] if one of the files is not in the state that was planned for; as
    /// [`VhdxMut::open`]; [`Error::Io`].
    pub fn execute(&self) -> Result<()> {
        let parent = Vhdx::open(&self.parent.path)?;
        if !self.parent.is(&parent) {
            return Err(Error::from(InvalidArgument::StalePlan).in_file(&self.parent.path));
        }
        if !self.changes_anything() {
            return Ok(());
        }
        let child = VhdxMut::open(&self.child.path)?;
        match self.child.is(&child) {
            true => self.relink(child),
            false => Err(Error::from(InvalidArgument::StalePlan).in_file(&self.child.path)),
        }
    }

    /// As [`execute`](Self::execute), for a child that is held in something else than a file. The parent is not looked at.
    ///
    /// # Errors
    /// As [`execute`](Self::execute), apart from those of the file system.
    pub fn execute_on(&self, child: Arc<dyn Storage>) -> Result<()> {
        match self.changes_anything() {
            true => self.relink(VhdxMut::from_storage(child)?),
            false => Ok(()),
        }
    }

    fn relink(&self, mut child: VhdxMut) -> Result<()> {
        let is_as_planned = child.data_write_guid() == self.child.data_write_guid
            && child.parent_locator() == Some(&self.old);
        if !is_as_planned {
            return Err(Error::from(InvalidArgument::StalePlan).in_file(&self.child.path));
        }
        child.set_parent_locator(&self.new)?;
        child.close()
    }
}

impl RelinkedFile {
    fn is(&self, vhdx: &Vhdx) -> bool {
        vhdx.identity() == self.identity && vhdx.data_write_guid() == self.data_write_guid
    }
}
