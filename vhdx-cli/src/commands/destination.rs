//! Checks whether a new file can be made at a destination.

use std::path::Path;

use vhdx::{DiskType, Error, FileIdentity, NewFile, free_space};

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

/// The space that a new file takes.
#[derive(Clone, Copy)]
pub(super) enum Space {
    /// At most as many bytes as this: content that is zero is not written.
    AtMost(u64),
    /// The whole length of the file: a fixed disk reserves the space of all blocks.
    Reserved(u64),
}

impl Space {
    /// Returns the space of a new file of `file_size` bytes, into which `copied` bytes are copied at most.
    pub(super) fn of(disk_type: Option<DiskType>, copied: u64, file_size: u64) -> Self {
        match disk_type {
            Some(DiskType::Fixed) => Space::Reserved(file_size.max(copied)),
            _ => Space::AtMost(copied),
        }
    }
}

/// Returns [`Error::NoSpace`] if the space of the new file may not be free.
pub(super) fn ensure_space(destination: &Path, writing: &Writing, space: Space) -> Result<(), Failure> {
    if writing.no_space_check {
        return Ok(());
    }
    let (Space::AtMost(needed) | Space::Reserved(needed)) = space;
    // If the free space is not known, the copying itself fails when it runs out.
    let Ok(Some(free)) = free_space(folder(destination)) else { return Ok(()) };
    if needed <= free {
        return Ok(());
    }
    let failure = Failure::from(Error::NoSpace { needed, free }.in_file(destination));
    Err(match space {
        Space::AtMost(_) => failure,
        Space::Reserved(_) => failure.with_hint(HINT_FOR_FIXED),
    })
}

const HINT_FOR_FIXED: &str = "free space on the file system of that file: a fixed disk reserves the space of its whole \
    virtual size. A dynamic disk (`--type dynamic`) takes space only for its content";

fn folder(destination: &Path) -> &Path {
    match destination.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
