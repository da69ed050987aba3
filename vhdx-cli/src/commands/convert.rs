//! `vhdx convert`: copies a disk with all its parents into one new file or to stdout.

mod in_place;

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::{self, Converted, to_raw, to_stream, to_vhdx};
use vhdx::{Disk, DiskOffset, Error, FileFormat, InvalidArgument, NewDisk, NewFile, Source};

use super::destination;
use super::left_behind::LeftBehind;
use super::reading::Reading;
use super::source::{self, Opened};
use crate::args::{Args, Convert, Format};
use crate::exit::{Outcome, Usage};
use crate::foreign::{Kind, how_to_write};
use crate::output;
use crate::progress::Bar;
use crate::sizes::both;

pub(super) fn run(args: &Args, convert: &Convert) -> anyhow::Result<Outcome> {
    if convert.source == Path::new("-") {
        return Err(Usage("reading from stdin is not supported".to_owned()).into());
    }
    if convert.in_place {
        return in_place::run(args, convert);
    }
    let target = Target::of(convert)?;
    let mut reading = Reading::new(args, &convert.parents.parent_dir).sharing(convert.share.sharing());
    let source = open_source(&mut reading, convert)?;
    let plan = Plan::new(convert, target, &source)?;
    let padding = plan.virtual_size.saturating_sub(source.disk().virtual_size());
    if let Target::File(format) = target {
        warn_if_misnamed(args, &convert.destination, format);
        destination::check(&convert.destination, &convert.writing, source.disk().identities())?;
    }
    if target == Target::Stdout && !convert.writing.dry_run {
        let mut out = output::stdout().map_err(|source| Error::io("open stdout", None, source))?;
        let made = to_stream(source.disk(), &mut out, &Bar::new(args.quiet))?;
        let report = Report { convert, plan: &plan, padding, made, left: plan.left_behind(convert, &source) };
        reading.answer_beside_data(|| report.json());
        return Ok(Outcome::Done);
    }
    let (bytes, file_size) = plan.estimate(source.disk())?;
    if target != Target::Stdout {
        destination::ensure_space(&convert.destination, &convert.writing, bytes)?;
    }
    let made = match convert.writing.dry_run {
        true => Converted { bytes_copied: bytes, blocks: 0, file_size },
        false => plan.execute(args, convert, source.disk())?,
    };
    let left = plan.left_behind(convert, &source);
    let report = Report { convert, plan: &plan, padding, made, left };
    reading.answer(|| report.json(), |out| report.text(out))?;
    Ok(Outcome::Done)
}

fn open_source(reading: &mut Reading<'_>, convert: &Convert) -> anyhow::Result<Opened> {
    let resolver = convert.parents.resolver();
    let source = reading.open_disk(&convert.source, ("--from", convert.from), &resolver)?;
    source::ensure_no_parents_of_raw(&source, &convert.parents)?;
    Ok(source)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Stdout,
    File(Format),
}

impl Target {
    fn of(convert: &Convert) -> anyhow::Result<Self> {
        let usage = |message: &str| Err(Usage(message.to_owned()).into());
        let target = if convert.destination == Path::new("-") {
            if convert.to == Some(Format::Vhdx) {
                return usage("only raw can be written to stdout");
            }
            if io::stdout().is_terminal() && !convert.writing.dry_run {
                return usage("cannot write a disk to a terminal; redirect stdout");
            }
            Target::Stdout
        } else {
            match convert.to.or_else(|| Format::of_name(&convert.destination)) {
                Some(format) => Target::File(format),
                None => return usage(&no_format(convert)),
            }
        };
        let for_vhdx = convert.block_size.is_some() || convert.new.disk_type.is_some();
        if for_vhdx && target != Target::File(Format::Vhdx) {
            return usage("--type and --block-size are for new VHDX files");
        }
        Ok(target)
    }
}

/// Returns the message for a destination whose format is not known.
fn no_format(convert: &Convert) -> String {
    if destination::is_block_device(&convert.destination) {
        return "the destination is a device: --in-place overwrites it with the disk; its content is lost"
            .to_owned();
    }
    match Kind::of_name(&convert.destination) {
        Some(kind) => how_to_write(&convert.source, &convert.destination, kind),
        None => "the name of the destination does not tell the format; add --to raw or --to vhdx".to_owned(),
    }
}

/// Returns the format that the destination's name stands for, if it is not the one that is written.
fn misnamed(destination: &Path, format: Format) -> Option<Kind> {
    let promised = || match Format::of_name(destination)? {
        Format::Vhdx if format == Format::Raw => Some(Kind::Format(FileFormat::Vhdx)),
        Format::Vhdx | Format::Raw => None,
    };
    Kind::of_name(destination).or_else(promised)
}

/// Warns if the destination's name stands for another format than the one that is written.
fn warn_if_misnamed(args: &Args, destination: &Path, format: Format) {
    if let Some(kind) = misnamed(destination, format) {
        let (path, format) = (output::shown(destination), format.name());
        output::warning(args, &format!("{path} is named like {kind}, but is written as {format}"));
    }
}

/// The disk to make.
struct Plan {
    /// The new VHDX; `None` for a raw output.
    vhdx: Option<NewDisk>,
    virtual_size: u64,
}

impl Plan {
    fn new(convert: &Convert, target: Target, source: &Opened) -> vhdx::Result<Self> {
        if target != Target::File(Format::Vhdx) {
            return Ok(Self { vhdx: None, virtual_size: source.disk().virtual_size() });
        }
        let mut disk = match source {
            Opened::Chain(chain) => copy_of(chain)?,
            // A raw image may end inside a sector, but a VHDX must not.
            Opened::Raw(raw) => {
                NewDisk::new(raw.virtual_size().checked_next_multiple_of(512).unwrap_or(u64::MAX))
            }
        };
        disk.disk_type = convert.new.disk_type();
        if let Some(size) = convert.block_size {
            disk.block_size = u32::try_from(size).map_err(|_| InvalidArgument::BlockSize(size))?;
        }
        disk.file_size(0)?; // fails for an invalid disk before any file is made
        Ok(Self { virtual_size: disk.virtual_size, vhdx: Some(disk) })
    }

    /// Returns the most bytes to copy and the largest possible size of the new file in bytes.
    fn estimate(&self, disk: &dyn Disk) -> vhdx::Result<(u64, u64)> {
        let block_size = self.vhdx.as_ref().map_or(u64::MAX, |new| new.block_size.into());
        let (mut bytes, mut blocks, mut next_block) = (0u64, 0u64, 0);
        for extent in disk.extents(DiskOffset::new(0)..DiskOffset::new(disk.virtual_size())) {
            let extent = extent?;
            if matches!(extent.source, Source::Data { .. }) {
                bytes = bytes.saturating_add(extent.len);
                let first = next_block.max(extent.start.get() / block_size);
                next_block = extent.start.get().saturating_add(extent.len).div_ceil(block_size);
                blocks = blocks.saturating_add(next_block.saturating_sub(first));
            }
        }
        let file_size = self.vhdx.as_ref().map_or(Ok(self.virtual_size), |new| new.file_size(blocks))?;
        Ok((bytes, file_size))
    }

    fn execute(&self, args: &Args, convert: &Convert, disk: &dyn Disk) -> anyhow::Result<Converted> {
        let progress = Bar::tidying_up(args.quiet)?.answering(args, "stopping; no new file is left behind");
        let file = NewFile::create(&convert.destination, convert.writing.force)?;
        let made = match &self.vhdx {
            Some(new) => to_vhdx(disk, new, &file, &progress),
            None => to_raw(disk, &file, &progress),
        };
        let made = made.map_err(|error| error.in_file(&convert.destination))?;
        file.commit()?;
        Ok(made)
    }

    /// Returns the parts of the source that a new VHDX does not get. A raw file only has the content of the disk.
    fn left_behind<'a>(&self, convert: &Convert, source: &'a Opened) -> LeftBehind<'a> {
        match source {
            Opened::Chain(chain) if self.vhdx.is_some() => {
                LeftBehind::of(chain, &ops::dropped(chain), &convert.destination)
            }
            _ => LeftBehind::beside(&convert.destination),
        }
    }
}

struct Report<'a> {
    convert: &'a Convert,
    plan: &'a Plan,
    /// The bytes of zeros that fill the last sector of a raw source.
    padding: u64,
    /// In a dry run: upper bounds.
    made: Converted,
    left: LeftBehind<'a>,
}

impl Report<'_> {
    fn text(&self, out: &mut dyn Write) -> anyhow::Result<()> {
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

/// Returns a new disk like that of the chain, but with a new virtual disk id, because both disks may be in use at once.
fn copy_of(chain: &vhdx::Chain) -> vhdx::Result<NewDisk> {
    let leaf = NewDisk::like(chain.leaf())?;
    let block_size = NewDisk::like(chain.base())?.block_size;
    Ok(NewDisk { block_size, virtual_disk_id: vhdx::Guid::new_v4(), ..leaf })
}
