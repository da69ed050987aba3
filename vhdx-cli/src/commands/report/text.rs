//! Prints a report as text.

use std::io::{self, Write};
use std::path::Path;

use vhdx::Checkpoint;
use vhdx::ops::{Finding, FindingSeverity, Report, ReportedDisk, ReportedFamily};

use super::words;
use crate::args::duration;
use crate::commands::advice::{self, Advised};
use crate::commands::checkpoint;
use crate::commands::contents::{ContentsOfDisks, summary};
use crate::commands::date::utc;
use crate::output::{self, cut, shown, shown_beside};
use crate::sizes::human;

/// The maximum width of a name of a machine or checkpoint. JSON and CSV have the whole name.
const MAX_NAME: usize = 40;

pub(super) fn write(
    report: &Report,
    contents: Option<&ContentsOfDisks>,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(
        out,
        "report of {} UTC: {}, {}, {}",
        utc(report.time),
        output::count(report.disks.len(), "disk", "disks"),
        output::count(report.families.len(), "family", "families"),
        output::count(report.machines.len(), "machine", "machines"),
    )?;
    writeln!(out, "findings: {}", count_of_findings(report))?;
    families(report, out)?;
    checkpoints(report, out)?;
    if let Some(contents) = contents {
        newest_disks(report, contents, out)?;
    }
    volumes(report, out)?;
    // The most severe findings come last, where a terminal shows them.
    FindingSeverity::ALL.into_iter().try_for_each(|severity| findings(report, severity, out))
}

fn count_of_findings(report: &Report) -> String {
    let count = |severity| match (of_severity(report, severity).count(), severity) {
        (0, _) => None,
        (count, FindingSeverity::Critical) => Some(format!("{count} critical")),
        (count, FindingSeverity::Warning) => Some(output::count(count, "warning", "warnings")),
        (count, FindingSeverity::Note) => Some(output::count(count, "note", "notes")),
    };
    let counts: Vec<String> = FindingSeverity::ALL.into_iter().rev().filter_map(count).collect();
    match counts.is_empty() {
        true => "none".to_owned(),
        false => format!("{}; listed at the end, the most severe last", counts.join(", ")),
    }
}

fn of_severity(report: &Report, severity: FindingSeverity) -> impl Iterator<Item = &Finding> {
    report.findings.iter().filter(move |finding| finding.severity == severity)
}

fn families(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.families.is_empty() {
        return writeln!(out, "no disks found");
    }
    let heading = ["machines", "files", "depth", "oldest", "checkpoints take", "prune frees at most", "base"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(report.families.iter().map(|family| family_row(report, family)));
    writeln!(out)?;
    output::table(out, &[false, true, true, true, true, true, false], &rows)
}

fn family_row(report: &Report, family: &ReportedFamily) -> Vec<String> {
    // A name in quotation marks cannot look like a line of another kind, such as one that begins with "Next:".
    let machines: Vec<String> =
        words::machines(report, family).iter().map(|name| format!("\"{name}\"")).collect();
    let machines = machines.join(", ");
    vec![
        if machines.is_empty() { "-".to_owned() } else { cut(&machines, MAX_NAME) },
        family.members.disks.len().to_string(),
        family.members.depth.to_string(),
        words::oldest(report, family).map_or_else(|| "-".to_owned(), duration::human),
        human(family.bytes_of_checkpoints),
        human(family.freed_at_most),
        base(report, family).map_or_else(String::new, shown),
    ]
}

fn base<'a>(report: &'a Report, family: &'a ReportedFamily) -> Option<&'a Path> {
    words::disks(report, family).next().map(|disk| disk.facts.path.as_path())
}

/// Lists the checkpoints of each family below its base. The columns of all families are the same.
fn checkpoints(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let heading = ["checkpoint", "age", "made (UTC)", "time from", "size", "file"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    // The path of each base, and the index of the row that follows it.
    let mut bases: Vec<(usize, String)> = Vec::new();
    for family in &report.families {
        let of_family = checkpoint_rows(report, family);
        if !of_family.is_empty() {
            bases.push((rows.len(), base(report, family).map_or_else(String::new, shown)));
        }
        rows.extend(of_family);
    }
    if rows.len() == 1 {
        return Ok(());
    }
    let mut bases = bases.into_iter().peekable();
    let lines = output::aligned(&[false, true, false, false, true, false], &rows, usize::MAX);
    writeln!(out)?;
    for (number, line) in lines.iter().enumerate() {
        if let Some((_, base)) = bases.next_if(|(row, _)| *row == number) {
            writeln!(out, "{base}")?;
        }
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// Returns the checkpoints of a family: the oldest first, those of unknown age last.
fn checkpoint_rows(report: &Report, family: &ReportedFamily) -> Vec<Vec<String>> {
    let folder = base(report, family).and_then(Path::parent);
    let disks = words::disks(report, family);
    let mut checkpoints: Vec<_> = disks.filter_map(|disk| Some((disk, disk.checkpoint.as_ref()?))).collect();
    checkpoints.sort_by_key(|(_, checkpoint)| (checkpoint.time.is_none(), checkpoint.time));
    let row = |(disk, checkpoint): (&ReportedDisk, &Checkpoint)| {
        let is_known = checkpoint.time.is_some();
        vec![
            cut(&checkpoint::quoted(&checkpoint.names), MAX_NAME),
            words::age(disk.checkpoint_age),
            checkpoint.time.map_or_else(String::new, utc),
            if is_known { checkpoint::source(checkpoint.time_source).to_owned() } else { String::new() },
            human(checkpoint.size),
            shown_beside(folder, &disk.facts.path),
        ]
    };
    checkpoints.into_iter().map(row).collect()
}

/// Lists what the newest disk of each branch contains.
fn newest_disks(report: &Report, contents: &ContentsOfDisks, out: &mut dyn Write) -> io::Result<()> {
    let newest = report.disks.iter().enumerate().filter(|(_, disk)| disk.children.is_empty());
    let row = |(number, disk): (usize, &ReportedDisk)| {
        let text = match contents.get(number)? {
            Ok(contents) => summary(contents),
            Err(error) => format!("not known: {}", output::harmless(error)),
        };
        Some(vec![shown(&disk.facts.path), text])
    };
    let mut rows = vec![["newest disk", "contents"].map(str::to_owned).to_vec()];
    rows.extend(newest.filter_map(row));
    if rows.len() == 1 {
        return Ok(());
    }
    writeln!(out)?;
    output::table(out, &[false, false], &rows)
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
    let mut found = of_severity(report, severity).peekable();
    if found.peek().is_some() {
        let title = match severity {
            FindingSeverity::Critical => "critical",
            FindingSeverity::Warning => "warnings",
            FindingSeverity::Note => "notes",
        };
        writeln!(out, "\n{title}:")?;
    }
    let advised = found.map(|finding| Advised {
        subject: shown(&finding.path),
        message: words::message(finding),
        advice: words::advice(finding),
    });
    advice::write(advised, out)
}
