//! Checks files against every rule of the format and collects all violations.

mod chain;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::{Vhdx, validate_bat};
use crate::log::LogState;
use crate::storage::{FilesOfHost, OnWriter, OpenFiles, ReadAt};
use crate::violation::Violations;

pub use chain::{check_chain, check_chain_in};

/// The result of checking a file, or the files of a chain.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct CheckReport {
    /// The files; those of a chain leaf first.
    pub files: Vec<FileReport>,
}

/// The result of checking one file.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FileReport {
    /// The path, if it is a file.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: Option<PathBuf>,
    /// The broken rules.
    pub violations: Violations,
    /// An error that is not a broken rule: a failed read, a missing parent, a file that changed.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub error: Option<Error>,
    /// The state of the log; `None` if the check ended early.
    pub log: Option<LogState>,
    /// Whether a writer holds the file, which only [`OnWriter::ReadAnyway`] allows.
    pub has_writer: bool,
    /// The size of the disk in bytes; `None` if the check ended early.
    pub virtual_size: Option<u64>,
}

impl CheckReport {
    /// Returns whether the checks of all files were completed.
    ///
    /// The check of a file also ends early if it [finds too many violations](Violations::is_full).
    pub fn is_complete(&self) -> bool {
        let is_complete =
            |file: &FileReport| file.log.is_some() && file.error.is_none() && !file.violations.is_full();
        self.files.iter().all(is_complete)
    }

    /// Returns whether every file can be used: see [`FileReport::is_valid`].
    pub fn is_valid(&self) -> bool {
        self.files.iter().all(FileReport::is_valid)
    }
}

impl FileReport {
    /// Returns whether the check ended without an error and found nothing that is not tolerated.
    pub fn is_valid(&self) -> bool {
        self.error.is_none() && self.violations.ensure_none_fatal().is_ok()
    }

    fn of(path: Option<&Path>, check: impl FnOnce(&mut Violations) -> Result<Checked>) -> Self {
        let mut violations = Violations::new();
        let path = path.map(Path::to_owned);
        let (checked, error) = match check(&mut violations) {
            Ok(checked) => (Some(checked), None),
            Err(error) => (None, Some(error)),
        };
        // A violation that ended the check is in the list already.
        let error = error.filter(|error| error.violation().is_none());
        let has_writer = checked.as_ref().is_some_and(|checked| checked.has_writer);
        let virtual_size = checked.as_ref().map(|checked| checked.virtual_size);
        Self { path, violations, error, log: checked.map(|checked| checked.log), has_writer, virtual_size }
    }
}

/// The result of a completed check, besides violations.
struct Checked {
    log: LogState,
    has_writer: bool,
    virtual_size: u64,
}

impl Checked {
    fn of(vhdx: &Vhdx, has_writer: bool) -> Self {
        Self { log: vhdx.log(), has_writer, virtual_size: vhdx.virtual_size() }
    }
}

/// Checks one file: its structures, and every entry of its block allocation table.
///
/// Nothing is written. The file is locked against writers meanwhile, and compared at the end with its state at the
/// beginning, as [`Chain::lock_shared`](crate::Chain::lock_shared) and
/// [`Chain::ensure_unchanged`](crate::Chain::ensure_unchanged) do.
pub fn check_file(path: &Path, on_writer: OnWriter) -> CheckReport {
    check_file_in(&FilesOfHost, path, on_writer)
}

/// Checks a file that `files` opens, as [`check_file`] checks a file of the host.
pub fn check_file_in(files: &dyn OpenFiles, path: &Path, on_writer: OnWriter) -> CheckReport {
    let report = FileReport::of(Some(path), |violations| {
        let vhdx = Vhdx::load_from(files, path, violations)?;
        let checked = check_open(&vhdx, on_writer, violations).map_err(|error| error.in_file(path))?;
        vhdx.ensure_unchanged()?;
        Ok(checked)
    });
    CheckReport { files: vec![report] }
}

/// Checks anything that can be read at any offset, as [`check_file`] does, but without locks.
pub fn check_storage(storage: Arc<dyn ReadAt>) -> CheckReport {
    let report = FileReport::of(None, |violations| {
        let vhdx = Vhdx::load(storage, violations)?;
        validate_all(&vhdx, violations)?;
        vhdx.ensure_unchanged()?;
        Ok(Checked::of(&vhdx, false))
    });
    CheckReport { files: vec![report] }
}

/// Locks a file and checks what opening it did not.
fn check_open(vhdx: &Vhdx, on_writer: OnWriter, violations: &mut Violations) -> Result<Checked> {
    let has_writer = vhdx.lock_shared(on_writer)?;
    validate_all(vhdx, violations)?;
    Ok(Checked::of(vhdx, has_writer))
}

/// Validates what opening the file did not: the region tables and the block allocation table.
fn validate_all(vhdx: &Vhdx, violations: &mut Violations) -> Result<()> {
    vhdx.validate_region_tables(violations)?;
    validate_bat(vhdx, violations)
}

#[cfg(test)]
mod tests;
