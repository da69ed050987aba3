//! Files and folders in ext2, ext3 and ext4.
//!
//! A file system that was not unmounted is read as it is after its journal has been replayed. The replay is an overlay
//! in memory. All lengths and block numbers are bounded by the superblock, and every walk through a structure ends:
//! levels of trees only decrease, keys only increase, and the journal is walked once.
//!
//! The format is described in the kernel's documentation, "ext4 Data Structures and Algorithms".
#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used
    )
)]

mod block_map;
mod checksum;
mod extents;
mod features;
mod folder;
mod groups;
mod inline;
mod inode;
mod journal;
mod number;
mod overlay;
mod reader;
mod segment;
mod superblock;
#[cfg(test)]
mod testing;
mod time;
mod used;
mod volume;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use folder::{Parser, RawEntry};
use inode::{ContentKind, Inode};
use journal::Replayed;
use number::{Checked, to_usize};
use overlay::Overlay;
use reader::Reader;
use superblock::Superblock;
use used::Used;
use volume::Volume;

use super::guarded::Budget;
use super::{Attributes, Entry, FileSystem, Kind, Node, Range};
use crate::error::{Error, Result};
use crate::window::Window;

/// How many bytes of a folder are read at a time: a multiple of every block size.
const FOLDER_PART: u64 = 256 << 10;
/// The longest target of a link in bytes, as in Linux.
const LONGEST_TARGET: u64 = 4096;

const FAST_COMMITS: &str = "the ext file system was in use, and its journal ends with fast commits, which are not \
                            replayed; files are shown as of the last full commit, usually a few seconds earlier";
const INCONSISTENT: &str =
    "the ext file system was in use and has no journal; files may be missing or incomplete";
const CUT_OFF: &str = "the ext file system is longer than its partition or disk; files that have blocks after this end \
                       cannot be read";
const ERRORS: &str = "the kernel has found errors in the ext file system; files may be missing or damaged";

/// An ext2, ext3 or ext4 file system that is open for reading.
///
/// Encrypted files and folders have attributes, but their content, entries and targets are
/// [`Error::Unsupported`].
pub struct Ext<'a> {
    reader: Reader<'a>,
    notes: Vec<String>,
}

impl<'a> Ext<'a> {
    /// Opens the file system in a window. If it was not unmounted, its journal is replayed in memory.
    ///
    /// # Errors
    /// [`Error::Disk`]; [`Error::Damaged`] for an invalid superblock or journal; [`Error::Unsupported`] for unknown
    /// features, and for a journal that is on another device and has to be replayed.
    pub fn open(window: Window<'a>) -> Result<Self> {
        Self::open_within(window, None)
    }

    /// As [`open`](Self::open). `budget` counts the reads, and the steps through maps of files.
    pub(super) fn open_within(window: Window<'a>, budget: Option<Arc<Budget>>) -> Result<Self> {
        let superblock = Superblock::new(&window.read(superblock::OFFSET, superblock::LEN)?)?;
        let (block_size, block_count) = (superblock.block_size, superblock.block_count);
        // Blocks that do not exist must not make a list long.
        let blocks_of_window = window.len().per(block_size)?;
        let volume = |overlay| {
            let block_count = block_count.min(blocks_of_window);
            Volume::new(window, block_size, block_count, overlay).with_budget(budget.clone())
        };
        let before = Reader::new(superblock, volume(Overlay::default()));
        let Replayed { overlay, has_fast_commits } = journal::replay(&before)?;
        let volume = volume(overlay);
        // The journal may have the superblock, too.
        let mut bytes = vec![0; superblock::LEN];
        volume.read(superblock::OFFSET, &mut bytes)?;
        let superblock = Superblock::new(&bytes)?;
        if superblock.block_size != block_size {
            return Err(Error::damaged("the ext superblock", "its journal changes the size of blocks"));
        }
        let volume = volume.with_block_count(superblock.block_count.min(blocks_of_window));
        let notes = [
            (has_fast_commits, FAST_COMMITS),
            (superblock.is_inconsistent, INCONSISTENT),
            (superblock.block_count > blocks_of_window, CUT_OFF),
            (superblock.has_errors, ERRORS),
        ];
        let notes = notes.iter().filter(|(holds, _)| *holds).map(|(_, note)| (*note).to_owned()).collect();
        Ok(Self { reader: Reader::new(superblock, volume), notes })
    }

    fn inode(&self, node: Node) -> Result<Inode> {
        let number = u32::try_from(node.0)
            .map_err(|_| Error::damaged(format!("inode {}", node.0), "its number is too large"))?;
        self.reader.inode(number)
    }

    fn content_of(&self, node: Node, kind: Kind) -> Result<Inode> {
        let inode = self.inode(node)?;
        if inode.kind != kind {
            let why = format!("{} is not a {}", inode.name(), noun(kind));
            return Err(Error::Unsupported(why));
        }
        inode.ensure_not_encrypted()?;
        Ok(inode)
    }

    fn entry(&self, raw: RawEntry) -> Result<Entry> {
        let superblock = &self.reader.superblock;
        let is_reserved = raw.inode < superblock.first_inode && raw.inode != inode::ROOT;
        if is_reserved || raw.inode > superblock.inode_count {
            let why = format!("it cannot belong to a file; {} inodes exist", superblock.inode_count);
            return Err(Error::damaged(format!("inode {} in a folder", raw.inode), why));
        }
        let kind = match raw.kind {
            Some(kind) => kind,
            None => self.reader.inode(raw.inode)?.kind,
        };
        Ok(Entry { name: raw.name, node: Node(u64::from(raw.inode)), kind })
    }

    /// Calls `each` with entries, and returns whether it broke. Damage does not hide the other entries.
    fn pass(
        &self,
        entries: Result<Vec<RawEntry>>,
        damage: &mut Option<Error>,
        each: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let entries = entries.unwrap_or_else(|error| {
            damage.get_or_insert(error);
            Vec::new()
        });
        for raw in entries {
            match self.entry(raw) {
                Ok(entry) => {
                    if each(entry)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Err(error) => *damage = damage.take().or(Some(error)),
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Folder => "folder",
        Kind::Link => "link",
        Kind::Other(name) => name,
    }
}

impl FileSystem for Ext<'_> {
    fn root(&self) -> Node {
        Node(u64::from(inode::ROOT))
    }

    fn attributes(&self, node: Node) -> Result<Attributes> {
        let inode = self.inode(node)?;
        let size = if inode.kind == Kind::Folder { 0 } else { inode.size };
        Ok(Attributes { kind: inode.kind, size, modified: inode.modified, mode: Some(inode.mode) })
    }

    fn list(&self, folder: Node, each: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>>) -> Result<()> {
        let inode = self.content_of(folder, Kind::Folder)?;
        let superblock = &self.reader.superblock;
        let parser = Parser { folder: &inode, has_file_type: superblock.features.has_file_type() };
        let mut damage = None;
        if inode.content == ContentKind::Inline {
            let (first, rest) = inline::parts(&inode)?;
            for part in [folder::inline_entries(first)?, rest] {
                if self.pass(parser.entries(part), &mut damage, each)?.is_break() {
                    return Ok(());
                }
            }
            return damage.map_or(Ok(()), Err);
        }
        folder::ensure_size(&inode, superblock.block_size, self.reader.volume.block_count())?;
        let mut used = Used::default();
        let mut offset = 0u64;
        while let Some(range) = self.reader.range_at(&inode, offset)? {
            if range.is_hole {
                damage.get_or_insert_with(|| parser.damaged(&format!("it has a hole at byte {offset}")));
                offset = offset.plus(range.len)?;
                continue;
            }
            let mut bytes = vec![0; to_usize(range.len.min(FOLDER_PART))?];
            self.reader.read(&inode, offset, &mut bytes)?;
            for block in folder::blocks(&bytes, superblock.block_size)? {
                let index = offset.per(superblock.block_size)?;
                self.reader.ensure_new(&inode, index, &mut used)?;
                let entries = parser.block(index, block);
                if self.pass(entries, &mut damage, each)?.is_break() {
                    return Ok(());
                }
                offset = offset.plus(superblock.block_size)?;
            }
        }
        damage.map_or(Ok(()), Err)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn is_same_name(&self, one: &[u8], other: &[u8]) -> bool {
        one == other
    }

    fn range_at(&self, file: Node, offset: u64) -> Result<Option<Range>> {
        let inode = self.content_of(file, Kind::File)?;
        self.reader.range_at(&inode, offset)
    }

    fn read(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let inode = self.content_of(file, Kind::File)?;
        self.reader.read(&inode, offset, buf)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>> {
        let inode = self.content_of(link, Kind::Link)?;
        if inode.size == 0 || inode.size > LONGEST_TARGET {
            let why = format!("its target has {} bytes", inode.size);
            return Err(Error::damaged(format!("the link with {}", inode.name()), why));
        }
        let mut target = vec![0; to_usize(inode.size)?];
        self.reader.read(&inode, 0, &mut target)?;
        Ok(target)
    }
}

impl fmt::Debug for Ext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ext").field("superblock", &self.reader.superblock).finish_non_exhaustive()
    }
}
