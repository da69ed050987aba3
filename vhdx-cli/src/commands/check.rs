//! `vhdx check`: checks a file or a chain against every rule of the format.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::{CheckReport, FileReport, check_chain_in, check_file_in};
use vhdx::{LogState, Severity, Violation};

use super::reading::{Reading, or_force_share};
use super::several::{self, Answer};
use super::size_differences::{self, DiskSize, SizeDifference};
use super::source;
use crate::args::Check;
use crate::damage::Damage;
use crate::disks::Files;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, shown};

pub(super) fn run(output: Output, check: &Check) -> Result<Outcome, Failure> {
    if !check.chain && !check.parents.parent.is_empty() {
        return Err(Failure::usage("--parent names parents of the chain: add --chain to check them too"));
    }
    let is_one_file = matches!(&check.files[..], [file] if !several::is_folder(file));
    if !is_one_file && !check.parents.parent.is_empty() {
        return Err(Failure::usage("--parent names the parents of one FILE: check the files one by one"));
    }
    let mut reading = Reading::new(output, &check.parents.parent_dir);
    several::run(output, &check.files, |file| one(check, file, &mut reading))
}

fn one(check: &Check, file: &Path, reading: &mut Reading<'_>) -> Result<Answer, Failure> {
    source::ensure_not_foreign(file)?;
    let resolver = check.parents.resolver_of(file);
    let report = match check.chain {
        true => check_chain_in(&Files, file, &resolver, check.share.on_writer()),
        false => check_file_in(&Files, file, check.share.on_writer()),
    };
    for held in report.files.iter().filter(|file| file.has_writer) {
        reading.report_writer(held.path.as_deref().unwrap_or(file));
    }
    reading.report_file(file, &resolver)?;
    let damage: Vec<(&Path, Damage)> = report.files.iter().filter_map(damage).collect();
    let is_unfinished = reading.has_unfinished();
    let answer = reading
        .answer_for_one(|| json(&report, &damage), |out| text(&report, &damage, is_unfinished, out))?;
    let valid = report.is_valid();
    // A failed read or a missing parent is no verdict on a file, so it has its own exit code.
    Ok(answer.ending(match report.files.into_iter().find_map(|file| file.error) {
        Some(error) => Err(or_force_share(error)),
        None => Ok(if valid { Outcome::Done } else { Outcome::Found }),
    }))
}

/// Returns the path and the damage of a file that cannot be used.
fn damage(file: &FileReport) -> Option<(&Path, Damage)> {
    let path = file.path.as_deref()?;
    let rule = file.violations.ensure_none_fatal().err()?.rule();
    Some((path, Damage::of(path, rule)?))
}

fn damage_json((path, damage): &(&Path, Damage)) -> Value {
    let mut json = damage.json();
    json["path"] = output::path(path);
    json["hint"] = damage.hint().into();
    json
}

fn violations(report: &CheckReport) -> impl Iterator<Item = (Option<&Path>, &Violation)> {
    report
        .files
        .iter()
        .flat_map(|file| file.violations.as_slice().iter().map(|found| (file.path.as_deref(), found)))
}

fn dirty(report: &CheckReport) -> impl Iterator<Item = &Path> {
    let is_dirty = |file: &&FileReport| file.log.is_some_and(|log| log != LogState::Clean);
    report.files.iter().filter(is_dirty).filter_map(|file| file.path.as_deref())
}

fn dropped(report: &CheckReport) -> u64 {
    report.files.iter().map(|file| file.violations.dropped()).sum()
}

/// Returns the size differences between the files of a chain. Without `--chain`, there is only one file.
fn differences(report: &CheckReport) -> impl Iterator<Item = SizeDifference<'_>> {
    fn sized(file: &FileReport) -> Option<DiskSize<'_>> {
        Some(DiskSize { path: file.path.as_deref()?, virtual_size: file.virtual_size? })
    }
    report.files.windows(2).filter_map(|pair| match pair {
        [child, parent] if child.error.is_none() => SizeDifference::of(sized(child)?, sized(parent)?),
        _ => None,
    })
}

fn json(report: &CheckReport, damage: &[(&Path, Damage)]) -> Value {
    let violations: Vec<Value> = violations(report)
        .map(|(path, violation)| {
            json!({
                "path": path.map(output::path),
                "structure": violation.structure().to_string(),
                "offset": violation.offset().get(),
                "rule": violation.rule().name(),
                "message": violation.to_string(),
                "severity": violation.severity().name(),
            })
        })
        .collect();
    let files: Vec<Value> =
        report.files.iter().map(|file| json!(file.path.as_deref().map(output::path))).collect();
    json!({
        "valid": report.is_valid(),
        "complete": report.is_complete(),
        "files": files,
        "dirty_logs": dirty(report).map(output::path).collect::<Vec<_>>(),
        "violations": violations,
        "more": dropped(report),
        "damage": damage.iter().map(damage_json).collect::<Vec<_>>(),
        "size_differences": size_differences::json(differences(report)),
    })
}

fn text(
    report: &CheckReport,
    damage: &[(&Path, Damage)],
    is_unfinished: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (path, violation) in violations(report) {
        let path = path.map(shown).unwrap_or_default();
        writeln!(out, "{path}: {}: {violation}", violation.severity().name())?;
    }
    if dropped(report) > 0 {
        writeln!(out, "and {} more", dropped(report))?;
    }
    let count =
        |severity| violations(report).filter(|(_, violation)| violation.severity() == severity).count();
    let counts = [Severity::Fatal, Severity::Unsupported, Severity::Tolerated, Severity::Note]
        .map(|severity| format!("{} {}", count(severity), severity.name()));
    for path in dirty(report) {
        writeln!(
            out,
            "{}: the log is dirty: it was replayed in memory, and the result was checked",
            shown(path)
        )?;
    }
    for (path, damage) in damage {
        writeln!(out, "{}: hint: {}", shown(path), damage.hint())?;
    }
    size_differences::text(differences(report), out)?;
    let breaks_a_rule = |file: &FileReport| file.violations.ensure_none_fatal().is_err();
    let verdict = match report.is_valid() {
        true if is_unfinished => {
            "valid, but a merge into this disk is or may be incomplete, so it may be a mix of old and new data"
        }
        true => "valid",
        false if report.files.iter().any(breaks_a_rule) => "not valid",
        false => "not known whether valid, because an error ended the check",
    };
    let (checked, until_then) =
        if report.is_complete() { ("checked", "") } else { ("not checked to the end", " until then") };
    writeln!(
        out,
        "{verdict}: {} {checked}, violations{until_then}: {}",
        files(report.files.len()),
        counts.join(", ")
    )
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}
