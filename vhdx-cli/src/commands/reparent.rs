//! `vhdx reparent`: points a child at a parent.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::{ParentCheck, ReparentOptions, ReparentPlan, check_parent};
use vhdx::{ChainErrorKind, Error, ErrorKind, FileFacts, FolderResolver, ParentLocator, Vhdx};

use super::date;
use super::info::{parent_json, parent_rows};
use super::reading::Reading;
use crate::args::Reparent;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, shown};
use crate::progress::Bar;
use crate::sizes::both;

pub(super) fn run(output: Output, reparent: &Reparent) -> Result<Outcome, Failure> {
    let Reparent { child, parent, parent_dir, .. } = reparent;
    let check = check_parent(child, parent, parent_dir, &Bar::new(output.quiet));
    let check = check.map_err(|error| match is_own_ancestor(&error, child, parent) {
        true => own_ancestor(error, child, parent),
        false => Failure::parent_does_not_open(error),
    })?;
    let options = ReparentOptions { ignore_id_mismatch: reparent.ignore_id_mismatch };
    let plan = ReparentPlan::new(&check, &options).map_err(|error| with_evidence(&error, &check))?;
    match reparent.dry_run {
        true => plan.ensure_not_in_use()?,
        false => plan.execute()?,
    }
    let mut reading = Reading::new(output, parent_dir);
    let resolver = FolderResolver { folders: parent_dir.clone(), ..FolderResolver::default() };
    reading.report_child(child, &resolver)?;
    reading.report_file(parent, &resolver)?;
    let report = Report { reparent, plan: &plan, check: &check };
    reading.answer(|| report.json(), |out| report.text(out))?;
    Ok(Outcome::Done)
}

/// Whether the reason of the error is that the new parent is the child itself, or depends on the child.
fn is_own_ancestor(error: &Error, child: &Path, parent: &Path) -> bool {
    error.chain_error().is_some_and(|error| {
        error.kind() == ChainErrorKind::Cycle && error.path() == child && error.parent() == Some(parent)
    })
}

fn own_ancestor(error: Error, child: &Path, parent: &Path) -> Failure {
    let [shown_child, shown_parent] = [child, parent].map(shown);
    let failure = Failure::from(error);
    let (Ok(child_disk), Ok(parent_disk)) = (Vhdx::open(child), Vhdx::open(parent)) else { return failure };
    if child_disk.identity() == parent_disk.identity() {
        let message = format!("{shown_child}: a disk cannot be its own parent; nothing was changed");
        let hint = format!("name the disk from which {shown_child} was created as `--parent`");
        return failure.with_message(message).with_hint(hint);
    }
    let message = format!(
        "{shown_parent} depends on {shown_child}, so it cannot become the parent of {shown_child}; nothing was changed"
    );
    let linkages = parent_disk.parent_locator().map(ParentLocator::linkages).unwrap_or_default();
    let hint = match linkages.contains(&child_disk.data_write_guid()) {
        true => format!(
            "if you swapped the two files: `vhdx reparent {} --parent {}`",
            output::word(parent),
            output::word(child)
        ),
        false => {
            format!("`vhdx chain {}` shows the files on which {shown_parent} depends", output::word(parent))
        }
    };
    failure.with_message(message).with_hint(hint)
}

fn with_evidence(error: &Error, check: &ParentCheck) -> Failure {
    match error.kind() {
        ErrorKind::Chain => {
            let is_listed = !check.others.is_empty();
            Failure::not_the_parent(error, evidence_json(check), evidence_text(check), is_listed)
        }
        _ => error.into(),
    }
}

struct Report<'a> {
    reparent: &'a Reparent,
    plan: &'a ReparentPlan,
    check: &'a ParentCheck,
}

impl Report<'_> {
    fn json(&self) -> Value {
        let Self { reparent, plan, check } = self;
        let evidence = plan.ignores_id_mismatch().then(|| evidence_json(check));
        json!({
            "dry_run": reparent.dry_run,
            "child": output::path(&reparent.child),
            "parent": output::path(&reparent.parent),
            "changed": plan.changes_anything(),
            "link": parent_json(plan.new_locator()),
            "old_link": parent_json(plan.old_locator()),
            "ignored_id_mismatch": plan.ignores_id_mismatch(),
            "evidence": evidence,
        })
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { reparent, plan, check } = self;
        let (child, parent) = (shown(&reparent.child), shown(&reparent.parent));
        let does = match (plan.changes_anything(), reparent.dry_run) {
            (false, _) => "already points at",
            (true, false) => "now points at",
            (true, true) => "would point at",
        };
        writeln!(out, "{child} {does} {parent}")?;
        let rows = parent_rows(plan.new_locator()).into_iter();
        let rows: Vec<_> = rows.map(|(name, value)| vec![format!("  {name}:"), value]).collect();
        output::table(out, &[false, false], &rows)?;
        if plan.ignores_id_mismatch() {
            writeln!(
                out,
                "The mismatch was ignored. It is not known whether the content of {child} is consistent:"
            )?;
            out.write_all(evidence_text(check).as_bytes())?;
        }
        Ok(())
    }
}

fn evidence_json(check: &ParentCheck) -> Value {
    let guids = |guids: &[vhdx::Guid]| guids.iter().map(|guid| json!(guid.to_string())).collect::<Value>();
    json!({
        "expected": guids(&check.expected),
        "child": disk_json(&check.child),
        "candidate": disk_json(&check.candidate),
        "ancestor_level": check.level,
        "chain_opens": check.chain_opens,
        "others": check.others.iter().map(|path| output::path(path)).collect::<Value>(),
        "candidate_children": check.candidate_children.iter().map(|path| output::path(path)).collect::<Value>(),
        "folders": check.folders.iter().map(|path| output::path(path)).collect::<Value>(),
        "undetermined": output::undetermined(&check.undetermined),
    })
}

fn disk_json(disk: &FileFacts) -> Value {
    json!({
        "path": output::path(&disk.path),
        "type": disk.disk_type.name(),
        "virtual_size": disk.virtual_size,
        "logical_sector_size": disk.logical_sector_size,
        "virtual_disk_id": disk.virtual_disk_id.map(|id| id.to_string()),
        "data_write_guid": disk.data_write_guid.to_string(),
        "file_write_guid": disk.file_write_guid.to_string(),
        "modified": disk.modified.and_then(date::seconds),
    })
}

/// Returns the evidence as lines of text.
fn evidence_text(check: &ParentCheck) -> String {
    let ParentCheck { child, candidate, expected, others, candidate_children, folders, undetermined, .. } =
        check;
    let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    let expected =
        if expected.is_empty() { "none: its linkage is zero".to_owned() } else { expected.join(" or ") };
    let mut lines = vec![
        format!(
            "DataWriteGuid: the child expects {expected}; the candidate has {}",
            candidate.data_write_guid
        ),
        both_have("virtual disk id", |disk| disk.virtual_disk_id.map(|id| id.to_string()), child, candidate),
        both_have("virtual size", |disk| Some(both(disk.virtual_size)), child, candidate),
        both_have("logical sector size", |disk| Some(disk.logical_sector_size.to_string()), child, candidate),
        both_have("last change", |disk| disk.modified.map(date::utc_to_the_second), child, candidate),
    ];
    match check.level {
        Some(1) => lines.push("the candidate is already the child's parent".to_owned()),
        Some(2) => lines.push("the candidate is the child's grandparent".to_owned()),
        Some(level) => lines.push(format!("the candidate is an ancestor of the child, {level} levels away")),
        None if check.chain_opens => lines.push("the candidate is not an ancestor of the child".to_owned()),
        None => lines.push(
            "the child's chain does not open, so the candidate may be an ancestor of the child".to_owned(),
        ),
    }
    let listed =
        |paths: &[std::path::PathBuf]| paths.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ");
    if !candidate_children.is_empty() {
        let children = listed(candidate_children);
        lines.push(format!(
            "these disks depend on the candidate: {children}. If one of them was between the child and the \
             candidate, use that disk as `--parent`. With the candidate as its parent, the child lacks the data of that \
             disk"
        ));
    }
    match (others.is_empty(), folders.is_empty()) {
        (false, _) => {
            lines.push(format!("files with the DataWriteGuid that the child expects: {}", listed(others)))
        }
        (true, false) => {
            lines.push(format!(
                "no file with the DataWriteGuid that the child expects is in {}",
                listed(folders)
            ));
        }
        (true, true) => {}
    }
    lines.extend(undetermined.iter().map(|file| {
        format!("could not be read: {}: {}", shown(&file.path), output::harmless(&file.reason()))
    }));
    lines.into_iter().map(|line| format!("  {line}\n")).collect()
}

fn both_have(
    what: &str,
    value: impl Fn(&FileFacts) -> Option<String>,
    child: &FileFacts,
    candidate: &FileFacts,
) -> String {
    let value = |disk| value(disk).unwrap_or_else(|| "unknown".to_owned());
    let (child, candidate) = (value(child), value(candidate));
    match child == candidate {
        true => format!("{what}: the same, {child}"),
        false => format!("{what}: the child has {child}, the candidate has {candidate}"),
    }
}
