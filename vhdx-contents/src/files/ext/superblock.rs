//! The superblock: the geometry of a file system.

use super::checksum::crc32c;
use super::features::Features;
use super::number::{Checked, byte, joined, le16, le32, part};
use crate::error::{Error, Result};

/// The position of the superblock in the file system, in bytes.
pub(super) const OFFSET: u64 = 1024;
/// The length of the superblock in bytes.
pub(super) const LEN: usize = 1024;

const MAGIC: u16 = 0xEF53;
const CHECKSUM_AT: usize = 0x3FC;
const CRC32C: u8 = 1;
const LINUX: u32 = 0;
const UNMOUNTED: u16 = 0x1;
const ERRORS: u16 = 0x2;

/// A valid superblock.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    pub(super) features: Features,
    /// A power of two from 1 KiB to 64 KiB.
    pub(super) block_size: u64,
    /// The end of the last block in bytes fits into 64 bits.
    pub(super) block_count: u64,
    pub(super) inode_count: u32,
    /// Inodes before this one are reserved, except for the root.
    pub(super) first_inode: u32,
    /// At least 1.
    pub(super) inodes_per_group: u32,
    /// A power of two from 128 to the size of a block.
    pub(super) inode_size: u64,
    pub(super) groups: Groups,
    /// The start of every checksum of metadata.
    pub(super) checksum_seed: u32,
    pub(super) has_inode_checksums: bool,
    /// Whether the file system has no journal and was not unmounted.
    pub(super) is_inconsistent: bool,
    /// Whether the kernel has found errors.
    pub(super) has_errors: bool,
    pub(super) uuid: [u8; 16],
    /// 0 if the journal is on another device.
    pub(super) journal_inode: u32,
    /// 0 if the journal is in this file system.
    pub(super) journal_device: u32,
}

/// Where groups and their descriptors are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    pub(super) count: u64,
    pub(super) first_block: u64,
    /// At least 1.
    pub(super) blocks_per_group: u64,
    /// A power of two from 32 to the size of a block.
    pub(super) descriptor_size: u64,
    /// Descriptor blocks from this one on lie in their groups (meta_bg).
    pub(super) first_meta_bg: u64,
    /// The groups with a copy of the superblock, if sparse_super2 is used.
    pub(super) backups: [u32; 2],
}

fn damaged(why: impl Into<String>) -> Error {
    Error::damaged("the ext superblock", why)
}

impl Superblock {
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Unsupported`].
    pub(super) fn new(bytes: &[u8]) -> Result<Self> {
        if le16(bytes, 0x38)? != MAGIC {
            return Err(damaged("it has another signature"));
        }
        let features = Features::new(le32(bytes, 0x5C)?, le32(bytes, 0x60)?, le32(bytes, 0x64)?)?;
        if features.has_metadata_checksum() {
            ensure_checksum(bytes)?;
        }
        let block_size = match le32(bytes, 0x18)? {
            shift @ 0..=6 => 1024u64 << shift,
            other => return Err(damaged(format!("invalid block size 2^({other} + 10)"))),
        };
        if !features.has_big_allocation()
            && le32(bytes, 0x1C)? != le32(bytes, 0x18)?
            && le32(bytes, 0x4C)? > 0
        {
            return Err(damaged("its clusters differ from its blocks"));
        }
        let high = if features.is_64_bit() { le32(bytes, 0x150)? } else { 0 };
        let block_count = joined(high, le32(bytes, 4)?);
        if block_count > u64::MAX.per(block_size)? {
            return Err(damaged(format!("it has {block_count} blocks")));
        }
        let groups = Groups::new(bytes, features, block_size, block_count)?;
        let (inode_size, first_inode) = inodes(bytes, block_size)?;
        let inodes_per_group = le32(bytes, 0x28)?;
        let inode_count = le32(bytes, 0)?;
        if inodes_per_group == 0 || u64::from(inodes_per_group) > block_size.times(8)? {
            return Err(damaged(format!("it has {inodes_per_group} inodes a group")));
        }
        if u64::from(inode_count) > groups.count.saturating_mul(u64::from(inodes_per_group)) {
            return Err(damaged(format!("{inode_count} inodes do not fit {} groups", groups.count)));
        }
        let state = le16(bytes, 0x3A)?;
        let mut uuid = [0; 16];
        uuid.copy_from_slice(part(bytes, 0x68, 16)?);
        Ok(Self {
            features,
            block_size,
            block_count,
            inode_count,
            first_inode,
            inodes_per_group,
            inode_size,
            groups,
            checksum_seed: match features.has_checksum_seed() {
                true => le32(bytes, 0x270)?,
                false => crc32c(!0, &uuid),
            },
            has_inode_checksums: features.has_metadata_checksum() && le32(bytes, 0x48)? == LINUX,
            is_inconsistent: !features.has_journal() && state & UNMOUNTED == 0,
            has_errors: state & ERRORS != 0,
            uuid,
            journal_inode: le32(bytes, 0xE0)?,
            journal_device: le32(bytes, 0xE4)?,
        })
    }

    /// Returns how many block numbers or other values of 4 bytes are in a block.
    pub(super) fn pointers_per_block(&self) -> u64 {
        self.block_size / 4
    }
}

fn ensure_checksum(bytes: &[u8]) -> Result<()> {
    let kind = byte(bytes, 0x175)?;
    if kind != CRC32C {
        return Err(Error::Unsupported(format!(
            "the ext file system uses an unknown checksum, number {kind}"
        )));
    }
    if crc32c(!0, part(bytes, 0, CHECKSUM_AT)?) != le32(bytes, CHECKSUM_AT)? {
        return Err(damaged("its checksum is wrong"));
    }
    Ok(())
}

/// Returns the size of an inode, and the first inode that is not reserved.
fn inodes(bytes: &[u8], block_size: u64) -> Result<(u64, u32)> {
    if le32(bytes, 0x4C)? == 0 {
        return Ok((128, 11));
    }
    let size = u64::from(le16(bytes, 0x58)?);
    if !size.is_power_of_two() || size < 128 || size > block_size {
        return Err(damaged(format!("invalid inode size {size}")));
    }
    Ok((size, le32(bytes, 0x54)?))
}

impl Groups {
    fn new(bytes: &[u8], features: Features, block_size: u64, block_count: u64) -> Result<Self> {
        let first_block = u64::from(le32(bytes, 0x14)?);
        let blocks_per_group = u64::from(le32(bytes, 0x20)?);
        if blocks_per_group == 0 {
            return Err(damaged("its groups have no blocks"));
        }
        if block_count <= first_block {
            return Err(damaged(format!("its first block is {first_block} of {block_count}")));
        }
        let descriptor_size = match features.is_64_bit() {
            true => u64::from(le16(bytes, 0xFE)?),
            false => 32,
        };
        let smallest = if features.is_64_bit() { 64 } else { 32 };
        if !descriptor_size.is_power_of_two() || descriptor_size < smallest || descriptor_size > block_size {
            return Err(damaged(format!("its group descriptors have {descriptor_size} bytes")));
        }
        Ok(Self {
            count: block_count.minus(first_block)?.div_ceil(blocks_per_group),
            first_block,
            blocks_per_group,
            descriptor_size,
            first_meta_bg: if features.has_meta_bg() { u64::from(le32(bytes, 0x104)?) } else { u64::MAX },
            backups: [le32(bytes, 0x24C)?, le32(bytes, 0x250)?],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file system of 8192 blocks of 1 KiB, with a change of 32 bits.
    fn parse(at: usize, value: u32) -> std::result::Result<Superblock, String> {
        let mut bytes = vec![0; LEN];
        for (at, value) in [
            (0, 2048u32),
            (4, 8192),
            (0x14, 1),
            (0x20, 8192),
            (0x28, 2048),
            (0x38, u32::from(MAGIC)),
            (0x4C, 1),
            (0x54, 11),
            (0x58, 256),
            (at, value),
        ] {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        Superblock::new(&bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn every_number_is_bounded() {
        let valid = parse(4, 8192).unwrap();
        assert_eq!((valid.block_size, valid.groups.count, valid.inode_size), (1024, 1, 256));
        for (at, value, why) in [
            (0x38, 0, "another signature"),
            (0x18, 7, "invalid block size 2^(7 + 10)"),
            (0x1C, 1, "its clusters differ"),
            (0x20, 0, "its groups have no blocks"),
            (0x14, 8192, "its first block is 8192 of 8192"),
            (0x28, 0, "it has 0 inodes a group"),
            (0x28, 8193, "it has 8193 inodes a group"),
            (0, 2049, "2049 inodes do not fit 1 groups"),
            (0x58, 96, "invalid inode size 96"),
            (0x58, 2048, "invalid inode size 2048"),
            (0x60, 0x80, "its group descriptors have 0 bytes"),
            (0x64, 0x400, "unknown checksum, number 0"),
        ] {
            let error = parse(at, value).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}
