//! Draws a family: its files as boxes, each connected with its parent.

use std::collections::HashMap;

use maud::{Markup, html};
use vhdx::DiskLink;
use vhdx::ops::{FindingSeverity, Report, ReportedDisk, ReportedFamily};

use super::map;
use crate::args::duration;
use crate::commands::date::utc;
use crate::commands::report::words;
use crate::output::{count, shown};
use crate::sizes::human;

/// The width of every drawing, in its own units.
const WIDTH: usize = 1000;
/// The distance between a parent and one of several children.
const INDENT: usize = 28;
/// The most columns: files that would be further to the right are drawn in the last one.
const MAX_COLUMN: usize = 14;
/// The most files that are drawn with two lines.
const MAX_LARGE: usize = 24;
/// The most files that are drawn.
const MAX_DRAWN: usize = 400;
/// The number of files in one part of a drawing.
const STRIP: usize = 12;
/// The distance between a box and the line that leads to it.
const STEM: usize = 14;

pub(super) fn drawing(report: &Report, family: &ReportedFamily) -> Markup {
    let boxes = boxes(report, family);
    let undrawn = family.members.disks.len().saturating_sub(boxes.len());
    let picture = html! {
        div.chain role="img" aria-label="The files of this family, each connected with its parent" {
            @for strip in boxes.chunks(STRIP) { (self::strip(&boxes, strip)) }
        }
        @if undrawn > 0 { p.soft { (count(undrawn, "more file", "more files")) " not drawn; --json lists all." } }
    };
    html! {
        @if family.members.disks.len() > MAX_LARGE {
            details { summary { h3 { "Drawing of " (family.members.disks.len()) " files" } } (picture) }
        } @else {
            (picture)
        }
    }
}

/// Returns a part of the drawing. A page of paper can end after each part.
fn strip(all: &[Placed<'_>], strip: &[Placed<'_>]) -> Markup {
    let (Some(first), Some(last)) = (strip.first(), strip.last()) else { return html! {} };
    let (top, bottom) = (first.begin, last.top + last.height + last.gap());
    let crosses = |one: &&Placed<'_>| one.link_begin() < bottom && one.top + one.height > top;
    html! {
        svg.chain viewBox=(format!("0 {top} {WIDTH} {}", bottom - top)) {
            @for one in all.iter().filter(crosses) { (link(one)) }
            @for one in strip { (file(one)) }
        }
    }
}

/// A file and its place in the drawing.
struct Placed<'a> {
    disk: &'a ReportedDisk,
    left: usize,
    /// The top of the space that belongs to the box, and of the box.
    begin: usize,
    top: usize,
    height: usize,
    /// The place where the line from the parent begins, if the parent is drawn.
    parent: Option<(usize, usize)>,
    findings: Vec<(FindingSeverity, &'static str)>,
    is_large: bool,
}

impl Placed<'_> {
    /// Returns the space after the box.
    fn gap(&self) -> usize {
        if self.is_large { 16 } else { 8 }
    }

    /// Returns the top of the line that leads to the box.
    fn link_begin(&self) -> usize {
        self.parent.map_or(self.begin, |(_, top)| top)
    }
}

/// Returns the boxes, each parent before its children. A chain can have any length, so there is no recursion.
fn boxes<'a>(report: &'a Report, family: &'a ReportedFamily) -> Vec<Placed<'a>> {
    let mut findings: HashMap<usize, Vec<(FindingSeverity, &'static str)>> = HashMap::new();
    for finding in family.findings.iter().filter_map(|&finding| report.findings.get(finding)) {
        if let Some(disk) = finding.disk {
            findings.entry(disk).or_default().push((finding.severity, words::kind(finding.kind, 1)));
        }
    }
    let is_large = family.members.disks.len() <= MAX_LARGE;
    let mut boxes = Vec::new();
    let root = family.members.disks.first().map(|&root| (root, 0, None));
    let mut waiting: Vec<_> = root.into_iter().collect();
    let mut top = 2;
    while let Some((number, column, parent)) = waiting.pop() {
        let Some(disk) = report.disks.get(number) else { continue };
        if boxes.len() == MAX_DRAWN {
            break;
        }
        let begin = top;
        if disk.parent.is_none() && disk.link != DiskLink::Base {
            top += 36; // for the missing parent
        }
        let findings = findings.remove(&number).unwrap_or_default();
        let height = if is_large { 50 + if findings.is_empty() { 0 } else { 20 } } else { 24 };
        let left = 2 + INDENT * column.min(MAX_COLUMN);
        let child_column = if disk.children.len() > 1 { column + 1 } else { column };
        let from = Some((left + STEM, top + height));
        waiting.extend(disk.children.iter().rev().map(|&child| (child, child_column, from)));
        let placed = Placed { disk, left, begin, top, height, parent, findings, is_large };
        top += height + placed.gap();
        boxes.push(placed);
    }
    boxes
}

fn link(one: &Placed<'_>) -> Markup {
    let middle = one.top + one.height / 2;
    let path = match one.parent {
        None if one.disk.link == DiskLink::Base => return html! {},
        None => format!("M{} {}V{}", one.left + STEM, one.top - 8, one.top),
        Some((x, y)) if x == one.left + STEM => format!("M{x} {y}V{}", one.top),
        Some((x, y)) => format!("M{x} {y}V{middle}H{}", one.left),
    };
    html! {
        @if one.parent.is_none() {
            rect.missing x=(one.left) y=(one.top - 36) width="220" height="28" rx="6" {}
            text.critical x=(one.left + 12) y=(one.top - 17) { (lost(one.disk.link)) }
        }
        path.link d=(path) {}
    }
}

fn lost(link: DiskLink) -> &'static str {
    match link {
        DiskLink::Ambiguous => "parent: several candidates",
        DiskLink::Cycle => "parent: the file itself",
        _ => "parent not found",
    }
}

fn file(one: &Placed<'_>) -> Markup {
    let Placed { disk, left, top, height, .. } = one;
    let worst = one.findings.iter().map(|(severity, _)| *severity).max();
    let class = worst.map_or_else(|| "box".to_owned(), |worst| format!("box {}", worst.name()));
    let width = WIDTH - left - 2;
    let right = WIDTH - 20;
    let size = disk.facts.allocated.unwrap_or(disk.facts.file_size);
    let name = words::file_name(&disk.facts.path);
    let room = width / 9 - 12; // about nine units for each letter
    html! {
        g {
            title { (shown(&disk.facts.path)) }
            rect class=(class) x=(left) y=(top) width=(width) height=(height) rx="7" {}
            rect class=(map::colour(disk.depth)) x=(left) y=(top) width="6" height=(height) rx="3" {}
            @if one.is_large {
                text.name x=(left + 18) y=(top + 20) { (fit(&name, room)) }
                text x=(right) y=(top + 20) text-anchor="end" { (human(size)) }
                text.soft x=(left + 18) y=(top + 39) { (fit(&state(disk), room + 8)) }
                text.soft x=(right) y=(top + 39) text-anchor="end" { (words::role(disk)) }
                @if let Some(worst) = worst {
                    text class=(worst.name()) x=(left + 18) y=(top + 59) { (fit(&problems(one), room)) }
                }
            } @else {
                text x=(left + 16) y=(top + 17) { (fit(&format!("{name} · {}", state(disk)), room - 4)) }
                text.soft x=(right) y=(top + 17) text-anchor="end" {
                    @if !one.findings.is_empty() { "⚠ " (one.findings.len()) " · " } (human(size))
                }
            }
        }
    }
}

/// Cuts a text that is too wide for its box. East Asian letters are about twice as wide as others.
fn fit(text: &str, room: usize) -> String {
    let count = text.chars().count();
    let width = count + text.chars().filter(|letter| *letter >= '\u{2e80}').count();
    if width <= room { text.to_owned() } else { words::short(text, (room * count / width).max(8)) }
}

/// Returns which state a file keeps, and its age.
fn state(disk: &ReportedDisk) -> String {
    let Some(checkpoint) = &disk.checkpoint else {
        let time = disk.facts.modified.map(|time| format!(", {} UTC", utc(time)));
        let changed = match disk.age {
            Some(age) if age.as_secs() < 60 => "changed just now".to_owned(),
            Some(age) => format!("changed {} ago", duration::human(age)),
            None => "time of the last change unknown".to_owned(),
        };
        return changed + &time.unwrap_or_default();
    };
    let names = match words::names(checkpoint) {
        Some(names) => format!("checkpoint “{names}”"),
        None => "checkpoint".to_owned(),
    };
    let time = checkpoint.time.map(|time| format!(", {} UTC", utc(time)));
    let age =
        disk.checkpoint_age.map_or_else(|| "age unknown".to_owned(), |age| duration::human(age) + " old");
    format!("{names} · {age}{}", time.unwrap_or_default())
}

fn problems(one: &Placed<'_>) -> String {
    let words: Vec<&str> = one.findings.iter().map(|(_, words)| *words).collect();
    format!("⚠ {}", words.join(", "))
}
