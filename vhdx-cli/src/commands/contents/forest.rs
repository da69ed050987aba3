//! Finds what all disks of a forest contain, in several threads. Each file is opened about once, and few are open at a
//! time.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;
use vhdx::{Chain, Forest, MAX_CHAIN_LENGTH, Progress, Vhdx};
use vhdx_contents::Contents;

use super::json::json;
use super::recording::{Recording, has_none_of};
use crate::disks;
use crate::exit::Failure;
use crate::progress::Bar;

/// The most threads. Most of the time is spent waiting for files.
const MAX_THREADS: usize = 8;
/// The number of disks that a thread takes at a time. It opens their common ancestors only once.
const BATCH: usize = 32;

/// The contents of all disks of a forest, by the index of the disk, or why they cannot be read.
pub(in crate::commands) struct ContentsOfDisks(Vec<Result<Contents, String>>);

impl ContentsOfDisks {
    pub(in crate::commands) fn get(&self, disk: usize) -> Option<&Result<Contents, String>> {
        self.0.get(disk)
    }

    /// Adds the keys `contents` and `contents_error` to the JSON of a disk.
    pub(in crate::commands) fn add_to(&self, disk: usize, disk_json: &mut Value) {
        let found = self.get(disk);
        disk_json["contents"] = found.and_then(|found| found.as_ref().ok()).map_or(Value::Null, json);
        disk_json["contents_error"] =
            found.and_then(|found| found.as_ref().err()).map_or(Value::Null, |error| error.as_str().into());
    }
}

/// Finds what the disks contain: each as its own file and its parents say.
///
/// # Errors
/// If the user asked for an end.
pub(in crate::commands) fn of_forest(forest: &Forest, bar: &Bar) -> Result<ContentsOfDisks, Failure> {
    let order = parents_first(forest);
    let batches: Vec<&[usize]> = order.chunks(BATCH).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while !bar.is_cancelled() {
            let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            of_batch(forest, batch, &mut found);
        }
        found
    };
    let found = thread::scope(|scope| {
        // If a thread cannot be started, the other threads do its work.
        let others = batches.len().saturating_sub(1).min(MAX_THREADS - 1);
        let threads: Vec<_> =
            (0..others).filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let mut found = work();
        for thread in threads {
            match thread.join() {
                Ok(more) => found.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        found
    });
    if bar.is_cancelled() {
        return Err(vhdx::Error::Cancelled.into());
    }
    let mut all: Vec<_> = forest.disks.iter().map(|_| Err("it was not read".to_owned())).collect();
    for (disk, contents) in found {
        if let Some(place) = all.get_mut(disk) {
            *place = contents;
        }
    }
    Ok(ContentsOfDisks(all))
}

/// Returns all disks, each parent before its children, and the descendants of a disk without others between them.
fn parents_first(forest: &Forest) -> Vec<usize> {
    let mut waiting: Vec<usize> = forest.roots().collect();
    let mut order = Vec::new();
    while let Some(disk) = waiting.pop() {
        order.push(disk);
        waiting.extend(forest.disks.get(disk).into_iter().flat_map(|disk| &disk.children));
    }
    order
}

/// An open file of a forest.
struct Layer {
    disk: usize,
    file: Result<Vhdx, String>,
    /// What its disk contains, and the bytes that say so; `None` if that was not needed.
    known: Option<(Contents, Vec<Range<u64>>)>,
}

fn of_batch(forest: &Forest, batch: &[usize], found: &mut Vec<(usize, Result<Contents, String>)>) {
    // The base and its descendants down to the disk that was read last.
    let mut open: Vec<Layer> = Vec::new();
    for &disk in batch {
        let line: Vec<usize> = line_to(forest, disk);
        let kept = open.iter().zip(&line).take_while(|(layer, disk)| layer.disk == **disk).count();
        open.truncate(kept);
        if line.len() > MAX_CHAIN_LENGTH {
            found.push((disk, Err(format!("its chain has more than {MAX_CHAIN_LENGTH} files"))));
            continue;
        }
        let layer = |&disk: &usize| Layer { disk, file: file(forest, disk), known: None };
        open.extend(line.iter().skip(kept).map(layer));
        let known = unchanged(&open).map_or_else(|| contents(&open), Ok);
        found.push((disk, known.clone().map(|(contents, _)| contents)));
        if let Some(layer) = open.last_mut() {
            layer.known = known.ok();
        }
    }
}

/// Returns the ancestors of a disk, the base first, and the disk itself. The line ends when it is too long for a chain.
fn line_to(forest: &Forest, disk: usize) -> Vec<usize> {
    let parent = |disk: &usize| forest.disks.get(*disk)?.parent;
    let line = std::iter::successors(Some(disk), parent);
    let mut line: Vec<usize> = line.take(MAX_CHAIN_LENGTH + 1).collect();
    line.reverse();
    line
}

fn file(forest: &Forest, disk: usize) -> Result<Vhdx, String> {
    let disk = forest.disks.get(disk).ok_or("it is not in the forest")?;
    disks::open(&disk.facts.path).map_err(|error| error.to_string())
}

/// Returns the contents of the parent, if the last file has changed nothing of what says so.
///
/// A read through a long chain looks into each file. This looks only into one.
fn unchanged(open: &[Layer]) -> Option<(Contents, Vec<Range<u64>>)> {
    let [.., parent, child] = open else { return None };
    let (known, parent, child) =
        (parent.known.as_ref()?, parent.file.as_ref().ok()?, child.file.as_ref().ok()?);
    let is_same_size = child.virtual_size() == parent.virtual_size()
        && child.logical_sector_size() == parent.logical_sector_size();
    // An error is found again, and reported, when the chain is read.
    (is_same_size && has_none_of(child, &known.1).unwrap_or(false)).then(|| known.clone())
}

/// Returns the contents of the disk whose files are open, the base first, and the ranges that were read.
fn contents(open: &[Layer]) -> Result<(Contents, Vec<Range<u64>>), String> {
    let layers: Result<Vec<Vhdx>, String> = open.iter().rev().map(|layer| layer.file.clone()).collect();
    let chain = Chain::from_layers(layers?).map_err(|error| error.to_string())?;
    let disk = Recording::of(&chain);
    let contents = vhdx_contents::contents(&disk).map_err(|error| error.to_string())?;
    Ok((contents, disk.ranges()))
}
