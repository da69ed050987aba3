//! Linux RAID (md): superblocks of version 0.90 and 1.0 at the end, 1.1 at the beginning, and 1.2 near it.

use super::areas::Areas;
use super::checksum::folded_sum;
use super::content::{Content, Finding};
use super::fields::Fields;
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

const MAGIC: u32 = 0xa92b_4efc;
const SUPERBLOCK_LEN: usize = 4096;

/// The superblock of version 0.90 begins at the last multiple of this length that leaves as much behind it.
const RESERVED: u64 = 64 * 1024;

/// The numbers of version 0.90 are in the byte order of the host.
type Word = fn([u8; 4]) -> u32;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    let len = areas.partition_len();
    let old = (len & !(RESERVED - 1)).checked_sub(RESERVED);
    if let Some(content) =
        old.and_then(|at| areas.at(at, SUPERBLOCK_LEN)).and_then(|found| version_0(found, len))
    {
        return Ok(Some(content));
    }
    let places = [("1.0", (len & !0xfff).checked_sub(0x2000)), ("1.1", Some(0)), ("1.2", Some(0x1000))];
    let found = places.into_iter().find_map(|(version, at)| {
        let at = at?;
        version_1(version, at, areas.at(at, SUPERBLOCK_LEN)?)
    });
    Ok(found)
}

fn version_0(superblock: Fields<'_>, partition: u64) -> Option<Content> {
    let orders: [Word; 2] = [u32::from_le_bytes, u32::from_be_bytes];
    let order = orders.into_iter().find(|order| superblock.array(0).map(order) == Some(MAGIC))?;
    let word = |at: usize| superblock.array(at).map(order);
    let (major, minor, patch) = (word(4)?, word(8)?, word(12)?);
    let size = u64::from(word(32)?).checked_mul(1024)?;
    if major != 0 || size.checked_add(RESERVED)? > partition {
        return None;
    }
    let mut content = Content::new(ContentKind::LinuxRaid);
    content.version = Some(format!("{major}.{minor}.{patch}"));
    let later = |at: usize| if minor >= 90 { word(at) } else { Some(0) };
    let uuid = [word(20)?, later(52)?, later(56)?, later(60)?].map(u32::to_be_bytes);
    content.uuid = text::uuid(uuid.as_flattened().try_into().ok()?);
    // A RAID 0 does not store it.
    content.size = Some(size).filter(|size| *size > 0);
    content.clean = Some(word(132)? & 1 != 0);
    let covered = [superblock.bytes(0, 152)?, &[0; 4], superblock.bytes(156, 3940)?].concat();
    if word(152)? != folded_sum(&covered, order) {
        content.findings.push(Finding::BadChecksum { structure: "superblock" });
    }
    Some(content)
}

fn version_1(version: &str, at: u64, superblock: Fields<'_>) -> Option<Content> {
    let is_here = superblock.le64(144)?.checked_mul(512) == Some(at);
    if superblock.le32(0)? != MAGIC || superblock.le32(4)? != 1 || !is_here {
        return None;
    }
    let mut content = Content::new(ContentKind::LinuxRaid);
    content.version = Some(version.to_owned());
    content.uuid = text::uuid(superblock.array(16)?);
    content.label = text::label(superblock.bytes(32, 32)?);
    // What is for data in this member.
    content.size = Some(superblock.le64(136)?.checked_mul(512)?);
    // All of the array is in sync.
    content.clean = Some(superblock.le64(208)? == u64::MAX);
    if checksum_matches(superblock) != Some(true) {
        content.findings.push(Finding::BadChecksum { structure: "superblock" });
    }
    Some(content)
}

/// The checksum covers the roles of as many devices as there can be.
fn checksum_matches(superblock: Fields<'_>) -> Option<bool> {
    let devices = usize::try_from(superblock.le32(220)?).ok()?;
    let after = superblock.bytes(220, devices.checked_mul(2)?.checked_add(36)?)?;
    let covered = [superblock.bytes(0, 216)?, &[0; 4], after].concat();
    Some(superblock.le32(216)? == folded_sum(&covered, u32::from_le_bytes))
}
