//! Dynamic disks of Windows (Logical Disk Manager): the private header. Its numbers are big-endian.

use super::areas::Areas;
use super::content::Content;
use super::fields::Fields;
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

/// The sector with the header on a disk with an MBR.
const MBR_SECTOR: u64 = 6;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    let sector_size = u64::from(areas.sector_size());
    // On a disk with a GPT, and as a copy on others, the last sector has it.
    let places = [MBR_SECTOR.checked_mul(sector_size), areas.partition_len().checked_sub(sector_size)];
    Ok(places.into_iter().flatten().find_map(|at| parse(areas.at(at, 512)?)))
}

fn parse(header: Fields<'_>) -> Option<Content> {
    if !header.has(0, b"PRIVHEAD") {
        return None;
    }
    let mut content = Content::new(ContentKind::Ldm);
    content.version = Some(format!("{}.{}", header.be16(12)?, header.be16(14)?));
    content.uuid = text::label(header.bytes(0x30, 64)?);
    content.label = text::label(header.bytes(0xf0, 32)?);
    Some(content)
}
