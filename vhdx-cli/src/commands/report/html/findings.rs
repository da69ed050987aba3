//! Makes the lists of findings.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use maud::{Markup, html};
use vhdx::ops::{Finding, FindingKind, FindingSeverity, Report, ReportedFamily};

use crate::commands::report::words;
use crate::output::{harmless, shown};

/// The most groups of findings that one list shows.
const MAX_GROUPS: usize = 200;
/// The most files that one group names.
const MAX_FILES: usize = 200;
/// The most files that a group names unfolded.
const MAX_UNFOLDED: usize = 5;

/// Returns the findings that belong to no family.
pub(super) fn all(report: &Report) -> Markup {
    let found: Vec<&Finding> = report.findings.iter().filter(|finding| finding.disk.is_none()).collect();
    html! {
        @if !found.is_empty() {
            h2 { "Folders, volumes and files outside of families" }
            (list(&found))
        }
    }
}

/// Returns the findings of a family.
pub(super) fn of_family(report: &Report, family: &ReportedFamily) -> Markup {
    let found = of(report, family);
    html! {
        h3 { "Findings" }
        @if found.is_empty() { p.good { "Nothing was found." } } @else { (list(&found)) }
    }
}

fn of<'a>(report: &'a Report, family: &'a ReportedFamily) -> Vec<&'a Finding> {
    family.findings.iter().filter_map(|&finding| report.findings.get(finding)).collect()
}

/// Returns the number of findings of each severity, the worst first.
pub(super) fn badges(report: &Report, family: &ReportedFamily) -> Markup {
    let found = of(report, family);
    html! {
        @for severity in FindingSeverity::ALL.into_iter().rev() {
            @let count = found.iter().filter(|finding| finding.severity == severity).count();
            @if count > 0 {
                span class=(format!("badge {}", severity.name())) { (count) " " (noun(severity, count)) } " "
            }
        }
    }
}

fn noun(severity: FindingSeverity, count: usize) -> &'static str {
    match (severity, count) {
        (FindingSeverity::Critical, _) => "critical",
        (FindingSeverity::Warning, 1) => "warning",
        (FindingSeverity::Warning, _) => "warnings",
        (FindingSeverity::Note, 1) => "note",
        (FindingSeverity::Note, _) => "notes",
    }
}

/// Returns the findings, the worst first. Findings of one kind with the same advice form a group.
fn list(found: &[&Finding]) -> Markup {
    let mut groups: BTreeMap<(Reverse<FindingSeverity>, FindingKind, String), Vec<&Finding>> =
        BTreeMap::new();
    for finding in found {
        let key = (Reverse(finding.severity), finding.kind, words::advice(finding));
        groups.entry(key).or_default().push(finding);
    }
    let more = groups.len().saturating_sub(MAX_GROUPS);
    html! {
        ul.findings {
            @for ((Reverse(severity), kind, advice), found) in groups.iter().take(MAX_GROUPS) {
                li class=(severity.name()) {
                    strong {
                        @if found.len() > 1 { (found.len()) " " (words::kind(*kind, found.len())) }
                        @else { (sentence(words::kind(*kind, 1))) }
                    }
                    (files(found))
                    p.advice { "→ " (with_commands(&sentence(&harmless(advice)))) "." }
                }
            }
        }
        @if more > 0 { p.soft { (more) " more kinds of findings are not listed here; --json lists all." } }
    }
}

/// Returns the files of a group, each with its message.
fn files(found: &[&Finding]) -> Markup {
    let (first, more) = found.split_at(found.len().min(MAX_UNFOLDED));
    let unlisted = more.len().saturating_sub(MAX_FILES);
    html! {
        @for finding in first { (file(finding)) }
        @if !more.is_empty() {
            details {
                summary { (more.len()) " more" }
                @for finding in more.iter().take(MAX_FILES) { (file(finding)) }
                @if unlisted > 0 { p.soft { (unlisted) " more are not listed here; --json lists all." } }
            }
        }
    }
}

fn file(finding: &Finding) -> Markup {
    html! { p { b { (shown(&finding.path)) } " " (harmless(&words::message(finding))) "." } }
}

/// Returns a text whose parts between backquotes are commands.
fn with_commands(text: &str) -> Markup {
    html! {
        @for (i, part) in text.split('`').enumerate() {
            @if i % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// Returns a text with an upper-case first letter.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}
