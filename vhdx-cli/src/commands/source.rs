//! Recognizes the format of a disk to open.

use std::path::Path;

use vhdx::{Chain, Disk, FileFormat, OpenFiles, RawDisk, Vhdx};

use crate::args::{Format, Parents};
use crate::disks::Files;
use crate::exit::Failure;
use crate::foreign::{Foreign, Kind, Purpose};

/// An open disk.
pub(super) enum Opened {
    Chain(Chain),
    Raw(RawDisk),
}

impl Opened {
    /// Returns the paths of all files of the disk.
    pub(super) fn paths(&self) -> Box<dyn Iterator<Item = &Path> + '_> {
        match self {
            Opened::Chain(chain) => Box::new(chain.layers().iter().filter_map(Vhdx::path)),
            Opened::Raw(raw) => Box::new(std::iter::once(raw.path())),
        }
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        match self {
            Opened::Chain(chain) => chain,
            Opened::Raw(raw) => raw,
        }
    }
}

/// Returns a usage error if parents are given for a raw disk.
pub(super) fn ensure_no_parents_of_raw(source: &Opened, parents: &Parents) -> Result<(), Failure> {
    let is_raw = matches!(source, Opened::Raw(_));
    if is_raw && !(parents.parent.is_empty() && parents.parent_dir.is_empty()) {
        return Err(Failure::usage(
            "a raw disk has no parents: --parent and --parent-dir are for VHDX files",
        ));
    }
    Ok(())
}

/// Returns the format of a disk: the value of the option, else the detected format. `from` is the option and its value.
pub(super) fn format_of(path: &Path, from: (&'static str, Option<Format>)) -> Result<Format, Failure> {
    let (option, asked) = from;
    asked.map_or_else(|| detect(path, option), Ok)
}

/// Detects the format of a file by its content, else by its name.
///
/// A damaged VHDX, or a file of another format, must not be taken for a raw disk.
fn detect(path: &Path, option: &'static str) -> Result<Format, Failure> {
    let named = match Format::of_name(path) {
        Some(Format::Vhdx) => Format::Vhdx,
        Some(Format::Raw) | None => Format::Raw,
    };
    // The name alone decides nothing: a VHDX that cannot be opened now may be opened a moment later.
    let file = Files.open(path)?;
    if FileFormat::of(&file).map_err(|error| error.in_file(path))? == Some(FileFormat::Vhdx) {
        return Ok(Format::Vhdx);
    }
    match Kind::of_file(path)? {
        Some(kind) => Err(Foreign { path: path.to_owned(), kind, purpose: Purpose::ReadAny(option) }.into()),
        None => Ok(named),
    }
}

/// Replaces the failure of a broken VHDX by one that names the format, if the file has another format.
pub(super) fn named_by_format(failure: Failure) -> Failure {
    match failure.broken_file().map(ensure_not_foreign) {
        Some(Err(foreign)) => foreign.into(),
        _ => failure,
    }
}

/// Returns an error if the file has another format. A file that cannot be read fails when it is opened.
pub(super) fn ensure_not_foreign(path: &Path) -> Result<(), Foreign> {
    match Kind::of_file(path) {
        Ok(Some(kind)) => Err(Foreign { path: path.to_owned(), kind, purpose: Purpose::Read }),
        Ok(None) | Err(_) => Ok(()),
    }
}
