//! Carrying out a merge: the plan has decided everything.
//!
//! The steps, in the only order in which every leaf reads the same bytes at every instant; T is the target, K the lowest
//! merged layer, L the top one:
//! 1. lock every file, and hold it against the plan
//! 2. K names T by T's present DataWriteGuid, and by the one that T is about to get
//! 3. T gets that DataWriteGuid
//! 4. T gets the content, batch by batch; L still answers for all of it
//! 5. the children of L become T's, one by one
//! 6. K no longer names T; L to K are deleted, if that was asked for

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::files::{MergeFiles, OpenFile};
use super::pieces::{Content, Piece};
use super::{Batch, BitChange, BlockAction, BlockPlan, FileState, MergePlan};
use crate::chain::locator::{NewLink, with_linkages};
use crate::error::{Error, InvalidArgument, Result};
use crate::file::{DiskType, NewItem, ResizePlan, SectorBits, Vhdx, VhdxMut};
use crate::format::parent_locator::ParentLocator;
use crate::progress::Progress;
use crate::storage::{ReadAt, read_into};
use crate::units::{FileOffset, MIB};
use crate::violation::Violations;

/// How much is copied in one go, in bytes.
const BUFFER: usize = MIB as usize;

/// What a merge has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// How many bytes were copied from the merged layers.
    pub bytes_copied: u64,
    /// How many payload blocks of the target were changed.
    pub blocks: u64,
    /// The files that have the target as their parent now, those of an earlier run among them.
    pub relinked: Vec<PathBuf>,
    /// The files that were deleted.
    pub deleted: Vec<PathBuf>,
}

impl MergePlan {
    /// Carries out the plan. The progress counts the bytes to copy.
    ///
    /// At every instant, and after a failure or a crash at any point, every leaf above reads the bytes that it read
    /// before, and a merge that is planned and carried out again completes what this one began.
    ///
    /// # Errors
    /// [`InvalidArgument::StalePlan`] when a file is not in the state that was planned for; [`Error::Io`], also for a
    /// file that is in use and when there is too little space, both before anything is written;
    /// [`Error::Cancelled`] after a batch.
    pub fn execute(&self, files: &dyn MergeFiles, progress: &dyn Progress) -> Result<Merged> {
        let locked = Locked::open(self, files)?;
        self.refuse_too_little_space(files)?;
        progress.start(self.bytes_to_copy);
        let mut done = Merged { relinked: self.relinked.clone(), ..Merged::default() };
        let guid = if self.copied { self.target().data_write_guid } else { Uuid::new_v4() };
        if !self.copied {
            locked.announce(self, guid)?;
            locked.fill_target(self, guid, progress, &mut done)?;
        }
        locked.relink(self, guid, progress, &mut done)?;
        if self.detach {
            locked.detach(self)?;
        }
        drop(locked);
        self.delete_merged(files, &mut done)?;
        Ok(done)
    }

    /// Step 6. Once L is gone, nobody reads through the other layers; and if K, merged again, were to say what it holds,
    /// it would undo what L said later.
    fn delete_merged(&self, files: &dyn MergeFiles, done: &mut Merged) -> Result<()> {
        for &layer in &self.delete {
            let path = &self.layers[layer].path;
            files.delete(path)?;
            done.deleted.push(path.clone());
            if layer == 0 && self.lowest() > 0 && !self.detach {
                let lowest = &self.layers[self.lowest()].path;
                set_locator(&files.open(lowest)?, lowest, without_parent)?;
            }
        }
        Ok(())
    }

    fn target(&self) -> &FileState {
        &self.layers[self.layers.len() - 1]
    }

    /// The merged layer whose parent the target is.
    fn lowest(&self) -> usize {
        self.layers.len() - 2
    }

    /// Every place in the target that the plan gives to something, with its length in bytes.
    fn places(&self) -> impl Iterator<Item = (FileOffset, u64)> {
        let block_size = self.geometry.block_size();
        let growth = self.growth.iter().flat_map(ResizePlan::places).map(|(place, len)| (place.offset, len));
        let bitmaps = self.batches.iter().flat_map(|batch| &batch.bitmaps).map(|bitmap| (bitmap.place, MIB));
        let blocks = self.batches.iter().flat_map(|batch| &batch.blocks);
        let blocks = blocks.filter(|block| block.action != BlockAction::Zero);
        growth.chain(bitmaps).chain(blocks.map(move |block| (block.place, block_size)))
    }

    /// Refuses a merge for which the host says that there is too little space, as [`execute`](Self::execute) does
    /// before it writes anything.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn refuse_too_little_space(&self, files: &dyn MergeFiles) -> Result<()> {
        let target = &self.target().path;
        let needed = self.bytes_needed();
        match files.free_space(target)? {
            Some(free) if !self.copied && free < needed => {
                let reason = format!("up to {needed} bytes of space are needed, {free} are free");
                let source = io::Error::new(io::ErrorKind::StorageFull, reason);
                Err(Error::io("merge", None, source).in_file(target))
            }
            _ => Ok(()),
        }
    }
}

/// The files of a plan, which nobody else can open.
struct Locked {
    /// As in the plan: the merged layers from the top, then the target.
    layers: Vec<OpenFile>,
    children: Vec<OpenFile>,
}

impl Locked {
    /// Opens all files, each of which must be in the state that was planned for.
    fn open(plan: &MergePlan, files: &dyn MergeFiles) -> Result<Self> {
        let open = |states: &[FileState]| -> Result<Vec<OpenFile>> {
            let mut open = Vec::new();
            for state in states {
                let file = files.open(&state.path)?;
                if !state.fits(&load(&file, &state.path)?) {
                    return Err(Error::from(InvalidArgument::StalePlan).in_file(&state.path));
                }
                settle(&file, &state.path)?;
                open.push(file);
            }
            Ok(open)
        };
        for path in &plan.relinked {
            let file = files.open(path)?;
            settle(&file, path)?;
            self::open(&file, path)?.close()?; // without a dirty log
        }
        Ok(Self { layers: open(&plan.layers)?, children: open(&plan.children)? })
    }

    /// Step 2. Afterwards K opens by its first linkage, and will by its second.
    fn announce(&self, plan: &MergePlan, guid: Uuid) -> Result<()> {
        let now = plan.target().data_write_guid;
        self.set_locator(plan, plan.lowest(), |old| with_linkages(old, now, guid))
    }

    fn detach(&self, plan: &MergePlan) -> Result<()> {
        self.set_locator(plan, plan.lowest(), without_parent)
    }

    fn set_locator(
        &self,
        plan: &MergePlan,
        layer: usize,
        change: impl FnOnce(&ParentLocator) -> Result<ParentLocator>,
    ) -> Result<()> {
        let path = &plan.layers[layer].path;
        set_locator(&self.layers[layer], path, change)
    }

    /// Steps 3 and 4.
    fn fill_target(
        &self,
        plan: &MergePlan,
        guid: Uuid,
        progress: &dyn Progress,
        done: &mut Merged,
    ) -> Result<()> {
        let path = &plan.target().path;
        let mut merged = Vec::new();
        for (file, state) in self.layers.iter().zip(&plan.layers).take(plan.layers.len() - 1) {
            merged.push(load(file, &state.path)?);
        }
        let mut target = open(&self.layers[plan.layers.len() - 1], path)?;
        target.reserve(plan.places());
        target.begin_as(guid)?;
        let filled = fill(&mut target, &merged, plan, progress, done);
        if filled.as_ref().is_err_and(|error| !matches!(error, Error::Cancelled)) {
            return filled; // as after a power failure: the log says what counts
        }
        target.close()?;
        filled
    }

    /// Step 5. Before it a child reads through L, after it through T.
    fn relink(&self, plan: &MergePlan, guid: Uuid, progress: &dyn Progress, done: &mut Merged) -> Result<()> {
        let known = load(&self.layers[plan.lowest()], &plan.layers[plan.lowest()].path)?;
        for (file, state) in self.children.iter().zip(&plan.children) {
            if progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            set_locator(file, &state.path, |old| {
                let link = NewLink {
                    child: &state.path,
                    parent: &plan.target().path,
                    linkage: guid,
                    linkage2: plan.layers[0].data_write_guid,
                    old: Some(old),
                    known: known.parent_locator(),
                };
                link.locator()
            })?;
            done.relinked.push(state.path.clone());
        }
        Ok(())
    }
}

/// Makes durable what an earlier run wrote before it was killed: it can be read, and more is about to rest on it.
fn settle(file: &OpenFile, path: &Path) -> Result<()> {
    file.storage.sync().map_err(|e| Error::io("sync", None, e).in_file(path))
}

pub(super) fn load(file: &OpenFile, path: &Path) -> Result<Vhdx> {
    let storage = Arc::clone(&file.storage) as Arc<dyn ReadAt>;
    let vhdx = Vhdx::load(storage, &mut Violations::new()).map_err(|e| e.in_file(path))?;
    Ok(vhdx.named(path).identified(file.identity))
}

fn open(file: &OpenFile, path: &Path) -> Result<VhdxMut> {
    Ok(VhdxMut::from_storage(Arc::clone(&file.storage)).map_err(|e| e.in_file(path))?.named(path))
}

fn set_locator(
    file: &OpenFile,
    path: &Path,
    change: impl FnOnce(&ParentLocator) -> Result<ParentLocator>,
) -> Result<()> {
    let mut child = open(file, path)?;
    let old = child.parent_locator().cloned().unwrap_or_default();
    let new = change(&old).map_err(|e| e.in_file(path))?;
    child.set_parent_locator(&new)?;
    child.close()
}

fn without_parent(old: &ParentLocator) -> Result<ParentLocator> {
    with_linkages(old, Uuid::nil(), Uuid::nil())
}

/// Step 4. Between two batches the target is whole: a cancel leaves what a later run goes on from.
fn fill(
    target: &mut VhdxMut,
    merged: &[Vhdx],
    plan: &MergePlan,
    progress: &dyn Progress,
    done: &mut Merged,
) -> Result<()> {
    if let Some(growth) = &plan.growth {
        target.grow(growth)?;
    }
    let mut buffer = vec![0; BUFFER];
    for batch in &plan.batches {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        target.write_batch(batch.file_size, |target| {
            copy_batch(target, merged, plan, batch, &mut buffer, progress)
        })?;
        done.blocks = done.blocks.saturating_add(batch.blocks.len() as u64);
        done.bytes_copied += batch.blocks.iter().map(|block| block.copied).sum::<u64>();
    }
    if plan.shrinks {
        target.clear_past(plan.virtual_size)?;
    }
    if plan.items.is_empty() {
        return Ok(());
    }
    let items = new_items(&merged[0], plan)?;
    target.replace_items(|entry| plan.items.replaces(entry), items)
}

fn copy_batch(
    target: &mut VhdxMut,
    merged: &[Vhdx],
    plan: &MergePlan,
    batch: &Batch,
    buffer: &mut [u8],
    progress: &dyn Progress,
) -> Result<()> {
    for bitmap in &batch.bitmaps {
        if !bitmap.is_fresh {
            target.put_zeros(bitmap.place, MIB)?;
        }
        target.stage_bitmap(bitmap.chunk, bitmap.place)?;
    }
    for block in &batch.blocks {
        // A fixed disk's space is reserved.
        if block.is_new_place() && (!block.is_fresh || target.disk_type() == DiskType::Fixed) {
            target.put_zeros(block.place, plan.geometry.block_size())?;
        }
        let mut bits = match block.bits() {
            BitChange::None => None,
            BitChange::Set => Some(target.sector_bits(block.block)?),
            BitChange::Replace => Some(target.clear_bits()),
        };
        for piece in plan.pieces(merged, block) {
            let piece = piece?;
            write_piece(target, merged, &piece, buffer)?;
            if let Some(bits) = &mut bits {
                bits.set(target.sectors(&(piece.start..piece.start.saturating_add(piece.len))));
            }
        }
        stage_block(target, block, bits.as_ref())?;
        progress.advance(block.copied);
    }
    Ok(())
}

fn stage_block(target: &mut VhdxMut, block: &BlockPlan, bits: Option<&SectorBits>) -> Result<()> {
    if let Some(bits) = bits {
        target.stage_bits(block.block, bits)?;
    }
    match block.entry().and_then(|entry| Some((entry.payload_state()?, entry.file_offset()))) {
        Some((state, place)) => target.stage_payload(block.block, state, place),
        None => Ok(()),
    }
}

fn write_piece(target: &VhdxMut, merged: &[Vhdx], piece: &Piece, buffer: &mut [u8]) -> Result<()> {
    match piece.content {
        Content::Nothing => Ok(()),
        Content::Zeros => target.put_zeros(piece.to, piece.len),
        Content::Copy { layer, offset } => copy(target, &merged[layer], piece.len, offset, piece.to, buffer),
    }
}

fn copy(
    target: &VhdxMut,
    layer: &Vhdx,
    len: u64,
    mut from: FileOffset,
    mut to: FileOffset,
    buffer: &mut [u8],
) -> Result<()> {
    let mut left = len;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let part = &mut buffer[..now];
        read_into(layer.storage(), part, from).map_err(|e| layer.in_file(e))?;
        target.put(part, to)?;
        let now = now as u64;
        (left, from, to) = (left - now, from.saturating_add(now), to.saturating_add(now));
    }
    Ok(())
}

/// The items of the merged disk that the target gets.
fn new_items(leaf: &Vhdx, plan: &MergePlan) -> Result<Vec<NewItem>> {
    let taken = leaf.metadata_entries().iter().filter(|entry| plan.items.takes(entry));
    taken
        .map(|entry| {
            let content = leaf.read_metadata_item(entry)?;
            let (is_user, is_required) = (entry.is_user, entry.is_required);
            Ok(NewItem { id: entry.id, is_user, is_virtual_disk: true, is_required, content })
        })
        .collect()
}
