//! Checks whether a new file can be made at a destination.

use std::path::Path;

use vhdx::{Error, FileIdentity, NewFile, Result, free_space};

use crate::args::Writing;
use crate::exit::Failure;

/// Returns an error if the destination is one of the sources, or if no new file can be made there.
pub(super) fn check(
    destination: &Path,
    writing: &Writing,
    sources: Vec<FileIdentity>,
) -> Result<(), Failure> {
    NewFile::ensure_no_source(destination, sources).map_err(|error| error.in_file(destination))?;
    NewFile::ensure_can_create(destination, writing.if_exists()).map_err(|error| {
        match is_no_file(destination) {
            true => Failure::from(error).with_hint(hint_for_no_file(destination)),
            false => error.into(),
        }
    })
}

/// Whether the destination exists and is not a regular file, so it cannot be replaced.
fn is_no_file(destination: &Path) -> bool {
    destination.metadata().is_ok_and(|metadata| !metadata.is_file())
}

fn hint_for_no_file(destination: &Path) -> &'static str {
    match is_block_device(destination) {
        true => {
            "this is a device: `vhdx convert SRC DEVICE --in-place` overwrites it with a disk; its content is lost"
        }
        false => "a new file can only replace a file: choose another name",
    }
}

/// Whether the path is a device that `convert --in-place` can overwrite.
#[cfg(target_os = "linux")]
pub(super) fn is_block_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;

    path.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device())
}

/// Whether the path is a device that `convert --in-place` can overwrite: only on Linux.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_block_device(_: &Path) -> bool {
    false
}

/// Returns [`Error::NoSpace`] if `bytes`, the most that will be copied, may not fit.
pub(super) fn ensure_space(destination: &Path, writing: &Writing, bytes: u64) -> Result<()> {
    if writing.no_space_check {
        return Ok(());
    }
    // If the free space is not known, the copying itself fails when it runs out.
    match free_space(folder(destination)) {
        Ok(Some(free)) if bytes > free => Err(Error::NoSpace { needed: bytes, free }.in_file(destination)),
        _ => Ok(()),
    }
}

fn folder(destination: &Path) -> &Path {
    match destination.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
