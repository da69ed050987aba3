//! Explains stored paths that do not lead to the parent, if a configuration names the parent by an old path too.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::forest::DiscoveredDisk;
use super::machine::problem::MachineProblem;
use super::problem::Problem;

/// Adds the configuration to the problem of each child of a disk that was renamed or moved.
pub(super) fn explain(disks: &mut [DiscoveredDisk], problems: &[MachineProblem]) {
    let moved: HashMap<&Path, &PathBuf> = problems
        .iter()
        .filter_map(|problem| match problem {
            MachineProblem::MissingDisk { path, moved_to: Some(moved), damaged: None, .. } => {
                Some((moved.as_path(), path))
            }
            _ => None,
        })
        .collect();
    for problem in disks.iter_mut().flat_map(|disk| &mut disk.problems) {
        if let Problem::StalePath { parent, configuration, .. } = problem {
            *configuration = moved.get(parent.as_path()).map(|path| (*path).clone());
        }
    }
}
