//! Draws the maps of the newest disks: which layer owns which part of a disk.

use std::fmt::Write;
use std::num::NonZeroUsize;

use maud::{Markup, html};
use vhdx::ops::{CellOwner, DiskMap, Report, ReportedDisk, ReportedFamily};
use vhdx::{Chain, DiskLink, Error, MAX_CHAIN_LENGTH, NoProgress, Vhdx};

use crate::commands::report::words;
use crate::output::{count, harmless, shown};
use crate::sizes::human;

/// The number of cells of a map. A page is about twice as many pixels wide.
const CELLS: NonZeroUsize = NonZeroUsize::new(600).unwrap();
/// The most maps of one family.
const MAX_MAPS: usize = 12;
/// The most layers with a row of their own in a legend.
const MAX_ROWS: usize = 16;

/// Returns the class with the colour of a file, by its distance from the base.
pub(super) fn colour(depth: usize) -> &'static str {
    const COLOURS: [&str; 8] = ["l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7"];
    match depth {
        0 | 1 => COLOURS[0],
        // The base has a colour of its own.
        depth => COLOURS[1 + (depth - 2) % 7],
    }
}

/// Returns the maps of the newest disks of a family.
pub(super) fn maps(report: &Report, family: &ReportedFamily, number: usize) -> Markup {
    let leaves = family.members.leaves.iter().take(MAX_MAPS);
    let more = family.members.leaves.len().saturating_sub(MAX_MAPS);
    html! {
        @for (i, &leaf) in leaves.enumerate() { (map(report, leaf, &format!("m{number}-{i}"))) }
        @if more > 0 { p.soft { (count(more, "more disk", "more disks")) " without a map." } }
    }
}

fn map(report: &Report, leaf: usize, id: &str) -> Markup {
    let layers = layers(report, leaf);
    let Some(disk) = layers.first() else { return html! {} };
    let name = words::short(&words::file_name(&disk.facts.path), 80);
    html! {
        figure style="margin:0" {
            h3.path { "Map of " (name) ", " (human(disk.facts.virtual_size)) }
            @match read(&layers) {
                Ok(map) => (picture(&map, &layers, id)),
                Err(error) => p.warning { "The map cannot be drawn: " (harmless(&error)) "." },
            }
        }
    }
}

/// Returns a disk and its parents, the disk first. A chain that is too long to be opened is cut.
fn layers(report: &Report, leaf: usize) -> Vec<&ReportedDisk> {
    let next = |disk: &&ReportedDisk| report.disks.get(disk.parent?);
    std::iter::successors(report.disks.get(leaf), next).take(MAX_CHAIN_LENGTH + 1).collect()
}

/// Reads the map of a disk. The links between its files are known already.
fn read(layers: &[&ReportedDisk]) -> Result<DiskMap, String> {
    if layers.len() > MAX_CHAIN_LENGTH {
        return Err(format!("the chain has more than {MAX_CHAIN_LENGTH} files"));
    }
    if layers.last().is_none_or(|base| base.link != DiskLink::Base) {
        return Err("a parent is missing".to_owned());
    }
    let read = || {
        let files =
            layers.iter().map(|disk| Vhdx::open(&disk.facts.path)).collect::<Result<Vec<Vhdx>, Error>>()?;
        DiskMap::of(&Chain::from_layers(files)?, CELLS, &NoProgress)
    };
    read().map_err(|error| error.to_string())
}

fn picture(map: &DiskMap, layers: &[&ReportedDisk], id: &str) -> Markup {
    let cells = map.cells.len().max(1);
    let frame = format!("0 0 {cells} 1");
    let rows = rows(map);
    let others: u64 =
        (0..layers.len()).filter(|layer| !rows.contains(layer)).map(|layer| map.layers[layer].data).sum();
    let zeros: u64 = map.layers.iter().map(|layer| layer.zero).sum();
    let axis = |part: u64| human((map.virtual_size / 4).saturating_mul(part));
    html! {
        svg.map viewBox=(frame) preserveAspectRatio="none" role="img" aria-label="Which file has which part of the disk" {
            @for (layer, disk) in layers.iter().enumerate() {
                @let (full, part) = (runs(map, |cell| (cell.owner == CellOwner::Layer(layer)).then_some(is_full(map, cell)) == Some(true)),
                    runs(map, |cell| (cell.owner == CellOwner::Layer(layer)).then_some(is_full(map, cell)) == Some(false)));
                @if !full.is_empty() || !part.is_empty() {
                    g class=(colour(disk.depth)) id=(format!("{id}-{layer}")) {
                        title { (shown(&disk.facts.path)) ": " (share(map.layers[layer].data, map)) }
                        @if !full.is_empty() { path d=(full) {} }
                        @if !part.is_empty() { path.part d=(part) {} }
                    }
                }
            }
            @let zero = runs(map, |cell| cell.owner == CellOwner::Zero);
            @if !zero.is_empty() { path.zero d=(zero) { title { "zeros" } } }
        }
        div.axis { span { "0" } @for part in 1..=3 { span { (axis(part)) } } span { (human(map.virtual_size)) } }
        div.scroll {
            table.legend {
                @for layer in rows {
                    @let disk = layers[layer];
                    tr {
                        td.path { span class=(format!("swatch {}", colour(disk.depth))) {} (words::short(&words::file_name(&disk.facts.path), 40)) }
                        td.wide {
                            svg.lane viewBox=(frame) preserveAspectRatio="none" aria-hidden="true" {
                                use href=(format!("#{id}-{layer}")) {}
                            }
                        }
                        td.number { (human(map.layers[layer].data)) }
                        td.number { (percent(map.layers[layer].data, map)) }
                    }
                }
                @if others > 0 {
                    tr { td { "other files" } td {} td.number { (human(others)) } td.number { (percent(others, map)) } }
                }
                @if zeros > 0 {
                    tr { td { span.swatch.zero {} "zeros" } td {} td.number { (human(zeros)) } td.number { (percent(zeros, map)) } }
                }
                @if map.unallocated > 0 {
                    tr { td { span.swatch.empty {} "never written" } td {} td.number { (human(map.unallocated)) } td.number { (percent(map.unallocated, map)) } }
                }
            }
        }
    }
}

/// Returns the layers with a row of their own, the base first: the newest, the base, and those with most data.
fn rows(map: &DiskMap) -> Vec<usize> {
    let count = map.layers.len();
    let mut layers: Vec<usize> = (0..count).collect();
    layers.sort_by_key(|&layer| {
        let is_end = layer == 0 || layer + 1 == count;
        (!is_end, std::cmp::Reverse(map.layers[layer].data))
    });
    layers.truncate(MAX_ROWS);
    layers.sort_unstable_by_key(|&layer| std::cmp::Reverse(layer));
    layers
}

/// Whether at least half of a cell is data.
fn is_full(map: &DiskMap, cell: &vhdx::ops::MapCell) -> bool {
    cell.data.saturating_mul(2) >= map.cell_size
}

/// Returns the cells that fulfil a condition as a path: one rectangle for adjacent cells.
fn runs(map: &DiskMap, condition: impl Fn(&vhdx::ops::MapCell) -> bool) -> String {
    let (mut path, mut start) = (String::new(), None);
    let ends = map.cells.iter().map(condition).chain([false]);
    for (at, fulfils) in ends.enumerate() {
        match (start, fulfils) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                let _ = write!(path, "M{from} 0H{at}V1H{from}z");
                start = None;
            }
            _ => {}
        }
    }
    path
}

fn share(bytes: u64, map: &DiskMap) -> String {
    format!("{}, {}", human(bytes), percent(bytes, map))
}

fn percent(bytes: u64, map: &DiskMap) -> String {
    let percent = 100.0 * bytes as f64 / map.virtual_size.max(1) as f64;
    match percent {
        _ if bytes == 0 => "0 %".to_owned(),
        0.1.. => format!("{percent:.1} %"),
        _ => "< 0.1 %".to_owned(),
    }
}
