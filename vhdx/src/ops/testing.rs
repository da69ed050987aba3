//! Helpers of the tests of operations: a disk in memory, images of files, and a progress that counts.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::Disk;
use crate::error::{Error, InvalidArgument, Result};
use crate::file::{Extent, NewDisk, OpenOptions, Source, Vhdx, VhdxWriter};
use crate::format::bat_entry::BatEntry;
use crate::format::metadata_item::PARENT_LOCATOR;
use crate::format::metadata_table::{self, MetadataEntry, MetadataTable};
use crate::format::parent_locator::{PARENT_LINKAGE, ParentLocator, RELATIVE_PATH};
use crate::progress::Progress;
use crate::storage::{FileIdentity, Memory};
use crate::units::{DiskOffset, FileOffset, MIB};

/// A disk that reads as `bytes`.
///
/// Only `data`, as starts and ends, is reported as data. Everything else must be zero.
pub(super) struct Plain {
    pub(super) bytes: Vec<u8>,
    pub(super) data: Vec<(usize, usize)>,
}

impl Plain {
    /// Makes a disk of `len` zeros.
    ///
    /// `data` is filled with bytes that vary by place and are never zero.
    pub(super) fn new(len: usize, data: &[(usize, usize)]) -> Self {
        let mut bytes = vec![0; len];
        for &(start, end) in data {
            for (at, byte) in bytes.iter_mut().enumerate().take(end).skip(start) {
                *byte = (at % 251) as u8 + 1;
            }
        }
        Self { bytes, data: data.to_vec() }
    }
}

impl Disk for Plain {
    fn virtual_size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn logical_sector_size(&self) -> u32 {
        512
    }

    fn extents(&self, range: Range<DiskOffset>) -> Box<dyn Iterator<Item = Result<Extent>> + Send + '_> {
        let extent = |start: usize, end: usize, source| Extent {
            start: DiskOffset::new(start as u64),
            len: (end - start) as u64,
            source,
        };
        let mut extents = Vec::new();
        let mut at = 0;
        for &(start, end) in &self.data {
            extents.push(extent(at, start, Source::Unallocated));
            let offset = FileOffset::new(start as u64);
            extents.push(extent(start, end, Source::Data { layer: 0, offset }));
            at = end;
        }
        extents.push(extent(at, self.bytes.len(), Source::Zero { layer: 0 }));
        Box::new(extents.into_iter().filter_map(move |extent| extent.clip(&range)).map(Ok))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()> {
        let start = offset.get() as usize;
        let (len, virtual_size) = (buf.len() as u64, self.virtual_size());
        let past_end = InvalidArgument::PastEndOfDisk { start: offset, len, virtual_size };
        buf.copy_from_slice(self.bytes.get(start..start + buf.len()).ok_or(past_end)?);
        Ok(())
    }

    fn validate_placement(&self) -> Result<()> {
        Ok(())
    }

    fn ensure_unchanged(&self) -> Result<()> {
        Ok(())
    }

    fn identities(&self) -> Vec<FileIdentity> {
        Vec::new()
    }
}

/// A disk of which the byte at an offset cannot be read. The error has this offset.
pub(super) struct Broken {
    pub(super) plain: Plain,
    pub(super) at: usize,
}

impl Disk for Broken {
    fn virtual_size(&self) -> u64 {
        self.plain.virtual_size()
    }

    fn logical_sector_size(&self) -> u32 {
        self.plain.logical_sector_size()
    }

    fn extents(&self, range: Range<DiskOffset>) -> Box<dyn Iterator<Item = Result<Extent>> + Send + '_> {
        self.plain.extents(range)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()> {
        let start = offset.get() as usize;
        match (start..start + buf.len()).contains(&self.at) {
            true => Err(Error::io("read", FileOffset::new(self.at as u64), io::ErrorKind::Other.into())),
            false => self.plain.read_exact_at(buf, offset),
        }
    }

    fn validate_placement(&self) -> Result<()> {
        Ok(())
    }

    fn ensure_unchanged(&self) -> Result<()> {
        Ok(())
    }

    fn identities(&self) -> Vec<FileIdentity> {
        Vec::new()
    }
}

/// Returns a new file that holds `content`.
pub(super) fn image(disk: &NewDisk, content: &[(u64, &[u8])]) -> Vec<u8> {
    let file = Memory::default();
    let mut writer = VhdxWriter::new(&file, disk).unwrap();
    for (at, bytes) in content {
        writer.write(DiskOffset::new(*at), bytes).unwrap();
    }
    writer.finish().unwrap();
    file.into_inner()
}

/// Makes an image a child of the file in `parent`.
///
/// [`VhdxWriter`] must have written the image, without further metadata.
pub(super) fn link(child: &mut [u8], parent: &[u8], relative_path: &str) {
    const METADATA: usize = 2 << 20;
    const PARAMETERS_FLAGS: usize = METADATA + metadata_table::SIZE + 4;
    let linkage = Vhdx::open_with(parent.to_vec(), &OpenOptions::default()).unwrap().data_write_guid();
    let entries = [(PARENT_LINKAGE, linkage.braced().to_string()), (RELATIVE_PATH, relative_path.to_owned())];
    let entries = entries.map(|(key, value)| (key.to_owned(), value)).to_vec();
    let locator = ParentLocator { entries }.encode();

    let mut table = MetadataTable::parse(&child[METADATA..]).unwrap();
    let offset = table.entries.iter().map(|entry| entry.offset + entry.length).max().unwrap();
    table.entries.push(MetadataEntry {
        id: PARENT_LOCATOR,
        offset,
        length: locator.len() as u32,
        is_user: false,
        is_virtual_disk: false,
        is_required: true,
    });
    child[PARAMETERS_FLAGS] |= 2; // HasParent
    child[METADATA..][..metadata_table::SIZE].copy_from_slice(&table.encode().unwrap());
    child[METADATA + offset as usize..][..locator.len()].copy_from_slice(&locator);
}

/// Replaces a BAT entry of an image that [`VhdxWriter`] wrote. The block lies at `mib` MiB.
pub(super) fn set_entry(image: &mut [u8], index: usize, state_bits: u8, mib: u64) {
    let entry = BatEntry::new(state_bits, FileOffset::new(mib * MIB));
    image[(3 << 20) + 8 * index..][..8].copy_from_slice(&entry.to_le_bytes());
}

/// Counts what is reported, and cancels once `limit` bytes are done.
pub(super) struct Meter {
    pub(super) total: AtomicU64,
    pub(super) done: AtomicU64,
    limit: u64,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self::cancelling_at(u64::MAX)
    }

    pub(super) fn cancelling_at(limit: u64) -> Self {
        Self { total: AtomicU64::new(0), done: AtomicU64::new(0), limit }
    }

    /// Returns the announced total, which must be what was done.
    pub(super) fn total(&self) -> u64 {
        let (total, done) = (self.total.load(Ordering::SeqCst), self.done.load(Ordering::SeqCst));
        assert_eq!(total, done);
        total
    }
}

impl Progress for Meter {
    fn start(&self, total: u64) {
        assert_eq!(self.total.swap(total, Ordering::SeqCst), 0, "started twice");
    }

    fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::SeqCst);
    }

    fn is_cancelled(&self) -> bool {
        self.done.load(Ordering::SeqCst) >= self.limit
    }
}
