//! Prints a report as text.

use std::collections::HashSet;
use std::io::{self, Write};

use vhdx::ops::{FindingSeverity, Report, ReportedFamily};

use super::words;
use crate::args::duration;
use crate::commands::date::utc;
use crate::output::{self, shown};
use crate::sizes::human;

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "report of {} UTC: {}, {}, {}",
        utc(report.time),
        words::count(report.disks.len(), "disk"),
        match report.families.len() {
            1 => "1 family".to_owned(),
            families => format!("{families} families"),
        },
        words::count(report.machines.len(), "machine"),
    )?;
    families(report, out)?;
    checkpoints(report, out)?;
    volumes(report, out)?;
    for severity in FindingSeverity::ALL.into_iter().rev() {
        findings(report, severity, out)?;
    }
    Ok(())
}

fn families(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.families.is_empty() {
        return writeln!(out, "no disks found");
    }
    let heading = ["base", "files", "depth", "oldest", "checkpoints take", "prune frees at most", "machines"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(report.families.iter().map(|family| family_row(report, family)));
    writeln!(out)?;
    output::table(out, &[false, true, true, true, true, true, false], &rows)
}

fn family_row(report: &Report, family: &ReportedFamily) -> Vec<String> {
    let root = words::disks(report, family).next().map(|disk| shown(&disk.facts.path));
    vec![
        root.unwrap_or_default(),
        family.members.disks.len().to_string(),
        family.members.depth.to_string(),
        words::oldest(report, family).map_or_else(|| "-".to_owned(), duration::human),
        human(family.bytes_of_checkpoints),
        human(family.freed_at_most),
        words::machines(report, family).join(", "),
    ]
}

fn checkpoints(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let heading = ["checkpoint", "age", "made (UTC)", "size", "file that keeps it"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let disks = report.families.iter().flat_map(|family| words::disks(report, family));
    let mut checkpoints: Vec<_> = disks.filter_map(|disk| Some((disk, disk.checkpoint.as_ref()?))).collect();
    // The oldest come first, those of unknown age last.
    checkpoints.sort_by_key(|(_, checkpoint)| (checkpoint.time.is_none(), checkpoint.time));
    for (disk, checkpoint) in checkpoints {
        let time = checkpoint.time.map(|time| format!("{} {}", utc(time), words::source(checkpoint)));
        rows.push(vec![
            Some(words::names(checkpoint))
                .filter(|names| !names.is_empty())
                .unwrap_or_else(|| "(no name)".to_owned()),
            words::age(disk.checkpoint_age),
            time.unwrap_or_default(),
            human(checkpoint.size),
            shown(&disk.facts.path),
        ]);
    }
    if rows.len() == 1 {
        return Ok(());
    }
    writeln!(out)?;
    output::table(out, &[false, true, false, true, false], &rows)
}

fn volumes(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.volumes.is_empty() {
        return Ok(());
    }
    let known = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), human);
    let mut rows = vec![["volume of", "free", "size"].map(str::to_owned).to_vec()];
    rows.extend(
        report.volumes.iter().map(|volume| vec![shown(&volume.path), known(volume.free), known(volume.size)]),
    );
    writeln!(out)?;
    output::table(out, &[false, true, true], &rows)
}

fn findings(report: &Report, severity: FindingSeverity, out: &mut dyn Write) -> io::Result<()> {
    let mut found = report.findings.iter().filter(|finding| finding.severity == severity).peekable();
    if found.peek().is_some() {
        let title = match severity {
            FindingSeverity::Critical => "critical",
            FindingSeverity::Warning => "warnings",
            FindingSeverity::Note => "notes",
        };
        writeln!(out, "\n{title}:")?;
    }
    // Hundreds of checkpoints can exceed one limit.
    let mut advised = HashSet::new();
    found.try_for_each(|finding| {
        let (path, message, advice) = (shown(&finding.path), words::message(finding), words::advice(finding));
        let fix = if advised.contains(&advice) { "as above" } else { advice.as_str() };
        writeln!(out, "- {path} {message}\n  fix: {fix}")?;
        advised.insert(advice);
        Ok(())
    })
}
