//! Finds the configurations of the machines whose folder of disks is searched.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::names::{COMMON_FOLDERS, DISKS};
use super::read::has_configuration_name;
use crate::family::host_path::absolute;
use crate::family::listing::unreadable;
use crate::family::problem::Problem;
use crate::windows_path::fold_name;

/// The search depth: Hyper-V makes one subfolder for each machine or checkpoint.
const MAX_DEPTH: usize = 2;

/// The configurations beside the folders of disks, and what could not be read there.
#[derive(Default)]
pub(in crate::family) struct Beside {
    pub(in crate::family) configurations: Vec<PathBuf>,
    pub(in crate::family) problems: Vec<Problem>,
}

impl Beside {
    /// Searches the folders that Hyper-V makes beside its folders of disks.
    ///
    /// Without them, nothing is known about the use of the disks. `known` are the files below the roots, and `problems` those
    /// of the paths there. Both are left out.
    pub(in crate::family) fn of(roots: &[PathBuf], known: &[PathBuf], problems: &[Problem]) -> Self {
        let mut found = Self::default();
        for above in roots.iter().filter_map(|root| folder_above(root)) {
            // A copy can have names in another case. If this folder cannot be listed, nothing is known about it.
            let entries = above.read_dir().into_iter().flatten().filter_map(Result::ok);
            let mut folders: Vec<PathBuf> = entries.map(|entry| above.join(entry.file_name())).collect();
            folders.sort();
            folders
                .iter()
                .filter(|folder| has_configurations(folder))
                .for_each(|folder| found.search(folder));
        }
        if !found.configurations.is_empty() {
            found.leave_out(known);
        }
        if !found.problems.is_empty() {
            let mut seen: HashSet<PathBuf> = problems.iter().map(|problem| real(problem.path())).collect();
            found.problems.retain(|problem| seen.insert(real(problem.path())));
        }
        found
    }

    /// Leaves out the files that are known, and all names of a file but the first. Roots can overlap, and have links.
    fn leave_out(&mut self, known: &[PathBuf]) {
        let known = known.iter().filter(|path| has_configuration_name(path));
        let mut seen: HashSet<PathBuf> = known.map(|path| real(path)).collect();
        self.configurations.sort();
        self.configurations.retain(|path| seen.insert(real(path)));
    }

    fn search(&mut self, folder: &Path) {
        for entry in WalkDir::new(folder).max_depth(MAX_DEPTH) {
            match entry {
                Ok(entry) if entry.file_type().is_file() && has_configuration_name(entry.path()) => {
                    self.configurations.push(entry.into_path());
                }
                Ok(_) => {}
                Err(error) => self.problems.push(unreadable(error, folder)),
            }
        }
    }
}

/// Returns the path without links, which is the same for all spellings of it.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()) // It may be gone.
}

/// Returns the folder of a machine, if the root is its folder of disks.
fn folder_above(root: &Path) -> Option<PathBuf> {
    let ends_with_name = matches!(root.components().next_back(), Some(Component::Normal(_)));
    let root = if ends_with_name { root.to_owned() } else { absolute(root) };
    let is_of_disks = fold_name(&root.file_name()?.to_string_lossy()) == DISKS && root.is_dir();
    let above = root.parent().filter(|_| is_of_disks)?;
    Some(if above.as_os_str().is_empty() { PathBuf::from(".") } else { above.to_owned() })
}

fn has_configurations(folder: &Path) -> bool {
    let name = folder.file_name().map(|name| fold_name(&name.to_string_lossy()));
    name.is_some_and(|name| name != DISKS && COMMON_FOLDERS.contains(&name.as_str())) && folder.is_dir()
}
