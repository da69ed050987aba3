//! Compares the name of a destination with the format that is written.

use std::path::Path;

use vhdx::FileFormat;

use crate::args::Format;
use crate::foreign::Kind;
use crate::output::{self, Output};

/// Returns the format that the destination's name stands for, if it is not the one that is written.
pub(super) fn misnamed(destination: &Path, format: Format) -> Option<Kind> {
    let promised = || match Format::of_name(destination)? {
        Format::Vhdx if format == Format::Raw => Some(Kind::Format(FileFormat::Vhdx)),
        Format::Vhdx | Format::Raw => None,
    };
    Kind::of_name(destination).or_else(promised)
}

/// Warns if the destination's name stands for another format than the one that is written.
pub(super) fn warn_if_misnamed(output: Output, destination: &Path, format: Format) {
    if let Some(kind) = misnamed(destination, format) {
        let (path, format) = (output::shown(destination), format.name());
        output.warning(&format!("{path} is named like {kind}, but is written as {format}"));
    }
}
