//! VMFS: the header of an extent, and the label of the volume that begins in it.

use super::areas::Areas;
use super::content::Content;
use super::fields::Fields;
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

/// The header of every extent.
const HEADER: u64 = 1 << 20;
const HEADER_MAGIC: u32 = 0xc001_d00d;

/// The header of the volume, in its first extent.
const VOLUME: u64 = 0x130_0000;
const VOLUME_MAGIC: u32 = 0x2fab_f15e;

/// The text of the UUID is so long.
const UUID_LEN: usize = 35;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    let Some(mut content) = areas.at(HEADER, 1024).and_then(parse) else { return Ok(None) };
    let volume = areas.get(VOLUME, 512)?;
    let volume = volume.as_deref().map(Fields).filter(|volume| volume.le32(0) == Some(VOLUME_MAGIC));
    content.label = volume.and_then(|volume| volume.bytes(29, 128)).and_then(text::label);
    Ok(Some(content))
}

fn parse(header: Fields<'_>) -> Option<Content> {
    if header.le32(0)? != HEADER_MAGIC {
        return None;
    }
    let mut content = Content::new(ContentKind::Vmfs);
    content.version = Some(header.le32(4)?.to_string());
    content.uuid = text::label(header.bytes(512 + 20, UUID_LEN)?);
    Some(content)
}
