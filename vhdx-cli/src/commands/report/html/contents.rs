//! Shows what the newest disks of a family contain. Maud escapes all names.

use maud::{Markup, html};
use vhdx::ops::{Report, ReportedFamily};
use vhdx_contents::Contents;

use crate::commands::contents::{ContentsOfDisks, HEADS, RIGHT, findings, row, table};
use crate::commands::report::words;
use crate::output::harmless;

/// The most newest disks of a family that are shown.
const MAX_DISKS: usize = 20;

pub(super) fn of_family(report: &Report, family: &ReportedFamily, contents: &ContentsOfDisks) -> Markup {
    let is_newest = |disk: &&usize| report.disks.get(**disk).is_some_and(|disk| disk.children.is_empty());
    let newest: Vec<usize> = family.members.disks.iter().filter(is_newest).copied().collect();
    let unshown = newest.len().saturating_sub(MAX_DISKS);
    html! {
        h3 { "Contents" }
        @for disk in newest.into_iter().take(MAX_DISKS) { (self::disk(report, disk, contents)) }
        @if unshown > 0 { p.soft { (unshown) " more disks are not shown here; --json lists all." } }
    }
}

fn disk(report: &Report, disk: usize, contents: &ContentsOfDisks) -> Markup {
    let name = report.disks.get(disk).map(|disk| words::file_name(&disk.facts.path)).unwrap_or_default();
    html! {
        @match contents.get(disk) {
            Some(Ok(contents)) => {
                p { b.path { (name) } " · " (table_or_content(contents)) }
                (partitions(contents))
            }
            Some(Err(error)) => p.warning { b.path { (name) } " cannot be read: " (harmless(error)) "." },
            None => {}
        }
    }
}

fn table_or_content(contents: &Contents) -> String {
    let whole = contents.whole.as_ref().map(|content| format!(", {}", content.kind.name()));
    format!("partition table: {}{}", table(contents), whole.unwrap_or_default())
}

fn partitions(contents: &Contents) -> Markup {
    let class = |is_right: bool| is_right.then_some("number");
    let found = findings(contents);
    html! {
        @if !contents.partitions.is_empty() {
            div.scroll {
                table {
                    tr { @for (head, right) in HEADS.iter().zip(RIGHT) { th class=[class(right)] { (head) } } }
                    @for partition in &contents.partitions {
                        @let cells = row(partition);
                        tr { @for (cell, right) in cells.iter().zip(RIGHT) { td class=[class(right)] { (cell) } } }
                    }
                }
            }
        }
        @if !found.is_empty() { ul.findings { @for finding in &found { li.note { p { (finding) } } } } }
    }
}
