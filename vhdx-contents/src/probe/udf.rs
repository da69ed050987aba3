//! UDF: the volume recognition sequence, and the descriptors of the volume.

use super::areas::Areas;
use super::content::{Content, Finding};
use super::fields::Fields;
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

/// Where the recognition sequence begins. Its descriptors are 2 KiB apart, or one block if blocks are larger.
const SEQUENCE: u64 = 32 * 1024;
const DESCRIPTOR_SIZES: &[u64] = &[2048, 4096];
const MAX_DESCRIPTORS: u64 = 64;

/// The descriptors that can be in the sequence. The first two are those of UDF.
const NAMES: &[&[u8]] = &[b"NSR02", b"NSR03", b"BEA01", b"BOOT2", b"CD001", b"CDW02", b"TEA01"];

/// The sizes of blocks. The anchor is in block 256; for the last size, it needs another read.
const BLOCK_SIZES: &[u32] = &[512, 1024, 4096, 2048];
const ANCHOR_BLOCK: u32 = 256;

/// The descriptors of the volume are in so many blocks.
const MAX_BLOCKS: u32 = 16;

const PRIMARY: u16 = 1;
const ANCHOR: u16 = 2;
const LOGICAL_VOLUME: u16 = 6;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    if !DESCRIPTOR_SIZES.iter().any(|size| has_sequence(areas, *size)) {
        return Ok(None);
    }
    let mut content = Content::new(ContentKind::Udf);
    for block_size in BLOCK_SIZES {
        let offset = u64::from(ANCHOR_BLOCK).saturating_mul(u64::from(*block_size));
        let anchor = areas.get(offset, 512)?;
        let anchor = anchor.as_deref().map(Fields);
        let Some(anchor) = anchor.filter(|found| is_descriptor(*found, ANCHOR, ANCHOR_BLOCK)) else {
            continue;
        };
        content.block_size = Some(*block_size);
        read_volume(areas, anchor, *block_size, &mut content)?;
        return Ok(Some(content));
    }
    let why = "it is not in block 256".to_owned();
    content.findings.push(Finding::Invalid { structure: "anchor", why });
    Ok(Some(content))
}

fn has_sequence(areas: &Areas<'_>, size: u64) -> bool {
    let offsets = (0..MAX_DESCRIPTORS).map(|number| SEQUENCE.saturating_add(number.saturating_mul(size)));
    let mut names = offsets.map_while(|offset| {
        let descriptor = areas.at(offset, 8)?;
        NAMES.iter().find(|name| descriptor.has(1, name))
    });
    names.any(|name| name.starts_with(b"NSR"))
}

fn is_descriptor(found: Fields<'_>, tag: u16, block: u32) -> bool {
    found.le16(0) == Some(tag) && found.le32(12) == Some(block)
}

/// Reads the descriptors of the volume, whose place the anchor tells.
fn read_volume(areas: &Areas<'_>, anchor: Fields<'_>, block_size: u32, content: &mut Content) -> Result<()> {
    let Some((len, first)) = anchor.le32(16).zip(anchor.le32(20)) else { return Ok(()) };
    let len = len.min(block_size.saturating_mul(MAX_BLOCKS));
    let offset = u64::from(first).saturating_mul(u64::from(block_size));
    let (Ok(len), Ok(block_len)) = (usize::try_from(len), usize::try_from(block_size)) else { return Ok(()) };
    let Some(blocks) = areas.get(offset, len)? else { return Ok(()) };
    for (block, number) in blocks.chunks_exact(block_len).map(Fields).zip(first..) {
        if is_descriptor(block, PRIMARY, number) {
            content.uuid = block.bytes(72, 128).and_then(string).as_deref().and_then(uuid);
        } else if is_descriptor(block, LOGICAL_VOLUME, number) {
            content.label = block.bytes(84, 128).and_then(string);
            let is_udf = block.has(217, b"*OSTA UDF Compliant");
            let revision = block.array(240).filter(|_| is_udf);
            content.version = revision.map(|[low, high]: [u8; 2]| format!("{high:x}.{low:02x}"));
        } else {
            continue;
        }
        if !crc_matches(block) {
            content.findings.push(Finding::BadChecksum { structure: "volume descriptor" });
        }
    }
    Ok(())
}

/// The CRC covers as many bytes behind the tag as the tag says.
fn crc_matches(block: Fields<'_>) -> bool {
    let covered = block.le16(10).and_then(|len| block.bytes(16, usize::from(len)));
    covered.map(crc16) == block.le16(8) && covered.is_some()
}

/// The CRC-16 with the polynomial of ITU-T V.41 and the initial value 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc: u16, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ 0x1021 }
        })
    })
}

/// Returns a string whose first byte tells its characters, and whose last byte its length.
fn string(field: &[u8]) -> Option<String> {
    let (len, rest) = field.split_last()?;
    let (characters, text) = rest.split_first()?;
    let text = text.get(..usize::from(*len).checked_sub(1)?)?;
    match characters {
        8 => text::label(&text.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()),
        16 => text::label_utf16_be(text),
        _ => None,
    }
}

/// Returns the 16 digits that `blkid` makes of the name of the volume set. They are its first 16 characters if those
/// are hexadecimal digits. Else the last 4 characters, or all 8, are spelled as hexadecimal numbers.
fn uuid(name: &str) -> Option<String> {
    let bytes = name.as_bytes();
    let digits = bytes.iter().take(16).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let spelled = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let plain = |len| bytes.get(..len).map(|bytes| String::from_utf8_lossy(bytes).to_ascii_lowercase());
    match digits {
        16 => plain(16),
        8..16 => plain(8).zip(bytes.get(8..12)).map(|(first, last)| first + &spelled(last)),
        _ => bytes.get(..8).map(spelled),
    }
}
