//! `vhdx convert --in-place`: overwrites an existing file or device with a disk.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::{Overwritten, overwrite_raw};
use vhdx::{Disk, Error, FileFormat, InvalidArgument, NewFile, RawTarget, ReadAt};

use super::{Plan, misnamed, open_source, warn_if_misnamed};
use crate::args::{Args, Convert, Format};
use crate::commands::left_behind::LeftBehind;
use crate::commands::reading::Reading;
use crate::exit::{Hint, Interrupted, Outcome, PartlyOverwritten, Usage};
use crate::foreign::{Foreign, Kind, Wish};
use crate::output::{self, shown};
use crate::progress::Bar;
use crate::sizes::both;

pub(super) fn run(args: &Args, convert: &Convert) -> anyhow::Result<Outcome> {
    if convert.to == Some(Format::Vhdx) || convert.destination == Path::new("-") {
        return Err(Usage("--in-place writes raw into a file or a device".to_owned()).into());
    }
    let mut reading = Reading::new(args, &convert.parents.parent_dir).sharing(convert.share.sharing());
    let source = open_source(&mut reading, convert)?;
    let disk = source.disk();
    let target = open_target(convert, disk)?;
    warn_if_misnamed(args, &convert.destination, Format::Raw);
    let done = match convert.writing.dry_run {
        true => estimate(convert, disk, &target)?,
        false => execute(args, convert, disk, &target)?,
    };
    let left = LeftBehind::beside(&convert.destination);
    let report = Report { convert, virtual_size: disk.virtual_size(), done, left };
    reading.answer(|| report.json(), |out| report.text(out))?;
    Ok(Outcome::Done)
}

/// Opens the target, unless it must not be overwritten.
fn open_target(convert: &Convert, disk: &dyn Disk) -> anyhow::Result<RawTarget> {
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
    let len = target.len().map_err(|source| Error::io("measure", None, source));
    let (len, virtual_size) = (len.map_err(|error| error.in_file(path))?, disk.virtual_size());
    if len < virtual_size {
        return Err(Error::from(InvalidArgument::TargetTooSmall { len, virtual_size }).in_file(path).into());
    }
    Ok(target)
}

fn in_use(error: Error) -> anyhow::Error {
    let is_busy = error.io_error().is_some_and(|source| source.kind() == std::io::ErrorKind::ResourceBusy);
    let error = anyhow::Error::from(error);
    match is_busy {
        true => error.context(Hint(
            "unmount the device and its partitions, detach loop devices, end the programs and virtual machines that \
             use it, and try again. `lsblk` shows what uses a device"
                .into(),
        )),
        false => error,
    }
}

/// Returns an error if the target is, or is named like, a disk image or a packed file, unless `--to raw` is given.
///
/// It may be the only copy of a disk.
fn ensure_no_image(convert: &Convert, target: &RawTarget) -> anyhow::Result<()> {
    if convert.to.is_some() {
        return Ok(());
    }
    let path = &convert.destination;
    let found = FileFormat::of(target).map_err(|error| error.in_file(path))?;
    let called_vhdx = || (Format::of_name(path) == Some(Format::Vhdx)).then_some(FileFormat::Vhdx);
    match found.or_else(called_vhdx).map(Kind::Format).or_else(|| Kind::of_name(path)) {
        Some(kind) => Err(Foreign { path: path.clone(), kind, wish: Wish::Overwrite }.into()),
        None => Ok(()),
    }
}

fn execute(
    args: &Args,
    convert: &Convert,
    disk: &dyn Disk,
    target: &RawTarget,
) -> anyhow::Result<Overwritten> {
    let progress = Bar::tidying_up(args.quiet)?.answering(args, "stopping");
    let result = overwrite_raw(disk, target, convert.target_is_zero, &progress);
    drop(progress);
    let path = &convert.destination;
    match result {
        Ok(done) => Ok(done),
        Err(error) if !target.is_touched() => Err(error.in_file(path).into()),
        Err(Error::Cancelled) => Err(Interrupted(partly_overwritten(path)).into()),
        Err(error) => {
            let state = PartlyOverwritten(partly_overwritten(path));
            Err(anyhow::Error::from(error.in_file(path)).context(state))
        }
    }
}

fn partly_overwritten(path: &Path) -> String {
    format!(
        "{} is partly overwritten and unusable. Run the same command again to finish, without `--target-is-zero`",
        shown(path)
    )
}

/// Returns the most bytes that would be copied, and the least that would be zeroed.
fn estimate(convert: &Convert, disk: &dyn Disk, target: &RawTarget) -> anyhow::Result<Overwritten> {
    let plan = Plan { vhdx: None, virtual_size: disk.virtual_size() };
    let (bytes_copied, virtual_size) = plan.estimate(disk)?;
    let bytes_zeroed = match convert.target_is_zero {
        true => 0,
        false => virtual_size.saturating_sub(bytes_copied),
    };
    let target_size = target.len()?;
    Ok(Overwritten { bytes_copied, bytes_zeroed, target_size })
}

struct Report<'a> {
    convert: &'a Convert,
    virtual_size: u64,
    /// In a dry run: the most bytes that would be copied, and the least that would be zeroed.
    done: Overwritten,
    left: LeftBehind<'a>,
}

impl Report<'_> {
    /// The bytes of the target past the end of the disk, which are not changed.
    fn kept(&self) -> u64 {
        self.done.target_size.saturating_sub(self.virtual_size)
    }

    fn text(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let dry_run = self.convert.writing.dry_run;
        let (verb, most, least) =
            if dry_run { ("would overwrite", "at most ", "at least ") } else { ("overwrote", "", "") };
        let destination = shown(&self.convert.destination);
        writeln!(out, "{verb} {destination}: raw, a disk of {}", both(self.virtual_size))?;
        let Overwritten { bytes_copied, bytes_zeroed, target_size } = self.done;
        writeln!(out, "bytes copied: {most}{}, zeroed: {least}{}", both(bytes_copied), both(bytes_zeroed))?;
        if self.kept() > 0 {
            writeln!(
                out,
                "not changed: {} of {destination} past the end of the disk (its size: {})",
                both(self.kept()),
                both(target_size)
            )?;
        }
        self.left.text(out)
    }

    fn json(&self) -> Value {
        json!({
            "dry_run": self.convert.writing.dry_run,
            "source": output::path(&self.convert.source),
            "destination": output::path(&self.convert.destination),
            "format": Format::Raw.name(),
            "misnamed": misnamed(&self.convert.destination, Format::Raw).map(Kind::name),
            "type": null,
            "virtual_size": self.virtual_size,
            "block_size": null,
            "padding": 0,
            "bytes_copied": self.done.bytes_copied,
            "file_size": self.done.target_size,
            "dropped": self.left.dropped_json(),
            "stale": self.left.stale_json(),
            "in_place": true,
            "target_is_zero": self.convert.target_is_zero,
            "bytes_zeroed": self.done.bytes_zeroed,
            "bytes_kept": self.kept(),
        })
    }
}
