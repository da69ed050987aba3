//! Btrfs: the first superblock of a device.

use sha2::{Digest, Sha256};

use super::areas::Areas;
use super::checksum::crc32c;
use super::content::{Content, Finding};
use super::fields::Fields;
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

const SUPERBLOCK: u64 = 64 * 1024;

/// The checksum has a field of 32 bytes at the beginning.
const CHECKSUM_LEN: usize = 32;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    Ok(areas.at(SUPERBLOCK, 4096).and_then(parse))
}

fn parse(superblock: Fields<'_>) -> Option<Content> {
    if !superblock.has(64, b"_BHRfS_M") {
        return None;
    }
    let mut content = Content::new(ContentKind::Btrfs);
    if superblock.le64(48)? != SUPERBLOCK {
        let why = "it belongs to another position".to_owned();
        content.findings.push(Finding::Invalid { structure: "superblock", why });
    }
    content.label = text::label(superblock.bytes(299, 256)?);
    content.uuid = text::uuid(superblock.array(32)?);
    content.block_size = Some(superblock.le32(144)?);
    // The size of this device. The numbers of the whole file system would include the other devices.
    content.size = Some(superblock.le64(209)?);
    content.used = (superblock.le64(136)? == 1).then(|| superblock.le64(120)).flatten();
    content.findings.extend(checksum_finding(superblock));
    Some(content)
}

fn checksum_finding(superblock: Fields<'_>) -> Option<Finding> {
    let structure = "superblock";
    let unverified = |why| Some(Finding::Unverified { structure, why });
    let covered = superblock.rest(CHECKSUM_LEN)?.0;
    let matches = match superblock.le16(196)? {
        0 => superblock.le32(0)? == crc32c(&[covered]),
        1 => return unverified("it is an xxHash"),
        2 => superblock.bytes(0, CHECKSUM_LEN)? == Sha256::digest(covered).as_slice(),
        3 => return unverified("it is a BLAKE2b hash"),
        _ => return unverified("its algorithm is not known"),
    };
    (!matches).then_some(Finding::BadChecksum { structure })
}
