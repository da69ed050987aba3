//! Swap space of Linux, and images of hibernated systems in it.

use super::areas::Areas;
use super::content::Content;
use super::fields::Fields;
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

/// The signature is in the last 10 bytes of the first page. These are the sizes of pages, in bytes.
const PAGES: &[u32] = &[4096, 8192, 16384, 32768, 65536];

/// A swap space has at least so many pages of 4 KiB.
const MIN_LEN: u64 = 10 * 4096;

/// The header of version 1. The first KiB is free for boot loaders.
const HEADER: u64 = 1024;

/// Signatures with their kinds and the versions that are printed.
const SIGNATURES: &[(&[u8], ContentKind, &str)] = &[
    (b"SWAPSPACE2", ContentKind::Swap, "1"),
    (b"SWAP-SPACE", ContentKind::Swap, "0"),
    (b"S1SUSPEND", ContentKind::Hibernation, "s1suspend"),
    (b"S2SUSPEND", ContentKind::Hibernation, "s2suspend"),
    (b"ULSUSPEND", ContentKind::Hibernation, "ulsuspend"),
    (b"LINHIB0001", ContentKind::Hibernation, "linhib0001"),
];

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    if areas.partition_len() < MIN_LEN {
        return Ok(None);
    }
    let found = PAGES.iter().find_map(|page| {
        let last = areas.at(u64::from(*page).checked_sub(10)?, 10)?;
        let (_, kind, version) = SIGNATURES.iter().find(|(signature, _, _)| last.has(0, signature))?;
        Some((*page, *kind, *version))
    });
    Ok(found.and_then(|(page, kind, version)| {
        let mut content = Content::new(kind);
        content.version = Some(version.to_owned());
        content.block_size = Some(page);
        if version != "0" {
            read_header(areas.at(HEADER, 512)?, page, &mut content)?;
        }
        Some(content)
    }))
}

/// Returns `None` if the header is not valid.
fn read_header(header: Fields<'_>, page: u32, content: &mut Content) -> Option<()> {
    let is_little = header.le32(0)? == 1;
    let last_page = if is_little { header.le32(4)? } else { header.be32(4)? };
    if content.kind == ContentKind::Swap && (last_page == 0 || !is_little && header.be32(0)? != 1) {
        return None;
    }
    let pages = u64::from(last_page).checked_add(1)?;
    content.size = Some(pages.checked_mul(u64::from(page))?);
    // An old swap space without identifiers has other data in their place.
    if header.bytes(44 + 32 * 4, 8)?.iter().all(|byte| *byte == 0) {
        content.uuid = text::uuid(header.array(12)?);
        content.label = text::label(header.bytes(28, 16)?);
    }
    Some(())
}
