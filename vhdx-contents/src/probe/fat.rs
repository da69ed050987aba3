//! FAT12, FAT16 and FAT32: the boot sector, the FSInfo sector, and the label in the root folder.

use super::areas::Areas;
use super::content::{Content, Finding};
use super::fields::Fields;
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

const ENTRY_SIZE: usize = 32;

/// The label is looked for in so many bytes of the root folder of FAT32: it is nearly always the first entry.
const MAX_ROOT: usize = 16 * 1024;

/// Boot sectors with these names, at these positions, belong to other file systems, which use some fields of FAT.
const OTHERS: &[(usize, &[u8; 8])] =
    &[(3, b"NTFS    "), (3, b"EXFAT   "), (3, b"-FVE-FS-"), (54, b"HPFS    "), (54, b"JFS     ")];

/// A boot sector that is consistent in itself.
struct BootSector {
    kind: ContentKind,
    sector_size: u32,
    cluster_size: u32,
    sectors: u32,
    clusters: u32,
    /// Where the first table begins, in bytes.
    table: u64,
    /// Where the root folder begins, in bytes, and its length.
    root: (u64, usize),
    /// The position of the FSInfo sector in bytes, which only FAT32 has.
    info: Option<u64>,
    serial: Option<u32>,
    is_marked_dirty: bool,
}

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    let Some(sector) = areas.at(0, 512) else { return Ok(None) };
    let Some(boot) = parse(sector) else { return Ok(damaged(sector)) };
    let mut content = Content::new(boot.kind);
    content.size = Some(u64::from(boot.sectors).saturating_mul(u64::from(boot.sector_size)));
    content.block_size = Some(boot.cluster_size);
    content.uuid = boot.serial.map(text::serial_32);
    content.clean = is_clean(areas, &boot);
    if let Some(info) = boot.info {
        match areas.get(info, 512)?.as_deref().and_then(|info| free_clusters(Fields(info))) {
            Some(free) => {
                let used = free.and_then(|free| boot.clusters.checked_sub(free));
                content.used =
                    used.and_then(|used| u64::from(used).checked_mul(u64::from(boot.cluster_size)));
            }
            None => content.findings.push(Finding::Invalid {
                structure: "FSInfo sector",
                why: "its signatures are missing".to_owned(),
            }),
        }
    }
    content.label = areas.get(boot.root.0, boot.root.1)?.as_deref().and_then(label);
    Ok(Some(content))
}

/// Returns the content of a boot sector that names a FAT, but is not valid.
fn damaged(sector: Fields<'_>) -> Option<Content> {
    let names: [(usize, &[u8], ContentKind); 3] = [
        (82, b"FAT32   ", ContentKind::Fat32),
        (54, b"FAT16   ", ContentKind::Fat16),
        (54, b"FAT12   ", ContentKind::Fat12),
    ];
    let (_, _, kind) = names.into_iter().find(|(at, name, _)| sector.has(*at, name))?;
    let mut content = Content::new(kind);
    let why = "its numbers contradict each other".to_owned();
    content.findings.push(Finding::Invalid { structure: "boot sector", why });
    sector.has(510, &[0x55, 0xaa]).then_some(content)
}

fn parse(sector: Fields<'_>) -> Option<BootSector> {
    if OTHERS.iter().any(|(at, name)| sector.has(*at, *name)) || !has_signature(sector) {
        return None;
    }
    let layout = layout(sector)?;
    // The fields after the old ones are elsewhere in FAT32.
    let extended = sector.rest(if layout.is_fat32 { 64 } else { 36 })?;
    let kind = match layout.clusters {
        1..0x0fff_fff7 if layout.is_fat32 => ContentKind::Fat32,
        1..4085 => ContentKind::Fat12,
        4085..65525 => ContentKind::Fat16,
        _ => return None,
    };
    let cluster_size = layout.sector_size.checked_mul(layout.sectors_per_cluster)?;
    let (root_sector, root_len) = if layout.is_fat32 {
        let root = sector.le32(44)?.checked_sub(2)?.checked_mul(layout.sectors_per_cluster)?;
        (root.checked_add(layout.data)?, cluster_size)
    } else {
        (layout.root, layout.root_len)
    };
    let position = |sector: u32| u64::from(sector).saturating_mul(u64::from(layout.sector_size));
    let info = layout.is_fat32.then(|| sector.le16(48)).flatten().filter(|at| (1..0xffff).contains(at));
    Some(BootSector {
        kind,
        sector_size: layout.sector_size,
        cluster_size,
        sectors: layout.sectors,
        clusters: layout.clusters,
        table: position(layout.table),
        root: (position(root_sector), usize::try_from(root_len).ok()?.min(MAX_ROOT)),
        info: info.map(|at| position(u32::from(at))),
        serial: extended.le32(3).filter(|_| matches!(extended.u8(2), Some(0x28 | 0x29))),
        is_marked_dirty: extended.u8(1).is_some_and(|flags| flags & 1 != 0),
    })
}

/// The parts of a volume, in sectors.
struct Layout {
    is_fat32: bool,
    sector_size: u32,
    sectors_per_cluster: u32,
    sectors: u32,
    clusters: u32,
    table: u32,
    /// The root folder of FAT12 and FAT16, and its length in bytes. FAT32 has none here.
    root: u32,
    root_len: u32,
    /// The first cluster.
    data: u32,
}

/// Returns `None` if the numbers of the boot sector contradict each other.
fn layout(sector: Fields<'_>) -> Option<Layout> {
    let sector_size =
        Some(u32::from(sector.le16(11)?)).filter(|size| [512, 1024, 2048, 4096].contains(size))?;
    let sectors_per_cluster = Some(u32::from(sector.u8(13)?)).filter(|count| count.is_power_of_two())?;
    let is_above_zero = |number: &u32| *number > 0;
    let table = Some(u32::from(sector.le16(14)?)).filter(is_above_zero)?;
    let tables = Some(u32::from(sector.u8(16)?)).filter(is_above_zero)?;
    let sectors = Some(u32::from(sector.le16(19)?)).filter(is_above_zero).or(sector.le32(32))?;
    let old_table_len = Some(u32::from(sector.le16(22)?)).filter(is_above_zero);
    let table_len = old_table_len.or(sector.le32(36)).filter(is_above_zero)?;
    let root_len = u32::from(sector.le16(17)?).checked_mul(32)?;
    let root = tables.checked_mul(table_len)?.checked_add(table)?;
    let data = root.checked_add(root_len.div_ceil(sector_size))?;
    let clusters = sectors.checked_sub(data)?.checked_div(sectors_per_cluster)?;
    let is_fat32 = old_table_len.is_none();
    let layout =
        Layout { is_fat32, sector_size, sectors_per_cluster, sectors, clusters, table, root, root_len, data };
    // The kind of medium.
    matches!(sector.u8(21)?, 0xf0 | 0xf8..).then_some(layout)
}

/// Whether the sector names a FAT, or begins with a jump and ends with the signature of boot sectors.
fn has_signature(sector: Fields<'_>) -> bool {
    let names: [(usize, &[u8]); 6] = [
        (82, b"FAT32   "),
        (82, b"MSWIN"),
        (54, b"FAT16   "),
        (54, b"FAT12   "),
        (54, b"FAT     "),
        (54, b"MSDOS"),
    ];
    let has_jump = matches!(sector.u8(0), Some(0xeb | 0xe9)) && sector.has(510, &[0x55, 0xaa]);
    has_jump || names.iter().any(|(at, name)| sector.has(*at, name))
}

/// Returns the number of free clusters, or `Some(None)` if it is not known. Returns `None` if the signatures are wrong.
fn free_clusters(info: Fields<'_>) -> Option<Option<u32>> {
    let is_signed = info.has(0, b"RRaA") && info.has(484, b"rrAa");
    is_signed.then(|| info.le32(488).filter(|free| *free != u32::MAX))
}

/// Whether both marks say so: that of the boot sector, and a bit of the second entry of the table.
fn is_clean(areas: &Areas<'_>, boot: &BootSector) -> Option<bool> {
    let table = areas.at(boot.table, 8)?;
    let is_clean = match boot.kind {
        ContentKind::Fat32 => table.le32(4)? & 0x0800_0000 != 0,
        ContentKind::Fat16 => table.le16(2)? & 0x8000 != 0,
        // The entries of FAT12 have no room for it.
        _ => return boot.is_marked_dirty.then_some(false),
    };
    Some(is_clean && !boot.is_marked_dirty)
}

/// Returns the label in a root folder.
fn label(root: &[u8]) -> Option<String> {
    let entries = root.chunks_exact(ENTRY_SIZE).map(Fields).take_while(|entry| entry.u8(0) != Some(0));
    let is_label = |entry: &Fields<'_>| {
        entry.u8(0) != Some(0xe5)
            // Neither a folder nor a part of a long name.
            && entry.u8(11).is_some_and(|attributes| attributes & 0x18 == 0x08 && attributes & 0x3f != 0x0f)
            && entry.le16(26) == Some(0)
            && entry.le16(20) == Some(0)
    };
    let name = entries.into_iter().find(is_label)?.bytes(0, 11)?;
    text::label(name).filter(|name| name != "NO NAME")
}
