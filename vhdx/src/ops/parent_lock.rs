//! Locks a parent while a child is made to name it.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Conflict, Error, Result};
use crate::file::Vhdx;
use crate::storage::{FileStorage, ReadAt};
use crate::violation::Violations;

/// A file that nobody who respects locks can write to until this is dropped.
///
/// Its content is durable: a power failure cannot take away the DataWriteGuid by which a child names it.
#[derive(Debug)]
pub(super) struct ParentLock {
    _file: Arc<FileStorage>,
}

impl ParentLock {
    /// Opens and locks the file at `path`, if it is in the state that was planned for.
    ///
    /// # Errors
    /// As [`FileStorage::open_shared`] and [`Vhdx::open`]; [`Conflict::StalePlan`].
    pub(super) fn open(path: &Path, is_as_planned: impl FnOnce(&Vhdx) -> bool) -> Result<Self> {
        let file = Arc::new(FileStorage::open_shared(path)?);
        let check = || {
            let identity = file.identity()?;
            let vhdx = Vhdx::load(Arc::clone(&file) as Arc<dyn ReadAt>, &mut Violations::new())?;
            match is_as_planned(&vhdx.identified(Some(identity))) {
                true => Ok(()),
                false => Err(Error::from(Conflict::StalePlan)),
            }
        };
        check().map_err(|error| error.in_file(path))?;
        Ok(Self { _file: file })
    }
}
