//! Recognizes files beside disks that are not VHDX, by their content or name.

use std::fmt;
use std::path::{Path, PathBuf};

use super::prune_record::RECORD_EXTENSION;
use crate::error::Result;
use crate::parallel;
use crate::progress::Progress;
use crate::storage::{FileFormat, FileStorage, PART_EXTENSION};

/// The extension of a file that lists what an interrupted prune still has to delete.
pub(crate) const JOURNAL_EXTENSION: &str = "vhdx-prune";

/// A file of a known kind that is not a VHDX and is not named like one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct OtherFile {
    /// The file.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The kind of the file.
    pub kind: OtherKind,
}

/// The kind of an [`OtherFile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum OtherKind {
    /// Another format, recognized by its content.
    Format(FileFormat),
    /// `.vmcx`: the configuration of a virtual machine or of a checkpoint.
    MachineConfiguration,
    /// `.vmrs`: the memory and device state of a virtual machine or of a checkpoint.
    MachineState,
    /// `.vhds`: a VHD set. Its disk is an AVHDX file beside it.
    VhdSet,
    /// `.rct` or `.mrt`: Hyper-V's change tracking of a disk.
    ChangeTracking,
    /// `.iso`: an optical disc.
    OpticalDisc,
    /// `.NAME.*.part`: a file that is still being written, or that a stopped program left behind.
    UnfinishedFile,
    /// `.vhdx-prune`: the files that an interrupted prune still has to delete.
    PruneJournal,
    /// `.vhdx-pruned`: where a prune has moved the states of the files that it deleted, or which disk a revert replaced.
    PruneRecord,
}

impl OtherKind {
    /// Returns the kind of a file, by its content or else by its name; `None` if it is not known.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the file cannot be read.
    pub(super) fn of(path: &Path) -> Result<Option<Self>> {
        let by_content = FileFormat::of(&FileStorage::open(path)?)?;
        Ok(by_content.map(OtherKind::Format).or_else(|| Self::of_name(path)))
    }

    fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "vmcx" => Some(OtherKind::MachineConfiguration),
            "vmrs" => Some(OtherKind::MachineState),
            "vhds" => Some(OtherKind::VhdSet),
            "rct" | "mrt" => Some(OtherKind::ChangeTracking),
            "iso" => Some(OtherKind::OpticalDisc),
            JOURNAL_EXTENSION => Some(OtherKind::PruneJournal),
            RECORD_EXTENSION => Some(OtherKind::PruneRecord),
            PART_EXTENSION if path.file_name()?.to_str()?.starts_with('.') => Some(OtherKind::UnfinishedFile),
            _ => None,
        }
    }

    /// Returns the name in reports.
    ///
    /// It is the name of the [format](FileFormat::name), or `machine configuration`, `machine state`, `VHD set`,
    /// `change tracking`, `optical disc`, `unfinished file`, `prune journal` or `prune record`.
    pub const fn name(self) -> &'static str {
        match self {
            OtherKind::Format(format) => format.name(),
            OtherKind::MachineConfiguration => "machine configuration",
            OtherKind::MachineState => "machine state",
            OtherKind::VhdSet => "VHD set",
            OtherKind::ChangeTracking => "change tracking",
            OtherKind::OpticalDisc => "optical disc",
            OtherKind::UnfinishedFile => "unfinished file",
            OtherKind::PruneJournal => "prune journal",
            OtherKind::PruneRecord => "prune record",
        }
    }
}

impl fmt::Display for OtherKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OtherKind::Format(format) => return format.fmt(f),
            OtherKind::MachineConfiguration => "the configuration of a virtual machine or checkpoint",
            OtherKind::MachineState => "the memory and device state of a virtual machine or checkpoint",
            OtherKind::VhdSet => "a VHD set: its disk is an .avhdx file beside it",
            OtherKind::ChangeTracking => "Hyper-V's change tracking of a disk",
            OtherKind::OpticalDisc => "an optical disc",
            OtherKind::UnfinishedFile => {
                "an unfinished file: a program is still writing it, or was stopped. Delete it only if no program is \
                 writing to this folder"
            }
            OtherKind::PruneJournal => {
                "the list of files that an interrupted deletion of checkpoints still has to delete"
            }
            OtherKind::PruneRecord => {
                "the record of a prune or revert: it has the names and times of kept checkpoints, and the paths of \
                 disks that a revert replaced"
            }
        })
    }
}

/// Returns the files of a known kind among `paths`, sorted by path.
///
/// Files that can no longer be read are skipped.
///
/// # Errors
/// [`Error::Cancelled`](crate::Error::Cancelled) if `progress` asks for it.
pub(super) fn recognise(paths: &[PathBuf], progress: &dyn Progress) -> Result<Vec<OtherFile>> {
    let kinds = parallel::each(paths, progress, |path| OtherKind::of(path).ok().flatten())?;
    let recognised = paths.iter().zip(kinds).filter_map(|(path, kind)| Some((path.clone(), kind?)));
    let mut found: Vec<OtherFile> = recognised.map(|(path, kind)| OtherFile { path, kind }).collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hidden_file_is_an_unfinished_one() {
        let of = |name: &str| OtherKind::of_name(Path::new(name));
        assert_eq!(of("folder/.disk.vhdx.A1b2C3.part"), Some(OtherKind::UnfinishedFile));
        for name in ["disk.part", ".part", "folder.part/disk", ".disk.vhdx"] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
