//! A chain whose leaf is open for writing: a disk that a guest can read and write.

use std::ops::Range;
use std::path::Path;

use super::chain::Chain;
use super::mark;
use super::read::read_in_turn;
use super::resolver::ParentResolver;
use super::traits::{Disk, DiskMut};
use crate::error::{Bounded, ChainFault, Result};
use crate::file::{Extent, Extents, Vhdx, VhdxMut, ensure_on_disk, range_on_disk};
use crate::storage::{FileIdentity, OnWriter};
use crate::units::DiskOffset;

/// A disk that can be read and written: a leaf, which nobody else can write to, and its parents, open for reading.
///
/// Only the leaf changes. Reads see every earlier write, flushed or not. A write that begins or ends within a sector
/// reads the rest of that sector through the parents.
///
/// The first write gives the leaf a new DataWriteGuid, so children of the leaf can no longer be opened ([MS-VHDX]
/// 2.2.2). No file names its children: use [`find_relatives`](crate::find_relatives) to find them first.
///
/// If the disk is dropped without [`close`](Self::close), the leaf is as after a power failure: sound, with a dirty
/// log, and with every change up to the last [`flush`](DiskMut::flush). After an error while the leaf is written to,
/// every further change is refused.
///
/// # Examples
/// ```no_run
/// use vhdx::{ChainMut, Disk, DiskMut, DiskOffset, FolderResolver};
///
/// # fn main() -> vhdx::Result<()> {
/// let mut disk = ChainMut::open("checkpoint.avhdx", &FolderResolver::default())?;
/// disk.write_all_at(b"hello", DiskOffset::new(1000))?;
/// let mut read = [0; 5];
/// disk.read_exact_at(&mut read, DiskOffset::new(1000))?;
/// disk.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ChainMut {
    leaf: VhdxMut,
    /// Nearest parent first, empty for a base.
    parents: Vec<Vhdx>,
}

impl ChainMut {
    /// Opens a file for writing, and its parents for reading. A dirty log of the file is replayed into it. The parents
    /// are locked against writers, as by [`Chain::lock_shared`].
    ///
    /// # Errors
    /// As [`Chain::open`], [`Chain::lock_shared`] and [`VhdxMut::open`];
    /// [`HalfMerged`](crate::ChainErrorKind::HalfMerged) if a merge into the file is incomplete. If the files do not
    /// form a chain, nothing is written.
    pub fn open(path: impl AsRef<Path>, resolver: &dyn ParentResolver) -> Result<Self> {
        let path = path.as_ref();
        let chain = Chain::open(path, resolver)?;
        ensure_complete(chain.leaf())?;
        let mut layers = chain.into_layers();
        let parents = layers.split_off(1);
        drop(layers); // on Windows an open file cannot be opened exclusively
        for parent in &parents {
            parent.lock_shared(OnWriter::Fail)?;
        }
        // Every link is checked again: the leaf and the parents were not locked before.
        let disk = Self::from_layers(VhdxMut::open(path)?, parents)?;
        disk.ensure_unchanged()?;
        Ok(disk)
    }

    /// Opens the parents of a file that is open for writing. They are not locked.
    ///
    /// # Errors
    /// As [`Chain::from_leaf`]; [`HalfMerged`](crate::ChainErrorKind::HalfMerged).
    pub fn from_leaf(leaf: VhdxMut, resolver: &dyn ParentResolver) -> Result<Self> {
        Self::of(Chain::from_leaf(leaf.vhdx().clone(), resolver)?, leaf)
    }

    /// Puts a file that is open for writing and its open parents together, nearest parent first.
    ///
    /// # Errors
    /// As [`Chain::from_layers`]; [`HalfMerged`](crate::ChainErrorKind::HalfMerged).
    pub fn from_layers(leaf: VhdxMut, parents: Vec<Vhdx>) -> Result<Self> {
        let layers = std::iter::once(leaf.vhdx().clone()).chain(parents).collect();
        Self::of(Chain::from_layers(layers)?, leaf)
    }

    /// The first layer of `chain` shares the file of `leaf`.
    fn of(chain: Chain, leaf: VhdxMut) -> Result<Self> {
        ensure_complete(leaf.vhdx())?;
        let parents = chain.into_layers().split_off(1);
        Ok(Self { leaf, parents })
    }

    /// The file that is written to.
    pub fn leaf(&self) -> &VhdxMut {
        &self.leaf
    }

    /// The parents, nearest first.
    pub fn parents(&self) -> &[Vhdx] {
        &self.parents
    }

    /// Makes all changes durable and leaves a clean log.
    ///
    /// # Errors
    /// As [`VhdxMut::close`].
    pub fn close(self) -> Result<()> {
        self.leaf.close()
    }

    fn layer(&self, number: usize) -> &Vhdx {
        match number.checked_sub(1) {
            None => self.leaf.vhdx(),
            Some(parent) => &self.parents[parent],
        }
    }

    fn range(&self, start: DiskOffset, len: u64) -> Result<Range<DiskOffset>> {
        Ok(range_on_disk(start, len, self.virtual_size())?)
    }

    /// Calls `write` with each part of a range: whole sectors, or a part of one sector.
    fn for_each_part(
        &mut self,
        range: Range<DiskOffset>,
        mut write: impl FnMut(&mut Self, Part) -> Result<()>,
    ) -> Result<()> {
        let sector_size = u64::from(self.logical_sector_size());
        let mut at = range.start;
        while at < range.end {
            let (within, left) = (at.get() % sector_size, range.end.minus(at)?);
            let is_whole = within == 0 && left >= sector_size;
            let len = if is_whole { left - left % sector_size } else { left.min(sector_size - within) };
            write(self, Part { start: at, len, is_whole })?;
            at = at.plus(len)?;
        }
        Ok(())
    }

    /// Changes a part of one sector, and keeps the rest of it.
    ///
    /// A sector that stays the same is written, too: the medium may have lost an earlier write whose sync failed, and an
    /// unmapped block reads as zeros here, but not in every reader.
    fn write_in_sector(&mut self, part: Part, change: impl FnOnce(&mut [u8])) -> Result<()> {
        let sector_size = u64::from(self.logical_sector_size());
        let start = DiskOffset::new(part.start.get() - part.start.get() % sector_size);
        let mut sector = vec![0; self.logical_sector_size() as usize];
        self.read_exact_at(&mut sector, start)?;
        let from = part.start.minus(start)? as usize; // less than a sector
        change(&mut sector[from..from + part.len as usize]);
        self.leaf.write_all_at(&sector, start)
    }
}

/// Returns an error if the DataWriteGuid of the leaf says that a merge into it is incomplete.
fn ensure_complete(leaf: &Vhdx) -> Result<()> {
    match mark::is_half_merged(leaf) {
        // A file that was not opened by a path has this name in messages.
        true => Err(ChainFault::half_merged(leaf.path().unwrap_or(Path::new("leaf"))).into()),
        false => Ok(()),
    }
}

/// A part of a range that is written.
#[derive(Clone, Copy)]
struct Part {
    start: DiskOffset,
    /// In bytes; less than a sector unless `is_whole`.
    len: u64,
    /// Whether it consists of whole sectors.
    is_whole: bool,
}

impl Part {
    fn range(self) -> Result<Range<DiskOffset>> {
        Ok(self.start..self.start.plus(self.len)?)
    }
}

impl Disk for ChainMut {
    fn virtual_size(&self) -> u64 {
        self.leaf.vhdx().virtual_size()
    }

    fn logical_sector_size(&self) -> u32 {
        self.leaf.vhdx().logical_sector_size()
    }

    fn extents(&self, range: Range<DiskOffset>) -> Box<dyn Iterator<Item = Result<Extent>> + Send + '_> {
        Box::new(Extents::through(self.leaf.vhdx(), &self.parents, range))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()> {
        let range = self.range(offset, buf.len() as u64)?;
        read_in_turn(buf, Extents::through(self.leaf.vhdx(), &self.parents, range), |number| {
            self.layer(number)
        })
    }

    fn validate_placement(&self) -> Result<()> {
        self.leaf.vhdx().validate_placement()?;
        self.parents.iter().try_for_each(Vhdx::validate_placement)
    }

    /// Nobody else can change the leaf.
    fn ensure_unchanged(&self) -> Result<()> {
        self.parents.iter().try_for_each(Vhdx::ensure_unchanged)
    }

    fn identities(&self) -> Vec<FileIdentity> {
        std::iter::once(self.leaf.vhdx()).chain(&self.parents).filter_map(Vhdx::identity).collect()
    }
}

impl DiskMut for ChainMut {
    fn write_all_at(&mut self, buf: &[u8], offset: DiskOffset) -> Result<()> {
        let range = self.range(offset, buf.len() as u64)?;
        let mut rest = buf;
        self.for_each_part(range, |this, part| {
            let (now, later) = rest.split_at(part.len as usize); // no longer than `rest`
            rest = later;
            match part.is_whole {
                true => this.leaf.write_all_at(now, part.start),
                false => this.write_in_sector(part, |bytes| bytes.copy_from_slice(now)),
            }
        })
    }

    fn write_zeros(&mut self, range: Range<DiskOffset>) -> Result<()> {
        ensure_on_disk(&range, self.virtual_size())?;
        self.for_each_part(range, |this, part| match part.is_whole {
            true => this.leaf.write_zeros(part.range()?),
            false => this.write_in_sector(part, |bytes| bytes.fill(0)),
        })
    }

    fn unmap(&mut self, range: Range<DiskOffset>) -> Result<()> {
        ensure_on_disk(&range, self.virtual_size())?;
        self.for_each_part(range, |this, part| match part.is_whole {
            true => this.leaf.unmap(part.range()?),
            false => Ok(()),
        })
    }

    fn flush(&mut self) -> Result<()> {
        self.leaf.flush()
    }
}
