//! Finds the disks around a merge.

use std::path::Path;

use vhdx::{Relatives, find_relatives, folders_around};

use crate::args::Merge;
use crate::output::Output;
use crate::progress::Bar;

/// Finds the disks in the folders of these files and in each `--parent-dir`.
pub(super) fn around<'a>(
    output: Output,
    merge: &Merge,
    files: impl IntoIterator<Item = &'a Path>,
) -> vhdx::Result<Relatives> {
    find_relatives(&folders_around(files, &merge.parents.parent_dir), &Bar::new(output.quiet))
}
