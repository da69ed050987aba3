//! Makes disks of bytes, with partition tables.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use vhdx::{Disk, DiskOffset, Error, Extent, FileIdentity, FileOffset, Result, Source};

use crate::contents::{Contents, contents};

/// A disk in memory that counts its reads.
pub(super) struct Bytes {
    pub(super) bytes: Vec<u8>,
    pub(super) sector_size: u32,
    pub(super) reads: AtomicUsize,
    /// Reads of these bytes fail.
    pub(super) unreadable: Range<u64>,
}

impl Bytes {
    pub(super) fn new(len: usize, sector_size: u32) -> Self {
        Self { bytes: vec![0; len], sector_size, reads: AtomicUsize::new(0), unreadable: 0..0 }
    }

    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Puts bytes at the start of a sector.
    pub(super) fn put_sector(&mut self, sector: u64, bytes: &[u8]) {
        self.put(sector as usize * self.sector_size as usize, bytes);
    }

    pub(super) fn sectors(&self) -> u64 {
        self.bytes.len() as u64 / u64::from(self.sector_size)
    }

    pub(super) fn contents(&self) -> Contents {
        contents(self).unwrap()
    }
}

impl Disk for Bytes {
    fn virtual_size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn logical_sector_size(&self) -> u32 {
        self.sector_size
    }

    fn extents(&self, range: Range<DiskOffset>) -> Box<dyn Iterator<Item = Result<Extent>> + Send + '_> {
        let source = Source::Data { layer: 0, offset: FileOffset::new(range.start.get()) };
        let extent = Extent { start: range.start, len: range.end.get() - range.start.get(), source };
        Box::new(std::iter::once(Ok(extent)))
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: DiskOffset) -> Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let (at, len) = (offset.get(), buf.len() as u64);
        if at < self.unreadable.end && self.unreadable.start < at + len {
            let error = std::io::Error::other("broken");
            return Err(Error::io("read", FileOffset::new(at), error));
        }
        buf.copy_from_slice(&self.bytes[at as usize..][..buf.len()]);
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

/// Returns a sector with these entries: status, type, first sector, number of sectors.
pub(super) fn mbr(entries: &[(u8, u8, u32, u32)]) -> [u8; 512] {
    let mut sector = [0; 512];
    sector[440..444].copy_from_slice(&0x1234_5678_u32.to_le_bytes());
    for (entry, (status, type_byte, first, sectors)) in sector[446..510].chunks_exact_mut(16).zip(entries) {
        entry[0] = *status;
        entry[4] = *type_byte;
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..].copy_from_slice(&sectors.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

pub(super) const BASIC_DATA: u128 = 0xebd0a0a2_b9e5_4433_87c0_68b6b72699c7;

/// A GPT entry: its type, the first and the last sector, and its name.
pub(super) type Entry = (u128, u64, u64, &'static str);

/// What [`put_gpt`] puts on a disk.
pub(super) struct Gpt {
    pub(super) entries: Vec<(usize, Entry)>,
    pub(super) entry_len: u32,
    pub(super) entry_count: u32,
}

impl Gpt {
    /// Returns a GPT with these entries from the first one on.
    pub(super) fn of(entries: &[Entry]) -> Self {
        Self { entries: entries.iter().copied().enumerate().collect(), entry_len: 128, entry_count: 128 }
    }

    /// Puts the GPT and its backup on a disk.
    pub(super) fn put(&self, disk: &mut Bytes) {
        let last = disk.sectors() - 1;
        disk.put_sector(0, &mbr(&[(0, 0xee, 1, u32::MAX)]));
        self.put_copy(disk, (1, last), 2);
        let entries = (self.entry_len * self.entry_count).div_ceil(disk.sector_size);
        self.put_copy(disk, (last, 1), last - u64::from(entries));
    }

    /// Puts one copy on a disk. `places` are its sector and that of the other one.
    pub(super) fn put_copy(&self, disk: &mut Bytes, places: (u64, u64), entries_at: u64) {
        let mut entries = vec![0; self.entry_len as usize * self.entry_count as usize];
        for (number, (type_guid, first, last, name)) in &self.entries {
            let entry = &mut entries[number * self.entry_len as usize..];
            entry[..16].copy_from_slice(&vhdx::Guid::from_u128(*type_guid).to_bytes_le());
            entry[16..32].copy_from_slice(&vhdx::Guid::from_u128(*number as u128 + 1).to_bytes_le());
            entry[32..40].copy_from_slice(&first.to_le_bytes());
            entry[40..48].copy_from_slice(&last.to_le_bytes());
            for (unit, place) in name.encode_utf16().zip(entry[56..128].chunks_exact_mut(2)) {
                place.copy_from_slice(&unit.to_le_bytes());
            }
        }
        disk.put_sector(entries_at, &entries);
        let mut header = Vec::from(b"EFI PART\0\0\x01\0\x5c\0\0\0\0\0\0\0\0\0\0\0");
        for number in [places.0, places.1, 6, disk.sectors() - 7] {
            header.extend(number.to_le_bytes());
        }
        header.extend(vhdx::Guid::from_u128(77).to_bytes_le());
        header.extend(entries_at.to_le_bytes());
        for number in [self.entry_count, self.entry_len, crc32fast::hash(&entries)] {
            header.extend(number.to_le_bytes());
        }
        seal(&mut header);
        disk.put_sector(places.0, &header);
    }
}

/// Corrects the checksum of a header.
pub(super) fn seal(header: &mut [u8]) {
    header[16..20].fill(0);
    let checksum = crc32fast::hash(&header[..92]);
    header[16..20].copy_from_slice(&checksum.to_le_bytes());
}

/// Returns the number, start and length of each partition.
pub(super) fn places(contents: &Contents) -> Vec<(u32, u64, u64)> {
    contents.partitions.iter().map(|one| (one.number, one.start, one.len)).collect()
}
