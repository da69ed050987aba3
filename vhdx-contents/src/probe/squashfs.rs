//! SquashFS of version 4.

use super::areas::Areas;
use super::content::Content;
use super::fields::Fields;
use super::kind::ContentKind;
use crate::error::Result;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    Ok(areas.at(0, 96).and_then(parse))
}

fn parse(superblock: Fields<'_>) -> Option<Content> {
    if !superblock.has(0, b"hsqs") || superblock.le16(28)? != 4 {
        return None;
    }
    let mut content = Content::new(ContentKind::SquashFs);
    content.version = Some(format!("{}.{}", superblock.le16(28)?, superblock.le16(30)?));
    content.block_size = Some(superblock.le32(12)?);
    let used = superblock.le64(40)?;
    content.size = Some(used);
    // It is as large as its content.
    content.used = Some(used);
    Some(content)
}
