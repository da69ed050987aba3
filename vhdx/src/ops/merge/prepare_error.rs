//! Defines why a merge could not be planned.

use std::fmt;

use super::already::AlreadyMerged;
use crate::error::Error;

/// The reason why [`MergePlan::prepare`](super::MergePlan::prepare) made no plan.
///
/// It converts to the [`Error`], and prints as the error does. It also has what the files show of a completed merge, for
/// a message about what to do.
#[derive(Debug)]
pub struct PrepareError {
    error: Error,
    already_merged: Option<Box<AlreadyMerged>>,
}

impl PrepareError {
    pub(super) fn with_merge(error: Error, found: AlreadyMerged) -> Self {
        Self { error, already_merged: Some(Box::new(found)) }
    }

    /// Returns the error.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the completed merge that the files show, if the chain does not open.
    ///
    /// Either it [is not certain](AlreadyMerged::is_certain), and the error is why the chain does not open; or the error
    /// is [`UndeterminedFiles`](crate::ChainErrorKind::UndeterminedFiles).
    pub fn already_merged(&self) -> Option<&AlreadyMerged> {
        self.already_merged.as_deref()
    }
}

impl From<Error> for PrepareError {
    fn from(error: Error) -> Self {
        Self { error, already_merged: None }
    }
}

impl From<PrepareError> for Error {
    fn from(error: PrepareError) -> Self {
        error.error
    }
}

impl fmt::Display for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for PrepareError {
    /// Returns the source of the error, because the error itself is the text of this one.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
