//! A parent while a child is made to name it.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, InvalidArgument, Result};
use crate::file::Vhdx;
use crate::storage::{FileStorage, ReadAt};
use crate::violation::Violations;

/// A file that nobody writes to until this is dropped. What it says of itself is durable: a power failure cannot take
/// back the DataWriteGuid by which a child names it.
#[derive(Debug)]
pub(super) struct ParentLock {
    _file: Arc<FileStorage>,
}

impl ParentLock {
    /// Holds the file at `path`, if it is as it was planned for.
    ///
    /// # Errors
    /// As [`FileStorage::open_shared`] and [`Vhdx::open`]; [`InvalidArgument::StalePlan`].
    pub(super) fn open(path: &Path, is_as_planned: impl FnOnce(&Vhdx) -> bool) -> Result<Self> {
        let file = Arc::new(FileStorage::open_shared(path)?);
        let check = || {
            let identity = file.identity()?;
            let vhdx = Vhdx::load(Arc::clone(&file) as Arc<dyn ReadAt>, &mut Violations::new())?;
            match is_as_planned(&vhdx.identified(Some(identity))) {
                true => Ok(()),
                false => Err(Error::from(InvalidArgument::StalePlan)),
            }
        };
        check().map_err(|error| error.in_file(path))?;
        Ok(Self { _file: file })
    }
}
