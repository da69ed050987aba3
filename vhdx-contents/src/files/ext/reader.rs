//! Reads the content of inodes.

use std::sync::{Arc, Mutex, PoisonError};

use super::inode::{ContentKind, Inode};
use super::number::{Checked, part, to_usize};
use super::segment::{Run, Segment};
use super::superblock::Superblock;
use super::used::Used;
use super::volume::Volume;
use super::{block_map, extents, inline};
use crate::error::{Error, Result};
use crate::files::Range;

/// How many parts of a map are joined to one piece at most, and how many pieces to one range. This bounds the time to
/// look for the end of a range. Callers get several ranges instead.
const JOINED: usize = 1024;
const JOINED_PIECES: usize = 16;

/// Reads inodes and their content.
pub(super) struct Reader<'a> {
    pub(super) superblock: Superblock,
    pub(super) volume: Volume<'a>,
    /// The part of a map that was used last, and its inode.
    last: Mutex<Option<(u32, Arc<Segment>)>>,
}

/// Bytes of a file that are in one place.
struct Piece {
    len: u64,
    /// The position in the file system in bytes; `None` for a hole.
    offset: Option<u64>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(superblock: Superblock, volume: Volume<'a>) -> Self {
        Self { superblock, volume, last: Mutex::default() }
    }

    pub(super) fn inode(&self, number: u32) -> Result<Inode> {
        Inode::read(&self.volume, &self.superblock, number)
    }

    /// Returns the range of the content that begins at `offset`; `None` at the end.
    pub(super) fn range_at(&self, inode: &Inode, offset: u64) -> Result<Option<Range>> {
        let left = match inode.size.checked_sub(offset) {
            None | Some(0) => return Ok(None),
            Some(left) => left,
        };
        let range = |len, is_hole| Some(Range { start: offset, len, is_hole });
        if let Some(content) = self.content_in_inode(inode)? {
            let end = u64::try_from(content.len()).map_err(|_| too_large(inode))?;
            return Ok(match end.checked_sub(offset) {
                None | Some(0) => range(left, true),
                Some(len) => range(len.min(left), false),
            });
        }
        let first = self.piece(inode, offset, left)?;
        let is_hole = first.offset.is_none();
        let mut len = first.len;
        for _ in 0..JOINED_PIECES {
            if len >= left {
                break;
            }
            let next = self.piece(inode, offset.plus(len)?, left.minus(len)?)?;
            if next.offset.is_none() != is_hole {
                break;
            }
            len = len.plus(next.len)?;
        }
        Ok(range(len, is_hole))
    }

    /// Fills `buf` with the content from `offset` on, and returns how many bytes there were.
    pub(super) fn read(&self, inode: &Inode, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let left = inode.size.saturating_sub(offset); // nothing is left past the end
        let len = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        let Some(mut rest) = buf.get_mut(..len).filter(|buf| !buf.is_empty()) else { return Ok(0) };
        if let Some(content) = self.content_in_inode(inode)? {
            let content = content.get(to_usize(offset)?..).unwrap_or(&[]); // the rest is a hole
            rest.fill(0);
            for (target, source) in rest.iter_mut().zip(content) {
                *target = *source;
            }
            return Ok(len);
        }
        let mut at = offset;
        while !rest.is_empty() {
            let wanted = u64::try_from(rest.len()).map_err(|_| too_large(inode))?;
            let piece = self.piece(inode, at, wanted)?;
            let (now, later) =
                rest.split_at_mut_checked(to_usize(piece.len)?).ok_or_else(|| too_large(inode))?;
            match piece.offset {
                Some(offset) => self.volume.read(offset, now)?,
                None => now.fill(0),
            }
            at = at.plus(piece.len)?;
            rest = later;
        }
        Ok(len)
    }

    /// Returns the block of the file system that has a block of a file; `None` for a hole.
    pub(super) fn block_of(&self, inode: &Inode, at: u64) -> Result<Option<u64>> {
        Ok(self.run_at(inode, at)?.block)
    }

    /// Checks that no earlier block of a file is in the same place as this one. A hole is in no place.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(super) fn ensure_new(&self, inode: &Inode, at: u64, used: &mut Used) -> Result<()> {
        add(inode, Run { len: 1, ..self.run_at(inode, at)? }, used)
    }

    /// Checks that the first `len` blocks of a file are in different places.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(super) fn ensure_distinct(&self, inode: &Inode, len: u64) -> Result<()> {
        let (mut used, mut at) = (Used::default(), 0u64);
        while at < len {
            let run = self.run_at(inode, at)?;
            add(inode, run, &mut used)?;
            at = at.plus(run.len)?;
        }
        Ok(())
    }

    /// Returns the content that is in the inode. It may be shorter than the file, which ends with a hole then.
    fn content_in_inode(&self, inode: &Inode) -> Result<Option<Vec<u8>>> {
        match inode.content {
            ContentKind::Inline => inline::content(inode).map(Some),
            ContentKind::ShortLink => Ok(Some(part(inode.map()?, 0, to_usize(inode.size)?)?.to_vec())),
            ContentKind::Extents | ContentKind::BlockMap => Ok(None),
        }
    }

    /// Returns the longest piece of at most `wanted` bytes from `offset` on. Its length is at least 1 if `wanted` is.
    fn piece(&self, inode: &Inode, offset: u64, wanted: u64) -> Result<Piece> {
        let block_size = self.superblock.block_size;
        let (block, skipped) = (offset.per(block_size)?, offset.rest(block_size)?);
        let enough = skipped.plus(wanted)?.div_ceil(block_size);
        let mut run = self.run_at(inode, block)?;
        for _ in 0..JOINED {
            if run.len >= enough {
                break;
            }
            let next = self.run_at(inode, block.plus(run.len)?)?;
            if !run.is_continued_by(&next) {
                break;
            }
            run.len = run.len.plus(next.len)?;
        }
        // A hole may be longer than 64 bits can count in bytes.
        let len = run.len.min(enough).times(block_size)?.minus(skipped)?.min(wanted);
        let offset = run.block.map(|block| block.times(block_size)?.plus(skipped)).transpose()?;
        Ok(Piece { len, offset })
    }

    /// Returns the run that begins at a block of a file.
    fn run_at(&self, inode: &Inode, at: u64) -> Result<Run> {
        if let Some((number, segment)) = &*self.last()
            && *number == inode.number
            && let Some(run) = segment.run_at(at)
        {
            return Ok(run);
        }
        self.volume.spend()?;
        let segment = Arc::new(match inode.content {
            ContentKind::Extents => extents::segment(&self.volume, inode, at)?,
            _ => block_map::segment(&self.volume, inode, at)?,
        });
        let run = segment.run_at(at);
        *self.last() = Some((inode.number, segment));
        run.ok_or_else(|| Error::damaged(inode.name(), format!("its map does not have block {at}")))
    }

    /// A panic cannot leave an invalid segment, so it does not matter.
    fn last(&self) -> std::sync::MutexGuard<'_, Option<(u32, Arc<Segment>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the places of a run.
fn add(inode: &Inode, run: Run, used: &mut Used) -> Result<()> {
    let Some(block) = run.block else { return Ok(()) };
    if used.add(block, block.plus(run.len)?) {
        return Ok(());
    }
    Err(Error::damaged(inode.name(), format!("its map names block {block} twice")))
}

fn too_large(inode: &Inode) -> Error {
    Error::damaged(inode.name(), "a length in it is too large")
}
