//! `vhdx map`: shows where each part of a disk is stored, as `qemu-img map` does.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use vhdx::{Chain, DiskOffset, Error, Extent, Extents, LogState, Source};

use super::reading::Reading;
use crate::args::Map;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};

pub(super) fn run(output: Output, map: &Map) -> Result<Outcome, Failure> {
    let chain = Chain::open(&map.file, &map.parents.resolver())?;
    let mut reading = Reading::new(output, &map.parents.parent_dir);
    // A map of a damaged disk ends at the first damage, which is then the error. Overlapping blocks do not end it, so
    // their error is returned after the whole map is printed.
    let placement = chain.validate_placement();
    if placement.is_ok() {
        reading.report_entries(&chain);
    }
    reading.report(&map.file, &chain)?;
    let extents = chain.extents(DiskOffset::new(0)..DiskOffset::new(chain.virtual_size()));
    // A map can have millions of lines, so each is printed as it is found.
    let mut read = Ok(());
    output::write(|out| {
        read = match output.json {
            true => print_json(&chain, extents, out)?,
            false => print_text(&chain, extents, out)?,
        };
        Ok(())
    })?;
    read?;
    placement?;
    // The JSON on stdout is that of `qemu-img map`, which has no place for the facts.
    reading.facts_beside_answer();
    Ok(Outcome::Done)
}

/// The result of reading a map while it is printed. The outer error is that of stdout.
type Printed = io::Result<Result<(), Error>>;

/// Prints the map as JSON. A failure leaves the JSON unfinished, so that a part of a map is not taken for a whole one.
fn print_json(chain: &Chain, extents: Extents<'_>, out: &mut dyn Write) -> Printed {
    let mut separator = "[";
    for extent in extents {
        let extent = match extent {
            Ok(extent) => extent,
            Err(error) => return Ok(Err(error)),
        };
        write!(out, "{separator}{}", json(chain, &extent))?;
        separator = ",\n";
    }
    writeln!(out, "]").map(Ok)
}

/// Returns a range as JSON. `depth` counts layers from the leaf (0); a range in no layer has the depth of the base.
fn json(chain: &Chain, extent: &Extent) -> Value {
    let base = chain.layers().len().saturating_sub(1);
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
        "zero": !data,
        "data": data,
        "compressed": false,
    });
    if let Source::Data { layer, offset } = extent.source {
        if is_in_place(chain, layer) {
            json["offset"] = offset.get().into();
        }
        json["filename"] = file_of(chain, layer).map_or(Value::Null, output::path);
    }
    json
}

fn print_text(chain: &Chain, extents: Extents<'_>, out: &mut dyn Write) -> Printed {
    writeln!(out, "{:>16}  {:>16}  {:<11}  {:>16}  file", "start", "length", "content", "file offset")?;
    for extent in extents {
        let extent = match extent {
            Ok(extent) => extent,
            Err(error) => return Ok(Err(error)),
        };
        let (content, layer, offset) = match extent.source {
            Source::Data { layer, offset } if is_in_place(chain, layer) => {
                ("data", Some(layer), offset.to_string())
            }
            Source::Data { layer, .. } => ("data", Some(layer), String::new()),
            Source::Zero { layer } => ("zero", Some(layer), String::new()),
            Source::Unallocated => ("unallocated", None, String::new()),
        };
        let file = layer.and_then(|layer| file_of(chain, layer)).map(output::shown);
        let (start, len) = (extent.start.to_string(), format!("{:#x}", extent.len));
        let line =
            format!("{start:>16}  {len:>16}  {content:<11}  {offset:>16}  {}", file.unwrap_or_default());
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(Ok(()))
}

/// Whether the bytes are at their offsets in the file. With a dirty log, they may still be in the log: the offsets are
/// those after a replay.
fn is_in_place(chain: &Chain, layer: usize) -> bool {
    chain.layers().get(layer).is_some_and(|layer| layer.log() == LogState::Clean)
}

fn file_of(chain: &Chain, layer: usize) -> Option<&Path> {
    chain.layers().get(layer)?.path()
}
