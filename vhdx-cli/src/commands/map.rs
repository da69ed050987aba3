//! `vhdx map`: shows where each part of a disk is stored, as `qemu-img map` does.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use vhdx::{Chain, DiskOffset, Extent, Extents, LogState, Source};

use super::reading::Reading;
use crate::args::{Args, Map};
use crate::exit::Outcome;
use crate::output;

pub(super) fn run(args: &Args, map: &Map) -> anyhow::Result<Outcome> {
    let chain = Chain::open(&map.file, &map.parents.resolver())?;
    let mut reading = Reading::new(args, &map.parents.parent_dir);
    // A map of a damaged disk ends at the first damage, which is then the error. Overlapping blocks do not end it, so
    // their error is returned after the whole map is printed.
    let placement = chain.validate_placement();
    if placement.is_ok() {
        reading.report_entries(&chain);
    }
    reading.report(&map.file, &chain)?;
    let extents = chain.extents(DiskOffset::new(0)..DiskOffset::new(chain.virtual_size()));
    // A map can have millions of lines, so each is printed as it is found.
    output::write(|out| match args.json {
        true => print_json(&chain, extents, out),
        false => print_text(&chain, extents, out),
    })?;
    placement?;
    // The JSON on stdout is that of `qemu-img map`, which has no place for the facts.
    reading.facts_beside_answer();
    Ok(Outcome::Done)
}

/// Prints the map as JSON. A failure leaves the JSON unfinished, so that a part of a map is not taken for a whole one.
fn print_json(chain: &Chain, extents: Extents<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut separator = "[";
    for extent in extents {
        write!(out, "{separator}{}", json(chain, &extent?))?;
        separator = ",\n";
    }
    Ok(writeln!(out, "]")?)
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

fn print_text(chain: &Chain, extents: Extents<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{:>16}  {:>16}  {:<11}  {:>16}  file", "start", "length", "content", "file offset")?;
    for extent in extents {
        let extent = extent?;
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
    Ok(())
}

/// Whether the bytes are at their offsets in the file. With a dirty log, they may still be in the log: the offsets are
/// those after a replay.
fn is_in_place(chain: &Chain, layer: usize) -> bool {
    chain.layers().get(layer).is_some_and(|layer| layer.log() == LogState::Clean)
}

fn file_of(chain: &Chain, layer: usize) -> Option<&Path> {
    chain.layers().get(layer)?.path()
}
