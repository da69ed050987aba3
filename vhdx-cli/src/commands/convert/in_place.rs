//! `vhdx convert --in-place`: overwrites an existing file or device with a disk.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::{OverwriteReport, TargetContent, overwrite_raw};
use vhdx::{Disk, Error, FileFormat, InvalidArgument, NewFile, RawTarget, ReadAt};

use super::name::{misnamed, warn_if_misnamed};
use super::plan::{Plan, open_source};
use crate::args::{Convert, Format};
use crate::commands::not_copied::NotCopied;
use crate::commands::reading::Reading;
use crate::exit::{Failure, Outcome};
use crate::foreign::{Foreign, Kind, Purpose};
use crate::output::{self, Output, shown};
use crate::progress::Bar;
use crate::sizes::both;

pub(super) fn run(output: Output, convert: &Convert) -> Result<Outcome, Failure> {
    ensure_raw(convert)?;
    let mut reading = Reading::new(output, &convert.parents.parent_dir).on_writer(convert.share.on_writer());
    let source = open_source(&mut reading, convert)?;
    let disk = source.disk();
    let target = open_target(convert, disk)?;
    warn_if_misnamed(output, &convert.destination, Format::Raw);
    let done = match convert.writing.dry_run {
        true => estimate(convert, disk, &target)?,
        false => execute(output, convert, disk, &target)?,
    };
    let left = NotCopied::beside(&convert.destination);
    let report = Report { convert, virtual_size: disk.virtual_size(), done, left };
    reading.answer(|| report.json(), |out| report.text(out))?;
    Ok(Outcome::Done)
}

/// Returns a usage error if the destination is not to become a raw disk.
pub(super) fn ensure_raw(convert: &Convert) -> Result<(), Failure> {
    if convert.to == Some(Format::Vhdx) || convert.destination == Path::new("-") {
        return Err(Failure::usage(
            "--in-place writes a raw disk over an existing file or device: it cannot be used with --to vhdx, or \
             with `-` as the destination",
        ));
    }
    Ok(())
}

/// Opens the target, unless it must not be overwritten, or is too small for the disk.
pub(super) fn open_target(convert: &Convert, disk: &dyn Disk) -> Result<RawTarget, Failure> {
    let path = &convert.destination;
    // The sources are compared first. On Windows, an open source cannot be opened as a target, and that error would
    // hide the reason.
    NewFile::ensure_no_source(path, disk.identities()).map_err(|error| error.in_file(path))?;
    let target = RawTarget::open(path).map_err(in_use)?;
    let sources = disk.identities();
    if target.identities().iter().any(|file| sources.contains(file)) {
        return Err(Error::from(InvalidArgument::DestinationIsSource).in_file(path).into());
    }
    ensure_no_image(convert, &target)?;
    let (len, virtual_size) = (len_of(path, &target)?, disk.virtual_size());
    if len < virtual_size {
        return Err(Error::from(InvalidArgument::TargetTooSmall { len, virtual_size }).in_file(path).into());
    }
    Ok(target)
}

/// Returns the length of the target in bytes.
pub(super) fn len_of(path: &Path, target: &dyn ReadAt) -> vhdx::Result<u64> {
    target.size().map_err(|source| Error::io("get its size", None, source).in_file(path))
}

fn in_use(error: Error) -> Failure {
    let is_busy = error.io_error().is_some_and(|source| source.kind() == io::ErrorKind::ResourceBusy);
    let failure = Failure::from(error);
    match is_busy {
        true => failure.with_hint(
            "unmount the device and its partitions, detach loop devices, end the programs and virtual machines that \
             use it, and try again. `lsblk` shows what uses a device",
        ),
        false => failure,
    }
}

/// Returns an error if the target is, or is named like, a disk image or a packed file, unless `--to raw` is given.
///
/// It may be the only copy of a disk.
fn ensure_no_image(convert: &Convert, target: &RawTarget) -> Result<(), Failure> {
    if convert.to.is_some() {
        return Ok(());
    }
    let path = &convert.destination;
    let found = FileFormat::of(target).map_err(|error| error.in_file(path))?;
    let called_vhdx = || (Format::of_name(path) == Some(Format::Vhdx)).then_some(FileFormat::Vhdx);
    match found.or_else(called_vhdx).map(Kind::Format).or_else(|| Kind::of_name(path)) {
        Some(kind) => Err(Foreign { path: path.clone(), kind, purpose: Purpose::Overwrite }.into()),
        None => Ok(()),
    }
}

fn execute(
    output: Output,
    convert: &Convert,
    disk: &dyn Disk,
    target: &RawTarget,
) -> Result<OverwriteReport, Failure> {
    let progress = Bar::tidying_up(output, "stopping as soon as the current write has ended")?;
    let result = overwrite_raw(disk, target, content(convert), convert.threads.jobs(), &progress);
    drop(progress);
    let path = &convert.destination;
    match result {
        Ok(done) => Ok(done),
        Err(error) if !target.is_touched() => Err(error.in_file(path).into()),
        Err(Error::Cancelled) => Err(Failure::interrupted(partly_overwritten(convert))),
        Err(error) => {
            let message = format!("{}; {}", error.without_path(), partly_overwritten(convert));
            Err(Failure::from(error.in_file(path)).with_message(message))
        }
    }
}

fn partly_overwritten(convert: &Convert) -> String {
    let again = match convert.target_is_zero {
        true => "Run the command again without `--target-is-zero`, because the target is no longer zero",
        false => "Run the same command again to overwrite all of it",
    };
    format!("{} is partly overwritten and unusable. {again}", shown(&convert.destination))
}

fn content(convert: &Convert) -> TargetContent {
    if convert.target_is_zero { TargetContent::Zeros } else { TargetContent::Unknown }
}

/// Returns the most bytes that would be copied, and the least that would be zeroed.
fn estimate(convert: &Convert, disk: &dyn Disk, target: &RawTarget) -> Result<OverwriteReport, Failure> {
    let plan = Plan { vhdx: None, virtual_size: disk.virtual_size() };
    let (bytes_copied, virtual_size) = plan.estimate(disk)?;
    let bytes_zeroed = match convert.target_is_zero {
        true => 0,
        false => virtual_size.saturating_sub(bytes_copied),
    };
    let target_size = len_of(&convert.destination, target)?;
    Ok(OverwriteReport { bytes_copied, bytes_zeroed, target_size })
}

struct Report<'a> {
    convert: &'a Convert,
    virtual_size: u64,
    /// In a dry run: the most bytes that would be copied, and the least that would be zeroed.
    done: OverwriteReport,
    left: NotCopied<'a>,
}

impl Report<'_> {
    fn kept(&self) -> u64 {
        kept(self.virtual_size, self.done.target_size)
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let dry_run = self.convert.writing.dry_run;
        let (verb, most, least) =
            if dry_run { ("would overwrite", "at most ", "at least ") } else { ("overwrote", "", "") };
        let destination = shown(&self.convert.destination);
        writeln!(out, "{verb} {destination}: raw, a disk of {}", both(self.virtual_size))?;
        let OverwriteReport { bytes_copied, bytes_zeroed, target_size } = self.done;
        writeln!(out, "bytes copied: {most}{}, zeroed: {least}{}", both(bytes_copied), both(bytes_zeroed))?;
        write_kept(out, self.convert, self.kept(), target_size)?;
        self.left.text(out)
    }

    fn json(&self) -> Value {
        json(self.convert, self.virtual_size, &self.done, &self.left)
    }
}

/// Says how much of the target is not changed, if anything.
pub(super) fn write_kept(
    out: &mut dyn Write,
    convert: &Convert,
    kept: u64,
    target_size: u64,
) -> io::Result<()> {
    if kept == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "not changed: {} of {} past the end of the disk (its size: {})",
        both(kept),
        shown(&convert.destination),
        both(target_size)
    )
}

/// Returns the JSON of what was written to an existing target.
pub(super) fn json(
    convert: &Convert,
    virtual_size: u64,
    done: &OverwriteReport,
    left: &NotCopied<'_>,
) -> Value {
    json!({
        "dry_run": convert.writing.dry_run,
        "source": output::path(&convert.source),
        "destination": output::path(&convert.destination),
        "format": Format::Raw.name(),
        "misnamed": misnamed(&convert.destination, Format::Raw).map(Kind::name),
        "type": null,
        "virtual_size": virtual_size,
        "block_size": null,
        "padding": 0,
        "bytes_copied": done.bytes_copied,
        "file_size": done.target_size,
        "dropped": left.dropped_json(),
        "stale": left.stale_json(),
        "in_place": true,
        "target_is_zero": convert.target_is_zero,
        "bytes_zeroed": done.bytes_zeroed,
        "bytes_kept": kept(virtual_size, done.target_size),
    })
}

/// Returns how many bytes of a target lie past the end of the disk. They are not changed.
pub(super) fn kept(virtual_size: u64, target_size: u64) -> u64 {
    target_size.saturating_sub(virtual_size) // a smaller target is refused
}
