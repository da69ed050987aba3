//! The files and folders that a search could not read. A configuration or a disk that was not found may be there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use hyperv_config::is_in_snapshots;

use super::names::machine_folder;
use super::problem::MachineProblem;
use crate::family::forest::Forest;
use crate::family::problem::Problem;
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

/// Returns whether a path has the name of a machine's configuration, or of the folder of such files.
fn is_called_a_configuration(path: &Path) -> bool {
    let extension = path.extension().map(|extension| fold_name(&extension.to_string_lossy()));
    let name = path.file_name().map(|name| fold_name(&name.to_string_lossy()));
    let is_file = extension.is_some_and(|extension| ["vmcx", "xml"].contains(&extension.as_str()));
    (is_file || name.is_some_and(|name| name == "virtual machines")) && !is_in_snapshots(path)
}

impl Forest {
    /// Returns the paths that could not be read and may be, or contain, the configuration of a machine.
    ///
    /// Each has the folders of the machines to which it may belong.
    pub(crate) fn unread_machines(&self) -> Vec<(&Path, Vec<PathBuf>)> {
        let unread = self.problems.iter().filter(|problem| match problem {
            Problem::Machine(
                MachineProblem::Unreadable { path, .. } | MachineProblem::Imperfect { path, .. },
            ) => may_configure_a_machine(path),
            Problem::Unreadable { path, .. } => is_called_a_configuration(path),
            _ => false,
        });
        unread.map(|problem| (problem.path(), machine_folders(problem.path()))).collect()
    }
}
