//! BitLocker: the boot sector, and the first block of metadata that it points to.

use super::areas::Areas;
use super::content::{Content, Finding};
use super::fields::Fields;
use super::kind::ContentKind;
use crate::error::Result;

const SIGNATURE: &[u8] = b"-FVE-FS-";

/// The identifier of BitLocker in a boot sector, and the one of volumes that are encrypted only where they are used.
const IDENTIFIERS: &[[u8; 16]] = &[
    [0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01],
    [0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d, 0x9e, 0x4e, 0xb1, 0xe3, 0x28, 0x4e, 0xae, 0xd8],
];

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    let Some(sector) = areas.at(0, 512) else { return Ok(None) };
    let mut content = Content::new(ContentKind::BitLocker);
    if sector.has(0, b"\xeb\x52\x90-FVE-FS-") {
        // Windows Vista. Its metadata is elsewhere, and has no version that other systems print.
        return Ok(Some(content));
    }
    // "BitLocker To Go" looks like FAT32, so that old systems show how to read it.
    let identifier = if sector.has(0, b"\xeb\x58\x90-FVE-FS-") { Some(160) } else { None };
    let identifier = identifier.or(sector.has(0, b"\xeb\x58\x90MSWIN4.1").then_some(424));
    let Some(at) = identifier else { return Ok(None) };
    let metadata = sector.rest(at).and_then(metadata_position);
    let Some(metadata) = metadata else { return Ok(None) };
    let header = areas.get(metadata, 64)?;
    match header.as_deref().map(Fields).filter(|header| header.has(0, SIGNATURE)) {
        Some(header) => content.version = header.le16(10).map(|version| version.to_string()),
        None => content.findings.push(Finding::Invalid {
            structure: "first block of metadata",
            why: "its signature is missing".to_owned(),
        }),
    }
    Ok(Some(content))
}

/// Returns where the first block of metadata is, in bytes. Its position follows the identifier.
fn metadata_position(fields: Fields<'_>) -> Option<u64> {
    let is_known = IDENTIFIERS.contains(&fields.array(0)?);
    fields.le64(16).filter(|position| is_known && *position > 0)
}
