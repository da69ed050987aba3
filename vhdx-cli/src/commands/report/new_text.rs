//! Writes the files of a report. A file of an earlier report is replaced, any other file only with `--force`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use vhdx::{Error, FileIdentity, IfExists, InvalidArgument, NewFile, Storage};

use crate::exit::Failure;

/// Names that a report never gets, because the disks and machines of the searched folders have them.
const FOREIGN: [&str; 9] = ["vhdx", "avhdx", "vhd", "avhd", "vhds", "vmcx", "vmrs", "rct", "mrt"];

/// The most bytes at the start of a file in which the mark of a report is searched for.
const START: u64 = 512;

/// Checks whether a file can be written.
///
/// `mark` is a text near the start of every such file.
pub(super) fn check(path: &Path, mark: &str, if_exists: IfExists) -> Result<(), Failure> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    if extension.is_some_and(|extension| FOREIGN.contains(&extension.as_str())) {
        let message = "a report cannot have the name of a disk or of a file of Hyper-V";
        return Err(Failure::usage(message).in_file(path));
    }
    NewFile::ensure_can_create(path, allowed(path, mark, if_exists)).map_err(|error| {
        let is_conflict = matches!(error.without_path(), Error::Conflict(_));
        let failure = Failure::from(error);
        if is_conflict { failure.with_hint(HINT) } else { failure }
    })
}

const HINT: &str = "the file is not from an earlier report: choose another name, or replace it with --force";

fn allowed(path: &Path, mark: &str, if_exists: IfExists) -> IfExists {
    if is_report(path, mark) { IfExists::Replace } else { if_exists }
}

/// Returns whether a file is from an earlier report. A file that cannot be read is not known to be one.
fn is_report(path: &Path, mark: &str) -> bool {
    let mut start = Vec::new();
    let read =
        path.is_file() && File::open(path).is_ok_and(|file| file.take(START).read_to_end(&mut start).is_ok());
    read && start.windows(mark.len()).any(|part| part == mark.as_bytes())
}

/// Writes a file under a temporary name, and renames it.
pub(super) fn write(
    path: &Path,
    mark: &str,
    if_exists: IfExists,
    sources: &[FileIdentity],
    content: &[u8],
) -> Result<(), Failure> {
    NewFile::ensure_no_source(path, sources.iter().copied())?;
    let write = || {
        let file = NewFile::create(path, allowed(path, mark, if_exists))?;
        file.write_all_at(content, vhdx::FileOffset::new(0))
            .map_err(|source| Error::io("write", None, source))?;
        file.commit()
    };
    write().map_err(|error: Error| match error.without_path() {
        Error::InvalidArgument(InvalidArgument::NotARegularFile) => {
            Failure::from(error).with_hint("name a file that a report can be written to")
        }
        _ => Failure::from(match error.path() {
            Some(_) => error,
            None => error.in_file(path),
        }),
    })
}
