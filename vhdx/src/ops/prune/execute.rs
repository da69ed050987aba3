//! Executes the plan of a prune.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use super::files::PruneFiles;
use super::journal::{self, Journal, Places};
use super::plan::{PendingDeletion, PruneMerge, PrunePlan, PruneStage};
use super::record;
use crate::disk::mark;
use crate::error::{Conflict, Error, Result};
use crate::family::{Forest, PruneRecord};
use crate::file::Vhdx;
use crate::ops::merge::{
    AlreadyMerged, Deletion, FileState, MergeOptions, MergePlan, MergeReport, MergeTarget, Planned,
};
use crate::ops::related_parents::RelatedParents;
use crate::progress::Progress;

/// The result of a prune.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PruneReport {
    /// The results of the merges, in the order of the plan. Those after a cancellation are missing.
    pub merges: Vec<MergeOutcome>,
    /// The files that an interrupted prune had still to delete, and that were deleted now.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub deleted: Vec<PathBuf>,
    /// The journals that could not be completed.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub failed_journals: Vec<(PathBuf, Arc<Error>)>,
    /// Whether the prune was cancelled. The same prune goes on.
    pub is_cancelled: bool,
}

/// The result of one merge of a prune.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MergeOutcome {
    /// The file into which the others were merged.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub target: PathBuf,
    /// What was done, if the merge is complete.
    pub report: Option<MergeReport>,
    /// Why the merge is not complete, otherwise.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::error::as_text"))]
    pub error: Option<Arc<Error>>,
    /// Whether the merge is not complete and has changed the target, which may be a mix of old and new data.
    pub is_begun: bool,
}

fn is_half_merged(target: &Path) -> bool {
    Vhdx::open(target).is_ok_and(|target| mark::is_half_merged(&target))
}

impl PruneReport {
    /// Returns whether everything was done.
    pub fn is_complete(&self) -> bool {
        let is_whole = |report: &MergeReport| report.undeleted.is_empty();
        !self.is_cancelled
            && self.failed_journals.is_empty()
            && self.merges.iter().all(|merge| merge.report.as_ref().is_some_and(is_whole))
    }
}

impl PrunePlan {
    /// Executes the plan, which was made of this forest. `progress` counts the bytes to copy of each merge.
    ///
    /// Each merge is planned again from the files as they are, and checked as any other merge. A merge that fails does not
    /// stop the others. After a failure, a crash or a cancellation, a new plan with the same options goes on: it first
    /// completes what was begun.
    pub fn execute(&self, forest: &Forest, files: &dyn PruneFiles, progress: &dyn Progress) -> PruneReport {
        self.execute_each(forest, files, progress, |_, _| ControlFlow::Continue(()))
    }

    /// Executes the plan as [`execute`](Self::execute), and calls `after_each` after each merge.
    ///
    /// If it returns [`ControlFlow::Break`], the prune is cancelled.
    pub fn execute_each(
        &self,
        forest: &Forest,
        files: &dyn PruneFiles,
        progress: &dyn Progress,
        mut after_each: impl FnMut(&PruneMerge, &MergeOutcome) -> ControlFlow<()>,
    ) -> PruneReport {
        let mut report = PruneReport::default();
        let places = Places::of(forest);
        for PendingDeletion { journal, .. } in self.pending.iter().filter(|pending| pending.is_proven) {
            match journal::complete(journal, forest, &places, files) {
                Ok(deletion) => report.deleted.extend(deletion.deleted),
                Err(error) => report.failed_journals.push((journal.clone(), Arc::new(error))),
            }
        }
        let mut parents = self.parents.clone();
        for merge in &self.merges {
            if report.is_cancelled || progress.is_cancelled() {
                report.is_cancelled = true;
                break;
            }
            let step = Step {
                merge,
                time: self.time,
                options: self.options,
                forest,
                parents: &parents,
                files,
                progress,
            };
            let result = step.run();
            if let Ok(done) = &result {
                done.relinked.iter().for_each(|child| parents.relink(child, &merge.target));
            }
            report.is_cancelled |= matches!(result, Err(Error::Cancelled));
            let (done, error) = match result {
                Ok(done) => (Some(done), None),
                Err(error) => (None, Some(Arc::new(error))),
            };
            let is_begun = error.is_some() && is_half_merged(&merge.target);
            let outcome = MergeOutcome { target: merge.target.clone(), report: done, error, is_begun };
            let flow = after_each(merge, &outcome);
            report.merges.push(outcome);
            report.is_cancelled |= flow.is_break();
        }
        report
    }
}

/// The execution of one merge.
struct Step<'a> {
    merge: &'a PruneMerge,
    /// When the prune was planned.
    time: SystemTime,
    forest: &'a Forest,
    options: MergeOptions,
    parents: &'a RelatedParents,
    files: &'a dyn PruneFiles,
    progress: &'a dyn Progress,
}

impl Step<'_> {
    fn run(&self) -> Result<MergeReport> {
        let keeping = MergeOptions { delete_merged: false, ..self.options };
        let journal = journal::path_of(&self.merge.target);
        let record = self.record(&journal)?;
        let mut report = match self.prepare(&keeping)? {
            Planned::Ready(plan) => {
                plan.ensure_not_in_use(self.files)?;
                plan.ensure_space(self.files)?;
                self.files.write_journal(&journal, &journal::merging(&record))?;
                plan.execute(self.files, self.progress)?
            }
            Planned::Complete(_) | Planned::AlreadyMerged(_) => MergeReport::default(),
        };
        let deletion = match self.prepare(&self.options)? {
            Planned::Complete(plan) => {
                let planned = plan.deleted_layers().iter().filter_map(|&layer| plan.layers().get(layer));
                let target = plan.layers().last().map(|target| target.data_write_guid);
                self.delete(planned.collect(), target, &record, || {
                    let done = plan.execute(self.files, self.progress)?;
                    Ok(Deletion { deleted: done.deleted, undeleted: done.undeleted })
                })?
            }
            Planned::AlreadyMerged(found) => self.delete_merged(&found, &record)?,
            // Another program has changed the files meanwhile.
            Planned::Ready(_) => return Err(Conflict::StalePlan.into()),
        };
        report.deleted = deletion.deleted;
        report.undeleted = deletion.undeleted;
        Ok(report)
    }

    /// Returns what the merge leaves beside its target.
    ///
    /// If it was begun before, the times of files have changed since, so its journal counts.
    fn record(&self, journal: &Path) -> Result<PruneRecord> {
        match self.merge.stage {
            PruneStage::Delete => record::of(self.forest, &self.merge.merged, &self.merge.target, self.time),
            PruneStage::Complete => {
                let journal = Journal::decode(&self.files.read_journal(journal)?);
                Ok(journal.ok_or(Conflict::StalePlan)?.record)
            }
        }
    }

    /// Plans the merge from the files as they are, which must be those of the plan.
    fn prepare(&self, options: &MergeOptions) -> Result<Planned> {
        let leaf = self.merge.merged.first().ok_or(Conflict::StalePlan)?;
        let into = MergeTarget::Ancestor(&self.merge.target);
        let planned =
            MergePlan::prepare(leaf, into, self.parents, &self.merge.folders, options, self.progress)?;
        let is_planned = |layers: &[FileState]| {
            layers.iter().map(|layer| layer.path.as_path()).eq(self.merge.merged.iter().map(PathBuf::as_path))
        };
        let fits = match &planned {
            Planned::Ready(plan) | Planned::Complete(plan) => match plan.layers() {
                [merged @ .., _] => is_planned(merged),
                [] => false,
            },
            Planned::AlreadyMerged(found) => is_planned(found.layers()),
        };
        if fits { Ok(planned) } else { Err(Error::from(Conflict::StalePlan).in_file(leaf)) }
    }

    fn delete_merged(&self, found: &AlreadyMerged, record: &PruneRecord) -> Result<Deletion> {
        if !found.may_delete() {
            // The merge is complete, but nothing proves that the target has the data.
            return Err(Error::from(Conflict::StalePlan).in_file(&self.merge.target));
        }
        let target = found.targets().first().map(|target| target.data_write_guid);
        self.delete(found.layers().iter().collect(), target, record, || {
            found.delete(self.files, &self.options)
        })
    }

    /// Deletes files of a complete merge into a target with this DataWriteGuid, and then the journal.
    fn delete(
        &self,
        states: Vec<&FileState>,
        target: Option<Uuid>,
        record: &PruneRecord,
        delete: impl FnOnce() -> Result<Deletion>,
    ) -> Result<Deletion> {
        let journal = journal::path_of(&self.merge.target);
        let target = target.ok_or(Conflict::StalePlan)?;
        self.files.write_journal(&journal, &journal::deleting(target, states, record))?;
        let deletion = delete()?;
        if deletion.undeleted.is_empty() {
            record::leave(record, &self.merge.target, target, &self.merge.merged, self.files)?;
            self.files.delete_journal(&journal)?;
        }
        Ok(deletion)
    }
}
