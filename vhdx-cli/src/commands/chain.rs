//! `vhdx chain`: shows a file and its parents, and checks each link.

use std::io::{self, Write};

use serde_json::{Value, json};
use vhdx::{FoundBy, InspectedLayer, Link, inspect_leaf};

use super::reading::Reading;
use super::size_differences::{self, DiskSize, SizeDifference};
use crate::args::Chain;
use crate::disks;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, shown};
use crate::sizes::human;

pub(super) fn run(output: Output, chain: &Chain) -> Result<Outcome, Failure> {
    let resolver = chain.parents.resolver_of(&chain.file);
    let layers = inspect_leaf(disks::open(&chain.file)?, &resolver)?;
    for layer in &layers {
        output.warn(&layer.name, layer.vhdx.tolerated());
    }
    let mut reading = Reading::new(output, &chain.parents.parent_dir);
    reading.report_file(&chain.file, &resolver)?;
    reading.answer(|| json(&layers), |out| text(&layers, out))?;
    let broken = layers.into_iter().find_map(|layer| match layer.link {
        Link::Base | Link::Ok => None,
        Link::Mismatch(error) | Link::Missing(error) => Some(error),
    });
    match broken {
        Some(error) => Err(error.into()),
        None => Ok(Outcome::Done),
    }
}

fn json(layers: &[InspectedLayer]) -> Value {
    let layer = |layer: &InspectedLayer| {
        json!({
            "path": output::path(&layer.name),
            "type": layer.vhdx.disk_type().name(),
            "virtual_size": layer.vhdx.virtual_size(),
            "block_size": layer.vhdx.block_size(),
            "file_size": layer.vhdx.file_len(),
            "data_write_guid": layer.vhdx.data_write_guid().to_string(),
            "link": layer.link.name(),
            "found_by": layer.found_by.map(FoundBy::name),
        })
    };
    json!({
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        "size_differences": size_differences::json(differences(layers)),
    })
}

fn differences(layers: &[InspectedLayer]) -> impl Iterator<Item = SizeDifference<'_>> {
    fn sized(layer: &InspectedLayer) -> DiskSize<'_> {
        DiskSize { path: &layer.name, virtual_size: layer.vhdx.virtual_size() }
    }
    let linked = layers.windows(2).filter_map(|pair| match pair {
        [child, parent] if matches!(child.link, Link::Ok) => Some((child, parent)),
        _ => None,
    });
    linked.filter_map(|(child, parent)| SizeDifference::of(sized(child), sized(parent)))
}

fn text(layers: &[InspectedLayer], out: &mut dyn Write) -> io::Result<()> {
    let mut rows = vec![
        ["link", "type", "disk", "block", "file", "DataWriteGuid", "found by", "path"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(layers.iter().map(|layer| {
        vec![
            layer.link.name().to_owned(),
            layer.vhdx.disk_type().name().to_owned(),
            human(layer.vhdx.virtual_size()),
            human(layer.vhdx.block_size()),
            human(layer.vhdx.file_len()),
            layer.vhdx.data_write_guid().to_string(),
            layer.found_by.map_or("-", FoundBy::name).to_owned(),
            shown(&layer.name),
        ]
    }));
    output::table(out, &[false, false, true, true, true, false, false, false], &rows)?;
    size_differences::text(differences(layers), out)
}
