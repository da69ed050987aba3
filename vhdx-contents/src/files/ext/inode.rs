//! Inodes: the attributes of files, and the roots of their maps.

use std::time::SystemTime;

use super::checksum::crc32c;
use super::groups::inode_table;
use super::number::{Checked, joined, le16, le32, part, to_usize};
use super::superblock::Superblock;
use super::time::time;
use super::volume::Volume;
use crate::error::{Error, Result};
use crate::files::Kind;

/// The inode of the root folder.
pub(super) const ROOT: u32 = 2;
/// The part of every inode that the first version of the format has.
pub(super) const OLD_SIZE: usize = 128;
/// The length of the map of blocks in an inode.
pub(super) const MAP_LEN: usize = 60;
const MAP_AT: usize = 0x28;
const CHECKSUM_LOW: usize = 0x7C;
const CHECKSUM_HIGH: usize = 0x82;

const ENCRYPTED: u32 = 0x800;
const INDEXED: u32 = 0x1000;
const EXTENTS: u32 = 0x8_0000;
const INLINE_DATA: u32 = 0x1000_0000;

/// A valid inode that is in use.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) number: u32,
    pub(super) kind: Kind,
    /// The permission bits.
    pub(super) mode: u32,
    /// In bytes. The last block is within what the map of the inode can address.
    pub(super) size: u64,
    pub(super) modified: Option<SystemTime>,
    pub(super) content: ContentKind,
    pub(super) is_encrypted: bool,
    /// Whether the folder has an index (htree).
    pub(super) is_indexed: bool,
    /// The start of the checksums of its blocks, if they have checksums.
    pub(super) checksum_seed: Option<u32>,
    /// How much of the inode after [`OLD_SIZE`] has fields. Extended attributes follow.
    pub(super) extra_size: usize,
    bytes: Vec<u8>,
}

/// How the content of a file is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentKind {
    /// By a tree of extents.
    Extents,
    /// By block numbers: the old format.
    BlockMap,
    /// It is in the inode.
    Inline,
    /// It is the target of a link, in the place of the map.
    ShortLink,
}

impl Inode {
    /// Reads an inode.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Disk`].
    pub(super) fn read(volume: &Volume<'_>, superblock: &Superblock, number: u32) -> Result<Self> {
        let index = number.checked_sub(1).filter(|_| number <= superblock.inode_count).ok_or_else(|| {
            Error::damaged(name(number), format!("there are only {} inodes", superblock.inode_count))
        })?;
        let (group, slot) =
            (index.per(superblock.inodes_per_group)?, index.rest(superblock.inodes_per_group)?);
        let table = inode_table(volume, superblock, group)?;
        let at = u64::from(slot).times(superblock.inode_size)?;
        volume.ensure_blocks(table, at.per(superblock.block_size)?.plus(1)?, &|| {
            format!("the descriptor of group {group}")
        })?;
        let at = table.times(superblock.block_size)?.plus(at)?;
        Self::new(superblock, number, volume.metadata(at, to_usize(superblock.inode_size)?)?)
    }

    fn new(superblock: &Superblock, number: u32, bytes: Vec<u8>) -> Result<Self> {
        let damaged = |why: String| Error::damaged(name(number), why);
        let extra_size = extra_size(&bytes).ok_or_else(|| damaged("its fields do not fit".into()))?;
        let checksum_seed = ensure_checksum(superblock, number, &bytes, extra_size)?;
        let (mode, flags) = (le16(&bytes, 0)?, le32(&bytes, 0x20)?);
        let kind = kind(mode).ok_or_else(|| damaged(format!("invalid mode {mode:#o}")))?;
        if le16(&bytes, 0x1A)? == 0 {
            return Err(damaged("it is not in use".into()));
        }
        let has_high_size = match kind {
            Kind::File => true,
            Kind::Folder => superblock.features.has_large_folders(),
            Kind::Link | Kind::Other(_) => false,
        };
        let high = if has_high_size { le32(&bytes, 0x6C)? } else { 0 };
        let size = joined(high, le32(&bytes, 4)?);
        let content = content_kind(kind, flags, size)?;
        if size.div_ceil(superblock.block_size) > max_blocks(superblock, content)? {
            return Err(damaged(format!("invalid size {size}")));
        }
        Ok(Self {
            number,
            kind,
            mode: u32::from(mode & 0o7777),
            size,
            modified: time(le32(&bytes, 0x10)?, if extra_size >= 12 { le32(&bytes, 0x88)? } else { 0 }),
            content,
            is_encrypted: flags & ENCRYPTED != 0,
            is_indexed: flags & INDEXED != 0,
            checksum_seed,
            extra_size,
            bytes,
        })
    }

    /// Returns the map of blocks: [`MAP_LEN`] bytes.
    pub(super) fn map(&self) -> Result<&[u8]> {
        part(&self.bytes, MAP_AT, MAP_LEN)
    }

    /// Returns the bytes after the fields, which may have extended attributes.
    pub(super) fn attributes(&self) -> Result<&[u8]> {
        let start = OLD_SIZE.plus(self.extra_size)?;
        part(&self.bytes, start, self.bytes.len().minus(start)?)
    }

    pub(super) fn name(&self) -> String {
        name(self.number)
    }

    /// # Errors
    /// [`Error::Unsupported`] if the content is encrypted.
    pub(super) fn ensure_not_encrypted(&self) -> Result<()> {
        if self.is_encrypted {
            let why = format!("{} is encrypted by the file system, so it cannot be read", self.name());
            return Err(Error::Unsupported(why));
        }
        Ok(())
    }
}

fn name(number: u32) -> String {
    format!("inode {number}")
}

/// Returns the size of the fields after [`OLD_SIZE`]; `None` if they do not fit.
fn extra_size(bytes: &[u8]) -> Option<usize> {
    let room = bytes.len().checked_sub(OLD_SIZE)?;
    if room == 0 {
        return Some(0);
    }
    let size = usize::from(le16(bytes, OLD_SIZE).ok()?);
    (size <= room && size % 4 == 0).then_some(size)
}

fn kind(mode: u16) -> Option<Kind> {
    Some(match mode >> 12 {
        0x1 => Kind::Other("pipe"),
        0x2 => Kind::Other("character device"),
        0x4 => Kind::Folder,
        0x6 => Kind::Other("block device"),
        0x8 => Kind::File,
        0xA => Kind::Link,
        0xC => Kind::Other("socket"),
        _ => return None,
    })
}

fn content_kind(kind: Kind, flags: u32, size: u64) -> Result<ContentKind> {
    Ok(if flags & INLINE_DATA != 0 {
        ContentKind::Inline
    } else if flags & EXTENTS != 0 {
        ContentKind::Extents
    } else if kind == Kind::Link && to_usize(size)? < MAP_LEN {
        ContentKind::ShortLink
    } else {
        ContentKind::BlockMap
    })
}

/// Returns how many blocks the map of an inode can address.
fn max_blocks(superblock: &Superblock, content: ContentKind) -> Result<u64> {
    match content {
        ContentKind::Extents => Ok(1 << 32),
        ContentKind::BlockMap => {
            let pointers = superblock.pointers_per_block();
            let double = pointers.times(pointers)?;
            12u64.plus(pointers)?.plus(double)?.plus(double.times(pointers)?)
        }
        // The kernel allows a hole after content in the inode.
        ContentKind::Inline => Ok(1 << 32),
        ContentKind::ShortLink => Ok(1),
    }
}

/// Returns the start of the checksums of the inode's blocks, if the file system has them.
fn ensure_checksum(
    superblock: &Superblock,
    number: u32,
    bytes: &[u8],
    extra_size: usize,
) -> Result<Option<u32>> {
    if !superblock.has_inode_checksums {
        return Ok(None);
    }
    let seed = crc32c(superblock.checksum_seed, &number.to_le_bytes());
    let seed = crc32c(seed, part(bytes, 0x64, 4)?);
    let has_high = extra_size >= 4;
    let mut blank = bytes.to_vec();
    let fields = [Some(CHECKSUM_LOW), has_high.then_some(CHECKSUM_HIGH)];
    for at in fields.into_iter().flatten() {
        if let Some(field) = blank.get_mut(at..at.plus(2)?) {
            field.fill(0);
        }
    }
    let sum = crc32c(seed, &blank);
    let stored = u32::from(le16(bytes, CHECKSUM_LOW)?);
    let is_right = match has_high {
        true => sum == stored | u32::from(le16(bytes, CHECKSUM_HIGH)?) << 16,
        false => sum & 0xFFFF == stored,
    };
    if !is_right {
        return Err(Error::damaged(name(number), "its checksum is wrong"));
    }
    Ok(Some(seed))
}

#[cfg(test)]
impl Inode {
    /// Returns an inode without content.
    pub(super) fn empty(number: u32, kind: Kind, content: ContentKind) -> Self {
        Self {
            number,
            kind,
            mode: 0o644,
            size: 0,
            modified: None,
            content,
            is_encrypted: false,
            is_indexed: false,
            checksum_seed: None,
            extra_size: 0,
            bytes: vec![0; OLD_SIZE],
        }
    }

    /// Sets the start of the map.
    pub(super) fn set_map(&mut self, map: &[u8]) {
        self.bytes[MAP_AT..][..map.len()].copy_from_slice(map);
    }
}
