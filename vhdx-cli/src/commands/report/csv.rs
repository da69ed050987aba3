//! Prints a report as comma-separated values (RFC 4180): one line for each disk.

use std::io::{self, Write};
use std::time::Duration;

use vhdx::ops::{Report, ReportedDisk, ReportedFamily};

use super::words;
use crate::commands::date::iso_8601;

const HEADING: [&str; 19] = [
    "family",
    "machines",
    "path",
    "parent",
    "type",
    "link",
    "depth",
    "children",
    "virtual_size",
    "file_size",
    "allocated",
    "modified",
    "age_days",
    "checkpoint",
    "checkpoint_time",
    "checkpoint_time_source",
    "checkpoint_age_days",
    "checkpoint_size",
    "findings",
];

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    line(out, &HEADING.map(str::to_owned))?;
    let mut findings = vec![Vec::new(); report.disks.len()];
    for finding in &report.findings {
        if let Some(list) = finding.disk.and_then(|disk| findings.get_mut(disk)) {
            list.push(finding.kind.name());
        }
    }
    for family in &report.families {
        let root = words::disks(report, family).next().map_or_else(String::new, path);
        let machines = machines(report, family);
        for &number in &family.members.disks {
            let (Some(disk), Some(findings)) = (report.disks.get(number), findings.get(number)) else {
                continue;
            };
            line(out, &row(report, disk, root.clone(), machines.clone(), findings.join(" ")))?;
        }
    }
    Ok(())
}

fn row(
    report: &Report,
    disk: &ReportedDisk,
    root: String,
    machines: String,
    findings: String,
) -> [String; 19] {
    let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    let parent = disk.parent.and_then(|parent| report.disks.get(parent));
    let checkpoint = disk.checkpoint.as_ref();
    [
        root,
        machines,
        path(disk),
        parent.map_or_else(String::new, path),
        disk.facts.disk_type.name().to_owned(),
        disk.link.name().to_owned(),
        disk.depth.to_string(),
        disk.children.len().to_string(),
        disk.facts.virtual_size.to_string(),
        disk.facts.file_size.to_string(),
        number(disk.facts.allocated),
        disk.facts.modified.and_then(iso_8601).unwrap_or_default(),
        number(disk.age.map(whole_days)),
        checkpoint.map_or_else(String::new, |checkpoint| checkpoint.names.join("; ")),
        checkpoint.and_then(|checkpoint| checkpoint.time.and_then(iso_8601)).unwrap_or_default(),
        checkpoint.map_or_else(String::new, |checkpoint| checkpoint.time_source.name().to_owned()),
        number(disk.checkpoint_age.map(whole_days)),
        number(checkpoint.map(|checkpoint| checkpoint.size)),
        findings,
    ]
}

/// Returns an age in days, rounded down.
fn whole_days(age: Duration) -> u64 {
    age.as_secs() / (24 * 60 * 60)
}

fn path(disk: &ReportedDisk) -> String {
    disk.facts.path.to_string_lossy().into_owned()
}

fn machines(report: &Report, family: &ReportedFamily) -> String {
    let machines = family.members.machines.iter().filter_map(|&machine| report.machines.get(machine));
    let names = machines.filter_map(|machine| machine.configuration.name.as_deref());
    names.collect::<Vec<_>>().join("; ")
}

fn line(out: &mut dyn Write, cells: &[String]) -> io::Result<()> {
    for (i, text) in cells.iter().enumerate() {
        write!(out, "{}{}", if i == 0 { "" } else { "," }, cell(text))?;
    }
    out.write_all(b"\r\n")
}

/// Returns a text as a cell. A spreadsheet would take a text that begins like a formula for one.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    // A file that is printed must not control the terminal.
    let is_dangerous = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let escaped = |c: char| if is_dangerous(c) { c.escape_default().to_string() } else { c.to_string() };
    let text: String = text.chars().map(escaped).collect();
    let text = if is_formula { format!("'{text}") } else { text };
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_if_needed_and_never_a_formula() {
        assert_eq!(cell("a b"), "a b");
        assert_eq!(cell("a,\"b\"\r\nc"), "\"a,\"\"b\"\"\r\nc\"");
        for text in ["=1+1", "+1", "-1", "@x", "\t=1"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        assert_eq!(cell("\r=1"), "\"'\r=1\"");
        assert_eq!(cell("a\x1b[31m\u{9b}"), r"a\u{1b}[31m\u{9b}");
        assert_eq!(cell("=\"x\""), "\"'=\"\"x\"\"\"");
    }
}
