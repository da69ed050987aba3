//! Makes the tree of files: the disk at each checkpoint, its partitions, and the facts about it.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};
use vhdx::Vhdx;
use vhdx_contents::Contents;
use vhdx_mount::{MountedDisk, Tree};

use super::super::checkpoint_disks::CheckpointDisk;
use super::super::{contents, date};
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::remote;

/// Returns the tree of the disks, of which the first is the newest.
pub(super) fn of(output: Output, disks: &[CheckpointDisk]) -> Result<Tree, Failure> {
    let checkpoints = disks.iter().map(|disk| mounted(output, disk)).collect::<Result<_, _>>()?;
    Ok(Tree { checkpoints, latest: 0 })
}

fn mounted(output: Output, disk: &CheckpointDisk) -> Result<MountedDisk, Failure> {
    let found = vhdx_contents::contents(&*disk.chain).map_err(|error| error.to_string());
    if let Err(error) = &found {
        output.warning(&format!(
            "{}: the contents of the disk cannot be read, so only disk.raw is shown: {error}",
            output::shown(&disk.path)
        ));
    }
    let size = disk.chain.virtual_size();
    let partitions = found.as_ref().map_or(Vec::new(), |contents| partitions_of(contents, size));
    let modified = modified(&disk.path)?;
    let mut info = info(disk, &partitions, modified);
    info["contents"] = found.as_ref().map_or(Value::Null, contents::json);
    info["contents_error"] = found.err().into();
    let info = format!("{info:#}\n").into_bytes();
    Ok(MountedDisk { name: disk.name.clone(), disk: disk.chain.clone(), partitions, info, modified })
}

/// Returns the partitions on a disk of `size` bytes, with the names of their files. They end where the disk ends.
fn partitions_of(contents: &Contents, size: u64) -> Vec<(String, Range<u64>)> {
    let mut used = HashSet::new();
    let usable = contents.partitions.iter().filter(|partition| !partition.is_extended);
    let named = usable.filter_map(|partition| {
        let range = partition.start..partition.start.saturating_add(partition.len).min(size);
        let is_wanted = !range.is_empty() && used.insert(partition.number);
        is_wanted.then(|| (format!("p{}", partition.number), range))
    });
    named.collect()
}

/// Returns the time of the last change of a file: now for one on a server, whose time is not known.
fn modified(path: &Path) -> Result<SystemTime, Failure> {
    if remote::is_url(path) {
        return Ok(SystemTime::now());
    }
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.map_err(|error| Failure::io("cannot get the time of the last change", &error).in_file(path))
}

/// Returns a path that does not depend on the current folder, which is another one for readers of `info.json`.
fn absolute(path: &Path) -> PathBuf {
    match remote::is_url(path) {
        true => path.to_owned(),
        false => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    }
}

/// Returns the content of `info.json`.
fn info(disk: &CheckpointDisk, partitions: &[(String, Range<u64>)], modified: SystemTime) -> Value {
    let leaf = disk.chain.leaf();
    let layers: Vec<PathBuf> = disk.chain.layers().iter().filter_map(Vhdx::path).map(absolute).collect();
    json!({
        "name": disk.name,
        "path": output::path(&absolute(&disk.path)),
        "layers": output::paths(&layers),
        "type": leaf.disk_type().name(),
        "virtual_size": leaf.virtual_size(),
        "logical_sector_size": leaf.logical_sector_size(),
        "data_write_guid": leaf.data_write_guid().to_string(),
        "modified": date::iso_8601(modified),
        "partitions": partitions_json(partitions),
    })
}

/// Returns the partitions of each disk as JSON.
pub(super) fn partitions(tree: &Tree) -> Vec<Value> {
    tree.checkpoints.iter().map(|disk| partitions_json(&disk.partitions)).collect()
}

fn partitions_json(partitions: &[(String, Range<u64>)]) -> Value {
    let json = |(name, range): &(String, Range<u64>)| {
        let length = range.end.saturating_sub(range.start); // the end is not before the start
        json!({ "name": name, "start": range.start, "length": length })
    };
    partitions.iter().map(json).collect()
}
