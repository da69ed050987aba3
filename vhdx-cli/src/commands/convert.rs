//! `vhdx convert`: copies a disk with all its parents into one new file or to stdout.

mod in_place;
mod name;
mod plan;
mod since;
mod upload;

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use serde_json::{Value, json};
use vhdx::Error;
use vhdx::ops::{ConvertReport, to_stream};

use super::destination::{self, Space};
use super::not_copied::NotCopied;
use super::reading::Reading;
use crate::args::{Convert, Format};
use crate::exit::{Failure, Outcome};
use crate::foreign::{Kind, how_to_write};
use crate::output::{self, Output};
use crate::progress::Bar;
use crate::remote;
use crate::sizes::both;
use name::{misnamed, warn_if_misnamed};
use plan::{Plan, open_source};

pub(super) fn run(output: Output, convert: &Convert) -> Result<Outcome, Failure> {
    if convert.source == Path::new("-") {
        return Err(Failure::usage("the source cannot be stdin (`-`): name a file"));
    }
    match (&convert.since, convert.in_place) {
        (Some(old), true) => return since::run(output, convert, old),
        (None, true) => return in_place::run(output, convert),
        // The arguments are refused before. Without the check, a file would be overwritten.
        (Some(_), false) => return Err(Failure::usage("--since needs --in-place")),
        (None, false) => {}
    }
    let target = Target::of(convert)?;
    let mut reading = Reading::new(output, &convert.parents.parent_dir).on_writer(convert.share.on_writer());
    let source = open_source(&mut reading, convert)?;
    let plan = Plan::new(convert, target.format(), &source)?;
    let padding = plan.virtual_size.saturating_sub(source.disk().virtual_size());
    if let Target::File(format) = target {
        warn_if_misnamed(output, &convert.destination, format);
        destination::check(&convert.destination, &convert.writing, source.disk().identities())?;
    }
    if target == Target::Upload {
        warn_if_misnamed(output, &convert.destination, Format::Raw);
        upload::check(convert, &source)?;
    }
    if target == Target::Stdout && !convert.writing.dry_run {
        let mut out = output::stdout().map_err(|source| Error::io("open stdout", None, source))?;
        let made = to_stream(source.disk(), &mut out, convert.threads.jobs(), &Bar::new(output.quiet))
            .map_err(Failure::of_stream)?;
        let report = Report { convert, plan: &plan, padding, made, left: plan.not_copied(convert, &source) };
        reading.answer_beside_data(|| report.json());
        return Ok(Outcome::Done);
    }
    let (bytes, file_size) = plan.estimate(source.disk())?;
    if let Target::File(_) = target {
        let disk_type = plan.vhdx.as_ref().map(|new| new.disk_type);
        let space = Space::of(disk_type, bytes, file_size);
        destination::ensure_space(&convert.destination, &convert.writing, space)?;
    }
    let made = match convert.writing.dry_run {
        true => ConvertReport { bytes_copied: bytes, blocks: 0, file_size },
        false if target == Target::Upload => upload::execute(output, convert, &source)?,
        false => plan.execute(output, convert, source.disk())?,
    };
    let left = plan.not_copied(convert, &source);
    let report = Report { convert, plan: &plan, padding, made, left };
    reading.answer(|| report.json(), |out| report.text(out))?;
    Ok(Outcome::Done)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Stdout,
    Upload,
    File(Format),
}

impl Target {
    /// Returns the format that is written.
    fn format(self) -> Format {
        match self {
            Target::Stdout | Target::Upload => Format::Raw,
            Target::File(format) => format,
        }
    }

    fn of(convert: &Convert) -> Result<Self, Failure> {
        let usage = |message: &str| Err(Failure::usage(message));
        let target = if convert.destination == Path::new("-") {
            if convert.to == Some(Format::Vhdx) {
                return usage(
                    "stdout (`-`) can only be raw: leave out --to vhdx, or name a file as the destination",
                );
            }
            if io::stdout().is_terminal() && !convert.writing.dry_run {
                return usage(
                    "cannot write a disk to a terminal: redirect stdout to a file (`> FILE`) or to another program (`| PROGRAM`)",
                );
            }
            Target::Stdout
        } else {
            match convert.to.or_else(|| Format::of_name(&convert.destination)) {
                Some(Format::Vhdx) if remote::is_url(&convert.destination) => {
                    return usage("only a raw disk can be uploaded: name the object .raw, or add --to raw");
                }
                Some(Format::Raw) if remote::is_url(&convert.destination) => Target::Upload,
                Some(format) => Target::File(format),
                None => return usage(&no_format(convert)),
            }
        };
        let for_vhdx = convert.block_size.is_some() || convert.new.disk_type.is_some();
        if for_vhdx && target.format() != Format::Vhdx {
            return usage(
                "--type and --block-size are only for a new VHDX file, but the destination is raw: leave them out, or add --to vhdx",
            );
        }
        Ok(target)
    }
}

/// Returns the message for a destination whose format is not known.
fn no_format(convert: &Convert) -> String {
    if destination::is_block_device(&convert.destination) {
        return "the destination is a device: to overwrite it with the disk, add --in-place; all data on the device is lost"
            .to_owned();
    }
    match Kind::of_name(&convert.destination) {
        Some(kind) => how_to_write(&convert.source, &convert.destination, kind),
        None => "the name of the destination does not say which format to write: add --to raw or --to vhdx"
            .to_owned(),
    }
}

struct Report<'a> {
    convert: &'a Convert,
    plan: &'a Plan,
    /// The bytes of zeros that fill the last sector of a raw source.
    padding: u64,
    /// In a dry run: upper bounds.
    made: ConvertReport,
    left: NotCopied<'a>,
}

impl Report<'_> {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { convert, plan, padding, made, left } = self;
        let (verb, most) = if convert.writing.dry_run { ("would make", "at most ") } else { ("made", "") };
        let format = plan.vhdx.as_ref().map_or("raw".to_owned(), |new| format!("{} vhdx", new.disk_type));
        let destination = output::shown(&convert.destination);
        writeln!(out, "{verb} {destination}: {format}, a disk of {}", both(plan.virtual_size))?;
        let (bytes, size) = (both(made.bytes_copied), both(made.file_size));
        writeln!(out, "bytes copied: {most}{bytes}, file size: {most}{size}")?;
        if *padding > 0 {
            writeln!(out, "the source ends inside a sector and is padded with {padding} bytes of zeros")?;
        }
        left.text(out)
    }

    fn json(&self) -> Value {
        let vhdx = self.plan.vhdx.as_ref();
        let format = if vhdx.is_some() { Format::Vhdx } else { Format::Raw };
        json!({
            "dry_run": self.convert.writing.dry_run,
            "source": output::path(&self.convert.source),
            "destination": output::path(&self.convert.destination),
            "format": format.name(),
            "misnamed": misnamed(&self.convert.destination, format).map(Kind::name),
            "type": vhdx.map(|new| new.disk_type.name()),
            "virtual_size": self.plan.virtual_size,
            "block_size": vhdx.map(|new| new.block_size),
            "padding": self.padding,
            "bytes_copied": self.made.bytes_copied,
            "file_size": self.made.file_size,
            "dropped": self.left.dropped_json(),
            "stale": self.left.stale_json(),
        })
    }
}
