//! The files and folders that a search could not read. A configuration or a disk that was not found may be there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use hyperv_config::is_in_snapshots;

use super::names::machine_folder;
use super::problem::MachineProblem;
use crate::family::scan::has_disk_name;

/// The paths that could not be read, by the folder of their machine. If a folder has several, the first in path order
/// is kept.
pub(super) struct Unread {
    /// Paths that may be, or contain, the configuration of a machine.
    configurations: HashMap<PathBuf, PathBuf>,
    /// All paths.
    all: HashMap<PathBuf, PathBuf>,
    /// The first path whose name is not a disk name. It may be the configuration of any machine, or contain it.
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
        // A folder that cannot be listed can be one of those that Hyper-V makes.
        let inside = path.join("file");
        let folders = [machine_folder(path), machine_folder(&inside)];
        for folder in folders.into_iter().flatten() {
            self.all.entry(folder.to_owned()).or_insert_with(|| path.to_owned());
            if !has_disk_name(path) && !is_in_snapshots(path) {
                self.configurations.entry(folder.to_owned()).or_insert_with(|| path.to_owned());
            }
        }
        if !has_disk_name(path) && self.first.is_none() {
            self.first = Some(path.to_owned());
        }
    }

    /// Returns the path that may be or contain the configuration of the machine of a checkpoint.
    pub(super) fn configuration_near(&self, checkpoint: &Path) -> Option<&PathBuf> {
        self.configurations.get(machine_folder(checkpoint)?)
    }

    /// Returns a path that may name the disk or depend on it: one in the machine's folder, or else any possible
    /// configuration.
    pub(super) fn near_disk(&self, disk: &Path) -> Option<&PathBuf> {
        machine_folder(disk).and_then(|folder| self.all.get(folder)).or(self.first.as_ref())
    }
}
