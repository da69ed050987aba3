//! Deleting what was merged.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::FileState;
use super::files::MergeFiles;
use crate::error::Error;

/// A file that was to be deleted and could not be. Its content is needed no more than that of those that were.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Undeleted {
    /// The file.
    pub path: PathBuf,
    /// Why. A file that is gone may come back after a power failure.
    pub error: Arc<Error>,
}

/// What deleting the merged files came to.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Deletion {
    /// The files that are gone.
    pub deleted: Vec<PathBuf>,
    /// Those that could not be deleted, from the top down.
    pub undeleted: Vec<Undeleted>,
}

impl Deletion {
    /// Deletes files, each of which stands on the one after it. If the first one `opens`, those below it are kept as long
    /// as it is there; otherwise none of them can be read, and each is deleted if it can be.
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
    let source = io::Error::other("the merged disk, which could not be deleted, is read through it");
    Error::io("delete", None, source).in_file(&state.path)
}
