//! Returns the additional JSON keys of an error of the library.

use serde_json::Value;
use vhdx::{ChainError, Error};

use crate::output;

pub(super) fn of(error: &Error) -> Vec<(&'static str, Value)> {
    let error = match error.without_path() {
        Error::Chain(error) => error,
        Error::NoSpace { needed, free } => {
            return vec![("needed", (*needed).into()), ("free", (*free).into())];
        }
        _ => return Vec::new(),
    };
    match &**error {
        ChainError::OtherChildren { dependents, unfinished, .. } => {
            vec![("dependents", output::children(dependents)), ("unfinished", output::unfinished(unfinished))]
        }
        ChainError::HalfMerged { unfinished, .. } => vec![("unfinished", output::unfinished(unfinished))],
        ChainError::AmbiguousParent { parents, .. } => vec![("parents", output::paths(parents))],
        ChainError::DataPastEnd { target, bytes, size_before, size, .. } => vec![
            ("into", output::path(target)),
            ("virtual_size_before", (*size_before).into()),
            ("virtual_size", (*size).into()),
            ("bytes_dropped", (*bytes).into()),
        ],
        ChainError::UndeterminedFiles { undetermined, .. } => {
            vec![("undetermined", output::undetermined(undetermined))]
        }
        _ => Vec::new(),
    }
}
