//! Caches blocks of files, within a bound for all files together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The length of a block in bytes; the last block of a file may be shorter.
pub(crate) const BLOCK: u64 = 256 << 10;

/// The number of a file in this session, and of the block in the file.
pub(crate) type BlockId = (u64, u64);

/// A cache that drops the blocks that were not used for the longest time.
pub(crate) struct Cache {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    blocks: HashMap<BlockId, (Arc<[u8]>, u64)>,
    bytes: usize,
    /// Counts uses.
    clock: u64,
}

impl Cache {
    /// Makes a cache of at most this many bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    pub(crate) fn get(&self, id: BlockId) -> Option<Arc<[u8]>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock = state.clock.saturating_add(1);
        let now = state.clock;
        let (block, used) = state.blocks.get_mut(&id)?;
        *used = now;
        Some(Arc::clone(block))
    }

    pub(crate) fn put(&self, id: BlockId, block: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = state.clock;
        if block.len() > self.capacity || state.blocks.contains_key(&id) {
            return;
        }
        while state.bytes.saturating_add(block.len()) > self.capacity {
            let oldest = state.blocks.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id);
            let Some((dropped, _)) = oldest.and_then(|id| state.blocks.remove(&id)) else { return };
            state.bytes = state.bytes.saturating_sub(dropped.len());
        }
        state.bytes = state.bytes.saturating_add(block.len());
        state.blocks.insert(id, (block.into(), now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_keeps_what_was_used() {
        let cache = Cache::new(100);
        cache.put((0, 0), &[1; 40]);
        cache.put((0, 1), &[2; 40]);
        assert!(cache.get((0, 0)).is_some());
        cache.put((1, 0), &[3; 40]);
        assert!(cache.get((0, 1)).is_none());
        assert_eq!(cache.get((0, 0)).as_deref(), Some(&[1; 40][..]));
        cache.put((2, 0), &[3; 101]);
        assert!(cache.get((2, 0)).is_none());
        assert_eq!(cache.state.lock().unwrap().bytes, 80);
    }
}
