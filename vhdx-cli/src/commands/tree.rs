//! `vhdx tree`: finds every disk in folders and their subfolders, and draws them as a forest.

mod draw;
pub(super) mod fix;
mod hint;
pub(super) mod machines;
mod notes;

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use vhdx::{Checkpoint, DiscoveredDisk, Error, Forest, OtherFile, Problem, Vhdx, discover, discover_opened};

use super::contents::{self, ContentsOfDisks};
use super::date::seconds;
use super::folder;
use super::several::MAX_REMOTE_DISKS;
use super::size_differences::{self, SizeDifference};
use crate::args::Tree;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::progress::Bar;
use crate::remote;

pub(super) fn run(output: Output, tree: &Tree) -> Result<Outcome, Failure> {
    let progress = Bar::new(output.quiet);
    let forest = match tree.roots.iter().filter(|root| remote::is_url(root)).count() {
        0 => {
            tree.roots.iter().try_for_each(|root| folder::look(root).map(drop))?;
            discover(&tree.roots, &progress)?
        }
        urls if urls == tree.roots.len() => discover_opened(remote_disks(&tree.roots)?, &progress)?,
        _ => {
            return Err(Failure::usage(
                "folders and URLs cannot be searched at once: run the command for each of them",
            ));
        }
    };
    let contents = tree.contents.then(|| contents::of_forest(&forest, &progress)).transpose()?;
    let contents = contents.as_ref();
    output.answer(|| json(&forest, contents), |out| draw::forest(&forest, contents, out))?;
    Ok(Outcome::Done)
}

/// Opens the disks in prefixes. A disk in several of them is one disk.
fn remote_disks(prefixes: &[PathBuf]) -> Result<Vec<(PathBuf, vhdx::Result<Vhdx>)>, Failure> {
    let mut disks = Vec::new();
    for prefix in prefixes {
        let found = remote::disks_in(prefix, true, MAX_REMOTE_DISKS);
        disks.extend(found.map_err(|error| Error::io("search", None, error).in_file(prefix))?);
    }
    disks.sort_by(|(a, _), (b, _)| a.cmp(b));
    disks.dedup_by(|(a, _), (b, _)| a == b);
    Ok(disks)
}

fn json(forest: &Forest, contents: Option<&ContentsOfDisks>) -> Value {
    let path_of = |index: usize| forest.disks.get(index).map(|disk| output::path(&disk.facts.path));
    let orphans: Vec<_> = forest.orphans().filter_map(path_of).collect();
    let checkpoints = forest.checkpoints();
    let checkpoints: HashMap<usize, &Checkpoint> =
        checkpoints.iter().map(|checkpoint| (checkpoint.disk, checkpoint)).collect();
    let disk = |(i, disk): (usize, &DiscoveredDisk)| {
        let mut json = disk_json(disk, path_of);
        json["checkpoint"] =
            checkpoints.get(&i).map_or(Value::Null, |checkpoint| machines::disk_json(checkpoint));
        if let Some(contents) = contents {
            contents.add_to(i, &mut json);
        }
        json
    };
    json!({
        "disks": forest.disks.iter().enumerate().map(disk).collect::<Vec<_>>(),
        "machines": machines::json(forest),
        "lone_checkpoints": machines::lone_json(forest),
        "orphans": orphans,
        "others": forest.others,
        "other_files": forest.other_files.iter().map(other_json).collect::<Vec<_>>(),
        "problems": forest.all_problems().into_iter().map(problem_json).collect::<Vec<_>>(),
        "size_differences":
            size_differences::json(forest.disks.iter().filter_map(|disk| SizeDifference::in_forest(forest, disk))),
    })
}

fn disk_json(disk: &DiscoveredDisk, path_of: impl Fn(usize) -> Option<Value>) -> Value {
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
        "modified": disk.facts.modified.and_then(seconds),
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
        "message": fix::message(problem),
        "fix": fix::text(problem),
    })
}
