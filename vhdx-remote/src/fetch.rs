//! Fetches ranges of an object: each is complete and of the pinned state, or an error.

use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};
use tokio::sync::OwnedSemaphorePermit;

use crate::failure::Failure;
use crate::permits::Permits;
use crate::pin::Pin;

/// The most attempts to fetch a range whose body ends early.
const ATTEMPTS: u32 = 3;

/// An object of a store.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) path: Path,
    /// Bounds the requests of the session that are under way, and the answers that were not copied yet.
    pub(crate) permits: Permits,
    pub(crate) first_wait: Duration,
}

/// The bytes of a range. The next request waits until they are dropped, so that few of them are in memory.
pub(crate) struct Fetched {
    bytes: Vec<u8>,
    _permits: OwnedSemaphorePermit,
}

impl Deref for Fetched {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A failed attempt to fetch a range.
struct Failed {
    failure: Failure,
    /// Whether the same request may succeed a moment later, and was not repeated yet.
    is_repeatable: bool,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, is_repeatable: false }
    }
}

/// An object that was opened.
#[derive(Clone)]
pub(crate) struct Pinned {
    pub(crate) object: Object,
    pub(crate) pin: Pin,
    pub(crate) meta: ObjectMeta,
}

impl Object {
    /// Fetches the first `len` bytes, or all if the object is shorter, and pins the object.
    pub(crate) async fn open(self, len: u64) -> io::Result<(Pinned, Fetched)> {
        let permit = self.permits.wait(len).await?;
        let (bytes, meta) = self.fetch(0..len, None, permit).await?;
        let pin = Pin::new(&meta)?;
        Ok((Pinned { object: self, pin, meta }, bytes))
    }

    async fn fetch(
        &self,
        range: Range<u64>,
        pinned: Option<&Pinned>,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<(Fetched, ObjectMeta)> {
        let mut wait = self.first_wait;
        for attempt in 1.. {
            match self.fetch_once(range.clone(), pinned).await {
                Err(Failed { is_repeatable: true, .. }) if attempt < ATTEMPTS => {
                    tokio::time::sleep(wait).await;
                    wait = wait.saturating_mul(4);
                }
                Err(failed) => {
                    self.permits.give_up(&failed.failure);
                    return Err(failed.failure.into());
                }
                Ok((bytes, meta)) => return Ok((Fetched { bytes, _permits: permit }, meta)),
            }
        }
        Err(io::Error::other("no attempt was made"))
    }

    async fn fetch_once(
        &self,
        range: Range<u64>,
        pinned: Option<&Pinned>,
    ) -> Result<(Vec<u8>, ObjectMeta), Failed> {
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let options = match pinned {
            Some(Pinned { pin, meta, .. }) => pin.conditions(meta, options),
            None => options,
        };
        let explain = |error: object_store::Error| Failure::of(&error);
        let answer = self.store.get_opts(&self.path, options).await.map_err(explain)?;
        let meta = answer.meta.clone();
        let expected = range.end.min(meta.size).saturating_sub(range.start);
        if let Some(Pinned { pin, .. }) = pinned {
            pin.ensure_same(&meta)?;
        }
        let wrong = |found: u64| Failure::WrongLength { expected, found };
        // With an ETag, `object_store` has fetched the rest of a body that was cut, as often as it may.
        let is_repeatable = meta.e_tag.is_none();
        // The caller bounds the length of the range.
        let mut bytes = Vec::with_capacity(usize::try_from(expected).map_err(|_| wrong(0))?);
        let mut stream = answer.into_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| Failed { failure: explain(error), is_repeatable })?;
            let found = (bytes.len() as u64).saturating_add(chunk.len() as u64);
            if found > expected {
                return Err(Failure::TooLong { limit: expected }.into());
            }
            bytes.extend_from_slice(&chunk);
        }
        match bytes.len() as u64 {
            found if found == expected => Ok((bytes, meta)),
            found => Err(Failed { failure: wrong(found), is_repeatable: true }),
        }
    }
}

impl Pinned {
    /// Fetches a range inside the object, in the state in which it was opened.
    pub(crate) async fn fetch(&self, range: Range<u64>) -> io::Result<Fetched> {
        let permit = self.object.permits.wait(len_of(&range)).await?;
        let (bytes, _) = self.object.fetch(range, Some(self), permit).await?;
        Ok(bytes)
    }

    /// As [`fetch`](Self::fetch), for one of many ranges: fails if the server stops answering while this one waits.
    pub(crate) async fn fetch_while_answered(&self, range: Range<u64>) -> io::Result<Fetched> {
        let permit = self.object.permits.wait_while_answered(len_of(&range)).await?;
        let (bytes, _) = self.object.fetch(range, Some(self), permit).await?;
        Ok(bytes)
    }
}

fn len_of(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}
