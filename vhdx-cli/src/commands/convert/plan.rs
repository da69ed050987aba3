//! Opens the source of a conversion, and plans and makes the new disk.

use vhdx::ops::{self, ConvertReport, to_raw, to_vhdx};
use vhdx::{Disk, DiskOffset, InvalidArgument, NewDisk, NewFile, Source};

use crate::args::{Convert, Format};
use crate::commands::not_copied::NotCopied;
use crate::commands::reading::Reading;
use crate::commands::source::{self, Opened};
use crate::exit::Failure;
use crate::output::Output;
use crate::progress::Bar;

pub(super) fn open_source(reading: &mut Reading<'_>, convert: &Convert) -> Result<Opened, Failure> {
    let resolver = convert.parents.resolver_of(&convert.source);
    let source = reading.open_disk(&convert.source, ("--from", convert.from), &resolver)?;
    source::ensure_no_parents_of_raw(&source, &convert.parents)?;
    Ok(source)
}

/// The disk to make.
pub(super) struct Plan {
    /// The new VHDX; `None` for a raw output.
    pub(super) vhdx: Option<NewDisk>,
    pub(super) virtual_size: u64,
}

impl Plan {
    pub(super) fn new(convert: &Convert, format: Format, source: &Opened) -> vhdx::Result<Self> {
        if format == Format::Raw {
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
    pub(super) fn estimate(&self, disk: &dyn Disk) -> vhdx::Result<(u64, u64)> {
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

    pub(super) fn execute(
        &self,
        output: Output,
        convert: &Convert,
        disk: &dyn Disk,
    ) -> Result<ConvertReport, Failure> {
        let progress = Bar::tidying_up(output, "stopping; no new file is left behind")?;
        let file = NewFile::create(&convert.destination, convert.writing.if_exists())?;
        let made = match &self.vhdx {
            Some(new) => to_vhdx(disk, new, &file, convert.threads.jobs(), &progress),
            None => to_raw(disk, &file, convert.threads.jobs(), &progress),
        };
        let made = made.map_err(|error| error.in_file(&convert.destination))?;
        file.commit()?;
        Ok(made)
    }

    /// Returns the parts of the source that a new VHDX lacks. A raw file has only the disk's content.
    pub(super) fn not_copied<'a>(&self, convert: &Convert, source: &'a Opened) -> NotCopied<'a> {
        match source {
            Opened::Chain(chain) if self.vhdx.is_some() => {
                NotCopied::of(chain, &ops::dropped(chain), &convert.destination)
            }
            _ => NotCopied::beside(&convert.destination),
        }
    }
}

/// Returns a disk like the chain's, with a new virtual disk id because both disks may be in use at once.
fn copy_of(chain: &vhdx::Chain) -> vhdx::Result<NewDisk> {
    let leaf = NewDisk::like(chain.leaf())?;
    let block_size = NewDisk::like(chain.base())?.block_size;
    Ok(NewDisk { block_size, virtual_disk_id: vhdx::Guid::new_v4(), ..leaf })
}
