//! Writing to a VHDX that exists, so that it is sound whenever power fails ([MS-VHDX] 2.3).
//!
//! A session begins with the first change and ends with [`VhdxMut::close`]:
//! ```text
//! headers: FileWriteGuid | log: empty entry | headers: LogGuid, DataWriteGuid | commit, commit, ... | headers: no LogGuid
//! ```
//! Data go straight to their place when nothing points there yet, or when the guest writes over what it wrote before.
//! Everything that points (BAT entries, sector bitmaps, metadata, region tables) is staged, and a commit does:
//! ```text
//! sync | one log entry | sync | the same pages in their places
//! ```
//! The first sync makes durable what the entry will point to, and also the pages of the commit before. So each entry is
//! the whole active sequence, and replaying it can never bring back anything older than the last commit.

mod blocks;
mod metadata;
mod metadata_space;
mod payload;
mod resize;
mod space;
mod staged;

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::Vhdx;
use super::headers::Headers;
use super::replay::replay;
use crate::error::{Error, InvalidArgument, Result};
use crate::format::log_entry::LogWrite;
use crate::log::{LogWriter, MAX_LOG_LENGTH};
use crate::storage::{FileStorage, Storage};
use crate::units::{FileOffset, MIB};
use crate::violation::Violations;

pub(crate) use blocks::SectorBits;
pub(crate) use resize::ResizePlan;
pub(crate) use space::{Place, Space};
use staged::Staged;

/// The length of a log that is made because a file has none ([MS-VHDX] 2.2.2).
const NEW_LOG: u64 = MIB;

/// A VHDX file that is open for writing, by nobody else. Everything that [`Vhdx`] tells it tells too, and it reads as
/// it will be after the next [`flush`](Self::flush).
///
/// Nothing is written before the first change. From then on the file has a new FileWriteGuid, and from the first change
/// of what a guest sees a new DataWriteGuid: its children, if it has any, are orphans then ([MS-VHDX] 2.2.2).
///
/// Dropped without [`close`](Self::close), the file is as after a power failure: sound, with a dirty log, and with
/// every change up to the last flush. After an error every further change is refused, and the same holds.
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
    /// The log of the session, once there is one.
    log: Option<LogWriter>,
    /// The length of the file in bytes; a multiple of 1 MiB in a session.
    len: u64,
    /// Places that the staged changes no longer point to: free from the next commit on.
    freed: Vec<(FileOffset, u64)>,
    /// Places of old tables. They stay as they are until no log entry can be replayed over them.
    retired: Vec<(FileOffset, u64)>,
    has_new_content: bool,
    has_failed: bool,
}

impl fmt::Debug for VhdxMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VhdxMut").field("vhdx", &self.vhdx).finish_non_exhaustive()
    }
}

impl Deref for VhdxMut {
    type Target = Vhdx;

    fn deref(&self) -> &Vhdx {
        &self.vhdx
    }
}

impl VhdxMut {
    /// Opens a file for writing and keeps others from doing so. A dirty log is written home first.
    ///
    /// # Errors
    /// As [`FileStorage::open_exclusive`] and [`Vhdx::open`]; [`Error::Corrupt`] also for every rule about the block
    /// allocation table that is not tolerated.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = FileStorage::open_exclusive(path)?;
        let open = || {
            let identity = file.identity()?;
            Ok((Self::from_storage(Arc::new(file))?, identity))
        };
        let (mut open, identity) = open().map_err(|error: Error| error.in_file(path))?;
        open.vhdx.identity = Some(identity);
        Ok(open.named(path))
    }

    /// Opens a storage for writing. Nobody else may write to it meanwhile.
    ///
    /// # Errors
    /// As [`open`](Self::open), apart from those of the file system.
    pub fn from_storage(storage: Arc<dyn Storage>) -> Result<Self> {
        replay(Arc::clone(&storage))?;
        let staged = Arc::new(Staged::new(Arc::clone(&storage)));
        let vhdx = Vhdx::load(Arc::clone(&staged) as _, &mut Violations::new())?;
        let headers = Headers::new(storage, vhdx.header.clone(), vhdx.header_number);
        Ok(Self {
            space: Space::of(&vhdx)?,
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

    /// The same, called by this path in errors.
    pub(crate) fn named(self, path: &Path) -> Self {
        Self { vhdx: self.vhdx.named(path), ..self }
    }

    /// Makes all changes so far durable.
    ///
    /// # Errors
    /// [`Error::Io`]: what was durable before still is.
    pub fn flush(&mut self) -> Result<()> {
        self.change(|this| {
            this.commit()?;
            this.sync()
        })
    }

    /// Makes all changes durable and leaves a clean log.
    ///
    /// # Errors
    /// [`Error::Io`]: the file is then sound, with a log that may be dirty.
    pub fn close(self) -> Result<()> {
        let data_write_guid = self.headers.current().data_write_guid;
        self.close_as(data_write_guid)
    }

    /// As [`close`](Self::close). In a session, the DataWriteGuid becomes this one together with the clean log, when all
    /// content is durable.
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
            this.give_back_the_end()
        })
    }

    /// Does something that may fail half-way; if it does, nothing more is done to the file.
    fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.has_failed {
            return Err(self.vhdx.in_file(InvalidArgument::FailedBefore.into()));
        }
        let result = change(self);
        self.has_failed = result.is_err();
        result.map_err(|error| self.vhdx.in_file(error))
    }

    /// Begins a session, if none has begun.
    fn begin(&mut self) -> Result<()> {
        self.begin_with(None)
    }

    /// Begins a session, if none has begun, and says that what a guest sees is about to change.
    fn begin_content(&mut self) -> Result<()> {
        if self.has_new_content {
            return self.begin();
        }
        self.begin_with(Some(Uuid::new_v4()))
    }

    /// Begins a session, if none has begun: what takes space, or fails for another reason, does so now.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn begin_session(&mut self) -> Result<()> {
        self.change(Self::begin)
    }

    /// Begins a session whose content has this DataWriteGuid. In one that has begun, only the headers are written.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn begin_as(&mut self, data_write_guid: Uuid) -> Result<()> {
        self.change(|this| this.begin_with(Some(data_write_guid)))
    }

    fn begin_with(&mut self, content: Option<Uuid>) -> Result<()> {
        if self.log.is_none() {
            let (place, len) = self.place_of_log()?;
            // What another process wrote before it was killed can be read, but need not be durable yet.
            self.sync()?;
            self.headers.update(|header| header.file_write_guid = Uuid::new_v4())?;
            self.extend_to(self.len.max(place.saturating_add(len).get()))?;
            let log = LogWriter::start(self.staged.storage(), place, len)?;
            let guid = log.guid();
            self.headers.update(|header| {
                (header.log_guid, header.log_version) = (guid, 0);
                // A log that a header can describe is shorter than 4 GiB.
                (header.log_offset, header.log_length) = (place, u32::try_from(len).unwrap_or(u32::MAX));
                header.data_write_guid = content.unwrap_or(header.data_write_guid);
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

    /// Where the log is, or is going to be if the file has none that lies inside it. Of a log that is too long to be
    /// replayed, only the first part goes on being the log.
    fn place_of_log(&mut self) -> Result<(FileOffset, u64)> {
        if let Some((place, len)) = self.vhdx.place_of_log() {
            return Ok((place, len.min(MAX_LOG_LENGTH)));
        }
        Ok((self.space.allocate(NEW_LOG)?.offset, NEW_LOG))
    }

    /// Makes everything that is staged durable at once, or nothing of it. What it no longer points to is free then.
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

    /// Commits, if fewer than `pages` could be staged besides what is. They can be staged together then: no change
    /// needs more than a quarter of the shortest log.
    fn make_room(&mut self, pages: usize) -> Result<()> {
        let capacity = self.log.as_ref().map_or(0, LogWriter::capacity);
        if self.staged.len().saturating_add(pages) > capacity { self.commit() } else { Ok(()) }
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

    /// Keeps places, with their lengths in bytes, for what a plan puts there.
    pub(crate) fn reserve(&mut self, places: impl Iterator<Item = (FileOffset, u64)>) {
        places.for_each(|(place, len)| self.space.take(place, len));
    }

    /// What one batch of a merge writes and stages, in a file of at least `len` bytes, made to count at once.
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

    /// Space at the end of the file that nothing lies in. Only without a log that could be replayed.
    fn give_back_the_end(&mut self) -> Result<()> {
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

fn put(storage: &dyn Storage, bytes: &[u8], at: FileOffset) -> Result<()> {
    storage.write_all_at(bytes, at).map_err(|e| Error::io("write", at, e))
}
