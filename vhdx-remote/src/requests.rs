//! The requests of one call, many at the same time.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::task::AbortHandle;

use crate::fetch::{Fetched, Pinned};
use crate::permits::PERMITS;
use crate::runtime;

/// Requests for ranges of an object, each with a number. Those that are not complete end when this is dropped.
pub(crate) struct Requests<'a> {
    pinned: &'a Pinned,
    /// Whether they fail, while they wait, if the server stops answering.
    are_many: bool,
    under_way: BTreeMap<usize, AbortHandle>,
    send: SyncSender<io::Result<(usize, Fetched)>>,
    receive: Receiver<io::Result<(usize, Fetched)>>,
}

impl<'a> Requests<'a> {
    pub(crate) fn new(pinned: &'a Pinned, are_many: bool) -> Self {
        let (send, receive) = sync_channel(PERMITS);
        Self { pinned, are_many, under_way: BTreeMap::new(), send, receive }
    }

    /// Returns whether another request may begin: the channel has room for its answer.
    pub(crate) fn has_room(&self) -> bool {
        self.under_way.len() < PERMITS
    }

    /// Begins a request. Its number must be new.
    ///
    /// # Errors
    /// Those of [`runtime::begin`].
    pub(crate) fn begin(&mut self, number: usize, range: Range<u64>) -> io::Result<()> {
        let (pinned, is_one_of_many) = (self.pinned.clone(), self.are_many);
        let fetch = async move {
            let bytes = match is_one_of_many {
                true => pinned.fetch_while_answered(range).await?,
                false => pinned.fetch(range).await?,
            };
            Ok((number, bytes))
        };
        self.under_way.insert(number, runtime::begin(self.send.clone(), fetch)?);
        Ok(())
    }

    /// Waits for the next answer, of any request; `None` if no request is under way.
    ///
    /// # Errors
    /// Those of the first request that fails.
    pub(crate) fn next(&mut self) -> io::Result<Option<(usize, Fetched)>> {
        if self.under_way.is_empty() {
            return Ok(None);
        }
        let (number, bytes) = self.receive.recv().map_err(|_| runtime::lost())??;
        self.under_way.remove(&number);
        Ok(Some((number, bytes)))
    }
}

impl Drop for Requests<'_> {
    fn drop(&mut self) {
        self.under_way.values().for_each(AbortHandle::abort);
    }
}
