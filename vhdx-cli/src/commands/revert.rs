//! `vhdx revert`: makes a new, empty child of a checkpoint, which a machine uses instead of its disk.

use std::fs::DirEntry;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vhdx::ops::{HostFiles, OldIsNeeded, RevertPlan, RevertReport};
use vhdx::{
    ChainErrorKind, Conflict, FileStorage, Forest, InvalidArgument, Problem, Vhdx, discover, folders_around,
};

use super::info::Facts;
use super::not_copied::side_files;
use crate::args::Revert;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, harmless, shown};
use crate::progress::Bar;

pub(super) fn run(output: Output, revert: &Revert) -> Result<Outcome, Failure> {
    let (file, to) = (&revert.file, &revert.to);
    let progress = Bar::new(output.quiet);
    let forest = forest(revert, &progress)?;
    let plan_to = |name: &str| RevertPlan::new(&forest, file, name, revert.output.as_deref());
    let plan = plan_to(to).or_else(|error| match as_stored(&error, to) {
        Some(name) => plan_to(name),
        None => Err(error),
    });
    drop(progress);
    let plan = plan.map_err(|error| failure(error, revert))?;
    if revert.delete_old
        && let Some(needed) = &plan.old_is_needed
    {
        return Err(Failure::usage(still_needed(&plan, needed)));
    }
    let report = Report { revert, plan: &plan };
    if revert.dry_run {
        output.answer(|| report.json(None, None), |out| report.text(None, out))?;
        return Ok(Outcome::Done);
    }
    let progress = Bar::tidying_up(output, "stopping; no new file is left behind")?;
    let done =
        plan.execute(revert.delete_old, &HostFiles, &progress).map_err(|error| failure(error, revert))?;
    drop(progress);
    let made = Vhdx::open(&done.new)?;
    let facts = Facts::of(&done.new, &made, false)?.json(&done.new, &made);
    output.answer(|| report.json(Some(facts), Some(&done)), |out| report.text(Some(&done), out))?;
    match &done.undeleted {
        None => Ok(Outcome::Done),
        Some(old) if done.record.is_none() => Err(Failure::from(&*old.error).with_hint(format!(
            "{} was not deleted, because the record could not be written which says that {} replaces it",
            shown(&old.path),
            shown(&done.new)
        ))),
        Some(record) if record.path == plan.record => Err(Failure::from(&*record.error).with_hint(format!(
            "{} was deleted, but the new record could not be completed, so vhdx ignores the record: choose {} in the \
             settings of the virtual machine",
            shown(&plan.old),
            shown(&done.new)
        ))),
        Some(old) => Err(Failure::from(&*old.error)),
    }
}

/// Returns the known name whose displayed form, with control characters escaped, equals `to`, if there is exactly one.
/// Case is ignored.
fn as_stored<'a>(error: &'a vhdx::Error, to: &str) -> Option<&'a str> {
    let vhdx::Error::InvalidArgument(InvalidArgument::UnknownCheckpoint { known, .. }) = error.without_path()
    else {
        return None;
    };
    let mut shown = known.iter().filter(|name| harmless(name).to_lowercase() == to.to_lowercase());
    shown.next().filter(|_| shown.next().is_none()).map(String::as_str)
}

/// Searches the folders of the family. If a stored path leads to a parent in another folder, that folder is searched too.
fn forest(revert: &Revert, progress: &Bar) -> vhdx::Result<Forest> {
    let mut folders = folders(revert);
    loop {
        let forest = discover(&folders, progress)?;
        match folder_of_parent(&forest, &revert.file).filter(|folder| !folders.contains(folder)) {
            Some(folder) => folders.push(folder),
            None => return Ok(forest),
        }
    }
}

/// Returns the folder of the parent that the chain of a file lacks, if it is in a folder that was not searched.
fn folder_of_parent(forest: &Forest, file: &Path) -> Option<PathBuf> {
    // The search can spell the path in another way. A file that cannot be opened is an error of the plan.
    let identity = FileStorage::open(file).and_then(|file| file.identity()).ok()?;
    let mut disk = forest.disks.iter().find(|disk| disk.facts.identity == Some(identity))?;
    while let Some(parent) = disk.parent {
        disk = forest.disks.get(parent)?;
    }
    disk.problems.iter().find_map(|problem| match problem {
        Problem::ParentElsewhere { parent, .. } => folders_around([parent.as_path()], &[]).into_iter().next(),
        _ => None,
    })
}

/// The folders beside that of a disk in which Hyper-V stores configurations.
const FOLDERS_OF_MACHINES: [&str; 2] = ["Snapshots", "Virtual Machines"];

/// Returns the folders to search for the family of the disk, and for the configurations that name its checkpoints.
fn folders(revert: &Revert) -> Vec<PathBuf> {
    let mut folders = folders_around([revert.file.as_path()], &revert.parent_dir);
    let above = folders.first().and_then(|folder| folder.canonicalize().ok());
    if let Some(above) = above.as_deref().and_then(Path::parent) {
        // Copies can have names in another case.
        let beside = std::fs::read_dir(above).into_iter().flatten().filter_map(Result::ok);
        let is_of_machines = |entry: &DirEntry| {
            FOLDERS_OF_MACHINES.iter().any(|name| entry.file_name().eq_ignore_ascii_case(name))
        };
        folders.extend(beside.filter(is_of_machines).map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    folders
}

fn failure(error: vhdx::Error, revert: &Revert) -> Failure {
    match error.without_path() {
        vhdx::Error::InvalidArgument(InvalidArgument::UnknownCheckpoint { known, .. }) => {
            let known: Vec<String> = known.iter().map(|name| harmless(name)).collect();
            let hint = match known.is_empty() {
                true => "this disk has no checkpoint in the searched folders; `--parent-dir` searches more"
                    .to_owned(),
                false => format!(
                    "its checkpoints are: {}; `--parent-dir` names the folder of their configurations",
                    known.join(", ")
                ),
            };
            Failure::usage(format!(
                "no checkpoint of {} is named {}",
                shown(&revert.file),
                harmless(&revert.to)
            ))
            .with_hint(hint)
        }
        vhdx::Error::InvalidArgument(InvalidArgument::SeveralCheckpoints { paths, .. }) => {
            let paths: Vec<String> = paths.iter().map(|path| shown(path)).collect();
            Failure::usage(format!("several checkpoints are named {}", harmless(&revert.to)))
                .with_hint(format!("name the file of one of them: {}", paths.join(", ")))
        }
        vhdx::Error::Conflict(Conflict::DestinationExists) => {
            Failure::from(error).with_hint("choose another name with `--output`")
        }
        vhdx::Error::Chain(chain) if chain.kind() == ChainErrorKind::UndeterminedFiles => Failure::from(
            error,
        )
        .with_hint("make these files readable, or revert without `--delete-old`, which keeps the old disk"),
        _ => error.into(),
    }
}

fn still_needed(plan: &RevertPlan, needed: &OldIsNeeded) -> String {
    let (old, reason) = (shown(&plan.old), reason(plan, needed));
    format!("{old} cannot be deleted: {reason}. Without `--delete-old`, it is kept")
}

fn reason(plan: &RevertPlan, needed: &OldIsNeeded) -> String {
    match needed {
        OldIsNeeded::By(child) => format!("{} depends on it", shown(child)),
        OldIsNeeded::ByConfiguration(path) => {
            format!("the configuration {} of a checkpoint or of another machine names it", shown(path))
        }
        _ if plan.checkpoint == plan.old => format!("the new disk {} depends on it", shown(&plan.new)),
        _ => format!("the checkpoint {} depends on it", shown(&plan.checkpoint)),
    }
}

struct Report<'a> {
    revert: &'a Revert,
    plan: &'a RevertPlan,
}

impl Report<'_> {
    /// Returns the JSON: that of `info` for the new file, and what it replaces.
    fn json(&self, facts: Option<Value>, done: Option<&RevertReport>) -> Value {
        let plan = self.plan;
        let mut json = facts.unwrap_or_else(|| json!({ "path": output::path(&plan.new) }));
        json["dry_run"] = self.revert.dry_run.into();
        json["checkpoint"] = output::path(&plan.checkpoint);
        json["checkpoint_names"] = plan.names.clone().into();
        json["use_instead_of"] = output::path(&plan.old);
        json["configurations"] = output::paths(&plan.configurations);
        json["record"] = done.and_then(|done| done.record.as_deref()).map(output::path).into();
        json["deleted"] = done.and_then(|done| done.deleted.as_deref()).map(output::path).into();
        json["stale"] = output::paths(&side_files(&plan.new));
        json
    }

    fn text(&self, done: Option<&RevertReport>, out: &mut dyn Write) -> io::Result<()> {
        let plan = self.plan;
        let (new, old, checkpoint) = (shown(&plan.new), shown(&plan.old), shown(&plan.checkpoint));
        let made = if done.is_some() { "made" } else { "would make" };
        let checkpoint = match plan.names.first() {
            Some(name) => format!("\"{}\" in {checkpoint}", harmless(name)),
            None => format!("in {checkpoint}"),
        };
        writeln!(out, "{made} {new}: an empty child of the checkpoint {checkpoint}")?;
        let left = |left: &str, record: &Path| {
            format!(
                "{left}: {}, the record which says that {new} replaces {old}: keep it beside {new} until the virtual \
                 machine uses {new}",
                shown(record)
            )
        };
        match done {
            Some(done) => {
                if done.deleted.is_some() {
                    writeln!(out, "deleted: {old}")?;
                }
                // Otherwise the record does not count.
                if let Some(record) = done.record.as_ref().filter(|_| done.undeleted.is_none()) {
                    writeln!(out, "{}", left("left", record))?;
                }
            }
            None if self.revert.delete_old => {
                writeln!(out, "would delete: {old}\n{}", left("would leave", &plan.record))?;
            }
            None => {}
        }
        if done.is_none() {
            return Ok(());
        }
        writeln!(out, "Next: the virtual machine must use {new} instead of {old}.")?;
        for configuration in &plan.configurations {
            writeln!(out, "  {} names {old}", shown(configuration))?;
        }
        match &plan.old_is_needed {
            _ if self.revert.delete_old => {}
            Some(needed) => writeln!(out, "Do not delete {old}: {}.", reason(plan, needed))?,
            None => writeln!(
                out,
                "{old} is unchanged. Delete it only if you no longer need what was written since the checkpoint."
            )?,
        }
        writeln!(out, "If the machine has more disks, revert each of them to the same checkpoint.")
    }
}
