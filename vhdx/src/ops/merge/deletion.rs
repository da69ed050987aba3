//! Deletes the merged files.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::FileState;
use super::files::MergeFiles;
use crate::error::Error;

/// A file that could not be deleted.
///
/// The target holds its content, as that of the deleted files.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Undeleted {
    /// The file.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The reason. If the file is gone nevertheless, it may come back after a power failure.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub error: Arc<Error>,
}

/// The result of deleting the merged files.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Deletion {
    /// The files that were deleted.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub deleted: Vec<PathBuf>,
    /// The files that could not be deleted, newest first.
    pub undeleted: Vec<Undeleted>,
}

impl Deletion {
    /// Deletes files, each of which is a child of the one after it.
    ///
    /// If the first one `opens` and cannot be deleted, the others are kept, because it is read through them. Otherwise
    /// none of the files can be read, and each is deleted if possible.
    pub(super) fn of<'a>(
        states: impl IntoIterator<Item = &'a FileState>,
        opens: bool,
        files: &dyn MergeFiles,
    ) -> Self {
        let mut deletion = Self::default();
        for state in states {
            let is_needed = opens && deletion.deleted.is_empty() && !deletion.undeleted.is_empty();
            let attempt = match is_needed {
                true => Err(needed(state)),
                false => files.delete(state),
            };
            match attempt {
                Ok(()) => deletion.deleted.push(state.path.clone()),
                Err(error) => {
                    deletion.undeleted.push(Undeleted { path: state.path.clone(), error: Arc::new(error) });
                }
            }
        }
        deletion
    }
}

fn needed(state: &FileState) -> Error {
    let source = io::Error::other("the merged disk could not be deleted and depends on this file");
    Error::io("delete", None, source).in_file(&state.path)
}
