//! The boot sector of FAT12, FAT16 and FAT32.

use crate::error::Result;
use crate::files::clusters::{Heap, Table, Width};
use crate::files::fields::Fields;

/// Whether a boot sector is that of FAT. FAT has no signature: its numbers must make sense together.
pub(crate) fn is_fat(boot_sector: &[u8]) -> bool {
    let fields = Fields::new(boot_sector, "the boot sector");
    let is_jump = matches!(boot_sector, [0xeb, _, 0x90, ..] | [0xe9, ..]);
    let has_media = matches!(boot_sector.get(21), Some(0xf0 | 0xf8..));
    let has_end = boot_sector.get(510..512) == Some(&[0x55, 0xaa]);
    is_jump && has_media && has_end && Boot::parse_fields(fields, u64::MAX).is_ok()
}

/// The validated boot sector.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boot {
    pub(super) table: Table,
    pub(super) root: Root,
}

/// Where the root folder is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Root {
    /// A fixed range of bytes.
    Range { start: u64, len: u64 },
    /// The chain that begins with this cluster (FAT32).
    Cluster(u32),
}

impl Boot {
    /// Parses the first sector of a volume of `len` bytes.
    pub(super) fn parse(bytes: &[u8], len: u64) -> Result<Self> {
        Self::parse_fields(Fields::new(bytes, "the boot sector"), len)
    }

    fn parse_fields(fields: Fields<'_>, volume_len: u64) -> Result<Self> {
        let sector = u64::from(fields.u16(11)?);
        let sectors_of_cluster = u64::from(fields.u8(13)?);
        if !sector.is_power_of_two()
            || !(512..=4096).contains(&sector)
            || !sectors_of_cluster.is_power_of_two()
        {
            return Err(fields.damaged("the size of a sector or cluster is invalid"));
        }
        let cluster = sector * sectors_of_cluster;
        let reserved = u64::from(fields.u16(14)?);
        let tables = u64::from(fields.u8(16)?);
        let root_entries = u64::from(fields.u16(17)?);
        let (sectors, small_table) = (u64::from(fields.u16(19)?), u64::from(fields.u16(22)?));
        let sectors = if sectors == 0 { u64::from(fields.u32(32)?) } else { sectors };
        // Only FAT32 has no table length here.
        let is_fat32 = small_table == 0;
        let table_len = if is_fat32 { u64::from(fields.u32(36)?) } else { small_table };
        if reserved == 0 || tables == 0 || table_len == 0 || (root_entries == 0) != is_fat32 {
            return Err(fields.damaged("a number of sectors is invalid"));
        }
        // None of these overflows: each factor has at most 32 bits, and a sector at most 13.
        let table_bytes = table_len * sector;
        let root_start = reserved * sector + tables * table_bytes;
        let root_len = (root_entries * 32).next_multiple_of(sector);
        let heap_start = root_start + root_len;
        let heap_len = (sectors * sector).checked_sub(heap_start);
        let heap_len = heap_len.ok_or_else(|| fields.damaged("the volume is too small for its tables"))?;
        let clusters = heap_len / cluster;
        let (width, bits) = match (is_fat32, clusters) {
            (true, ..0x0fff_fff5) => (Width::Bits28, 32),
            (false, ..4085) => (Width::Bits12, 12),
            (false, ..65525) => (Width::Bits16, 16),
            _ => return Err(fields.damaged("it has too many clusters")),
        };
        // A table that is too short has no numbers of the last clusters.
        let in_table = (table_bytes * 8 / bits).saturating_sub(2);
        let Ok(count) = u32::try_from(clusters.min(in_table)) else {
            return Err(fields.damaged("it has too many clusters"));
        };
        if heap_start >= volume_len {
            return Err(fields.damaged("the volume is cut off before its files"));
        }
        let active = if is_fat32 { active_table(fields.u16(40)?, tables) } else { Some(0) };
        let active = active.ok_or_else(|| fields.damaged("its active table does not exist"))?;
        let table = Table {
            start: reserved * sector + active * table_bytes,
            width,
            heap: Heap { start: heap_start, cluster, count },
        };
        let root = match is_fat32 {
            true => Root::Cluster(fields.u32(44)? & 0x0fff_ffff),
            false => Root::Range { start: root_start, len: root_len },
        };
        Ok(Self { table, root })
    }
}

/// Returns the table that is in use. Usually all tables are equal.
fn active_table(flags: u16, tables: u64) -> Option<u64> {
    const ONLY_ONE: u16 = 0x80;
    let active = if flags & ONLY_ONE == 0 { 0 } else { u64::from(flags & 15) };
    (active < tables).then_some(active)
}
