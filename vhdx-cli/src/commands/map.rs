//! `vhdx map`: shows where each part of a disk is stored, as `qemu-img map` does.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use vhdx::{DiskOffset, DiskType, Error, Extent, Extents, LogState, Source, Vhdx};

use super::reading::Reading;
use crate::args::Map;
use crate::disks;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};

pub(super) fn run(output: Output, map: &Map) -> Result<Outcome, Failure> {
    if map.single_layer {
        return run_alone(output, map);
    }
    let chain = disks::open_chain(&map.file, &map.parents.resolver_of(&map.file))?;
    let mut reading = Reading::new(output, &map.parents.parent_dir);
    // A map of a damaged disk ends at the first damage, which is then the error. Overlapping blocks do not end it, so
    // their error is returned after the whole map is printed.
    let placement = chain.validate_placement();
    if placement.is_ok() {
        reading.report_entries(&chain);
    }
    reading.report(&map.file, &chain)?;
    let extents = chain.extents(DiskOffset::new(0)..DiskOffset::new(chain.virtual_size()));
    print(output, Layers { files: chain.layers(), has_parent: false }, extents)?;
    placement?;
    // The JSON on stdout is that of `qemu-img map`, which has no place for the facts.
    reading.facts_beside_answer();
    Ok(Outcome::Done)
}

/// Maps one file without its parents, which need not exist.
fn run_alone(output: Output, map: &Map) -> Result<Outcome, Failure> {
    let file = disks::open(&map.file)?;
    let placement = file.validate_placement();
    output.warn(&map.file, file.tolerated());
    let extents = file.extents(DiskOffset::new(0)..DiskOffset::new(file.virtual_size()));
    let has_parent = file.disk_type() == DiskType::Differencing;
    print(output, Layers { files: std::slice::from_ref(&file), has_parent }, extents)?;
    placement?;
    Ok(Outcome::Done)
}

/// The files that are mapped, leaf first.
#[derive(Clone, Copy)]
struct Layers<'a> {
    files: &'a [Vhdx],
    /// Whether the last file has a parent, which is not mapped. What no file holds is then unknown, not zeros.
    has_parent: bool,
}

/// Prints each range as it is found, because a map can have millions of lines.
fn print(output: Output, layers: Layers<'_>, extents: Extents<'_>) -> Result<(), Failure> {
    let mut read = Ok(());
    output::write(|out| {
        read = match output.json {
            true => print_json(layers, extents, out)?,
            false => print_text(layers, extents, out)?,
        };
        Ok(())
    })?;
    Ok(read?)
}

/// The result of reading a map while it is printed. The outer error is that of stdout.
type Printed = io::Result<Result<(), Error>>;

/// Prints the map as JSON. A failure leaves the JSON unfinished, so that a part of a map is not taken for a whole one.
fn print_json(layers: Layers<'_>, extents: Extents<'_>, out: &mut dyn Write) -> Printed {
    let mut separator = "[";
    for extent in extents {
        let extent = match extent {
            Ok(extent) => extent,
            Err(error) => return Ok(Err(error)),
        };
        write!(out, "{separator}{}", json(layers, &extent))?;
        separator = ",\n";
    }
    writeln!(out, "]").map(Ok)
}

/// Returns a range as JSON. `depth` counts layers from the leaf (0); a range in no layer has the depth of the base.
fn json(layers: Layers<'_>, extent: &Extent) -> Value {
    let base = layers.files.len().saturating_sub(1);
    let (depth, present, data) = match extent.source {
        Source::Data { layer, .. } => (layer, true, true),
        Source::Zero { layer } => (layer, true, false),
        Source::Unallocated => (base, false, false),
    };
    let mut json = json!({
        "start": extent.start.get(),
        "length": extent.len,
        "depth": depth,
        "present": present,
        "zero": !data && (present || !layers.has_parent),
        "data": data,
        "compressed": false,
    });
    if let Source::Data { layer, offset } = extent.source {
        if is_in_place(layers, layer) {
            json["offset"] = offset.get().into();
        }
        json["filename"] = file_of(layers, layer).map_or(Value::Null, output::path);
    }
    json
}

fn print_text(layers: Layers<'_>, extents: Extents<'_>, out: &mut dyn Write) -> Printed {
    writeln!(out, "{:>16}  {:>16}  {:<11}  {:>16}  file", "start", "length", "content", "file offset")?;
    for extent in extents {
        let extent = match extent {
            Ok(extent) => extent,
            Err(error) => return Ok(Err(error)),
        };
        let (content, layer, offset) = match extent.source {
            Source::Data { layer, offset } if is_in_place(layers, layer) => {
                ("data", Some(layer), offset.to_string())
            }
            Source::Data { layer, .. } => ("data", Some(layer), String::new()),
            Source::Zero { layer } => ("zero", Some(layer), String::new()),
            Source::Unallocated if layers.has_parent => ("absent", None, String::new()),
            Source::Unallocated => ("unallocated", None, String::new()),
        };
        let file = layer.and_then(|layer| file_of(layers, layer)).map(output::shown);
        let (start, len) = (extent.start.to_string(), format!("{:#x}", extent.len));
        let line =
            format!("{start:>16}  {len:>16}  {content:<11}  {offset:>16}  {}", file.unwrap_or_default());
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(Ok(()))
}

/// Whether the bytes are at their offsets in the file. With a dirty log, they may still be in the log: the offsets are
/// those after a replay.
fn is_in_place(layers: Layers<'_>, layer: usize) -> bool {
    layers.files.get(layer).is_some_and(|layer| layer.log() == LogState::Clean)
}

fn file_of(layers: Layers<'_>, layer: usize) -> Option<&Path> {
    layers.files.get(layer)?.path()
}
