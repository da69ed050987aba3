//! Writes to an existing VHDX, and keeps it sound whenever power fails ([MS-VHDX] 2.3).
//!
//! A session begins with the first change and ends with [`VhdxMut::close`]:
//! ```text
//! headers: FileWriteGuid | log: empty entry | headers: LogGuid, DataWriteGuid | commit, ... | headers: no LogGuid
//! ```
//! Data are written directly: where nothing points yet, or over older data of the guest. Pointers (BAT entries, sector
//! bitmaps, metadata, region tables) are staged in memory. A commit makes them count together:
//! ```text
//! sync | one log entry | sync | the same pages in their places
//! ```
//! The first sync makes durable what the entry will point to, and also the pages of the commit before. So each entry is
//! the whole active sequence, and a replay never restores anything older than the last commit.

mod blocks;
mod metadata;
mod metadata_space;
mod payload;
mod resize;
mod space;
mod staged;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::headers::Headers;
use super::replay::replay;
use super::{OpenOptions, Vhdx};
use crate::error::{Bounded, Error, Guaranteed, InvalidState, Result};
use crate::format::log_entry::LogWrite;
use crate::geometry::Geometry;
use crate::log::{LogWriter, MAX_LOG_LENGTH};
use crate::storage::{FileStorage, Storage, put};
use crate::units::{FileOffset, MIB};
use crate::violation::Violations;

pub(crate) use blocks::SectorBits;
pub(crate) use resize::ResizePlan;
pub(crate) use space::{Place, Space};
use staged::Staged;

/// The length in bytes of the new log of a file that has none ([MS-VHDX] 2.2.2).
const NEW_LOG: u64 = MIB;

/// A VHDX file open for writing. Nothing else may write to it meanwhile.
///
/// To read its disk, close it, or use [`ChainMut`](crate::ChainMut).
///
/// Nothing is written before the first change. The first change gives the file a new FileWriteGuid. The first change of
/// guest-visible content gives it a new DataWriteGuid, which orphans its children, if it has any ([MS-VHDX] 2.2.2).
///
/// If it is dropped without [`close`](Self::close), the file is as after a power failure: sound, with a dirty log, and
/// with every change up to the last flush. The same holds after an error, and every further change is then refused.
///
/// # Examples
/// ```no_run
/// use vhdx::{DiskOffset, VhdxMut};
///
/// # fn main() -> vhdx::Result<()> {
/// let mut disk = VhdxMut::open("disk.vhdx")?;
/// disk.write_all_at(&[1; 4096], DiskOffset::new(1 << 20))?;
/// disk.close()?;
/// # Ok(())
/// # }
/// ```
pub struct VhdxMut {
    vhdx: Vhdx,
    staged: Arc<Staged>,
    headers: Headers,
    space: Space,
    /// The log of the session; `None` before the session begins.
    log: Option<LogWriter>,
    /// The length of the file in bytes; a multiple of 1 MiB in a session.
    len: u64,
    /// Places to which the staged changes no longer point, with lengths in bytes. The next commit frees them.
    freed: Vec<(FileOffset, u64)>,
    /// Old places of moved tables. They stay taken until no log entry can be replayed over them.
    retired: Vec<(FileOffset, u64)>,
    has_new_content: bool,
    has_failed: bool,
}

impl fmt::Debug for VhdxMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VhdxMut").field("vhdx", &self.vhdx).finish_non_exhaustive()
    }
}

impl VhdxMut {
    /// Returns the file with its staged changes.
    /// Not public: after a change, a clone would have the old sizes, but the new blocks.
    pub(crate) fn vhdx(&self) -> &Vhdx {
        &self.vhdx
    }

    /// Returns the sizes and counts of blocks and sectors.
    pub fn geometry(&self) -> Geometry {
        self.vhdx.geometry()
    }

    /// Returns the size of the disk in bytes.
    pub fn virtual_size(&self) -> u64 {
        self.vhdx.virtual_size()
    }

    /// Returns the size of a payload block in bytes.
    pub fn block_size(&self) -> u64 {
        self.vhdx.block_size()
    }

    /// Returns the logical sector size in bytes: 512 or 4096.
    pub fn logical_sector_size(&self) -> u32 {
        self.vhdx.logical_sector_size()
    }

    /// Returns the DataWriteGuid, by which children name this file ([MS-VHDX] 2.2.2). The first change replaces it.
    pub fn data_write_guid(&self) -> Uuid {
        self.headers.current().data_write_guid
    }

    /// Returns whether a change has failed. Every further one is [`FailedBefore`](InvalidState::FailedBefore) then.
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Opens a file for writing and locks it against other programs.
    ///
    /// A dirty log is replayed into the file first.
    ///
    /// # Errors
    /// As [`FileStorage::open_exclusive`], [`Vhdx::open`] and [`Vhdx::validate_placement`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = FileStorage::open_exclusive(path)?;
        let open = || {
            let identity = file.identity()?;
            Ok((Self::load(Arc::new(file))?, identity))
        };
        let (mut open, identity) = open().map_err(|error: Error| error.in_file(path))?;
        open.vhdx.identity = Some(identity);
        Ok(open.named(path))
    }

    /// Opens a VHDX in a storage for writing. Nothing else may write to the storage meanwhile.
    ///
    /// # Errors
    /// As [`open`](Self::open), except those of opening and locking a file; with the name of the options.
    pub fn open_with(storage: Arc<dyn Storage>, options: &OpenOptions) -> Result<Self> {
        let loaded = Self::load(storage);
        match options.path() {
            Some(path) => Ok(loaded.map_err(|error| error.in_file(path))?.named(path)),
            None => loaded,
        }
    }

    fn load(storage: Arc<dyn Storage>) -> Result<Self> {
        replay(Arc::clone(&storage))?;
        let staged = Arc::new(Staged::new(Arc::clone(&storage)));
        let vhdx = Vhdx::load(Arc::clone(&staged) as _, &mut Violations::new())?;
        let headers = Headers::new(storage, vhdx.header.clone(), vhdx.header_number);
        Ok(Self {
            space: Space::from_validated_bat(&vhdx)?,
            len: vhdx.file_len(),
            vhdx,
            staged,
            headers,
            log: None,
            freed: Vec::new(),
            retired: Vec::new(),
            has_new_content: false,
            has_failed: false,
        })
    }

    /// Sets the path that names this file in errors.
    pub(crate) fn named(self, path: &Path) -> Self {
        Self { vhdx: self.vhdx.named(path), ..self }
    }

    /// Makes all changes so far durable.
    ///
    /// # Errors
    /// [`Error::Io`]; the changes of the last flush that succeeded stay durable.
    pub fn flush(&mut self) -> Result<()> {
        self.change(|this| {
            this.commit()?;
            this.sync()
        })
    }

    /// Makes all changes durable and leaves a clean log.
    ///
    /// # Errors
    /// [`Error::Io`]; the file is sound then, but its log may be dirty.
    pub fn close(self) -> Result<()> {
        let data_write_guid = self.headers.current().data_write_guid;
        self.close_as(data_write_guid)
    }

    /// Closes the file like [`close`](Self::close), with this DataWriteGuid.
    ///
    /// If a session has begun, one change of headers sets the GUID and clears the log, after all content is durable.
    /// Otherwise nothing is written.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub(crate) fn close_as(mut self, data_write_guid: Uuid) -> Result<()> {
        self.change(|this| {
            if this.log.is_none() {
                return Ok(());
            }
            this.commit()?;
            this.sync()?;
            this.headers.update(|header| {
                (header.log_guid, header.data_write_guid) = (Uuid::nil(), data_write_guid);
            })?;
            this.log = None;
            this.truncate_free_end()
        })
    }

    /// Makes a change that may fail half-way. After a failure every further change is refused.
    fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.has_failed {
            return Err(self.vhdx.in_file(InvalidState::FailedBefore.into()));
        }
        let result = change(self);
        self.has_failed = result.is_err();
        result.map_err(|error| self.vhdx.in_file(error))
    }

    /// Begins a session, if none has begun.
    fn begin(&mut self) -> Result<()> {
        self.begin_with(None)
    }

    /// Begins a session, if none has begun, to change guest-visible content.
    ///
    /// Sets a new DataWriteGuid, unless this `VhdxMut` has set one already.
    fn begin_content(&mut self) -> Result<()> {
        if self.has_new_content {
            return self.begin();
        }
        self.begin_with(Some(Uuid::new_v4()))
    }

    /// Begins a session, if none has begun, so that errors, such as a full disk, occur now.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn begin_session(&mut self) -> Result<()> {
        self.change(Self::begin)
    }

    /// Begins a session with this DataWriteGuid.
    ///
    /// If a session has begun already, only the headers are written.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn begin_as(&mut self, data_write_guid: Uuid) -> Result<()> {
        self.change(|this| this.begin_with(Some(data_write_guid)))
    }

    fn begin_with(&mut self, content: Option<Uuid>) -> Result<()> {
        if self.log.is_none() {
            let (place, len) = self.place_of_log()?;
            // A process that was killed may have written bytes that can be read but are not durable yet.
            self.sync()?;
            self.headers.update(|header| header.file_write_guid = Uuid::new_v4())?;
            self.extend_to(self.len.max(place.plus(len)?.get()))?;
            let log = LogWriter::start(self.staged.storage(), place, len)?;
            let guid = log.guid();
            let length = u32::try_from(len).guaranteed("a session uses at most 1 GiB of the log")?;
            self.headers.update(|header| {
                (header.log_guid, header.log_version) = (guid, 0);
                (header.log_offset, header.log_length) = (place, length);
                if let Some(content) = content {
                    header.data_write_guid = content;
                }
            })?;
            self.vhdx.layout.log = (place, len);
            self.log = Some(log);
        } else if let Some(content) = content {
            self.headers.update(|header| header.data_write_guid = content)?;
        }
        self.has_new_content |= content.is_some();
        self.vhdx.header = self.headers.current().clone();
        Ok(())
    }

    /// Returns the place and the length in bytes of the session's log.
    ///
    /// Allocates a new log if the file has none inside it.
    ///
    /// A log that is too long to be replayed is shortened to [`MAX_LOG_LENGTH`].
    fn place_of_log(&mut self) -> Result<(FileOffset, u64)> {
        if let Some((place, len)) = self.vhdx.place_of_log() {
            return Ok((place, len.min(MAX_LOG_LENGTH)));
        }
        Ok((self.space.allocate(NEW_LOG)?.offset, NEW_LOG))
    }

    /// Commits all staged pages as one transaction.
    ///
    /// After a crash either all of them count or none. The places in `freed` become free.
    fn commit(&mut self) -> Result<()> {
        let writes = self.staged.writes();
        if let (false, Some(log)) = (writes.is_empty(), &mut self.log) {
            let storage = self.staged.storage();
            sync(storage)?;
            log.append(storage, &writes, self.len, self.len)?;
            sync(storage)?;
            for write in &writes {
                if let LogWrite::Data { offset, page } = write {
                    put(storage, page.as_slice(), *offset)?;
                }
            }
            self.staged.clear();
        }
        for (offset, len) in self.freed.drain(..) {
            self.space.release(offset, len);
        }
        Ok(())
    }

    /// Commits if `pages` more pages would not fit into the next log entry.
    ///
    /// After a commit they fit: one change stages at most 18 pages, and an entry in the shortest log holds 84.
    fn make_room(&mut self, pages: usize) -> Result<()> {
        let capacity = self.log.as_ref().guaranteed("a session has begun")?.capacity()?;
        if self.staged.len().plus(pages)? > capacity { self.commit() } else { Ok(()) }
    }

    /// Makes the file at least `len` bytes long, rounded up to whole MiBs.
    fn extend_to(&mut self, len: u64) -> Result<()> {
        let len = len.next_multiple_of(MIB);
        if len > self.len {
            let at = FileOffset::new(self.len);
            self.staged.storage().set_len(len).map_err(|e| Error::io("extend", at, e))?;
            self.len = len;
            self.vhdx.layout.file_len = len;
        }
        Ok(())
    }

    /// Marks the places of a plan as taken; lengths are in bytes.
    pub(crate) fn reserve(&mut self, places: impl Iterator<Item = (FileOffset, u64)>) {
        places.for_each(|(place, len)| self.space.take(place, len));
    }

    /// Returns whether everything that the file has taken is taken in `space`, too.
    pub(crate) fn is_within(&self, space: &Space) -> bool {
        self.space.is_within(space)
    }

    /// Writes one batch of a merge and commits it as one transaction.
    ///
    /// The file becomes at least `len` bytes long first.
    ///
    /// # Errors
    /// Those of `write`, and [`Error::Io`].
    pub(crate) fn write_batch(
        &mut self,
        len: u64,
        write: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.change(|this| {
            this.extend_to(len)?;
            write(this)?;
            this.commit()
        })
    }

    /// Truncates the free space at the end of the file.
    ///
    /// Only after the log is cleared, because a replay needs the file up to the length in the log entry.
    fn truncate_free_end(&mut self) -> Result<()> {
        for (offset, len) in self.retired.drain(..) {
            self.space.release(offset, len);
        }
        let end = self.space.end();
        if end.get() < self.len {
            self.staged.storage().set_len(end.get()).map_err(|e| Error::io("truncate", end, e))?;
            sync(self.staged.storage())?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        sync(self.staged.storage())
    }
}

fn sync(storage: &dyn Storage) -> Result<()> {
    storage.sync().map_err(|e| Error::io("sync", None, e))
}
