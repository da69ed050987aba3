//! A file and all its parents, open as one disk.

use std::ops::Range;
use std::sync::OnceLock;

use super::read::{fill, read_extents};
use super::reader::ChainReader;
use super::resolved::Resolved;
use super::resolver::FoundBy;
use crate::error::{InvalidArgument, Result};
use crate::file::{Extents, Vhdx};
use crate::storage::Sharing;
use crate::units::{DiskOffset, FileOffset};

/// A file and all its parents, each link checked: what a virtual machine sees as a disk. A fixed or dynamic file is a
/// chain of one.
///
/// # Examples
/// ```no_run
/// use vhdx::{Chain, DiskOffset, FolderResolver};
///
/// # fn main() -> vhdx::Result<()> {
/// let chain = Chain::open("checkpoint.avhdx", &FolderResolver::default())?;
/// let mut sector = [0; 512];
/// chain.read_exact_at(&mut sector, DiskOffset::new(0))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Chain {
    /// Leaf first, never empty.
    pub(super) layers: Vec<Vhdx>,
    /// How each layer was found.
    found_by: Vec<Option<FoundBy>>,
    resolved: Resolved,
    /// Set once the placement of all blocks of all layers has been found sound.
    placement_is_valid: OnceLock<()>,
}

impl Chain {
    pub(super) fn of(layers: Vec<Vhdx>, found_by: Vec<Option<FoundBy>>) -> Self {
        Self { layers, found_by, resolved: Resolved::default(), placement_is_valid: OnceLock::new() }
    }

    /// The files, leaf first, base last.
    pub fn layers(&self) -> &[Vhdx] {
        &self.layers
    }

    /// How a layer was found; `None` for the leaf, and for what the caller opened.
    pub fn found_by(&self, layer: usize) -> Option<FoundBy> {
        self.found_by.get(layer).copied().flatten()
    }

    /// The file whose disk this is.
    pub fn leaf(&self) -> &Vhdx {
        &self.layers[0]
    }

    /// The file without a parent.
    pub fn base(&self) -> &Vhdx {
        &self.layers[self.layers.len() - 1]
    }

    /// The size of the disk in bytes: the leaf's.
    pub fn virtual_size(&self) -> u64 {
        self.leaf().virtual_size()
    }

    /// The logical sector size in bytes, the same in all layers: 512 or 4096.
    pub fn logical_sector_size(&self) -> u32 {
        self.leaf().logical_sector_size()
    }

    /// Validates every BAT entry and the places of all blocks of all layers, as [`Vhdx::validate_placement`] does.
    ///
    /// A single read validates only the entries that it uses, so it cannot notice that two blocks share one place.
    /// Whoever reads a whole disk calls this first. The operations in [`ops`](crate::ops) that read a whole disk do so
    /// themselves. A chain that was found valid is not validated again.
    ///
    /// # Errors
    /// As [`Vhdx::validate_placement`], for the first layer in which a rule is broken.
    pub fn validate_placement(&self) -> Result<()> {
        if self.placement_is_valid.get().is_none() {
            self.layers.iter().try_for_each(Vhdx::validate_placement)?;
            self.placement_is_valid.get_or_init(|| ());
        }
        Ok(())
    }

    /// Locks every layer against writers until the chain is dropped. Returns the layers that a writer holds, which only
    /// [`Sharing::Forced`] allows.
    ///
    /// The locks are those of [`FileStorage::open_shared`](crate::FileStorage::open_shared): any number of readers can
    /// hold them, and a writer that heeds locks (this library, on Linux QEMU, on Windows every program) is refused
    /// meanwhile. Files on a file system without locks, and layers that are no files, are not locked.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) with the operation `lock`, with [`ResourceBusy`](std::io::ErrorKind::ResourceBusy)
    /// when a writer holds a layer; with the layer's path.
    pub fn lock_shared(&self, sharing: Sharing) -> Result<Vec<usize>> {
        let mut with_writer = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            if layer.lock_shared(sharing)? {
                with_writer.push(number);
            }
        }
        Ok(with_writer)
    }

    /// Compares every layer with what it was when it was opened: its length, its FileWriteGuid, its current header, and
    /// the time of its last change unless a writer was accepted ([`Sharing::Forced`]). Whoever reads a whole disk calls
    /// this at the end: not every writer heeds locks. The operations in [`ops`](crate::ops) that read a whole disk do so
    /// themselves.
    ///
    /// # Errors
    /// [`Error::Changed`](crate::Error::Changed) with the path of the first layer that changed;
    /// [`Error::Io`](crate::Error::Io) and [`Error::Corrupt`](crate::Error::Corrupt) if its header cannot be read again.
    pub fn ensure_unchanged(&self) -> Result<()> {
        self.layers.iter().try_for_each(Vhdx::ensure_unchanged)
    }

    /// Where the bytes of `range` are.
    ///
    /// The iterator yields one error and ends when a BAT entry or a sector bitmap on the way is damaged, or when the
    /// range does not lie on the disk.
    pub fn extents(&self, range: Range<DiskOffset>) -> Extents<'_> {
        Extents::new(&self.layers, range)
    }

    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    /// [`InvalidArgument::PastEndOfDisk`] when the buffer reaches past the end of the disk;
    /// [`Error::Io`](crate::Error::Io) and [`Error::Corrupt`](crate::Error::Corrupt) with the layer's path.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()> {
        let len = buf.len() as u64;
        let virtual_size = self.virtual_size();
        let end = offset.checked_add(len).filter(|end| end.get() <= virtual_size);
        let Some(end) = end else {
            return Err(InvalidArgument::PastEndOfDisk { start: offset, len, virtual_size }.into());
        };
        let (mut rest, range) = (&mut *buf, offset..end);
        let known = self.resolved.parts(&self.layers, &range, |part| {
            let (now, after) = std::mem::take(&mut rest).split_at_mut(part.len);
            rest = after;
            self.fill(now, part.data)
        });
        known.unwrap_or_else(|| read_extents(buf, self.extents(range), |layer| &self.layers[layer]))
    }

    fn fill(&self, buf: &mut [u8], data: Option<(usize, FileOffset)>) -> Result<()> {
        fill(buf, data.map(|(layer, offset)| (&self.layers[layer], offset)))
    }

    /// Splits the chain into its files, leaf first.
    pub(super) fn into_layers(self) -> Vec<Vhdx> {
        self.layers
    }

    /// The disk as a stream that can be sought in.
    pub fn into_reader(self) -> ChainReader {
        ChainReader::new(self)
    }
}
