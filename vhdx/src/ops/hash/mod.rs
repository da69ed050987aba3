//! Computes digests of disks: one of all bytes, or one for each block.
//!
//! - A digest depends only on what a guest would read, not on the files, their format, or the number of threads.
//! - A worker reads and hashes a range of its own. The results are joined in the order of the disk.

mod blocks;
mod content;
mod digest;
mod spans;
mod tree;
mod whole;

pub use blocks::{DigestRun, MAX_HASH_BLOCK_SIZE, MIN_HASH_BLOCK_SIZE, hash_blocks};
pub use digest::{Digest, HashAlgorithm, Hasher};
pub use whole::hash;

#[cfg(test)]
mod tests;
