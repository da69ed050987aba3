//! The files and folders that a search could not read. A configuration or a disk that was not found may be there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use hyperv_config::is_in_snapshots;

use super::names::machine_folder;
use super::problem::MachineProblem;
use crate::family::forest::Forest;
use crate::family::problem::{Problem, Remedy};
use crate::family::scan::has_disk_name;
use crate::windows_path::fold_name;

/// The paths that could not be read, by the folder of their machine. If a folder has several, the first in path order
/// is kept.
pub(super) struct Unread {
    /// Paths that may be, or contain, the configuration of a machine.
    configurations: HashMap<PathBuf, PathBuf>,
    /// All paths.
    all: HashMap<PathBuf, PathBuf>,
    /// The first path of all.
    first: Option<PathBuf>,
}

impl Unread {
    /// Returns the paths that could not be read, and those of configurations with a problem.
    pub(super) fn of(paths: &[&Path], problems: &[MachineProblem]) -> Self {
        let mut unread = Self { configurations: HashMap::new(), all: HashMap::new(), first: None };
        let damaged = problems.iter().filter_map(|problem| match problem {
            MachineProblem::Unreadable { path, .. } | MachineProblem::Imperfect { path, .. } => Some(path),
            _ => None,
        });
        let mut paths: Vec<&Path> = paths.iter().copied().chain(damaged.map(PathBuf::as_path)).collect();
        paths.sort_unstable();
        for path in paths {
            unread.add(path);
        }
        unread
    }

    fn add(&mut self, path: &Path) {
        for folder in machine_folders(path) {
            self.all.entry(folder.clone()).or_insert_with(|| path.to_owned());
            if may_configure_a_machine(path) {
                self.configurations.entry(folder).or_insert_with(|| path.to_owned());
            }
        }
        if self.first.is_none() {
            self.first = Some(path.to_owned());
        }
    }

    /// Returns the path that may be or contain the configuration of the machine of a checkpoint.
    pub(super) fn configuration_near(&self, checkpoint: &Path) -> Option<&PathBuf> {
        self.configurations.get(machine_folder(checkpoint)?)
    }

    /// Returns a path in the folder of a disk's machine. It may name the disk or depend on it.
    pub(super) fn near_disk(&self, disk: &Path) -> Option<&PathBuf> {
        self.all.get(machine_folder(disk)?)
    }

    /// Returns the first path. It may name any disk, or depend on it.
    pub(super) fn first(&self) -> Option<&PathBuf> {
        self.first.as_ref()
    }
}

/// Returns the folders of the machines to which a path that cannot be read may belong.
///
/// If it is a folder, it can be one of those that Hyper-V makes for each machine.
fn machine_folders(path: &Path) -> Vec<PathBuf> {
    let inside = path.join("file");
    [machine_folder(path), machine_folder(&inside)].into_iter().flatten().map(Path::to_owned).collect()
}

/// Returns whether a path that cannot be read may be, or contain, the configuration of a machine.
fn may_configure_a_machine(path: &Path) -> bool {
    !has_disk_name(path) && !is_in_snapshots(path)
}

/// Folders of this name are no folders of machines. Only an administrator may read some of them.
const SYSTEM_FOLDERS: [&str; 3] = ["lost+found", "system volume information", "$recycle.bin"];

impl Forest {
    /// Returns the configurations of machines that could not be read, at least in part.
    pub(crate) fn unread_machines(&self) -> Vec<&Path> {
        let unread = self.problems.iter().filter(|problem| {
            let path = problem.path();
            let is_named = || {
                let extension = path.extension().map(|extension| fold_name(&extension.to_string_lossy()));
                extension.is_some_and(|extension| ["vmcx", "xml"].contains(&extension.as_str()))
            };
            let is_unread = match problem {
                Problem::Machine(MachineProblem::Unreadable { .. } | MachineProblem::Imperfect { .. }) => {
                    true
                }
                Problem::Unreadable { .. } => is_named(),
                _ => false,
            };
            is_unread && may_configure_a_machine(path)
        });
        unread.map(Problem::path).collect()
    }

    /// Returns a folder or disk that could not be read. Anything may be in the folder, and the disk may depend on any other.
    ///
    /// A disk that a program uses is not one: its machine runs, and keeps its chain locked.
    pub(crate) fn unread_anything(&self) -> Option<&Path> {
        let is_system = |path: &Path| {
            let name = path.file_name().map(|name| fold_name(&name.to_string_lossy()));
            name.is_some_and(|name| SYSTEM_FOLDERS.contains(&name.as_str()))
        };
        let mut unread = self.problems.iter().filter_map(|problem| match problem {
            // A path of unknown kind may be a folder.
            Problem::Unreadable { path, .. } if !path.is_file() => {
                Some(path.as_path()).filter(|_| !is_system(path))
            }
            Problem::Unreadable { path, .. } if has_disk_name(path) => {
                (problem.remedy() == Remedy::GetAccess).then_some(path.as_path())
            }
            _ => None,
        });
        unread.next()
    }
}
