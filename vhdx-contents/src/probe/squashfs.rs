//! SquashFS of version 4.

use super::areas::Areas;
use super::content::{Content, Finding};
use super::fields::Fields;
use super::kind::ContentKind;
use crate::error::Result;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    Ok(areas.at(0, 96).and_then(parse))
}

fn parse(superblock: Fields<'_>) -> Option<Content> {
    if !superblock.has(0, b"hsqs") {
        return None;
    }
    let mut content = Content::new(ContentKind::SquashFs);
    let (major, minor) = (superblock.le16(28)?, superblock.le16(30)?);
    content.version = Some(format!("{major}.{minor}"));
    if major != 4 {
        let why = format!("version {major}.{minor} is not known");
        content.findings.push(Finding::Invalid { structure: "superblock", why });
        return Some(content);
    }
    content.block_size = Some(superblock.le32(12)?);
    let used = superblock.le64(40)?;
    content.size = Some(used);
    // It is as large as its content.
    content.used = Some(used);
    Some(content)
}
