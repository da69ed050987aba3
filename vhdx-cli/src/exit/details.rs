//! Returns the additional JSON keys of an error of the library.

use serde_json::{Value, json};
use vhdx::{ChainErrorKind, Error};

use crate::output;

pub(super) fn of(error: &Error) -> Vec<(&'static str, Value)> {
    let error = match error.without_path() {
        Error::Chain(error) => error,
        Error::NoSpace { needed, free } => {
            return vec![("needed", (*needed).into()), ("free", (*free).into())];
        }
        _ => return Vec::new(),
    };
    match error.kind() {
        ChainErrorKind::OtherChildren => vec![
            ("in_the_way", output::children(error.dependents())),
            ("unfinished", output::unfinished(error.unfinished())),
        ],
        ChainErrorKind::Unrelated => {
            let bases = error.bases().into_iter().flatten();
            let json = |(path, guid): &(std::path::PathBuf, vhdx::Guid)| json!({ "path": output::path(path), "data_write_guid": guid.to_string() });
            vec![("old", error.old().map(output::path).into()), ("bases", bases.map(json).collect())]
        }
        ChainErrorKind::Reversed => vec![("old", error.old().map(output::path).into())],
        ChainErrorKind::Siblings => vec![
            ("old", error.old().map(output::path).into()),
            ("common_ancestor", error.common_ancestor().map(output::path).into()),
        ],
        ChainErrorKind::HalfMerged => vec![("unfinished", output::unfinished(error.unfinished()))],
        ChainErrorKind::AmbiguousParent => vec![("parents", output::paths(error.candidates()))],
        ChainErrorKind::DataPastEnd => {
            let (before, after) = error.sizes().unzip();
            vec![
                ("into", error.target().map(output::path).into()),
                ("virtual_size_before", before.into()),
                ("virtual_size", after.into()),
                ("bytes_dropped", error.bytes_past_end().into()),
            ]
        }
        ChainErrorKind::UndeterminedFiles => {
            vec![("undetermined", output::undetermined(error.undetermined()))]
        }
        _ => Vec::new(),
    }
}
