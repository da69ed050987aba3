//! `vhdx prune`: deletes checkpoints by number, age, size or name, in whole families of disks.

mod ask;
mod groups;
mod json;
mod kept;
mod round;
mod text;

use std::ops::ControlFlow;
use std::time::SystemTime;

use vhdx::ops::{HostFiles, KeepReason, PrunePlan, PruneReport};
use vhdx::{Error, Forest, discover};

use self::round::Round;
use super::folder;
use crate::args::Prune;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::progress::Bar;

/// The most rounds. Each completes the merges that an earlier run has begun, so usually one or two are needed.
const MAX_ROUNDS: usize = 8;

pub(super) fn run(output: Output, prune: &Prune) -> Result<Outcome, Failure> {
    for root in &prune.roots {
        folder::ensure_is_folder(root)?;
    }
    let may_ask = ask::may_ask(output);
    if !prune.yes && !prune.dry_run && !may_ask {
        return Err(Failure::usage(
            "prune deletes checkpoints: add --yes, or see with --dry-run what it would do",
        ));
    }
    let now = SystemTime::now();
    let mut rounds: Vec<Round> = Vec::new();
    loop {
        let (forest, plan) = plan(output, prune, now)?;
        let moved = round::moved(&forest, &rounds);
        let is_last = prune.dry_run || plan.is_empty();
        if !output.json {
            output::write(|out| {
                match plan.is_empty() && !rounds.is_empty() {
                    true => kept::write(&plan, out)?,
                    false => text::plan(&forest, &plan, is_last, out)?,
                }
                text::moved(&moved, out)
            })?;
        }
        if is_last {
            rounds.push(Round { plan, report: None, moved });
            break;
        }
        if !prune.yes && !ask::is_confirmed()? {
            return Err(Failure::interrupted(match rounds.is_empty() {
                true => "nothing was changed",
                false => "what is listed above is done; nothing else was changed",
            }));
        }
        let progress = Bar::tidying_up(
            output,
            "stopping as soon as the files are in a state from which the prune can go on; this can take some time",
        )?;
        let report = execute(output, &forest, &plan, &progress)?;
        drop(progress);
        let goes_on = plan.needs_another() && report.is_complete() && rounds.len() < MAX_ROUNDS;
        rounds.push(Round { plan, report: Some(report), moved });
        if !goes_on {
            break;
        }
    }
    if output.json {
        output::write(|out| writeln!(out, "{:#}", json::of(prune, &rounds)))?;
    } else if rounds.iter().any(|round| round.report.is_some()) {
        output::write(|out| text::result(&rounds, out))?;
    }
    outcome(output, &rounds)
}

/// Executes a plan. The text of each merge is printed at once: a process that is killed has said which files changed.
fn execute(
    output: Output,
    forest: &Forest,
    plan: &PrunePlan,
    progress: &Bar,
) -> Result<PruneReport, Failure> {
    let mut printed = Ok(());
    let report = plan.execute_each(forest, &HostFiles, progress, |merge, outcome| {
        if !output.json {
            printed = progress.suspend(|| output::write(|out| text::outcome(forest, merge, outcome, out)));
        }
        // Without an answer, nobody knows which file a machine must use.
        if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if !output.json {
        printed.and_then(|()| progress.suspend(|| output::write(|out| text::journals(&report, out))))?;
    }
    Ok(report)
}

fn plan(output: Output, prune: &Prune, now: SystemTime) -> vhdx::Result<(Forest, PrunePlan)> {
    let progress = Bar::new(output.quiet);
    let forest = discover(&prune.roots, &progress)?;
    let plan = PrunePlan::new(&forest, &prune.options(), now, &HostFiles, &progress)?;
    Ok((forest, plan))
}

/// Returns the outcome: 1 if a selected checkpoint had to be kept, and the largest code of the errors of merges.
fn outcome(output: Output, rounds: &[Round]) -> Result<Outcome, Failure> {
    let reports = || rounds.iter().filter_map(|round| round.report.as_ref());
    if reports().any(|report| report.is_cancelled) {
        return Err(Failure::interrupted("the prune is not complete. Run the same command again to go on"));
    }
    let errors: Vec<&Error> = reports().flat_map(errors).collect();
    // The answer names the errors, too.
    let failures: Vec<Failure> = errors.into_iter().map(Failure::from).collect();
    if let Some(code) = failures.iter().map(|failure| crate::exit::report(failure, output.json)).max() {
        return Ok(Outcome::Reported(code));
    }
    let last = rounds.last().map(|round| &round.plan.kept);
    let is_kept = last.into_iter().flatten().any(|kept| kept.reason.is_failure());
    let is_unproven =
        rounds.last().is_some_and(|round| round.plan.pending.iter().any(|pending| !pending.is_proven));
    let postponed = rounds.last().is_some_and(|round| {
        round.report.is_some()
            && round.plan.kept.iter().any(|kept| matches!(kept.reason, KeepReason::Postponed))
    });
    Ok(if is_kept || is_unproven || postponed { Outcome::Found } else { Outcome::Done })
}

/// Returns the errors of merges, of deletions and of journals.
fn errors(report: &PruneReport) -> Vec<&Error> {
    let merges = report.merges.iter().filter_map(|merge| merge.error.as_deref());
    let deletions = report.merges.iter().filter_map(|merge| merge.report.as_ref());
    let undeleted = deletions.flat_map(|done| &done.undeleted).map(|file| &*file.error);
    merges.chain(undeleted).chain(report.failed_journals.iter().map(|(_, error)| &**error)).collect()
}
