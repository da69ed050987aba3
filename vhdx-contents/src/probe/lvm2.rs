//! LVM2: the label of a physical volume, and the name of its volume group.

use super::areas::Areas;
use super::checksum::plain_crc32;
use super::content::{Content, Finding};
use super::fields::Fields;
use super::kind::ContentKind;
use crate::error::Result;

/// LVM2 counts in these sectors on all disks. The label is in one of the first four.
const SECTOR: usize = 512;

/// The initial value of LVM2's CRC-32.
const INITIAL_CRC: u32 = 0xf597_a6cf;

/// A volume group's name is at most 127 bytes long, and is followed by ` {`.
const MAX_NAME: usize = 127;

const LABEL_HEADER: usize = 32;
const UUID_LEN: usize = 32;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    let sectors = (0..4u64).filter_map(|number| Some((number, areas.at(number.checked_mul(512)?, SECTOR)?)));
    let mut labels = sectors.filter_map(|(number, sector)| parse(number, sector));
    let Some((mut content, metadata)) = labels.next() else { return Ok(None) };
    if let Some((offset, len)) = metadata {
        content.label = group_name(areas, offset, len)?;
    }
    Ok(Some(content))
}

/// Returns the content, and the position and length in bytes of its first metadata area.
fn parse(number: u64, sector: Fields<'_>) -> Option<(Content, Option<(u64, u64)>)> {
    if !sector.has(0, b"LABELONE") || !sector.has(24, b"LVM2 001") || sector.le64(8)? != number {
        return None;
    }
    let volume = sector.rest(usize::try_from(sector.le32(20)?).ok()?.max(LABEL_HEADER))?;
    let mut content = Content::new(ContentKind::Lvm2);
    content.version = Some("LVM2 001".to_owned());
    content.uuid = uuid(volume.bytes(0, UUID_LEN)?);
    content.size = volume.le64(UUID_LEN);
    if sector.le32(16)? != plain_crc32(INITIAL_CRC, sector.rest(20)?.0) {
        content.findings.push(Finding::BadChecksum { structure: "label" });
    }
    Some((content, metadata_area(volume)))
}

/// Two lists of areas follow the size: those of data, and those of metadata. Both end with an area at 0.
fn metadata_area(volume: Fields<'_>) -> Option<(u64, u64)> {
    let areas = volume.rest(40)?.0.chunks_exact(16).map(Fields);
    let mut areas = areas.skip_while(|area| area.le64(0) != Some(0)).skip(1);
    let area = areas.next()?;
    area.le64(0).filter(|offset| *offset > 0).zip(area.le64(8))
}

/// Returns the name of the volume group, which begins the text in the metadata area.
fn group_name(areas: &Areas<'_>, area: u64, len: u64) -> Result<Option<String>> {
    let Some(header) = areas.get(area, SECTOR)? else { return Ok(None) };
    let header = Fields(&header);
    // A physical volume without a group has no text.
    let text = header.le64(40).filter(|text| *text > 0 && *text < len && header.has(4, b" LVM2 x[5A%r0N*>"));
    let Some(position) = text.and_then(|text| area.checked_add(text)) else { return Ok(None) };
    let text = areas.get(position, SECTOR)?;
    Ok(text.as_deref().and_then(|text| {
        let name: Vec<u8> =
            text.iter().copied().take(MAX_NAME).take_while(|byte| is_in_name(*byte)).collect();
        let is_complete = text.get(name.len()..).is_some_and(|rest| rest.starts_with(b" {"));
        String::from_utf8(name).ok().filter(|name| is_complete && !name.is_empty())
    }))
}

fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+_.-".contains(&byte)
}

/// Returns the UUID as LVM2 prints it: 32 characters in groups of 6, 4, 4, 4, 4, 4 and 6.
fn uuid(bytes: &[u8]) -> Option<String> {
    if !bytes.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        if [6, 10, 14, 18, 22, 26].contains(&at) {
            text.push('-');
        }
        text.push(char::from(*byte));
    }
    Some(text)
}
