//! exFAT: the boot region, and the label in the root folder.

use super::areas::Areas;
use super::checksum::rotating_sum_32;
use super::content::{Content, Finding};
use super::fields::{Fields, power_of_two};
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

/// The label is looked for in so many bytes of the root folder: it is nearly always the first entry.
const MAX_ROOT: usize = 16 * 1024;

const BAD_CHECKSUM: Finding = Finding::BadChecksum { structure: "boot region" };

struct BootSector {
    sector_size: u32,
    cluster_size: u32,
    size: u64,
    /// Where the root folder begins, in bytes.
    root: u64,
    serial: u32,
    version: (u8, u8),
    is_dirty: bool,
}

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    let Some(sector) = areas.at(0, 512).filter(|sector| sector.has(3, b"EXFAT   ")) else { return Ok(None) };
    let mut content = Content::new(ContentKind::ExFat);
    let Some(boot) = parse(sector) else {
        content.findings.push(BAD_CHECKSUM);
        return Ok(Some(content));
    };
    content.version = Some(format!("{}.{}", boot.version.0, boot.version.1));
    content.uuid = Some(text::serial_32(boot.serial));
    content.size = Some(boot.size);
    content.block_size = Some(boot.cluster_size);
    content.clean = Some(!boot.is_dirty);
    // The percentage in use is not reported: Linux does not keep it up to date.
    if checksum_matches(areas, boot.sector_size) != Some(true) {
        content.findings.push(BAD_CHECKSUM);
    }
    let len = usize::try_from(boot.cluster_size).map_or(MAX_ROOT, |len| len.min(MAX_ROOT));
    content.label = areas.get(boot.root, len)?.as_deref().and_then(label);
    Ok(Some(content))
}

/// Returns `None` if a number is out of its range. The checksum is then wrong, too.
fn parse(sector: Fields<'_>) -> Option<BootSector> {
    let sector_shift = u32::from(sector.u8(108)?);
    let sector_size = power_of_two(sector_shift, 9..=12)?;
    let cluster_size = power_of_two(sector_shift.checked_add(u32::from(sector.u8(109)?))?, 9..=25)?;
    let heap = u64::from(sector.le32(88)?).checked_mul(u64::from(sector_size))?;
    let root = u64::from(sector.le32(96)?.checked_sub(2)?).checked_mul(u64::from(cluster_size))?;
    Some(BootSector {
        sector_size,
        cluster_size,
        size: sector.le64(72)?.checked_mul(u64::from(sector_size))?,
        root: heap.checked_add(root)?,
        serial: sector.le32(100)?,
        version: (sector.u8(105)?, sector.u8(104)?),
        is_dirty: sector.le16(106)? & 2 != 0,
    })
}

/// The twelfth sector repeats the checksum of the eleven before it, without the flags and the percentage in use.
fn checksum_matches(areas: &Areas<'_>, sector_size: u32) -> Option<bool> {
    let sector_size = usize::try_from(sector_size).ok()?;
    let covered = sector_size.checked_mul(11)?;
    let region = areas.at(0, covered.checked_add(sector_size)?)?;
    let bytes = region.bytes(0, covered)?.iter().enumerate();
    let bytes = bytes.filter(|(at, _)| ![106, 107, 112].contains(at)).map(|(_, byte)| byte);
    let checksum = rotating_sum_32(bytes).to_le_bytes();
    Some(region.bytes(covered, sector_size)?.chunks_exact(4).all(|stored| stored == checksum))
}

/// Returns the label in a root folder.
fn label(root: &[u8]) -> Option<String> {
    let mut entries = root.chunks_exact(32).map(Fields).take_while(|entry| entry.u8(0) != Some(0));
    let entry = entries.find(|entry| entry.u8(0) == Some(0x83))?;
    let len = usize::from(entry.u8(1)?).min(11).checked_mul(2)?;
    text::label_utf16_le(entry.bytes(2, len)?)
}
