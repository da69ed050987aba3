//! Draws a forest with box characters, each parent on a line before its children.

use std::io::{self, Write};

use vhdx::{DiscoveredDisk, DiskLink, DiskType, Forest, MAX_CHAIN_LENGTH};

use super::{fix, hint};
use crate::commands::date::utc;
use crate::commands::size_differences::SizeDifference;
use crate::output::{self, shown};
use crate::sizes::human;

pub(super) fn forest(forest: &Forest, out: &mut dyn Write) -> io::Result<()> {
    let mut rows =
        vec![["", "kind", "disk", "file", "allocated", "changed (UTC)", ""].map(str::to_owned).to_vec()];
    rows.extend(
        branches(forest).filter_map(|branch| Some(row(forest, forest.disks.get(branch.disk)?, &branch))),
    );
    if forest.disks.is_empty() {
        writeln!(out, "no disks found")?;
    } else {
        output::table(out, &[false, false, true, true, true, true, false], &rows)?;
    }
    match forest.others {
        0 => {}
        1 => writeln!(out, "1 other file is not a VHDX")?,
        others => writeln!(out, "{others} other files are not VHDX")?,
    }
    for file in &forest.other_files {
        writeln!(out, "- {} is {}", shown(&file.path), file.kind)?;
    }
    let problems = forest.all_problems();
    if !problems.is_empty() {
        writeln!(out, "\nproblems:")?;
    }
    for problem in problems {
        writeln!(out, "- {} {problem}\n  fix: {}", shown(problem.path()), fix::text(problem))?;
    }
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
        // Disks at a greater depth than a chain can have are drawn at the same depth.
        if (1..MAX_CHAIN_LENGTH).contains(&branch.level) {
            trunk += if branch.is_last { "   " } else { "│  " };
        }
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

fn row(forest: &Forest, disk: &DiscoveredDisk, branch: &Branch) -> Vec<String> {
    let fork = match (branch.level, branch.is_last) {
        (0, _) => "",
        (_, true) => "└─ ",
        (_, false) => "├─ ",
    };
    let name = match disk.facts.path.file_name() {
        Some(name) if branch.beside_parent => shown(name.as_ref()),
        _ => shown(&disk.facts.path),
    };
    vec![
        format!("{}{fork}{name}", branch.trunk),
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
