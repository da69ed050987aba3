//! `vhdx tree`: finds every disk in folders and their subfolders, and draws them as a forest.

mod draw;
mod fix;
mod hint;

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use vhdx::{DiscoveredDisk, Forest, OtherFile, Problem, discover};

use super::folder;
use super::size_differences::{self, SizeDifference};
use crate::args::Tree;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::progress::Bar;

pub(super) fn run(output: Output, tree: &Tree) -> Result<Outcome, Failure> {
    for root in &tree.roots {
        folder::look(root)?;
    }
    let forest = discover(&tree.roots, &Bar::new(output.quiet))?;
    output.answer(|| json(&forest), |out| draw::forest(&forest, out))?;
    Ok(Outcome::Done)
}

fn json(forest: &Forest) -> Value {
    let path_of = |index: usize| forest.disks.get(index).map(|disk| output::path(&disk.facts.path));
    let orphans: Vec<_> = forest.orphans().filter_map(path_of).collect();
    json!({
        "disks": forest.disks.iter().map(|disk| disk_json(disk, path_of)).collect::<Vec<_>>(),
        "orphans": orphans,
        "others": forest.others,
        "other_files": forest.other_files.iter().map(other_json).collect::<Vec<_>>(),
        "problems": forest.all_problems().into_iter().map(problem_json).collect::<Vec<_>>(),
        "size_differences":
            size_differences::json(forest.disks.iter().filter_map(|disk| SizeDifference::in_forest(forest, disk))),
    })
}

fn disk_json(disk: &DiscoveredDisk, path_of: impl Fn(usize) -> Option<Value>) -> Value {
    let modified = disk.facts.modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    json!({
        "path": output::path(&disk.facts.path),
        "type": disk.facts.disk_type.name(),
        "virtual_size": disk.facts.virtual_size,
        "file_size": disk.facts.file_size,
        "allocated": disk.facts.allocated,
        "block_size": disk.facts.block_size,
        "logical_sector_size": disk.facts.logical_sector_size,
        "virtual_disk_id": disk.facts.virtual_disk_id.map(|id| id.to_string()),
        "data_write_guid": disk.facts.data_write_guid.to_string(),
        "modified": modified.map(|since| since.as_secs()),
        "dirty_log": disk.facts.dirty_log,
        "parent": disk.parent.and_then(&path_of),
        "link": disk.link.name(),
        "children": disk.children.iter().filter_map(|&child| path_of(child)).collect::<Vec<_>>(),
        "problems": disk.problems.iter().map(problem_json).collect::<Vec<_>>(),
    })
}

fn other_json(file: &OtherFile) -> Value {
    json!({ "path": output::path(&file.path), "kind": file.kind.name() })
}

fn problem_json(problem: &Problem) -> Value {
    json!({
        "path": output::path(problem.path()),
        "message": problem.to_string(),
        "fix": fix::text(problem),
    })
}
