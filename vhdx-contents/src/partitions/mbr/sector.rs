//! Parses a sector with a partition table: a Master Boot Record, or an extended boot record.

use crate::partitions::bytes::{array, le16, le32};

/// The bytes at the end of a boot sector.
const MARK: [u8; 2] = [0x55, 0xaa];
/// The positions of the four entries.
const ENTRIES: [usize; 4] = [446, 462, 478, 494];
/// The type of the partition that protects a GPT.
const PROTECTIVE: u8 = 0xee;

/// An entry that is in use: it has a type and at least one sector.
pub(in crate::partitions) struct Entry {
    pub(in crate::partitions) is_active: bool,
    pub(in crate::partitions) type_byte: u8,
    pub(in crate::partitions) first: u32,
    pub(in crate::partitions) sectors: u32,
}

impl Entry {
    pub(in crate::partitions) fn is_extended(&self) -> bool {
        matches!(self.type_byte, 0x05 | 0x0f | 0x85)
    }

    pub(in crate::partitions) fn is_protective(&self) -> bool {
        self.type_byte == PROTECTIVE
    }
}

/// A sector that has the form of a partition table.
pub(in crate::partitions) struct BootSector {
    pub(in crate::partitions) signature: u32,
    /// The entries; `None` for one that is not in use.
    pub(in crate::partitions) entries: [Option<Entry>; 4],
}

impl BootSector {
    /// Returns `None` if the sector has another form: the mark is missing, or a status is neither active nor inactive.
    pub(in crate::partitions) fn parse(sector: &[u8]) -> Option<Self> {
        if array(sector, 510)? != MARK {
            return None;
        }
        let entry = |at: usize| {
            let entry = sector.get(at..)?;
            let is_active = match entry.first()? {
                0 => false,
                0x80 => true,
                _ => return None,
            };
            let [type_byte] = array(entry, 4)?;
            let (first, sectors) = (le32(entry, 8)?, le32(entry, 12)?);
            let is_used = type_byte != 0 && sectors > 0;
            Some(is_used.then_some(Entry { is_active, type_byte, first, sectors }))
        };
        let [one, two, three, four] = ENTRIES.map(entry);
        Some(Self { signature: le32(sector, 440)?, entries: [one?, two?, three?, four?] })
    }

    pub(in crate::partitions) fn is_empty(&self) -> bool {
        self.entries.iter().all(Option::is_none)
    }

    pub(in crate::partitions) fn has_protective(&self) -> bool {
        self.entries.iter().flatten().any(Entry::is_protective)
    }

    /// Whether all entries are possible on a disk of this many sectors: after sector 0, on the disk, and apart from
    /// each other.
    pub(in crate::partitions) fn is_plausible(&self, disk_sectors: u64) -> bool {
        let mut places: Vec<(u64, u64)> = self
            .entries
            .iter()
            .flatten()
            .map(|entry| (entry.first.into(), u64::from(entry.first).saturating_add(entry.sectors.into())))
            .collect();
        places.sort_unstable();
        let mut end = 1;
        places
            .iter()
            .all(|(first, next)| *first >= std::mem::replace(&mut end, *next) && *next <= disk_sectors)
    }
}

/// Whether a sector begins a file system that needs no partition table: NTFS, exFAT, BitLocker or FAT.
pub(in crate::partitions) fn is_file_system(sector: &[u8]) -> bool {
    if array(sector, 510) != Some(MARK) {
        return false;
    }
    let is_jump = matches!(sector, [0xeb, _, 0x90, ..] | [0xe9, ..]);
    let name: Option<[u8; 8]> = array(sector, 3);
    let is_named = name.is_some_and(|name| matches!(&name, b"NTFS    " | b"EXFAT   " | b"-FVE-FS-"));
    is_jump && (is_named || is_fat(sector).unwrap_or(false))
}

/// Whether the fields of a FAT boot sector are valid (Microsoft's FAT specification, section 3.1); `None` if the sector
/// is too short.
fn is_fat(sector: &[u8]) -> Option<bool> {
    let [cluster_sectors] = array(sector, 13)?;
    let [fats] = array(sector, 16)?;
    let [media] = array(sector, 21)?;
    let is_sector_size = matches!(le16(sector, 11)?, 512 | 1024 | 2048 | 4096);
    let has_sectors = le16(sector, 19)? > 0 || le32(sector, 32)? > 0;
    let has_fat = le16(sector, 22)? > 0 || le32(sector, 36)? > 0;
    Some(
        is_sector_size
            && cluster_sectors.is_power_of_two()
            && le16(sector, 14)? > 0
            && matches!(fats, 1 | 2)
            && (media == 0xf0 || media >= 0xf8)
            && has_sectors
            && has_fat,
    )
}
