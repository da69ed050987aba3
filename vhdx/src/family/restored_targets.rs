//! Finds merge targets that were replaced by a copy from before the prune.

use std::path::PathBuf;

use super::forest::DiscoveredDisk;
use super::found_record::{FoundRecord, TargetState};
use super::problem::Problem;
use super::prune_records::PruneRecords;

/// Adds a problem to each target that has its content from before the merge, if merged files do not exist.
///
/// If all of them were restored too, nothing is missing.
pub(super) fn explain(disks: &mut [DiscoveredDisk], records: &PruneRecords) {
    for (target, found) in records.latest_first() {
        if found.state != TargetState::BeforeMerge {
            continue;
        }
        let now = disks[target].facts.data_write_guid;
        let is_latest = found.record.before.first() == Some(&now);
        let merged: Vec<PathBuf> =
            needed(found, is_latest).into_iter().filter(|path| !path.exists()).collect();
        if !merged.is_empty() {
            let problem =
                Problem::OlderThanPrune { path: found.path.clone(), time: found.record.time, merged };
            disks[target].problems.push(problem);
        }
    }
}

/// Returns the files that a copy of the target needs, the newest first.
///
/// A copy from before an earlier prune also needs the files that this one deleted.
fn needed(found: &FoundRecord, is_latest: bool) -> Vec<PathBuf> {
    let mut paths: Vec<&str> = found.record.merged_files().map(|(_, path)| path).collect();
    if !is_latest {
        let earlier = found.record.deleted.iter().map(String::as_str);
        let new: Vec<&str> = earlier.filter(|path| !paths.contains(path)).collect();
        paths.extend(new);
    }
    let on_host = paths.into_iter().map(|path| found.on_host(path));
    on_host.filter(|path| *path != found.path).collect()
}
