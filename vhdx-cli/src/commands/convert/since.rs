//! `vhdx convert --in-place --since`: brings a raw file or device that holds an older disk to a newer one.

use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;
use vhdx::ops::{BaseProof, OverwriteReport, UpdateReport, changed_ranges, ensure_holds_base, update_raw};
use vhdx::{Disk, Error, InvalidArgument, RawTarget};

use super::in_place::{self, ensure_raw, kept, len_of, open_target, write_kept};
use super::name::warn_if_misnamed;
use crate::args::{Convert, Format};
use crate::commands::not_copied::NotCopied;
use crate::commands::points::Points;
use crate::commands::reading::Reading;
use crate::commands::source;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, shown};
use crate::progress::Bar;
use crate::sizes::both;

pub(super) fn run(output: Output, convert: &Convert, old: &Path) -> Result<Outcome, Failure> {
    ensure_raw(convert)?;
    for (path, from) in [(&convert.source, convert.from), (&old.to_owned(), None)] {
        if source::format_of(path, ("--from", from))? == Format::Raw {
            return Err(Failure::usage(
                "--since needs two VHDX files of one family: a raw disk has no ancestors",
            ));
        }
    }
    let mut reading = Reading::new(output, &convert.parents.parent_dir).on_writer(convert.share.on_writer());
    let points = Points::open(&mut reading, old, &convert.source, &convert.parents)?;
    points.validate(&mut reading)?;
    let target = open(convert, &points)?;
    warn_if_misnamed(output, &convert.destination, Format::Raw);
    let done = match convert.writing.dry_run {
        true => verify(output, convert, &points, &target)?,
        false => execute(output, convert, &points, &target)?,
    };
    let left = NotCopied::beside(&convert.destination);
    let report = Report { convert, old, virtual_size: points.new.virtual_size(), done, left };
    reading.answer(|| report.json(), |out| report.text(out))?;
    Ok(Outcome::Done)
}

/// Opens the target, unless it must not be overwritten, or is too small for one of the disks.
fn open(convert: &Convert, points: &Points) -> Result<RawTarget, Failure> {
    let target = open_target(convert, &points.new)?;
    let (path, sources) = (&convert.destination, points.old.identities());
    if target.identities().iter().any(|file| sources.contains(file)) {
        return Err(Error::from(InvalidArgument::DestinationIsSource).in_file(path).into());
    }
    Ok(target)
}

const fn proof(convert: &Convert) -> BaseProof {
    if convert.verify_base { BaseProof::Full } else { BaseProof::Sampled }
}

/// Compares the target, writes nothing, and returns what would be written.
fn verify(
    output: Output,
    convert: &Convert,
    points: &Points,
    target: &RawTarget,
) -> Result<UpdateReport, Failure> {
    let (old, new, path) = (&points.old, &points.new, &convert.destination);
    let verified =
        ensure_holds_base(old, new, target, proof(convert), convert.threads.jobs(), &Bar::new(output.quiet));
    let bytes_verified = verified.map_err(|error| error.in_file(path))?;
    let (mut bytes_copied, mut bytes_zeroed) = (0_u64, 0_u64);
    for range in changed_ranges(old, new)? {
        let range = range?;
        // Nothing is written past the end of the newer disk.
        let len = new.virtual_size().saturating_sub(range.start.get()).min(range.len);
        let sum = if range.is_zero { &mut bytes_zeroed } else { &mut bytes_copied };
        *sum = sum.saturating_add(len);
    }
    points.ensure_unchanged()?;
    Ok(UpdateReport { bytes_verified, bytes_copied, bytes_zeroed, target_size: len_of(path, target)? })
}

fn execute(
    output: Output,
    convert: &Convert,
    points: &Points,
    target: &RawTarget,
) -> Result<UpdateReport, Failure> {
    let progress = Bar::tidying_up(output, "stopping as soon as the current write has ended")?;
    let result =
        update_raw(&points.old, &points.new, target, proof(convert), convert.threads.jobs(), &progress);
    drop(progress);
    let path = &convert.destination;
    match result {
        Ok(done) => Ok(done),
        Err(error) if !target.is_touched() => Err(error.in_file(path).into()),
        Err(Error::Cancelled) => Err(Failure::interrupted(partly_updated(convert))),
        Err(error) => {
            let message = format!("{}; {}", error.without_path(), partly_updated(convert));
            Err(Failure::from(error.in_file(path)).with_message(message))
        }
    }
}

fn partly_updated(convert: &Convert) -> String {
    let destination = shown(&convert.destination);
    format!("{destination} is partly updated and unusable. Run the same command again to complete the update")
}

struct Report<'a> {
    convert: &'a Convert,
    old: &'a Path,
    virtual_size: u64,
    /// In a dry run: what would be done.
    done: UpdateReport,
    left: NotCopied<'a>,
}

impl Report<'_> {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let verb = if self.convert.writing.dry_run { "would update" } else { "updated" };
        let destination = shown(&self.convert.destination);
        writeln!(out, "{verb} {destination}: raw, a disk of {}", both(self.virtual_size))?;
        let UpdateReport { bytes_verified, bytes_copied, bytes_zeroed, target_size } = self.done;
        let how = if self.convert.verify_base { "all" } else { "samples" };
        writeln!(out, "compared with {}: {} ({how})", shown(self.old), both(bytes_verified))?;
        writeln!(out, "bytes copied: {}, zeroed: {}", both(bytes_copied), both(bytes_zeroed))?;
        write_kept(out, self.convert, kept(self.virtual_size, target_size), target_size)?;
        self.left.text(out)
    }

    fn json(&self) -> Value {
        let UpdateReport { bytes_verified, bytes_copied, bytes_zeroed, target_size } = self.done;
        let written = OverwriteReport { bytes_copied, bytes_zeroed, target_size };
        let mut json = in_place::json(self.convert, self.virtual_size, &written, &self.left);
        json["since"] = output::path(self.old);
        json["verify_base"] = self.convert.verify_base.into();
        json["bytes_verified"] = bytes_verified.into();
        json
    }
}
