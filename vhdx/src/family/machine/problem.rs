//! The problems of configuration files and of their links to disks.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::family::problem::text::List;
use crate::quoted::Quoted;

/// A problem with a configuration file of Hyper-V, or with its link to a disk.
///
/// Its [`Display`](fmt::Display) continues a sentence that begins with the [`path`](Self::path).
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum MachineProblem {
    /// A configuration file cannot be read.
    Unreadable {
        /// The file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The reason.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        error: Arc<hyperv_config::Error>,
    },
    /// Parts of a configuration file were skipped.
    Imperfect {
        /// The file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The first part, and what is wrong there.
        first: String,
        /// The number of other parts.
        more: u64,
    },
    /// A disk that the configuration names was not found.
    MissingDisk {
        /// The configuration file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The path of the disk on the host of the machine.
        stored: String,
        /// The disks that have its file name, in any folder. They may belong to other machines.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        candidates: Vec<PathBuf>,
        /// The file that cannot be read, but has the name of the disk; or a folder that cannot be listed, but has the
        /// name of its folder.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        damaged: Option<PathBuf>,
        /// The disk under its present path, if a child, a record or the GUID in its name identifies it.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        moved_to: Option<PathBuf>,
    },
    /// A prune has merged a disk that the configuration names into another one, which has its state now.
    MergedDisk {
        /// The configuration file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The path of the merged disk on the host of the machine.
        stored: String,
        /// The disk that has the state.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        target: PathBuf,
        /// Whether the configuration is that of a checkpoint.
        is_checkpoint: bool,
    },
    /// A revert has deleted the disk that the machine names. The machine must use the new disk.
    ReplacedDisk {
        /// The configuration file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The path of the deleted disk on the host of the machine.
        stored: String,
        /// The disk that the machine must use.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        target: PathBuf,
    },
    /// A prune has deleted the states of all disks of a checkpoint.
    DeletedCheckpoint {
        /// The configuration file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
    },
    /// A prune has deleted the states of some disks of a checkpoint, and not those of the others.
    PartlyDeletedCheckpoint {
        /// The configuration file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The disks whose states were kept and found.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        disks: Vec<PathBuf>,
    },
    /// The record or journal of a prune or revert cannot be read. The names and times of checkpoints may be missing or wrong.
    DamagedRecord {
        /// The record.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
    },
    /// The record of a prune or revert is not beside its disk, which was renamed or moved.
    RecordElsewhere {
        /// The record.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The disk.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        target: PathBuf,
    },
    /// The disk of a record was not found, and a disk that a checkpoint names may be it.
    ///
    /// The disk may have a newer state than that of the checkpoint. So it is not joined to the checkpoint.
    RecordWithoutDisk {
        /// The record.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The disk that may be it.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        candidate: PathBuf,
    },
    /// Several machines name the same disk as their newest one.
    SharedDisk {
        /// The disk.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The first of their configuration files.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        configurations: Vec<PathBuf>,
        /// The number of these files.
        count: usize,
    },
    /// A machine names a disk that other disks depend on, so starting it would make them unusable.
    NotTheNewest {
        /// The configuration file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// The disk.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        disk: PathBuf,
    },
    /// No configuration names this disk, although configurations of machines were found.
    NoMachine(UnusedDisk),
    /// The configuration of a checkpoint belongs to no machine that was found.
    UnknownMachine {
        /// The configuration file.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        path: PathBuf,
        /// A file or folder whose problem is probably the reason.
        ///
        /// Either it could not be read and may be or contain the machine's configuration, or it is a disk whose parent
        /// is missing, so that its family is unknown.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
        cause: Option<PathBuf>,
        /// Whether disks that the configuration names were not found, so that the machine could not be found by them.
        lacks_disks: bool,
    },
}

/// A disk without children that no configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct UnusedDisk {
    /// The disk.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The nearest disk of the same family that a machine uses and that has no children.
    pub nearest_used: Option<UsedDisk>,
    /// Whether its parent has other children.
    pub has_siblings: bool,
    /// A file or folder with a problem that may need this disk; `None` if nothing that was found needs it.
    ///
    /// It can be the disk itself.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub may_be_needed_by: Option<PathBuf>,
    /// Whether that path is only an example: nothing points from there to this disk, but it may need any disk.
    pub is_example: bool,
}

/// A disk that a machine uses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct UsedDisk {
    /// The disk.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub path: PathBuf,
    /// The name of the machine.
    pub machine: Option<String>,
    /// The configuration of the machine.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub configuration: PathBuf,
}

impl fmt::Display for UsedDisk {
    /// Names the machine and its configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.machine {
            Some(name) => {
                write!(f, "the machine {} ({})", Quoted(Path::new(name)), Quoted(&self.configuration))
            }
            None => write!(f, "the machine of {}", Quoted(&self.configuration)),
        }
    }
}

impl MachineProblem {
    /// Returns the file with the problem.
    pub fn path(&self) -> &Path {
        match self {
            MachineProblem::Unreadable { path, .. }
            | MachineProblem::Imperfect { path, .. }
            | MachineProblem::MissingDisk { path, .. }
            | MachineProblem::MergedDisk { path, .. }
            | MachineProblem::ReplacedDisk { path, .. }
            | MachineProblem::RecordElsewhere { path, .. }
            | MachineProblem::RecordWithoutDisk { path, .. }
            | MachineProblem::DeletedCheckpoint { path }
            | MachineProblem::DamagedRecord { path }
            | MachineProblem::PartlyDeletedCheckpoint { path, .. }
            | MachineProblem::SharedDisk { path, .. }
            | MachineProblem::NotTheNewest { path, .. }
            | MachineProblem::UnknownMachine { path, .. } => path,
            MachineProblem::NoMachine(disk) => &disk.path,
        }
    }
}

impl fmt::Display for MachineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MachineProblem::Unreadable { error, .. } => write!(f, "is not a readable configuration: {error}"),
            MachineProblem::Imperfect { first, more, .. } => {
                write!(f, "is damaged, but can be read in part: {first}")?;
                if *more > 0 { write!(f, "; and {more} more") } else { Ok(()) }
            }
            MachineProblem::MissingDisk { stored, damaged: Some(damaged), .. } => write!(
                f,
                "names the disk {}, which was probably found but cannot be read: see {}",
                Quoted(Path::new(stored)),
                Quoted(damaged)
            ),
            MachineProblem::MissingDisk { stored, moved_to: Some(moved_to), .. } => write!(
                f,
                "names the disk {}, which was probably renamed or moved to {}",
                Quoted(Path::new(stored)),
                Quoted(moved_to)
            ),
            MachineProblem::MissingDisk { stored, candidates, .. } => {
                write!(f, "names the disk {}, which was not found", Quoted(Path::new(stored)))?;
                match candidates.len() {
                    0 => Ok(()),
                    1 => f.write_str("; one file has this name, but may belong to another machine"),
                    _ => {
                        f.write_str("; several files have this name, and it is not known which one is meant")
                    }
                }
            }
            MachineProblem::MergedDisk { stored, target, .. } => write!(
                f,
                "names the disk {}, which a prune merged into {}",
                Quoted(Path::new(stored)),
                Quoted(target)
            ),
            MachineProblem::ReplacedDisk { stored, target, .. } => write!(
                f,
                "names the disk {}, which a revert deleted: the machine must use {} instead",
                Quoted(Path::new(stored)),
                Quoted(target)
            ),
            MachineProblem::RecordElsewhere { target, .. } => write!(
                f,
                "is the record of a prune or revert, but its disk was renamed or moved to {}",
                Quoted(target)
            ),
            MachineProblem::RecordWithoutDisk { candidate, .. } => write!(
                f,
                "is the record of a prune, but its disk was not found: {} may be that disk, and may have a newer state \
                 than the checkpoint that names it now",
                Quoted(candidate)
            ),
            MachineProblem::DeletedCheckpoint { .. } => {
                f.write_str("is the configuration of a checkpoint that a prune deleted")
            }
            MachineProblem::DamagedRecord { .. } => f.write_str(
                "is not a readable record or journal of a prune or revert: names and times of checkpoints may be missing",
            ),
            MachineProblem::PartlyDeletedCheckpoint { disks, .. } if disks.is_empty() => f.write_str(
                "is the configuration of a checkpoint that a prune deleted in part: its other disks were not found, or cannot be used",
            ),
            MachineProblem::PartlyDeletedCheckpoint { disks, .. } => write!(
                f,
                "is the configuration of a checkpoint that a prune deleted in part: the states of {} were kept",
                List(disks, disks.len())
            ),
            MachineProblem::SharedDisk { configurations, count, .. } => {
                write!(f, "is the disk of several machines: {}", List(configurations, *count))
            }
            MachineProblem::NotTheNewest { disk, .. } => write!(
                f,
                "names the disk {}, on which other disks depend: starting the machine would make them unusable",
                Quoted(disk)
            ),
            MachineProblem::NoMachine(disk) => {
                f.write_str("is named by no configuration that was found")?;
                match &disk.nearest_used {
                    Some(used) => {
                        write!(f, "; {used} uses {} of the same family", Quoted(&used.path))
                    }
                    None => Ok(()),
                }
            }
            MachineProblem::UnknownMachine { .. } => {
                f.write_str("is the configuration of a checkpoint, but its machine was not found")
            }
        }
    }
}
