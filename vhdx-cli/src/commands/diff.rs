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
    if diff.exact {
        points.validate(&mut reading)?;
        let (progress, jobs) = (Bar::new(output.quiet), diff.threads.jobs());
        print(output, diff, &points, |found| differing_ranges(old, new, jobs, &progress, found))?;
    } else {
        let ranges = changed_ranges(old, new)?;
        print(output, diff, &points, |mut found| {
            ranges.into_iter().try_for_each(|range| found(range?))?;
            points.ensure_unchanged()
        })?;
    }
    // The JSON on stdout is a list, which has no place for the facts.
    reading.facts_beside_answer();
    Ok(Outcome::Done)
}

/// Is called for each range.
type Found<'a> = Box<dyn FnMut(ChangedRange) -> LibraryResult<()> + 'a>;

/// Prints the ranges as `find` finds them, because there can be millions of them.
///
/// If `find` fails, the end of the list is not printed, so that a part of the list is not taken for all of it.
fn print(
    output: Output,
    diff: &Diff,
    points: &Points,
    find: impl FnOnce(Found<'_>) -> LibraryResult<()>,
) -> Result<(), Failure> {
    let mut read = Ok(());
    output::write(|out| {
        let mut list = List { form: Form::of(output, diff), out, count: 0, data: 0, zeros: 0 };
        list.begin()?;
        let mut printed = Ok(());
        let found = find(Box::new(|range| {
            printed = list.put(&range);
            if printed.is_err() { Err(Error::Cancelled) } else { Ok(()) }
        }));
        // If stdout failed or was closed, only that counts.
        printed?;
        read = found;
        if read.is_ok() { list.end(points) } else { Ok(()) }
    })?;
    Ok(read?)
}

/// How a list of ranges looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Lines,
    Table,
}

impl Form {
    fn of(output: Output, diff: &Diff) -> Self {
        match output.json {
            true => Form::Json,
            false if diff.lines => Form::Lines,
            false => Form::Table,
        }
    }
}

struct List<'a> {
    form: Form,
    out: &'a mut dyn Write,
    count: u64,
    data: u64,
    zeros: u64,
}

impl List<'_> {
    fn begin(&mut self) -> io::Result<()> {
        match self.form {
            Form::Json => write!(self.out, "["),
            Form::Lines => Ok(()),
            Form::Table => writeln!(self.out, "{:>16}  {:>16}  content", "start", "length"),
        }
    }

    fn put(&mut self, range: &ChangedRange) -> io::Result<()> {
        let ChangedRange { start, len, is_zero } = *range;
        let content = if is_zero { "zero" } else { "data" };
        let separator = if self.count == 0 { "" } else { ",\n" };
        match self.form {
            Form::Json => {
                let range = json!({ "start": start.get(), "length": len, "zero": is_zero });
                write!(self.out, "{separator}{range}")
            }
            Form::Lines => writeln!(self.out, "{} {len} {content}", start.get()),
            Form::Table => {
                let (start, len) = (start.to_string(), format!("{len:#x}"));
                writeln!(self.out, "{start:>16}  {len:>16}  {content}")
            }
        }?;
        let sum = if is_zero { &mut self.zeros } else { &mut self.data };
        *sum = sum.saturating_add(len);
        self.count += 1;
        Ok(())
    }

    fn end(&mut self, points: &Points) -> io::Result<()> {
        match self.form {
            Form::Json => return writeln!(self.out, "]"),
            Form::Lines => return Ok(()),
            Form::Table => {}
        }
        let (old, new) = (points.old.virtual_size(), points.new.virtual_size());
        if old != new {
            writeln!(
                self.out,
                "the sizes differ: {old} and {new} bytes; a shorter disk counts as zeros past its end"
            )?;
        }
        let ranges = if self.count == 1 { "range" } else { "ranges" };
        let (data, zeros) = (both(self.data), both(self.zeros));
        writeln!(self.out, "{} {ranges}: {data} of data, {zeros} of zeros", self.count)
    }
}
