//! `vhdx diff`: lists the ranges that changed between two points in time of a disk.

use std::io::{self, Write};

use serde_json::json;
use vhdx::ops::{ChangedRange, changed_ranges, differing_ranges};
use vhdx::{Error, Result as LibraryResult};

use super::points::Points;
use super::reading::Reading;
use crate::args::Diff;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};
use crate::progress::Bar;
use crate::sizes::both;

pub(super) fn run(output: Output, diff: &Diff) -> Result<Outcome, Failure> {
    let mut reading = Reading::new(output, &diff.parents.parent_dir).on_writer(diff.share.on_writer());
    let points = Points::open(&mut reading, &diff.old, &diff.new, &diff.parents)?;
    let (old, new) = (&points.old, &points.new);
    if !diff.exact {
        return print(output, diff, &points, &reading, changed_ranges(old, new)?);
    }
    points.validate(&mut reading)?;
    let progress = Bar::new(output.quiet);
    let ranges = differing_ranges(old, new, &progress)?;
    print(output, diff, &points, &reading, ranges)
}

/// Prints the ranges as they are found, because there can be millions of them.
fn print(
    output: Output,
    diff: &Diff,
    points: &Points,
    reading: &Reading<'_>,
    ranges: impl Iterator<Item = LibraryResult<ChangedRange>>,
) -> Result<Outcome, Failure> {
    let mut read = Ok(());
    let unchanged = || points.ensure_unchanged();
    output::write(|out| {
        read = match output.json {
            true => print_json(ranges, unchanged, out)?,
            false if diff.lines => print_lines(ranges, unchanged, out)?,
            false => print_text(ranges, unchanged, points, out)?,
        };
        Ok(())
    })?;
    read?;
    // The JSON on stdout is a list, which has no place for the facts.
    reading.facts_beside_answer();
    Ok(Outcome::Done)
}

/// The result of finding ranges while they are printed. The outer error is that of stdout.
type Printed = io::Result<Result<(), Error>>;

/// Prints the ranges as JSON. A failure leaves the JSON unfinished, so that a part of the list is not taken for all of
/// it.
fn print_json(
    ranges: impl Iterator<Item = LibraryResult<ChangedRange>>,
    unchanged: impl FnOnce() -> LibraryResult<()>,
    out: &mut dyn Write,
) -> Printed {
    write!(out, "[")?;
    let mut separator = "";
    for range in ranges {
        let range = match range {
            Ok(range) => range,
            Err(error) => return Ok(Err(error)),
        };
        let range = json!({ "start": range.start.get(), "length": range.len, "zero": range.is_zero });
        write!(out, "{separator}{range}")?;
        separator = ",\n";
    }
    if let Err(error) = unchanged() {
        return Ok(Err(error));
    }
    writeln!(out, "]").map(Ok)
}

const fn content(range: &ChangedRange) -> &'static str {
    if range.is_zero { "zero" } else { "data" }
}

fn print_lines(
    ranges: impl Iterator<Item = LibraryResult<ChangedRange>>,
    unchanged: impl FnOnce() -> LibraryResult<()>,
    out: &mut dyn Write,
) -> Printed {
    for range in ranges {
        match range {
            Ok(range) => writeln!(out, "{} {} {}", range.start.get(), range.len, content(&range))?,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(unchanged())
}

fn print_text(
    ranges: impl Iterator<Item = LibraryResult<ChangedRange>>,
    unchanged: impl FnOnce() -> LibraryResult<()>,
    points: &Points,
    out: &mut dyn Write,
) -> Printed {
    writeln!(out, "{:>16}  {:>16}  content", "start", "length")?;
    let (mut count, mut data, mut zeros) = (0_u64, 0_u64, 0_u64);
    for range in ranges {
        let range = match range {
            Ok(range) => range,
            Err(error) => return Ok(Err(error)),
        };
        let len = format!("{:#x}", range.len);
        writeln!(out, "{:>16}  {len:>16}  {}", range.start.to_string(), content(&range))?;
        let sum = if range.is_zero { &mut zeros } else { &mut data };
        *sum = sum.saturating_add(range.len);
        count += 1;
    }
    if let Err(error) = unchanged() {
        return Ok(Err(error));
    }
    let (old, new) = (points.old.virtual_size(), points.new.virtual_size());
    if old != new {
        writeln!(
            out,
            "the sizes differ: {old} and {new} bytes; a shorter disk counts as zeros past its end"
        )?;
    }
    let ranges = if count == 1 { "range" } else { "ranges" };
    writeln!(out, "{count} {ranges}: {} of data, {} of zeros", both(data), both(zeros)).map(Ok)
}
