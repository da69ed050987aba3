//! XFS: the superblock of the first allocation group.

use super::areas::Areas;
use super::checksum::crc32c;
use super::content::{Content, Finding};
use super::fields::{Fields, power_of_two};
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

/// The length of the longest superblock: one sector.
const MAX_SECTOR: usize = 32 * 1024;

const CHECKSUM: usize = 224;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    Ok(areas.at(0, MAX_SECTOR).and_then(parse))
}

fn parse(superblock: Fields<'_>) -> Option<Content> {
    if !superblock.has(0, b"XFSB") {
        return None;
    }
    let block_size = power_of_two(u32::from(superblock.u8(120)?), 9..=16)?;
    let sector_size = power_of_two(u32::from(superblock.u8(121)?), 9..=15)?;
    let inode_size = power_of_two(u32::from(superblock.u8(122)?), 8..=11)?;
    let is_consistent = superblock.be32(4)? == block_size
        && u32::from(superblock.be16(104)?) == inode_size
        && u32::from(superblock.be16(102)?) == sector_size
        && superblock.be32(84)? > 0
        && superblock.be32(88)? > 0;
    if !is_consistent {
        return None;
    }
    let (blocks, free) = (superblock.be64(8)?, superblock.be64(144)?);
    let mut content = Content::new(ContentKind::Xfs);
    let version = superblock.be16(100)? & 0xf;
    content.version = Some(version.to_string());
    if !matches!(version, 1..=5) {
        let why = format!("version {version} is not known");
        content.findings.push(Finding::Invalid { structure: "superblock", why });
    }
    content.label = text::label(superblock.bytes(108, 12)?);
    content.uuid = text::uuid(superblock.array(32)?);
    content.size = Some(blocks.checked_mul(u64::from(block_size))?);
    content.used = blocks.checked_sub(free).and_then(|used| used.checked_mul(u64::from(block_size)));
    content.block_size = Some(block_size);
    if content.used.is_none() {
        let why = format!("{free} of {blocks} blocks are free");
        content.findings.push(Finding::Invalid { structure: "superblock", why });
    }
    if version == 5 {
        let len = usize::try_from(sector_size).ok()?;
        let (before, after) = (superblock.bytes(0, CHECKSUM)?, superblock.bytes(228, len.checked_sub(228)?)?);
        if superblock.le32(CHECKSUM)? != crc32c(&[before, &[0; 4], after]) {
            content.findings.push(Finding::BadChecksum { structure: "superblock" });
        }
    }
    Some(content)
}
