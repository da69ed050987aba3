//! Defines the outcome of the search for a parent, and the candidates that were rejected.

use std::path::{Path, PathBuf};

use super::link_check::Layer;
use crate::error::{ChainFault, Error, ErrorKind};

/// The result of the search for a parent.
pub(super) enum Outcome {
    /// The parent.
    Parent(Layer),
    /// The file in the place of the parent, and why it cannot be used as the parent.
    Wrong(Layer, Box<ChainFault>),
    /// No usable file, and the reason.
    Nothing(Error),
}

/// Candidates that are not the parent.
#[derive(Default)]
pub(super) struct Rejected {
    /// The first candidate that opened, but has another DataWriteGuid.
    pub(super) wrong: Option<(Layer, ChainFault)>,
    /// Files that are in the chain already and have another DataWriteGuid.
    pub(super) in_chain: Vec<PathBuf>,
    /// Candidates that could not be opened, and the errors.
    pub(super) unopened: Vec<(PathBuf, Error)>,
}

/// Returns whether a candidate could not be read. Otherwise it is damaged.
fn is_unusable(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io
            | ErrorKind::Conflict
            | ErrorKind::InvalidArgument
            | ErrorKind::InvalidState
            | ErrorKind::Internal
    )
}

impl Rejected {
    /// Returns whether a file of this name could not be opened.
    pub(super) fn has_tried(&self, name: &Path) -> bool {
        self.unopened.iter().any(|(tried, _)| tried == name)
    }

    /// Returns the outcome that explains most, or all errors if no candidate could be read.
    ///
    /// A file with another GUID explains most, then a damaged file. If the caller `named` the candidates, any error
    /// explains the failure.
    pub(super) fn outcome(self, named: bool) -> std::result::Result<Outcome, Vec<(PathBuf, Error)>> {
        if let Some((layer, mut error)) = self.wrong {
            if let ChainFault::Mismatch { damaged, .. } = &mut error {
                damaged.extend(self.unopened.into_iter().map(|(name, _)| name));
            }
            return Ok(Outcome::Wrong(layer, Box::new(error)));
        }
        let mut unopened = self.unopened;
        match unopened.iter().position(|(_, error)| named || !is_unusable(error)) {
            Some(telling) => Ok(Outcome::Nothing(unopened.swap_remove(telling).1)),
            None => Err(unopened),
        }
    }
}
