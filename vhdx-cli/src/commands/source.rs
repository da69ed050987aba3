//! Opening a disk whatever its format.

use std::path::Path;

use vhdx::{Chain, Disk, Error, FileFormat, FileStorage, RawDisk};

use crate::args::{Format, Parents};
use crate::exit::Usage;
use crate::foreign::{Foreign, Kind, Wish};

/// An open disk.
pub(super) enum Opened {
    Chain(Chain),
    Raw(RawDisk),
}

impl Opened {
    pub(super) fn disk(&self) -> &dyn Disk {
        match self {
            Opened::Chain(chain) => chain,
            Opened::Raw(raw) => raw,
        }
    }
}

/// Refuses parents for a source that has none.
pub(super) fn ensure_no_parents_of_raw(source: &Opened, parents: &Parents) -> Result<(), Usage> {
    let is_raw = matches!(source, Opened::Raw(_));
    if is_raw && !(parents.parent.is_empty() && parents.parent_dir.is_empty()) {
        return Err(Usage(
            "a raw disk has no parents: --parent and --parent-dir are for VHDX files".to_owned(),
        ));
    }
    Ok(())
}

/// The format of a disk. `from` is the option that gives it, and what it gives.
pub(super) fn format_of(path: &Path, from: (&'static str, Option<Format>)) -> anyhow::Result<Format> {
    let (option, asked) = from;
    asked.map_or_else(|| detect(path, option), Ok)
}

/// The format of a file by its content and, where that does not tell, by its name. A damaged VHDX must not pass for a
/// raw disk, and neither must another format.
fn detect(path: &Path, option: &'static str) -> anyhow::Result<Format> {
    let named = match Format::of_name(path) {
        Some(Format::Vhdx) => Format::Vhdx,
        Some(Format::Raw) | None => Format::Raw,
    };
    // What cannot be opened fails again, with its error, when it is opened as a disk.
    let Ok(file) = FileStorage::open(path) else { return Ok(named) };
    if FileFormat::of(&file).map_err(|error| error.in_file(path))? == Some(FileFormat::Vhdx) {
        return Ok(Format::Vhdx);
    }
    match Kind::of_file(path)? {
        Some(kind) => Err(Foreign { path: path.to_owned(), kind, wish: Wish::ReadAny(option) }.into()),
        None => Ok(named),
    }
}

/// Replaces the error of a file that cannot be read as a VHDX by what the file is, if it is of another format.
pub(super) fn named_by_format(error: anyhow::Error) -> anyhow::Error {
    let is_broken = |error: &Error| error.violation().is_some();
    let path = error.downcast_ref::<Error>().filter(|error| is_broken(error)).and_then(Error::path);
    match path.map(ensure_not_foreign) {
        Some(Err(foreign)) => foreign.into(),
        _ => error,
    }
}

/// Refuses a file of another format. What cannot be read fails when it is opened.
pub(super) fn ensure_not_foreign(path: &Path) -> Result<(), Foreign> {
    match Kind::of_file(path) {
        Ok(Some(kind)) => Err(Foreign { path: path.to_owned(), kind, wish: Wish::Read }),
        Ok(None) | Err(_) => Ok(()),
    }
}
