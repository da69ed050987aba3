//! F2FS: the first superblock, or the second one.

use super::areas::Areas;
use super::checksum::plain_crc32;
use super::content::{Content, Finding};
use super::fields::{Fields, power_of_two};
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

const MAGIC: u32 = 0xf2f5_2010;

/// Each superblock is 1 KiB behind the beginning of one of the first two blocks of 4 KiB.
const FIRST: u64 = 1024;
const SECOND: u64 = 4096 + 1024;

const SUPERBLOCK_LEN: usize = 3072;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    if let Some(content) = areas.at(FIRST, SUPERBLOCK_LEN).and_then(parse) {
        return Ok(Some(content));
    }
    let mut content = areas.at(SECOND, SUPERBLOCK_LEN).and_then(parse);
    if let Some(content) = &mut content {
        let why = "only the second one is there".to_owned();
        content.findings.push(Finding::Invalid { structure: "first superblock", why });
    }
    Ok(content)
}

fn parse(superblock: Fields<'_>) -> Option<Content> {
    if superblock.le32(0)? != MAGIC {
        return None;
    }
    let block_size = power_of_two(superblock.le32(16)?, 12..=16)?;
    let mut content = Content::new(ContentKind::F2fs);
    content.version = Some(format!("{}.{}", superblock.le16(4)?, superblock.le16(6)?));
    content.uuid = text::uuid(superblock.array(108)?);
    content.label = text::label_utf16_le(superblock.bytes(124, 1024)?);
    content.size = Some(superblock.le64(36)?.checked_mul(u64::from(block_size))?);
    content.block_size = Some(block_size);
    // Old versions have no checksum.
    let covered = usize::try_from(superblock.le32(32)?).ok()?;
    let stored = superblock.le32(covered);
    let computed = superblock.bytes(0, covered).map(|bytes| plain_crc32(MAGIC, bytes));
    if covered > 0 && (stored.is_none() || stored != computed) {
        content.findings.push(Finding::BadChecksum { structure: "superblock" });
    }
    Some(content)
}
