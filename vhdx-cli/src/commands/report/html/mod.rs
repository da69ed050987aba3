//! Makes the page of a report: one file without scripts, fonts and images from elsewhere.

mod chain;
mod contents;
mod findings;
mod map;

use std::path::PathBuf;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use vhdx::ops::{FindingSeverity, MinFree, Report, ReportLimits, ReportedFamily, Volume};

use super::words;
use crate::args::duration;
use crate::commands::contents::ContentsOfDisks;
use crate::commands::date::utc;
use crate::output::{count, shown};
use crate::sizes::human;

/// The text near the start of every such page.
pub(super) const MARK: &str = "<meta name=\"generator\" content=\"vhdx report\">";

/// The most families that are shown unfolded.
const MAX_UNFOLDED: usize = 12;

/// Returns the page.
pub(super) fn page(
    report: &Report,
    roots: &[PathBuf],
    limits: &ReportLimits,
    contents: Option<&ContentsOfDisks>,
) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                (PreEscaped(MARK))
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Checkpoint report" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                main {
                    (head(report, roots, limits))
                    (volumes(report, limits))
                    (overview(report))
                    (findings::all(report))
                    @if report.families.is_empty() { p { "No disks were found." } }
                    @for (number, family) in report.families.iter().enumerate() {
                        (self::family(report, family, number, contents))
                    }
                    (foot())
                }
            }
        }
    };
    page.into_string()
}

fn head(report: &Report, roots: &[PathBuf], limits: &ReportLimits) -> Markup {
    let sum = |of: fn(&ReportedFamily) -> u64| report.families.iter().map(of).fold(0, u64::saturating_add);
    let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let card = |class: &str, value: String, label: &str| html! { li { b class=(class) { (value) } (label) } };
    let (critical, warnings) = (count(FindingSeverity::Critical), count(FindingSeverity::Warning));
    let machines = report.machines.len();
    html! {
        header {
            h1 { "Checkpoint report" }
            p.soft { (utc(report.time)) " UTC · " span.path { (roots.iter().map(|root| shown(root)).collect::<Vec<_>>().join(", ")) } }
            p.soft { (self::limits(limits)) }
        }
        ul.cards {
            (card(if critical > 0 { "critical" } else { "good" }, critical.to_string(), "critical"))
            (card(if warnings > 0 { "warning" } else { "good" }, warnings.to_string(), "warnings"))
            (card("", report.disks.len().to_string(), "disk files"))
            (card("", machines.to_string(), if machines == 1 { "virtual machine" } else { "virtual machines" }))
            (card("", human(sum(|family| family.bytes_of_checkpoints)), "taken by checkpoints"))
            (card("", human(sum(|family| family.freed_at_most)), "freed at most if all are deleted"))
        }
    }
}

fn limits(limits: &ReportLimits) -> String {
    let parts = [
        limits.older_than.map(|age| format!("older than {}", duration::human(age))),
        limits.larger_than.map(|size| format!("larger than {}", human(size))),
        limits.min_free.map(|free| match free {
            MinFree::Bytes(bytes) => format!("less than {} free", human(bytes)),
            MinFree::Percent(percent) => format!("less than {percent} % free"),
        }),
        limits.deeper_than.map(|depth| format!("more than {} in a chain", count(depth, "file", "files"))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "No limits were set.".to_owned() } else { format!("Limits: {}.", parts.join(", ")) }
}

fn volumes(report: &Report, limits: &ReportLimits) -> Markup {
    html! {
        @if !report.volumes.is_empty() {
            h2 { "Free space" }
            div.card.scroll {
                table {
                    tr { th { "Volume of" } th { "Used" } th.number { "Free" } th.number { "Size" } }
                    @for volume in &report.volumes { (self::volume(volume, limits)) }
                }
            }
        }
    }
}

fn volume(volume: &Volume, limits: &ReportLimits) -> Markup {
    let known = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), human);
    let used = volume.free.zip(volume.size).filter(|(_, size)| *size > 0);
    let used = used.map(|(free, size)| 100.0 - 100.0 * free as f64 / size as f64);
    let least = limits.min_free.and_then(|min_free| min_free.bytes(volume));
    let is_low = volume.free.zip(least).is_some_and(|(free, least)| free < least);
    html! {
        tr {
            td.path { (shown(&volume.path)) }
            td {
                @if let Some(used) = used {
                    div class=(if is_low { "bar critical" } else { "bar" }) title=(format!("{used:.0} % used")) {
                        i style=(format!("width:{:.1}%", used.clamp(0.0, 100.0))) {}
                    }
                }
            }
            td.number class=[is_low.then_some("critical")] { (known(volume.free)) @if is_low { " (too little)" } }
            td.number { (known(volume.size)) }
        }
    }
}

/// A table of all families, with links to them.
fn overview(report: &Report) -> Markup {
    html! {
        @if report.families.len() > 1 {
            h2 { "Families" }
            div.card.scroll {
                table {
                    tr {
                        th { "Machine or base" } th.number { "Files" } th.number { "Depth" } th.number { "Oldest" }
                        th.number { "Checkpoints take" } th.number { "Frees at most" } th { "Findings" }
                    }
                    @for (number, family) in report.families.iter().enumerate() {
                        tr {
                            td.path { a href=(format!("#f{number}")) { (title(report, family)) } }
                            td.number { (family.members.disks.len()) }
                            td.number { (family.members.depth) }
                            td.number { (words::oldest(report, family).map_or_else(|| "–".to_owned(), duration::human)) }
                            td.number { (human(family.bytes_of_checkpoints)) }
                            td.number { (human(family.freed_at_most)) }
                            td { (findings::badges(report, family)) }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the names of the machines, or the name of the base.
fn title(report: &Report, family: &ReportedFamily) -> String {
    let machines = words::machines(report, family);
    let root = words::disks(report, family).next();
    match machines.is_empty() {
        true => root.map_or_else(String::new, |disk| words::short(&words::file_name(&disk.facts.path), 80)),
        false => words::short(&machines.join(", "), 120),
    }
}

fn family(
    report: &Report,
    family: &ReportedFamily,
    number: usize,
    contents: Option<&ContentsOfDisks>,
) -> Markup {
    let root = words::disks(report, family).next();
    let folder = root.and_then(|disk| disk.facts.path.parent()).map(shown);
    let is_unfolded = report.families.len() <= MAX_UNFOLDED;
    html! {
        details.family.card id=(format!("f{number}")) open[is_unfolded] {
            summary { h2.path { (title(report, family)) } " " (findings::badges(report, family)) }
            p.soft {
                @if let Some(folder) = folder { span.path { (folder) } " · " }
                (count(family.members.disks.len(), "file", "files")) ", depth " (family.members.depth)
                " · checkpoints take " (human(family.bytes_of_checkpoints))
                " · deleting all of them frees at most " (human(family.freed_at_most))
            }
            (chain::drawing(report, family))
            (map::maps(report, family, number))
            @if let Some(contents) = contents { (contents::of_family(report, family, contents)) }
            (findings::of_family(report, family))
        }
    }
}

fn foot() -> Markup {
    html! {
        footer {
            p {
                "“Frees at most” is the space of the files that would be merged. The actual space is less: the file that \
                 takes over their data can grow. A checkpoint with several children cannot be deleted. “Size” of a \
                 checkpoint is the space that the files after it take."
            }
            p { "Names and times of checkpoints are those of Hyper-V's configuration files where they were found, else those of the disk files." }
        }
    }
}
