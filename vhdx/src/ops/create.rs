//! Creates new disks, and new children of disks.

use std::path::Path;

use super::parent_lock::ParentLock;
use crate::disk::locator::NewLink;
use crate::disk::mark;
use crate::disk::{Chain, MAX_CHAIN_LENGTH};
use crate::error::ChainFault;
use crate::error::{Error, InvalidArgument, Result};
use crate::file::{DiskType, NewDisk, Vhdx, VhdxWriter, WriteReport};
use crate::progress::Progress;
use crate::storage::Storage;

/// Options in which a new child differs from its parent, or from what Windows makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildOptions {
    /// The size of the child's disk in bytes, if it is not the parent's.
    ///
    /// It may be larger or smaller. Past the parent's end the child reads as zeros.
    pub virtual_size: Option<u64>,
    /// The size of the child's payload blocks in bytes, if it is not 2 MiB.
    pub block_size: Option<u64>,
}

/// A child that is about to be created.
///
/// Until this is dropped, nobody who respects locks can write to its parent. Keep it until the child exists under its
/// final name.
#[derive(Debug)]
#[must_use]
pub struct NewChild {
    /// The description of the child.
    pub disk: NewDisk,
    _parent: Option<ParentLock>,
}

/// Describes a child of the chain's leaf, which will be created at `destination`.
///
/// The child stores the path from there to the leaf. The leaf is only read, now and later, but it must not change any
/// more. Its content is made durable. If it is a file, it is locked as by
/// [`FileStorage::open_shared`](crate::FileStorage::open_shared).
///
/// # Errors
/// - [`Error::Io`], also if the leaf is being written to, for example by a merge into it.
/// - [`Conflict::StalePlan`](crate::Conflict::StalePlan) if the leaf has changed since it was opened.
/// - [`HalfMerged`](crate::ChainErrorKind::HalfMerged) if a merge into the leaf is incomplete.
///   [`ensure_not_half_merged`](crate::ops::ensure_not_half_merged) also finds merges of earlier versions, which the
///   leaf itself does not show.
/// - [`InvalidArgument::PathNeeded`] if the leaf was not opened by a path, [`InvalidArgument::ParentPath`] if the path
///   to it cannot be stored, [`InvalidArgument::ParentWithoutGuid`].
/// - [`InvalidArgument::BlockSize`] and [`InvalidArgument::VirtualSize`] for impossible options.
/// - [`TooDeep`](crate::ChainErrorKind::TooDeep) if the chain has the greatest length already.
///
/// # Examples
/// ```no_run
/// use std::path::Path;
/// use vhdx::ops::{ChildOptions, create, new_child};
/// use vhdx::{Chain, FolderResolver, IfExists, NewFile, NoProgress};
///
/// # fn main() -> vhdx::Result<()> {
/// let parent = Chain::open("base.vhdx", &FolderResolver::default())?;
/// let destination = Path::new("checkpoint.avhdx");
/// let child = new_child(&parent, destination, &ChildOptions::default())?;
/// let file = NewFile::create(destination, IfExists::Fail)?;
/// create(&child.disk, &file, &NoProgress)?;
/// file.commit()?;
/// drop(child); // the child exists under its name, so the parent need not be locked any longer
/// # Ok(())
/// # }
/// ```
pub fn new_child(parent: &Chain, destination: &Path, options: &ChildOptions) -> Result<NewChild> {
    let leaf = parent.leaf();
    let path = leaf.path().ok_or(InvalidArgument::PathNeeded)?;
    if leaf.data_write_guid().is_nil() {
        return Err(Error::from(InvalidArgument::ParentWithoutGuid).in_file(path));
    }
    if mark::is_half_merged(leaf) {
        return Err(ChainFault::half_merged(path).into());
    }
    if parent.layers().len() >= MAX_CHAIN_LENGTH {
        return Err(ChainFault::TooDeep { path: path.to_owned(), limit: MAX_CHAIN_LENGTH }.into());
    }
    let locator = NewLink::new(destination, path, leaf.data_write_guid()).locator()?;
    let mut disk = NewDisk::child_of(leaf, locator)?;
    if let Some(size) = options.virtual_size {
        disk.virtual_size = size;
    }
    if let Some(size) = options.block_size {
        disk.block_size = u32::try_from(size).map_err(|_| InvalidArgument::BlockSize(size))?;
    }
    disk.file_size(0)?; // fails if the disk is not possible
    let is_leaf =
        |held: &Vhdx| held.identity() == leaf.identity() && held.data_write_guid() == leaf.data_write_guid();
    let parent = leaf.identity().map(|_| ParentLock::open(path, is_leaf)).transpose()?;
    Ok(NewChild { disk, _parent: parent })
}

/// Creates a disk without content in an empty storage.
///
/// When this returns, the file is complete and durable; before, it is not a VHDX. The space of a fixed disk is
/// reserved; `progress` counts its bytes.
///
/// # Errors
/// [`Conflict::DestinationExists`](crate::Conflict::DestinationExists) if the storage is not empty, another [`InvalidArgument`] if `disk` is not
/// possible; [`Error::Io`], [`Error::Cancelled`].
pub fn create(disk: &NewDisk, storage: &dyn Storage, progress: &dyn Progress) -> Result<WriteReport> {
    let mut writer = VhdxWriter::new(storage, disk)?;
    if disk.disk_type == DiskType::Fixed {
        progress.start(disk.virtual_size.next_multiple_of(disk.block_size.into()));
    }
    loop {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match writer.reserve_next()? {
            0 => return writer.finish(),
            bytes => progress.advance(bytes),
        }
    }
}
