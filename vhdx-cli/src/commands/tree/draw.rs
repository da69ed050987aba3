//! Draws a forest with box characters, each parent on a line before its children.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use hyperv_config::AS_STORED;
use vhdx::{DiscoveredDisk, DiskLink, DiskType, Forest, MAX_CHAIN_LENGTH, OtherFile, OtherKind, Remedy};

use super::notes::Notes;
use super::{fix, hint, machines};
use crate::commands::advice::{self, Advised};
use crate::commands::contents::ContentsOfDisks;
use crate::commands::date::utc;
use crate::commands::size_differences::SizeDifference;
use crate::output::{self, shown};
use crate::sizes::human;

pub(super) fn forest(
    forest: &Forest,
    contents: Option<&ContentsOfDisks>,
    out: &mut dyn Write,
) -> io::Result<()> {
    if forest.disks.is_empty() {
        writeln!(out, "no disks found")?;
    } else {
        disks(forest, contents, out)?;
    }
    machines::list(forest, out)?;
    match forest.others {
        0 => {}
        1 => writeln!(out, "1 other file is not a VHDX")?,
        others => writeln!(out, "{others} other files are not VHDX")?,
    }
    let configurations: HashSet<&Path> =
        forest.configurations().map(|configuration| configuration.path.as_path()).collect();
    // What is said about the disks already contains these files.
    let is_known = |file: &OtherFile| {
        file.kind == OtherKind::PruneRecord || configurations.contains(file.path.as_path())
    };
    for file in forest.other_files.iter().filter(|file| !is_known(file)) {
        writeln!(out, "- {} is {}", shown(&file.path), file.kind)?;
    }
    problems(forest, out)?;
    commands(
        out,
        "to complete these merges, use the same options as before:",
        hint::incomplete_merges(forest),
    )?;
    commands(
        out,
        "no stored path leads to a parent in these chains. To merge a whole chain into a new disk, name all its files:",
        hint::merges(forest),
    )?;
    let parents_first = branches(forest).filter_map(|branch| forest.disks.get(branch.disk));
    let reparents = hint::reparents(forest, parents_first);
    commands(
        out,
        "or store the right path in each child, which changes the children but not the content of their disks:",
        reparents,
    )
}

/// Prints the problems: first the machines that must use another disk, last what may stay as it is.
fn problems(forest: &Forest, out: &mut dyn Write) -> io::Result<()> {
    let mut problems = forest.all_problems();
    if !problems.is_empty() {
        writeln!(out, "\nproblems:")?;
    }
    problems.sort_by_key(|problem| match problem.remedy() {
        Remedy::UseTarget { .. } => 0,
        Remedy::DeleteConfiguration | Remedy::ApplyOffline { .. } => 3,
        remedy if remedy.is_consequence() => 2,
        _ => 1,
    });
    let advised = problems.into_iter().map(|problem| Advised {
        subject: shown(problem.path()),
        message: fix::message(problem),
        advice: fix::text(problem),
    });
    advice::write(advised, out)
}

/// The widest line beside which the facts about a disk are written, so that a terminal of 120 columns shows both.
const WIDTH: usize = 58;

/// Draws the disks, each with the notes about it on the lines after it.
fn disks(forest: &Forest, contents: Option<&ContentsOfDisks>, out: &mut dyn Write) -> io::Result<()> {
    let heads = ["", "kind", "disk", "file", "allocated", "changed (UTC)", ""].map(str::to_owned);
    let mut rows = vec![heads.to_vec()];
    let mut notes = Notes::of(forest);
    if let Some(contents) = contents {
        notes.add_contents(forest, contents);
    }
    for branch in branches(forest) {
        let Some(disk) = forest.disks.get(branch.disk) else { continue };
        let trunk = branch.trunk_after(disk);
        let after = notes.about(branch.disk).iter().map(|note| format!("{trunk}{note}"));
        rows.extend(with_facts(branch.line(disk), after, &trunk, facts(forest, disk)));
    }
    output::table_of_width(out, &[false, false, true, true, true, true, false], &rows, WIDTH)?;
    if notes.has_checkpoints {
        writeln!(out, "names and times of checkpoints: {AS_STORED}")?;
    }
    Ok(())
}

/// Writes the facts about a disk beside the first of its lines that is short enough, or else on a line of their own.
fn with_facts(
    line: String,
    after: impl Iterator<Item = String>,
    trunk: &str,
    facts: Vec<String>,
) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = [line].into_iter().chain(after).map(|line| vec![line]).collect();
    let is_short = |row: &Vec<String>| row.iter().all(|line| line.chars().count() <= WIDTH);
    let place = rows.iter().position(is_short).unwrap_or_else(|| {
        rows.insert(1, vec![trunk.to_owned()]);
        1
    });
    rows[place].extend(facts);
    rows
}

/// Prints the purpose of the commands and then the commands, if there are any.
fn commands(
    out: &mut dyn Write,
    purpose: &str,
    mut commands: impl Iterator<Item = String>,
) -> io::Result<()> {
    let Some(first) = commands.next() else { return Ok(()) };
    writeln!(out, "\n{purpose}\n  {first}")?;
    commands.try_for_each(|command| writeln!(out, "  {command}"))?;
    Ok(())
}

/// A disk and its position in the drawing.
struct Branch {
    disk: usize,
    /// The vertical lines of the ancestors that have more children to draw.
    trunk: String,
    level: usize,
    is_last: bool,
    /// Whether the disk is in the folder of its parent, so that only its name is drawn.
    beside_parent: bool,
}

impl Branch {
    /// Returns the line of the disk: its place in the drawing, and its name.
    fn line(&self, disk: &DiscoveredDisk) -> String {
        let fork = match (self.level, self.is_last) {
            (0, _) => "",
            (_, true) => "└─ ",
            (_, false) => "├─ ",
        };
        let name = match disk.facts.path.file_name() {
            Some(name) if self.beside_parent => shown(name.as_ref()),
            _ => shown(&disk.facts.path),
        };
        format!("{}{fork}{name}", self.trunk)
    }

    /// Returns what follows the trunk on the lines of the children.
    ///
    /// Disks at a greater depth than a chain can have are drawn at the same depth.
    fn trunk_of_children(&self) -> &'static str {
        match (1..MAX_CHAIN_LENGTH).contains(&self.level) {
            true if self.is_last => "   ",
            true => "│  ",
            false => "",
        }
    }

    /// Returns the start of the lines between the disk and its children.
    fn trunk_after(&self, disk: &DiscoveredDisk) -> String {
        let to_children = if disk.children.is_empty() { "   " } else { "│  " };
        format!("{}{}{to_children}", self.trunk, self.trunk_of_children())
    }
}

/// Returns the disks in drawing order, each parent before its children. A chain can have any length, so there is no
/// recursion.
fn branches(forest: &Forest) -> impl Iterator<Item = Branch> {
    let root = |disk| Branch { disk, trunk: String::new(), level: 0, is_last: true, beside_parent: false };
    let mut waiting: Vec<Branch> = forest.roots().map(root).collect();
    waiting.reverse();
    std::iter::from_fn(move || {
        let branch = waiting.pop()?;
        let disk = forest.disks.get(branch.disk)?;
        let mut trunk = branch.trunk.clone();
        trunk += branch.trunk_of_children();
        let children = disk.children.iter().rev().enumerate().map(|(from_last, &child)| Branch {
            disk: child,
            trunk: trunk.clone(),
            level: branch.level + 1,
            is_last: from_last == 0,
            beside_parent: forest
                .disks
                .get(child)
                .is_some_and(|child| child.facts.path.parent() == disk.facts.path.parent()),
        });
        waiting.extend(children);
        Some(branch)
    })
}

fn facts(forest: &Forest, disk: &DiscoveredDisk) -> Vec<String> {
    vec![
        kind(disk).to_owned(),
        human(disk.facts.virtual_size),
        human(disk.facts.file_size),
        disk.facts.allocated.map_or_else(|| "?".to_owned(), human),
        disk.facts.modified.map_or_else(|| "?".to_owned(), utc),
        marks(forest, disk),
    ]
}

fn kind(disk: &DiscoveredDisk) -> &'static str {
    match disk.facts.disk_type {
        DiskType::Fixed => "fixed base",
        DiskType::Dynamic => "dynamic base",
        DiskType::Differencing if disk.children.is_empty() => "leaf",
        DiskType::Differencing => "checkpoint",
    }
}

fn marks(forest: &Forest, disk: &DiscoveredDisk) -> String {
    let link = match disk.link {
        DiskLink::Base | DiskLink::Ok => None,
        DiskLink::Missing => Some("parent missing"),
        DiskLink::Ambiguous => Some("parent ambiguous"),
        DiskLink::Cycle => Some("its own ancestor"),
    };
    let log = disk.facts.dirty_log.then_some("dirty log");
    let size = SizeDifference::in_forest(forest, disk).map(|difference| difference.fact());
    link.into_iter().chain(log).map(str::to_owned).chain(size).collect::<Vec<_>>().join(", ")
}
