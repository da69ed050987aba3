//! ReFS: the boot sector. Its first 24 bytes are the documented structure for file system recognition.

use super::areas::Areas;
use super::checksum::rotating_sum_16;
use super::content::{Content, Finding};
use super::fields::Fields;
use super::kind::ContentKind;
use crate::error::Result;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    Ok(areas.at(0, 512).and_then(parse))
}

fn parse(sector: Fields<'_>) -> Option<Content> {
    if !sector.has(0, b"\0\0\0ReFS\0\0\0\0\0\0\0\0\0FSRS") {
        return None;
    }
    let mut content = Content::new(ContentKind::Refs);
    let cluster_size = sector.le32(0x20)?.checked_mul(sector.le32(0x24)?)?;
    content.size = Some(sector.le64(0x18)?.checked_mul(u64::from(sector.le32(0x20)?))?);
    content.block_size = Some(cluster_size);
    content.version = Some(format!("{}.{}", sector.u8(0x28)?, sector.u8(0x29)?));
    content.uuid = Some(format!("{:016X}", sector.le64(0x38)?));
    if stored_and_computed(sector).is_none_or(|(stored, computed)| stored != computed) {
        content.findings.push(Finding::BadChecksum { structure: "boot sector" });
    }
    Some(content)
}

/// The checksum covers everything but the jump instruction and itself. Its length is stored, and at most one sector.
fn stored_and_computed(sector: Fields<'_>) -> Option<(u16, u16)> {
    let structure = Fields(sector.bytes(0, usize::from(sector.le16(0x14)?))?);
    let (before, after) = (structure.bytes(3, 0x13)?, structure.rest(0x18)?);
    Some((structure.le16(0x16)?, rotating_sum_16(before.iter().chain(after.0))))
}

#[cfg(test)]
#[allow(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]
mod tests {
    use super::*;

    /// The first 64 bytes of two boot sectors that Windows wrote; the others are zero.
    fn sector(version: [u8; 2], checksum: u16, sectors: u64, state: u8, serial: u64) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..20].copy_from_slice(b"\0\0\0ReFS\0\0\0\0\0\0\0\0\0FSRS");
        bytes[0x14..0x16].copy_from_slice(&512u16.to_le_bytes());
        bytes[0x16..0x18].copy_from_slice(&checksum.to_le_bytes());
        bytes[0x18..0x20].copy_from_slice(&sectors.to_le_bytes());
        bytes[0x20..0x24].copy_from_slice(&512u32.to_le_bytes());
        bytes[0x24..0x28].copy_from_slice(&128u32.to_le_bytes());
        bytes[0x28..0x2a].copy_from_slice(&version);
        bytes[0x2c] = state;
        bytes[0x38..0x40].copy_from_slice(&serial.to_le_bytes());
        bytes
    }

    #[test]
    fn boot_sectors_of_windows_have_the_right_checksum() {
        let old = sector([1, 1], 0xc233, 0x9e_0000, 0, 0x34c4_5556_c455_1c04);
        let content = parse(Fields(&old)).unwrap();
        assert_eq!(content.findings, []);
        assert_eq!(content.version.as_deref(), Some("1.1"));
        assert_eq!(content.uuid.as_deref(), Some("34C45556C4551C04"));
        assert_eq!((content.size, content.block_size), (Some(0x9e_0000 * 512), Some(65536)));
        let newer = sector([1, 2], 0xddff, 0x3a38_0000, 0x0a, 0x1894_7009_946f_e828);
        assert_eq!(parse(Fields(&newer)).unwrap().findings, []);
    }

    #[test]
    fn a_changed_byte_is_found() {
        let mut bytes = sector([1, 1], 0xc233, 0x9e_0000, 0, 0x34c4_5556_c455_1c04);
        bytes[0x30] = 1;
        assert_eq!(
            parse(Fields(&bytes)).unwrap().findings,
            [Finding::BadChecksum { structure: "boot sector" }]
        );
    }
}
