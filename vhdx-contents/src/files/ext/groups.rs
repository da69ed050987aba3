//! Group descriptors: where the inodes of each group are.

use super::checksum::{crc16, crc32c};
use super::number::{Checked, joined, le16, le32, part, to_usize};
use super::superblock::{Groups, OFFSET, Superblock};
use super::volume::Volume;
use crate::error::{Error, Result};

const CHECKSUM_AT: usize = 0x1E;
/// The size of a descriptor that has 64-bit block numbers.
const LONG: u64 = 64;

/// Returns the first block of the inode table of a group.
///
/// # Errors
/// [`Error::Damaged`] and [`Error::Disk`].
pub(super) fn inode_table(volume: &Volume<'_>, superblock: &Superblock, group: u32) -> Result<u64> {
    let groups = &superblock.groups;
    let what = || format!("the descriptor of group {group}");
    if u64::from(group) >= groups.count {
        return Err(Error::damaged(what(), format!("there are only {} groups", groups.count)));
    }
    let per_block = superblock.block_size.per(groups.descriptor_size)?;
    let (index, slot) = (u64::from(group).per(per_block)?, u64::from(group).rest(per_block)?);
    let block = descriptor_block(superblock, index, per_block)?;
    volume.ensure_blocks(block, 1, &what)?;
    let at = block.times(superblock.block_size)?.plus(slot.times(groups.descriptor_size)?)?;
    let bytes = volume.metadata(at, to_usize(groups.descriptor_size)?)?;
    if checksum(superblock, group, &bytes)?.is_some_and(|sum| le16(&bytes, CHECKSUM_AT).ok() != Some(sum)) {
        return Err(Error::damaged(what(), "its checksum is wrong"));
    }
    let high = if groups.descriptor_size >= LONG { le32(&bytes, 0x28)? } else { 0 };
    Ok(joined(high, le32(&bytes, 8)?))
}

/// Returns the place of a block of descriptors.
fn descriptor_block(superblock: &Superblock, index: u64, per_block: u64) -> Result<u64> {
    let groups = &superblock.groups;
    if index < groups.first_meta_bg {
        // The descriptors follow the block that contains the superblock.
        return OFFSET.per(superblock.block_size)?.plus(index)?.plus(1);
    }
    let group = index.times(per_block)?;
    let mut block = groups.first_block.plus(group.times(groups.blocks_per_group)?)?;
    if has_superblock(groups, superblock, group)? {
        block = block.plus(1)?;
    }
    // The boot block is an extra block only if blocks are numbered from 0 and have 1 KiB.
    if index == 0 && superblock.block_size == 1024 && groups.first_block == 0 {
        block = block.plus(1)?;
    }
    Ok(block)
}

/// Whether a group begins with a copy of the superblock.
fn has_superblock(groups: &Groups, superblock: &Superblock, group: u64) -> Result<bool> {
    if group == 0 {
        return Ok(true);
    }
    if superblock.features.has_sparse_super_2() {
        return Ok(groups.backups.map(u64::from).contains(&group));
    }
    Ok(group == 1 || !superblock.features.has_sparse_super() || {
        [3, 5, 7].iter().any(|base| {
            let mut power: u64 = *base;
            while power < group {
                power = power.saturating_mul(*base); // the largest number is no power of these, and ends the loop
            }
            power == group
        })
    })
}

/// Returns the right checksum of a descriptor if the file system has them.
fn checksum(superblock: &Superblock, group: u32, bytes: &[u8]) -> Result<Option<u16>> {
    let before = part(bytes, 0, CHECKSUM_AT)?;
    let after = part(bytes, CHECKSUM_AT.plus(2)?, bytes.len().minus(CHECKSUM_AT.plus(2)?)?)?;
    let group = group.to_le_bytes();
    if superblock.features.has_metadata_checksum() {
        let sum =
            [&group, before, &[0, 0], after].iter().fold(superblock.checksum_seed, |sum, b| crc32c(sum, b));
        let [low, high, ..] = sum.to_le_bytes();
        return Ok(Some(u16::from_le_bytes([low, high])));
    }
    if superblock.features.has_group_checksum() {
        let sum = [&superblock.uuid, &group[..], before, after].iter().fold(!0, |sum, b| crc16(sum, b));
        return Ok(Some(sum));
    }
    Ok(None)
}
