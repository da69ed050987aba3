//! The JSON of `vhdx prune`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vhdx::ops::{
    KeptCheckpoint, MergeOutcome, PendingDeletion, PruneMerge, PruneSpace, PruneStage, PrunedCheckpoint,
};

use super::round::{Moved, Round};
use crate::args::Prune;
use crate::commands::date::seconds;
use crate::output;

pub(super) fn of(prune: &Prune, rounds: &[Round]) -> Value {
    let plans = || rounds.iter().map(|round| &round.plan);
    let reports = || rounds.iter().filter_map(|round| round.report.as_ref());
    // Numbers to show: a sum that does not fit is as large as can be shown.
    let sum = |values: &mut dyn Iterator<Item = u64>| values.fold(0, u64::saturating_add);
    json!({
        "dry_run": prune.dry_run,
        "selected": plans().flat_map(|plan| plan.selected()).map(selected).collect::<Value>(),
        // Later rounds decide about the checkpoints that earlier ones have postponed.
        "kept": plans().next_back().into_iter().flat_map(|plan| &plan.kept).map(kept).collect::<Value>(),
        "merges": rounds.iter().flat_map(merges).collect::<Value>(),
        "bytes_to_copy": sum(&mut plans().map(|plan| plan.bytes_to_copy())),
        "bytes_taken": sum(&mut plans().map(|plan| plan.bytes_taken())),
        "bytes_freed": sum(&mut plans().map(|plan| plan.bytes_freed())),
        "peak_space": plans().next().into_iter().flat_map(|plan| &plan.volumes).map(space).collect::<Value>(),
        "folders": output::paths(&prune.roots),
        "pending": plans().flat_map(|plan| &plan.pending).map(pending).collect::<Value>(),
        "deleted_before": reports().flat_map(|report| &report.deleted).map(|path| output::path(path)).collect::<Value>(),
        "failed_journals": reports().flat_map(|report| &report.failed_journals)
            .map(|(path, error)| json!({ "path": output::path(path), "message": error.to_string() }))
            .collect::<Value>(),
        "machines_to_change": rounds.iter().flat_map(|round| &round.moved).map(moved).collect::<Value>(),
        "needs_another": plans().next_back().is_some_and(|plan| plan.needs_another()),
    })
}

fn moved(moved: &Moved) -> Value {
    json!({
        "config": output::path(&moved.configuration),
        "use": output::path(&moved.target),
        "instead_of": moved.instead_of,
    })
}

fn selected(checkpoint: &PrunedCheckpoint) -> Value {
    json!({
        "path": output::path(&checkpoint.path),
        "names": checkpoint.names,
        "time": checkpoint.time.and_then(seconds),
        "time_source": checkpoint.time_source.name(),
        "size": checkpoint.size,
    })
}

fn kept(kept: &KeptCheckpoint) -> Value {
    json!({
        "path": output::path(&kept.path),
        "names": kept.names,
        "reason": kept.reason.name(),
        "message": kept.reason.to_string(),
        "is_failure": kept.reason.is_failure(),
    })
}

fn merges(round: &Round) -> Vec<Value> {
    let outcomes = round.report.as_ref().map(|report| &report.merges);
    let outcome = |i: usize| outcomes.and_then(|outcomes| outcomes.get(i));
    round.plan.merges.iter().enumerate().map(|(i, planned)| merge(planned, outcome(i))).collect()
}

fn merge(merge: &PruneMerge, outcome: Option<&MergeOutcome>) -> Value {
    let paths =
        |paths: &mut dyn Iterator<Item = &PathBuf>| paths.map(|path| output::path(path)).collect::<Value>();
    let done = outcome.and_then(|outcome| outcome.report.as_ref());
    json!({
        "stage": match merge.stage { PruneStage::Complete => "complete", PruneStage::Delete => "delete" },
        "checkpoints": paths(&mut merge.checkpoints.iter().map(|checkpoint| &checkpoint.path)),
        "merged": output::paths(&merge.merged),
        "into": output::path(&merge.target),
        "is_newest": merge.is_newest,
        "use_instead_of": merge.is_newest.then(|| merge.merged.first().map(|path| output::path(path))),
        "machines": output::paths(&merge.machines),
        "checkpoint_configurations": output::paths(&merge.checkpoint_configurations),
        "bytes_to_copy": merge.bytes_to_copy,
        "bytes_taken": merge.bytes_taken,
        "bytes_freed": merge.bytes_freed,
        "done": done.map(|done| json!({
            "bytes_copied": done.bytes_copied,
            "relinked": output::paths(&done.relinked),
            "deleted": output::paths(&done.deleted),
            "not_deleted": paths(&mut done.undeleted.iter().map(|file| &file.path)),
        })),
        "error": outcome.and_then(|outcome| outcome.error.as_ref()).map(|error| error.to_string()),
    })
}

fn pending(pending: &PendingDeletion) -> Value {
    json!({
        "path": output::path(&pending.journal),
        "files": output::paths(&pending.files),
        "is_proven": pending.is_proven,
    })
}

fn space(space: &PruneSpace) -> Value {
    let path: &Path = &space.path;
    json!({ "path": output::path(path), "free": space.free, "needed": space.needed, "gained": space.gained })
}
