//! `vhdx convert`: what a disk and its parents hold, as one new file or as a stream.

use std::io::{IsTerminal, stdout};
use std::path::Path;

use serde_json::{Value, json};
use vhdx::ops::{Converted, to_raw, to_stream, to_vhdx};
use vhdx::{Disk, DiskOffset, InvalidArgument, NewDisk, NewFile, Source};

use super::destination;
use super::source::{self, Opened};
use crate::args::{Args, Convert, Format};
use crate::exit::{Outcome, Usage};
use crate::output;
use crate::progress::Bar;
use crate::sizes::both;

pub(super) fn run(args: &Args, convert: &Convert) -> anyhow::Result<Outcome> {
    if convert.source == Path::new("-") {
        return Err(Usage("reading from stdin is not supported".to_owned()).into());
    }
    let target = Target::of(convert)?;
    let resolver = convert.parents.resolver();
    let source = source::open(args, &convert.source, ("--from", convert.from), &resolver)?;
    let plan = Plan::new(convert, target, &source)?;
    if target != Target::Stdout {
        destination::judge(&convert.destination, &convert.writing, source.disk().identities())?;
    }
    if target == Target::Stdout && !convert.writing.dry_run {
        to_stream(source.disk(), &mut stdout().lock(), &Bar::new(args.quiet))?;
        return Ok(Outcome::Done);
    }
    let (bytes, file_size) = plan.estimate(source.disk())?;
    if target != Target::Stdout {
        destination::judge_space(&convert.destination, bytes)?;
    }
    if convert.writing.dry_run {
        plan.answer(args, convert, bytes, file_size)?;
        return Ok(Outcome::Done);
    }
    let made = plan.execute(args, convert, source.disk())?;
    plan.answer(args, convert, made.bytes_copied, made.file_size)?;
    Ok(Outcome::Done)
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
            if stdout().is_terminal() && !convert.writing.dry_run {
                return usage("a disk is not written to a terminal; redirect stdout");
            }
            Target::Stdout
        } else {
            match convert.to.or_else(|| Format::of_name(&convert.destination)) {
                Some(format) => Target::File(format),
                None => {
                    return usage(
                        "the destination's name does not tell its format; add --to raw or --to vhdx",
                    );
                }
            }
        };
        let for_vhdx = convert.block_size.is_some() || convert.new.disk_type.is_some();
        if for_vhdx && target != Target::File(Format::Vhdx) {
            return usage("--type and --block-size are for new VHDX files");
        }
        Ok(target)
    }
}

/// What will be made.
struct Plan {
    /// None for raw outputs.
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
            // A raw image may end inside a sector, a disk may not.
            Opened::Raw(raw) => {
                NewDisk::new(raw.virtual_size().checked_next_multiple_of(512).unwrap_or(u64::MAX))
            }
        };
        disk.disk_type = convert.new.disk_type();
        if let Some(size) = convert.block_size {
            disk.block_size = u32::try_from(size).map_err(|_| InvalidArgument::BlockSize(size))?;
        }
        disk.file_size(0)?; // refuses what is not possible before anything is made
        Ok(Self { virtual_size: disk.virtual_size, vhdx: Some(disk) })
    }

    /// The bytes to copy, and the most that the new file can be long.
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
        let progress = Bar::tidying_up(args.quiet)?;
        let file = NewFile::create(&convert.destination, convert.writing.force)?;
        let made = match &self.vhdx {
            Some(new) => to_vhdx(disk, new, &file, &progress),
            None => to_raw(disk, &file, &progress),
        };
        let made = made.map_err(|error| error.in_file(&convert.destination))?;
        file.commit()?;
        Ok(made)
    }

    fn answer(&self, args: &Args, convert: &Convert, bytes: u64, file_size: u64) -> anyhow::Result<()> {
        let dry_run = convert.writing.dry_run;
        output::answer(
            args,
            || self.json(convert, bytes, file_size),
            |out| {
                let (made, most) = if dry_run { ("would make", "at most ") } else { ("made", "") };
                let format =
                    self.vhdx.as_ref().map_or("raw".to_owned(), |new| format!("{} vhdx", new.disk_type));
                writeln!(
                    out,
                    "{made} {}: {format}, a disk of {}",
                    output::shown(&convert.destination),
                    both(self.virtual_size)
                )?;
                writeln!(out, "bytes copied: {most}{}, file size: {most}{}", both(bytes), both(file_size))?;
                Ok(())
            },
        )
    }

    fn json(&self, convert: &Convert, bytes: u64, file_size: u64) -> Value {
        let format = if self.vhdx.is_some() { Format::Vhdx } else { Format::Raw };
        json!({
            "dry_run": convert.writing.dry_run,
            "source": output::path(&convert.source),
            "destination": output::path(&convert.destination),
            "format": format.name(),
            "type": self.vhdx.as_ref().map(|new| new.disk_type.name()),
            "virtual_size": self.virtual_size,
            "block_size": self.vhdx.as_ref().map(|new| new.block_size),
            "bytes_copied": bytes,
            "file_size": file_size,
        })
    }
}

/// A disk like the chain's, but with an identity of its own: both may come to run side by side.
fn copy_of(chain: &vhdx::Chain) -> vhdx::Result<NewDisk> {
    let leaf = NewDisk::like(chain.leaf())?;
    let block_size = NewDisk::like(chain.base())?.block_size;
    Ok(NewDisk { block_size, virtual_disk_id: vhdx::Guid::new_v4(), ..leaf })
}
