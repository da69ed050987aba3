//! APFS: the superblock of a container.

use super::areas::Areas;
use super::checksum::fletcher_64;
use super::content::{Content, Finding};
use super::fields::Fields;
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

/// The sizes that blocks of a container can have, in bytes.
const BLOCK_SIZES: std::ops::RangeInclusive<u32> = 4096..=65536;

/// The type of the object, in the lower half of its field.
const CONTAINER: u32 = 1;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    let block_size =
        areas.at(0, 4096).and_then(|block| block.le32(36)).filter(|size| BLOCK_SIZES.contains(size));
    let block = block_size.and_then(|size| usize::try_from(size).ok()).and_then(|size| areas.at(0, size));
    Ok(block.and_then(parse))
}

fn parse(block: Fields<'_>) -> Option<Content> {
    if !block.has(32, b"NXSB") || block.le32(24)? & 0xffff != CONTAINER || block.le32(28)? != 0 {
        return None;
    }
    let block_size = block.le32(36).filter(|size| size.is_power_of_two())?;
    let mut content = Content::new(ContentKind::Apfs);
    content.uuid = text::uuid(block.array(72)?);
    content.size = Some(block.le64(40)?.checked_mul(u64::from(block_size))?);
    content.block_size = Some(block_size);
    if block.le64(0)? != fletcher_64(block.rest(8)?.0) {
        content.findings.push(Finding::BadChecksum { structure: "container superblock" });
    }
    Some(content)
}
