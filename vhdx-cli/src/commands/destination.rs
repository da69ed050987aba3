//! Where a new file may be made.

use std::path::Path;

use vhdx::{Error, FileIdentity, NewFile, Result, free_space};

use crate::args::Writing;
use crate::exit::Hint;

/// Refuses a destination that is one of the sources, and one that no new file can be made at.
pub(super) fn check(destination: &Path, writing: &Writing, sources: Vec<FileIdentity>) -> anyhow::Result<()> {
    NewFile::ensure_no_source(destination, sources).map_err(|error| error.in_file(destination))?;
    NewFile::check(destination, writing.force).map_err(|error| match is_no_file(destination) {
        true => anyhow::Error::from(error).context(Hint(hint_for_no_file(destination).into())),
        false => error.into(),
    })
}

/// Whether something is there that no new file may replace.
fn is_no_file(destination: &Path) -> bool {
    destination.metadata().is_ok_and(|metadata| !metadata.is_file())
}

fn hint_for_no_file(destination: &Path) -> &'static str {
    match is_block_device(destination) {
        true => "this is a device: `vhdx convert SRC DEVICE --in-place` writes a disk over what it holds",
        false => "a new file can only replace a file: give it another name",
    }
}

/// Whether a path leads to a device that `convert --in-place` can overwrite.
#[cfg(target_os = "linux")]
pub(super) fn is_block_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;

    path.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device())
}

/// Whether a path leads to a device that `convert --in-place` can overwrite: nowhere but on Linux.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_block_device(_: &Path) -> bool {
    false
}

/// Refuses to begin what cannot end: `bytes` is the most that will be copied.
pub(super) fn ensure_space(destination: &Path, writing: &Writing, bytes: u64) -> Result<()> {
    if writing.no_space_check {
        return Ok(());
    }
    // A host that does not say what is free will say when nothing is left.
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
