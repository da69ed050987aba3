//! Finds merge targets that were replaced by a copy from before the prune.

use std::path::PathBuf;

use super::forest::DiscoveredDisk;
use super::problem::Problem;
use super::prune_record::on_host;
use super::prune_records::{PruneRecords, TargetState};

/// Adds a problem to each target that has its content from before the merge, if merged files were not found.
///
/// If all of them were restored too, nothing is missing.
pub(super) fn explain(disks: &mut [DiscoveredDisk], records: &PruneRecords) {
    let is_found = |disks: &[DiscoveredDisk], path: &PathBuf| {
        disks.binary_search_by(|disk| disk.facts.path.cmp(path)).is_ok() // They are sorted by path.
    };
    for (target, found) in records.latest_first() {
        if found.state != TargetState::BeforeMerge {
            continue;
        }
        let paths = found.record.merged_files().map(|(_, path)| on_host(&found.path, path));
        let merged: Vec<PathBuf> = paths.filter(|path| !is_found(disks, path)).collect();
        if !merged.is_empty() {
            let problem =
                Problem::OlderThanPrune { path: found.path.clone(), time: found.record.time, merged };
            disks[target].problems.push(problem);
        }
    }
}
