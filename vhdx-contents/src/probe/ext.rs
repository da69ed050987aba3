//! ext2, ext3 and ext4, and journals on devices of their own.

use super::areas::Areas;
use super::checksum::crc32c;
use super::content::{Content, Finding};
use super::fields::{Fields, power_of_two};
use super::kind::ContentKind;
use super::text;
use crate::error::Result;

const SUPERBLOCK: u64 = 1024;

/// `has_journal`.
const COMPATIBLE_JOURNAL: u32 = 0x4;

/// `needs_recovery`: the journal must be replayed.
const INCOMPATIBLE_RECOVER: u32 = 0x4;

/// `journal_dev`.
const INCOMPATIBLE_JOURNAL_DEVICE: u32 = 0x8;

/// `64bit`: the numbers of blocks have upper halves.
const INCOMPATIBLE_64_BIT: u32 = 0x80;

/// What ext2 understands: `filetype` and `meta_bg`. ext3 also understands `needs_recovery`.
const INCOMPATIBLE_EXT2: u32 = 0x2 | 0x10;

/// What ext2 and ext3 understand: `sparse_super`, `large_file` and `btree_dir`.
const READ_ONLY_EXT2: u32 = 0x1 | 0x2 | 0x4;

/// `metadata_csum`.
const READ_ONLY_CHECKSUMS: u32 = 0x400;

pub(super) fn probe(areas: &Areas<'_>) -> Result<Option<Content>> {
    Ok(areas.at(SUPERBLOCK, 1024).and_then(parse))
}

fn parse(superblock: Fields<'_>) -> Option<Content> {
    if superblock.le16(56)? != 0xef53 {
        return None;
    }
    let (incompatible, read_only) = (superblock.le32(96)?, superblock.le32(100)?);
    let mut content = Content::new(kind(superblock.le32(92)?, incompatible, read_only));
    content.version = Some(format!("{}.{}", superblock.le32(76)?, superblock.le16(62)?));
    content.label = text::label(superblock.bytes(120, 16)?);
    content.uuid = text::uuid(superblock.array(104)?);
    if read_only & READ_ONLY_CHECKSUMS != 0 {
        content.findings.extend(checksum_finding(superblock));
    }
    // 1 KiB to 64 KiB.
    let block_size = superblock.le32(24)?.checked_add(10).and_then(|shift| power_of_two(shift, 10..=16));
    match block_size {
        Some(block_size) => read_space(superblock, block_size, &mut content)?,
        // The signature is short, so another number must be valid, too.
        None if superblock.le32(76)? > 1 => return None,
        None => {
            let why = "the size of its blocks is out of range".to_owned();
            content.findings.push(Finding::Invalid { structure: "superblock", why });
        }
    }
    Some(content)
}

/// Returns `None` if the size is out of range.
fn read_space(superblock: Fields<'_>, block_size: u32, content: &mut Content) -> Option<()> {
    let incompatible = superblock.le32(96)?;
    let count = |low: usize, high: usize| {
        let high = if incompatible & INCOMPATIBLE_64_BIT != 0 { superblock.le32(high)? } else { 0 };
        Some(u64::from(high) << 32 | u64::from(superblock.le32(low)?))
    };
    let (blocks, free) = (count(4, 0x150)?, count(12, 0x158)?);
    content.size = Some(blocks.checked_mul(u64::from(block_size))?);
    content.block_size = Some(block_size);
    if content.kind != ContentKind::ExtJournal {
        let used = blocks.checked_sub(free).and_then(|used| used.checked_mul(u64::from(block_size)));
        if used.is_none() {
            let why = format!("{free} of {blocks} blocks are free");
            content.findings.push(Finding::Invalid { structure: "superblock", why });
        }
        content.used = used;
        // 1: unmounted cleanly; 2: errors were found.
        content.clean = Some(superblock.le16(58)? & 3 == 1 && incompatible & INCOMPATIBLE_RECOVER == 0);
    }
    Some(())
}

fn kind(compatible: u32, incompatible: u32, read_only: u32) -> ContentKind {
    if incompatible & INCOMPATIBLE_JOURNAL_DEVICE != 0 {
        return ContentKind::ExtJournal;
    }
    let has_journal = compatible & COMPATIBLE_JOURNAL != 0;
    let understood = INCOMPATIBLE_EXT2 | if has_journal { INCOMPATIBLE_RECOVER } else { 0 };
    if incompatible & !understood != 0 || read_only & !READ_ONLY_EXT2 != 0 {
        return ContentKind::Ext4;
    }
    if has_journal { ContentKind::Ext3 } else { ContentKind::Ext2 }
}

fn checksum_finding(superblock: Fields<'_>) -> Option<Finding> {
    let structure = "superblock";
    if superblock.u8(0x175)? != 1 {
        return Some(Finding::Unverified { structure, why: "its algorithm is not known" });
    }
    // ext4 stores the CRC without the usual inversion at its end.
    let computed = !crc32c(&[superblock.bytes(0, 1020)?]);
    (superblock.le32(1020)? != computed).then_some(Finding::BadChecksum { structure })
}
