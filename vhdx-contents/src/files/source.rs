//! Reads a file system's bytes: structures through a cache, content directly, and never more than a call may read.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use super::guarded::Budget;
use crate::Window;
use crate::error::{Error, Result};

/// How much is read at a time for structures.
const BLOCK: u64 = 64 * 1024;
/// The blocks that are kept: 8 MiB.
const KEPT: usize = 128;

/// The bytes of a file system.
pub(super) struct Source<'a> {
    window: Window<'a>,
    /// The blocks that were read last, the newest first.
    cache: RefCell<VecDeque<(u64, Arc<[u8]>)>>,
    budget: Arc<Budget>,
}

impl<'a> Source<'a> {
    pub(super) fn new(window: Window<'a>, budget: Arc<Budget>) -> Self {
        Self { window, cache: RefCell::default(), budget }
    }

    pub(super) fn len(&self) -> u64 {
        self.window.len()
    }

    /// Returns bytes of a structure. `len` must be bounded by the caller.
    pub(super) fn structure(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.ensure_within(offset, len)?;
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = offset.saturating_add(bytes.len() as u64);
            let block = self.block(at / BLOCK)?;
            let from = usize::try_from(at % BLOCK).map_err(|_| past_end(at))?;
            let left = block.get(from..).filter(|left| !left.is_empty()).ok_or_else(|| past_end(at))?;
            let missing = len.saturating_sub(bytes.len());
            bytes.extend(left.iter().take(missing));
        }
        Ok(bytes)
    }

    /// Fills `buf` with content.
    pub(super) fn content(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.ensure_within(offset, buf.len())?;
        self.budget.spend()?;
        self.window.read_into(offset, buf)?;
        Ok(())
    }

    /// Counts a step that needs no read, so that a long walk over few bytes ends too.
    pub(super) fn spend(&self) -> Result<()> {
        self.budget.spend()
    }

    fn ensure_within(&self, offset: u64, len: usize) -> Result<()> {
        match offset.checked_add(len as u64).filter(|end| *end <= self.len()) {
            Some(_) => Ok(()),
            None => Err(past_end(offset)),
        }
    }

    fn block(&self, index: u64) -> Result<Arc<[u8]>> {
        let mut cache = self.cache.borrow_mut();
        if let Some(at) = cache.iter().position(|(kept, _)| *kept == index)
            && let Some(found) = cache.remove(at)
        {
            let block = Arc::clone(&found.1);
            cache.push_front(found);
            return Ok(block);
        }
        self.budget.spend()?;
        let block: Arc<[u8]> = self.window.read(index.saturating_mul(BLOCK), BLOCK as usize)?.into();
        cache.truncate(KEPT - 1);
        cache.push_front((index, Arc::clone(&block)));
        Ok(block)
    }
}

fn past_end(offset: u64) -> Error {
    Error::damaged("the file system", format!("it refers to its byte {offset}, but ends before"))
}
