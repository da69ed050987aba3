//! Defines [`Chain`]: a file and all its parents, open as one disk.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::extent_cache::ExtentCache;
use super::found_by::FoundBy;
use super::read::{fill, read_in_turn};
use crate::error::{Guaranteed, Result};
use crate::file::{Extents, Vhdx, range_on_disk};
use crate::storage::{OnWriter, for_each_file};
use crate::units::{DiskOffset, FileOffset};

/// The most layers that are validated at the same time. The record of the blocks of one takes up to 16 MiB.
const VALIDATED_AT_ONCE: usize = 4;

/// A file and all its parents, with every link checked: the disk that a virtual machine sees.
///
/// A fixed or dynamic file is a chain of one file. A clone shares the open files, their locks and the cache.
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
#[derive(Clone, Debug)]
pub struct Chain {
    /// Leaf first, never empty.
    pub(super) layers: Vec<Vhdx>,
    /// How each layer was found; `None` for the leaf and for files that the caller opened.
    found_by: Vec<Option<FoundBy>>,
    resolved: Arc<ExtentCache>,
    /// Set once all block places of all layers are found valid.
    placement_is_valid: OnceLock<()>,
}

impl Chain {
    pub(super) fn of(layers: Vec<Vhdx>, found_by: Vec<Option<FoundBy>>) -> Self {
        Self { layers, found_by, resolved: Arc::default(), placement_is_valid: OnceLock::new() }
    }

    /// Returns the files, leaf first.
    pub fn layers(&self) -> &[Vhdx] {
        &self.layers
    }

    /// Returns how a layer was found; `None` for the leaf and for a file that the caller opened.
    pub fn found_by(&self, layer: usize) -> Option<FoundBy> {
        self.found_by.get(layer).copied().flatten()
    }

    /// Returns the leaf: the file that was opened.
    pub fn leaf(&self) -> &Vhdx {
        &self.layers[0]
    }

    /// Returns the base: the file without a parent.
    pub fn base(&self) -> &Vhdx {
        &self.layers[self.layers.len() - 1]
    }

    /// Returns the size of the disk in bytes. It is the size of the leaf.
    pub fn virtual_size(&self) -> u64 {
        self.leaf().virtual_size()
    }

    /// Returns the logical sector size in bytes: 512 or 4096, the same in all layers.
    pub fn logical_sector_size(&self) -> u32 {
        self.leaf().logical_sector_size()
    }

    /// Validates every BAT entry and the places of all blocks of all layers.
    ///
    /// A single read validates only the entries that it uses, so it cannot detect that two blocks share a place. Call
    /// this before you read a whole disk. The operations in [`ops`](crate::ops) that read a whole disk call it
    /// themselves. A chain that was found valid is not validated again.
    ///
    /// # Errors
    /// Those of [`Vhdx::validate_placement`], for the first layer that breaks a rule.
    pub fn validate_placement(&self) -> Result<()> {
        if self.placement_is_valid.get().is_none() {
            let layers = self.layers.iter().map(|layer| (layer.storage(), layer));
            for_each_file(layers.collect(), VALIDATED_AT_ONCE, |_, layer| layer.validate_placement())?;
            self.placement_is_valid.get_or_init(|| ());
        }
        Ok(())
    }

    /// Locks every layer against writers until the chain is dropped.
    ///
    /// Returns the positions of the layers that a writer has open, which only [`OnWriter::ReadAnyway`] allows.
    ///
    /// The locks are those of [`FileStorage::open_shared`](crate::FileStorage::open_shared). Any number of readers can
    /// hold them. They keep out all writers that respect locks: this library, QEMU on Linux, every program on Windows.
    /// Files on a file system without locks, and layers that are not files, are not locked.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) with the operation `lock` and the path of the layer. The error kind is
    /// [`ResourceBusy`](std::io::ErrorKind::ResourceBusy) if a writer has the layer open.
    pub fn lock_shared(&self, on_writer: OnWriter) -> Result<Vec<usize>> {
        let mut with_writer = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            if layer.lock_shared(on_writer)? {
                with_writer.push(number);
            }
        }
        Ok(with_writer)
    }

    /// Checks that no layer has changed since it was opened.
    ///
    /// Compares length, FileWriteGuid, current header, and the time of the last change unless a writer was accepted
    /// ([`OnWriter::ReadAnyway`]). Call this after you have read a whole disk, because not every writer respects
    /// locks. The operations in [`ops`](crate::ops) that read a whole disk call it themselves.
    ///
    /// # Errors
    /// - [`Conflict::Changed`](crate::Conflict::Changed) with the path of the first layer that changed
    /// - [`Error::Io`](crate::Error::Io) and [`Error::Corrupt`](crate::Error::Corrupt) if a header cannot be read again
    pub fn ensure_unchanged(&self) -> Result<()> {
        self.layers.iter().try_for_each(Vhdx::ensure_unchanged)
    }

    /// Returns an iterator over the locations of `range`.
    ///
    /// Yields one error and ends if a needed BAT entry or sector bitmap is damaged, or if the range is not within the
    /// disk.
    pub fn extents(&self, range: Range<DiskOffset>) -> Extents<'_> {
        Extents::new(&self.layers, range)
    }

    /// Fills `buf` with the bytes of the disk from `offset` on.
    ///
    /// # Errors
    /// - [`InvalidArgument::PastEndOfDisk`](crate::InvalidArgument::PastEndOfDisk) if the buffer reaches past the end of the disk
    /// - [`Error::Io`](crate::Error::Io) and [`Error::Corrupt`](crate::Error::Corrupt) with the path of the layer
    pub fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()> {
        let range = range_on_disk(offset, buf.len() as u64, self.virtual_size())?;
        let mut rest = &mut *buf;
        let known = self.resolved.parts(&self.layers, &range, |part| {
            let (now, after) = std::mem::take(&mut rest).split_at_mut(part.len);
            rest = after;
            self.fill(now, part.data)
        });
        match known {
            Some(read) => {
                read?;
                // Otherwise the rest of the buffer would keep its old bytes.
                rest.is_empty().then_some(()).guaranteed("the parts of a range cover it")
            }
            None => read_in_turn(buf, self.extents(range), |layer| &self.layers[layer]),
        }
    }

    fn fill(&self, buf: &mut [u8], data: Option<(usize, FileOffset)>) -> Result<()> {
        fill(buf, data.map(|(layer, offset)| (&self.layers[layer], offset)))
    }

    /// Splits the chain into its files, leaf first.
    pub(super) fn into_layers(self) -> Vec<Vhdx> {
        self.layers
    }
}
