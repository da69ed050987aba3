//! HFS, HFS+ and HFSX. All numbers are big-endian.

use md5::{Digest, Md5};

use super::areas::Areas;
use super::content::Content;
use super::fields::Fields;
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

const HEADER: u64 = 1024;

/// The length of the header of HFS+. The one of HFS is shorter.
const HEADER_LEN: usize = 512;

/// The bit of the attributes for a volume that was unmounted.
const UNMOUNTED: u32 = 0x100;

/// The namespace of UUIDs that are made of the identifiers of volumes.
const NAMESPACE: [u8; 16] =
    [0xb3, 0xe2, 0x0f, 0x39, 0xf2, 0x92, 0x11, 0xd6, 0x97, 0xa4, 0x00, 0x30, 0x65, 0x43, 0xec, 0xac];

/// The parent of the root folder. The first record of the catalogue has the name of the volume and this parent.
const ROOT_PARENT: u32 = 1;

/// The longest node of a B-tree of HFS+.
const MAX_NODE: u16 = 32 * 1024;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    let Some(header) = areas.at(HEADER, HEADER_LEN) else { return Ok(None) };
    if !header.has(0, b"BD") {
        return plus(areas, 0, header);
    }
    if !header.has(124, b"H+") && !header.has(124, b"HX") {
        return Ok(hfs(header));
    }
    let Some(start) = embedded_start(header) else { return Ok(None) };
    let Some(inner) = start.checked_add(HEADER) else { return Ok(None) };
    match areas.get(inner, HEADER_LEN)? {
        Some(inner) => plus(areas, start, Fields(&inner)),
        None => Ok(None),
    }
}

/// Returns the position in bytes of an HFS+ volume inside of an HFS volume.
fn embedded_start(header: Fields<'_>) -> Option<u64> {
    let first = u64::from(header.be16(28)?).checked_mul(512)?;
    u64::from(header.be16(126)?).checked_mul(u64::from(header.be32(20)?))?.checked_add(first)
}

fn hfs(header: Fields<'_>) -> Option<Content> {
    let (blocks, free) = (u64::from(header.be16(18)?), u64::from(header.be16(34)?));
    // The signature alone is too short to tell anything.
    if blocks == 0 || free > blocks {
        return None;
    }
    let block_size = header.be32(20).filter(|size| *size > 0 && size % 512 == 0)?;
    let mut content = Content::new(ContentKind::Hfs);
    let label_len = usize::from(header.u8(36)?).min(27);
    content.label = text::label(header.bytes(37, label_len)?);
    content.uuid = uuid(header.array(116)?);
    content.size = Some(blocks.checked_mul(u64::from(block_size))?);
    content.used = blocks.checked_sub(free).and_then(|used| used.checked_mul(u64::from(block_size)));
    content.block_size = Some(block_size);
    content.clean = Some(u32::from(header.be16(10)?) & UNMOUNTED != 0);
    Some(content)
}

fn plus(areas: &Areas<'_>, start: u64, header: Fields<'_>) -> Result<Option<Content>> {
    let Some(mut content) = plus_header(header) else { return Ok(None) };
    content.label = catalogue_name(areas, start, header)?;
    Ok(Some(content))
}

fn plus_header(header: Fields<'_>) -> Option<Content> {
    let kind = match (header.array(0)?, header.be16(2)?) {
        ([b'H', b'+'], 4) => ContentKind::HfsPlus,
        ([b'H', b'X'], 5) => ContentKind::HfsX,
        _ => return None,
    };
    let (blocks, free) = (u64::from(header.be32(44)?), u64::from(header.be32(48)?));
    let block_size = header.be32(40).filter(|size| *size >= 512 && size.is_power_of_two())?;
    let mut content = Content::new(kind);
    content.uuid = uuid(header.array(104)?);
    content.size = Some(blocks.checked_mul(u64::from(block_size))?);
    content.used = blocks.checked_sub(free).and_then(|used| used.checked_mul(u64::from(block_size)));
    content.block_size = Some(block_size);
    content.clean = Some(header.be32(4)? & UNMOUNTED != 0);
    Some(content)
}

/// Returns the name of the volume: the first record in the first leaf of the catalogue.
fn catalogue_name(areas: &Areas<'_>, start: u64, header: Fields<'_>) -> Result<Option<String>> {
    let Some(first) = catalogue_position(start, header, 0) else { return Ok(None) };
    let Some(node) = areas.get(first, 512)? else { return Ok(None) };
    let node = Fields(&node);
    let node_size = node.be16(32).filter(|size| (512..=MAX_NODE).contains(size));
    let leaf = node.be32(24).zip(node_size);
    let offset = leaf.and_then(|(leaf, size)| u64::from(leaf).checked_mul(u64::from(size)));
    let Some(position) = offset.and_then(|offset| catalogue_position(start, header, offset)) else {
        return Ok(None);
    };
    // The first record follows the descriptor of the node, whose length is 14 bytes.
    let leaf = areas.get(position, 512 + 64)?;
    Ok(leaf.as_deref().map(Fields).and_then(first_name))
}

fn first_name(leaf: Fields<'_>) -> Option<String> {
    let is_leaf = leaf.u8(8)? == 0xff && leaf.be16(10)? > 0 && leaf.be32(16)? == ROOT_PARENT;
    let len = usize::from(leaf.be16(20)?).min(255).checked_mul(2)?;
    text::label_utf16_be(leaf.bytes(22, len)?).filter(|_| is_leaf)
}

/// Returns the position of a byte of the catalogue file, if it is in one of its first eight extents.
fn catalogue_position(start: u64, header: Fields<'_>, offset: u64) -> Option<u64> {
    let block_size = u64::from(header.be32(40)?);
    let mut rest = offset;
    for extent in header.bytes(288, 64)?.chunks_exact(8).map(Fields) {
        let first = u64::from(extent.be32(0)?).checked_mul(block_size)?;
        let len = u64::from(extent.be32(4)?).checked_mul(block_size)?;
        if rest < len {
            return start.checked_add(first)?.checked_add(rest);
        }
        rest = rest.checked_sub(len)?;
    }
    None
}

/// Returns the UUID of the 8 bytes that identify a volume: one of version 3, which is made with MD5.
fn uuid(identifier: [u8; 8]) -> Option<String> {
    if identifier == [0; 8] {
        return None;
    }
    let digest = Md5::new().chain_update(NAMESPACE).chain_update(identifier).finalize();
    let bytes: [u8; 16] = digest.as_slice().try_into().ok()?;
    let uuid = uuid::Builder::from_md5_bytes(bytes).into_uuid();
    Some(uuid.hyphenated().to_string())
}
