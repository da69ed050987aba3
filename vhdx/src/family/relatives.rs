//! Finds the disks in folders and the parents that they name. A search is needed because no file names its children.

mod left_over_disks;
mod of_family;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

pub use left_over_disks::LeftOverDisks;
pub(crate) use of_family::FamilyRelatives;

use super::facts::FileFacts;
use super::problem::Problem;
use super::scan::{self, has_disk_name};
use crate::disk::lookup;
use crate::error::{ChainFault, Error, Result, Undetermined};
use crate::file::Vhdx;
use crate::progress::Progress;
use crate::storage::FileFormat;

/// The disks in some folders.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Relatives {
    /// The folders that were searched, each once.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub folders: Vec<PathBuf>,
    /// The disks, sorted by path.
    pub disks: Vec<FileFacts>,
    /// The paths that may be or contain disks, but could not be checked.
    ///
    /// These are folders that cannot be listed, files that are damaged or cannot be read, disks that may have lost a
    /// linkage, and broken links with the name of a disk. Empty files and metadata files of macOS (`._*`) are left out.
    pub undetermined: Vec<Undetermined>,
    /// The files with the name of a VHDX, but of another format. They are children of no disk.
    pub other_formats: Vec<OtherFormat>,
}

/// A file with the name of a VHDX, but of another format.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct OtherFormat {
    /// The file.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The format of the content.
    pub format: FileFormat,
}

/// Returns the disk as undetermined if its locator may have lost a linkage.
fn of_lost_linkage(disk: &FileFacts) -> Option<Undetermined> {
    let error = Error::from(disk.lost_linkage.clone()?).in_file(&disk.path);
    Some(Undetermined { path: disk.path.clone(), error: Arc::new(error), may_be_disk: true })
}

/// Returns the path of the problem as undetermined if it may be, or contain, a disk.
fn to_undetermined(problem: Problem) -> Option<Undetermined> {
    // Only a file with the name or a signature of a disk can be reported as damaged.
    let is_damaged = matches!(problem, Problem::Damaged { .. });
    let (path, error) = match problem {
        Problem::Damaged { path, error } | Problem::Unreadable { path, error } => (path, error),
        // A broken link: its target may be a disk on a drive that is not mounted.
        Problem::NotARegularFile { path } => match path.metadata() {
            Err(error) => (path.clone(), Arc::new(Error::io("open", None, error).in_file(&path))),
            Ok(_) => return None,
        },
        _ => return None,
    };
    if is_apple_double(&path) || is_empty(&path) || has_vanished(&path, &error) {
        return None;
    }
    let is_file = || path.metadata().is_ok_and(|metadata| metadata.is_file());
    let is_other = !is_damaged && is_file() && !has_disk_name(&path);
    // A disk in use does not block a merge. A Windows host often has the disks of all machines in one folder, and
    // Hyper-V locks those of running machines. It also locks their parents. So a merge, which locks all its files
    // before it writes, cannot change a file that a running machine needs.
    let is_in_use = reason_not_open(&error) == Some(io::ErrorKind::ResourceBusy);
    Some(Undetermined { may_be_disk: !is_other && !is_in_use, path, error })
}

/// Returns the kind of the error if opening a file failed; `None` for any other error.
fn reason_not_open(error: &Error) -> Option<io::ErrorKind> {
    match error {
        Error::InFile { error, .. } => reason_not_open(error),
        Error::Io { operation: "open", source, .. } => Some(source.kind()),
        _ => None,
    }
}

/// Returns whether a file has the name of a macOS metadata file (AppleDouble).
fn is_apple_double(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"._"))
}

fn is_empty(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}

/// Returns whether a file was deleted since its folder was listed.
///
/// A broken link still exists, and its disk may exist on a drive that is not mounted.
fn has_vanished(path: &Path, error: &Error) -> bool {
    let is_not_found = |kind| kind == io::ErrorKind::NotFound;
    let is_gone = || path.symlink_metadata().is_err_and(|error| is_not_found(error.kind()));
    reason_not_open(error).is_some_and(is_not_found) && is_gone()
}

impl Relatives {
    /// Returns the disks of folders that are not folders of the host.
    ///
    /// Each disk has a path that names it, and is open or has the error of opening it.
    pub fn of_opened(folders: Vec<PathBuf>, disks: Vec<(PathBuf, Result<Vhdx>)>) -> Self {
        let mut relatives = Relatives { folders, ..Relatives::default() };
        for (path, disk) in disks {
            match disk {
                Ok(disk) => relatives.disks.push(FileFacts::of(&path, &disk)),
                Err(error) => {
                    let error = Arc::new(error);
                    relatives.undetermined.push(Undetermined { path, error, may_be_disk: true });
                }
            }
        }
        relatives.disks.sort_by(|a, b| a.path.cmp(&b.path));
        relatives.undetermined.extend(relatives.disks.iter().filter_map(of_lost_linkage));
        relatives
    }

    /// Ensures that no undetermined file may be a disk that depends on the chain of `child`.
    ///
    /// The child itself is ignored. Call this before you change or delete files of the chain.
    ///
    /// # Errors
    /// [`UndeterminedFiles`](crate::ChainErrorKind::UndeterminedFiles).
    pub fn ensure_all_determined(&self, child: &Path) -> Result<()> {
        let undetermined: Vec<Undetermined> = self.possible_dependents(child).cloned().collect();
        match undetermined.is_empty() {
            true => Ok(()),
            false => Err(ChainFault::UndeterminedFiles { child: child.to_owned(), undetermined }.into()),
        }
    }

    /// Returns the undetermined files that may be disks that depend on the chain of `child`.
    pub(crate) fn possible_dependents(&self, child: &Path) -> impl Iterator<Item = &Undetermined> {
        let real_child = child.canonicalize().ok();
        let is_other = move |path: &Path| {
            path != child && (real_child.is_none() || path.canonicalize().ok() != real_child)
        };
        self.undetermined.iter().filter(move |file| file.may_be_disk && is_other(&file.path))
    }

    /// Returns the disks that name this DataWriteGuid in a linkage.
    pub fn children_of(&self, data_write_guid: Uuid) -> impl Iterator<Item = &FileFacts> {
        self.disks.iter().filter(move |disk| disk.is_child_of(data_write_guid))
    }

    /// Returns a search for the disks that are left over from completed merges.
    pub fn left_overs(&self) -> LeftOverDisks<'_> {
        LeftOverDisks::new(&self.disks)
    }

    /// Returns all descendants of a file with this DataWriteGuid, its children first.
    pub fn descendants_of(&self, data_write_guid: Uuid) -> Vec<&FileFacts> {
        let mut guids = HashSet::from([data_write_guid]);
        let mut found: Vec<&FileFacts> = self.children_of(data_write_guid).collect();
        let mut next = 0;
        while let Some(guid) = found.get(next).map(|disk| disk.data_write_guid) {
            if guids.insert(guid) {
                found.extend(self.children_of(guid));
            }
            next += 1;
        }
        let mut seen = HashSet::new();
        found.retain(|disk| seen.insert(std::ptr::from_ref(*disk)));
        found
    }
}

/// Finds all VHDX files directly in the folders, under any name.
///
/// Several names of one file are one disk. No file stays open, and none is changed.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` asks for it. Files and folders that cannot be read are no errors: see
/// [`Relatives::undetermined`].
pub fn find_relatives(folders: &[PathBuf], progress: &dyn Progress) -> Result<Relatives> {
    let mut seen = HashSet::new();
    let is_new = |folder: &&PathBuf| seen.insert(folder.canonicalize().unwrap_or_else(|_| (*folder).clone()));
    let folders: Vec<PathBuf> = folders.iter().filter(is_new).cloned().collect();
    let met = scan::walk(&folders, 1, progress, FileFacts::of)?;
    let mut disks = met.disks;
    disks.sort_by(|a, b| a.path.cmp(&b.path));
    let undetermined = disks.iter().filter_map(of_lost_linkage).collect();
    let mut relatives = Relatives { folders, disks, undetermined, ..Relatives::default() };
    for problem in met.problems {
        match problem {
            Problem::OtherFormat { path, format } => {
                relatives.other_formats.push(OtherFormat { path, format })
            }
            problem => relatives.undetermined.extend(to_undetermined(problem)),
        }
    }
    Ok(relatives)
}

/// Returns the folders in which to [search for relatives](find_relatives) of some files.
///
/// These are the folders of the files, for symbolic links also the folders of the real files, and `more`.
pub fn folders_around<'a>(files: impl IntoIterator<Item = &'a Path>, more: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = files.into_iter().flat_map(lookup::folders_of).collect();
    folders.extend_from_slice(more);
    folders
}

#[cfg(test)]
mod tests;
