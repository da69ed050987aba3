//! LUKS1 and LUKS2.

use sha2::{Digest, Sha256, Sha512};

use super::areas::Areas;
use super::content::{Content, Finding};
use super::fields::Fields;
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

const MAGIC: &[u8] = b"LUKS\xba\xbe";

/// The magic bytes of the second header of LUKS2.
const SECOND_MAGIC: &[u8] = b"SKUL\xba\xbe";

/// The lengths that a header of LUKS2 can have. The second header follows the first.
const LENGTHS: &[u64] =
    &[0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];

const CHECKSUM: usize = 448;
const CHECKSUM_LEN: usize = 64;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    if let Some(header) = areas.at(0, 4096).filter(|header| header.has(0, MAGIC)) {
        match header.be16(6) {
            Some(1) => return Ok(luks1(header)),
            Some(2) => return luks2(areas, 0, header),
            _ => {}
        }
    }
    // Only those that have been read already.
    let second = LENGTHS.iter().find_map(|at| {
        let header = areas.at(*at, 4096)?;
        let is_second = header.has(0, SECOND_MAGIC) && header.be16(6) == Some(2);
        (is_second && header.be64(256) == Some(*at)).then_some((*at, header))
    });
    let Some((at, header)) = second else { return Ok(None) };
    let mut content = luks2(areas, at, header)?;
    if let Some(content) = &mut content {
        let why = "only the second header is valid".to_owned();
        content.findings.push(Finding::Invalid { structure: "first header", why });
    }
    Ok(content)
}

fn luks1(header: Fields<'_>) -> Option<Content> {
    let mut content = Content::new(ContentKind::Luks1);
    content.version = Some("1".to_owned());
    content.uuid = text::label(header.bytes(168, 40)?);
    Some(content)
}

fn luks2(areas: &Areas<'_>, at: u64, header: Fields<'_>) -> Result<Option<Content>> {
    let mut content = Content::new(ContentKind::Luks2);
    content.version = Some("2".to_owned());
    content.label = header.bytes(24, 48).and_then(text::label);
    content.uuid = header.bytes(168, 40).and_then(text::label);
    let structure = "header";
    let Some(len) = header.be64(8).filter(|len| LENGTHS.contains(len)) else {
        let why = "its length is not one of LUKS2".to_owned();
        content.findings.push(Finding::Invalid { structure, why });
        return Ok(Some(content));
    };
    let whole = match usize::try_from(len) {
        Ok(len) => areas.get(at, len)?,
        Err(_) => None,
    };
    content.findings.extend(match whole.as_deref().map(|whole| checksum_matches(Fields(whole))) {
        Some(Some(true)) => None,
        Some(Some(false)) => Some(Finding::BadChecksum { structure }),
        Some(None) => Some(Finding::Unverified { structure, why: "its algorithm is not supported" }),
        None => Some(Finding::Invalid { structure, why: "it is longer than the partition".to_owned() }),
    });
    Ok(Some(content))
}

/// The checksum covers the whole header, with zeros instead of itself. Returns `None` if its algorithm is not
/// supported.
fn checksum_matches(header: Fields<'_>) -> Option<bool> {
    let stored = header.bytes(CHECKSUM, CHECKSUM_LEN)?;
    let parts = [header.bytes(0, CHECKSUM)?, &[0; CHECKSUM_LEN], header.rest(CHECKSUM + CHECKSUM_LEN)?.0];
    match text::label(header.bytes(72, 32)?)?.as_str() {
        "sha256" => Some(stored.starts_with(&digest::<Sha256>(&parts))),
        "sha512" => Some(stored.starts_with(&digest::<Sha512>(&parts))),
        _ => None,
    }
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().fold(D::new(), |digest, part| digest.chain_update(part)).finalize().to_vec()
}
