//! NTFS: the boot sector, and the record of `$Volume`.

use super::areas::Areas;
use super::content::{Content, Finding};
use super::fields::{Fields, power_of_two};
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

/// `$Volume` is the fourth record of the master file table.
const VOLUME_RECORD: u64 = 3;

/// A boot sector whose sizes and positions are within their limits.
struct BootSector {
    sector_size: u32,
    cluster_size: u32,
    /// Where the master file table begins, in bytes.
    mft: u64,
    /// Where the copy of its first records begins, in bytes.
    mirror: u64,
    record_size: u32,
    serial: u64,
}

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    let Some(sector) = areas.at(0, 512).filter(|sector| sector.has(3, b"NTFS    ")) else { return Ok(None) };
    let mut content = Content::new(ContentKind::Ntfs);
    let Some((boot, size)) = parse(sector).or_else(|| backup(areas, &mut content.findings)) else {
        return Ok(Some(content));
    };
    content.uuid = Some(format!("{:016X}", boot.serial));
    content.size = Some(size);
    content.block_size = Some(boot.cluster_size);
    content.findings.extend(backup_finding(areas, &boot, size));
    if boot.mft >= size || boot.mirror >= size {
        let why = "a copy of the master file table is outside of the file system".to_owned();
        content.findings.push(Finding::Invalid { structure: "boot sector", why });
    }
    let offset =
        u64::from(boot.record_size).checked_mul(VOLUME_RECORD).and_then(|at| at.checked_add(boot.mft));
    let record_len = usize::try_from(boot.record_size).ok();
    let record = match offset.zip(record_len) {
        Some((offset, len)) => areas.get(offset, len)?,
        None => None,
    };
    match record.as_deref().ok_or("it is outside of the partition").and_then(volume_record) {
        Ok(volume) => {
            content.label = volume.label;
            content.version = volume.version;
            content.clean = volume.clean;
        }
        Err(why) => {
            content.findings.push(Finding::Invalid { structure: "record of $Volume", why: why.to_owned() });
        }
    }
    Ok(Some(content))
}

/// Returns the backup boot sector, if it is in the last sector, and a finding that the boot sector is invalid.
fn backup(areas: &Areas<'_>, findings: &mut Vec<Finding>) -> Option<(BootSector, u64)> {
    let why = "its numbers are out of range".to_owned();
    findings.push(Finding::Invalid { structure: "boot sector", why });
    areas.at(areas.partition_len().checked_sub(u64::from(areas.sector_size()))?, 512).and_then(parse)
}

/// The backup boot sector lies behind the sectors that the boot sector counts.
fn backup_finding(areas: &Areas<'_>, boot: &BootSector, size: u64) -> Option<Finding> {
    let structure = "backup boot sector";
    let left = areas.partition_len().checked_sub(size)?;
    if left < u64::from(boot.sector_size) {
        let why = "it is outside of the partition".to_owned();
        return Some(Finding::Invalid { structure, why });
    }
    // If the partition is much larger, the sector has not been read, and another read for it is not worthwhile.
    let backup = areas.at(size, 512)?;
    let is_backup = parse(backup).is_some_and(|(backup, _)| backup.serial == boot.serial);
    let why = "it is not a copy of the boot sector".to_owned();
    (!is_backup).then_some(Finding::Invalid { structure, why })
}

/// Returns a boot sector, and the size of the file system in bytes.
fn parse(sector: Fields<'_>) -> Option<(BootSector, u64)> {
    // Fields of FAT that NTFS sets to zero: reserved sectors, tables, root entries, and both old sector counts.
    let is_unused = |at, len| sector.bytes(at, len).is_some_and(|bytes: &[u8]| bytes.iter().all(|b| *b == 0));
    if !sector.has(3, b"NTFS    ") || !is_unused(14, 7) || !is_unused(22, 2) || !is_unused(32, 4) {
        return None;
    }
    let sector_size = u32::from(sector.le16(11)?);
    if !sector_size.is_power_of_two() || !(256..=4096).contains(&sector_size) {
        return None;
    }
    let sectors_per_cluster = match sector.u8(13)? {
        // A negative exponent of two.
        shift @ 240..=249 => power_of_two(256u32.checked_sub(u32::from(shift))?, 7..=16)?,
        count if count.is_power_of_two() => u32::from(count),
        _ => return None,
    };
    let cluster_size = sector_size.checked_mul(sectors_per_cluster)?;
    let record_size = match sector.array(64).map(i8::from_le_bytes)? {
        shift @ ..0 => power_of_two(u32::from(shift.unsigned_abs()), 8..=16)?,
        clusters => u32::from(clusters.unsigned_abs()).checked_mul(cluster_size)?,
    };
    let position = |at: usize| sector.le64(at)?.checked_mul(u64::from(cluster_size));
    let (mft, mirror) = (position(48)?, position(56)?);
    let is_sane = cluster_size <= 2 << 20 && (256..=65536).contains(&record_size) && mft > 0;
    let size = sector.le64(40)?.checked_mul(u64::from(sector_size)).filter(|size| *size > 0)?;
    let serial = sector.le64(72)?;
    is_sane.then_some((BootSector { sector_size, cluster_size, mft, mirror, record_size, serial }, size))
}

/// The attributes of `$Volume`.
struct Volume {
    label: Option<String>,
    version: Option<String>,
    clean: Option<bool>,
}

fn volume_record(bytes: &[u8]) -> std::result::Result<Volume, &'static str> {
    let record = restored(bytes).ok_or("its update sequence does not match")?;
    let record = Fields(&record);
    let mut volume = Volume { label: None, version: None, clean: None };
    let mut at = record.le16(20).map(usize::from).ok_or("it is too short")?;
    // Each attribute is at least 16 bytes long, so the loop ends.
    while let Some(attribute) = record.rest(at).filter(|rest| rest.le32(0) != Some(0xffff_ffff)) {
        let Some(len) = attribute.le32(4).and_then(|len| usize::try_from(len).ok()).filter(|len| *len >= 16)
        else {
            return Err("an attribute has no valid length");
        };
        match attribute.le32(0) {
            Some(0x60) => volume.label = value(attribute).and_then(|value| text::label_utf16_le(value.0)),
            Some(0x70) => {
                let value = value(attribute).ok_or("the volume information is too short")?;
                let version = value.u8(8).zip(value.u8(9));
                volume.version = version.map(|(major, minor)| format!("{major}.{minor}"));
                volume.clean = value.le16(10).map(|flags| flags & 1 == 0);
            }
            _ => {}
        }
        at = at.saturating_add(len);
    }
    Ok(volume)
}

/// Returns the value of a resident attribute.
fn value(attribute: Fields<'_>) -> Option<Fields<'_>> {
    let is_resident = attribute.u8(8)? == 0;
    let len = usize::try_from(attribute.le32(16)?).ok()?;
    let value = attribute.bytes(usize::from(attribute.le16(20)?), len).map(Fields);
    value.filter(|_| is_resident)
}

/// Returns a record with the last two bytes of each 512 bytes restored from its update sequence array.
fn restored(bytes: &[u8]) -> Option<Vec<u8>> {
    let record = Fields(bytes);
    if !record.has(0, b"FILE") {
        return None;
    }
    let (array, count) = (usize::from(record.le16(4)?), usize::from(record.le16(6)?).checked_sub(1)?);
    let number: [u8; 2] = record.array(array)?;
    let saved = record.bytes(array.checked_add(2)?, count.checked_mul(2)?)?;
    let mut restored = bytes.to_vec();
    for (sector, saved) in restored.chunks_exact_mut(512).zip(saved.chunks_exact(2)) {
        let last = sector.get_mut(510..).filter(|last| *last == number)?;
        last.copy_from_slice(saved);
    }
    Some(restored)
}
