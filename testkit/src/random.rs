//! Pseudorandom numbers that are the same in every run.

use vhdx::Guid;

/// A splitmix64 generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Returns the generator for `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Returns a number less than `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    /// Returns a GUID that is not zero.
    pub fn guid(&mut self) -> Guid {
        Guid::from_u64_pair(self.number() | 1, self.number())
    }

    /// Returns `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// Shuffles `items`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Fills `buf` with the content of `layer` from `offset` (a multiple of 8) on.
///
/// Each layer and each place has different content.
pub fn content(seed: u64, layer: usize, offset: u64, buf: &mut [u8]) {
    for (word, chunk) in (offset / 8..).zip(buf.chunks_mut(8)) {
        let value = mix(mix(seed ^ (layer as u64) << 56).wrapping_add(word));
        chunk.copy_from_slice(&value.to_le_bytes()[..chunk.len()]);
    }
}

pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
