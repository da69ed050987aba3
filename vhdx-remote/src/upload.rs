//! Uploads an object in parts. It appears complete, on [`Upload::commit`], or not at all.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::task::AbortHandle;

use crate::failure::{Failure, explained};
use crate::runtime;

/// The most parts that an object may have, in every store.
const MAX_PARTS: u64 = 10_000;
/// The shortest part, except for the last one. S3 allows 5 MiB.
const MIN_PART: u64 = 8 << 20;
/// The longest part. 10,000 of them are 4.8 TiB, about the largest object of S3.
const MAX_PART: u64 = 512 << 20;
/// The bytes of parts that are under way at the same time, unless a single part is longer.
const UNDER_WAY: u64 = 48 << 20;
/// How often a waiting upload asks whether it was cancelled.
const CHECK: Duration = Duration::from_millis(100);
/// How long an upload that is given up waits for its parts under way.
const LAST_PARTS: Duration = Duration::from_secs(2);
/// How long the request to abort may take, with its repetitions.
const ABORT: Duration = Duration::from_secs(10);
/// The bytes of a piece of a part, of which one at a time is handed to the connection.
const PIECE: usize = 64 << 10;

/// An upload that takes the bytes of an object in order. If it is dropped without [`commit`](Self::commit), it is
/// aborted, and no object appears.
///
/// An upload takes the memory of its parts: at most 72 MiB for an object of up to 234 GiB, and two parts, each a
/// ten-thousandth of the object, for a larger one.
pub struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// `None` once the upload was completed or aborted.
    parts: Option<Box<dyn MultipartUpload>>,
    part_size: usize,
    buffer: Vec<u8>,
    sender: SyncSender<io::Result<()>>,
    results: Receiver<io::Result<()>>,
    under_way: usize,
    parallel: usize,
    /// The parts that were begun, to end those under way.
    tasks: Vec<AbortHandle>,
    is_cancelled: Box<dyn Fn() -> bool + Send>,
    replace: bool,
    has_failed: bool,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("path", &self.path.to_string()).finish_non_exhaustive()
    }
}

/// Returns the length of the parts of an object; `None` if the object is too large.
fn part_size(size: u64) -> Option<u64> {
    let part = size.div_ceil(MAX_PARTS).checked_next_multiple_of(1 << 20)?.max(MIN_PART);
    (part <= MAX_PART).then_some(part)
}

/// Returns an error if an upload would fail at its beginning.
pub(crate) fn ensure_possible(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    size: u64,
    replace: bool,
) -> io::Result<()> {
    checked_part_size(size)?;
    if replace {
        return Ok(());
    }
    ensure_absent(store, path)
}

fn checked_part_size(size: u64) -> io::Result<u64> {
    part_size(size).ok_or_else(|| {
        let message = "the object would be larger than an upload in parts can be (4.8 TiB)";
        io::Error::new(io::ErrorKind::FileTooLarge, message)
    })
}

/// Returns an error if the object exists.
fn ensure_absent(store: &Arc<dyn ObjectStore>, path: &Path) -> io::Result<()> {
    let (store, path) = (Arc::clone(store), path.clone());
    match runtime::wait(async move { store.head(&path).await.map_err(explained) }) {
        Ok(_) => Err(Failure::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

impl Upload {
    pub(crate) fn begin(
        store: Arc<dyn ObjectStore>,
        path: Path,
        size: u64,
        replace: bool,
    ) -> io::Result<Self> {
        ensure_possible(&store, &path, size, replace)?;
        let part = checked_part_size(size)?;
        let parallel = usize::try_from((UNDER_WAY / part).max(1)).unwrap_or(1);
        let (sender, results) = sync_channel(parallel);
        let mut upload = Self {
            store,
            path,
            parts: None,
            part_size: usize::try_from(part).map_err(|_| io::ErrorKind::FileTooLarge)?,
            buffer: Vec::new(),
            sender,
            results,
            under_way: 0,
            parallel,
            tasks: Vec::new(),
            is_cancelled: Box::new(|| false),
            replace,
            has_failed: false,
        };
        let (store, path) = (Arc::clone(&upload.store), upload.path.clone());
        let begun = runtime::wait(async move { store.put_multipart(&path).await.map_err(explained) })?;
        upload.parts = Some(begun);
        Ok(upload)
    }

    /// Sets a function that is asked often whether to stop. Once it returns true, writing and committing fail.
    pub fn cancel_when(&mut self, is_cancelled: impl Fn() -> bool + Send + 'static) {
        self.is_cancelled = Box::new(is_cancelled);
    }

    fn ensure_not_cancelled(&mut self) -> io::Result<()> {
        if (self.is_cancelled)() {
            self.has_failed = true;
            // `ErrorKind::Interrupted` would mean that the same call may be repeated.
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the upload was cancelled"));
        }
        Ok(())
    }

    /// Sends the buffered bytes as a part. Waits until few enough parts are under way.
    fn send(&mut self) -> io::Result<()> {
        while self.under_way >= self.parallel {
            self.receive()?;
        }
        let parts = self.parts.as_mut().ok_or_else(ended)?;
        let part = parts.put_part(in_pieces(mem::take(&mut self.buffer)));
        let task = runtime::begin(self.sender.clone(), async move { part.await.map_err(explained) })?;
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(task);
        self.under_way += 1;
        Ok(())
    }

    /// Waits for the end of a part.
    fn receive(&mut self) -> io::Result<()> {
        loop {
            self.ensure_not_cancelled()?;
            match self.results.recv_timeout(CHECK) {
                Ok(result) => {
                    self.under_way -= 1;
                    return result.inspect_err(|_| self.has_failed = true);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(runtime::lost()),
            }
        }
    }

    /// Sends what is left and completes the object. Call this only after everything was written without an error.
    ///
    /// # Errors
    /// Those of the server; the object is then absent, or the one that was there before. If the answer to the last
    /// request is lost, the object may be complete.
    pub fn commit(mut self) -> io::Result<()> {
        if self.has_failed {
            return Err(ended());
        }
        if !self.buffer.is_empty() {
            self.send()?;
        }
        while self.under_way > 0 {
            self.receive()?;
        }
        if !self.replace {
            ensure_absent(&self.store, &self.path)?;
        }
        self.ensure_not_cancelled()?;
        let mut parts = self.parts.take().ok_or_else(ended)?;
        let (parts, completed) = runtime::wait(async move {
            let completed = parts.complete().await.map_err(|error| match Failure::of(&error) {
                // The condition of the request: there must be no object.
                Failure::Replaced => Failure::AlreadyExists.into(),
                failure => failure.into(),
            });
            Ok((parts, completed))
        })?;
        if completed.is_err() {
            self.parts = Some(parts); // aborted when this is dropped
        }
        completed.map(drop)
    }
}

/// Cuts a part into pieces, by which the progress of sending it is seen. Nothing is copied.
fn in_pieces(part: Vec<u8>) -> PutPayload {
    let whole = PutPayload::from(part);
    let pieces = whole.iter().flat_map(|bytes| {
        let starts = (0..bytes.len()).step_by(PIECE);
        starts.map(|start| bytes.slice(start..bytes.len().min(start.saturating_add(PIECE))))
    });
    pieces.collect()
}

fn ended() -> io::Error {
    io::Error::other("this upload has already failed: begin a new one")
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_failed {
            return Err(ended());
        }
        self.ensure_not_cancelled()?;
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(self.part_size);
        }
        let len = bytes.len().min(self.part_size.saturating_sub(self.buffer.len()));
        self.buffer.extend_from_slice(bytes.get(..len).unwrap_or_default());
        if self.buffer.len() == self.part_size {
            self.send()?;
        }
        Ok(len)
    }

    /// Does nothing: parts are sent when they are full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    /// Aborts an upload that was not completed. Parts under way may end first, because a part that arrives after the
    /// abort would stay; but not for long.
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        let end = Instant::now() + LAST_PARTS;
        while self.under_way > 0 {
            let left = end.saturating_duration_since(Instant::now());
            match self.results.recv_timeout(left) {
                Ok(_) => self.under_way -= 1,
                Err(_) => break,
            }
        }
        self.tasks.iter().for_each(AbortHandle::abort);
        // A failure cannot be reported here. A rule of the bucket can delete unfinished uploads.
        let abort = async move { tokio::time::timeout(ABORT, parts.abort()).await.is_ok() };
        drop(runtime::wait(async move { Ok(abort.await) }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_any_object_are_few_enough() {
        for size in [0, 1, 1 << 30, 160 << 30, (160 << 30) + 1, 1 << 40, 4_800 << 30] {
            let part = part_size(size).unwrap();
            assert!(size.div_ceil(part) <= MAX_PARTS, "{size}");
            assert!((MIN_PART..=MAX_PART).contains(&part), "{size}");
        }
        assert_eq!(part_size(64 << 40), None);
        assert_eq!(part_size(u64::MAX), None);
    }
}
